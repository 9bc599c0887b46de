"""The story of one invoice from recorded facts: issued, decided, mailed, said, done and paid, in the order of time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import and_, or_, select
from sqlmodel import Session, col

from connector.arrangements.agreements import format_agreement
from connector.db.money import from_e4
from connector.db.tables import Agreement, ApplicationRow, CompletedStep, Connection, InvoiceRow, OutboxEntry, Task
from connector.evaluation import decision_records
from connector.vocabulary import OutboxState
from policies.formatting import STEP_NAMES, format_amount, format_date
from policies.receivables import Step

_EMAIL = "email"
_DONE_TEXTS = {"note": "noted on the invoice in the ledger", "fee_waiver": "the late fee was waived in the ledger"}


def invoice_timeline(session: Session, invoice: InvoiceRow) -> list[dict[str, Any]]:
    """Tell what happened, oldest first; ``at`` is missing where the books know only the day."""
    zone = ZoneInfo(session.get_one(Connection, invoice.connection_id).time_zone)
    events = [
        *_ledger_events(session, invoice),
        *_decision_events(session, invoice),
        *_agreement_events(session, invoice),
        *_task_events(session, invoice),
        *_outbox_events(session, invoice),
    ]
    shown = [
        {"on": when.astimezone(zone).date(), "at": when, "kind": kind, "text": text}
        if isinstance(when, datetime)
        else {"on": when, "at": None, "kind": kind, "text": text}
        for when, kind, text in events
    ]
    shown.sort(key=lambda each: (each["on"], each["at"] or datetime.min.replace(tzinfo=UTC)))
    return shown


_Event = tuple[date | datetime, str, str]


def _ledger_events(session: Session, invoice: InvoiceRow) -> Iterator[_Event]:
    total = format_amount(from_e4(invoice.total_e4), invoice.currency)
    due = f", due on {format_date(invoice.due_on)}" if invoice.due_on else ""
    yield invoice.issued_on, "issued", f"issued for {total}{due}"
    query = select(ApplicationRow).where(
        col(ApplicationRow.connection_id) == invoice.connection_id,
        col(ApplicationRow.invoice_id) == invoice.external_id,
    )
    for row in session.scalars(query):
        amount = format_amount(from_e4(row.amount_e4), invoice.currency)
        yield row.applied_on, "applied", f"{amount} was put on it ({row.source_kind.replace('_', ' ')})"
    if invoice.closed_on is not None:
        yield invoice.closed_on, "closed", f"settled: it is {invoice.status}"


def _decision_events(session: Session, invoice: InvoiceRow) -> Iterator[_Event]:
    """Tell each decision that was another one than the one before it."""
    before = None
    for each in decision_records.audit_invoice(session, invoice):
        if (each.kind, each.code) != before:
            yield each.at, "decision", f"decided: {each.reason} [{each.code}]"
        before = (each.kind, each.code)


def _agreement_events(session: Session, invoice: InvoiceRow) -> Iterator[_Event]:
    query = select(Agreement).where(
        col(Agreement.connection_id) == invoice.connection_id, col(Agreement.invoice_id) == invoice.external_id
    )
    for row in session.scalars(query.order_by(col(Agreement.id))):
        yield row.recorded_at, "agreement", format_agreement(row)
        if row.ended_at is not None:
            by = f" by {row.ended_by}" if row.ended_by else ""
            outcome = f": {row.outcome}" if row.outcome else ""
            yield row.ended_at, "agreement", f"{row.kind} {row.state}{by}{outcome}"


def _task_events(session: Session, invoice: InvoiceRow) -> Iterator[_Event]:
    query = select(Task).where(
        col(Task.connection_id) == invoice.connection_id, col(Task.customer_id) == invoice.customer_id
    )
    for task in session.scalars(query.order_by(col(Task.id))):
        if invoice.external_id not in task.invoice_ids:
            continue
        owner = f" for {task.owner}" if task.owner else ""
        yield task.created_at, "task", f"task {task.id}{owner}, due on {format_date(task.due_on)}: {task.reason}"
        if task.ended_at is not None:
            by = f" by {task.ended_by}" if task.ended_by else ""
            outcome = f": {task.outcome}" if task.outcome else ""
            yield task.ended_at, "task", f"task {task.id} {task.state}{by}{outcome}"


def _outbox_events(session: Session, invoice: InvoiceRow) -> Iterator[_Event]:
    """Tell what left for it, by itself or in a mail about several invoices."""
    for entry in find_invoice_entries(session, invoice):
        if entry.state not in {OutboxState.DONE, OutboxState.UNCONFIRMED, OutboxState.REJECTED}:
            continue
        yield entry.ended_at or entry.dispatched_at or entry.planned_at, entry.kind, format_entry_result(entry)


def find_invoice_entries(session: Session, invoice: InvoiceRow) -> list[OutboxEntry]:
    """Find the outbox entries about an invoice, oldest first: those it leads, and those that took a step for it."""
    took = select(col(CompletedStep.outbox_id)).where(
        col(CompletedStep.connection_id) == invoice.connection_id, col(CompletedStep.invoice_id) == invoice.external_id
    )
    leads = and_(
        col(OutboxEntry.connection_id) == invoice.connection_id, col(OutboxEntry.invoice_id) == invoice.external_id
    )
    query = select(OutboxEntry).where(or_(leads, col(OutboxEntry.id).in_(took))).order_by(col(OutboxEntry.id))
    return list(session.scalars(query))


def format_entry_result(entry: OutboxEntry) -> str:
    """Say what became of an effect that left, or did not."""
    name = STEP_NAMES[Step(entry.step)] if entry.step else entry.kind.replace("_", " ")
    if entry.state != OutboxState.DONE:
        ends = {"unconfirmed": "nobody knows whether it arrived", "rejected": "it did not leave"}
        return f"{name}: {ends[entry.state]} ({entry.response})"
    if entry.kind == _EMAIL:
        return f"{name} was mailed to {', '.join(entry.payload.get('to', []))}: {entry.reason}"
    return _DONE_TEXTS.get(entry.kind) or f"{name}: {entry.reason}"
