"""Sign-in at Microsoft with Authlib: consent with state and PKCE, the mailbox's address, and refresh."""

from __future__ import annotations

from typing import Any, Final, Protocol

import msgspec
import requests
from authlib.common.errors import AuthlibBaseError
from authlib.common.security import generate_token
from authlib.integrations.requests_client import OAuth2Session

from providers.calls import CallKind, CallObserver
from providers.errors import AuthorizationExpired, OutcomeUnknown, PermanentError, TransientError
from providers.http import TransportLimits, install_transport, require_json
from providers.mailbox import MailboxConsent
from providers.microsoft365.service import TRACE_HEADER, microsoft_service
from providers.sign_in import ConsentRequest, JsonObject, check_redirect, clean_code

NEEDED_SCOPES: Final = ("Mail.Send", "Mail.Read")
SCOPES: Final = f"offline_access User.Read {' '.join(NEEDED_SCOPES)}"
_VERIFIER_LENGTH = 96  # PKCE allows 43 to 128
# What only a new consent helps against; all other errors are about the app, or pass.
_GRANT_IS_DEAD: Final = frozenset({"invalid_grant", "interaction_required", "consent_required", "login_required"})


class Microsoft365Settings(Protocol):
    """The settings that are read here."""

    microsoft365_client_id: str
    microsoft365_client_secret: str
    microsoft365_tenant: str
    microsoft365_login_url: str
    microsoft365_api_url: str
    mail_from: str


class _Account(msgspec.Struct, rename={"upn": "userPrincipalName"}):
    id: str
    mail: str | None = None
    upn: str | None = None


def begin_consent(settings: Microsoft365Settings, redirect_uri: str) -> ConsentRequest:
    """Build the consent URL; the code verifier is kept until the user is redirected back.

    The account is always chosen: a browser is often signed in with another one than the mailbox's.
    """
    verifier = generate_token(_VERIFIER_LENGTH)
    session = OAuth2Session(
        settings.microsoft365_client_id, scope=SCOPES, redirect_uri=redirect_uri, code_challenge_method="S256"
    )
    url, state = session.create_authorization_url(
        _endpoint(settings, "authorize"), code_verifier=verifier, response_mode="query", prompt="select_account"
    )
    return ConsentRequest(str(url), str(state), verifier)


def finish_consent(
    settings: Microsoft365Settings,
    redirect_uri: str,
    redirected_url: str,
    consent_request: ConsentRequest,
    calls: CallObserver,
) -> MailboxConsent:
    """Exchange the code for a token that covers what is needed, and read the mailbox's address."""
    check_redirect(redirected_url, consent_request.state, "Microsoft")
    session = _session(settings, calls)
    try:
        token = session.fetch_token(
            _endpoint(settings, "token"),
            authorization_response=redirected_url,
            state=consent_request.state,
            code_verifier=consent_request.code_verifier,
            redirect_uri=redirect_uri,
        )
    except OutcomeUnknown as error:
        message = "Microsoft's reply to the sign-in was lost; connect again"
        raise TransientError(message, trace_id=error.trace_id) from None
    except (AuthlibBaseError, requests.RequestException, ValueError) as error:
        message = f"Microsoft rejected the sign-in ({_error_code(error)}); connect again"
        raise PermanentError(message, code=_error_code(error)) from None
    _check_scopes(token)
    account = _read_account(settings, session, token)
    return MailboxConsent(dict(token), account.id, (account.mail or account.upn or "").strip())


