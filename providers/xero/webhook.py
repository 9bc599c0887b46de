"""Xero's webhooks: whether a request is really Xero's, and which documents it says have changed.

A body names ids only, never what changed. Categories are INVOICE, CONTACT and CREDITNOTE (SUBSCRIPTION is not ours); a
payment shows as an update of its invoice. ``xero-webhooks.yaml`` of Xero's OpenAPI documents, and "Configuring your
server" (developer.xero.com/documentation/webhooks): 401 to a wrong signature is what Xero tests first.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

import msgspec

from providers.capabilities import ChangeNotification, InvalidWebhookSignature

SIGNATURE_HEADER: Final = "x-xero-signature"
_CATEGORIES: Final = frozenset({"INVOICE", "CONTACT", "CREDITNOTE"})


class _Event(
    msgspec.Struct,
    rename={
        "tenant": "tenantId",
        "resource": "resourceId",
        "category": "eventCategory",
        "type": "eventType",
        "at": "eventDateUtc",
    },
):
    tenant: str = ""
    resource: str = ""
    category: str = ""
    type: str = ""
    at: str = ""


class _Body(msgspec.Struct):
    events: list[_Event] = []


def parse_notifications(key: str, headers: Mapping[str, str], body: bytes) -> list[ChangeNotification]:
    """Check the signature, then read the events; an intent to receive has none."""
    right = base64.b64encode(hmac.new(key.encode(), body, hashlib.sha256).digest())
    if not hmac.compare_digest(right, headers.get(SIGNATURE_HEADER, "").encode("utf-8", "replace")):
        raise InvalidWebhookSignature("the signature does not fit")
    try:
        events = msgspec.json.decode(body, type=_Body).events
    except (msgspec.MsgspecError, RecursionError):
        return []  # signed by Xero and not understood here: refused, it would come for a day, and then nothing more
    return [
        ChangeNotification(_fingerprint(event), event.tenant, event.resource, event.category == "CONTACT")
        for event in events
        if event.category in _CATEGORIES and event.tenant and event.resource
    ]


def _fingerprint(event: _Event) -> str:
    """Name an event by what it says: Xero gives it no id, and may send it again."""
    said = f"{event.tenant}|{event.resource}|{event.category}|{event.type}|{event.at}"
    return hashlib.sha256(said.encode()).hexdigest()[:32]
