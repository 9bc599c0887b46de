"""The outbox: each row is one email, note or fee, and is sent or posted once.

Unsent entries are planned anew by every run. An entry is committed as ``sending`` before the first byte is sent; it
ends as ``done``, ``rejected`` or ``unconfirmed``. Only a user, or proof from the email service, resolves an unconfirmed
email: it is never sent again automatically.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import date, datetime

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col

from connector.db.invoice_names import title_of, titles_of
from connector.db.money import to_e4
from connector.db.tables import CompletedStep, Connection, InvoiceRow, OutboxEntry, Task
from connector.outbox.drafts import note_key
from connector.outbox.payloads import (
    EmailPayload,
    LateFeePayload,
    NotePayload,
    OwnerEmailPayload,
    dump_payload,
    invoice_ids,
    load_payload,
)
from connector.outbox.released_steps import cancel_replaced_tasks, release_steps, release_undone_tasks
from connector.vocabulary import ConnectionMode, OutboxKind, OutboxState, TaskCode
from connector.vocabulary.labels import label
from connector.vocabulary.outbox import APPROVED_KINDS
from policies.receivables import Step

UNSENT_STATES = (OutboxState.PLANNED, OutboxState.AWAITING_APPROVAL)
EMAIL_KINDS = (OutboxKind.EMAIL, OutboxKind.OWNER_EMAIL)
_NOTED_KINDS = (OutboxKind.EMAIL, OutboxKind.LATE_FEE, OutboxKind.FEE_WAIVER)
_KEYS_PER_QUERY = 500


class StepAlreadyCompleted(Exception):
    """A step of the entry has been completed before; the database accepts it only once."""


def find_ready(session: Session, connection: Connection, kinds: Collection[str], now: datetime) -> list[OutboxEntry]:
    """Return the entries that may be sent now, those with the fewest attempts first, then the oldest."""
    rows = session.scalars(
        select(OutboxEntry)
        .where(
            col(OutboxEntry.connection_id) == connection.id,
            col(OutboxEntry.state) == OutboxState.PLANNED,
            col(OutboxEntry.kind).in_(list(kinds)),
        )
        .order_by(col(OutboxEntry.attempts), col(OutboxEntry.id))  # what was deferred before holds up nothing else
    )
    return [row for row in rows if is_dispatchable(connection, row, now)]


def is_dispatchable(connection: Connection, entry: OutboxEntry, now: datetime) -> bool:
    """Return whether an entry may be sent now: planned, its time has come, and permitted."""
    is_time = entry.send_after is None or entry.send_after <= now
    return entry.state == OutboxState.PLANNED and is_time and is_permitted(connection, entry)


def is_permitted(connection: Connection, entry: OutboxEntry) -> bool:
    """Return whether the mode, a pause and the approval permit what an entry does."""
    if connection.mode == ConnectionMode.OBSERVE or connection.pause_reason:
        return False
    needs_approval = connection.mode == ConnectionMode.APPROVE and entry.kind in APPROVED_KINDS
    return not (needs_approval and entry.approved_at is None)


def mark_sending(session: Session, entry: OutboxEntry, *, at: datetime, on: date) -> None:
    """Record that the entry is about to be sent: once this is committed, it may have been.

    Raises ``StepAlreadyCompleted`` where one of its steps has been completed before.
    """
    entry.state, entry.dispatched_at, entry.attempts = OutboxState.SENDING, at, entry.attempts + 1
    if entry.kind == OutboxKind.EMAIL:
        release_undone_tasks(session, entry)
    for step in completed_steps(entry, at=at, on=on):
        step.outbox_id = entry.id
        session.add(step)
    message = f"a step of {entry.key} has been completed before"  # a failed flush expires the entry
    try:
        session.flush()
    except IntegrityError as error:
        raise StepAlreadyCompleted(message) from error


def completed_steps(entry: OutboxEntry, *, at: datetime, on: date) -> Iterator[CompletedStep]:
    """Yield the steps that are completed by sending an entry."""
    payload = load_payload(entry)
    if not isinstance(payload, EmailPayload | OwnerEmailPayload | LateFeePayload):
        return
    paid = payload.paid if isinstance(payload, EmailPayload) else {}
    periods = (
        [(each.invoice_id, each.period) for each in payload.charges] if isinstance(payload, LateFeePayload) else []
    )
    recurrence_keys = payload.recurrence_keys if isinstance(payload, EmailPayload) else {}
    completed = [(invoice_id, step, recurrence_keys.get(invoice_id, "")) for invoice_id, step in payload.completed]
    announced = payload.announces_fee_on if isinstance(payload, EmailPayload) else ()
    items = payload.items if isinstance(payload, OwnerEmailPayload) else ()
    customers = {invoice_id: item.customer for item in items for invoice_id in invoice_ids(item.completed)}
    for invoice_id, step, recurrence_key in [(each, Step.LATE_FEE, key) for each, key in periods] or completed:
        yield CompletedStep(
            connection_id=entry.connection_id,
            invoice_id=invoice_id,
            step=step,
            recurrence_key=recurrence_key,
            customer_id=entry.customer_id or customers.get(invoice_id, ""),
            currency=entry.currency,
            completed_at=at,
            completed_on=on,
            acknowledged_e4=to_e4(paid[invoice_id]) if invoice_id in paid else None,
            announced_fee=invoice_id in announced,
            fee_terms=payload.fee_terms if isinstance(payload, EmailPayload) and invoice_id in announced else "",
        )


def mark_done(
    session: Session, entry: OutboxEntry, *, at: datetime, reference: str, detail: str, given_message_id: str = ""
) -> None:
    """Record that the entry was sent, and plan the notes about it in the same transaction."""
    entry.state, entry.ended_at, entry.reference, entry.response = OutboxState.DONE, at, reference, detail
    entry.given_message_id = given_message_id
    if entry.kind == OutboxKind.EMAIL:
        cancel_replaced_tasks(session, entry, at)
    if entry.kind not in _NOTED_KINDS:
        return
    ids = invoice_ids(load_payload(entry).completed)
    titles = titles_of(session, entry.connection_id, ids)
    keys = {note_key(entry.key, invoice_id): invoice_id for invoice_id in ids}
    known = {row.key for row in find_by_keys(session, list(keys))}
    for key, invoice_id in keys.items():
        if key not in known:
            session.add(_build_note(entry, key, invoice_id, titles.get(invoice_id, "an invoice"), at))


def plan_note(session: Session, invoice: InvoiceRow, *, recurrence_key: str, text: str, at: datetime) -> None:
    """Plan a note on an invoice in the ledger, once per ``recurrence_key``."""
    connection = session.get_one(Connection, invoice.connection_id)
    ledger_key = f"{connection.provider}:{connection.external_id}"
    key = note_key(f"{ledger_key}:{recurrence_key}", invoice.external_id)
    if not list(find_by_keys(session, [key])):
        session.add(
            OutboxEntry(
                connection_id=invoice.connection_id,
                key=key,
                kind=OutboxKind.NOTE,
                state=OutboxState.PLANNED,
                customer_id=invoice.customer_id,
                invoice_id=invoice.external_id,
                currency=invoice.currency,
                payload=dump_payload(NotePayload(text=text)),
                reason=f"Records in the accounting system what was agreed about {title_of(session, invoice)}.",
                planned_at=at,
            )
        )


def mark_rejected(session: Session, entry: OutboxEntry, *, at: datetime, detail: str, resolved_by: str = "") -> None:
    """Record that the entry was not sent and will not be; its steps can be completed another way."""
    entry.state, entry.ended_at, entry.response = OutboxState.REJECTED, at, detail
    entry.resolved_by = resolved_by
    release_steps(session, entry)


def mark_planned(session: Session, entry: OutboxEntry, *, detail: str, send_after: datetime | None = None) -> None:
    """Take an entry back that certainly was not sent; it may be tried again from ``send_after`` on."""
    entry.state, entry.dispatched_at, entry.response = OutboxState.PLANNED, None, detail
    entry.send_after = send_after
    release_steps(session, entry)


def mark_unconfirmed(entry: OutboxEntry, *, at: datetime, detail: str) -> None:
    """Record that nobody knows whether the entry was sent; its steps stay completed, so that nothing is sent twice."""
    entry.state, entry.ended_at, entry.response = OutboxState.UNCONFIRMED, at, detail


def create_rejection_task(session: Session, entry: OutboxEntry, *, at: datetime, on: date, reason: str) -> None:
    """Create the task that a provider's rejection leaves, once, instead of trying for ever."""
    key = f"{entry.key}:rejected:{entry.content_hash}"
    if session.scalar(select(col(Task.id)).where(col(Task.key) == key)) is not None:
        return
    session.add(
        Task(
            connection_id=entry.connection_id,
            key=key,
            code=TaskCode.REJECTED,
            step=entry.step,
            customer_id=entry.customer_id,
            invoice_ids=invoice_ids(load_payload(entry).completed),
            due_on=on,
            reason=f"{label(entry.kind, 'outbox_kind')} rejected: {reason}",
            created_at=at,
        )
    )


def find_by_keys(session: Session, keys: Sequence[str]) -> Iterable[OutboxEntry]:
    """Yield the entries that have these keys, in whatever state."""
    for start in range(0, len(keys), _KEYS_PER_QUERY):
        some = keys[start : start + _KEYS_PER_QUERY]
        yield from session.scalars(select(OutboxEntry).where(col(OutboxEntry.key).in_(some)))


def _build_note(entry: OutboxEntry, key: str, invoice_id: str, title: str, at: datetime) -> OutboxEntry:
    return OutboxEntry(
        connection_id=entry.connection_id,
        key=key,
        kind=OutboxKind.NOTE,
        state=OutboxState.PLANNED,
        customer_id=entry.customer_id,
        invoice_id=invoice_id,
        currency=entry.currency,
        step=entry.step,
        payload=dump_payload(NotePayload()),
        reason=f"Records in the accounting system what was done about {title}.",
        parent_id=entry.id,
        run_id=entry.run_id,
        planned_at=at,
    )
