"""Sign-in at Google with Authlib: consent with state and PKCE, tokens, and their revocation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import requests
from authlib.common.errors import AuthlibBaseError
from authlib.common.security import generate_token
from authlib.integrations.requests_client import OAuth2Session

from providers.calls import CallKind, CallObserver
from providers.errors import AuthorizationExpired, OutcomeUnknown, PermanentError, TransientError
from providers.gmail.client import Client
from providers.http import Service, hosts_of, install_transport
from providers.mailbox import MailboxConsent
from providers.sign_in import GRANT_LIFETIME, AccessToken, ConsentRequest, JsonObject, check_redirect, clean_code

if TYPE_CHECKING:
    from providers.gmail import GmailSettings

_PREFIX: Final = "https://www.googleapis.com/auth/"
SEND_SCOPE: Final = f"{_PREFIX}gmail.send"
READ_SCOPE: Final = f"{_PREFIX}gmail.readonly"  # the least that reads the text of an answer; gmail.metadata does not
SCOPES: Final = (SEND_SCOPE, READ_SCOPE)
ISSUER: Final = "https://accounts.google.com"
_TICKED: Final = {SEND_SCOPE: "Send email on your behalf", READ_SCOPE: "View your email messages and settings"}
_REFRESH_LIFETIME: Final = "refresh_token_expires_in"  # only while the app's publishing status is "Testing"
_VERIFIER_LENGTH = 96  # PKCE allows 43 to 128
_INVALID_GRANT = (
    "the access was revoked, the password of the account was changed, or it was not used for six months; if it ends"
    " every seven days, the Google Cloud app is still in status Testing: publish it"
)


def begin_consent(settings: GmailSettings, redirect_uri: str) -> ConsentRequest:
    """Build the consent URL. Without ``prompt=consent`` Google would issue a refresh token the first time only."""
    verifier = generate_token(_VERIFIER_LENGTH)
    session = OAuth2Session(
        settings.gmail_client_id, scope=" ".join(SCOPES), redirect_uri=redirect_uri, code_challenge_method="S256"
    )
    url, state = session.create_authorization_url(
        f"{settings.gmail_login_url}/o/oauth2/v2/auth",
        code_verifier=verifier,
        access_type="offline",
        prompt="select_account consent",
    )
    return ConsentRequest(str(url), str(state), verifier)


def finish_consent(
    settings: GmailSettings,
    redirect_uri: str,
    redirected_url: str,
    consent_request: ConsentRequest,
    calls: CallObserver,
) -> MailboxConsent:
    """Exchange the code for a token, and read the mailbox's address. Each permission may have been unticked."""
    check_redirect(redirected_url, consent_request.state, "Google", ISSUER)
    session = _session(settings, calls)
    try:
        token = session.fetch_token(
            f"{settings.gmail_identity_url}/token",
            authorization_response=redirected_url,
            state=consent_request.state,
            code_verifier=consent_request.code_verifier,
            redirect_uri=redirect_uri,
        )
    except OutcomeUnknown as error:
        message = "Google's reply to the sign-in was lost; connect again"
        raise TransientError(message, trace_id=error.trace_id) from None
    except (AuthlibBaseError, requests.RequestException, ValueError) as error:
        message = f"Google rejected the sign-in ({_error_code(error)}); connect again"
        raise PermanentError(message, code=_error_code(error)) from None
    _check_token(token)
    address = read_address(settings, dict(token), calls)
    return MailboxConsent(_with_lifetime(dict(token)), address.lower(), address)


def read_address(settings: GmailSettings, token: JsonObject, calls: CallObserver) -> str:
    """Return the address of the account that a token is of."""
    return Client(settings.gmail_api_url, _fixed_token(str(token["access_token"])), calls).profile().email_address


def refresh(settings: GmailSettings, token: JsonObject, calls: CallObserver) -> JsonObject:
    """Exchange the refresh token, which stays the same, for a new access token; after a lost reply the next try works.

    Raises:
        AuthorizationExpired: the grant is dead (``invalid_grant``).
        TransientError: it may work later.
        PermanentError: the app's id or secret is wrong.
    """
    session = _session(settings, calls)
    try:
        fresh = session.refresh_token(
            f"{settings.gmail_identity_url}/token", refresh_token=token.get("refresh_token", "")
        )
    except AuthlibBaseError as error:
        if error.error == "invalid_grant":
            raise AuthorizationExpired(_INVALID_GRANT) from None
        message = f"Google rejected the token refresh ({_error_code(error)}); check GMAIL_CLIENT_ID and its secret"
        raise PermanentError(message, code=_error_code(error)) from None
    except (OutcomeUnknown, requests.RequestException, ValueError):
        message = "Google's reply to the token refresh was lost; the refresh token stays valid"
        raise TransientError(message) from None
    if not fresh.get("access_token"):
        message = "Google's reply to the token refresh holds no token"
        raise TransientError(message)
    kept = {name: value for name, value in token.items() if name not in {GRANT_LIFETIME, _REFRESH_LIFETIME}}
    return _with_lifetime({**kept, **fresh})


def revoke(settings: GmailSettings, token: JsonObject, calls: CallObserver) -> None:
    """Revoke all access of this app to the account, whichever token is named. No failure if it was revoked before."""
    response = _session(settings, calls).post(
        f"{settings.gmail_identity_url}/revoke", data={"token": token.get("refresh_token", "")}, withhold_token=True
    )
    if response.status_code not in {requests.codes.ok, requests.codes.bad_request}:
        message = f"Google rejected the end of the access (status {response.status_code})"
        raise PermanentError(message, code=str(response.status_code))


def _session(settings: GmailSettings, calls: CallObserver) -> Any:
    session = OAuth2Session(
        settings.gmail_client_id,
        settings.gmail_client_secret,
        token_endpoint_auth_method="client_secret_post",  # noqa: S106 - a method's name
        code_challenge_method="S256",
    )
    install_transport(session, Service("Google", hosts_of(settings.gmail_identity_url)), calls, CallKind.TOKEN)
    return session


def _check_token(token: JsonObject) -> None:
    """Raise where a permission was unticked, or where there is no lasting access."""
    granted = set(str(token.get("scope", "")).split())
    lacking = [words for scope, words in _TICKED.items() if scope not in granted]
    if lacking:
        boxes = " and ".join(f"“{words}”" for words in lacking)
        message = f"Connect again and tick every box on Google's page: {boxes} was left out"
        raise PermanentError(message, code="scope")
    if not token.get("refresh_token"):
        message = "Google issued no refresh token; connect again"
        raise PermanentError(message, code="refresh_token")


def _with_lifetime(token: JsonObject) -> JsonObject:
    """Return a token that says how long its grant lives, where Google does."""
    life = token.get(_REFRESH_LIFETIME)
    return token | {GRANT_LIFETIME: life} if isinstance(life, int) else token


def _fixed_token(value: str) -> AccessToken:
    def access_token(*, rejected_token: str | None = None) -> str:
        del rejected_token
        return value

    return access_token


def _error_code(error: Exception) -> str:
    return clean_code(str(error.error)) if isinstance(error, AuthlibBaseError) else "an unreadable reply"
