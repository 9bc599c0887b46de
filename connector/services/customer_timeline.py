"""Everything said to a customer, by him, and paid by him, newest first, a page at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import or_, select
from sqlmodel import Session, col

from connector.arrangements.agreements import format_agreement
from connector.db.money import from_e4
from connector.db.tables import (
    Agreement,
    ApplicationRow,
    Connection,
    CreditRow,
    CustomerRow,
    InvoiceRow,
    OutboxEntry,
    PaymentRow,
    SyncLogEntry,
    Task,
)
from connector.services.invoice_timeline import format_entry_result
from connector.vocabulary import LogKind, OutboxKind, OutboxState
from policies.formatting import format_amount, format_date

PAGE_SIZE = 40
_PAGES_MAX = 50
_SENT_KINDS = (OutboxKind.EMAIL, OutboxKind.LATE_FEE, OutboxKind.FEE_WAIVER)
_LOG_KINDS = (
    LogKind.CUSTOMER_UPDATED,
    LogKind.PORTAL_LINK,
    LogKind.UNDELIVERED,
    LogKind.SUPPRESSED,
    LogKind.EMAIL_EDITED,
    LogKind.REJECTED,
)
_NUMBERS_MAX = 4
_INVOICES_MAX = 2000  # of one customer, whose payments are told


@dataclass(frozen=True, slots=True)
class TimelineEvent:
    """Something that happened; ``at`` is missing where the books know only the day. ``about`` is a kind and its id."""

    on: date
    at: datetime | None
    kind: str
    text: str
    target: tuple[str, str] = ("", "")


def customer_timeline(
    session: Session, customer: CustomerRow, *, page: int = 1, size: int = PAGE_SIZE
) -> tuple[list[TimelineEvent], bool]:
    """Tell a page of what happened, newest first, and whether there is an older one.

    Each source is asked for its newest only, as many as all pages so far could hold.
    """
    page = min(max(page, 1), _PAGES_MAX)
    most = page * size + 1
    events = [event for source in _SOURCES for event in source(session, customer, most)]
    events.sort(key=lambda each: (each.on, each.at or datetime.min.replace(tzinfo=UTC)), reverse=True)
    return events[(page - 1) * size : page * size], len(events) > page * size and page < _PAGES_MAX


def _of_customer(table: Any, customer: CustomerRow) -> tuple[Any, ...]:
    return table.connection_id == customer.connection_id, table.customer_id == customer.external_id


def _invoices(session: Session, customer: CustomerRow, limit: int) -> Iterator[TimelineEvent]:
    query = (
        select(InvoiceRow)
        .where(*_of_customer(InvoiceRow, customer))
        .order_by(col(InvoiceRow.issued_on).desc())
        .limit(limit)
    )
    for row in session.scalars(query):
        due = f", due on {format_date(row.due_on)}" if row.due_on else ""
        text = f"Invoice {row.number} for {format_amount(from_e4(row.total_e4), row.currency)}{due}"
        yield TimelineEvent(row.issued_on, None, "invoice", text, ("invoice", row.external_id))


def _payments(session: Session, customer: CustomerRow, limit: int) -> Iterator[TimelineEvent]:
    """Tell payments by what they settled: by the customer's invoices they are found without an index of their own."""
    query = select(col(InvoiceRow.external_id), col(InvoiceRow.number)).where(*_of_customer(InvoiceRow, customer))
    newest = session.execute(query.order_by(col(InvoiceRow.issued_on).desc()).limit(_INVOICES_MAX))
    numbered = {row[0]: row[1] for row in newest}
    applied = select(ApplicationRow).where(
        col(ApplicationRow.connection_id) == customer.connection_id, col(ApplicationRow.invoice_id).in_(list(numbered))
    )
    numbers: dict[str, list[str]] = defaultdict(list)
    for row in session.scalars(applied):
        if row.source_kind == "payment":
            numbers[row.source_id].append(numbered[row.invoice_id])
    settling = (
        select(PaymentRow)
        .where(col(PaymentRow.connection_id) == customer.connection_id, col(PaymentRow.external_id).in_(list(numbers)))
        .order_by(col(PaymentRow.paid_on).desc(), col(PaymentRow.external_id))
        .limit(limit)
    )
    payments = {payment.external_id: payment for payment in session.scalars(settling)}
    unapplied = select(PaymentRow).where(*_of_customer(PaymentRow, customer), col(PaymentRow.unapplied_e4) > 0)
    payments |= {payment.external_id: payment for payment in session.scalars(unapplied)}
    for key, payment in payments.items():
        named = sorted(numbers.get(key, []))
        on = f", put on {', '.join(named[:_NUMBERS_MAX])}" if named else ""
        more = f" and {len(named) - _NUMBERS_MAX} more" if len(named) > _NUMBERS_MAX else ""
        left = format_amount(from_e4(payment.unapplied_e4), payment.currency) if payment.unapplied_e4 else ""
        rest = f"; {left} of it is on no invoice yet" if left else ""
        yield TimelineEvent(
            payment.paid_on,
            None,
            "payment",
            f"Paid {format_amount(from_e4(payment.total_e4), payment.currency)}{on}{more}{rest}",
        )


