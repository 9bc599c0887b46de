"""Sign-in at Intuit with Authlib: discovery document, consent, exchange, refresh and revocation.

The discovery document is read once a day: it is cached in the process, and stored in the token for later processes.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol
from urllib.parse import parse_qs, urlsplit

import msgspec
import requests
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from msgspec import Struct

from providers.calls import CallKind, CallObserver
from providers.errors import AuthorizationExpired, PermanentError, ProviderError, TransientError
from providers.http import Service, TransportLimits, ambiguous_reply_error, hosts_of, install_transport, require_json
from providers.quickbooks.faults import TRACE_HEADER
from providers.sign_in import GRANT_LIFETIME, ConsentRequest, JsonObject, clean_code

SCOPES: Final = "com.intuit.quickbooks.accounting"  # no more: who the user is does not matter here
TOKEN_HEADERS: Final = {
    "Accept": "application/json",
    "Content-Type": "application/x-www-form-urlencoded;charset=UTF-8",
    "x-include-refresh-token-hard-expires-in": "true",  # asks when the grant's five years end
}
DAY_S: Final = 86_400
_STORED_FIELDS: Final = ("token_type", "access_token", "refresh_token", "expires_in", "expires_at")
_STORED_EXPIRY_FIELDS: Final = ("x_refresh_token_expires_in", "x_refresh_token_hard_expires_in")


class QuickBooksSettings(Protocol):
    """The settings of QuickBooks: the user's own Intuit app, and where Intuit is."""

    quickbooks_client_id: str
    quickbooks_client_secret: str
    quickbooks_discovery_url: str
    quickbooks_api_url: str
    quickbooks_reads_a_month: int


class Endpoints(Struct):
    """The endpoints of the discovery document, where it was read and when (Unix seconds)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    revocation_endpoint: str
    discovered_from: str = ""
    discovered_at: float = 0.0

    def is_fresh(self, url: str) -> bool:
        """Return whether this was read from ``url`` within the last day."""
        return self.discovered_from == url and 0 <= time.time() - self.discovered_at < DAY_S


class _NoCalls:
    """Observes nothing: a consent URL is built before there is a company whose calls are counted."""

    def before(self, kind: str) -> None: ...
    def after(self, kind: str, status: int, headers: Mapping[str, str]) -> None: ...


_discovered: dict[str, Endpoints] = {}


def begin_consent(settings: QuickBooksSettings, redirect_uri: str) -> ConsentRequest:
    """Build the consent URL."""
    endpoints = _discover(settings, {}, _NoCalls())
    session = _session(settings, endpoints, _NoCalls(), redirect_uri=redirect_uri)
    url, state = session.create_authorization_url(endpoints.authorization_endpoint, scope=SCOPES)
    return ConsentRequest(url, state)


def finish_consent(
    settings: QuickBooksSettings,
    redirect_uri: str,
    redirected_url: str,
    consent_request: ConsentRequest,
    calls: CallObserver,
) -> tuple[JsonObject, str]:
    """Exchange the code of the redirect; return the token and the company's realm id."""
    reply = {name: values[0] for name, values in parse_qs(urlsplit(redirected_url).query).items()}
    if not hmac.compare_digest(reply.get("state", "").encode(), consent_request.state.encode()):
        raise PermanentError(
            "this redirect does not belong to the consent that was started here (its state differs)", code="state"
        )
    if "error" in reply:
        error = clean_code(reply["error"])
        raise PermanentError(f"Intuit replied {error!r} instead of granting access", code=error)
    realm_id, code = reply.get("realmId", ""), reply.get("code", "")
    if not code or not realm_id.isdecimal():
        raise PermanentError("the redirect names no company (realmId) or holds no code", code="realm")
    endpoints = _discover(settings, {}, calls)
    if reply.get("iss", endpoints.issuer) != endpoints.issuer:  # RFC 9207: if the issuer is named, it must be Intuit
        raise PermanentError("this redirect does not come from Intuit", code="iss")
    session = _session(settings, endpoints, calls, redirect_uri=redirect_uri)
    fetch, url = session.fetch_token, endpoints.token_endpoint
    token = _request_token(lambda: fetch(url, grant_type="authorization_code", code=code, headers=TOKEN_HEADERS))
    return _token_to_store(token, endpoints, {}), realm_id


def refresh(settings: QuickBooksSettings, token: JsonObject, calls: CallObserver) -> JsonObject:
    """Exchange the refresh token for a new pair; if the reply is lost, the old token may be used again."""
    endpoints = _discover(settings, token, calls)
    session = _session(settings, endpoints, calls)
    exchange, url, old = session.refresh_token, endpoints.token_endpoint, str(token.get("refresh_token", ""))
    new = _request_token(lambda: exchange(url, refresh_token=old, headers=TOKEN_HEADERS))
    return _token_to_store(new, endpoints, token)


def revoke(settings: QuickBooksSettings, token: JsonObject, calls: CallObserver) -> None:
    """Revoke the grant. Intuit takes JSON here, unlike the standard; an unknown token counts as revoked."""
    endpoints = _discover(settings, token, calls)
    session = requests.Session()
    install_transport(session, _service(settings, endpoints), calls, CallKind.TOKEN)
    response = session.post(
        endpoints.revocation_endpoint,
        json={"token": str(token.get("refresh_token", ""))},
        auth=(settings.quickbooks_client_id, settings.quickbooks_client_secret),
        headers={"Accept": "application/json"},
    )
    if response.status_code == requests.codes.unauthorized:
        raise PermanentError(
            "Intuit does not know this app: check QUICKBOOKS_CLIENT_ID and QUICKBOOKS_CLIENT_SECRET",
            code="invalid_client",
        )


