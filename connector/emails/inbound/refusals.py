"""Emails that reached nobody: they complete no step and warn nobody, so their steps run again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import or_, select, update
from sqlmodel import Session, col

from connector.db.tables import CompletedStep, Connection, CustomerRow, EmailEvent, OutboxEntry
from connector.geo import today_in
from connector.outbox.entries import completed_steps
from connector.outbox.payloads import EmailPayload, invoice_ids, load_payload, payload_as
from connector.outbox.released_steps import release_steps
from connector.vocabulary import OutboxKind, OutboxState
from policies.receivables import Step
from providers.delivery_events import DeliveryEvent, EventKind
from providers.mailer import RefusalCause

RETURNED_WITHIN = timedelta(days=5)  # a server that has accepted an email tries for so long, and then returns it
REACHED_LATER = "a later email has reached them"  # the outcome of a task about an email that was not delivered
_SENT_STATES = (OutboxState.SENDING, OutboxState.DONE, OutboxState.UNCONFIRMED)


def find_refused_email(session: Session, event: DeliveryEvent, customers: Sequence[CustomerRow]) -> OutboxEntry | None:
    """Return the email that a refusal without a key is about: the one it names, else the last one to the address."""
    since_at = event.at - RETURNED_WITHIN
    found: list[OutboxEntry] = []
    for customer in customers:
        rows = session.scalars(
            select(OutboxEntry).where(
                col(OutboxEntry.connection_id) == customer.connection_id,
                col(OutboxEntry.customer_id) == customer.external_id,
                col(OutboxEntry.kind) == OutboxKind.EMAIL,
                col(OutboxEntry.state).in_(_SENT_STATES),
                col(OutboxEntry.dispatched_at) >= since_at,
                col(OutboxEntry.dispatched_at) <= event.at,
            )
        )
        found += [row for row in rows if event.address in _recipients(row)]
    if message_id := event.message_id.partition(".")[0]:  # else it is about an email that somebody else sent
        found = [row for row in found if row.reference.partition(".")[0] in {"", message_id}]
        found = [row for row in found if row.reference] or found
    return max(found, key=lambda row: (row.dispatched_at, row.id), default=None)


def take_back(session: Session, entry: OutboxEntry) -> bool:
    """Take back the steps of an email that was refused for each of its recipients; return whether this did so."""
    if entry.kind != OutboxKind.EMAIL or entry.state not in _SENT_STATES or entry.refusal:
        return False
    refusal = _refusal_by_all(session, entry)
    if refusal is None:
        return False
    entry.refusal = refusal
    release_steps(session, entry)
    _decide_again(session, entry)
    return True


def put_back(session: Session, entry: OutboxEntry) -> bool:
    """Complete the steps again of an email that was delivered after a refusal; return whether this did so.

    That is so where two attempts have one key, and the first one was refused. A step that was completed by another
    email meanwhile stays that email's.
    """
    if not entry.refusal or entry.dispatched_at is None or _refusal_by_all(session, entry) is not None:
        return False
    entry.refusal = ""
    on = today_in(session.get_one(Connection, entry.connection_id).time_zone, entry.dispatched_at)
    for step in completed_steps(entry, at=entry.dispatched_at, on=on):
        if session.get(CompletedStep, (step.connection_id, step.invoice_id, step.step, step.recurrence_key)) is None:
            step.outbox_id = entry.id
            session.add(step)
    _decide_again(session, entry)
    return True


def _refusal_by_all(session: Session, entry: OutboxEntry) -> RefusalCause | None:
    """Return what the refusals of an email are about; None where one of its recipients did not refuse it.

    A refusal counts for nothing if a later attempt was delivered to that address.
    """
    rows = session.scalars(
        select(EmailEvent)
        .where(
            col(EmailEvent.key) == entry.key,
            or_(col(EmailEvent.refusal) != "", col(EmailEvent.kind) == EventKind.DELIVERED),
        )
        .order_by(col(EmailEvent.at))
    ).all()
    causes = {
        row.address: RefusalCause(row.refusal)
        for row in rows
        if row.refusal and not any(_is_later_attempt(each, row) for each in rows)
    }
    recipients = _recipients(entry)
    if not recipients or not recipients <= causes.keys():
        return None
    others = {causes[address] for address in recipients} - {RefusalCause.ADDRESS}
    return min(others, default=RefusalCause.ADDRESS)


def _is_later_attempt(delivered: EmailEvent, refused: EmailEvent) -> bool:
    """Whether an event is the delivery of another attempt, to the address that refused an earlier one.

    Of one attempt the refusal is its end, whatever the clocks of the email service say.
    """
    messages = {row.reference.partition(".")[0] for row in (delivered, refused)}
    is_same = delivered.address == refused.address and delivered.kind == EventKind.DELIVERED
    return is_same and delivered.at > refused.at and len(messages - {""}) == 2


def _decide_again(session: Session, entry: OutboxEntry) -> None:
    only_this = col(Connection.id) == entry.connection_id
    session.execute(update(Connection).where(only_this).values(decision_fingerprint=""))


def was_fee_charged_after(session: Session, entry: OutboxEntry) -> bool:
    """Return whether a late fee was charged since, on an invoice that the email was about."""
    return (
        session.scalars(
            select(CompletedStep)
            .where(
                col(CompletedStep.connection_id) == entry.connection_id,
                col(CompletedStep.invoice_id).in_(invoice_ids(load_payload(entry).completed)),
                col(CompletedStep.step) == Step.LATE_FEE,
                col(CompletedStep.completed_at) >= (entry.dispatched_at or entry.planned_at),
            )
            .limit(1)
        ).first()
        is not None
    )


def _recipients(entry: OutboxEntry) -> set[str]:
    """Return who had to get the email; blind copies are often the company's own."""
    payload = payload_as(EmailPayload, entry)
    return {address.lower() for address in (*payload.to, *payload.cc)}
