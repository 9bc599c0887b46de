"""Agreements about an invoice: promises, payment plans, disputes and pauses, each with who recorded it and its end.

``InvoiceSetting`` holds what applies now, ``Agreement`` the history. Everything here works in the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from dateutil.relativedelta import relativedelta
from sqlalchemy import ColumnElement, select
from sqlmodel import Session, col

from connector.arrangements.agreement_list import format_instalments
from connector.arrangements.partial_promises import money_received_e4
from connector.audit import sync_log
from connector.db.invoice_names import name_of, title_of
from connector.db.money import MoneyError, from_e4, to_e4
from connector.db.tables import Agreement, Connection, InvoiceRow, InvoiceSetting, Task
from connector.vocabulary import AgreementChange, AgreementKind, AgreementState, LogKind, TaskCode, TaskState
from policies.currencies import plain_amount, split_evenly
from policies.formatting import format_amount, format_date
from policies.receivables import Instalment

# By the names that users type and choose: the time between equal instalments
INSTALMENT_INTERVALS: Final = {
    "month": relativedelta(months=1),
    "two-weeks": relativedelta(days=14),
    "week": relativedelta(days=7),
}
YEAR_MAX = 2999  # dates are added to: past the last date Python knows, every sync of the company would fail
DISPUTE_TASK_CODES: Final = (TaskCode.DISPUTE_RAISED, TaskCode.DISPUTE_REVIEW)


class AgreementError(Exception):
    """An agreement that cannot be recorded like this; the message says why."""


class PromisedAmountError(AgreementError):
    """An amount that cannot be promised of an invoice."""


class Attribution(NamedTuple):
    """Who made a change, and when."""

    by: str
    at: datetime


def record_dispute(session: Session, invoice: InvoiceRow, attribution: Attribution, *, reason: str) -> InvoiceSetting:
    """Stop chasing an invoice that the customer disputes."""
    row, today = _get_setting(session, invoice, attribution), company_today(session, invoice, attribution)
    row.disputed_on, row.dispute_reason = today, reason
    _create_agreement(session, invoice, attribution, AgreementKind.DISPUTE, reason=reason)
    text = "is disputed" + (f": {reason}" if reason else "")
    _log_change(session, invoice, attribution, AgreementChange.DISPUTED, text)
    return row


def resolve_dispute(
    session: Session, invoice: InvoiceRow, attribution: Attribution, *, outcome: str = ""
) -> InvoiceSetting:
    """Resolve the dispute and its tasks: the invoice is chased again from where it stopped."""
    row = _get_setting(session, invoice, attribution)
    row.disputed_on, row.dispute_reason = None, ""
    end_agreement(session, invoice, AgreementKind.DISPUTE, AgreementState.RESOLVED, attribution, outcome)
    _close_dispute_tasks(session, invoice, attribution, outcome or "the dispute was resolved")
    text = "is no longer disputed" + (f": {outcome}" if outcome else "")
    _log_change(session, invoice, attribution, AgreementChange.DISPUTE_RESOLVED, text)
    return row


def set_promise(
    session: Session,
    invoice: InvoiceRow,
    attribution: Attribution,
    *,
    on: date | None,
    reason: str = "",
    amount: Decimal | None = None,
) -> InvoiceSetting:
    """Record that the customer promised to pay by a date, or withdraw the promise (``on`` None).

    ``amount`` is what they promised of the invoice, None for its balance.

    Raises:
        AgreementError: the date is in the past, or less is due than the amount.

    """
    row = _get_setting(session, invoice, attribution)
    if on is None:
        row.promised_on = row.promised_e4 = None
        end_agreement(session, invoice, AgreementKind.PROMISE, AgreementState.WITHDRAWN, attribution)
        _log_change(session, invoice, attribution, AgreementChange.PROMISE_WITHDRAWN, "is no longer promised")
        return row
    if on < company_today(session, invoice, attribution):
        message = f"{format_date(on)} is in the past: choose today or a later date."
        raise AgreementError(message)
    _validate_year(on)
    if amount is not None and not 0 < amount <= from_e4(invoice.due_e4):
        due = format_amount(from_e4(invoice.due_e4), invoice.currency)
        message = f"Enter an amount up to the {due} that is due on {name_of(session, invoice)}."
        raise PromisedAmountError(message)
    if amount is not None and amount == from_e4(invoice.due_e4):
        amount = None
    part_e4 = None if amount is None else _promised_e4(amount)
    row.promised_on, row.promised_e4 = on, part_e4
    promise = _create_agreement(session, invoice, attribution, AgreementKind.PROMISE, reason=reason, until_on=on)
    part = ""
    if amount is not None and part_e4 is not None:
        promise.amount_e4, promise.currency = part_e4, invoice.currency
        promise.paid_before_e4 = money_received_e4(session, invoice)
        part = f" with {format_amount(amount, invoice.currency)}"
    text = f"is promised to be paid{part} by {format_date(on)}" + (f": {reason}" if reason else "")
    _log_change(session, invoice, attribution, AgreementChange.PROMISED, text)
    return row


def _promised_e4(amount: Decimal) -> int:
    try:
        return to_e4(amount)
    except MoneyError as error:
        raise PromisedAmountError(f"{amount} is not an amount: {error}.") from error


def set_payment_plan(
    session: Session,
    invoice: InvoiceRow,
    attribution: Attribution,
    *,
    instalments: Sequence[Instalment] | None,
    reason: str = "",
) -> InvoiceSetting:
    """Record a payment plan over the whole balance of the invoice, or withdraw it (no ``instalments``).

    Raises:
        AgreementError: dates out of order or in the past, or amounts that do not add up to the balance.

    """
    row = _get_setting(session, invoice, attribution)
    if not instalments:
        end_agreement(session, invoice, AgreementKind.PAYMENT_PLAN, AgreementState.WITHDRAWN, attribution)
        text = "no longer has a payment plan"
        _log_change(session, invoice, attribution, AgreementChange.PAYMENT_PLAN_WITHDRAWN, text)
        return row
    _validate_instalments(session, instalments, invoice, company_today(session, invoice, attribution))
    row.promised_on = row.promised_e4 = None  # the plan takes the place of a promise
    end_agreement(session, invoice, AgreementKind.PROMISE, AgreementState.REPLACED, attribution)
    plan = _create_agreement(
        session, invoice, attribution, AgreementKind.PAYMENT_PLAN, reason=reason, until_on=instalments[-1].due_on
    )
    plan.amount_e4, plan.currency = invoice.due_e4, invoice.currency
    plan.invoice_total_e4 = invoice.total_e4
    currency = invoice.currency
    plan.instalments = [[each.due_on.isoformat(), plain_amount(each.amount, currency)] for each in instalments]
    text = f"has a payment plan: {format_instalments(plan)}" + (f" ({reason})" if reason else "")
    _log_change(session, invoice, attribution, AgreementChange.PAYMENT_PLAN_AGREED, text)
    return row


def pause_reminders(
    session: Session, invoice: InvoiceRow, attribution: Attribution, *, until: date | None, reason: str = ""
) -> InvoiceSetting:
    """Pause the reminders of an invoice until a date, or until a user resumes them.

    Raises:
        AgreementError: the date is not in the future.

    """
    if until is not None and until <= company_today(session, invoice, attribution):
        message = f"A pause until {format_date(until)} would already be over: choose a later date."
        raise AgreementError(message)
    if until is not None:
        _validate_year(until)
    row = _get_setting(session, invoice, attribution)
    row.paused, row.paused_until_on = True, until
    _create_agreement(session, invoice, attribution, AgreementKind.PAUSE, reason=reason, until_on=until)
    text = "is paused" + (f" until {format_date(until)}" if until else "") + (f": {reason}" if reason else "")
    _log_change(session, invoice, attribution, AgreementChange.PAUSED, text)
    return row


def resume_reminders(session: Session, invoice: InvoiceRow, attribution: Attribution) -> InvoiceSetting:
    """End the pause of an invoice."""
    row = _get_setting(session, invoice, attribution)
    row.paused, row.paused_until_on = False, None
    end_agreement(session, invoice, AgreementKind.PAUSE, AgreementState.ENDED, attribution)
    _log_change(session, invoice, attribution, AgreementChange.RESUMED, "is no longer paused")
    return row


def equal_instalments(invoice: InvoiceRow, count: int, first_on: date, interval: relativedelta) -> list[Instalment]:
    """Split the balance into equal instalments, an interval apart; the first ones take the remainder."""
    _validate_year(first_on)
    amounts = split_evenly(from_e4(invoice.due_e4), count, invoice.currency)
    return [Instalment(first_on + index * interval, amount) for index, amount in enumerate(amounts)]


def end_agreement(
    session: Session,
    invoice: InvoiceRow,
    kind: AgreementKind,
    state: AgreementState,
    attribution: Attribution,
    outcome: str = "",
) -> Agreement | None:
    """End the open agreement of a kind, and return it; None where there is none."""
    query = select(Agreement).where(
        *_of_invoice(invoice), col(Agreement.kind) == kind, col(Agreement.state) == AgreementState.OPEN
    )
    ended = None
    for ended in session.scalars(query):
        ended.state, ended.ended_at, ended.ended_by, ended.outcome = state, attribution.at, attribution.by, outcome
    return ended


def company_today(session: Session, invoice: InvoiceRow, attribution: Attribution) -> date:
    """Return the date of a change in the time zone of the invoice's company."""
    return attribution.at.astimezone(ZoneInfo(session.get_one(Connection, invoice.connection_id).time_zone)).date()


