"""Emails that reached nobody: they complete no step and warn nobody, so their steps run again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import select, update
from sqlmodel import Session, col

from connector.db.tables import CompletedStep, Connection, CustomerRow, EmailEvent, OutboxEntry
from connector.outbox.payloads import EmailPayload, invoice_ids, load_payload, payload_as
from connector.outbox.released_steps import release_steps
from connector.vocabulary import OutboxKind, OutboxState
from policies.receivables import Step
from providers.delivery_events import DeliveryEvent
from providers.mailer import RefusalCause

RETURNED_WITHIN = timedelta(days=5)  # a server that has accepted an email tries for so long, and then returns it
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
    message_id = event.message_id.partition(".")[0]
    named = [row for row in found if message_id and row.reference.partition(".")[0] == message_id]
    return max(named or found, key=lambda row: (row.dispatched_at, row.id), default=None)


def take_back(session: Session, entry: OutboxEntry) -> bool:
    """Take back the steps of an email that was refused for each of its recipients; return whether this did so."""
    if entry.kind != OutboxKind.EMAIL or entry.state not in _SENT_STATES or entry.refusal:
        return False
    rows = session.execute(
        select(col(EmailEvent.address), col(EmailEvent.refusal)).where(
            col(EmailEvent.key) == entry.key, col(EmailEvent.refusal) != ""
        )
    )
    causes = {address: RefusalCause(refusal) for address, refusal in rows}
    recipients = _recipients(entry)
    if not recipients or not recipients <= causes.keys():
        return False
    others = {causes[address] for address in recipients} - {RefusalCause.ADDRESS}
    entry.refusal = min(others, default=RefusalCause.ADDRESS)
    release_steps(session, entry)
    only_this = col(Connection.id) == entry.connection_id
    session.execute(update(Connection).where(only_this).values(decision_fingerprint=""))  # it is decided again
    return True


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
