"""What became of mails, as the mail system tells: each event counts once, in any order, however late.

An event with an outbox key proves that its mail left: it settles a doubt, and it keeps a mail that was planned again
after a person's "it did not arrive" from leaving twice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import insert, or_, select
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.arrangements import review_tasks, suppressions
from connector.db.engine import reading, writing
from connector.db.tables import Connection, CustomerRow, CustomerSetting, EmailEvent, OutboxEntry
from connector.geo import today_in
from connector.outbox import entries as outbox_entries
from connector.outbox.entries import StepAlreadyCompleted
from connector.plain_text import one_line
from connector.vocabulary import LogKind, OutboxState, TaskCode
from providers.sendgrid.webhook import DELIVERY_EVENTS, DeliveryEvent

_FAILURE_TEXTS = {
    "blocked": "was turned away by its receiver",
    "bounce": "bounced",
    "dropped": "was not sent on by SendGrid",
    "spamreport": "was reported as spam",
    "unsubscribe": "was answered by unsubscribing from everything",
}
_KEY_MAX = 500
_BATCH_SIZE = 5000  # so many ids fit into one query on both databases


def receive_events(app: AppContext, events: Iterable[DeliveryEvent]) -> int:
    """Take events in, in one commit; return how many of them are new.

    Most are copies of what is known: a batch of those is answered without waiting for anybody who writes.
    """
    told: dict[str, DeliveryEvent] = {}
    for event in events:
        told.setdefault(event.id, event)
    with reading(app.engine) as session:
        told = _drop_known(session, told)
    if not told:
        return 0
    with writing(app.engine) as session:
        told = _drop_known(session, told)
        if not told:  # a copy that came at the same time was faster
            return 0
        session.execute(insert(EmailEvent), [_event_row(event, app.now()) for event in told.values()])
        entries = _find_entries(session, {event.key for event in told.values() if event.key})
        for event in told.values():
            _apply_event(app, session, entries.get(event.key), event)
        return len(told)


def find_delivery_proof(session: Session, key: str) -> str | None:
    """Find the mail system's id of a mail that an event has told of: it left. None: nothing was told."""
    found = session.scalars(select(EmailEvent).where(col(EmailEvent.key) == key).limit(1)).first()
    return None if found is None else found.reference or found.id


def _drop_known(session: Session, events: dict[str, DeliveryEvent]) -> dict[str, DeliveryEvent]:
    """Leave out what is known already."""
    known: set[str] = set()
    for some in _batches(events):
        known.update(session.scalars(select(col(EmailEvent.id)).where(col(EmailEvent.id).in_(some))))
    return {name: event for name, event in events.items() if name not in known}


def _find_entries(session: Session, keys: Collection[str]) -> dict[str, OutboxEntry]:
    found: dict[str, OutboxEntry] = {}
    for some in _batches(keys):
        rows = session.scalars(select(OutboxEntry).where(col(OutboxEntry.key).in_(some)))
        found |= {row.key: row for row in rows}
    return found


def _batches(names: Collection[str]) -> Iterator[list[str]]:
    every = sorted(names)
    for start in range(0, len(every), _BATCH_SIZE):
        yield every[start : start + _BATCH_SIZE]


def _event_row(event: DeliveryEvent, now: datetime) -> dict[str, Any]:
    return {
        "id": event.id,
        "key": event.key[:_KEY_MAX],
        "kind": event.kind,
        "address": event.address,
        "reference": event.message_id,
        "at": event.at,
        "received_at": now,
    }


def _apply_event(app: AppContext, session: Session, entry: OutboxEntry | None, event: DeliveryEvent) -> None:
    if entry is not None:
        _resolve_delivery(app, session, entry, event)
        if not entry.delivery_status or DELIVERY_EVENTS.index(event.kind) > DELIVERY_EVENTS.index(
            entry.delivery_status
        ):
            entry.delivery_status = event.kind
    if event.kind in _FAILURE_TEXTS:
        _report_failure(app, session, entry, event)


def _resolve_delivery(app: AppContext, session: Session, entry: OutboxEntry, event: DeliveryEvent) -> None:
    """Take the event as proof that the mail left. What is under way now is settled by its own run."""
    reference, answer = event.message_id or event.id, "an event of the mail system shows that it left"
    if entry.state == OutboxState.UNCONFIRMED:
        outbox_entries.mark_done(session, entry, at=app.now(), reference=reference, detail=answer)
    elif entry.state in outbox_entries.UNSENT_STATES and entry.attempts:
        zone = session.get_one(Connection, entry.connection_id).time_zone
        try:
            with session.begin_nested():
                outbox_entries.mark_sending(session, entry, at=event.at, on=today_in(zone, event.at))
        except StepAlreadyCompleted:
            return
        outbox_entries.mark_done(session, entry, at=app.now(), reference=reference, detail=answer)
    else:
        return
    customer = session.get(CustomerRow, (entry.connection_id, entry.customer_id))
    if customer is not None:
        text = f"Settled: {answer}. {entry.reason}"
        review_tasks.log_for_customer(app, session, customer, kind=LogKind.RESOLVED, text=text)


def _report_failure(app: AppContext, session: Session, entry: OutboxEntry | None, event: DeliveryEvent) -> None:
    """Say that a mail did not reach its reader, to the people who mind the customers at that address."""
    words = f"mail to {one_line(event.address, 120)} {_FAILURE_TEXTS[event.kind]}"
    reason = f"{words}{': ' if event.reason else ''}{one_line(event.reason, 200)}"
    if event.suppresses_address:
        suppressions.suppress(session, event.address, _FAILURE_TEXTS[event.kind].removeprefix("was "), app.now())
    for customer in _find_affected_customers(session, entry, event.address):
        name = one_line(customer.name)
        text = f"{name}: {reason}. Find out how to reach him"
        hint = f"; a new address: duewell customers set {customer.external_id} --contact"
        recurrence_key = f"{event.kind}:{event.address}:{event.at:%Y-%m-%d}"
        review_tasks.create_review_task(
            app, session, customer, code=TaskCode.UNDELIVERED, recurrence_key=recurrence_key, reason=f"{text}{hint}"
        )
        review_tasks.log_for_customer(
            app, session, customer, kind=LogKind.UNDELIVERED, text=f"{reason[:1].upper()}{reason[1:]}."
        )


def _find_affected_customers(session: Session, entry: OutboxEntry | None, address: str) -> Sequence[CustomerRow]:
    """Find the customers that are mailed at an address; the mail's own where the event names its mail."""
    if entry is not None:
        customer = session.get(CustomerRow, (entry.connection_id, entry.customer_id))
        return [customer] if customer is not None else []
    if not address:
        return []
    here = (col(CustomerSetting.connection_id) == CustomerRow.connection_id) & (
        col(CustomerSetting.customer_id) == CustomerRow.external_id
    )
    parts = [col(each).icontains(address, autoescape=True) for each in (CustomerRow.emails, CustomerSetting.emails)]
    rows = session.execute(select(CustomerRow, CustomerSetting).outerjoin(CustomerSetting, here).where(or_(*parts)))
    found = []
    for customer, setting in rows:
        used = (setting.emails if setting is not None else "") or customer.emails
        if address in {each.strip().lower() for each in used.split(",")}:
            found.append(customer)
    return found
