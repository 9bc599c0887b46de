"""Reminder results: how many invoices were paid within seven days of each reminder step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import NamedTuple

from sqlalchemy import and_, func, or_, select
from sqlmodel import Session, SQLModel

from connector.reports.formatting import join_parts, percentage
from connector.reports.report import Bar, Column, Plot, Report, ReportRow
from connector.reports.scope import INVOICE, Scope, in_companies
from connector.vocabulary.labels import label
from policies.receivables import Step

WITHIN_DAYS = 7
_YEAR = timedelta(days=365)
_NO_CONTACT = {Step.THANK_YOU, Step.NOTIFY_OWNER, Step.LATE_FEE}  # they do not ask the customer for payment


class StepOutcome(NamedTuple):
    """The number of invoices with a step completed on one date and paid on another, None while unpaid."""

    step: str
    completed_on: date
    closed_on: date | None
    invoices: int


@dataclass(frozen=True, slots=True)
class ReminderResultRow(ReportRow):
    """How many of the invoices of a step were paid within seven days of it."""

    step: str
    completed: int
    paid: int
    percent: float


def reminder_results(session: Session, scope: Scope) -> Report[ReminderResultRow]:
    """Report the share of invoices paid within seven days of each step."""
    rows = build_rows(_step_outcomes(session, scope))
    return Report(
        name="reminder-results",
        title="Reminder results",
        question="Which reminders lead to payment within seven days?",
        formula=(
            f"Of the invoices that were open when the step was completed, in the last year and at least {WITHIN_DAYS}"
            f" days ago: the share paid in full within {WITHIN_DAYS} days. Some would have been paid without the step;"
            " a control group measures the difference."
        ),
        columns=(
            Column("step", "Step"),
            Column("completed", "Completed", "number"),
            Column("paid", f"Paid within {WITHIN_DAYS} days", "number"),
            Column("percent", "Share", "share"),
        ),
        rows=rows,
        plots=[_plot(rows)] if rows else [],
    )


def build_rows(taken: Iterable[StepOutcome]) -> list[ReminderResultRow]:
    """Return a row for each step, from the gentlest to the firmest."""
    counts: Counter[str] = Counter()
    paid: Counter[str] = Counter()
    for each in taken:
        if each.closed_on is not None and each.closed_on < each.completed_on:
            continue  # already paid when the step was completed
        counts[each.step] += each.invoices
        if each.closed_on is not None and each.closed_on <= each.completed_on + timedelta(days=WITHIN_DAYS):
            paid[each.step] += each.invoices
    return [
        ReminderResultRow(step.value, label(step), counts[step], paid[step], percent)
        for step in Step
        if step not in _NO_CONTACT and (percent := percentage(paid[step], counts[step])) is not None
    ]


def _step_outcomes(session: Session, scope: Scope) -> Iterable[StepOutcome]:
    """Count completed steps by date; a step whose email was never sent does not count."""
    taken, outbox = SQLModel.metadata.tables["completed_step"], SQLModel.metadata.tables["outbox"]
    columns = (taken.c.step, taken.c.completed_on, INVOICE.c.closed_on)
    query = (
        select(*columns, func.count())
        .join_from(
            taken,
            INVOICE,
            and_(INVOICE.c.connection_id == taken.c.connection_id, INVOICE.c.external_id == taken.c.invoice_id),
        )
        .outerjoin(outbox, outbox.c.id == taken.c.outbox_id)
        .where(
            in_companies(taken, scope.ids),
            or_(outbox.c.state.is_(None), outbox.c.state == "done"),
            taken.c.completed_on > scope.today - _YEAR,
            taken.c.completed_on <= scope.today - timedelta(days=WITHIN_DAYS),
        )
        .group_by(*columns)
    )
    return [StepOutcome(*row) for row in session.execute(query)]


def _plot(rows: Sequence[ReminderResultRow]) -> Plot:
    bars = [Bar(row.step, row.percent, f"{row.percent:.0f} % of {row.completed}") for row in rows]
    alt_text = join_parts(f"{bar.label}: {bar.text}" for bar in bars)
    return Plot("bars", f"Paid within {WITHIN_DAYS} days of the step", alt_text, bars=bars, unit="%")
