"""Sign-in at Xero with Authlib: consent with state and PKCE, the organisations it covers, refresh and revocation."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Any, Protocol
from urllib.parse import urlsplit

import msgspec
import requests
from authlib.common.errors import AuthlibBaseError
from authlib.common.security import generate_token
from authlib.integrations.requests_client import OAuth2Session

from providers.calls import CallKind, CallObserver
from providers.errors import AuthorizationExpired, OutcomeUnknown, PermanentError, TransientError
from providers.http import TransportLimits, install_transport, kind_from_method, require_json
from providers.ledger import CompanyRef, Consent
from providers.sign_in import ConsentRequest, JsonObject, check_redirect, clean_code
from providers.xero.service import CORRELATION_HEADER, xero_service

# The granular scopes that apps created since March 2026 must request; older apps set XERO_SCOPES.
DEFAULT_SCOPES = (
    "openid profile email offline_access accounting.settings.read accounting.contacts.read"
    " accounting.payments.read accounting.invoices"
)
_VERIFIER_LENGTH = 96  # PKCE allows 43 to 128
_JWT_PARTS = 3


class XeroSettings(Protocol):
    """The settings that are read here."""

    xero_client_id: str
    xero_client_secret: str
    xero_scopes: str
    xero_login_url: str
    xero_identity_url: str
    xero_api_url: str


def begin_consent(settings: XeroSettings, redirect_uri: str) -> ConsentRequest:
    """Build the consent URL; the code verifier is kept until the user is redirected back."""
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
    """Exchange the code for a token and list the organisations that this consent covers."""
    check_redirect(redirected_url, consent_request.state, "Xero", settings.xero_identity_url)
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
        message = "Xero's reply to the sign-in was lost; connect again"
        raise TransientError(message, trace_id=error.trace_id) from None
    except (AuthlibBaseError, requests.RequestException, ValueError) as error:
        message = f"Xero rejected the sign-in ({_error_code(error)}); connect again"
        raise PermanentError(message, code=_error_code(error)) from None
    claims = _claims(str(token.get("access_token", "")))
    event_id = claims.get("authentication_event_id", "")
    companies = _companies(settings, session, token, event_id)
    if event_id and not companies:  # this consent added nothing: list all organisations of the grant
        companies = _companies(settings, session, token, "")
    return Consent(dict(token), claims.get("xero_userid") or claims.get("sub") or _fingerprint(token), companies)


def refresh(settings: XeroSettings, token: JsonObject, calls: CallObserver) -> JsonObject:
    """Exchange the refresh token for a new pair, a second time at once if the reply is lost.

    For exactly this case, Xero accepts the old refresh token for 30 minutes after its first use.
    """
    for _ in range(2):
        try:
            return _refresh_once(settings, token, calls)
        except OutcomeUnknown:
            continue
    message = "Xero's reply to the token refresh was lost twice; the old token stays valid for some minutes"
    raise TransientError(message)


def _refresh_once(settings: XeroSettings, token: JsonObject, calls: CallObserver) -> JsonObject:
    # without a scope, so that a changed XERO_SCOPES does not break the refresh of earlier consents
    session = _session(settings, calls)
    try:
        fresh = session.refresh_token(_token_url(settings), refresh_token=token.get("refresh_token", ""))
    except AuthlibBaseError as error:
        if error.error == "invalid_grant":
            message = "the consent at Xero was revoked, or not used for 60 days"
            raise AuthorizationExpired(message) from None
        message = f"Xero rejected the token refresh ({_error_code(error)}); check XERO_CLIENT_ID and XERO_CLIENT_SECRET"
        raise PermanentError(message, code=_error_code(error)) from None
    except (requests.RequestException, ValueError):
        message = "Xero's reply to the token refresh could not be read"
        raise OutcomeUnknown(message) from None
    if not fresh.get("access_token"):
        message = "Xero's reply to the token refresh holds no token"
        raise OutcomeUnknown(message)
    return {**token, **fresh}


def revoke(
    settings: XeroSettings, token: JsonObject, company: CompanyRef, calls: CallObserver, *, whole_grant: bool
) -> None:
    """Disconnect one organisation, or revoke the whole grant with all its organisations."""
    session = _session(settings, calls)
    if whole_grant:
        url = f"{settings.xero_identity_url}/connect/revocation"
        response = session.revoke_token(url, token=token.get("refresh_token"), token_type_hint="refresh_token")  # noqa: S106
        done = response.status_code == requests.codes.ok
    else:
        url = f"{settings.xero_api_url}/connections/{company.remote_connection_id}"
        response = session.delete(url, withhold_token=True, headers=_bearer(token))
        done = response.status_code in {
            requests.codes.ok,
            requests.codes.no_content,
            requests.codes.unauthorized,
            requests.codes.not_found,
        }
    if not done:
        message = f"Xero rejected the disconnection (status {response.status_code})"
        raise PermanentError(
            message, code=str(response.status_code), trace_id=response.headers.get(CORRELATION_HEADER, "")
        )


def _session(settings: XeroSettings, calls: CallObserver) -> Any:
    """Return an Authlib session on our transport, with the client secret if there is one, else with PKCE alone."""
    secret = settings.xero_client_secret or None
    session = OAuth2Session(
        settings.xero_client_id,
        secret,
        token_endpoint_auth_method="client_secret_basic" if secret else "none",
        code_challenge_method="S256",
    )
    install_transport(
        session, xero_service(settings.xero_identity_url, settings.xero_api_url), calls, _call_kind, TransportLimits()
    )
    return session


def _call_kind(request: requests.PreparedRequest) -> CallKind:
    return CallKind.TOKEN if urlsplit(str(request.url)).path.startswith("/connect/") else kind_from_method(request)


def _token_url(settings: XeroSettings) -> str:
    return f"{settings.xero_identity_url}/connect/token"


class _Connection(
    msgspec.Struct,
    rename={"id": "id", "tenant_id": "tenantId", "type": "tenantType", "name": "tenantName"},
):
    id: str
    tenant_id: str
    type: str = ""
    name: str | None = None


def _bearer(token: JsonObject) -> dict[str, str]:
    """Return the authorisation header: Authlib would try to refresh first, which needs the grant's lock."""
    return {"Authorization": f"Bearer {token.get('access_token', '')}"}


