"""The signed notifications that services post to our webhooks: each event 46 times, in any order.

A user counted that many copies from SendGrid (github.com/sendgrid/docs, issue 2933); a batch holds at most 768 kB.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from sandbox.quickbooks.webhook import Change, cloud_events, legacy_events
from sandbox.sendgrid.webhook import EventWebhook
from sandbox.webhook_sender import WebhookSender
from sandbox.xero.webhook import build_body

COPIES = 46
SENDGRID = EventWebhook(seed=1)
XERO, QUICKBOOKS = WebhookSender("bench-xero-key", "x-xero-signature"), WebhookSender("bench-token", "intuit-signature")
_BATCH = 2000  # events of some 350 bytes
CHANGES = 20  # in one notification of a ledger
_BOUNCES_EVERY, _NAMELESS_EVERY = 10, 50  # of the emails; a bounce without our key has only the address
Json = dict[str, Any]


class WebhookRequest(NamedTuple):
    """One request: its name in the table, its path, and its content."""

    name: str
    path: str
    body: bytes
    headers: dict[str, str]


def email_events(emails: int, first: int, company: int) -> list[Json]:
    """Return events for emails of ``full_year``'s outbox: processed, delivered, some bounced later."""
    events: list[Json] = []
    for n in range(first, first + emails):
        mail = {"email": f"c{n}@example.org", "sg_message_id": f"m{n}", "smtp-id": f"<{n}@bench>"}
        kinds = ["processed", "delivered", *(["bounce"] if n % _BOUNCES_EVERY == 0 else [])]
        for kind in kinds:
            named = {} if kind == "bounce" and n % _NAMELESS_EVERY == 0 else {"duewell_key": f"{company}:mail:{n}"}
            reason = {"reason": "550 no such user here", "type": "bounce"} if kind == "bounce" else {}
            said = {"event": kind, "sg_event_id": f"{kind}-{n}", "timestamp": int(time.time())}
            events.append({**mail, **said, **reason, **named})
    return events


def email_event_requests(events: list[Json], rng: random.Random) -> Iterator[WebhookRequest]:
    """Return requests with email events, every one 46 times, shuffled."""
    copies = events * COPIES
    rng.shuffle(copies)
    for start in range(0, len(copies), _BATCH):
        body, headers = SENDGRID.sign(copies[start : start + _BATCH], int(time.time()))
        yield WebhookRequest("SendGrid, 2,000 events", "/webhooks/sendgrid", body, headers)


def ledger_requests(xero: str, quickbooks: str, notifications: int, rng: random.Random) -> list[WebhookRequest]:
    """Return change notifications, every one 46 times, shuffled: Xero's, and Intuit's in both of its formats."""
    posts: list[WebhookRequest] = []
    for n in range(notifications):
        numbers = range(n * CHANGES, (n + 1) * CHANGES)
        now = datetime.now(UTC)
        changes = [Change(quickbooks, "Invoice", number, "updated", now) for number in numbers]
        old = [change._replace(entity="Payment") for change in changes]  # the two formats are about different records
        body = msgspec.json.encode(build_body([_xero_event(xero, f"i{number}", now) for number in numbers], n + 1))
        posts.append(WebhookRequest("Xero, 20 changes", "/webhooks/xero", body, XERO.signed_headers(body)))
        for name, told in (("CloudEvents", cloud_events(changes)), ("old form", legacy_events(old))):
            body = msgspec.json.encode(told)
            named = f"QuickBooks {name}, 20 changes"
            posts.append(WebhookRequest(named, "/webhooks/quickbooks", body, QUICKBOOKS.signed_headers(body)))
    posts *= COPIES
    rng.shuffle(posts)
    return posts


def _xero_event(tenant: str, invoice: str, at: datetime) -> Json:
    return {
        "resourceUrl": f"https://api.xero.com/api.xro/2.0/Invoices/{invoice}",
        "resourceId": invoice,
        "tenantId": tenant,
        "tenantType": "ORGANISATION",
        "eventCategory": "INVOICE",
        "eventType": "UPDATE",
        "eventDateUtc": at.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3],
    }
