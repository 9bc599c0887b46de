"""What became of emails, as SendGrid or a delivery report tells it: each event counts once, in any order, however late.

An event with an outbox key proves that its email was sent. It resolves an unconfirmed delivery, and it keeps an email
that a user had planned again ("not sent") from being sent twice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime

import msgspec
from sqlalchemy import insert, select
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.arrangements import review_tasks, suppressions
from connector.audit import sync_log
from connector.db.engine import reading, writing
from connector.db.tables import (
    Connection,
    CustomerRow,
    EmailEvent,
    ErasedCustomer,
    OutboxEntry,
)
from connector.emails.inbound import refusals
from connector.emails.inbound.addressed_customers import find_affected_customers, find_known_addresses
from connector.geo import today_in
from connector.outbox import entries as outbox_entries
from connector.outbox.entries import StepAlreadyCompleted
from connector.plain_text import one_line
from connector.vocabulary import LogKind, OutboxKind, OutboxState, TaskCode
from providers.delivery_events import DELIVERY_EVENTS, DeliveryEvent, EventKind
from providers.mailer import RefusalCause

FAILURES = {
    EventKind.BLOCKED: "was rejected by the recipient's server",
    EventKind.BOUNCE: "bounced",
    EventKind.DROPPED: "was dropped by the email service",
    EventKind.SPAM_REPORT: "was reported as spam",
    EventKind.UNSUBSCRIBE: "led to an unsubscribe from all emails",
}
_GROUP_UNSUBSCRIBE = "led to an unsubscribe from this kind of email"
_SUPPRESSION_REASONS = {
    EventKind.BOUNCE: "an email bounced",
    EventKind.BLOCKED: "their server rejects it",
    EventKind.DROPPED: "the email service drops it",
    EventKind.SPAM_REPORT: "the recipient reported an email as spam",
    EventKind.UNSUBSCRIBE: "the recipient unsubscribed from all emails",
}
_ADVICE = {
    RefusalCause.RECIPIENT: "The address may be right, and it is emailed again; if this repeats, find out how to reach"
    " them.",
    RefusalCause.SENDER: "This is not about their address, which is emailed again: look into your email service, or at"
    " the text of the email.",
}
_TAKEN_BACK = "The email counts as not sent: its step runs again, and it has warned nobody."
_PROOF = "a delivery event shows that it was sent"
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
        known = find_known_addresses(session, {event.address for event in by_id.values() if _may_be_ours(event)})
        identified = [each for event in by_id.values() if (each := _identify(session, event, known)) is not None]
        entries = _find_entries(session, {event.key for event in identified if event.key})
        kept = [_without_erased(session, entries.get(event.key), event) for event in identified]
        if kept:
            session.execute(insert(EmailEvent), [_event_row(event, app.now()) for event in kept])
        for event in kept:
            _apply_event(app, session, entries.get(event.key), event)
        return len(kept)


def find_delivery_proof(session: Session, key: str) -> str | None:
    """Return the email service's id of an email that an event proves was sent; None where there is no event."""
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


def _identify(session: Session, event: DeliveryEvent, known: Collection[str]) -> DeliveryEvent | None:
    """Return an event with the key of the email it is about, as far as that can be told; None if it is not about us.

    The same account of the email service may send newsletters, to anybody. Of those it matters only that an address of
    a customer is bad, or that its owner wants no email at all: then the service drops ours as well. ``known`` are the
    addresses of such events at which customers are emailed.
    """
    if event.key:
        return event
    if event.address not in known or not _may_be_ours(event):
        return None
    customers = find_affected_customers(session, None, event.address)
    entry = refusals.find_refused_email(session, event, customers) if event.refusal else None
    if entry is not None:
        return msgspec.structs.replace(event, key=entry.key)
    return event if customers and event.suppresses_address else None


def _may_be_ours(event: DeliveryEvent) -> bool:
    """Return whether an event that names none of our emails may be about one, or about a customer's address."""
    return not event.key and not event.is_group and bool(event.refusal or event.suppresses_address)


def _without_erased(session: Session, entry: OutboxEntry | None, event: DeliveryEvent) -> DeliveryEvent:
    """Return an event about an email to an erased customer without what is personal in it."""
    if entry is None or session.get(ErasedCustomer, (entry.connection_id, entry.customer_id)) is None:
        return event
    return msgspec.structs.replace(event, address="", reason="", refusal=None, suppresses_address=False)


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
        "refusal": event.refusal or "",
        "at": event.at,
        "received_at": now,
    }


def _apply_event(app: AppContext, session: Session, entry: OutboxEntry | None, event: DeliveryEvent) -> None:
    if entry is not None:
        _resolve_delivery(app, session, entry, event)
        if event.kind in DELIVERY_EVENTS and _rank(event.kind) > _rank(entry.delivery_status):
            entry.delivery_status = event.kind
    if not event.address:  # erased, or none was given
        return
    if event.kind == EventKind.RESUBSCRIBED:
        _release_address(app, session, entry, event)
    elif event.kind == EventKind.DELIVERED:
        _confirm_delivery(app, session, entry, event)
    elif event.kind in FAILURES:
        _report_failure(app, session, entry, event)