def _credits(session: Session, customer: CustomerRow, limit: int) -> Iterator[TimelineEvent]:
    query = (
        select(CreditRow)
        .where(*_of_customer(CreditRow, customer))
        .order_by(col(CreditRow.dated_on).desc())
        .limit(limit)
    )
    for row in session.scalars(query):
        left = f", {format_amount(from_e4(row.remaining_e4), row.currency)} of it left" if row.remaining_e4 else ""
        name = f"{row.kind.replace('_', ' ').capitalize()} {row.number}".strip()
        yield TimelineEvent(
            row.dated_on, None, "credit", f"{name} for {format_amount(from_e4(row.total_e4), row.currency)}{left}"
        )


def _sent_entries(session: Session, customer: CustomerRow, limit: int) -> Iterator[TimelineEvent]:
    zone = _zone(session, customer)
    query = (
        select(OutboxEntry)
        .where(
            *_of_customer(OutboxEntry, customer),
            col(OutboxEntry.state).in_([OutboxState.DONE, OutboxState.UNCONFIRMED, OutboxState.REJECTED]),
            col(OutboxEntry.kind).in_(_SENT_KINDS),
        )
        .order_by(col(OutboxEntry.id).desc())
        .limit(limit)
    )
    for row in session.scalars(query):
        at = row.ended_at or row.dispatched_at or row.planned_at
        became = f" ({row.delivery_status.replace('_', ' ')})" if row.delivery_status else ""
        words = format_entry_result(row)
        text = f"{words[:1].upper()}{words[1:]}{became}"
        yield _event_at(at, zone, row.kind, text, ("entry", str(row.id)))


def _agreements(session: Session, customer: CustomerRow, limit: int) -> Iterator[TimelineEvent]:
    zone = _zone(session, customer)
    number = (col(InvoiceRow.connection_id) == col(Agreement.connection_id)) & (
        col(InvoiceRow.external_id) == col(Agreement.invoice_id)
    )
    query = (
        select(Agreement, col(InvoiceRow.number))
        .outerjoin(InvoiceRow, number)
        .where(*_of_customer(Agreement, customer))
        .order_by(col(Agreement.id).desc())
        .limit(limit)
    )
    for row, known in session.execute(query):
        named, about = known or row.invoice_id, ("invoice", row.invoice_id)
        yield _event_at(row.recorded_at, zone, row.kind, f"Invoice {named}: {format_agreement(row)}", about)
        if row.ended_at is not None:
            by = f" by {row.ended_by}" if row.ended_by else ""
            outcome = f": {row.outcome}" if row.outcome else ""
            yield _event_at(
                row.ended_at, zone, row.kind, f"Invoice {named}: {row.kind} {row.state}{by}{outcome}", about
            )


def _tasks(session: Session, customer: CustomerRow, limit: int) -> Iterator[TimelineEvent]:
    zone = _zone(session, customer)
    query = select(Task).where(*_of_customer(Task, customer)).order_by(col(Task.id).desc()).limit(limit)
    for task in session.scalars(query):
        about = ("task", str(task.id))
        yield _event_at(task.created_at, zone, "task", f"Task, due on {format_date(task.due_on)}: {task.reason}", about)
        if task.ended_at is not None:
            by = f" by {task.ended_by}" if task.ended_by else ""
            yield _event_at(task.ended_at, zone, "task", f"Task {task.state}{by}: {task.outcome or task.reason}", about)


def _log_lines(session: Session, customer: CustomerRow, limit: int) -> Iterator[TimelineEvent]:
    """Give what only the log knows: what a person set, words of his, mail that came back."""
    zone = _zone(session, customer)
    mine = _of_customer(SyncLogEntry, customer)
    query = (
        select(SyncLogEntry)
        .where(*mine, or_(*(col(SyncLogEntry.kind) == kind for kind in _LOG_KINDS)))
        .order_by(col(SyncLogEntry.id).desc())
        .limit(limit)
    )
    for line in session.scalars(query):
        yield _event_at(line.at, zone, line.kind, line.text, ("line", str(line.id)))


def _zone(session: Session, customer: CustomerRow) -> ZoneInfo:
    return ZoneInfo(session.get_one(Connection, customer.connection_id).time_zone)


def _event_at(at: datetime, zone: ZoneInfo, kind: str, text: str, target: tuple[str, str]) -> TimelineEvent:
    return TimelineEvent(at.astimezone(zone).date(), at, kind, text, target)


_SOURCES = (_invoices, _payments, _credits, _sent_entries, _agreements, _tasks, _log_lines)
