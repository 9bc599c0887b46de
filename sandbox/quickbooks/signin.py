"""Intuit's sign-in: discovery, consent, tokens that rotate, revocation and user info, by the sandbox's clock."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from sandbox.clock import SandboxClock
from sandbox.core import JsonObject, stable_uuid

CLIENT_ID = "ABduewellSandboxQuickBooksClient"
CLIENT_SECRET = "sandbox-quickbooks-secret"
ACCOUNTING = "com.intuit.quickbooks.accounting"
SCOPES = (ACCOUNTING, "openid", "profile", "email", "phone", "address")
ACCESS_SECONDS = 3600
REFRESH_SECONDS = 8726400
ROTATION_INTERVAL = timedelta(hours=24)
PREVIOUS_TOKEN_LIFETIME = timedelta(hours=24)
GRANT_LIFETIME = timedelta(days=5 * 365)
CODE_LIFETIME = timedelta(minutes=10)
_NEVER = datetime.min.replace(tzinfo=UTC)


class OAuthError(Exception):
    """An OAuth error: status and JSON of the reply."""

    def __init__(self, status: int, error: str, description: str = "") -> None:
        super().__init__(error)
        self.status = status
        self.body = {"error": error} | ({"error_description": description} if description else {})


@dataclass(slots=True, eq=False)
class Grant:
    """A consent: the app's access to one company. ``refresh_token`` is the latest one."""

    realm: str
    scopes: tuple[str, ...]
    granted_at: datetime
    refresh_token: str = ""
    issued_at: datetime = _NEVER
    previous_token: str = ""
    previous_valid_until: datetime = _NEVER
    revoked: bool = False


@dataclass(slots=True)
class _Code:
    grant: Grant
    redirect_uri: str
    expires_at: datetime


