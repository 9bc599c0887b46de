"""Xero's webhooks: checks that a request is Xero's, and returns the documents that it reports as changed.

A body holds ids, and for credit notes, prepayments and payments their type: only receivables count. A payment is also
reported as an update of its invoice. A category that is not known here is ignored, and logged once. Sources:
``xero-webhooks.yaml`` of Xero's OpenAPI documents (CREDITNOTE 2025-12, PREPAYMENT 2026-08, PAYMENT 2026-11), and
"Configuring your server" (developer.xero.com/documentation/webhooks): Xero first tests that a wrong signature is
answered 401.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from providers.capabilities import ChangeNotification, InvalidWebhookSignature

SIGNATURE_HEADER: Final = "x-xero-signature"
_CATEGORIES: Final = frozenset({"INVOICE", "CONTACT", "CREDITNOTE", "PREPAYMENT", "PAYMENT"})
_NOT_OURS: Final = frozenset({"SUBSCRIPTION"})  # of the app in Xero's store
_PAYABLE_TYPE: Final = re.compile(r"ACCPAY|SPEND|AP(CREDIT|PREPAYMENT|OVERPAYMENT)")
_log = logging.getLogger("duewell.xero")
_reported_categories: set[str] = set()


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
    data: Any = None

    @property
    def is_payable(self) -> bool:
        """Whether it is about a supplier, as far as the event tells."""
        kind = self.data.get("Type") if isinstance(self.data, dict) else ""
        return bool(_PAYABLE_TYPE.match(str(kind)))


class _Body(msgspec.Struct):
    events: list[Any] = []


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
        for event in _read_events(events)
    ]


def _read_events(events: list[Any]) -> Iterator[_Event]:
    """Yield the events about receivables; one that is not understood does not stop the others."""
    for each in events:
        try:
            event = msgspec.convert(each, _Event)
        except msgspec.ValidationError:
            continue
        if event.category not in _CATEGORIES:
            _report_once(event.category)
        elif event.tenant and event.resource and not event.is_payable:
            yield event


def _report_once(category: str) -> None:
    """Log a category that is not known here: it may be one worth reading."""
    name = re.sub(r"[^A-Z0-9_]", "?", category[:40])
    if name not in _NOT_OURS | _reported_categories and len(_reported_categories) < 100:
        _reported_categories.add(name)
        _log.warning("Xero sends webhook events of the category %s, which duewell does not know and ignores", name)


def _fingerprint(event: _Event) -> str:
    """Return an id made of the event's content: Xero gives it none, and may send it again."""
    content = f"{event.tenant}|{event.resource}|{event.category}|{event.type}|{event.at}"
    return hashlib.sha256(content.encode()).hexdigest()[:32]
