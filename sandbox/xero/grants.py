"""What a consent at Xero opens and for how long: scopes, connections, and the tokens made from a grant."""

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
    """One organisation this app may reach."""

    id: str
    tenant_id: str
    auth_event_id: str
    created_at: datetime
    updated_at: datetime


@dataclass(slots=True)
class Grant:
    """One consent: its scopes and the tokens made from it. ``refresh`` maps a token to (issued, first used or None)."""

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
    """The bearer token does not open anything; the text is Xero's detail."""


def s256(verifier: str) -> str:
    """Return the challenge that goes with a PKCE verifier."""
    return base64url(hashlib.sha256(verifier.encode()).digest())


def base64url(raw: bytes) -> str:
    """Return base64 as URLs and tokens have it."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
