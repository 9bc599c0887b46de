"""The timeline of one invoice: issued, decided, emailed, agreed, paid and closed, oldest first."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import NamedTuple
from zoneinfo import ZoneInfo

from pydantic import Field
from sqlalchemy import and_, or_, select
from sqlmodel import Session, col

from connector.arrangements.agreement_list import format_agreement
from connector.db.money import from_e4
from connector.db.tables import (
    Agreement,
    ApplicationRow,
    CompletedStep,
    Connection,
    EmailEvent,
    InvoiceRow,
    OutboxEntry,
    Task,
)
from connector.emails.inbound.events import FAILURES
from connector.evaluation import decision_records
from connector.outbox.payloads import EmailPayload, payload_as
from connector.results import Result
from connector.sync.mirror.facts import build_balance_changes
from connector.vocabulary import OutboxKind, OutboxState, TimelineKind
from connector.vocabulary.labels import in_sentence, label
from policies.decisions import DecisionKind
from policies.formatting import format_amount, format_date
from policies.receivables import InvoiceStatus, SettlementKind
from providers.delivery_events import EventKind

ENDED_STATES = (OutboxState.DONE, OutboxState.UNCONFIRMED, OutboxState.REJECTED)
_DONE_TEXTS = {
    OutboxKind.NOTE: "Note added to the invoice in the accounting system",
    OutboxKind.FEE_WAIVER: "Late fee waived in the accounting system",
}
_FAILED_TEXTS = {
    OutboxState.UNCONFIRMED: "delivery unconfirmed",
    OutboxState.REJECTED: "not sent",
}


class Target(NamedTuple):
    """What an event is about, for a link: its kind ("invoice", "entry", "task", "log") and id."""

    kind: str
    id: str


class TimelineEvent(Result):
    """Something that happened; ``at`` is None where the ledger only knows the date."""

    on: date
    at: datetime | None
    kind: TimelineKind
    text: str
    target: Target | None = Field(default=None, exclude=True)  # for the pages' links


def invoice_timeline(session: Session, invoice: InvoiceRow) -> list[TimelineEvent]:
    """Return what happened about an invoice, oldest first."""
    zone = ZoneInfo(session.get_one(Connection, invoice.connection_id).time_zone)
    events = [
        _event(zone, event)
        for source in (_ledger_events, _decision_events, _agreement_events, _task_events, _outbox_events)
        for event in source(session, invoice)
    ]
    return sorted(events, key=chronological)


def chronological(event: TimelineEvent) -> tuple[date, datetime]:
    """Return the sort key of an event; one without a time comes first on its date."""
    return event.on, event.at or datetime.min.replace(tzinfo=UTC)


def find_invoice_entries(session: Session, invoice: InvoiceRow) -> list[OutboxEntry]:
    """List the outbox entries about an invoice, oldest first: those it leads, and those that completed its steps."""
    completed = select(col(CompletedStep.outbox_id)).where(
        col(CompletedStep.connection_id) == invoice.connection_id, col(CompletedStep.invoice_id) == invoice.external_id
    )
    leads = and_(
        col(OutboxEntry.connection_id) == invoice.connection_id, col(OutboxEntry.invoice_id) == invoice.external_id
    )
    query = select(OutboxEntry).where(or_(leads, col(OutboxEntry.id).in_(completed))).order_by(col(OutboxEntry.id))
    return list(session.scalars(query))


def format_entry_result(entry: OutboxEntry) -> str:
    """Return what became of an entry that was sent, or was not."""
    name = label(entry.step, "step") if entry.step else label(entry.kind, "outbox_kind")
    if entry.state != OutboxState.DONE:
        detail = f" ({entry.response})" if entry.response else ""
        return f"{name}: {_FAILED_TEXTS[OutboxState(entry.state)]}{detail}"
    if entry.kind == OutboxKind.EMAIL:
        return f"{name} emailed to {', '.join(payload_as(EmailPayload, entry).to)}: {entry.reason}"
    reason = entry.reason if entry.reason.startswith(name) else f"{name}: {entry.reason}"
    return _DONE_TEXTS.get(OutboxKind(entry.kind)) or reason


def format_decision(kind: str, reason: str) -> str:
    """Return a decision in words, without its kind where the reason says it already."""
    name = label(kind, "decision_kind")
    return reason if kind == DecisionKind.WAITING or reason.startswith(name) else f"{name}: {reason}"


def format_agreement_end(agreement: Agreement) -> str:
    """Return how an agreement ended: ``Promise to pay: broken by Ann: never paid``."""
    kind, state = label(agreement.kind, "agreement_kind"), label(agreement.state, "agreement_state")
    return f"{kind}: {in_sentence(state)}{_by(agreement.ended_by)}{_detail(agreement.outcome)}"


def format_task_end(task: Task) -> str:
    """Return how a task ended: ``Task 3: completed by Ann: will pay on Friday``."""
    state = in_sentence(label(task.state, "task_state"))
    return f"Task {task.id}: {state}{_by(task.ended_by)}{_detail(task.outcome)}"


class _RawEvent(NamedTuple):
    when: date | datetime
    kind: TimelineKind
    text: str
    target: Target | None = None


def _event(zone: ZoneInfo, event: _RawEvent) -> TimelineEvent:
    when, kind, text, target = event
    if isinstance(when, datetime):
        return TimelineEvent(on=when.astimezone(zone).date(), at=when, kind=kind, text=text, target=target)
    return TimelineEvent(on=when, at=None, kind=kind, text=text, target=target)


def _ledger_events(session: Session, invoice: InvoiceRow) -> Iterator[_RawEvent]:
    total = format_amount(from_e4(invoice.total_e4), invoice.currency)
    due = f", due on {format_date(invoice.due_on)}" if invoice.due_on else ""
    yield _RawEvent(invoice.issued_on, TimelineKind.ISSUED, f"Issued for {total}{due}")
    query = select(ApplicationRow).where(
        col(ApplicationRow.connection_id) == invoice.connection_id,
        col(ApplicationRow.invoice_id) == invoice.external_id,
    )
    paid = Decimal(0)
    for row in session.scalars(query):
        for change in build_balance_changes(row):
            amount = format_amount(-change.amount, invoice.currency)
            is_payment = change.kind is SettlementKind.PAYMENT
            source = label(row.source_kind, "credit_kind") if is_payment else label(change.kind)
            yield _RawEvent(row.applied_on, TimelineKind.APPLIED, f"{source} of {amount} applied")
            paid -= change.amount if is_payment else 0
    if invoice.closed_on is not None:
        is_settled_otherwise = invoice.status == InvoiceStatus.PAID and paid < from_e4(invoice.total_e4)
        status = "" if is_settled_otherwise else f": {in_sentence(label(invoice.status, 'invoice_status'))}"
        yield _RawEvent(invoice.closed_on, TimelineKind.CLOSED, f"Closed{status}")


def _decision_events(session: Session, invoice: InvoiceRow) -> Iterator[_RawEvent]:
    """Yield each decision that differs from the one before it."""
    before = None
    for each in decision_records.audit_invoice(session, invoice):
        if (each.kind, each.code) != before:
            yield _RawEvent(each.at, TimelineKind.DECISION, format_decision(each.kind, each.reason))
        before = (each.kind, each.code)


def _agreement_events(session: Session, invoice: InvoiceRow) -> Iterator[_RawEvent]:
    query = select(Agreement).where(
        col(Agreement.connection_id) == invoice.connection_id, col(Agreement.invoice_id) == invoice.external_id
    )
    for row in session.scalars(query.order_by(col(Agreement.id))):
        yield _RawEvent(row.recorded_at, TimelineKind.AGREEMENT, format_agreement(row))
        if row.ended_at is not None:
            yield _RawEvent(row.ended_at, TimelineKind.AGREEMENT, format_agreement_end(row))


def _task_events(session: Session, invoice: InvoiceRow) -> Iterator[_RawEvent]:
    query = select(Task).where(
        col(Task.connection_id) == invoice.connection_id, col(Task.customer_id) == invoice.customer_id
    )
    for task in session.scalars(query.order_by(col(Task.id))):
        if invoice.external_id not in task.invoice_ids:
            continue
        owner = f" for {task.owner}" if task.owner else ""
        text = f"Task {task.id}{owner}, due on {format_date(task.due_on)}: {task.reason}"
        target = Target("task", str(task.id))
        yield _RawEvent(task.created_at, TimelineKind.TASK, text, target)
        if task.ended_at is not None:
            yield _RawEvent(task.ended_at, TimelineKind.TASK, format_task_end(task), target)


def _outbox_events(session: Session, invoice: InvoiceRow) -> Iterator[_RawEvent]:
    emails = {}
    for entry in find_invoice_entries(session, invoice):
        if entry.state in ENDED_STATES:
            at = entry.ended_at or entry.dispatched_at or entry.planned_at
            target = Target("entry", str(entry.id))
            yield _RawEvent(at, TimelineKind(entry.kind), format_entry_result(entry), target)
            if entry.kind == OutboxKind.EMAIL:
                emails[entry.key] = entry
    query = select(EmailEvent).where(col(EmailEvent.key).in_(emails), col(EmailEvent.kind).in_(FAILURES))
    for event in session.scalars(query.order_by(col(EmailEvent.at))):
        entry = emails[event.key]
        text = f"{label(entry.step, 'step')}: the email to {event.address} {FAILURES[EventKind(event.kind)]}"
        yield _RawEvent(event.at, TimelineKind.UNDELIVERED, text, Target("entry", str(entry.id)))


def _by(user: str) -> str:
    return f" by {user}" if user else ""


def _detail(text: str) -> str:
    return f": {text}" if text else ""
