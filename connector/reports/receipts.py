"""The money that customers paid: when it came, on which invoice, and after which reminder.

Money is what a payment brought, by its own date: its amount less what it only linked from credits, and deposits and
over- and prepayments when they were received. Write-offs that a ledger books as payments brought none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    FromClause,
    ScalarSelect,
    Select,
    Subquery,
    and_,
    case,
    false,
    func,
    literal,
    or_,
    select,
    union_all,
)
from sqlmodel import Session, SQLModel

from connector.db.money import from_e4
from connector.reports.invoices_behind import Contribution
from connector.reports.scope import INVOICE, Scope, in_companies
from connector.vocabulary import OutboxState, TaskState
from policies.receivables import CreditKind, Step

WITHIN_DAYS = 7
# The steps that ask the customer to pay: the others thank them, or are about them and not to them
CONTACTS = (
    *(Step.RECEIPT_CHECK, Step.DISCOUNT_ENDING, Step.BEFORE_DUE, Step.DUE_TODAY, Step.PAST_DUE, Step.CALL),
    *(Step.SECOND_NOTICE, Step.PLAN_OFFER, Step.ESCALATION_CALL, Step.FINAL_NOTICE, Step.PROMISE_BROKEN),
)
_TABLES = SQLModel.metadata.tables
_APPLICATION, _PAYMENT, _CREDIT, _WRITE_OFF = (
    _TABLES[each] for each in ("application", "payment", "credit", "write_off")
)
_STEP, _OUTBOX, _TASK = _TABLES["completed_step"], _TABLES["outbox"], _TABLES["task"]
_MONEY = _APPLICATION.c.amount_e4 - _APPLICATION.c.credited_e4 - _APPLICATION.c.adjusted_e4
_TASK_DAYS = 90  # a call may be made so many days after its task was created


class Receipt(NamedTuple):
    """Money received on a date: on an invoice, or with "" on none."""

    connection_id: int
    source_id: str
    customer_id: str
    invoice_id: str
    currency: str
    on: date
    amount: Decimal

    @property
    def contribution(self) -> Contribution:
        """The receipt as a row of a list of what is behind a figure."""
        return Contribution(self.connection_id, self.customer_id, self.invoice_id, self.currency, self.on, self.amount)


class Reminded(NamedTuple):
    """Money received on an invoice within seven days after a reminder about it: the latest one, ``step``."""

    receipt: Receipt
    step: Step
    reminded_on: date


class ContactedInvoice(NamedTuple):
    """An invoice about which its customer was contacted by a step."""

    connection_id: int
    customer_id: str
    invoice_id: str
    currency: str
    step: Step
    on: date
    closed_on: date | None
    total: Decimal


def daily_receipts(session: Session, scope: Scope, since: date) -> Iterator[tuple[str, date, bool, Decimal]]:
    """Yield what came since a day: currency, date, whether on invoices, and the amount."""
    money = _money(scope).subquery()
    on_invoice = (money.c.invoice_id != "").label("on_invoice")
    query = (
        select(money.c.currency, money.c.received_on, on_invoice, func.sum(money.c.amount_e4))
        .where(*_received(scope, money, since))
        .group_by(money.c.currency, money.c.received_on, on_invoice)
    )
    for currency, on, is_on_invoice, amount in session.execute(query):
        yield currency, on, bool(is_on_invoice), from_e4(int(amount))


def receipts_of_days(session: Session, scope: Scope, days: int) -> Iterator[tuple[str, Decimal]]:
    """Yield what came in each currency in the last days, today included, by the date in each company."""
    money = _money(scope).subquery()
    lately = [
        and_(in_companies(money, ids), money.c.received_on > today - timedelta(days=days), money.c.received_on <= today)
        for today, ids in scope.companies_by_date()
    ]
    query = select(money.c.currency, func.sum(money.c.amount_e4)).where(or_(false(), *lately))
    for currency, amount in session.execute(query.group_by(money.c.currency)):
        yield currency, from_e4(int(amount))


def list_receipts(session: Session, scope: Scope, currency: str, since: date, until: date) -> list[Receipt]:
    """List what came in a currency from one day to another."""
    money = _money(scope).subquery()
    query = select(money).where(
        *_received(scope, money, since), money.c.received_on <= until, money.c.currency == currency
    )
    order = (money.c.received_on, money.c.amount_e4.desc(), money.c.source_id, money.c.invoice_id)
    return [Receipt._make((*row[:-1], from_e4(int(row[-1])))) for row in session.execute(query.order_by(*order))]


def list_reminded(session: Session, scope: Scope, since: date) -> list[Reminded]:
    """List what came on invoices since a day and within seven days after a reminder, by the latest reminder."""
    money = _money_on_invoices(scope).subquery()
    same = and_(_STEP.c.connection_id == money.c.connection_id, _STEP.c.invoice_id == money.c.invoice_id)
    query = (
        _with_source(select(money, _STEP.c.step, _STEP.c.completed_on, _TASK.c.ended_at), money.join(_STEP, same))
        .where(
            *_received(scope, money, since),
            *_was_sent(),
            _STEP.c.completed_on <= money.c.received_on,
            _STEP.c.completed_on >= since - timedelta(days=_TASK_DAYS),
        )
        .order_by(_STEP.c.completed_at, _STEP.c.step)
    )
    zones = _zones(scope)
    latest: dict[tuple[int, str, str], Reminded] = {}
    for *receipt, amount, step, completed_on, ended_at in session.execute(query):
        found = Receipt._make((*receipt, from_e4(int(amount))))
        on = ended_at.astimezone(zones[found.connection_id]).date() if ended_at else completed_on
        if not on <= found.on <= on + timedelta(days=WITHIN_DAYS):
            continue
        key = (found.connection_id, found.source_id, found.invoice_id)
        if key not in latest or latest[key].reminded_on <= on:
            latest[key] = Reminded(found, Step(step), on)
    return list(latest.values())


def list_contacted(session: Session, scope: Scope, since: date) -> list[ContactedInvoice]:
    """List the invoices about which a customer was contacted after a day, and at least seven days ago.

    ``closed_on`` is None for invoices that are open, and for those that credits or write-offs settled. An invoice that
    was closed before the contact is left out.
    """
    same = and_(INVOICE.c.connection_id == _STEP.c.connection_id, INVOICE.c.external_id == _STEP.c.invoice_id)
    columns = (_STEP.c.connection_id, INVOICE.c.customer_id, _STEP.c.invoice_id, INVOICE.c.currency, _STEP.c.step)
    query = _with_source(
        select(
            *columns,
            _STEP.c.completed_on,
            _TASK.c.ended_at,
            INVOICE.c.closed_on,
            INVOICE.c.total_e4,
            _money_of_invoice(),
        ),
        _STEP.join(INVOICE, same),
    ).where(
        in_companies(_STEP, scope.ids),
        *_was_sent(),
        _STEP.c.completed_on > since,
        _STEP.c.completed_on <= scope.today - timedelta(days=WITHIN_DAYS),
    )
    zones = _zones(scope)
    found = []
    for *whose, step, completed_on, ended_at, closed_on, total, paid in session.execute(query):
        on = ended_at.astimezone(zones[whose[0]]).date() if ended_at else completed_on
        if on > scope.today - timedelta(days=WITHIN_DAYS) or (closed_on is not None and closed_on < on):
            continue
        paid_on = closed_on if paid else None
        found.append(ContactedInvoice._make((*whose, Step(step), on, paid_on, from_e4(total))))
    return found


def _money_of_invoice() -> ScalarSelect[Any]:
    """Return the money applied to an invoice from payments and what customers had paid before."""
    return (
        select(func.sum(_MONEY))
        .where(
            _APPLICATION.c.connection_id == INVOICE.c.connection_id,
            _APPLICATION.c.invoice_id == INVOICE.c.external_id,
            _APPLICATION.c.source_kind != CreditKind.CREDIT_NOTE,
        )
        .correlate(INVOICE)
        .scalar_subquery()
    )


def _with_source(query: Select[Any], found: FromClause) -> Select[Any]:
    """Join the email or task of a step."""
    return query.select_from(
        found.outerjoin(_OUTBOX, _OUTBOX.c.id == _STEP.c.outbox_id).outerjoin(_TASK, _TASK.c.id == _STEP.c.task_id)
    )


def _was_sent() -> Iterable[ColumnElement[bool]]:
    """Yield the conditions that a step reached the customer: its email was sent, or its call was made."""
    yield _STEP.c.step.in_([each.value for each in CONTACTS])
    yield or_(_OUTBOX.c.state.is_(None), _OUTBOX.c.state == OutboxState.DONE)
    yield or_(_TASK.c.state.is_(None), _TASK.c.state == TaskState.DONE)


def _zones(scope: Scope) -> dict[int, ZoneInfo]:
    return {row.id or 0: ZoneInfo(row.time_zone) for row in scope.companies}


def _received(scope: Scope, money: Subquery, since: date) -> Iterable[ColumnElement[bool]]:
    yield money.c.received_on >= since
    yield scope.not_after_today(money, money.c.received_on)


def _money_on_invoices(scope: Scope) -> Select[Any]:
    same = and_(
        INVOICE.c.connection_id == _APPLICATION.c.connection_id, INVOICE.c.external_id == _APPLICATION.c.invoice_id
    )
    return (
        select(
            _APPLICATION.c.connection_id,
            _APPLICATION.c.source_id,
            INVOICE.c.customer_id,
            _APPLICATION.c.invoice_id,
            INVOICE.c.currency,
            _APPLICATION.c.applied_on.label("received_on"),
            _MONEY.label("amount_e4"),
        )
        .select_from(_APPLICATION.join(INVOICE, same))
        .where(in_companies(_APPLICATION, scope.ids), _APPLICATION.c.source_kind == CreditKind.PAYMENT, _MONEY > 0)
    )


def _money(scope: Scope) -> CompoundSelect[Any]:
    """Select all money: on invoices, the rest of each payment, and over- and prepayments."""
    same_invoice = and_(
        INVOICE.c.connection_id == _APPLICATION.c.connection_id, INVOICE.c.external_id == _APPLICATION.c.invoice_id
    )
    applied = (
        select(
            *(_APPLICATION.c.connection_id, _APPLICATION.c.source_id, func.sum(_MONEY).label("amount_e4")),
            func.min(INVOICE.c.currency).label("currency"),
            func.max(INVOICE.c.currency).label("other_currency"),
        )
        .select_from(_APPLICATION.outerjoin(INVOICE, same_invoice))
        .where(in_companies(_APPLICATION, scope.ids), _APPLICATION.c.source_kind == CreditKind.PAYMENT)
        .group_by(_APPLICATION.c.connection_id, _APPLICATION.c.source_id)
        .subquery()
    )
    is_comparable = and_(
        *(
            func.coalesce(each, _PAYMENT.c.currency) == _PAYMENT.c.currency
            for each in (applied.c.currency, applied.c.other_currency)
        )
    )
    # What is applied to an invoice in another currency is not deducted from the payment's own amount
    rest = case(
        (applied.c.source_id.is_(None), _PAYMENT.c.total_e4),
        (is_comparable, _PAYMENT.c.total_e4 - applied.c.amount_e4),
        else_=_PAYMENT.c.unapplied_e4,
    )
    is_its = and_(applied.c.connection_id == _PAYMENT.c.connection_id, applied.c.source_id == _PAYMENT.c.external_id)
    written_off = and_(
        _WRITE_OFF.c.connection_id == _PAYMENT.c.connection_id, _WRITE_OFF.c.payment_id == _PAYMENT.c.external_id
    )
    no_invoice = literal("")
    unapplied = (
        select(
            *(_PAYMENT.c.connection_id, _PAYMENT.c.external_id, _PAYMENT.c.customer_id, no_invoice),
            *(_PAYMENT.c.currency, _PAYMENT.c.paid_on, rest),
        )
        .select_from(_PAYMENT.outerjoin(applied, is_its).outerjoin(_WRITE_OFF, written_off))
        .where(in_companies(_PAYMENT, scope.ids), _WRITE_OFF.c.payment_id.is_(None), rest > 0)
    )
    early = select(
        *(_CREDIT.c.connection_id, _CREDIT.c.external_id, _CREDIT.c.customer_id, no_invoice),
        *(_CREDIT.c.currency, _CREDIT.c.dated_on, _CREDIT.c.total_e4),
    ).where(
        in_companies(_CREDIT, scope.ids),
        _CREDIT.c.kind.in_([CreditKind.OVERPAYMENT, CreditKind.PREPAYMENT]),
        _CREDIT.c.total_e4 > 0,
    )
    return union_all(_money_on_invoices(scope), unapplied, early)
