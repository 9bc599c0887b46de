"""Intuit's webhooks: whether a request is really Intuit's, and what it says has changed, in both forms there are.

Since 2026 events are CloudEvents, a list of ``qbo.invoice.updated.v1`` and the like; the old form nests them in
``eventNotifications``. A kind that is not known here is taken as it comes: refused, it would be sent for ever.
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
    """Check the signature, then read the events of all companies in it."""
    right = base64.b64encode(hmac.new(key.encode(), body, hashlib.sha256).digest())
    if not hmac.compare_digest(right, headers.get(SIGNATURE_HEADER, "").encode("utf-8", "replace")):
        raise InvalidWebhookSignature("the signature does not fit")
    try:
        told = msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        return []
    events = _cloud_events(told) if isinstance(told, list) else _legacy_events(told)
    return [event for event in events if event.company_id]


def _cloud_events(payload: list[Any]) -> Iterator[ChangeNotification]:
    for event in payload:
        if isinstance(event, dict):
            company, entity = str(event.get("intuitaccountid") or ""), str(event.get("intuitentityid") or "")
            name = event.get("id") or _fingerprint(company, entity, event.get("type"), event.get("time"))
            of_customer = str(event.get("type")).split(".")[1:2] == ["customer"]
            yield ChangeNotification(str(name)[:100], company, entity, of_customer)


def _legacy_events(payload: Any) -> Iterator[ChangeNotification]:
    for notification in _list(payload, "eventNotifications"):
        company = str(notification.get("realmId") or "")
        for entity in _list(notification.get("dataChangeEvent"), "entities"):
            said = [entity.get(name) for name in ("name", "id", "operation", "lastUpdated")]
            of_customer = entity.get("name") == "Customer"
            yield ChangeNotification(_fingerprint(company, *said), company, str(entity.get("id") or ""), of_customer)


def _list(parent: Any, name: str) -> list[dict[str, Any]]:
    found = parent.get(name) if isinstance(parent, dict) else None
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _fingerprint(*values: object) -> str:
    return hashlib.sha256("|".join(map(str, values)).encode()).hexdigest()[:32]
