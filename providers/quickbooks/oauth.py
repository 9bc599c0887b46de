"""Intuit's sign-in: discovery document, consent, exchange, refresh, revocation; the protocol is Authlib's.

The discovery document is read once a day: kept in this process, and within the token for the processes to come.
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

from providers.errors import AuthorizationExpired, PermanentError, ProviderError, TransientError
from providers.http import (
    TOKEN,
    TransportLimits,
    Vendor,
    ambiguous_reply_error,
    hosts_of,
    install_transport,
    require_json,
)
from providers.ledger import CallObserver, ConsentRequest, JsonObject
from providers.quickbooks.faults import TRACE_HEADER

SCOPES: Final = "com.intuit.quickbooks.accounting"  # no more: who the person is does not matter here
TOKEN_HEADERS: Final = {
    "Accept": "application/json",
    "Content-Type": "application/x-www-form-urlencoded;charset=UTF-8",
    "x-include-refresh-token-hard-expires-in": "true",  # asks when the five years of a grant end
}
DAY_S: Final = 86_400
_STORED_FIELDS: Final = ("token_type", "access_token", "refresh_token", "expires_in", "expires_at")
_STORED_EXPIRY_FIELDS: Final = ("x_refresh_token_expires_in", "x_refresh_token_hard_expires_in")


class Settings(Protocol):
    """The settings read here."""

    @property
    def quickbooks_client_id(self) -> str:
        """Of the user's own Intuit app."""
        ...

    @property
    def quickbooks_client_secret(self) -> str:
        """Of the user's own Intuit app."""
        ...

    @property
    def quickbooks_discovery_url(self) -> str:
        """Where Intuit says which addresses to use."""
        ...


class Endpoints(Struct):
    """What is needed of the discovery document, where it came from and when (Unix seconds)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    revocation_endpoint: str
    discovered_from: str = ""
    discovered_at: float = 0.0

    def is_fresh(self, url: str) -> bool:
        """Whether this is of that address and less than a day old."""
        return self.discovered_from == url and 0 <= time.time() - self.discovered_at < DAY_S


class _NoCalls:
    """Counts nothing: a consent URL is made before there is anything to count for."""

    def before(self, kind: str) -> None: ...
    def after(self, kind: str, status: int, headers: Mapping[str, str]) -> None: ...


_discovered: dict[str, Endpoints] = {}


def begin_consent(settings: Settings, redirect_uri: str) -> ConsentRequest:
    """Make the consent URL."""
    endpoints = _discover(settings, {}, _NoCalls())
    session = _session(settings, endpoints, _NoCalls(), redirect_uri=redirect_uri)
    url, state = session.create_authorization_url(endpoints.authorization_endpoint, scope=SCOPES)
    return ConsentRequest(url, state)


def finish_consent(
    settings: Settings, redirect_uri: str, redirected_url: str, consent_request: ConsentRequest, calls: CallObserver
) -> tuple[JsonObject, str]:
    """Exchange the code that came back; returns the token and the company's realm id."""
    answer = {name: values[0] for name, values in parse_qs(urlsplit(redirected_url).query).items()}
    if not hmac.compare_digest(answer.get("state", "").encode(), consent_request.state.encode()):
        raise PermanentError("the answer does not belong to this consent (its state differs)", code="state")
    if "error" in answer:
        raise PermanentError(
            f"Intuit answered {_sanitise(answer['error'])!r} instead of a grant", code=_sanitise(answer["error"])
        )
    realm_id, code = answer.get("realmId", ""), answer.get("code", "")
    if not code or not realm_id.isdecimal():
        raise PermanentError("the answer names no company (realmId) or holds no code", code="realm")
    endpoints = _discover(settings, {}, calls)
    if answer.get("iss", endpoints.issuer) != endpoints.issuer:  # RFC 9207: where it is said, it must be this vendor
        raise PermanentError("the answer is not Intuit's", code="iss")
    session = _session(settings, endpoints, calls, redirect_uri=redirect_uri)
    fetch, url = session.fetch_token, endpoints.token_endpoint
    token = _request_token(lambda: fetch(url, grant_type="authorization_code", code=code, headers=TOKEN_HEADERS))
    return _token_to_store(token, endpoints, {}), realm_id


def refresh(settings: Settings, token: JsonObject, calls: CallObserver) -> JsonObject:
    """Trade the refresh token for a fresh pair; where the answer is lost, the old one may be tried again."""
    endpoints = _discover(settings, token, calls)
    session = _session(settings, endpoints, calls)
    trade, url, old = session.refresh_token, endpoints.token_endpoint, str(token.get("refresh_token", ""))
    fresh = _request_token(lambda: trade(url, refresh_token=old, headers=TOKEN_HEADERS))
    return _token_to_store(fresh, endpoints, token)


