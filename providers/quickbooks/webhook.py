"""Intuit's webhooks: checks that a request is Intuit's, and returns the records that it reports as changed.

Since 2026, events are CloudEvents, a list of ``qbo.invoice.updated.v1`` and the like; before, they were nested in
``eventNotifications``. Unknown kinds are accepted: if rejected, Intuit would send them for ever.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from providers.capabilities import ChangeNotification, InvalidWebhookSignature

SIGNATURE_HEADER: Final = "intuit-signature"


def parse_notifications(key: str, headers: Mapping[str, str], body: bytes) -> list[ChangeNotification]:
    """Check the signature and return the changes of all companies. Raises ``InvalidWebhookSignature``."""
    expected = base64.b64encode(hmac.new(key.encode(), body, hashlib.sha256).digest())
    if not hmac.compare_digest(expected, headers.get(SIGNATURE_HEADER, "").encode("utf-8", "replace")):
        raise InvalidWebhookSignature("the signature is wrong")
    try:
        payload = msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        return []
    events = _cloud_events(payload) if isinstance(payload, list) else _legacy_events(payload)
    return [event for event in events if event.company_id]


def _cloud_events(payload: list[Any]) -> Iterator[ChangeNotification]:
    for event in payload:
        if isinstance(event, dict):
            company, entity = str(event.get("intuitaccountid") or ""), str(event.get("intuitentityid") or "")
            event_id = event.get("id") or _fingerprint(company, entity, event.get("type"), event.get("time"))
            is_customer = str(event.get("type")).split(".")[1:2] == ["customer"]
            yield ChangeNotification(str(event_id)[:100], company, entity, is_customer)


def _legacy_events(payload: Any) -> Iterator[ChangeNotification]:
    for notification in _list(payload, "eventNotifications"):
        company = str(notification.get("realmId") or "")
        for entity in _list(notification.get("dataChangeEvent"), "entities"):
            values = [entity.get(name) for name in ("name", "id", "operation", "lastUpdated")]
            is_customer = entity.get("name") == "Customer"
            yield ChangeNotification(_fingerprint(company, *values), company, str(entity.get("id") or ""), is_customer)


def _list(parent: Any, name: str) -> list[dict[str, Any]]:
    found = parent.get(name) if isinstance(parent, dict) else None
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _fingerprint(*values: object) -> str:
    return hashlib.sha256("|".join(map(str, values)).encode()).hexdigest()[:32]
