"""Single sign-on by OpenID Connect: Google Workspace, Entra, Keycloak and others.

Only invited users can sign in. They are found by their verified email address at first, and by the service's subject
from then on. A response is valid once and only in the browser that asked for it: state, nonce and PKCE verifier are
kept in an encrypted cookie, and a state that was used is remembered. The redirect URI differs from the ledgers', so no
ledger's response is taken for one.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import requests
from authlib.common.errors import AuthlibBaseError
from authlib.common.security import generate_token
from authlib.integrations.requests_client import OAuth2Session
from joserfc import jwt
from joserfc.errors import JoseError
from sqlalchemy import select
from sqlmodel import Session, col

from connector.app_context import AppContext, UncountedCalls
from connector.audit import sync_log
from connector.auth import sessions
from connector.auth.oidc_discovery import LIMITS, SERVICE_NAME, Metadata, OidcError, discover, fetch_keys
from connector.auth.sessions import Browser
from connector.auth.sign_in import check_attempt_limits, record_failure
from connector.auth.single_use import VALID_AT_MOST, use_once
from connector.auth.users import CurrentUser
from connector.db.engine import writing
from connector.db.tables import User
from connector.secrets.keyring import KeyringError
from connector.settings import Settings
from connector.vocabulary import LogKind
from providers.calls import CallKind
from providers.errors import ProviderError
from providers.http import Service, hosts_of, install_transport

CALLBACK_PATH = "/sign-in/sso/callback"
LIFETIME = VALID_AT_MOST
_ALGORITHMS = ["RS256", "PS256", "ES256", "EdDSA"]
_ASSOCIATED_DATA = "single sign-on|v1"
_LEEWAY_SECONDS = 60


class SignInRequest(NamedTuple):
    """Where to send the browser, and the cookie it needs when it comes back."""

    url: str
    cookie: str


class SignInResult(NamedTuple):
    """The new session's token ("" where the user was signed in already), and the page to open next."""

    token: str
    next: str


class _PendingSignIn(NamedTuple):
    state: str
    nonce: str
    verifier: str
    next: str
    user_id: int
    started_at: str


def begin_sign_in(app: AppContext, next_page: str, current_user: CurrentUser | None) -> SignInRequest:
    """Start single sign-on and return where to send the browser; a signed-in user links their account this way."""
    settings = app.settings
    found = discover(settings)
    pending = _PendingSignIn(
        state=generate_token(40),
        nonce=generate_token(40),
        verifier=generate_token(64),
        next=next_page,
        user_id=current_user.id if current_user else 0,
        started_at=app.now().isoformat(),
    )
    session = OAuth2Session(
        settings.oidc_client_id,
        redirect_uri=_redirect_uri(settings),
        scope="openid email",
        code_challenge_method="S256",
    )
    strength = {"acr_values": settings.oidc_acr_values} if settings.oidc_acr_values else {}
    url, _state = session.create_authorization_url(
        found.authorization_endpoint,
        state=pending.state,
        nonce=pending.nonce,
        code_verifier=pending.verifier,
        **strength,
    )
    sealed = app.keyring.encrypt(json.dumps(pending).encode(), _ASSOCIATED_DATA)
    return SignInRequest(str(url), base64.urlsafe_b64encode(sealed).decode())


def finish_sign_in(
    app: AppContext, query: str, cookie: str, current_user: CurrentUser | None, browser: Browser
) -> SignInResult:
    """Finish single sign-on with the service's response, in the browser that asked for it.

    Raises:
        OidcError: the response is not accepted; the message is shown to the user.

    """
    check_attempt_limits(app, browser.address)
    try:
        pending = _open_cookie(app, cookie)
        if pending.user_id != (current_user.id if current_user else 0):
            message = "You signed in or out meanwhile. Start again."
            raise OidcError(message)
        claims = _fetch_claims(app, query, pending)
        return SignInResult(_sign_in(app, pending.state, claims, current_user, browser), pending.next)
    except OidcError:
        record_failure(app, browser.address, "")
        raise


def _sign_in(
    app: AppContext, state: str, claims: dict[str, Any], current_user: CurrentUser | None, browser: Browser
) -> str:
    now, subject = app.now(), f"{claims['iss']}|{claims['sub']}"
    with writing(app.engine) as session:
        if not use_once(session, state, now):  # the service should refuse its code as well
            message = "This sign-in was used already. Start again."
            raise OidcError(message)
        user = session.scalars(select(User).where(col(User.oidc_subject) == subject)).first()
        if current_user is not None:
            if user is not None and user.id != current_user.id:
                message = "That account is linked to another user."
                raise OidcError(message)
            _link_account(session, session.get_one(User, current_user.id), subject, now)
            return ""
        if user is None:
            user = _find_by_email(session, claims)
            _link_account(session, user, subject, now)
        if user.disabled_at is not None:
            raise OidcError(_NOT_INVITED)
        return sessions.begin(session, user, now, browser, by="single sign-on", strong=True)


