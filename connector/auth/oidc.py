"""Signing in by way of a team's own sign-in service, by OpenID Connect: Google Workspace, Entra, Keycloak and others.

Only people who were added here come in, found by the address that the service has verified, and from then on by the
service's own name for them. Its answer counts in the browser that asked, once: for that, state, nonce and PKCE
verifier wait sealed in a cookie. It comes back to an address of its own, so no ledger's answer is taken for it.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import requests
from authlib.common.errors import AuthlibBaseError
from authlib.common.security import generate_token
from authlib.integrations.requests_client import OAuth2Session
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from sqlalchemy import select
from sqlmodel import Session, col

from connector.app_context import AppContext, UncountedCalls
from connector.audit import sync_log
from connector.auth import sessions
from connector.auth.sessions import Browser
from connector.auth.sign_in import SignInError, check_attempt_limits, record_failure
from connector.auth.users import CurrentUser
from connector.db.engine import writing
from connector.db.tables import User
from connector.secrets.keyring import KeyringError
from connector.settings import Settings
from connector.vocabulary import LogKind
from providers.calls import CallKind
from providers.errors import ProviderError
from providers.http import Service, TransportLimits, hosts_of, install_transport, require_json

CALLBACK_PATH = "/sign-in/sso/back"
LIFETIME = timedelta(minutes=10)
_ALGORITHMS = ["RS256", "PS256", "ES256", "EdDSA"]
_ASSOCIATED_DATA = "sign-in by way of a team's service|v1"
_SERVICE_NAME = "The sign-in service"
_LIMITS = TransportLimits(call_timeout_s=20, attempts_max=1)
_LEEWAY_SECONDS = 60


class OidcError(SignInError):
    """Nobody was let in by the sign-in service; ``str()`` says why."""


class SignInRequest(NamedTuple):
    """Where to send the browser, and what its cookie must hold until it comes back."""

    url: str
    cookie: str


class SignInResult(NamedTuple):
    """Who has come back: his session's token, "" where he had one, and the page he wanted."""

    token: str
    next: str


class _PendingSignIn(NamedTuple):
    state: str
    nonce: str
    verifier: str
    next: str
    user_id: int
    begun_at: str


def service_host(settings: Settings) -> str:
    """Name the sign-in service, for a button; "" where none is set up."""
    return urlsplit(settings.oidc_issuer).hostname or "" if settings.oidc_issuer and settings.oidc_client_id else ""


def begin_sign_in(app: AppContext, next_page: str, current_user: CurrentUser | None) -> SignInRequest:
    """Begin: say where to send the browser. Somebody who is signed in already ties his account to the service's."""
    settings = app.settings
    found = _discover(settings)
    waiting = _PendingSignIn(
        state=generate_token(40),
        nonce=generate_token(40),
        verifier=generate_token(64),
        next=next_page,
        user_id=current_user.id if current_user else 0,
        begun_at=app.now().isoformat(),
    )
    session = OAuth2Session(
        settings.oidc_client_id,
        redirect_uri=_redirect_uri(settings),
        scope="openid email",
        code_challenge_method="S256",
    )
    url, _state = session.create_authorization_url(
        found["authorization_endpoint"], state=waiting.state, nonce=waiting.nonce, code_verifier=waiting.verifier
    )
    sealed = app.keyring.encrypt(json.dumps(waiting).encode(), _ASSOCIATED_DATA)
    return SignInRequest(str(url), base64.urlsafe_b64encode(sealed).decode())


def finish_sign_in(
    app: AppContext, query: str, cookie: str, current_user: CurrentUser | None, browser: Browser
) -> SignInResult:
    """Take the service's answer, in the browser that asked for it. Raises ``OidcError`` with words for the page."""
    check_attempt_limits(app, browser.address)
    try:
        waiting = _open_cookie(app, cookie)
        if waiting.user_id != (current_user.id if current_user else 0):
            message = "You signed in or out meanwhile. Begin again."
            raise OidcError(message)
        claims = _fetch_claims(app, query, waiting)
        return SignInResult(_sign_in(app, claims, current_user, browser), waiting.next)
    except OidcError:
        record_failure(app, browser.address, "")
        raise


def _sign_in(app: AppContext, claims: dict[str, Any], current_user: CurrentUser | None, browser: Browser) -> str:
    now, subject = app.now(), f"{claims['iss']}|{claims['sub']}"
    with writing(app.engine) as session:
        user = session.scalars(select(User).where(col(User.oidc_subject) == subject)).first()
        if current_user is not None:
            if user is not None and user.id != current_user.id:
                message = "Somebody else here signs in by that account."
                raise OidcError(message)
            _link_account(session, session.get_one(User, current_user.id), subject, now)
            return ""
        if user is None:
            user = _find_by_email(session, claims)
            _link_account(session, user, subject, now)
        if user.disabled_at is not None:
            raise OidcError(_NOT_INVITED)
        return sessions.begin(session, user, now, browser, by="the team's service", strong=True)


def _find_by_email(session: Session, claims: dict[str, Any]) -> User:
    """Find the user of the verified address: an address that anybody could have typed in lets nobody in."""
    address = str(claims.get("email", "")).strip().lower()
    user = session.scalars(select(User).where(col(User.email) == address)).first() if address else None
    if user is None or user.oidc_subject or claims.get("email_verified") is not True:
        raise OidcError(_NOT_INVITED)
    return user


