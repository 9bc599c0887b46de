"""Sign-in at Xero by Authlib: consent with state and PKCE, the organisations it opened, refresh and revocation."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

import msgspec
import requests
from authlib.common.errors import AuthlibBaseError
from authlib.common.security import generate_token
from authlib.integrations.requests_client import OAuth2Session

from providers.errors import AuthorizationExpired, OutcomeUnknown, PermanentError, TransientError
from providers.http import READ, TOKEN, TransportLimits, install_transport, kind_from_method, require_json
from providers.ledger import CallObserver, CompanyRef, Consent, ConsentRequest, JsonObject
from providers.xero.vendor import CORRELATION_HEADER, vendor

# The granular scopes that apps made since March 2026 must ask for; older apps set XERO_SCOPES.
DEFAULT_SCOPES = (
    "openid profile email offline_access accounting.settings.read accounting.contacts.read"
    " accounting.payments.read accounting.invoices"
)
_VERIFIER_LENGTH = 96  # PKCE allows 43 to 128
_JWT_PARTS = 3


class XeroSettings(Protocol):
    """What is read of the installation's settings."""

    xero_client_id: str
    xero_client_secret: str
    xero_scopes: str
    xero_login_url: str
    xero_identity_url: str
    xero_api_url: str


def begin_consent(settings: XeroSettings, redirect_uri: str) -> ConsentRequest:
    """Make the consent URL; the verifier stays here until the person comes back."""
    verifier = generate_token(_VERIFIER_LENGTH)
    session = OAuth2Session(
        settings.xero_client_id,
        scope=settings.xero_scopes or DEFAULT_SCOPES,
        redirect_uri=redirect_uri,
        code_challenge_method="S256",
    )
    url, state = session.create_authorization_url(
        f"{settings.xero_login_url}/identity/connect/authorize", code_verifier=verifier
    )
    return ConsentRequest(str(url), str(state), verifier)


def finish_consent(
    settings: XeroSettings, redirect_uri: str, redirected_url: str, consent_request: ConsentRequest, calls: CallObserver
) -> Consent:
    """Exchange the code for a token and list the organisations this consent opened."""
    _check_redirect(redirected_url, consent_request.state, settings.xero_identity_url)
    session = _session(settings, calls)
    try:
        token = session.fetch_token(
            _token_url(settings),
            authorization_response=redirected_url,
            state=consent_request.state,
            code_verifier=consent_request.code_verifier,
            redirect_uri=redirect_uri,
        )
    except OutcomeUnknown as error:
        message = "Xero's answer to the sign-in was lost; start the connection again"
        raise TransientError(message, trace_id=error.trace_id) from None
    except (AuthlibBaseError, requests.RequestException, ValueError) as error:
        message = f"Xero refused the sign-in ({_error_code(error)}); start the connection again"
        raise PermanentError(message, code=_error_code(error)) from None
    claims = _claims(str(token.get("access_token", "")))
    event_id = claims.get("authentication_event_id", "")
    companies = _companies(settings, session, token, event_id)
    if event_id and not companies:  # nothing was added by this consent: then all of the grant is meant
        companies = _companies(settings, session, token, "")
    return Consent(dict(token), claims.get("xero_userid") or claims.get("sub") or _fingerprint(token), companies)


def refresh(settings: XeroSettings, token: JsonObject, calls: CallObserver) -> JsonObject:
    """Trade the refresh token for a new pair. A lost answer is asked for again at once with the same, now old, one.

    Xero accepts the old refresh token for 30 minutes after the first use, for exactly this case.
    """
    for _ in range(2):
        try:
            return _refresh_once(settings, token, calls)
        except OutcomeUnknown:
            continue
    message = "Xero's answer to the token refresh was lost twice; the old token stays good for some minutes"
    raise TransientError(message)


def _refresh_once(settings: XeroSettings, token: JsonObject, calls: CallObserver) -> JsonObject:
    # without a scope: a change of XERO_SCOPES must not break the refresh of consents given before it
    session = _session(settings, calls)
    try:
        fresh = session.refresh_token(_token_url(settings), refresh_token=token.get("refresh_token", ""))
    except AuthlibBaseError as error:
        if error.error == "invalid_grant":
            message = "the consent at Xero was revoked, or was not used for 60 days"
            raise AuthorizationExpired(message) from None
        message = (
            f"Xero refused to refresh the token ({_error_code(error)}); check XERO_CLIENT_ID and XERO_CLIENT_SECRET"
        )
        raise PermanentError(message, code=_error_code(error)) from None
    except (requests.RequestException, ValueError):
        message = "Xero's answer to the token refresh could not be read"
        raise OutcomeUnknown(message) from None
    if not fresh.get("access_token"):
        message = "Xero's answer to the token refresh holds no token"
        raise OutcomeUnknown(message)
    return {**token, **fresh}


