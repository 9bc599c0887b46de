"""What became of emails, as SendGrid reports: each event counts once, in any order, however late.

An event with an outbox key proves that its email was sent. It resolves an unconfirmed delivery, and it keeps an email
that a user had planned again ("not sent") from being sent twice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime

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

_FAILURES = {
    "blocked": "was rejected by the recipient's server",
    "bounce": "bounced",
    "dropped": "was dropped by SendGrid",
    "spamreport": "was reported as spam",
    "unsubscribe": "led to an unsubscribe from all emails",
}
_PROOF = "an event from SendGrid shows that it was sent"
_KEY_MAX = 500
_BATCH_SIZE = 5000  # ids in one query, which both databases accept


def receive_events(app: AppContext, events: Iterable[DeliveryEvent]) -> int:
    """Store events in one commit and return how many are new.

    Most events are duplicates: a batch of those is answered without waiting for the write lock.
    """
    by_id: dict[str, DeliveryEvent] = {}
    for event in events:
        by_id.setdefault(event.id, event)
    with reading(app.engine) as session:
        by_id = _drop_known(session, by_id)
    if not by_id:
        return 0
    with writing(app.engine) as session:
        by_id = _drop_known(session, by_id)
        if not by_id:  # the same batch was stored meanwhile
            return 0
        session.execute(insert(EmailEvent), [_event_row(event, app.now()) for event in by_id.values()])
        entries = _find_entries(session, {event.key for event in by_id.values() if event.key})
        for event in by_id.values():
            _apply_event(app, session, entries.get(event.key), event)
        return len(by_id)


def find_delivery_proof(session: Session, key: str) -> str | None:
    """Return SendGrid's id of an email that an event proves was sent; None where there is no event."""
    found = session.scalars(select(EmailEvent).where(col(EmailEvent.key) == key).limit(1)).first()
    return None if found is None else found.reference or found.id


def _drop_known(session: Session, events: Mapping[str, DeliveryEvent]) -> dict[str, DeliveryEvent]:
    """Return the events that are not stored yet."""
    known: set[str] = set()
    for ids in _batches(events):
        known.update(session.scalars(select(col(EmailEvent.id)).where(col(EmailEvent.id).in_(ids))))
    return {event_id: event for event_id, event in events.items() if event_id not in known}


def _find_entries(session: Session, keys: Collection[str]) -> dict[str, OutboxEntry]:
    found: dict[str, OutboxEntry] = {}
    for some in _batches(keys):
        rows = session.scalars(select(OutboxEntry).where(col(OutboxEntry.key).in_(some)))
        found |= {row.key: row for row in rows}
    return found


def _batches(ids: Collection[str]) -> Iterator[list[str]]:
    ordered = sorted(ids)
    for start in range(0, len(ordered), _BATCH_SIZE):
        yield ordered[start : start + _BATCH_SIZE]


def _event_row(event: DeliveryEvent, now: datetime) -> dict[str, object]:
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
        if not entry.delivery_status or _rank(event.kind) > _rank(entry.delivery_status):
            entry.delivery_status = event.kind
    if event.kind in _FAILURES:
        _report_failure(app, session, entry, event)


def _rank(kind: str) -> int:
    return DELIVERY_EVENTS.index(kind)


def _resolve_delivery(app: AppContext, session: Session, entry: OutboxEntry, event: DeliveryEvent) -> None:
    """Take the event as proof that the email was sent. What a run is sending now is resolved by that run."""
    reference = event.message_id or event.id
    if entry.state == OutboxState.UNCONFIRMED:
        outbox_entries.mark_done(session, entry, at=app.now(), reference=reference, detail=_PROOF)
    elif entry.state in outbox_entries.UNSENT_STATES and entry.attempts:
        zone = session.get_one(Connection, entry.connection_id).time_zone
        try:
            with session.begin_nested():
                outbox_entries.mark_sending(session, entry, at=event.at, on=today_in(zone, event.at))
        except StepAlreadyCompleted:
            return
        outbox_entries.mark_done(session, entry, at=app.now(), reference=reference, detail=_PROOF)
    else:
        return
    customer = session.get(CustomerRow, (entry.connection_id, entry.customer_id))
    if customer is not None:
        text = f"Resolved: {_PROOF}. {entry.reason}"
        review_tasks.log_for_customer(app, session, customer, kind=LogKind.RESOLVED, text=text)


def _report_failure(app: AppContext, session: Session, entry: OutboxEntry | None, event: DeliveryEvent) -> None:
    """Create a task, for each customer emailed at that address, that an email did not reach its recipient."""
    failure = _FAILURES[event.kind]
    sentence = f"An email to {one_line(event.address, 120)} {failure}"
    if event.reason:
        sentence += f": {one_line(event.reason, 200)}"
    if event.suppresses_address:
        suppressions.suppress(session, event.address, failure.removeprefix("was "), app.now())
    for customer in _find_affected_customers(session, entry, event.address):
        reason = (
            f"{one_line(customer.name)}: {sentence[:1].lower()}{sentence[1:]}. Find out how to reach them; to set a "
            f"new address: duewell customers set {customer.external_id} --contact"
        )
        recurrence_key = f"{event.kind}:{event.address}:{event.at:%Y-%m-%d}"
        review_tasks.create_review_task(
            app, session, customer, code=TaskCode.UNDELIVERED, recurrence_key=recurrence_key, reason=reason
        )
        review_tasks.log_for_customer(app, session, customer, kind=LogKind.UNDELIVERED, text=f"{sentence}.")


def _find_affected_customers(session: Session, entry: OutboxEntry | None, address: str) -> Sequence[CustomerRow]:
    """Return the email's customer where the event names the email, else every customer emailed at the address."""
    if entry is not None:
        customer = session.get(CustomerRow, (entry.connection_id, entry.customer_id))
        return [customer] if customer is not None else []
    if not address:
        return []
    same_customer = (col(CustomerSetting.connection_id) == CustomerRow.connection_id) & (
        col(CustomerSetting.customer_id) == CustomerRow.external_id
    )
    matches = [
        each.icontains(address, autoescape=True) for each in (col(CustomerRow.emails), col(CustomerSetting.emails))
    ]
    rows = session.execute(
        select(CustomerRow, CustomerSetting).outerjoin(CustomerSetting, same_customer).where(or_(*matches))
    )
    found = []
    for customer, setting in rows:
        used = (setting.emails if setting is not None else "") or customer.emails
        if address in {each.strip().lower() for each in used.split(",")}:
            found.append(customer)
    return found