@dataclass(slots=True)
class SignIn:
    """All grants, codes and tokens."""

    seed: int
    clock: SandboxClock
    grants: list[Grant] = field(default_factory=list)
    _codes: dict[str, _Code] = field(default_factory=dict)
    _access: dict[str, tuple[Grant, datetime]] = field(default_factory=dict)
    _tokens_created: int = 0

    def approve_consent(self, realm: str, redirect_uri: str, state: str, scopes: Iterable[str]) -> str:
        """Record a user's consent and return the URL to redirect to."""
        grant = Grant(realm, tuple(scopes), self.clock.now())
        self.grants.append(grant)
        code = self._new_secret("XAB1")
        self._codes[code] = _Code(grant, redirect_uri, self.clock.now() + CODE_LIFETIME)
        return with_query(redirect_uri, {"code": code, "state": state, "realmId": realm})

    def exchange(self, fields: dict[str, str], *, include_hard_expiry: bool = False) -> JsonObject:
        """Return the reply of the token endpoint to a client that has been checked."""
        if fields.get("grant_type") == "authorization_code":
            code = self._codes.pop(fields.get("code", ""), None)
            if code is None or code.expires_at < self.clock.now() or code.redirect_uri != fields.get("redirect_uri"):
                raise OAuthError(400, "invalid_grant", "Invalid authorization code")
            self._rotate(code.grant)
            return self._token(code.grant, include_hard_expiry=include_hard_expiry)
        if fields.get("grant_type") == "refresh_token":
            return self._refreshed(fields.get("refresh_token", ""), include_hard_expiry=include_hard_expiry)
        raise OAuthError(400, "unsupported_grant_type")

    def check_client(self, authorization: str, fields: dict[str, str]) -> None:
        """Raise for a client with a wrong id or secret (Basic, or in the form)."""
        client = (fields.get("client_id", ""), fields.get("client_secret", ""))
        if authorization.startswith("Basic "):
            try:
                name, _, secret = base64.b64decode(authorization[6:], validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError) as error:
                raise OAuthError(401, "invalid_client") from error
            client = (name, secret)
        if client != (CLIENT_ID, CLIENT_SECRET):
            raise OAuthError(401, "invalid_client")

    def revoke(self, token: str) -> None:
        """Revoke the grant of an access or refresh token."""
        grant = self._owner(token)
        if grant is None:
            raise OAuthError(400, "invalid_request", "Token is invalid or already revoked")
        grant.revoked = True

    def find_grant(self, authorization: str) -> Grant | None:
        """Return the grant of a Bearer header, None if the token is unknown or has expired."""
        grant, expires_at = self._access.get(authorization.removeprefix("Bearer "), (None, _NEVER))
        if grant is None or grant.revoked or expires_at <= self.clock.now():
            return None
        return grant

    def expire_access(self) -> None:
        """Expire all access tokens, for tests."""
        self._access.clear()

    def end_grants(self, realm: str) -> None:
        """Revoke all grants of a company whose bookkeeper has disconnected the app."""
        for grant in self.grants:
            grant.revoked = grant.revoked or grant.realm == realm

    def _refreshed(self, token: str, *, include_hard_expiry: bool) -> JsonObject:
        now = self.clock.now()
        grant = self._owner(token)
        if grant is None or (token == grant.previous_token and now > grant.previous_valid_until):
            raise OAuthError(400, "invalid_grant", "Incorrect or invalid refresh token")
        if now > min(grant.issued_at + timedelta(seconds=REFRESH_SECONDS), grant.granted_at + GRANT_LIFETIME):
            raise OAuthError(400, "invalid_grant", "Token expired")
        if token == grant.refresh_token and now - grant.issued_at >= ROTATION_INTERVAL:
            self._rotate(grant)
        return self._token(grant, include_hard_expiry=include_hard_expiry)

    def _owner(self, token: str) -> Grant | None:
        if token in self._access:
            grant = self._access[token][0]
            return None if grant.revoked else grant
        living = (grant for grant in self.grants if not grant.revoked and token)
        return next((grant for grant in living if token in {grant.refresh_token, grant.previous_token}), None)

    def _rotate(self, grant: Grant) -> None:
        now = self.clock.now()
        grant.previous_token, grant.previous_valid_until = grant.refresh_token, now + PREVIOUS_TOKEN_LIFETIME
        grant.refresh_token, grant.issued_at = self._new_secret("RT1-"), now

    def _token(self, grant: Grant, *, include_hard_expiry: bool) -> JsonObject:
        now = self.clock.now()
        access = self._new_secret("eyJ") + self._new_secret("")
        self._access[access] = (grant, now + timedelta(seconds=ACCESS_SECONDS))
        left = grant.issued_at + timedelta(seconds=REFRESH_SECONDS) - now
        token: JsonObject = {
            "token_type": "bearer", "access_token": access, "expires_in": ACCESS_SECONDS,
            "refresh_token": grant.refresh_token, "x_refresh_token_expires_in": int(left.total_seconds()),
        }  # fmt: skip
        if include_hard_expiry:
            token["x_refresh_token_hard_expires_in"] = int((grant.granted_at + GRANT_LIFETIME - now).total_seconds())
        return token

    def _new_secret(self, prefix: str) -> str:
        self._tokens_created += 1
        return prefix + stable_uuid(self.seed, "quickbooks token", self._tokens_created).replace("-", "")


def with_query(url: str, fields: dict[str, str]) -> str:
    """Return the URL with these query parameters added."""
    return url + ("&" if "?" in url else "?") + urlencode(fields)


def discovery(base: str) -> JsonObject:
    """Return the discovery document with all endpoints on this host."""
    return {
        "issuer": f"{base}/op/v1",
        "authorization_endpoint": f"{base}/connect/oauth2",
        "token_endpoint": f"{base}/oauth2/v1/tokens/bearer",
        "userinfo_endpoint": f"{base}/v1/openid_connect/userinfo",
        "revocation_endpoint": f"{base}/v2/oauth2/tokens/revoke",
        "jwks_uri": f"{base}/op/v1/jwks",
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "scopes_supported": ["openid", "email", "profile", "address", "phone"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
        "claims_supported": ["aud", "exp", "iat", "iss", "realmid", "sub"],
    }
