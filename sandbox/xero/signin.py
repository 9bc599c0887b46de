"""Xero's sign-in: consent, tokens that rotate with a grace period of 30 minutes, revocation, and connections."""

from __future__ import annotations

import base64
import hmac
import json
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from sandbox.consent import ConsentPrompt, handle_consent
from sandbox.consent import Organisation as Offered
from sandbox.core import JsonObject, SandboxCore, stable_uuid
from sandbox.xero.grants import (
    ACCESS_LIFETIME,
    CODE_LIFETIME,
    KNOWN_SCOPES,
    REFRESH_GRACE,
    REFRESH_LIFETIME,
    BadToken,
    Connection,
    Grant,
    base64url,
    s256,
)
from sandbox.xero.organisation import Organisation

CLIENT_ID = "sandbox-xero-client"
CLIENT_SECRET = "sandbox-xero-secret"
PKCE_CLIENT_ID = "sandbox-xero-pkce-client"
_SIGNING_KEY = b"the sandbox signs its tokens with this"


class SignIn:
    """The simulated identity server, with one user and any number of consents."""

    def __init__(self, core: SandboxCore, organisations: Callable[[], Sequence[Organisation]]) -> None:
        """Register two apps: one with a secret, one with PKCE alone."""
        self.clients: dict[str, str] = {CLIENT_ID: CLIENT_SECRET, PKCE_CLIENT_ID: ""}
        self.redirect_uris: set[str] = set()
        self.known_scopes = set(KNOWN_SCOPES)
        self.connections: dict[str, Connection] = {}
        self._core = core
        self._organisations = organisations
        self._user_id = stable_uuid("xero-user", core.seed)
        self._codes: dict[str, tuple[Grant, datetime]] = {}
        self._grants: list[Grant] = []
        self._access: dict[str, tuple[Grant, datetime]] = {}

    def routes(self) -> list[BaseRoute]:
        """Return the identity endpoints."""
        return [
            Route("/identity/connect/authorize", self.authorize, methods=["GET", "POST"]),
            Route("/connect/token", self.token, methods=["POST"]),
            Route("/connect/revocation", self.revoke, methods=["POST"]),
            Route("/connections", self.list_connections),
            Route("/Connections", self.list_connections),
            Route("/connections/{connection_id}", self.delete_connection, methods=["DELETE"]),
            Route("/Connections/{connection_id}", self.delete_connection, methods=["DELETE"]),
        ]

    # Consent

    async def authorize(self, request: Request) -> Response:
        """Show the consent page; a wrong app or redirect gets an error page, a wrong scope is redirected to the app."""
        query = request.query_params
        client_id, redirect_uri = query.get("client_id", ""), query.get("redirect_uri", "")
        if client_id not in self.clients or query.get("response_type") != "code":
            return _error_page("unauthorized_client", "Unknown client or client not enabled")
        if not self._is_allowed_redirect(redirect_uri):
            return _error_page("unauthorized_client", "Invalid redirect_uri")
        scopes = tuple(query.get("scope", "").split())
        if not scopes or not set(scopes) <= self.known_scopes:
            return Response(status_code=302, headers={"Location": self._redirect_back(query, error="invalid_scope")})
        if not self.clients[client_id] and query.get("code_challenge_method") != "S256":
            back = self._redirect_back(query, error="invalid_request", error_description="code challenge required")
            return Response(status_code=302, headers={"Location": back})
        organisations = [Offered(o.tenant_id, o.name, f"{o.country}, {o.currency}") for o in self._organisations()]
        prompt = ConsentPrompt("Xero", client_id, "demo@sandbox.example", organisations, scopes, allow_multiple=True)
        return await handle_consent(
            request,
            prompt,
            lambda chosen: self._redirect_back(query, code=self._consent(query, scopes, chosen)),
            lambda: self._redirect_back(query, error="access_denied"),
        )

    def _is_allowed_redirect(self, uri: str) -> bool:
        parts = urlsplit(uri)
        if self.redirect_uris:
            return uri in self.redirect_uris
        return bool(parts.scheme == "https" and parts.hostname) or (
            parts.scheme == "http" and parts.hostname == "localhost"
        )

    def _redirect_back(self, query: Any, **fields: str) -> str:
        state = {"state": query["state"]} if "state" in query else {}
        glue = "&" if "?" in query["redirect_uri"] else "?"
        return str(query["redirect_uri"]) + glue + urlencode({**fields, **state})

    def _consent(self, query: Any, scopes: tuple[str, ...], tenant_ids: list[str]) -> str:
        now = self._core.clock.now()
        event_id = stable_uuid("auth-event", secrets.token_hex(8))
        with self._core.lock:
            for tenant_id in tenant_ids:
                known = next((c for c in self.connections.values() if c.tenant_id == tenant_id), None)
                connection_id = known.id if known else stable_uuid("connection", tenant_id, event_id)
                created_at = known.created_at if known else now
                self.connections[connection_id] = Connection(connection_id, tenant_id, event_id, created_at, now)
            grant = Grant(
                query["client_id"],
                scopes,
                event_id,
                query["redirect_uri"],
                query.get("code_challenge", ""),
                query.get("nonce", ""),
                now,
            )
            code = secrets.token_urlsafe(32)
            self._codes[code] = (grant, now + CODE_LIFETIME)
        return code

    # Tokens

    async def token(self, request: Request) -> Response:
        """Exchange a code or a refresh token."""
        form = {name: str(value) for name, value in (await request.form()).items()}
        with self._core.lock:
            client_id = self._client(request, form)
            if client_id is None:
                return _oauth_error("invalid_client", 401 if "authorization" in request.headers else 400)
            match form.get("grant_type"):
                case "authorization_code":
                    return self._from_code(client_id, form)
                case "refresh_token":
                    return self._from_refresh(client_id, form)
        return _oauth_error("unsupported_grant_type")

    def _client(self, request: Request, form: dict[str, str]) -> str | None:
        client_id, secret = form.get("client_id", ""), form.get("client_secret", "")
        header = request.headers.get("authorization", "")
        if header.lower().startswith("basic "):
            try:
                client_id, _, secret = base64.b64decode(header[6:], validate=True).decode().partition(":")
            except ValueError:
                return None
        known = self.clients.get(client_id)
        return client_id if known is not None and hmac.compare_digest(known, secret) else None

    def _from_code(self, client_id: str, form: dict[str, str]) -> Response:
        grant, until = self._codes.pop(form.get("code", ""), (None, None))
        if grant is None or until is None or until < self._core.clock.now() or grant.client_id != client_id:
            return _oauth_error("invalid_grant")
        if form.get("redirect_uri") != grant.redirect_uri:
            return _oauth_error("invalid_grant")
        if grant.challenge and s256(form.get("code_verifier", "")) != grant.challenge:
            return _oauth_error("invalid_grant")
        self._grants.append(grant)
        return self._issue(grant, id_token=True)

    def _from_refresh(self, client_id: str, form: dict[str, str]) -> Response:
        now, token = self._core.clock.now(), form.get("refresh_token", "")
        grant = next((g for g in self._grants if token in g.refresh_tokens), None)
        if grant is None or grant.revoked or grant.client_id != client_id:
            return _oauth_error("invalid_grant")
        if not set(form.get("scope", "").split()) <= set(grant.scopes):
            return _oauth_error("invalid_scope")
        issued_at, used_at = grant.refresh_tokens[token]
        if now > issued_at + REFRESH_LIFETIME or (used_at is not None and now > used_at + REFRESH_GRACE):
            return _oauth_error("invalid_grant")
        grant.refresh_tokens[token] = (issued_at, used_at or now)
        return self._issue(grant)

    def _issue(self, grant: Grant, *, id_token: bool = False) -> Response:
        now = self._core.clock.now()
        access = self._jwt(
            grant, "https://identity.xero.com/resources", scope=list(grant.scopes), client_id=grant.client_id
        )
        self._access[access] = (grant, now + ACCESS_LIFETIME)
        reply: JsonObject = {
            "access_token": access,
            "expires_in": int(ACCESS_LIFETIME.total_seconds()),
            "token_type": "Bearer",
            "scope": " ".join(grant.scopes),
        }
        if "offline_access" in grant.scopes:
            refresh = secrets.token_urlsafe(32)
            grant.refresh_tokens[refresh] = (now, None)
            reply["refresh_token"] = refresh
        if id_token and "openid" in grant.scopes:
            nonce = {"nonce": grant.nonce} if grant.nonce else {}
            reply["id_token"] = self._jwt(grant, grant.client_id, email="demo@sandbox.example", **nonce)
        return JSONResponse(reply, headers={"Cache-Control": "no-store"})

    def _jwt(self, grant: Grant, audience: str, **claims: Any) -> str:
        now = int(self._core.clock.now().timestamp())
        claims |= {
            "iss": "https://identity.xero.com",
            "aud": audience,
            "nbf": now,
            "iat": now,
            "exp": now + int(ACCESS_LIFETIME.total_seconds()),
            "sub": self._user_id.replace("-", ""),
            "xero_userid": self._user_id,
            "authentication_event_id": grant.auth_event_id,
            "jti": secrets.token_hex(16),
        }
        signed = ".".join(base64url(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
        return f"{signed}.{base64url(hmac.digest(_SIGNING_KEY, signed.encode(), 'sha256'))}"

    async def revoke(self, request: Request) -> Response:
        """Revoke a refresh token, which ends all grants and connections of this user and app."""
        form = {name: str(value) for name, value in (await request.form()).items()}
        with self._core.lock:
            client_id = self._client(request, form)
            if client_id is None:
                return _oauth_error("invalid_client")
            if any(form.get("token") in grant.refresh_tokens for grant in self._grants):
                self.revoke_all(client_id)
        return Response(status_code=200)

    def revoke_all(self, client_id: str = "") -> None:
        """End all grants (of one app, or of all) and all connections."""
        for grant in self._grants:
            grant.revoked = grant.revoked or client_id in {"", grant.client_id}
        self.connections.clear()

    # Access

    def grant_of(self, request: Request) -> Grant:
        """Return the grant of the request's bearer token. Raises ``BadToken``."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        grant, until = self._access.get(token, (None, None))
        if scheme.lower() != "bearer" or grant is None or until is None or grant.revoked:
            raise BadToken("AuthenticationUnsuccessful")
        if self._core.clock.now() >= until:
            raise BadToken(f"TokenExpired: token expired at {until:%m/%d/%Y %H:%M:%S}")
        return grant

    def has_connection(self, tenant_id: str) -> bool:
        """Return whether there is a connection to this organisation."""
        return any(connection.tenant_id == tenant_id for connection in self.connections.values())

    async def list_connections(self, request: Request) -> Response:
        """Return the connections, with ``authEventId`` only those of one consent."""
        with self._core.lock:
            try:
                self.grant_of(request)
            except BadToken as error:
                return unauthorized(str(error))
            event_id = request.query_params.get("authEventId", "")
            found = [c for c in self.connections.values() if event_id in {"", c.auth_event_id}]
            names = {o.tenant_id: o.name for o in self._organisations()}
        return JSONResponse(
            [
                {
                    "id": c.id,
                    "authEventId": c.auth_event_id,
                    "tenantId": c.tenant_id,
                    "tenantType": "ORGANISATION",
                    "tenantName": names[c.tenant_id],
                    "createdDateUtc": c.created_at.strftime("%Y-%m-%dT%H:%M:%S.%f0"),
                    "updatedDateUtc": c.updated_at.strftime("%Y-%m-%dT%H:%M:%S.%f0"),
                }
                for c in found
            ]
        )

    async def delete_connection(self, request: Request) -> Response:
        """Disconnect one organisation."""
        with self._core.lock:
            try:
                self.grant_of(request)
            except BadToken as error:
                return unauthorized(str(error))
            removed = self.connections.pop(request.path_params["connection_id"], None)
        return Response(status_code=404 if removed is None else 204)


def unauthorized(detail: str) -> Response:
    """Return a 401 in the form of the Accounting API."""
    return JSONResponse({"Type": None, "Title": "Unauthorized", "Status": 401, "Detail": detail}, status_code=401)


def _oauth_error(error: str, status: int = 400) -> Response:
    return JSONResponse({"error": error}, status_code=status)


def _error_page(error: str, text: str) -> Response:
    page = f"<!DOCTYPE html><html lang=en><title>Error</title><h1>Sorry, something went wrong</h1><p>{error}: {text}"
    return HTMLResponse(page, status_code=500)
