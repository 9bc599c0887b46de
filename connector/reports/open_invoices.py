"""A company's open invoices with their payment forecasts, as they are and as they were a week ago."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import NamedTuple

from sqlalchemy import and_, func, or_, select
from sqlmodel import Session, SQLModel

from connector.reports import customer_segments
from connector.reports.report_cache import cached
from connector.reports.scope import INVOICE, Scope, in_companies
from connector.vocabulary import MatchCertainty, MatchState
from policies.payment_behaviour import Forecast, forecast_payment
from policies.receivables import InvoiceStatus

DAYS_AHEAD = 7
_BOOKED_IN_DAYS = (2, 1, 4)  # expected, earliest and latest, for money that is in the bank
_ANY_AMOUNT = 2**60
_GroupKey = tuple[str, Forecast | None]
_COLUMNS = (*(INVOICE.c.external_id, INVOICE.c.customer_id, INVOICE.c.currency, INVOICE.c.due_on, INVOICE.c.issued_on),)


class InvoiceGroups(NamedTuple):
    """A company's open invoices by currency and payment forecast, as they are and as they were a week ago."""

    now: Mapping[_GroupKey, tuple[float, float]]
    a_week_ago: Mapping[_GroupKey, tuple[float, float]]


class OpenInvoice(NamedTuple):
    """An invoice with the balance it has, or had."""

    invoice_id: str
    customer_id: str
    currency: str
    due_on: date | None
    issued_on: date
    due_e4: int


@cached  # by company: where one company's data changed, the others are not computed again
def group_invoices(session: Session, company_scope: Scope) -> InvoiceGroups:
    """Group a company's open invoices by payment forecast: 100,000 of them make a few thousand groups."""
    today = company_scope.today
    then = today - timedelta(days=DAYS_AHEAD)
    now = list_open_invoices(session, company_scope)
    settled = _settled_since(session, company_scope.ids[0], then)
    open_ids = {each.invoice_id for each in now}
    before = [
        each._replace(due_e4=each.due_e4 + settled[each.invoice_id].due_e4) if each.invoice_id in settled else each
        for each in now
        if each.issued_on <= then
    ] + [each for each in settled.values() if each.invoice_id not in open_ids]
    coming = forecast_invoices(session, company_scope, [*now, *before])
    return InvoiceGroups(_group(now, coming[: len(now)]), _group(before, coming[len(now) :]))


def _group(
    invoices: Sequence[OpenInvoice], forecasts: Sequence[Forecast | None]
) -> dict[_GroupKey, tuple[float, float]]:
    sums: defaultdict[_GroupKey, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
    for invoice, coming in zip(invoices, forecasts, strict=True):
        amount, squares = sums[invoice.currency, coming]
        each = invoice.due_e4 / 10_000
        sums[invoice.currency, coming] = amount + each, squares + each * each
    return dict(sums)


def forecast_invoices(session: Session, company_scope: Scope, invoices: Sequence[OpenInvoice]) -> list[Forecast | None]:
    """Return when each invoice is expected to be paid; None for those without a due date.

    One that money in the bank pays is expected within days: it only has to be booked.
    """
    customers = {each.customer_id for each in invoices}
    behaviour = customer_segments.find_payment_behaviour(
        session, company_scope.companies[0], customers, company_scope.today
    )
    known: dict[tuple[str, date], Forecast] = {}  # many invoices of a customer are due on the same date
    in_bank = _paid_at_bank(session, company_scope.ids[0])
    expected_on, earliest_on, latest_on = (company_scope.today + timedelta(days=days) for days in _BOOKED_IN_DAYS)
    soon = Forecast(expected_on, earliest_on, latest_on, 0.0)
    found: list[Forecast | None] = []
    for each in invoices:
        if in_bank.get(each.invoice_id, 0) >= each.due_e4:
            found.append(soon)
            continue
        if each.due_on is None:
            found.append(None)
            continue
        key = (each.customer_id, each.due_on)
        if key not in known:
            known[key] = forecast_payment(behaviour[each.customer_id], each.due_on)._replace(late_share=0.0)
        found.append(known[key])
    return found


def _paid_at_bank(session: Session, connection_id: int) -> dict[str, int]:
    """Return what money in the bank surely pays of invoices, in ten-thousandths; all of what it settles."""
    match = SQLModel.metadata.tables["bank_match"]
    is_sure = (match.c.certainty == MatchCertainty.SURE) & (match.c.state == MatchState.OPEN)
    query = select(match.c.invoice_id, match.c.amount_e4, match.c.settles).where(
        match.c.connection_id == connection_id, or_(is_sure, match.c.state == MatchState.CONFIRMED)
    )
    found: defaultdict[str, int] = defaultdict(int)
    for invoice_id, amount_e4, settles in session.execute(query):
        found[invoice_id] += _ANY_AMOUNT if settles else amount_e4
    return dict(found)


def list_open_invoices(session: Session, company_scope: Scope) -> list[OpenInvoice]:
    """List a company's invoices with a balance due."""
    query = select(*_COLUMNS, INVOICE.c.due_e4).where(
        in_companies(INVOICE, company_scope.ids), INVOICE.c.is_open, INVOICE.c.due_e4 > 0
    )
    return [OpenInvoice(*row) for row in session.execute(query).all()]


def _settled_since(session: Session, connection_id: int, then: date) -> dict[str, OpenInvoice]:
    """Return the invoices issued until a date that were paid or credited after it, with what was."""
    application = SQLModel.metadata.tables["application"]
    same = and_(
        INVOICE.c.connection_id == application.c.connection_id, INVOICE.c.external_id == application.c.invoice_id
    )
    query = (
        select(*_COLUMNS, func.sum(application.c.amount_e4))
        .select_from(application.join(INVOICE, same))
        .where(
            application.c.connection_id == connection_id,
            application.c.applied_on > then,
            INVOICE.c.issued_on <= then,
            INVOICE.c.status.in_([InvoiceStatus.OPEN, InvoiceStatus.PAID]),
        )
        .group_by(*_COLUMNS)
    )
    return {row[0]: OpenInvoice._make((*row[:-1], int(row[-1]))) for row in session.execute(query)}