def _discover(settings: QuickBooksSettings, token: Mapping[str, Any], calls: CallObserver) -> Endpoints:
    """Return the endpoints; an older document is used if a new one cannot be read."""
    url = settings.quickbooks_discovery_url
    for known in (_discovered.get(url), _endpoints_from_token(token)):
        if known and known.is_fresh(url):
            return known
    try:
        endpoints = _download(settings, calls)
    except ProviderError:
        old = _discovered.get(url) or _endpoints_from_token(token)
        if old is None or old.discovered_from != url:
            raise
        return old
    _discovered[url] = endpoints
    return endpoints


def _download(settings: QuickBooksSettings, calls: CallObserver) -> Endpoints:
    url = settings.quickbooks_discovery_url
    service = Service("Intuit", hosts_of(url), TRACE_HEADER)
    session = requests.Session()
    install_transport(session, service, calls, CallKind.TOKEN, TransportLimits(call_timeout_s=30))
    response = session.get(url, headers={"Accept": "application/json"})
    try:
        endpoints = msgspec.json.decode(require_json(response, service, CallKind.TOKEN), type=Endpoints)
    except msgspec.MsgspecError:
        raise TransientError(
            f"Intuit's discovery document cannot be read (status {response.status_code} from {url});"
            " if you set QUICKBOOKS_DISCOVERY_URL, check it"
        ) from None
    for endpoint in (endpoints.issuer, endpoints.authorization_endpoint, endpoints.token_endpoint):
        _check_same_domain(endpoint, url)
    _check_same_domain(endpoints.revocation_endpoint, url)
    endpoints.discovered_from, endpoints.discovered_at = url, time.time()
    return endpoints


def _check_same_domain(endpoint: str, discovery_url: str) -> None:
    """Raise unless an endpoint, which receives secrets, has the domain and scheme of the document itself."""
    named, document = urlsplit(endpoint), urlsplit(discovery_url)
    same_domain = _domain(named.hostname or "") == _domain(document.hostname or "")
    if not same_domain or named.scheme not in {"https", document.scheme}:
        raise PermanentError(f"the discovery document names a foreign host ({named.hostname}); nothing was sent to it")


def _domain(host: str) -> str:
    return host if host.replace(".", "").isdecimal() else ".".join(host.split(".")[-2:])


def _endpoints_from_token(token: Mapping[str, Any]) -> Endpoints | None:
    try:
        return msgspec.convert(token.get("endpoints"), Endpoints)
    except msgspec.ValidationError:
        return None


def _service(settings: QuickBooksSettings, endpoints: Endpoints) -> Service:
    hosts = hosts_of(settings.quickbooks_discovery_url, endpoints.token_endpoint, endpoints.revocation_endpoint)
    return Service("Intuit", hosts, TRACE_HEADER)


def _session(
    settings: QuickBooksSettings, endpoints: Endpoints, calls: CallObserver, redirect_uri: str | None = None
) -> OAuth2Session:
    session = OAuth2Session(
        settings.quickbooks_client_id,
        settings.quickbooks_client_secret,
        token_endpoint_auth_method="client_secret_basic",  # noqa: S106 - the name of a method
        redirect_uri=redirect_uri,
    )
    install_transport(session, _service(settings, endpoints), calls, CallKind.TOKEN)
    return session


def _request_token(send: Callable[[], JsonObject]) -> JsonObject:
    """Request a token; a failure is classified by what to do about it."""
    try:
        token = dict(send())
    except OAuthError as error:
        raise _token_error(str(error.error or "")) from None  # its description may quote what was sent
    except requests.HTTPError as error:  # a 4xx that is not JSON: the page of a gateway, not a reply of the sign-in
        raise TransientError(f"Intuit replied to the token request with status {error.response.status_code}") from None
    except ValueError:
        raise ambiguous_reply_error(CallKind.TOKEN, "Intuit's reply to the token request is not JSON") from None
    if not token.get("access_token") or not token.get("refresh_token"):
        raise ambiguous_reply_error(CallKind.TOKEN, "Intuit's reply to the token request holds no token")
    return token


def _token_error(error: str) -> ProviderError:
    if error == "invalid_grant":
        return AuthorizationExpired("Intuit no longer accepts this grant: it was revoked, or not used for 100 days")
    if error == "invalid_client":
        return PermanentError(
            "Intuit does not know this app: check QUICKBOOKS_CLIENT_ID and QUICKBOOKS_CLIENT_SECRET", code=error
        )
    return PermanentError(f"Intuit rejected the token request ({clean_code(error)})", code=clean_code(error))


def _token_to_store(token: JsonObject, endpoints: Endpoints, previous: Mapping[str, Any]) -> JsonObject:
    """Return the fields of a token to store, without the id token and other personal data."""
    stored: JsonObject = {name: token[name] for name in (*_STORED_FIELDS, *_STORED_EXPIRY_FIELDS) if name in token}
    stored.setdefault("refresh_token", previous.get("refresh_token"))
    stored["expires_at"] = int(token.get("expires_at") or time.time() + float(token.get("expires_in") or 3600))
    lifetimes = [int(stored[name]) for name in _STORED_EXPIRY_FIELDS if str(stored.get(name)).isdecimal()]
    if lifetimes:  # 100 days that each refresh renews, within the five years of the grant
        stored[GRANT_LIFETIME] = min(lifetimes)
    return {**stored, "endpoints": msgspec.to_builtins(endpoints)}
