"""Microsoft's sign-in (identity platform v2.0): consent with PKCE, and tokens that are refreshed for 90 days."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from sandbox.consent import ConsentPrompt, Organisation, handle_consent
from sandbox.core import JsonObject, SandboxCore

CLIENT_ID = "5a9db0c1-0000-4000-a000-sandbox00365"
CLIENT_SECRET = "sandbox-microsoft365-secret"
PKCE_CLIENT_ID = "5a9db0c1-0000-4000-a000-sandbox-pkce"
ACCESS_LIFETIME = timedelta(seconds=4242)  # Microsoft varies it between 60 and 90 minutes
REFRESH_LIFETIME = timedelta(days=90)
CODE_LIFETIME = timedelta(minutes=10)
KNOWN_SCOPES = frozenset(
    {
        *("openid", "profile", "email", "offline_access", "User.Read"),
        *("Mail.Send", "Mail.ReadBasic", "Mail.Read", "Mail.ReadWrite"),
    }
)


@dataclass(slots=True)
class Grant:
    """A consent: to which app, with which scopes, and how its code is redeemed."""

    client_id: str
    scopes: tuple[str, ...]
    redirect_uri: str
    challenge: str
    consented_at: datetime
    is_revoked: bool = False


class SignIn:
    """The simulated identity platform, with one user.

    ``granted_scopes``, if set, are all that an administrator lets an app have. ``error``, if set, is what every token
    request is answered with: an ``error`` and its AADSTS number.
    """

    def __init__(self, core: SandboxCore, address: str) -> None:
        """Register two apps: one with a secret, one with PKCE alone."""
        self.clients = {CLIENT_ID: CLIENT_SECRET, PKCE_CLIENT_ID: ""}
        self.granted_scopes: frozenset[str] | None = None
        self.error: tuple[str, int] | None = None
        self._core = core
        self._address = address
        self._codes: dict[str, tuple[Grant, datetime]] = {}
        self._refresh: dict[str, tuple[Grant, datetime]] = {}
        self._access: dict[str, tuple[Grant, datetime]] = {}

    def routes(self) -> list[BaseRoute]:
        """Return the endpoints of the identity platform."""
        return [
            Route("/{tenant}/oauth2/v2.0/authorize", self.authorize, methods=["GET", "POST"]),
            Route("/{tenant}/oauth2/v2.0/token", self.token, methods=["POST"]),
        ]

    async def authorize(self, request: Request) -> Response:
        """Show the consent page; a wrong app or redirect gets an error page."""
        query = request.query_params
        if query.get("client_id", "") not in self.clients or query.get("response_type") != "code":
            return HTMLResponse("<h1>AADSTS700016: application not found</h1>", 400)
        if not _is_allowed_redirect(query.get("redirect_uri", "")):
            return HTMLResponse("<h1>AADSTS50011: the redirect URI does not match</h1>", 400)
        scopes = tuple(query.get("scope", "").split())
        if unknown := set(scopes) - KNOWN_SCOPES:
            back = _redirect_back(query, error="invalid_scope", error_description=f"AADSTS70011: {sorted(unknown)}")
            return Response(status_code=302, headers={"Location": back})
        if query.get("code_challenge_method") != "S256":
            back = _redirect_back(query, error="invalid_request", error_description="AADSTS9002325: PKCE is required")
            return Response(status_code=302, headers={"Location": back})
        prompt = ConsentPrompt(
            "Microsoft 365",
            query["client_id"],
            self._address,
            [Organisation(self._address, self._address, "mailbox")],
            scopes,
            allow_multiple=False,
        )
        return await handle_consent(
            request,
            prompt,
            lambda _chosen: _redirect_back(query, code=self._consent(query, scopes)),
            lambda: _redirect_back(query, error="access_denied", error_description="AADSTS65004: declined"),
        )

    def _consent(self, query: Any, scopes: tuple[str, ...]) -> str:
        now, code = self._core.clock.now(), secrets.token_urlsafe(32)
        grant = Grant(query["client_id"], scopes, query["redirect_uri"], query.get("code_challenge", ""), now)
        with self._core.lock:
            self._codes[code] = (grant, now + CODE_LIFETIME)
        return code

    async def token(self, request: Request) -> Response:
        """Exchange a code or a refresh token."""
        form = {name: str(value) for name, value in (await request.form()).items()}
        with self._core.lock:
            if self.error is not None:
                return _oauth_error(*self.error)
            known = self.clients.get(form.get("client_id", ""))
            if known is None or not hmac.compare_digest(known, form.get("client_secret", "")):
                return _oauth_error("invalid_client", 7000215, 401)
            match form.get("grant_type"):
                case "authorization_code":
                    return self._from_code(form)
                case "refresh_token":
                    return self._from_refresh(form)
        return _oauth_error("unsupported_grant_type", 70003)

    def _from_code(self, form: dict[str, str]) -> Response:
        grant, until = self._codes.pop(form.get("code", ""), (None, None))
        if grant is None or until is None or until < self._core.clock.now() or grant.client_id != form["client_id"]:
            return _oauth_error("invalid_grant", 70008)
        verifier = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if base64.urlsafe_b64encode(verifier).rstrip(b"=").decode() != grant.challenge:
            return _oauth_error("invalid_grant", 501481)
        if form.get("redirect_uri") != grant.redirect_uri:
            return _oauth_error("invalid_grant", 50011)
        return self._issue(grant)

    def _from_refresh(self, form: dict[str, str]) -> Response:
        grant, until = self._refresh.get(form.get("refresh_token", ""), (None, None))
        if grant is None or until is None or grant.is_revoked or until < self._core.clock.now():
            return _oauth_error("invalid_grant", 700082)
        return self._issue(grant)

    def _issue(self, grant: Grant) -> Response:
        now, allowed = self._core.clock.now(), self.granted_scopes
        scopes = [each for each in grant.scopes if allowed is None or each in allowed]
        access, refresh = secrets.token_urlsafe(48), secrets.token_urlsafe(48)
        granted = Grant(grant.client_id, tuple(scopes), grant.redirect_uri, "", now)
        self._access[access] = (granted, now + ACCESS_LIFETIME)
        named = [
            each if each in {"openid", "profile", "email"} else f"https://graph.microsoft.com/{each}" for each in scopes
        ]
        reply: JsonObject = {
            "token_type": "Bearer",
            "scope": " ".join(each for each in named if not each.endswith("offline_access")),
            "expires_in": int(ACCESS_LIFETIME.total_seconds()),
            "ext_expires_in": int(ACCESS_LIFETIME.total_seconds()),
            "access_token": access,
        }
        if "offline_access" in scopes:
            self._refresh[refresh] = (grant, now + REFRESH_LIFETIME)
            reply["refresh_token"] = refresh
        return JSONResponse(reply, headers={"Cache-Control": "no-store"})

    def revoke_all(self) -> None:
        """End every consent, as an administrator does or a changed password."""
        for grant, _until in self._refresh.values():
            grant.is_revoked = True
        self._access.clear()

    def expire_access(self) -> None:
        """End every access token early, as Microsoft may (continuous access evaluation)."""
        self._access.clear()

    def scopes_of(self, request: Request) -> tuple[str, ...] | None:
        """Return the scopes of the request's bearer token, None for one that is not valid."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        grant, until = self._access.get(token, (None, None))
        if scheme.lower() != "bearer" or grant is None or until is None or until <= self._core.clock.now():
            return None
        return grant.scopes


def _is_allowed_redirect(uri: str) -> bool:
    parts = urlsplit(uri)
    return bool(parts.scheme == "https" and parts.hostname) or (
        parts.scheme == "http" and parts.hostname == "localhost"
    )


def _redirect_back(query: Any, **fields: str) -> str:
    state = {"state": query["state"]} if "state" in query else {}
    return f"{query['redirect_uri']}?{urlencode({**fields, **state})}"


def _oauth_error(error: str, number: int, status: int = 400) -> Response:
    body = {
        "error": error,
        "error_description": f"AADSTS{number}: the simulated sign-in says so.",
        "error_codes": [number],
    }
    return JSONResponse(body, status_code=status)
