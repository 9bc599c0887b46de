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
            entity_type, operation = (*str(event.get("type")).casefold().split("."), "", "")[1:3]
            merged = _merged_id(event.get("data"), entity) if operation == "merged" else ""
            yield _notification(str(event_id)[:100], company, entity, entity_type, merged)


def _legacy_events(payload: Any) -> Iterator[ChangeNotification]:
    for notification in _list(payload, "eventNotifications"):
        company = str(notification.get("realmId") or "")
        for entity in _list(notification.get("dataChangeEvent"), "entities"):
            values = [entity.get(name) for name in ("name", "id", "operation", "lastUpdated")]
            survivor = str(entity.get("id") or "")
            merged = _merged_id(entity, survivor) if str(entity.get("operation")).casefold() == "merge" else ""
            event_id = _fingerprint(company, *values, *([merged] if merged else []))
            yield _notification(event_id, company, survivor, str(entity.get("name")).casefold(), merged)


def _notification(event_id: str, company: str, entity: str, entity_type: str, merged: str) -> ChangeNotification:
    is_customer = entity_type == "customer"
    return ChangeNotification(event_id, company, entity, is_customer, merged if is_customer else "")


def _merged_id(parent: Any, survivor: str) -> str:
    """Return the id of the record that was merged into another: ``deletedid``, written in several ways."""
    fields = parent if isinstance(parent, dict) else {}
    found = next((value for name, value in fields.items() if name.casefold() == "deletedid"), None)
    merged = str(found) if isinstance(found, str | int) and not isinstance(found, bool) else ""
    return "" if merged == survivor else merged[:100]


def _list(parent: Any, name: str) -> list[dict[str, Any]]:
    found = parent.get(name) if isinstance(parent, dict) else None
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _fingerprint(*values: object) -> str:
    return hashlib.sha256("|".join(map(str, values)).encode()).hexdigest()[:32]
