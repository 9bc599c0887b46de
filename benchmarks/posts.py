"""What vendors post to our webhooks, signed: each event 46 times, as SendGrid was seen to do it, in any order.

That many copies were counted by a user (github.com/sendgrid/docs, issue 2933); a batch holds at most 768 kB.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from providers.sandbox.announcing import Announcer
from providers.sandbox.quickbooks.webhook import Change, cloud_events, old_form
from providers.sandbox.sendgrid.webhook import Webhook
from providers.sandbox.xero.webhook import body_of

COPIES = 46
SENDGRID = Webhook(seed=1)
XERO, QUICKBOOKS = Announcer("bench-xero-key", "x-xero-signature"), Announcer("bench-token", "intuit-signature")
_BATCH = 2000  # events of some 350 bytes
CHANGES = 20  # in one notification of a ledger
_BOUNCES_EVERY, _NAMELESS_EVERY = 10, 50  # of the mails; a nameless bounce says its address alone
Json = dict[str, Any]


class Post(NamedTuple):
    """One request: what it is called in the table, where it goes, and what is sent."""

    name: str
    path: str
    body: bytes
    headers: dict[str, str]


def mail_events(mails: int, first: int, company: int) -> list[Json]:
    """Make what became of some mails of the outbox of ``full_year``: processed, delivered, some bounced later on."""
    events: list[Json] = []
    for n in range(first, first + mails):
        mail = {"email": f"c{n}@example.org", "sg_message_id": f"m{n}", "smtp-id": f"<{n}@bench>"}
        kinds = ["processed", "delivered", *(["bounce"] if n % _BOUNCES_EVERY == 0 else [])]
        for kind in kinds:
            named = {} if kind == "bounce" and n % _NAMELESS_EVERY == 0 else {"duewell_key": f"{company}:mail:{n}"}
            why = {"reason": "550 no such user here", "type": "bounce"} if kind == "bounce" else {}
            said = {"event": kind, "sg_event_id": f"{kind}-{n}", "timestamp": int(time.time())}
            events.append({**mail, **said, **why, **named})
    return events


def of_mails(events: list[Json], chance: random.Random) -> Iterator[Post]:
    """Post mail events, every one 46 times, shuffled."""
    copies = events * COPIES
    chance.shuffle(copies)
    for start in range(0, len(copies), _BATCH):
        body, headers = SENDGRID.signed(copies[start : start + _BATCH], int(time.time()))
        yield Post("SendGrid, 2,000 events", "/webhooks/sendgrid", body, headers)


def of_ledgers(xero: str, quickbooks: str, notifications: int, chance: random.Random) -> list[Post]:
    """Post what changed in the books, every notification 46 times, shuffled: Xero's, and Intuit's in both its forms."""
    posts: list[Post] = []
    for n in range(notifications):
        numbers = range(n * CHANGES, (n + 1) * CHANGES)
        now = datetime.now(UTC)
        changes = [Change(quickbooks, "Invoice", number, "updated", now) for number in numbers]
        old = [change._replace(entity="Payment") for change in changes]  # the two forms tell of different records
        body = msgspec.json.encode(body_of([_xero_event(xero, f"i{number}", now) for number in numbers], n + 1))
        posts.append(Post("Xero, 20 changes", "/webhooks/xero", body, XERO.signed(body)))
        for name, told in (("CloudEvents", cloud_events(changes)), ("old form", old_form(old))):
            body = msgspec.json.encode(told)
            named = f"QuickBooks {name}, 20 changes"
            posts.append(Post(named, "/webhooks/quickbooks", body, QUICKBOOKS.signed(body)))
    posts *= COPIES
    chance.shuffle(posts)
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