def _companies(settings: XeroSettings, session: Any, token: JsonObject, event_id: str) -> tuple[CompanyRef, ...]:
    """Return the organisations of the consent, or of the whole grant; accountants' practices have no ledger."""
    params = {"authEventId": event_id} if event_id else {}
    url = f"{settings.xero_api_url}/connections"
    response = session.get(url, params=params, withhold_token=True, headers=_bearer(token))
    if response.status_code != requests.codes.ok:
        message = f"Xero did not list the organisations (status {response.status_code})"
        raise PermanentError(
            message, code=str(response.status_code), trace_id=response.headers.get(CORRELATION_HEADER, "")
        )
    body = require_json(response, xero_service(settings.xero_api_url), CallKind.READ)
    try:
        found = msgspec.json.decode(body, type=list[_Connection])
    except msgspec.DecodeError:
        message = "Xero's list of organisations cannot be read"
        raise TransientError(message) from None
    return tuple(
        CompanyRef(one.tenant_id, one.name or one.tenant_id, one.id) for one in found if one.type == "ORGANISATION"
    )


def _claims(access_token: str) -> dict[str, str]:
    """Return the token's claims, unverified: it came directly from Xero over TLS, and they are only used as names."""
    parts = access_token.split(".")
    if len(parts) != _JWT_PARTS:
        return {}
    try:
        claims = msgspec.json.decode(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, msgspec.DecodeError):
        return {}
    return {name: value for name, value in claims.items() if isinstance(value, str)} if isinstance(claims, dict) else {}


def _fingerprint(token: JsonObject) -> str:
    """Return a name for the grant, for a token that does not name its user."""
    return hashlib.sha256(str(token.get("refresh_token", "")).encode()).hexdigest()[:32]


def _error_code(error: Exception) -> str:
    return clean_code(str(error.error)) if isinstance(error, AuthlibBaseError) else "an unreadable reply"
