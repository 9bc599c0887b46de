"""The outbox: one row is one effect outside, once. Un-sent plans are remade every run; deeds stay.

States: ``planned`` and ``waiting`` (for a person) are un-sent; ``calling`` is committed before the bytes leave;
``done``, ``refused`` and ``doubt`` are ends. Only a person takes a mail out of doubt, or proof from the mail system.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col

from connector.db.tables import CompletedStep, Connection, InvoiceRow, OutboxEntry, Task
from connector.outbox.drafts import Draft, note_key
from connector.vocabulary import ConnectionMode, OutboxKind, OutboxState, TaskCode

UNSENT_STATES = ("planned", "awaiting_approval")
REPLANNED_KINDS = ("email", "owner_email", "late_fee")  # notes and waivers follow from deeds and are never unplanned


class StepAlreadyCompleted(Exception):
    """A step of the entry was taken before: the database refuses a second time."""


@dataclass(slots=True)
class ReplanResult:
    """What replanning changed, by key; ``refused`` are drafts whose effect was refused before, with the reason.

    ``reworded`` are mails that a person had worded, for facts which are others now: they are written anew.
    """

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    custom_text_lost: list[str] = field(default_factory=list)
    rejected: dict[str, str] = field(default_factory=dict)


def replan(
    session: Session,
    connection: Connection,
    drafts: Sequence[Draft],
    *,
    at: datetime,
    run_id: int,
    policy_version: int | None,
    policy_versions: Mapping[str, int | None] | None = None,
    customer_ids: Collection[str] | None = None,
) -> ReplanResult:
    """Make the un-sent entries of the connection equal to ``drafts``.

    With ``customer_ids``, only theirs, and nothing is added: a look before acting can take back or correct, while what
    it newly brings (thanks to somebody who paid this minute) is planned by the next run.
    """
    wanted = {draft.key: draft for draft in drafts}
    rows = {row.key: row for row in _find_unsent(session, connection, customer_ids)}
    rows |= {row.key: row for row in _find_by_keys(session, [key for key in wanted if key not in rows])}
    result = ReplanResult()
    for key, draft in wanted.items():
        row = rows.get(key)
        if row is None and customer_ids is not None:
            continue
        if row is None:
            row = OutboxEntry(
                connection_id=connection.id or 0,
                key=key,
                kind=draft.kind,
                state=OutboxState.PLANNED,
                customer_id=draft.customer_id,
                payload={},
                planned_at=at,
            )
            session.add(row)
            result.added.append(key)
        elif row.state == "rejected" and (row.resolved_by or row.content_hash == draft.content_hash):
            result.rejected[key] = row.response
            continue
        elif row.state not in (*UNSENT_STATES, "rejected"):
            continue  # a deed, or under way
        elif row.content_hash != draft.content_hash:
            result.changed.append(key)
        if row.content_hash != draft.content_hash:
            row.run_id = run_id
            row.policy_version = (policy_versions or {}).get(draft.customer_id, policy_version)
        result.custom_text_lost += _update_from_draft(row, draft, connection.mode)
    for key, row in rows.items():
        if key not in wanted and row.state in UNSENT_STATES:
            session.delete(row)
            result.cancelled.append(key)
    return result


def find_ready(session: Session, connection: Connection, kinds: Collection[str], now: datetime) -> list[OutboxEntry]:
    """Entries that may leave now, least tried and oldest first: planned, in their time, as mode or approval allow."""
    rows = session.scalars(
        select(OutboxEntry)
        .where(
            col(OutboxEntry.connection_id) == connection.id,
            col(OutboxEntry.state) == OutboxState.PLANNED,
            col(OutboxEntry.kind).in_(list(kinds)),
        )
        .order_by(col(OutboxEntry.attempts), col(OutboxEntry.id))  # what was put off before lets the others pass
    )
    return [row for row in rows if is_dispatchable(connection, row, now)]


def is_dispatchable(connection: Connection, entry: OutboxEntry, now: datetime) -> bool:
    """Tell whether the mode, a pause, an approval and the entry's own time let it leave at this moment."""
    has_come = entry.send_after is None or entry.send_after <= now
    return entry.state == OutboxState.PLANNED and has_come and is_permitted(connection, entry)


