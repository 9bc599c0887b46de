"""What is said about an invoice: promises, payment plans, disputes, pauses; each is kept with who said it and its end.

``InvoiceSetting`` is what counts now, ``Agreement`` the history. Everything here works in the caller's transaction.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlmodel import Session, col

from connector import sync_log
from connector.money import MoneyError, from_e4, to_e4
from connector.tables import Agreement, Connection, InvoiceRow, InvoiceSetting, Task
from policies.receivables import Instalment
from policies.wording import day, sum_of

EVERY: dict[str, int | None] = {"month": None, "two-weeks": 14, "week": 7}  # days between equal parts; None: by months
YEAR_MAX = 2999  # days are reckoned with: beyond the last day there is, a company's whole hour would break
DISPUTE_TASKS = ("dispute_raised", "dispute_review")


class AgreementError(Exception):
    """What was said cannot be kept like this; ``str()`` says why."""


class Word(NamedTuple):
    """Whose word it is, and when he gave it."""

    by: str
    at: datetime


def dispute(session: Session, invoice: InvoiceRow, word: Word, *, why: str) -> InvoiceSetting:
    """Stop chasing the invoice: the customer disputes it."""
    row, today = _setting(session, invoice, word), today_of(session, invoice, word)
    row.disputed_on, row.dispute_why = today, why
    _begin(session, invoice, word, "dispute", why=why)
    _tell(session, invoice, word, "dispute", "is disputed" + (f": {why}" if why else ""))
    return row


def undispute(session: Session, invoice: InvoiceRow, word: Word, *, outcome: str = "") -> InvoiceSetting:
    """Chase the invoice again from where it stopped: the dispute is settled, and so are the tasks about it."""
    row = _setting(session, invoice, word)
    row.disputed_on, row.dispute_why = None, ""
    end(session, invoice, "dispute", "settled", word, outcome)
    _end_tasks(session, invoice, word, outcome or "the dispute is settled")
    _tell(session, invoice, word, "undispute", "is no longer disputed" + (f": {outcome}" if outcome else ""))
    return row


def promise(session: Session, invoice: InvoiceRow, word: Word, *, on: date | None, why: str = "") -> InvoiceSetting:
    """Wait until the day the customer promised to pay on; None takes the promise back."""
    row = _setting(session, invoice, word)
    if on is None:
        row.promised_on = None
        end(session, invoice, "promise", "withdrawn", word)
        _tell(session, invoice, word, "promise_withdrawn", "has no promise any more")
        return row
    if on < today_of(session, invoice, word):
        message = f"{day(on)} is over: a promise is for today or a day to come."
        raise AgreementError(message)
    _refuse_beyond_reason(on)
    row.promised_on = on
    _begin(session, invoice, word, "promise", why=why, until_on=on)
    _tell(session, invoice, word, "promise", f"is promised to be paid on {on}" + (f": {why}" if why else ""))
    return row


def plan(
    session: Session, invoice: InvoiceRow, word: Word, *, instalments: Sequence[Instalment] | None, why: str = ""
) -> InvoiceSetting:
    """Keep a payment plan over everything that is due on the invoice; None takes it back."""
    row = _setting(session, invoice, word)
    if not instalments:
        end(session, invoice, "plan", "withdrawn", word)
        _tell(session, invoice, word, "plan_withdrawn", "has no payment plan any more")
        return row
    _check(instalments, invoice, today_of(session, invoice, word))
    row.promised_on = None  # the plan takes the place of a promise
    end(session, invoice, "promise", "replaced", word)
    made = _begin(session, invoice, word, "plan", why=why, until_on=instalments[-1].on)
    made.owed_e4, made.currency = invoice.due_e4, invoice.currency
    made.instalments = [[each.on.isoformat(), str(each.amount)] for each in instalments]
    parts = ", ".join(f"{sum_of(each.amount, invoice.currency)} on {each.on}" for each in instalments)
    _tell(session, invoice, word, "plan", f"is paid by a plan: {parts}" + (f" ({why})" if why else ""))
    return row


def pause(session: Session, invoice: InvoiceRow, word: Word, *, until: date | None, why: str = "") -> InvoiceSetting:
    """Leave the invoice alone, until a day or until a person resumes it."""
    if until is not None and until <= today_of(session, invoice, word):
        message = f"A pause until {day(until)} would be over already: name a day to come."
        raise AgreementError(message)
    if until is not None:
        _refuse_beyond_reason(until)
    row = _setting(session, invoice, word)
    row.paused, row.paused_until_on = True, until
    _begin(session, invoice, word, "pause", why=why, until_on=until)
    _tell(
        session,
        invoice,
        word,
        "pause",
        (f"is paused until {until}" if until else "is paused") + (f": {why}" if why else ""),
    )
    return row


def resume(session: Session, invoice: InvoiceRow, word: Word) -> InvoiceSetting:
    """End the pause."""
    row = _setting(session, invoice, word)
    row.paused, row.paused_until_on = False, None
    end(session, invoice, "pause", "ended", word)
    _tell(session, invoice, word, "resume", "is no longer paused")
    return row


def history(session: Session, invoice: InvoiceRow) -> list[dict[str, Any]]:
    """List everything that was ever said about an invoice, oldest first."""
    query = select(Agreement).where(*_about(invoice)).order_by(col(Agreement.id))
    names = ("kind", "state", "since_on", "until_on", "instalments", "why", "said_by", "said_at", "ended_at", "outcome")
    return [{name: getattr(row, name) for name in ("id", *names, "ended_by")} for row in session.scalars(query)]


def sentence(agreement: Agreement) -> str:
    """Say what was said: what, until when, why and by whom."""
    preposition = "for" if agreement.kind == "promise" else "until"
    until = f" {preposition} {day(agreement.until_on)}" if agreement.until_on else ""
    parts = ", ".join(f"{amount} on {on}" for on, amount in agreement.instalments or [])
    about = f" of {sum_of(from_e4(agreement.owed_e4), agreement.currency)} ({parts})" if parts else ""
    why = f": {agreement.why}" if agreement.why else ""
    by = f" ({agreement.said_by})" if agreement.said_by else ""
    return f"{agreement.kind}{about}{until}{why}{by}"


def equal_parts(invoice: InvoiceRow, count: int, first_on: date, days_between: int | None) -> list[Instalment]:
    """Split what is due into equal parts, by months or by a number of days; the last takes what does not divide."""
    _refuse_beyond_reason(first_on)
    due = from_e4(invoice.due_e4)
    part = (due / count).quantize(Decimal("0.01"))
    amounts = [part] * (count - 1) + [due - part * (count - 1)]
    return [Instalment(_later(first_on, place, days_between), amount) for place, amount in enumerate(amounts)]


def end(
    session: Session, invoice: InvoiceRow, kind: str, state: str, word: Word, outcome: str = ""
) -> Agreement | None:
    """End what is open of a kind, and return it."""
    query = select(Agreement).where(*_about(invoice), col(Agreement.kind) == kind, col(Agreement.state) == "open")
    found = None
    for found in session.scalars(query):
        found.state, found.ended_at, found.ended_by, found.outcome = state, word.at, word.by, outcome
    return found


def today_of(session: Session, invoice: InvoiceRow, word: Word) -> date:
    """Give the day it is in the company's time zone."""
    return word.at.astimezone(ZoneInfo(session.get_one(Connection, invoice.connection_id).time_zone)).date()