def revoke(settings: Settings, token: JsonObject, calls: CallObserver) -> None:
    """End the grant. Intuit takes JSON here, unlike the standard; a token it does not know is as good as revoked."""
    endpoints = _discover(settings, token, calls)
    session = requests.Session()
    install_transport(session, _vendor(settings, endpoints), calls, TOKEN)
    response = session.post(
        endpoints.revocation_endpoint,
        json={"token": str(token.get("refresh_token", ""))},
        auth=(settings.quickbooks_client_id, settings.quickbooks_client_secret),
        headers={"Accept": "application/json"},
    )
    if response.status_code == requests.codes.unauthorized:
        raise PermanentError("Intuit does not know this app (client id and secret)", code="invalid_client")


def _discover(settings: Settings, token: Mapping[str, Any], calls: CallObserver) -> Endpoints:
    """The endpoints; a document of yesterday serves where today's cannot be had."""
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


def _download(settings: Settings, calls: CallObserver) -> Endpoints:
    url = settings.quickbooks_discovery_url
    vendor = Vendor("Intuit", hosts_of(url), TRACE_HEADER)
    session = requests.Session()
    install_transport(session, vendor, calls, TOKEN, TransportLimits(call_timeout_s=30))
    response = session.get(url, headers={"Accept": "application/json"})
    try:
        endpoints = msgspec.json.decode(require_json(response, vendor, TOKEN), type=Endpoints)
    except msgspec.MsgspecError:
        raise TransientError(f"Intuit's discovery document cannot be read (status {response.status_code})") from None
    for one in (endpoints.issuer, endpoints.authorization_endpoint, endpoints.token_endpoint):
        _check_same_domain(one, url)
    _check_same_domain(endpoints.revocation_endpoint, url)
    endpoints.discovered_from, endpoints.discovered_at = url, time.time()
    return endpoints


def _check_same_domain(endpoint: str, discovery_url: str) -> None:
    """Secrets are sent to these addresses: they must be of the same domain and scheme as the document itself."""
    theirs, ours = urlsplit(endpoint), urlsplit(discovery_url)
    same_domain = _domain(theirs.hostname or "") == _domain(ours.hostname or "")
    if not same_domain or theirs.scheme not in {"https", ours.scheme}:
        raise PermanentError(
            f"the discovery document names a strange address ({theirs.hostname}); nothing was sent to it"
        )


def _domain(host: str) -> str:
    return host if host.replace(".", "").isdecimal() else ".".join(host.split(".")[-2:])


def _endpoints_from_token(token: Mapping[str, Any]) -> Endpoints | None:
    try:
        return msgspec.convert(token.get("endpoints"), Endpoints)
    except msgspec.ValidationError:
        return None


def _vendor(settings: Settings, endpoints: Endpoints) -> Vendor:
    hosts = hosts_of(settings.quickbooks_discovery_url, endpoints.token_endpoint, endpoints.revocation_endpoint)
    return Vendor("Intuit", hosts, TRACE_HEADER)


def _session(
    settings: Settings, endpoints: Endpoints, calls: CallObserver, redirect_uri: str | None = None
) -> OAuth2Session:
    session = OAuth2Session(
        settings.quickbooks_client_id,
        settings.quickbooks_client_secret,
        token_endpoint_auth_method="client_secret_basic",  # noqa: S106 - the name of a method
        redirect_uri=redirect_uri,
    )
    install_transport(session, _vendor(settings, endpoints), calls, TOKEN)
    return session


def _request_token(send: Callable[[], JsonObject]) -> JsonObject:
    """Ask for a token; the ways of not getting one, told apart by what to do."""
    try:
        token = dict(send())
    except OAuthError as error:
        raise _token_error(str(error.error or "")) from None  # its description may quote what was sent
    except requests.HTTPError as error:  # a 4xx that is no JSON: a gateway's page, not the sign-in's word
        raise TransientError(f"Intuit answered the token call with status {error.response.status_code}") from None
    except ValueError:
        raise ambiguous_reply_error(TOKEN, "Intuit answered the token call with something that is not JSON") from None
    if not token.get("access_token") or not token.get("refresh_token"):
        raise ambiguous_reply_error(TOKEN, "Intuit's answer to the token call holds no token")
    return token


def _token_error(error: str) -> ProviderError:
    if error == "invalid_grant":
        return AuthorizationExpired("Intuit no longer accepts this grant: it was withdrawn, or not used for 100 days")
    if error == "invalid_client":
        return PermanentError("Intuit does not know this app: look at QUICKBOOKS_CLIENT_ID and its secret", code=error)
    return PermanentError(f"Intuit refused the token call ({_sanitise(error)})", code=_sanitise(error))


def _token_to_store(token: JsonObject, endpoints: Endpoints, previous: Mapping[str, Any]) -> JsonObject:
    """What is worth keeping of a token; the id token and other personal data are not."""
    kept: JsonObject = {name: token[name] for name in (*_STORED_FIELDS, *_STORED_EXPIRY_FIELDS) if name in token}
    kept.setdefault("refresh_token", previous.get("refresh_token"))
    kept["expires_at"] = int(token.get("expires_at") or time.time() + float(token.get("expires_in") or 3600))
    return {**kept, "endpoints": msgspec.to_builtins(endpoints)}


def _sanitise(text: str) -> str:
    return "".join(letter for letter in text[:60] if letter.isalnum() or letter in "_-. ")
