"""The only module that uses xero-python: the SDK builds the requests; transport, tokens and parsing are ours.

Its models are not used, because one malformed value loses a whole page; nor its transport, which sleeps for hours on a
429 and sends a PUT four times on a dropped connection; nor its token handling, because ``Configuration`` hands every
client a copy of the first one's token object. See README.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
import requests
from xero_python.accounting import AccountingApi
from xero_python.api_client import ApiClient
from xero_python.api_client.configuration import Configuration

from providers.calls import CallKind
from providers.errors import AuthorizationExpired, PermanentError, ProviderError
from providers.http import TransportLimits, ambiguous_reply_error, install_transport, require_json
from providers.xero.error_replies import parse_error
from providers.xero.service import CORRELATION_HEADER, xero_service

if TYPE_CHECKING:
    from providers.calls import CallObserver
    from providers.sign_in import AccessToken

_BEARER: Final = "Bearer "
NOT_MODIFIED: Final = b""  # the body under status 304, and under no other one
Schema = TypeVar("Schema", bound=msgspec.Struct)


class _ClientToken:
    """Replaces the SDK's token object, one per client, so that no two connections can ever share one."""

    def __init__(self, access_token: AccessToken) -> None:
        self._access_token = access_token

    def get_auth_settings(self) -> dict[str, str]:
        """Return the authorisation header of the next request, as the SDK expects it."""
        return {"type": "oauth2", "in": "header", "key": "Authorization", "value": _BEARER + self._access_token()}


class _SdkTransport:
    """Replaces the SDK's REST client: sends what the SDK built through our transport and returns the raw reply."""

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
    """The endpoints of one organisation. ``operation`` and its arguments are named as in the SDK."""

    def __init__(
        self,
        api_url: str,
        tenant_id: str,
        access_token: AccessToken,
        calls: CallObserver,
        limits: TransportLimits | None = None,
    ) -> None:
        """Build an SDK client that shares no state with any other."""
        self._service = xero_service(api_url)
        self._tenant_id = tenant_id
        self._access_token = access_token
        session = requests.Session()
        install_transport(session, self._service, calls, limits=limits)
        configuration = Configuration()  # a copy of the first one ever made: everything that matters is set below
        configuration.oauth2_token = _ClientToken(access_token)
        sdk = ApiClient(configuration)
        sdk.rest_client = _SdkTransport(session)
        sdk.user_agent = "duewell"
        self._api = AccountingApi(sdk, base_url=f"{api_url.rstrip('/')}/api.xro/2.0")

    def read(self, operation: str, *args: Any, **params: Any) -> bytes:
        """Return the JSON of a read, or ``NOT_MODIFIED``."""
        response = self._call(operation, CallKind.READ, args, params)
        if response.status_code == requests.codes.not_modified:
            return NOT_MODIFIED
        return require_json(response, self._service, CallKind.READ)

    def read_file(self, operation: str, *args: Any) -> bytes:
        """Return the content of a read that is not JSON."""
        return self._call(operation, CallKind.READ, args, {}).content

    def write(self, operation: str, *args: Any, **params: Any) -> bytes:
        """Write once and return the JSON of the reply."""
        return require_json(self._call(operation, CallKind.WRITE, args, params), self._service, CallKind.WRITE)

    def decode(self, schema: type[Schema], body: bytes, kind: CallKind) -> Schema:
        """Decode a reply into a typed struct."""
        try:
            return msgspec.json.decode(body, type=schema, strict=False)
        except msgspec.DecodeError:
            raise self.unexpected_reply_error(kind) from None

    def unexpected_reply_error(self, kind: CallKind) -> ProviderError:
        """Return the error for JSON that does not have the documented form."""
        return ambiguous_reply_error(kind, "Xero's reply does not have the documented form")

    def _call(self, operation: str, kind: CallKind, args: tuple[Any, ...], params: dict[str, Any]) -> requests.Response:
        response = self._send_once(operation, args, params)
        if response.status_code == requests.codes.unauthorized and not _lacks_scope(response):
            rejected_token = str(response.request.headers.get("Authorization", "")).removeprefix(_BEARER)
            self._access_token(rejected_token=rejected_token)
            response = self._send_once(operation, args, params)
        _raise_for_refusal(response, kind)
        return response

    def _send_once(self, operation: str, args: tuple[Any, ...], params: dict[str, Any]) -> requests.Response:
        send = getattr(self._api, operation)
        response: requests.Response = send(self._tenant_id, *args, **params, _preload_content=False)
        return response


def _lacks_scope(response: requests.Response) -> bool:
    return "insufficient_scope" in response.headers.get("WWW-Authenticate", "")


def _raise_for_refusal(response: requests.Response, kind: CallKind) -> None:
    """Raise for what Xero rejected; the transport has raised for limits, server errors and redirects."""
    status, reference = response.status_code, response.headers.get(CORRELATION_HEADER, "")
    if status < requests.codes.bad_request:
        return
    if status == requests.codes.unauthorized:
        cause = "the consent lacks a required scope" if _lacks_scope(response) else "the grant is no longer valid"
        message = f"Xero denied access: {cause}; connect it again"
        raise AuthorizationExpired(message, trace_id=reference)
    if status == requests.codes.forbidden:
        message = (
            "Xero no longer allows access to this organisation (disconnected in Xero, or the user was removed);"
            " connect it again"
        )
        raise AuthorizationExpired(message, trace_id=reference)
    if status == requests.codes.not_found:
        message = "Xero does not know this record"
        raise PermanentError(message, code="404", trace_id=reference)
    text, code = parse_error(response.content)
    message = f"Xero rejected the {kind}: {text or f'status {status}'}"
    raise PermanentError(message, code=code or str(status), trace_id=reference)
