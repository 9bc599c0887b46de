"""What a consent at Xero grants and for how long: scopes, connections and tokens."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta

ACCESS_LIFETIME = timedelta(minutes=30)
REFRESH_LIFETIME = timedelta(days=60)
REFRESH_GRACE = timedelta(minutes=30)
CODE_LIFETIME = timedelta(minutes=5)
_GRANULAR = (
    "accounting.invoices",
    "accounting.payments",
    "accounting.banktransactions",
    "accounting.manualjournals",
    "accounting.contacts",
    "accounting.settings",
    "accounting.attachments",
)
KNOWN_SCOPES = {"openid", "profile", "email", "offline_access"} | {
    scope + suffix for scope in _GRANULAR for suffix in ("", ".read")
}


@dataclass(slots=True)
class Connection:
    """An organisation to which the app has access."""

    id: str
    tenant_id: str
    auth_event_id: str
    created_at: datetime
    updated_at: datetime


@dataclass(slots=True)
class Grant:
    """A consent with its scopes and tokens; ``refresh_tokens`` maps a token to (issued, first used or None)."""

    client_id: str
    scopes: tuple[str, ...]
    auth_event_id: str
    redirect_uri: str
    challenge: str
    nonce: str
    consented_at: datetime
    revoked: bool = False
    refresh_tokens: dict[str, tuple[datetime, datetime | None]] = field(default_factory=dict)


class BadToken(Exception):
    """The bearer token is invalid; ``str()`` is Xero's detail."""


def s256(verifier: str) -> str:
    """Return the challenge for a PKCE verifier."""
    return base64url(hashlib.sha256(verifier.encode()).digest())


def base64url(raw: bytes) -> str:
    """Return the base64 encoding that is used in URLs and tokens."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
