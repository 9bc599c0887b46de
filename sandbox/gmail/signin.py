"""Google's sign-in: consent with single permissions that can be unticked, and refresh tokens that do not rotate."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from sandbox.consent import ConsentPrompt, Organisation, handle_consent
from sandbox.core import JsonObject, SandboxCore
from sandbox.gmail.api_errors import ApiError, oauth_error

CLIENT_ID = "sandbox-google-client.apps.googleusercontent.com"
CLIENT_SECRET = "sandbox-google-secret"
ACCESS_LIFETIME = timedelta(seconds=3599)
TESTING_LIFETIME = timedelta(seconds=604_799)  # of a refresh token while the app's status is "Testing"
CODE_LIFETIME = timedelta(minutes=10)
PREFIX = "https://www.googleapis.com/auth/"
GMAIL_SCOPES = ("gmail.send", "gmail.readonly", "gmail.metadata", "gmail.modify", "gmail.compose")
KNOWN_SCOPES = {"openid", "email", "profile", "https://mail.google.com/", *(PREFIX + name for name in GMAIL_SCOPES)}


@dataclass(slots=True)
class Grant:
    """What one account allowed: the scopes it ticked, and its refresh token ("" where none was issued)."""

    address: str
    scopes: tuple[str, ...]
    redirect_uri: str
    challenge: str
    offline: bool
    refresh_token: str = ""
    issued_at: datetime | None = None
    revoked: bool = False


@dataclass
class SignIn:
    """The simulated accounts and token servers. ``testing`` is the publishing status of the app."""

    core: SandboxCore
    mailboxes: Mapping[str, object]  # by the address of the account
    testing: bool = False
    clients: dict[str, str] = field(default_factory=lambda: {CLIENT_ID: CLIENT_SECRET})
    grants: list[Grant] = field(default_factory=list)
    _codes: dict[str, tuple[Grant, datetime]] = field(default_factory=dict)
    _access: dict[str, tuple[Grant, datetime]] = field(default_factory=dict)

    def routes(self) -> list[BaseRoute]:
        """Return the endpoints."""
        return [
            Route("/o/oauth2/v2/auth", self.authorize, methods=["GET", "POST"]),
            Route("/token", self.token, methods=["POST"]),
            Route("/revoke", self.revoke, methods=["POST"]),
        ]

    async def authorize(self, request: Request) -> Response:
        """Show the consent page. ``sandbox_without`` (repeated) unticks permissions, named without their prefix."""
        query = request.query_params
        if query.get("client_id", "") not in self.clients or query.get("response_type") != "code":
            return HTMLResponse("<h1>Access blocked: authorization error</h1><p>Error 401: invalid_client", 401)
        if not _is_allowed_redirect(query.get("redirect_uri", "")):
            return HTMLResponse("<h1>Access blocked</h1><p>Error 400: redirect_uri_mismatch", 400)
        scopes = tuple(query.get("scope", "").split())
        if not scopes or not set(scopes) <= KNOWN_SCOPES:
            return HTMLResponse("<h1>Access blocked</h1><p>Error 400: invalid_scope", 400)
        unticked = {PREFIX + name for name in query.getlist("sandbox_without")}
        ticked = tuple(scope for scope in scopes if scope not in unticked)
        accounts = [Organisation(address, address, "Google Account") for address in self.mailboxes]
        prompt = ConsentPrompt("Google", query["client_id"], accounts[0].id, accounts, scopes, allow_multiple=False)
        return await handle_consent(
            request,
            prompt,
            lambda chosen: _redirect_back(query, code=self._consent(query, chosen[0], ticked), scope=" ".join(ticked)),
            lambda: _redirect_back(query, error="access_denied"),
        )

    def _consent(self, query: Any, address: str, scopes: tuple[str, ...]) -> str:
        with self.core.lock:
            is_first = not any(grant.address == address and not grant.revoked for grant in self.grants)
            # a refresh token comes with the first consent only, unless the app asks for consent each time
            offline = query.get("access_type") == "offline" and (is_first or "consent" in query.get("prompt", ""))
            grant = Grant(address, scopes, query["redirect_uri"], query.get("code_challenge", ""), offline)
            code = f"4/{secrets.token_urlsafe(32)}"
            self._codes[code] = (grant, self.core.clock.now() + CODE_LIFETIME)
        return code

    async def token(self, request: Request) -> Response:
        """Exchange a code or a refresh token."""
        form = {name: str(value) for name, value in (await request.form()).items()}
        client_id, secret = form.get("client_id", ""), form.get("client_secret", "")
        header = request.headers.get("authorization", "")
        if header.lower().startswith("basic "):
            client_id, _, secret = base64.b64decode(header[6:]).decode().partition(":")
        known = self.clients.get(client_id)
        if known is None:
            return oauth_error("invalid_client", "The OAuth client was not found.", 401)
        if not hmac.compare_digest(known, secret):
            return oauth_error("invalid_client", "Unauthorized", 401)
        with self.core.lock:
            match form.get("grant_type"):
                case "authorization_code":
                    return self._from_code(form)
                case "refresh_token":
                    return self._from_refresh(form)
        return oauth_error("unsupported_grant_type", f"Invalid grant_type: {form.get('grant_type', '')}")

    def _from_code(self, form: dict[str, str]) -> Response:
        grant, until = self._codes.pop(form.get("code", ""), (None, None))
        if grant is None or until is None or until < self.core.clock.now():
            return oauth_error("invalid_grant", "Malformed auth code.")
        if form.get("redirect_uri") != grant.redirect_uri:
            return oauth_error("redirect_uri_mismatch", "Bad Request")
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if grant.challenge and base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != grant.challenge:
            return oauth_error("invalid_grant", "Invalid code verifier.")
        self.grants.append(grant)
        if grant.offline:
            grant.refresh_token, grant.issued_at = f"1//{secrets.token_urlsafe(32)}", self.core.clock.now()
        return self._issue(grant, with_refresh_token=True)

    def _from_refresh(self, form: dict[str, str]) -> Response:
        token = form.get("refresh_token", "")
        grant = next((each for each in self.grants if token and each.refresh_token == token), None)
        if grant is None or grant.revoked or self._is_over(grant):
            return oauth_error("invalid_grant", "Token has been expired or revoked.")
        return self._issue(grant, with_refresh_token=False)

    def _is_over(self, grant: Grant) -> bool:
        assert grant.issued_at is not None  # noqa: S101 - it has a refresh token
        return self.testing and self.core.clock.now() > grant.issued_at + TESTING_LIFETIME

    def _issue(self, grant: Grant, *, with_refresh_token: bool) -> Response:
        now = self.core.clock.now()
        access = f"ya29.{secrets.token_urlsafe(32)}"
        self._access[access] = (grant, now + ACCESS_LIFETIME)
        reply: JsonObject = {
            "access_token": access,
            "expires_in": int(ACCESS_LIFETIME.total_seconds()),
            "scope": " ".join(grant.scopes),
            "token_type": "Bearer",
        }
        if with_refresh_token and grant.refresh_token:
            reply["refresh_token"] = grant.refresh_token
        if self.testing and grant.issued_at is not None:
            reply["refresh_token_expires_in"] = int((grant.issued_at + TESTING_LIFETIME - now).total_seconds())
        if "openid" in grant.scopes:
            reply["id_token"] = _id_token(grant)
        return JSONResponse(reply)

    async def revoke(self, request: Request) -> Response:
        """Revoke all that an account granted to the app, by one of its tokens."""
        token = str((await request.form()).get("token", "")) or request.query_params.get("token", "")
        with self.core.lock:
            found = [grant for grant in self.grants if token and grant.refresh_token == token]
            found += [self._access[token][0]] if token in self._access else []
            if not found or found[0].revoked:
                return oauth_error("invalid_token", "Token expired or revoked")
            for grant in self.grants:
                grant.revoked = grant.revoked or grant.address == found[0].address
        return JSONResponse({})

    def grant_of(self, request: Request) -> Grant:
        """Return the grant of a request's bearer token. Raises ``ApiError``."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        grant, until = self._access.get(token, (None, None))
        is_valid = grant is not None and not grant.revoked and until is not None and self.core.clock.now() < until
        if scheme.lower() != "bearer" or grant is None or not is_valid:
            message = "Request had invalid authentication credentials. Expected OAuth 2 access token."
            raise ApiError(401, "authError", message)
        return grant


def _is_allowed_redirect(uri: str) -> bool:
    parts = urlsplit(uri)
    is_local = parts.hostname in {"localhost", "127.0.0.1"}
    return bool(parts.hostname) and (parts.scheme == "https" or (parts.scheme == "http" and is_local))


def _redirect_back(query: Any, **fields: str) -> str:
    state = {"state": query["state"]} if "state" in query else {}
    glue = "&" if "?" in query["redirect_uri"] else "?"
    return str(query["redirect_uri"]) + glue + urlencode({**state, "iss": "https://accounts.google.com", **fields})


def _id_token(grant: Grant) -> str:
    """Return an ID token that nobody can verify: it is signed with nothing."""
    email = {"email": grant.address, "email_verified": True} if "email" in grant.scopes else {}
    subject = hashlib.sha256(grant.address.encode()).hexdigest()[:21]
    claims = {"iss": "https://accounts.google.com", "aud": CLIENT_ID, "sub": subject, **email}
    parts = ({"alg": "RS256", "typ": "JWT"}, claims)
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join([*encoded, "c2FuZGJveA"])