def is_permitted(connection: Connection, entry: OutboxEntry) -> bool:
    """Tell whether the mode, a pause and an approval allow what an entry does."""
    if connection.mode == ConnectionMode.OBSERVE or connection.pause_reason:
        return False
    return not (
        connection.mode == ConnectionMode.APPROVE
        and entry.kind in {OutboxKind.EMAIL, OutboxKind.LATE_FEE}
        and entry.approved_at is None
    )


def mark_sending(session: Session, entry: OutboxEntry, *, at: datetime, on: date) -> None:
    """Record the intent: once committed, the effect may have happened. Raises ``StepTaken`` for a step taken before."""
    entry.state, entry.dispatched_at, entry.attempts = OutboxState.SENDING, at, entry.attempts + 1
    for step in completed_steps(entry, at=at, on=on):
        step.outbox_id = entry.id
        session.add(step)
    try:
        session.flush()
    except IntegrityError as twice:
        message = f"a step of {entry.key} was taken before"
        raise StepAlreadyCompleted(message) from twice


def completed_steps(entry: OutboxEntry, *, at: datetime, on: date) -> Iterator[CompletedStep]:
    """Name the steps that an entry takes."""
    for invoice_id, step in entry.payload.get("completed", []) if entry.kind in REPLANNED_KINDS else []:
        yield CompletedStep(
            connection_id=entry.connection_id,
            invoice_id=invoice_id,
            step=step,
            recurrence_key=_recurrence_key(entry, invoice_id),
            customer_id=entry.customer_id or _customer_id_of(entry, invoice_id),
            currency=entry.currency,
            completed_at=at,
            completed_on=on,
        )


def mark_done(session: Session, entry: OutboxEntry, *, at: datetime, reference: str, detail: str) -> None:
    """Record that it happened, and, in the same transaction, owe the notes that tell it in the ledger."""
    entry.state, entry.ended_at, entry.reference, entry.response = OutboxState.DONE, at, reference, detail
    if entry.kind not in {OutboxKind.EMAIL, OutboxKind.LATE_FEE, OutboxKind.FEE_WAIVER}:
        return
    numbers = _invoice_numbers(session, entry)
    keys = {note_key(entry.key, invoice_id): invoice_id for invoice_id, _step in entry.payload["completed"]}
    known = {row.key for row in _find_by_keys(session, list(keys))}
    for key, invoice_id in keys.items():
        if key not in known:
            session.add(_build_note(entry, key, invoice_id, numbers.get(invoice_id, ""), at))


def plan_note(session: Session, invoice: InvoiceRow, *, recurrence_key: str, text: str, at: datetime) -> None:
    """Owe the ledger a note of what was said about an invoice, once per occasion."""
    connection = session.get_one(Connection, invoice.connection_id)
    books = f"{connection.provider}:{connection.external_id}"
    key = note_key(f"{books}:{recurrence_key}", invoice.external_id)
    if not list(_find_by_keys(session, [key])):
        session.add(
            OutboxEntry(
                connection_id=invoice.connection_id,
                key=key,
                kind=OutboxKind.NOTE,
                state=OutboxState.PLANNED,
                customer_id=invoice.customer_id,
                invoice_id=invoice.external_id,
                currency=invoice.currency,
                payload={"source_kind": "custom", "number": invoice.number, "text": text},
                reason=f"The ledger shows what was said about invoice {invoice.number}.",
                planned_at=at,
            )
        )


def mark_rejected(session: Session, entry: OutboxEntry, *, at: datetime, detail: str, resolved_by: str = "") -> None:
    """Record that it did not happen and won't by itself; its steps are free again."""
    entry.state, entry.ended_at, entry.response, entry.resolved_by = OutboxState.REJECTED, at, detail, resolved_by
    _release_steps(session, entry)


def mark_planned(session: Session, entry: OutboxEntry, *, detail: str, send_after: datetime | None = None) -> None:
    """Take back an intent that certainly did not leave: it may be tried again from ``leaves_from_at``."""
    entry.state, entry.dispatched_at, entry.response, entry.send_after = OutboxState.PLANNED, None, detail, send_after
    _release_steps(session, entry)


def mark_unconfirmed(entry: OutboxEntry, *, at: datetime, detail: str) -> None:
    """Record that nobody knows whether it happened; its steps stay taken, so that nothing is sent twice."""
    entry.state, entry.ended_at, entry.response = OutboxState.UNCONFIRMED, at, detail


