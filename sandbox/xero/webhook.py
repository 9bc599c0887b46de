"""The webhook events of the simulated Xero: the ids of changed invoices, contacts, credit notes and prepayments."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import msgspec
import requests

from sandbox.core import JsonObject
from sandbox.webhook_sender import WebhookSender
from sandbox.xero.organisation import Organisation

_TYPES = {"CREDITNOTE": "ACCRECCREDIT", "PREPAYMENT": "RECEIVE-PREPAYMENT"}


def list_changes(organisation: Organisation, since: datetime) -> Iterator[JsonObject]:
    """Yield the events of one organisation; a payment is an update of its invoice, and bills are invoices too."""
    notes, prepayments = organisation.credits["CreditNote"], organisation.credits["Prepayment"]
    shelves: JsonObject = {
        "INVOICE": organisation.invoices,
        "CONTACT": organisation.contacts,
        "CREDITNOTE": notes,
        "PREPAYMENT": prepayments,
    }
    for category, shelf in shelves.items():
        for document in shelf.changed_after(since):
            event: JsonObject = {
                "resourceUrl": f"https://api.xero.com/api.xro/2.0/{category.title()}s/{document.id}",
                "resourceId": document.id,
                "tenantId": organisation.tenant_id,
                "tenantType": "ORGANISATION",
                "eventCategory": category,
                "eventType": "UPDATE",
                "eventDateUtc": document.updated_at.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3],
            }
            if category in _TYPES:
                event["data"] = {"Type": _TYPES[category], "Status": document.status}
            yield event


def build_body(events: list[JsonObject], first: int) -> JsonObject:
    """Return the body of a POST with these events."""
    last = first + len(events) - 1 if events else 0
    return {"events": events, "firstEventSequence": first, "lastEventSequence": last, "entropy": f"S{first:019}"}


def verify_intent_to_receive(sender: WebhookSender) -> bool:
    """Test a new webhook as Xero does: right signatures must get a 200, wrong ones a 401, both without a body."""
    body = msgspec.json.encode(build_body([], 0))
    right = sender.send(body, sender.signed_headers(body))
    wrong = [
        sender.send(body, sender.signed_headers(body, "another key")),
        sender.send(body + b" ", sender.signed_headers(body)),
    ]
    return right == requests.codes.ok and all(status == requests.codes.unauthorized for status in wrong)