def _validate_instalments(
    session: Session, instalments: Sequence[Instalment], invoice: InvoiceRow, today: date
) -> None:
    dates = [each.due_on for each in instalments]
    if dates[0] < today or any(later <= earlier for earlier, later in pairwise(dates)):
        message = "The instalments must be in date order, the first one today or later."
        raise AgreementError(message)
    _validate_year(dates[-1])
    try:
        amounts = [to_e4(each.amount) for each in instalments]
    except MoneyError as error:
        message = f"An instalment is not an amount: {error}."
        raise AgreementError(message) from error
    if min(amounts) <= 0:
        message = "Every instalment must be more than zero."
        raise AgreementError(message)
    if sum(amounts) != invoice.due_e4:
        message = (
            f"The instalments add up to {format_amount(from_e4(sum(amounts)), invoice.currency)}, but"
            f" {format_amount(from_e4(invoice.due_e4), invoice.currency)} is due on {name_of(session, invoice)}."
        )
        raise AgreementError(message)


def _validate_year(on: date) -> None:
    if on.year > YEAR_MAX:
        message = f"{format_date(on)} is too far away: the last possible year is {YEAR_MAX}."
        raise AgreementError(message)


def _of_invoice(invoice: InvoiceRow) -> tuple[ColumnElement[bool], ...]:
    return (
        col(Agreement.connection_id) == invoice.connection_id,
        col(Agreement.invoice_id) == invoice.external_id,
    )