def _later(first_on: date, place: int, days_between: int | None) -> date:
    if days_between is not None:
        return date.fromordinal(first_on.toordinal() + place * days_between)
    year, month = divmod(first_on.year * 12 + first_on.month - 1 + place, 12)
    return date(year, month + 1, min(first_on.day, monthrange(year, month + 1)[1]))


def _check(instalments: Sequence[Instalment], invoice: InvoiceRow, today: date) -> None:
    """Refuse a plan that cannot be kept: days out of order or over, sums that are not what is due."""
    days = [each.on for each in instalments]
    if days[0] < today or any(later <= sooner for sooner, later in pairwise(days)):
        message = "The instalments' days have to come one after another, from today on."
        raise AgreementError(message)
    _refuse_beyond_reason(days[-1])
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
            f"The instalments make {sum_of(from_e4(planned), invoice.currency)}, but"
            f" {sum_of(from_e4(due), invoice.currency)} is due on {invoice.number}."
        )
        raise AgreementError(message)


def _refuse_beyond_reason(on: date) -> None:
    if on.year > YEAR_MAX:
        message = f"The year of {day(on)} cannot be right; the last one is {YEAR_MAX}."
        raise AgreementError(message)


def _about(invoice: InvoiceRow) -> tuple[Any, ...]:
    return (
        col(Agreement.connection_id) == invoice.connection_id,
        col(Agreement.invoice_id) == invoice.external_id,
    )


def _begin(
    session: Session, invoice: InvoiceRow, word: Word, kind: str, *, why: str, until_on: date | None = None
) -> Agreement:
    end(session, invoice, kind, "replaced", word)
    row = Agreement(
        connection_id=invoice.connection_id,
        kind=kind,
        invoice_id=invoice.external_id,
        customer_id=invoice.customer_id,
        since_on=today_of(session, invoice, word),
        until_on=until_on,
        currency=invoice.currency,
        why=why,
        said_by=word.by,
        said_at=word.at,
    )
    session.add(row)
    return row


def _setting(session: Session, invoice: InvoiceRow, word: Word) -> InvoiceSetting:
    key = (invoice.connection_id, invoice.external_id)
    row = session.get(InvoiceSetting, key)
    if row is None:
        row = InvoiceSetting(connection_id=key[0], invoice_id=key[1], set_at=word.at)
        session.add(row)
    row.set_at = word.at
    session.get_one(Connection, invoice.connection_id).decided_on = ""
    return row


def _end_tasks(session: Session, invoice: InvoiceRow, word: Word, outcome: str) -> None:
    """Close the tasks about a dispute that is settled: each is about one invoice."""
    query = select(Task).where(
        col(Task.connection_id) == invoice.connection_id,
        col(Task.customer_id) == invoice.customer_id,
        col(Task.state) == "open",
        col(Task.code).in_(DISPUTE_TASKS),
    )
    for task in session.scalars(query):
        if task.invoice_ids == [invoice.external_id]:
            task.state, task.outcome, task.ended_at, task.ended_by = "done", outcome, word.at, word.by


def _tell(session: Session, invoice: InvoiceRow, word: Word, kind: str, said: str) -> None:
    sync_log.write(
        session,
        at=word.at,
        kind="invoice_set",
        text=f"{word.by} said: invoice {invoice.number} {said}.",
        connection_id=invoice.connection_id,
        customer_id=invoice.customer_id,
        invoice_id=invoice.external_id,
        facts={"said": kind},
    )