def _rank(kind: str) -> int:
    return DELIVERY_EVENTS.index(EventKind(kind)) if kind else -1


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
    if event.is_group and _has_resubscribed(session, event):
        return
    failure = _GROUP_UNSUBSCRIBE if event.is_group else FAILURES[event.kind]
    sentence = f"An email to {one_line(event.address, 120)} {failure}"
    if event.reason:
        sentence += f": {one_line(event.reason, 200)}"
    if event.suppresses_address:
        reason = suppressions.GROUP_UNSUBSCRIBE if event.is_group else _SUPPRESSION_REASONS[event.kind]
        suppressions.suppress(session, event.address, reason, app.now())
    consequences = _take_back(session, entry) if entry is not None and event.refusal is not None else []
    if entry is not None and entry.kind == OutboxKind.OWNER_EMAIL:
        text = f"{sentence}. It was for a user here: check the address in the settings."
        sync_log.write(session, at=app.now(), kind=LogKind.UNDELIVERED, text=text, connection_id=entry.connection_id)
    is_lasting = event.suppresses_address
    for customer in find_affected_customers(session, entry, event.address):
        advice = _ADVICE.get(event.refusal or RefusalCause.ADDRESS) or (
            f"Find out how to reach them; to set a new address: duewell customers set {customer.external_id} --contact"
        )
        reason = " ".join([f"{one_line(customer.name)}: {sentence[:1].lower()}{sentence[1:]}.", *consequences, advice])
        period = event.at.strftime("%Y-%m-%d" if is_lasting else "%Y-%m")  # a full mailbox: one task a month
        recurrence_key = f"{_report_key(event)}{period}"
        review_tasks.create_review_task(
            app,
            session,
            customer,
            code=TaskCode.UNDELIVERED,
            recurrence_key=recurrence_key,
            reason=reason,
            reopen_from=refusals.REACHED_LATER,
        )
        review_tasks.log_for_customer(
            app, session, customer, kind=LogKind.UNDELIVERED, text=" ".join([f"{sentence}.", *consequences])
        )


def _take_back(session: Session, entry: OutboxEntry) -> list[str]:
    """Take back the steps of an email that reached nobody, and return what that means, as sentences."""
    if not refusals.take_back(session, entry):
        return []
    if refusals.was_fee_charged_after(session, entry):
        return [_TAKEN_BACK, "A late fee was charged after it: check whether to waive that."]
    return [_TAKEN_BACK]


def _release_address(app: AppContext, session: Session, entry: OutboxEntry | None, event: DeliveryEvent) -> None:
    """Email somebody again who had unsubscribed from this kind of email, unless they did so again since."""
    if not _has_resubscribed(session, event) or not suppressions.release(session, event.address):
        return
    text = f"{one_line(event.address, 120)} receives emails again: the recipient has subscribed again."
    for customer in find_affected_customers(session, entry, event.address):
        report = _report_key(msgspec.structs.replace(event, kind=EventKind.UNSUBSCRIBE))
        review_tasks.cancel_review_tasks(app, session, customer, TaskCode.UNDELIVERED, report, "they subscribed again")
        review_tasks.log_for_customer(app, session, customer, kind=LogKind.CUSTOMER_UPDATED, text=text)


def _confirm_delivery(app: AppContext, session: Session, entry: OutboxEntry | None, event: DeliveryEvent) -> None:
    """Count an email that was refused first, and delivered later."""
    if entry is None or not refusals.put_back(session, entry):
        return
    entry.delivery_status = event.kind
    text = f"An email to {one_line(event.address, 120)} was delivered after all: it counts as sent."
    for customer in find_affected_customers(session, entry, event.address):
        for kind in (EventKind.BLOCKED, EventKind.BOUNCE, EventKind.DROPPED):
            report = _report_key(msgspec.structs.replace(event, kind=kind))
            review_tasks.cancel_review_tasks(app, session, customer, TaskCode.UNDELIVERED, report, "it was delivered")
        review_tasks.log_for_customer(app, session, customer, kind=LogKind.RESOLVED, text=text)


def _report_key(event: DeliveryEvent) -> str:
    """Return what the keys of all tasks about such a failure at an address begin with."""
    return f"{event.kind}{'-group' if event.is_group else ''}:{event.address}:"


def _has_resubscribed(session: Session, event: DeliveryEvent) -> bool:
    """Return whether the last choice of an address was to subscribe again; events arrive in any order."""
    choices = session.scalars(
        select(col(EmailEvent.kind))
        .where(
            col(EmailEvent.address) == event.address,
            col(EmailEvent.kind).in_([EventKind.UNSUBSCRIBE, EventKind.RESUBSCRIBED]),
        )
        .order_by(col(EmailEvent.at).desc(), col(EmailEvent.received_at).desc())
        .limit(1)
    )
    return choices.first() == EventKind.RESUBSCRIBED
