"""Promises to pay: how many of those that fell due in each month were kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from dateutil.relativedelta import relativedelta
from sqlalchemy import Select, and_, select
from sqlmodel import Session, SQLModel

from connector.arrangements.agreement_outcomes import LEDGER_PROMISE
from connector.db.money import from_e4
from connector.reports.dso import month_ends
from connector.reports.formatting import join_parts, percentage
from connector.reports.invoices_behind import BehindRow, Contribution, behind_columns, name_rows
from connector.reports.report import Column, ColumnKind, Drill, Plot, PlotKind, Report, ReportRow, Span
from connector.reports.scope import INVOICE, Scope, in_companies
from connector.vocabulary import AgreementKind, AgreementState
from policies.formatting import format_month

_AGREEMENT = SQLModel.metadata.tables["agreement"]
_OUTCOMES = (AgreementState.KEPT, AgreementState.BROKEN)


@dataclass(frozen=True, slots=True)
class PromisesRow(ReportRow):
    """The promises that fell due in a month, by outcome."""

    on: date
    kept: int
    broken: int
    percent: float | None

    def drill(self, key: str) -> Drill | None:
        """Return the invoices that were promised."""
        is_outcome = key in {each.value for each in _OUTCOMES}
        return Drill(row=self.id, column=key) if is_outcome and getattr(self, key) else None


def promises(session: Session, scope: Scope) -> Report[PromisesRow]:
    """Report the share of promises kept in the last twelve months and the current one."""
    months = _months(scope)
    counts: Counter[tuple[date, str]] = Counter()
    for row in session.execute(_query(scope, months[0], months[-1] + relativedelta(months=1))):
        counts[row.until_on.replace(day=1), row.state] += 1
    rows = [_row(on, counts[on, AgreementState.KEPT], counts[on, AgreementState.BROKEN]) for on in months]
    rows = rows if counts else []
    return Report(
        name="promises",
        title="Promises to pay",
        question="How many of the promises that fell due were kept?",
        formula=(
            "Promises to pay by the month of the promised date. Kept: paid in full by money before the grace period of"
            " the policy ended. Broken: not, or later. Promises that are open, were withdrawn or replaced, or ended by"
            " a credit do not count, nor do expected payment dates from the accounting system."
        ),
        columns=(
            Column("on", "Month", ColumnKind.MONTH),
            Column("kept", "Kept", ColumnKind.NUMBER),
            Column("broken", "Broken", ColumnKind.NUMBER),
            Column("percent", "Share kept", ColumnKind.SHARE),
        ),
        rows=rows,
        plots=[_plot(rows)] if rows else [],
        empty="No promise to pay has fallen due yet. Record one on the page of an invoice; customers can promise in"
        " their portal.",
    )


def promises_behind(session: Session, scope: Scope, row_id: str, column: str) -> Report[BehindRow] | None:
    """List the promises of a month that were kept or broken; None where there is no such month."""
    month = next((each for each in _months(scope) if f"{each:%Y-%m}" == row_id), None)
    state = next((each for each in _OUTCOMES if each.value == column), None)
    if month is None or state is None:
        return None
    query = _query(scope, month, month + relativedelta(months=1)).where(_AGREEMENT.c.state == state)
    found = [
        Contribution(
            *(row.connection_id, row.customer_id, row.invoice_id, row.invoice_currency or ""),
            row.until_on,
            from_e4(row.total_e4) if row.total_e4 is not None else Decimal(0),
        )
        for row in session.execute(query.order_by(_AGREEMENT.c.until_on, _AGREEMENT.c.id))
    ]
    return Report(
        name="promises",
        title=f"Promises {state.value}: {format_month(month)}",
        question="Which invoices were promised?",
        formula="One row for each promise; the amount is that of the invoice.",
        columns=behind_columns("Promised date", "Invoice amount"),
        rows=name_rows(session, scope, found),
    )


def _months(scope: Scope) -> list[date]:
    newest = max([scope.today, *(on for on, _ in scope.companies_by_date())])
    return [*(end.replace(day=1) for end in month_ends(newest)), newest.replace(day=1)]


def _query(scope: Scope, since: date, before: date) -> Select[Any]:
    same = and_(INVOICE.c.connection_id == _AGREEMENT.c.connection_id, INVOICE.c.external_id == _AGREEMENT.c.invoice_id)
    columns = (_AGREEMENT.c.connection_id, _AGREEMENT.c.customer_id, _AGREEMENT.c.invoice_id, _AGREEMENT.c.until_on)
    return (
        select(*columns, _AGREEMENT.c.state, INVOICE.c.currency.label("invoice_currency"), INVOICE.c.total_e4)
        .select_from(_AGREEMENT.outerjoin(INVOICE, same))
        .where(
            in_companies(_AGREEMENT, scope.ids),
            _AGREEMENT.c.kind == AgreementKind.PROMISE,
            _AGREEMENT.c.state.in_(_OUTCOMES),
            _AGREEMENT.c.until_on >= since,
            _AGREEMENT.c.until_on < before,
            _AGREEMENT.c.reason != LEDGER_PROMISE,
        )
    )


def _row(on: date, kept: int, broken: int) -> PromisesRow:
    return PromisesRow(f"{on:%Y-%m}", on, kept, broken, percentage(kept, kept + broken))


def _plot(rows: Sequence[PromisesRow]) -> Plot:
    kept, broken = sum(row.kept for row in rows), sum(row.broken for row in rows)
    spans = [
        Span(format_month(row.on), row.kept, secondary=row.broken, drill=row.drill("kept") or row.drill("broken"))
        for row in rows
    ]
    alt_text = join_parts(
        f"{format_month(row.on)}: {row.kept} kept, {row.broken} broken" for row in rows if row.kept or row.broken
    )
    title = f"{kept} of {kept + broken} kept, {percentage(kept, kept + broken):.0f} %"
    return Plot(PlotKind.COLUMNS, title, alt_text, spans=spans, legend=("kept", "broken"))
