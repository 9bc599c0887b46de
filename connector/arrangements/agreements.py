"""What is said about an invoice: promises, payment plans, disputes, pauses; each is kept with who said it and its end.

``InvoiceSetting`` is what counts now, ``Agreement`` the history. Everything here works in the caller's transaction.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Sequence
from datetime import date, datetime
from itertools import pairwise
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlmodel import Session, col

from connector.audit import sync_log
from connector.db.money import MoneyError, from_e4, to_e4
from connector.db.tables import Agreement, Connection, InvoiceRow, InvoiceSetting, Task
from policies.currencies import split_evenly
from policies.formatting import format_amount, format_date
from policies.receivables import Instalment

INSTALMENT_INTERVALS: dict[str, int | None] = {
    "month": None,
    "two-weeks": 14,
    "week": 7,
}  # days between equal parts; None: by months
YEAR_MAX = 2999  # days are reckoned with: beyond the last day there is, a company's whole hour would break
DISPUTE_TASK_CODES = ("dispute_raised", "dispute_review")


class AgreementError(Exception):
    """What was said cannot be kept like this; ``str()`` says why."""


class Attribution(NamedTuple):
    """Whose word it is, and when he gave it."""

    by: str
    at: datetime


def record_dispute(session: Session, invoice: InvoiceRow, attribution: Attribution, *, reason: str) -> InvoiceSetting:
    """Stop chasing the invoice: the customer disputes it."""
    row, today = _get_setting(session, invoice, attribution), company_today(session, invoice, attribution)
    row.disputed_on, row.dispute_reason = today, reason
    _create_agreement(session, invoice, attribution, "dispute", reason=reason)
    _log_change(session, invoice, attribution, "dispute", "is disputed" + (f": {reason}" if reason else ""))
    return row


def resolve_dispute(
    session: Session, invoice: InvoiceRow, attribution: Attribution, *, outcome: str = ""
) -> InvoiceSetting:
    """Chase the invoice again from where it stopped: the dispute is settled, and so are the tasks about it."""
    row = _get_setting(session, invoice, attribution)
    row.disputed_on, row.dispute_reason = None, ""
    end_agreement(session, invoice, "dispute", "resolved", attribution, outcome)
    _close_dispute_tasks(session, invoice, attribution, outcome or "the dispute is settled")
    _log_change(
        session, invoice, attribution, "undispute", "is no longer disputed" + (f": {outcome}" if outcome else "")
    )
    return row


def set_promise(
    session: Session, invoice: InvoiceRow, attribution: Attribution, *, on: date | None, reason: str = ""
) -> InvoiceSetting:
    """Wait until the day the customer promised to pay on; None takes the promise back."""
    row = _get_setting(session, invoice, attribution)
    if on is None:
        row.promised_on = None
        end_agreement(session, invoice, "promise", "withdrawn", attribution)
        _log_change(session, invoice, attribution, "promise_withdrawn", "has no promise any more")
        return row
    if on < company_today(session, invoice, attribution):
        message = f"{format_date(on)} is over: a promise is for today or a day to come."
        raise AgreementError(message)
    _validate_year(on)
    row.promised_on = on
    _create_agreement(session, invoice, attribution, "promise", reason=reason, until_on=on)
    _log_change(
        session, invoice, attribution, "promise", f"is promised to be paid on {on}" + (f": {reason}" if reason else "")
    )
    return row


def set_payment_plan(
    session: Session,
    invoice: InvoiceRow,
    attribution: Attribution,
    *,
    instalments: Sequence[Instalment] | None,
    reason: str = "",
) -> InvoiceSetting:
    """Keep a payment plan over everything that is due on the invoice; None takes it back."""
    row = _get_setting(session, invoice, attribution)
    if not instalments:
        end_agreement(session, invoice, "payment_plan", "withdrawn", attribution)
        _log_change(session, invoice, attribution, "payment_plan_withdrawn", "has no payment plan any more")
        return row
    _validate_instalments(instalments, invoice, company_today(session, invoice, attribution))
    row.promised_on = None  # the plan takes the place of a promise
    end_agreement(session, invoice, "promise", "replaced", attribution)
    made = _create_agreement(
        session, invoice, attribution, "payment_plan", reason=reason, until_on=instalments[-1].due_on
    )
    made.amount_e4, made.currency = invoice.due_e4, invoice.currency
    made.instalments = [[each.due_on.isoformat(), str(each.amount)] for each in instalments]
    parts = ", ".join(f"{format_amount(each.amount, invoice.currency)} on {each.due_on}" for each in instalments)
    _log_change(
        session,
        invoice,
        attribution,
        "payment_plan",
        f"is paid by a plan: {parts}" + (f" ({reason})" if reason else ""),
    )
    return row


def pause_reminders(
    session: Session, invoice: InvoiceRow, attribution: Attribution, *, until: date | None, reason: str = ""
) -> InvoiceSetting:
    """Leave the invoice alone, until a day or until a person resumes it."""
    if until is not None and until <= company_today(session, invoice, attribution):
        message = f"A pause until {format_date(until)} would be over already: name a day to come."
        raise AgreementError(message)
    if until is not None:
        _validate_year(until)
    row = _get_setting(session, invoice, attribution)
    row.paused, row.paused_until_on = True, until
    _create_agreement(session, invoice, attribution, "pause", reason=reason, until_on=until)
    _log_change(
        session,
        invoice,
        attribution,
        "pause",
        (f"is paused until {until}" if until else "is paused") + (f": {reason}" if reason else ""),
    )
    return row


def resume_reminders(session: Session, invoice: InvoiceRow, attribution: Attribution) -> InvoiceSetting:
    """End the pause."""
    row = _get_setting(session, invoice, attribution)
    row.paused, row.paused_until_on = False, None
    end_agreement(session, invoice, "pause", "ended", attribution)
    _log_change(session, invoice, attribution, "resume", "is no longer paused")
    return row


def list_agreements(session: Session, invoice: InvoiceRow) -> list[dict[str, Any]]:
    """List everything that was ever said about an invoice, oldest first."""
    query = select(Agreement).where(*_of_invoice(invoice)).order_by(col(Agreement.id))
    names = (
        "kind",
        "state",
        "since_on",
        "until_on",
        "instalments",
        "reason",
        "recorded_by",
        "recorded_at",
        "ended_at",
        "outcome",
    )
    return [{name: getattr(row, name) for name in ("id", *names, "ended_by")} for row in session.scalars(query)]


def format_agreement(agreement: Agreement) -> str:
    """Say what was said: what, until when, why and by whom."""
    preposition = "for" if agreement.kind == "promise" else "until"
    until = f" {preposition} {format_date(agreement.until_on)}" if agreement.until_on else ""
    parts = ", ".join(f"{amount} on {on}" for on, amount in agreement.instalments or [])
    about = f" of {format_amount(from_e4(agreement.amount_e4), agreement.currency)} ({parts})" if parts else ""
    reason = f": {agreement.reason}" if agreement.reason else ""
    by = f" ({agreement.recorded_by})" if agreement.recorded_by else ""
    return f"{agreement.kind}{about}{until}{reason}{by}"


def equal_instalments(invoice: InvoiceRow, count: int, first_on: date, days_between: int | None) -> list[Instalment]:
    """Split the balance into equal instalments, monthly or so many days apart; the first ones take the remainder."""
    _validate_year(first_on)
    amounts = split_evenly(from_e4(invoice.due_e4), count, invoice.currency)
    return [Instalment(_instalment_date(first_on, place, days_between), amount) for place, amount in enumerate(amounts)]


def end_agreement(
    session: Session, invoice: InvoiceRow, kind: str, state: str, attribution: Attribution, outcome: str = ""
) -> Agreement | None:
    """End what is open of a kind, and return it."""
    query = select(Agreement).where(*_of_invoice(invoice), col(Agreement.kind) == kind, col(Agreement.state) == "open")
    found = None
    for found in session.scalars(query):
        found.state, found.ended_at, found.ended_by, found.outcome = state, attribution.at, attribution.by, outcome
    return found


def company_today(session: Session, invoice: InvoiceRow, attribution: Attribution) -> date:
    """Give the day it is in the company's time zone."""
    return attribution.at.astimezone(ZoneInfo(session.get_one(Connection, invoice.connection_id).time_zone)).date()