def _link_account(session: Session, user: User, subject: str, now: datetime) -> None:
    user.oidc_subject = subject
    text = f"{user.email} signs in by way of the team's sign-in service from now on."
    sync_log.write(session, at=now, kind=LogKind.USER_CHANGED, text=text)


_NOT_INVITED = (
    "Nobody was added here whom the sign-in service vouches for. Ask for an invitation; if you have one, sign in by it"
    " first, and then by way of your account's page."
)


def _fetch_claims(app: AppContext, query: str, pending: _PendingSignIn) -> dict[str, Any]:
    """Check the answer and exchange its code; returns what the id token says, once everything about it is checked."""
    settings = app.settings
    answer = {name: values[0] for name, values in parse_qs(query).items()}
    found = _discover(settings)
    if not hmac.compare_digest(answer.get("state", "").encode(), pending.state.encode()):
        message = "This answer belongs to another sign-in. Begin again."
        raise OidcError(message)
    if answer.get("iss", found["issuer"]) != found["issuer"]:  # RFC 9207: another service's answer mixed in
        message = "This answer comes from another sign-in service."
        raise OidcError(message)
    if "error" in answer or not answer.get("code"):
        message = f"{_SERVICE_NAME} let nobody in."
        raise OidcError(message)
    session = OAuth2Session(
        settings.oidc_client_id,
        settings.oidc_client_secret or None,
        redirect_uri=_redirect_uri(settings),
        token_endpoint_auth_method="client_secret_basic" if settings.oidc_client_secret else "none",
    )
    install_transport(session, _token_vendor(found), UncountedCalls(), CallKind.TOKEN, _LIMITS)
    try:
        token = session.fetch_token(
            found["token_endpoint"],
            grant_type="authorization_code",
            code=answer["code"],
            code_verifier=pending.verifier,
        )
        return _verify_id_token(settings, found, str(token.get("id_token", "")), pending, app.now())
    except (AuthlibBaseError, ProviderError, requests.RequestException, JoseError, ValueError) as problem:
        message = f"{_SERVICE_NAME}'s answer could not be checked. Begin again."
        raise OidcError(message) from problem


def _verify_id_token(
    settings: Settings, metadata: dict[str, str], id_token: str, pending: _PendingSignIn, now: datetime
) -> dict[str, Any]:
    keys = KeySet.import_key_set(_fetch_endpoint(metadata, "jwks_uri"))
    token = jwt.decode(id_token, keys, algorithms=_ALGORITHMS)
    registry = jwt.JWTClaimsRegistry(
        now=int(now.timestamp()),
        leeway=_LEEWAY_SECONDS,
        iss={"essential": True, "value": metadata["issuer"]},
        aud={"essential": True, "value": settings.oidc_client_id},
        sub={"essential": True},
        exp={"essential": True},
        nonce={"essential": True, "value": pending.nonce},
    )
    registry.validate(token.claims)
    several = isinstance(token.claims["aud"], list) and len(token.claims["aud"]) > 1
    if token.claims.get("azp", "" if several else settings.oidc_client_id) != settings.oidc_client_id:
        message = "the id token was made for another app"
        raise ValueError(message)
    return dict(token.claims)


def _discover(settings: Settings) -> dict[str, str]:
    """Read where the service's addresses are; it must name itself as the settings do."""
    if not service_host(settings):
        message = "No sign-in service is set up here."
        raise OidcError(message)
    issuer = settings.oidc_issuer
    try:
        found = _fetch_json(f"{issuer}/.well-known/openid-configuration", hosts_of(issuer))
    except (ProviderError, ValueError) as problem:
        message = f"{_SERVICE_NAME} ({service_host(settings)}) does not answer as it should. Try again later."
        raise OidcError(message) from problem
    if str(found.get("issuer", "")).rstrip("/") != issuer:
        message = f"{_SERVICE_NAME} calls itself by another name than OIDC_ISSUER."
        raise OidcError(message)
    wanted = ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri")
    if not all(isinstance(found.get(name), str) for name in wanted):
        message = f"{_SERVICE_NAME} does not say where its addresses are."
        raise OidcError(message)
    return {name: found[name] for name in wanted}


def _fetch_endpoint(metadata: dict[str, str], name: str) -> Any:
    return _fetch_json(metadata[name], hosts_of(metadata[name]))


def _fetch_json(url: str, hosts: frozenset[str]) -> Any:
    vendor = Service(_SERVICE_NAME, hosts)
    with requests.Session() as session:
        install_transport(session, vendor, UncountedCalls(), limits=_LIMITS)
        return json.loads(require_json(session.get(url), vendor, CallKind.TOKEN))


def _token_vendor(metadata: dict[str, str]) -> Service:
    return Service(_SERVICE_NAME, hosts_of(metadata["token_endpoint"]))


def _open_cookie(app: AppContext, cookie: str) -> _PendingSignIn:
    try:
        sealed = base64.urlsafe_b64decode(cookie)
        waiting = _PendingSignIn(*json.loads(app.keyring.decrypt(sealed, _ASSOCIATED_DATA)))
    except (KeyringError, binascii.Error, ValueError) as problem:
        message = "This sign-in was not begun in this browser. Begin again."
        raise OidcError(message) from problem
    if app.now() - datetime.fromisoformat(waiting.begun_at) > LIFETIME:
        message = "This sign-in has taken too long. Begin again."
        raise OidcError(message)
    return waiting


def _redirect_uri(settings: Settings) -> str:
    return f"{settings.duewell_base_url}{CALLBACK_PATH}"