def _create_agreement(
    session: Session,
    invoice: InvoiceRow,
    attribution: Attribution,
    kind: AgreementKind,
    *,
    reason: str,
    until_on: date | None = None,
) -> Agreement:
    end_agreement(session, invoice, kind, AgreementState.REPLACED, attribution)
    row = Agreement(
        connection_id=invoice.connection_id,
        kind=kind,
        invoice_id=invoice.external_id,
        customer_id=invoice.customer_id,
        since_on=company_today(session, invoice, attribution),
        until_on=until_on,
        currency=invoice.currency,
        reason=reason,
        recorded_by=attribution.by,
        recorded_at=attribution.at,
    )
    session.add(row)
    return row


def _get_setting(session: Session, invoice: InvoiceRow, attribution: Attribution) -> InvoiceSetting:
    key = (invoice.connection_id, invoice.external_id)
    row = session.get(InvoiceSetting, key)
    if row is None:
        row = InvoiceSetting(connection_id=key[0], invoice_id=key[1], set_at=attribution.at)
        session.add(row)
    row.set_at = attribution.at
    session.get_one(Connection, invoice.connection_id).decision_fingerprint = ""
    return row


def _close_dispute_tasks(session: Session, invoice: InvoiceRow, attribution: Attribution, outcome: str) -> None:
    query = select(Task).where(
        col(Task.connection_id) == invoice.connection_id,
        col(Task.customer_id) == invoice.customer_id,
        col(Task.state) == TaskState.OPEN,
        col(Task.code).in_(DISPUTE_TASK_CODES),
    )
    for task in session.scalars(query):
        if task.invoice_ids == [invoice.external_id]:  # these tasks are about one invoice each
            task.state, task.outcome = TaskState.DONE, outcome
            task.ended_at, task.ended_by = attribution.at, attribution.by


def _log_change(
    session: Session, invoice: InvoiceRow, attribution: Attribution, change: AgreementChange, text: str
) -> None:
    sync_log.write(
        session,
        at=attribution.at,
        kind=LogKind.INVOICE_UPDATED,
        text=f"{attribution.by}: {title_of(session, invoice)} {text}.",
        connection_id=invoice.connection_id,
        customer_id=invoice.customer_id,
        invoice_id=invoice.external_id,
        facts={"change": change},
    )