def _instalment_date(first_on: date, index: int, days_between: int | None) -> date:
    if days_between is not None:
        return date.fromordinal(first_on.toordinal() + index * days_between)
    year, month = divmod(first_on.year * 12 + first_on.month - 1 + index, 12)
    return date(year, month + 1, min(first_on.day, monthrange(year, month + 1)[1]))


def _validate_instalments(instalments: Sequence[Instalment], invoice: InvoiceRow, today: date) -> None:
    """Refuse a plan that cannot be kept: days out of order or over, sums that are not what is due."""
    days = [each.due_on for each in instalments]
    if days[0] < today or any(later <= sooner for sooner, later in pairwise(days)):
        message = "The instalments' days have to come one after another, from today on."
        raise AgreementError(message)
    _validate_year(days[-1])
    try:
        parts = [to_e4(each.amount) for each in instalments]
    except MoneyError as odd:
        message = f"An instalment is no sum of money: {odd}."
        raise AgreementError(message) from odd
    if min(parts) <= 0:
        message = "Every instalment has to be more than nothing."
        raise AgreementError(message)
    planned, due = sum(parts), invoice.due_e4
    if planned != due:
        message = (
            f"The instalments make {format_amount(from_e4(planned), invoice.currency)}, but"
            f" {format_amount(from_e4(due), invoice.currency)} is due on {invoice.number}."
        )
        raise AgreementError(message)


def _validate_year(on: date) -> None:
    if on.year > YEAR_MAX:
        message = f"The year of {format_date(on)} cannot be right; the last one is {YEAR_MAX}."
        raise AgreementError(message)


def _of_invoice(invoice: InvoiceRow) -> tuple[Any, ...]:
    return (
        col(Agreement.connection_id) == invoice.connection_id,
        col(Agreement.invoice_id) == invoice.external_id,
    )


def _create_agreement(
    session: Session,
    invoice: InvoiceRow,
    attribution: Attribution,
    kind: str,
    *,
    reason: str,
    until_on: date | None = None,
) -> Agreement:
    end_agreement(session, invoice, kind, "replaced", attribution)
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
    """Close the tasks about a dispute that is settled: each is about one invoice."""
    query = select(Task).where(
        col(Task.connection_id) == invoice.connection_id,
        col(Task.customer_id) == invoice.customer_id,
        col(Task.state) == "open",
        col(Task.code).in_(DISPUTE_TASK_CODES),
    )
    for task in session.scalars(query):
        if task.invoice_ids == [invoice.external_id]:
            task.state, task.outcome, task.ended_at, task.ended_by = "done", outcome, attribution.at, attribution.by


def _log_change(session: Session, invoice: InvoiceRow, attribution: Attribution, kind: str, change: str) -> None:
    sync_log.write(
        session,
        at=attribution.at,
        kind="invoice_updated",
        text=f"{attribution.by} said: invoice {invoice.number} {change}.",
        connection_id=invoice.connection_id,
        customer_id=invoice.customer_id,
        invoice_id=invoice.external_id,
        facts={"change": kind},
    )
