"""The timeline of one customer: everything sent, agreed and paid, newest first, a page at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, or_, select
from sqlmodel import Session, col

from connector.arrangements.agreement_list import format_agreement
from connector.db.invoice_names import names_of, titles_of
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
from connector.services.invoice_timeline import (
    ENDED_STATES,
    Target,
    TimelineEvent,
    chronological,
    format_agreement_end,
    format_entry_result,
    format_task_end,
)
from connector.vocabulary import LogKind, OutboxKind, TimelineKind
from connector.vocabulary.labels import in_sentence, label
from policies.formatting import format_amount, format_date
from policies.receivables import CreditKind

PAGE_SIZE = 40
_PAGES_MAX = 50
_SENT_KINDS = (OutboxKind.EMAIL, OutboxKind.LATE_FEE, OutboxKind.FEE_WAIVER)
_LOG_KINDS = {
    LogKind.CUSTOMER_UPDATED: TimelineKind.SETTINGS,
    LogKind.PORTAL_LINK: TimelineKind.PORTAL_LINK,
    LogKind.UNDELIVERED: TimelineKind.UNDELIVERED,
    LogKind.SUPPRESSED: TimelineKind.UNDELIVERED,
    LogKind.EMAIL_EDITED: TimelineKind.EDITED,
    LogKind.REJECTED: TimelineKind.REJECTED,
}
_NUMBERS_MAX = 4  # invoice numbers in the text of one payment
_INVOICES_MAX = 2000  # the newest of a customer, by which their payments are found


class TimelinePage(NamedTuple):
    """A page of events, newest first, and whether there is an older page."""

    events: list[TimelineEvent]
    has_older: bool


def customer_timeline(session: Session, customer: CustomerRow, *, page: int = 1, size: int = PAGE_SIZE) -> TimelinePage:
    """Return a page of what happened.

    Each source yields its newest events only, as many as all pages up to this one could hold.
    """
    page = min(max(page, 1), _PAGES_MAX)
    limit = page * size + 1
    zone = ZoneInfo(session.get_one(Connection, customer.connection_id).time_zone)
    events = [event for source in _SOURCES for event in source(session, customer, zone, limit)]
    events.sort(key=chronological, reverse=True)
    return TimelinePage(events[(page - 1) * size : page * size], len(events) > page * size and page < _PAGES_MAX)


def _of_customer(table: Any, customer: CustomerRow) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return table.connection_id == customer.connection_id, table.customer_id == customer.external_id


def _invoices(session: Session, customer: CustomerRow, _zone: ZoneInfo, limit: int) -> Iterator[TimelineEvent]:
    query = (
        select(InvoiceRow)
        .where(*_of_customer(InvoiceRow, customer))
        .order_by(col(InvoiceRow.issued_on).desc())
        .limit(limit)
    )
    rows = list(session.scalars(query))
    titles = titles_of(session, customer.connection_id, [row.external_id for row in rows])
    for row in rows:
        due = f", due on {format_date(row.due_on)}" if row.due_on else ""
        title = titles[row.external_id]
        text = f"{title[:1].upper()}{title[1:]} for {format_amount(from_e4(row.total_e4), row.currency)}{due}"
        target = Target("invoice", row.external_id)
        yield TimelineEvent(on=row.issued_on, at=None, kind=TimelineKind.ISSUED, text=text, target=target)


def _payments(session: Session, customer: CustomerRow, _zone: ZoneInfo, limit: int) -> Iterator[TimelineEvent]:
    """Yield payments; they are found by the customer's invoices, because payments have no index by customer."""
    numbers = _numbers_by_payment(session, customer)
    applied = (
        select(PaymentRow)
        .where(col(PaymentRow.connection_id) == customer.connection_id, col(PaymentRow.external_id).in_(list(numbers)))
        .order_by(col(PaymentRow.paid_on).desc(), col(PaymentRow.external_id))
        .limit(limit)
    )
    payments = {payment.external_id: payment for payment in session.scalars(applied)}
    unapplied = select(PaymentRow).where(*_of_customer(PaymentRow, customer), col(PaymentRow.unapplied_e4) > 0)
    payments |= {payment.external_id: payment for payment in session.scalars(unapplied)}
    for key, payment in payments.items():
        text = _format_payment(payment, sorted(numbers.get(key, [])))
        yield TimelineEvent(on=payment.paid_on, at=None, kind=TimelineKind.PAYMENT, text=text)


def _numbers_by_payment(session: Session, customer: CustomerRow) -> dict[str, list[str]]:
    query = select(InvoiceRow).where(*_of_customer(InvoiceRow, customer))
    newest = session.scalars(query.order_by(col(InvoiceRow.issued_on).desc()).limit(_INVOICES_MAX))
    invoice_numbers = names_of(session, customer.connection_id, [row.external_id for row in newest])
    applied = select(ApplicationRow).where(
        col(ApplicationRow.connection_id) == customer.connection_id,
        col(ApplicationRow.invoice_id).in_(list(invoice_numbers)),
    )
    numbers: dict[str, list[str]] = defaultdict(list)
    for row in session.scalars(applied):
        if row.source_kind == CreditKind.PAYMENT:
            numbers[row.source_id].append(invoice_numbers[row.invoice_id])
    return numbers


