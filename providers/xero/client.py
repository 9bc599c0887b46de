"""The only file that knows xero-python: it builds the requests; wire, token and reading are ours.

The SDK's models are not used for reading (one odd value loses a page), nor its transport (it sleeps for hours on a
429 and sends a PUT four times on a dropped connection), nor its token handling (``Configuration`` hands every client
a copy of the first one's token object). See README.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
import requests
from xero_python.accounting import AccountingApi
from xero_python.api_client import ApiClient
from xero_python.api_client.configuration import Configuration

from providers.errors import AuthorizationExpired, PermanentError, ProviderError
from providers.http import READ, WRITE, TransportLimits, ambiguous_reply_error, install_transport, require_json
from providers.xero.vendor import CORRELATION_HEADER, vendor

if TYPE_CHECKING:
    from providers.ledger import AccessToken, CallObserver

_BEARER: Final = "Bearer "
_MESSAGE_LENGTH_MAX: Final = 300
Schema = TypeVar("Schema", bound=msgspec.Struct)


class _ClientToken:
    """Stands in for the SDK's token object, one per client, so that no two connections can ever share one."""

    def __init__(self, access_token: AccessToken) -> None:
        self._access_token = access_token

    def get_auth_settings(self) -> dict[str, str]:
        """Give the SDK the header of the next request."""
        return {"type": "oauth2", "in": "header", "key": "Authorization", "value": _BEARER + self._access_token()}


class _SdkTransport:
    """Stands in for the SDK's REST client: sends what the SDK built through our transport, returns the bare reply."""

    def __init__(self, session: requests.Session) -> None:
        self._session = session

    def GET(self, url: str, **request: Any) -> requests.Response:
        return self._send("GET", url, **request)

    def PUT(self, url: str, **request: Any) -> requests.Response:
        return self._send("PUT", url, **request)

    def POST(self, url: str, **request: Any) -> requests.Response:
        return self._send("POST", url, **request)

    def _send(
        self,
        method: str,
        url: str,
        *,
        headers: dict[str, str],
        query_params: Any = None,
        body: Any = None,
        **_ignored: Any,
    ) -> requests.Response:
        data = None
        if body is not None:
            data = msgspec.json.encode(body)
            headers = headers | {"Content-Type": "application/json"}
        return self._session.request(method, url, params=query_params, headers=headers, data=data)


class Client:
    """One organisation's endpoints. ``operation`` is the SDK's name of one, its arguments are the SDK's."""

    def __init__(
        self,
        api_url: str,
        tenant_id: str,
        access_token: AccessToken,
        calls: CallObserver,
        limits: TransportLimits | None = None,
    ) -> None:
        """Build an SDK client that shares nothing with any other."""
        self._vendor = vendor(api_url)
        self._tenant_id = tenant_id
        self._access_token = access_token
        session = requests.Session()
        install_transport(session, self._vendor, calls, limits=limits)
        configuration = Configuration()  # a copy of the first one ever made: what matters is set after
        configuration.oauth2_token = _ClientToken(access_token)
        sdk = ApiClient(configuration)
        sdk.rest_client = _SdkTransport(session)
        sdk.user_agent = "duewell"
        self._api = AccountingApi(sdk, base_url=f"{api_url.rstrip('/')}/api.xro/2.0")

    def read(self, operation: str, *args: Any, **params: Any) -> bytes:
        """Read JSON."""
        response = self._call(operation, READ, args, params)
        if response.status_code == requests.codes.not_modified:
            return b"{}"
        return require_json(response, self._vendor, READ)

    def read_file(self, operation: str, *args: Any) -> bytes:
        """Read something that is not JSON."""
        return self._call(operation, READ, args, {}).content

    def write(self, operation: str, *args: Any, **params: Any) -> bytes:
        """Write once, and return the JSON that says what came of it."""
        return require_json(self._call(operation, WRITE, args, params), self._vendor, WRITE)

    def decode(self, schema: type[Schema], body: bytes, kind: str) -> Schema:
        """Read a reply as a typed struct."""
        try:
            return msgspec.json.decode(body, type=schema, strict=False)
        except msgspec.DecodeError:
            raise self.unexpected_reply_error(kind) from None

    def unexpected_reply_error(self, kind: str) -> ProviderError:
        """The error for JSON of a shape that was not to be expected."""
        return ambiguous_reply_error(kind, "Xero's answer has not the shape it should have")

    def _call(self, operation: str, kind: str, args: tuple[Any, ...], params: dict[str, Any]) -> requests.Response:
        response = self._send_once(operation, args, params)
        if response.status_code == requests.codes.unauthorized and not _lacks_scope(response):
            rejected = str(response.request.headers.get("Authorization", "")).removeprefix(_BEARER)
            self._access_token(rejected_token=rejected)
            response = self._send_once(operation, args, params)
        _raise_for_refusal(response, kind)
        return response

    def _send_once(self, operation: str, args: tuple[Any, ...], params: dict[str, Any]) -> requests.Response:
        send = getattr(self._api, operation)
        response: requests.Response = send(self._tenant_id, *args, **params, _preload_content=False)
        return response


def _lacks_scope(response: requests.Response) -> bool:
    return "insufficient_scope" in response.headers.get("WWW-Authenticate", "")


def _raise_for_refusal(response: requests.Response, kind: str) -> None:
    """Raise for what Xero refused; limits, server errors and redirects were raised by the transport."""
    status, reference = response.status_code, response.headers.get(CORRELATION_HEADER, "")
    if status < requests.codes.bad_request:
        return
    if status == requests.codes.unauthorized:
        what = "the consent lacks a scope this needs" if _lacks_scope(response) else "it no longer accepts the grant"
        message = f"Xero refused access: {what}; connect it again"
        raise AuthorizationExpired(message, trace_id=reference)
    if status == requests.codes.forbidden:
        message = (
            "Xero no longer lets us into this organisation (disconnected there, or its user left); connect it again"
        )
        raise AuthorizationExpired(message, trace_id=reference)
    if status == requests.codes.not_found:
        message = "Xero does not know this record"
        raise PermanentError(message, code="404", trace_id=reference)
    words, code = parse_error(response.content)
    message = f"Xero refused the {kind}: {words or f'status {status}'}"
    raise PermanentError(message, code=code or str(status), trace_id=reference)


class _Message(msgspec.Struct, rename={"text": "Message"}):
    text: str = ""


class _Element(msgspec.Struct, rename={"errors": "ValidationErrors"}):
    errors: list[_Message] = []


class _ErrorReply(msgspec.Struct, rename={"type": "Type", "message": "Message", "elements": "Elements"}):
    type: str = ""
    message: str = ""
    elements: list[_Element] = []


def parse_error(body: bytes) -> tuple[str, str]:
    """Xero's own words and its code of a 400, or two empty texts where it said nothing readable."""
    try:
        said = msgspec.json.decode(body, type=_ErrorReply)
    except msgspec.DecodeError:
        return "", ""
    words = [error.text for element in said.elements for error in element.errors] or [said.message]
    text = "; ".join(dict.fromkeys(" ".join(one.split()) for one in words))
    return text[:_MESSAGE_LENGTH_MAX], said.type