def refresh(settings: Microsoft365Settings, token: JsonObject, calls: CallObserver) -> JsonObject:
    """Exchange the refresh token for a new pair; the old one stays valid, so a lost reply loses nothing."""
    session = _session(settings, calls)
    try:
        fresh = session.refresh_token(_endpoint(settings, "token"), refresh_token=token.get("refresh_token", ""))
    except AuthlibBaseError as error:
        code = _error_code(error)
        if error.error in _GRANT_IS_DEAD:
            message = f"the consent was revoked, has expired, or needs another sign-in ({code})"
            raise AuthorizationExpired(message) from None
        message = (
            f"Microsoft rejected the token refresh ({code}); check MICROSOFT365_CLIENT_ID and"
            " MICROSOFT365_CLIENT_SECRET: a secret expires after two years at the latest"
        )
        raise PermanentError(message, code=code) from None
    except (requests.RequestException, ValueError):
        message = "Microsoft's reply to the token refresh could not be read"
        raise OutcomeUnknown(message) from None
    if not fresh.get("access_token"):
        message = "Microsoft's reply to the token refresh holds no token"
        raise OutcomeUnknown(message)
    return {**token, **fresh}


def _session(settings: Microsoft365Settings, calls: CallObserver) -> Any:
    """Return an Authlib session on our transport, with the client secret if there is one, else with PKCE alone."""
    secret = settings.microsoft365_client_secret or None
    session = OAuth2Session(
        settings.microsoft365_client_id,
        secret,
        scope=SCOPES,
        token_endpoint_auth_method="client_secret_post" if secret else "none",
        code_challenge_method="S256",
    )
    service = microsoft_service(settings.microsoft365_login_url, settings.microsoft365_api_url)
    install_transport(session, service, calls, _call_kind, TransportLimits())
    return session


def _call_kind(request: requests.PreparedRequest) -> CallKind:
    return CallKind.TOKEN if request.method == "POST" else CallKind.READ


def _endpoint(settings: Microsoft365Settings, name: str) -> str:
    return f"{settings.microsoft365_login_url}/{settings.microsoft365_tenant}/oauth2/v2.0/{name}"


def _check_scopes(token: JsonObject) -> None:
    """Refuse a consent without a scope that is needed: an administrator may have granted some of them only."""
    granted = {each.rpartition("/")[2].lower() for each in str(token.get("scope", "")).split()}
    if missing := [each for each in NEEDED_SCOPES if each.lower() not in granted]:
        message = f"Microsoft did not grant {' and '.join(missing)}; add it to the app's permissions and connect again"
        raise PermanentError(message, code="scope")
    if not token.get("refresh_token"):
        message = "Microsoft granted no lasting access (offline_access); add it to the app's permissions"
        raise PermanentError(message, code="scope")


def _read_account(settings: Microsoft365Settings, session: Any, token: JsonObject) -> _Account:
    """Read who signed in. The header is our own: Authlib would try to refresh first, which needs the grant's lock."""
    response = session.get(
        f"{settings.microsoft365_api_url}/v1.0/me",
        params={"$select": "id,mail,userPrincipalName"},
        withhold_token=True,
        headers={"Authorization": f"Bearer {token.get('access_token', '')}"},
    )
    if response.status_code != requests.codes.ok:
        message = f"Microsoft did not tell whose mailbox it is (status {response.status_code})"
        raise PermanentError(message, trace_id=response.headers.get(TRACE_HEADER, ""))
    body = require_json(response, microsoft_service(settings.microsoft365_api_url), CallKind.READ)
    try:
        account = msgspec.json.decode(body, type=_Account)
    except msgspec.DecodeError:
        message = "Microsoft's reply about the account cannot be read"
        raise TransientError(message) from None
    if "@" not in (account.mail or account.upn or ""):
        message = "This account has no mailbox; sign in with one that has"
        raise PermanentError(message, code="mailbox")
    return account


def _error_code(error: Exception) -> str:
    """Return Microsoft's code with its number (AADSTS…), by which administrators find what is wrong."""
    if not isinstance(error, AuthlibBaseError):
        return "an unreadable reply"
    number = str(error.description or "").partition(":")[0]
    parts = [clean_code(str(error.error)), clean_code(number) if number.startswith("AADSTS") else ""]
    return " ".join(filter(None, parts))