def _find_by_email(session: Session, claims: dict[str, Any]) -> User:
    """Return the user with the verified email address; an unverified one could be anyone's."""
    address = str(claims.get("email", "")).strip().lower()
    user = session.scalars(select(User).where(col(User.email) == address)).first() if address else None
    if user is None or user.oidc_subject or claims.get("email_verified") is not True:
        raise OidcError(_NOT_INVITED)
    return user


def _link_account(session: Session, user: User, subject: str, now: datetime) -> None:
    user.oidc_subject = subject
    text = f"{user.email} linked their account to single sign-on."
    sync_log.write(session, at=now, kind=LogKind.USER_CHANGED, text=text)


_NOT_INVITED = (
    "No user here has the verified email address of this account. Ask for an invitation. If you have one, use it first,"
    " then link your account on your account page."
)


def _fetch_claims(app: AppContext, query: str, pending: _PendingSignIn) -> dict[str, Any]:
    """Check the response, exchange its code and return the claims of the verified ID token."""
    settings = app.settings
    answer = {name: values[0] for name, values in parse_qs(query).items()}
    found = discover(settings)
    if not hmac.compare_digest(answer.get("state", "").encode(), pending.state.encode()):
        message = "This response belongs to another sign-in. Start again."
        raise OidcError(message)
    if answer.get("iss", found.issuer) != found.issuer:  # RFC 9207: a response of another service mixed in
        message = "This response comes from another single sign-on service."
        raise OidcError(message)
    if "error" in answer or not answer.get("code"):
        message = f"{SERVICE_NAME} refused the sign-in."
        raise OidcError(message)
    session = OAuth2Session(
        settings.oidc_client_id,
        settings.oidc_client_secret or None,
        redirect_uri=_redirect_uri(settings),
        token_endpoint_auth_method="client_secret_basic" if settings.oidc_client_secret else "none",
    )
    install_transport(
        session, Service(SERVICE_NAME, hosts_of(found.token_endpoint)), UncountedCalls(), CallKind.TOKEN, LIMITS
    )
    try:
        token = session.fetch_token(
            found.token_endpoint,
            grant_type="authorization_code",
            code=answer["code"],
            code_verifier=pending.verifier,
        )
        return _verify_id_token(settings, found, str(token.get("id_token", "")), pending, app.now())
    except (
        AuthlibBaseError,
        ProviderError,
        requests.RequestException,
        JoseError,
        ValueError,
        RecursionError,
    ) as problem:
        message = f"The response of {SERVICE_NAME[:1].lower()}{SERVICE_NAME[1:]} could not be verified. Start again."
        raise OidcError(message) from problem


def _verify_id_token(
    settings: Settings, metadata: Metadata, id_token: str, pending: _PendingSignIn, now: datetime
) -> dict[str, Any]:
    token = jwt.decode(id_token, fetch_keys(settings, metadata), algorithms=_ALGORITHMS)
    registry = jwt.JWTClaimsRegistry(
        now=int(now.timestamp()),
        leeway=_LEEWAY_SECONDS,
        iss={"essential": True, "value": metadata.issuer},
        aud={"essential": True, "value": settings.oidc_client_id},
        sub={"essential": True},
        exp={"essential": True},
        nonce={"essential": True, "value": pending.nonce},
    )
    registry.validate(token.claims)
    several = isinstance(token.claims["aud"], list) and len(token.claims["aud"]) > 1
    if token.claims.get("azp", "" if several else settings.oidc_client_id) != settings.oidc_client_id:
        message = "the ID token was issued for another app"
        raise ValueError(message)
    if settings.oidc_acr_values and token.claims.get("acr") not in settings.oidc_acr_values.split():
        message = f"{SERVICE_NAME} did not confirm the kind of sign-in that this installation asks for."
        raise OidcError(message)
    return dict(token.claims)


def _open_cookie(app: AppContext, cookie: str) -> _PendingSignIn:
    try:
        sealed = base64.urlsafe_b64decode(cookie)
        pending = _PendingSignIn(*json.loads(app.keyring.decrypt(sealed, _ASSOCIATED_DATA)))
    except (KeyringError, binascii.Error, ValueError) as problem:
        message = "This sign-in was not started in this browser. Start again."
        raise OidcError(message) from problem
    if app.now() - datetime.fromisoformat(pending.started_at) > LIFETIME:
        message = "This sign-in took too long. Start again."
        raise OidcError(message)
    return pending


def _redirect_uri(settings: Settings) -> str:
    return f"{settings.duewell_base_url}{CALLBACK_PATH}"
