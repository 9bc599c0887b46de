"""Long holds: an overdue invoice that has been on hold for weeks is an exception, whatever the reason.

A hold is right on the day it begins; nobody may forget it. It counts from the due date, and through changes of reason.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import date, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import func, select
from sqlmodel import Session, col

from connector import policy_store
from connector.db.invoice_names import name_of
from connector.db.money import from_e4
from connector.db.tables import Connection, ExceptionRow, InvoiceDecisionRow, InvoiceRow
from connector.evaluation.exception_rows import ExceptionKey, replace_exceptions
from connector.geo import today_in
from policies.decisions import HoldCode
from policies.exception_checks import ExceptionCode
from policies.formatting import format_amount, format_date, format_days
from policies.invoice_names import at_sentence_start

_COMPANY_WIDE = frozenset({HoldCode.STALE_DATA, HoldCode.LEDGER_REMINDERS})  # one exception, not one for each invoice
_WITH_ANOTHER = frozenset({HoldCode.FEE_INVOICE})  # a late fee is chased with its invoice


class _LongHold(NamedTuple):
    customer_id: str
    invoice_id: str
    reason: str


def update_exceptions(session: Session, connection: Connection, now: datetime) -> list[ExceptionRow]:
    """Make the exceptions about long holds equal to what is on hold by now; returns the new ones."""
    policy, _version = policy_store.get_policy(session, connection.id)
    holds = _find(session, connection, policy.exceptions.long_hold_days, today_in(connection.time_zone, now))
    code = ExceptionCode.LONG_HOLD
    found = {ExceptionKey(hold.customer_id, code, hold.invoice_id): hold.reason for hold in holds}
    return replace_exceptions(session, connection.id or 0, col(ExceptionRow.code) == code, found, now)


def _find(session: Session, connection: Connection, days: int | None, today: date) -> list[_LongHold]:
    if days is None:
        return []
    joined = (col(InvoiceRow.connection_id) == col(InvoiceDecisionRow.connection_id)) & (
        col(InvoiceRow.external_id) == col(InvoiceDecisionRow.invoice_id)
    )
    since_latest_on = today - timedelta(days=days)
    query = (
        select(InvoiceDecisionRow, InvoiceRow)
        .join(InvoiceRow, joined)
        .where(
            col(InvoiceDecisionRow.connection_id) == connection.id,
            col(InvoiceDecisionRow.held_since_on) <= since_latest_on,
            func.coalesce(col(InvoiceRow.due_on), col(InvoiceRow.issued_on)) <= since_latest_on,
            col(InvoiceRow.is_open),
        )
    )
    holds: list[_LongHold] = []
    of_company: defaultdict[str, list[InvoiceDecisionRow]] = defaultdict(list)
    for decision, invoice in session.execute(query):
        if decision.code in _COMPANY_WIDE:
            of_company[decision.code].append(decision)
        elif decision.code not in _WITH_ANOTHER:
            since_on = max(decision.held_since_on, invoice.due_on or invoice.issued_on)
            text = _describe(decision, invoice, name_of(session, invoice), since_on, today)
            holds.append(_LongHold(decision.customer_id, invoice.external_id, text))
    if of_company:
        decisions = max(of_company.values(), key=len)
        count = f"{len(decisions)} overdue invoices have" if len(decisions) > 1 else "1 overdue invoice has"
        text = f"{count} been on hold for {format_days(days)} or more: {decisions[0].reason}"
        holds.append(_LongHold("", "", text))
    return holds


def _describe(decision: InvoiceDecisionRow, invoice: InvoiceRow, name: str, since_on: date, today: date) -> str:
    due = format_amount(from_e4(invoice.due_e4), invoice.currency)
    days = format_days((today - since_on).days)
    since = f"for {days}, since {format_date(since_on)}"
    state = "is overdue and" if invoice.due_on else "is open and"
    return f"{at_sentence_start(name)} for {due} {state} has been on hold {since}: {decision.reason}"