def create_rejection_task(session: Session, entry: OutboxEntry, *, at: datetime, on: date, reason: str) -> None:
    """Make the task that a refused effect leaves: once, for a person, instead of trying for ever."""
    key = f"{entry.key}:refused:{entry.content_hash}"
    if session.scalar(select(col(Task.id)).where(col(Task.key) == key)) is not None:
        return
    session.add(
        Task(
            connection_id=entry.connection_id,
            key=key,
            code=TaskCode.REJECTED,
            step=entry.step,
            customer_id=entry.customer_id,
            invoice_ids=[pair[0] for pair in entry.payload.get("completed", [])],
            due_on=on,
            reason=f"A {entry.kind.replace('_', ' ')} was refused: {reason}",
            created_at=at,
        )
    )


def _update_from_draft(row: OutboxEntry, draft: Draft, mode: str) -> list[str]:
    """Make the entry what the draft says; returns its key where words of a person are lost by that."""
    reworded = [row.key] if row.custom_text and row.content_hash != draft.content_hash else []
    if row.content_hash != draft.content_hash:
        row.approved_at, row.approved_by, row.custom_text = None, "", None
    row.payload, row.content_hash, row.reason = draft.payload, draft.content_hash, draft.reason
    row.invoice_id, row.currency, row.step = draft.invoice_id, draft.currency, draft.step
    row.customer_id = draft.customer_id  # the invoice may be another customer's by now
    row.send_after = draft.send_after
    # The internal mail to the owner is nobody's approval but his own; what a person words leaves when he says so.
    asks = draft.needs_approval or mode == "approve" or bool(row.custom_text)
    waits = asks and row.approved_at is None and draft.kind != OutboxKind.OWNER_EMAIL
    row.state, row.ended_at = (OutboxState.AWAITING_APPROVAL if waits else OutboxState.PLANNED), None
    return reworded


def _find_unsent(session: Session, connection: Connection, customer_ids: Collection[str] | None) -> list[OutboxEntry]:
    query = select(OutboxEntry).where(
        col(OutboxEntry.connection_id) == connection.id,
        col(OutboxEntry.state).in_(UNSENT_STATES),
        col(OutboxEntry.kind).in_(REPLANNED_KINDS),
    )
    if customer_ids is not None:
        query = query.where(col(OutboxEntry.customer_id).in_(list(customer_ids)))
    return list(session.scalars(query))


def _find_by_keys(session: Session, keys: Sequence[str], size: int = 500) -> Iterable[OutboxEntry]:
    for start in range(0, len(keys), size):
        yield from session.scalars(select(OutboxEntry).where(col(OutboxEntry.key).in_(keys[start : start + size])))


def _invoice_numbers(session: Session, entry: OutboxEntry) -> dict[str, str]:
    ids = [invoice_id for invoice_id, _step in entry.payload["completed"]]
    rows = session.execute(
        select(col(InvoiceRow.external_id), col(InvoiceRow.number)).where(
            col(InvoiceRow.connection_id) == entry.connection_id,
            col(InvoiceRow.external_id).in_(ids),
        )
    )
    return {row[0]: row[1] for row in rows}


def _build_note(entry: OutboxEntry, key: str, invoice_id: str, number: str, at: datetime) -> OutboxEntry:
    return OutboxEntry(
        connection_id=entry.connection_id,
        key=key,
        kind=OutboxKind.NOTE,
        state=OutboxState.PLANNED,
        customer_id=entry.customer_id,
        invoice_id=invoice_id,
        currency=entry.currency,
        step=entry.step,
        payload={"source_kind": entry.kind, "number": number},
        reason=f"The ledger shows what was done about invoice {number}.",
        parent_id=entry.id,
        run_id=entry.run_id,
        planned_at=at,
    )


def _release_steps(session: Session, entry: OutboxEntry) -> None:
    session.execute(delete(CompletedStep).where(col(CompletedStep.outbox_id) == entry.id))


def _recurrence_key(entry: OutboxEntry, invoice_id: str) -> str:
    """Tell which of the times that a step may come again for an invoice this is: a fee's period."""
    return str(entry.payload.get("recurrence_keys", {}).get(invoice_id, entry.payload.get("period", "")))


def _customer_id_of(entry: OutboxEntry, invoice_id: str) -> str:
    for item in entry.payload.get("items", []):
        if any(pair[0] == invoice_id for pair in item["completed"]):
            return str(item["customer"])
    return ""
