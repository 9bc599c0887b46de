"""Xero's webhooks: checks that a request is Xero's, and returns the documents that it reports as changed.

A body holds ids only, never what changed. The categories used are INVOICE, CONTACT and CREDITNOTE; a payment is
reported as an update of its invoice. Sources: ``xero-webhooks.yaml`` of Xero's OpenAPI documents, and "Configuring your
server" (developer.xero.com/documentation/webhooks): Xero first tests that a wrong signature is answered 401.
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
    """Check the signature and return the changes; a request that tests the intent to receive has none.

    Raises ``InvalidWebhookSignature``.
    """
    expected = base64.b64encode(hmac.new(key.encode(), body, hashlib.sha256).digest())
    if not hmac.compare_digest(expected, headers.get(SIGNATURE_HEADER, "").encode("utf-8", "replace")):
        raise InvalidWebhookSignature("the signature is wrong")
    try:
        events = msgspec.json.decode(body, type=_Body).events
    except (msgspec.MsgspecError, RecursionError):
        return []  # signed by Xero but not understood: if rejected, Xero would repeat it for a day and then stop
    return [
        ChangeNotification(_fingerprint(event), event.tenant, event.resource, event.category == "CONTACT")
        for event in events
        if event.category in _CATEGORIES and event.tenant and event.resource
    ]


def _fingerprint(event: _Event) -> str:
    """Return an id made of the event's content: Xero gives it none, and may send it again."""
    content = f"{event.tenant}|{event.resource}|{event.category}|{event.type}|{event.at}"
    return hashlib.sha256(content.encode()).hexdigest()[:32]