def _format_payment(payment: PaymentRow, numbers: list[str]) -> str:
    applied = f", applied to {', '.join(numbers[:_NUMBERS_MAX])}" if numbers else ""
    more = f" and {len(numbers) - _NUMBERS_MAX} more" if len(numbers) > _NUMBERS_MAX else ""
    unapplied = ""
    if payment.unapplied_e4:
        unapplied = f"; {format_amount(from_e4(payment.unapplied_e4), payment.currency)} of it is not applied yet"
    if not payment.total_e4 and numbers:
        return f"Credit or journal entry{applied}{more}"  # QuickBooks links them by a payment of 0
    return f"Payment of {format_amount(from_e4(payment.total_e4), payment.currency)}{applied}{more}{unapplied}"


def _credits(session: Session, customer: CustomerRow, _zone: ZoneInfo, limit: int) -> Iterator[TimelineEvent]:
    query = (
        select(CreditRow)
        .where(*_of_customer(CreditRow, customer))
        .order_by(col(CreditRow.dated_on).desc())
        .limit(limit)
    )
    for row in session.scalars(query):
        name = f"{label(row.kind, 'credit_kind')} {row.number}".strip()
        remaining = f", {format_amount(from_e4(row.remaining_e4), row.currency)} not applied yet"
        total = format_amount(from_e4(row.total_e4), row.currency)
        text = f"{name} for {total}{remaining if row.remaining_e4 else ''}"
        yield TimelineEvent(on=row.dated_on, at=None, kind=TimelineKind.CREDIT, text=text)


def _sent_entries(session: Session, customer: CustomerRow, zone: ZoneInfo, limit: int) -> Iterator[TimelineEvent]:
    query = (
        select(OutboxEntry)
        .where(
            *_of_customer(OutboxEntry, customer),
            col(OutboxEntry.state).in_(ENDED_STATES),
            col(OutboxEntry.kind).in_(_SENT_KINDS),
        )
        .order_by(col(OutboxEntry.id).desc())
        .limit(limit)
    )
    for row in session.scalars(query):
        at = row.ended_at or row.dispatched_at or row.planned_at
        status = f" ({in_sentence(label(row.delivery_status, 'email_status'))})" if row.delivery_status else ""
        text = f"{format_entry_result(row)}{status}"
        yield _event_at(at, zone, TimelineKind(row.kind), text, Target("entry", str(row.id)))


def _agreements(session: Session, customer: CustomerRow, zone: ZoneInfo, limit: int) -> Iterator[TimelineEvent]:
    query = select(Agreement).where(*_of_customer(Agreement, customer)).order_by(col(Agreement.id).desc()).limit(limit)
    rows = session.scalars(query).all()
    titles = titles_of(session, customer.connection_id, {row.invoice_id for row in rows})
    for row in rows:
        title = titles.get(row.invoice_id, f"invoice {row.invoice_id}")
        name, target = f"{title[:1].upper()}{title[1:]}", Target("invoice", row.invoice_id)
        text = f"{name}: {in_sentence(format_agreement(row))}"
        yield _event_at(row.recorded_at, zone, TimelineKind.AGREEMENT, text, target)
        if row.ended_at is not None:
            text = f"{name}: {in_sentence(format_agreement_end(row))}"
            yield _event_at(row.ended_at, zone, TimelineKind.AGREEMENT, text, target)


def _tasks(session: Session, customer: CustomerRow, zone: ZoneInfo, limit: int) -> Iterator[TimelineEvent]:
    query = select(Task).where(*_of_customer(Task, customer)).order_by(col(Task.id).desc()).limit(limit)
    for task in session.scalars(query):
        target = Target("task", str(task.id))
        text = f"Task {task.id}, due on {format_date(task.due_on)}: {task.reason}"
        yield _event_at(task.created_at, zone, TimelineKind.TASK, text, target)
        if task.ended_at is not None:
            yield _event_at(task.ended_at, zone, TimelineKind.TASK, format_task_end(task), target)


def _log_entries(session: Session, customer: CustomerRow, zone: ZoneInfo, limit: int) -> Iterator[TimelineEvent]:
    """Yield what only the log records: changed settings, edited emails, emails that came back."""
    query = (
        select(SyncLogEntry)
        .where(*_of_customer(SyncLogEntry, customer), or_(*(col(SyncLogEntry.kind) == kind for kind in _LOG_KINDS)))
        .order_by(col(SyncLogEntry.id).desc())
        .limit(limit)
    )
    for entry in session.scalars(query):
        yield _event_at(entry.at, zone, _LOG_KINDS[LogKind(entry.kind)], entry.text, Target("log", str(entry.id)))


def _event_at(at: datetime, zone: ZoneInfo, kind: TimelineKind, text: str, target: Target) -> TimelineEvent:
    return TimelineEvent(on=at.astimezone(zone).date(), at=at, kind=kind, text=text, target=target)


_SOURCES: tuple[Callable[[Session, CustomerRow, ZoneInfo, int], Iterator[TimelineEvent]], ...] = (
    _invoices,
    _payments,
    _credits,
    _sent_entries,
    _agreements,
    _tasks,
    _log_entries,
)