def revoke(
    settings: XeroSettings, token: JsonObject, company: CompanyRef, calls: CallObserver, *, whole_grant: bool
) -> None:
    """Disconnect one organisation; with ``last`` revoke the whole grant, and with it every organisation of it."""
    session = _session(settings, calls)
    if whole_grant:
        url = f"{settings.xero_identity_url}/connect/revocation"
        response = session.revoke_token(url, token=token.get("refresh_token"), token_type_hint="refresh_token")  # noqa: S106
        gone = response.status_code == requests.codes.ok
    else:
        url = f"{settings.xero_api_url}/connections/{company.remote_connection_id}"
        response = session.delete(url, withhold_token=True, headers=_bearer(token))
        gone = response.status_code in {
            requests.codes.ok,
            requests.codes.no_content,
            requests.codes.unauthorized,
            requests.codes.not_found,
        }
    if not gone:
        message = f"Xero refused the disconnection (status {response.status_code})"
        raise PermanentError(
            message, code=str(response.status_code), trace_id=response.headers.get(CORRELATION_HEADER, "")
        )


def _session(settings: XeroSettings, calls: CallObserver) -> Any:
    """An Authlib session on our transport: client secret where there is one, else PKCE alone."""
    secret = settings.xero_client_secret or None
    session = OAuth2Session(
        settings.xero_client_id,
        secret,
        token_endpoint_auth_method="client_secret_basic" if secret else "none",
        code_challenge_method="S256",
    )
    install_transport(
        session, vendor(settings.xero_identity_url, settings.xero_api_url), calls, _call_kind, TransportLimits()
    )
    return session


def _call_kind(request: requests.PreparedRequest) -> str:
    return TOKEN if urlsplit(str(request.url)).path.startswith("/connect/") else kind_from_method(request)


def _token_url(settings: XeroSettings) -> str:
    return f"{settings.xero_identity_url}/connect/token"


def _check_redirect(redirected_url: str, state: str, issuer: str) -> None:
    query = parse_qs(urlsplit(redirected_url).query)
    if not hmac.compare_digest(query.get("state", [""])[0].encode(), state.encode()):
        message = "This is not the answer to the sign-in that was begun here; start the connection again"
        raise PermanentError(message, code="state")
    if query.get("iss", [issuer])[0].rstrip("/") != issuer:  # RFC 9207: where it is said, it must be this vendor
        message = "This answer is not Xero's; start the connection again"
        raise PermanentError(message, code="iss")
    if error := query.get("error", [""])[0]:
        code = _sanitise(error)
        denied = "access was not granted" if code == "access_denied" else f"Xero answered {code}"
        message = f"The sign-in came to nothing: {denied}"
        raise PermanentError(message, code=code)
    if not query.get("code", [""])[0]:
        message = "The address Xero sent you back to holds no code; copy the whole of it"
        raise PermanentError(message, code="code")


class _Connection(
    msgspec.Struct,
    rename={"id": "id", "tenant_id": "tenantId", "type": "tenantType", "name": "tenantName"},
):
    id: str
    tenant_id: str
    type: str = ""
    name: str | None = None


def _bearer(token: JsonObject) -> dict[str, str]:
    """The header by hand: Authlib would first look whether to refresh, which is done under the grant's lock only."""
    return {"Authorization": f"Bearer {token.get('access_token', '')}"}


def _companies(settings: XeroSettings, session: Any, token: JsonObject, event_id: str) -> tuple[CompanyRef, ...]:
    """The organisations of the consent (or all of the grant); an accountant's practice is no company with books."""
    params = {"authEventId": event_id} if event_id else {}
    url = f"{settings.xero_api_url}/connections"
    response = session.get(url, params=params, withhold_token=True, headers=_bearer(token))
    if response.status_code != requests.codes.ok:
        message = f"Xero would not list the organisations (status {response.status_code})"
        raise PermanentError(
            message, code=str(response.status_code), trace_id=response.headers.get(CORRELATION_HEADER, "")
        )
    body = require_json(response, vendor(settings.xero_api_url), READ)
    try:
        found = msgspec.json.decode(body, type=list[_Connection])
    except msgspec.DecodeError:
        message = "Xero's list of organisations cannot be read"
        raise TransientError(message) from None
    return tuple(
        CompanyRef(one.tenant_id, one.name or one.tenant_id, one.id) for one in found if one.type == "ORGANISATION"
    )


def _claims(access_token: str) -> dict[str, str]:
    """What the token says of itself, unverified: it came straight from Xero over TLS and only names things here."""
    parts = access_token.split(".")
    if len(parts) != _JWT_PARTS:
        return {}
    try:
        claims = msgspec.json.decode(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, msgspec.DecodeError):
        return {}
    return {name: value for name, value in claims.items() if isinstance(value, str)} if isinstance(claims, dict) else {}


def _fingerprint(token: JsonObject) -> str:
    """Name the grant where the token does not name its user."""
    return hashlib.sha256(str(token.get("refresh_token", "")).encode()).hexdigest()[:32]


def _error_code(error: Exception) -> str:
    return _sanitise(str(error.error)) if isinstance(error, AuthlibBaseError) else "an unreadable answer"


def _sanitise(text: str) -> str:
    return "".join(letter for letter in text[:60] if letter.isalnum() or letter in "_-. ")
