"""Reminder results: the invoices paid within seven days of each reminder step, and the money it brought."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from sqlmodel import Session

from connector.reports.formatting import format_short, join_parts, percentage
from connector.reports.invoices_behind import BehindRow, Contribution, behind_columns, is_currency, name_rows, total_of
from connector.reports.receipts import CONTACTS, WITHIN_DAYS, ContactedInvoice, list_contacted, list_reminded
from connector.reports.report import Bar, Column, ColumnKind, Drill, Plot, PlotKind, Report, ReportRow
from connector.reports.scope import Scope
from connector.vocabulary.labels import label
from policies.receivables import Step

_YEAR = timedelta(days=365)
_FIGURES = {"completed", "paid", "received"}


@dataclass(frozen=True, slots=True)
class ReminderResultRow(ReportRow):
    """How many of the invoices of a step were paid within seven days of it, and what it brought."""

    currency: str
    step: str
    completed: int
    paid: int
    percent: float | None
    received: Decimal

    def drill(self, key: str) -> Drill | None:
        """Return the invoices of the step, those of them that were paid, or the payments."""
        return Drill(row=self.id, column=key) if key in _FIGURES and getattr(self, key) else None


def reminder_results(session: Session, scope: Scope) -> Report[ReminderResultRow]:
    """Report the share of invoices paid within seven days of each step, and the money received, by currency."""
    rows = _rows(session, scope)
    currencies = sorted({row.currency for row in rows})
    return Report(
        name="reminder-results",
        title="Reminder results",
        question="Which reminders lead to payment within seven days?",
        formula=(
            f"Of the invoices that were open when the step was completed, in the last year and at least {WITHIN_DAYS}"
            f" days ago: the share paid in full by money within {WITHIN_DAYS} days. Received: all money that came on an"
            f" invoice in the last year within {WITHIN_DAYS} days after the step; where two steps came before it, the"
            " later one brought it. Some would have been paid without the step; a control group measures the"
            " difference."
        ),
        columns=(
            Column("currency", "Currency"),
            Column("step", "Step"),
            Column("completed", "Completed", ColumnKind.NUMBER),
            Column("paid", f"Paid within {WITHIN_DAYS} days", ColumnKind.NUMBER),
            Column("percent", "Share", ColumnKind.SHARE),
            Column("received", "Received", ColumnKind.MONEY),
        ),
        rows=rows,
        plots=[_plot(each, [row for row in rows if row.currency == each]) for each in currencies],
        empty=f"No reminder was sent {WITHIN_DAYS} days ago or earlier. Results appear {WITHIN_DAYS} days after the"
        " first.",
    )


def reminders_behind(session: Session, scope: Scope, row_id: str, column: str) -> Report[BehindRow] | None:
    """List the invoices of a step, those that were paid, or the payments it brought; None for another row."""
    currency, _, name = row_id.partition(":")
    step = next((each for each in CONTACTS if each.value == name), None)
    if step is None or column not in _FIGURES or not is_currency(currency):
        return None
    since = scope.today - _YEAR
    if column == "received":
        receipts = [
            each.receipt
            for each in list_reminded(session, scope, since)
            if (each.step, each.receipt.currency) == (step, currency)
        ]
        found = [each.contribution for each in receipts]
        heading, title = behind_columns("Received on", "Amount"), "Received after"
    else:
        contacted = [
            each
            for each in list_contacted(session, scope, since)
            if (each.step, each.currency) == (step, currency) and (column == "completed" or is_paid(each))
        ]
        found = [
            Contribution(
                each.connection_id,
                each.customer_id,
                each.invoice_id,
                each.currency,
                each.closed_on if column == "paid" else each.on,
                each.total,
            )
            for each in contacted
        ]
        heading = behind_columns("Paid on" if column == "paid" else "Completed on", "Invoice amount")
        title = f"Paid within {WITHIN_DAYS} days of" if column == "paid" else "Completed"
    found.sort(key=lambda each: (str(each.on), each.invoice_id), reverse=True)
    return Report(
        name="reminder-results",
        title=f"{title}: {label(step)}, {currency}",
        question="Which invoices are these?",
        formula="The newest come first.",
        columns=heading,
        rows=name_rows(session, scope, found),
        total=total_of(found, currency),
    )


def is_paid(each: ContactedInvoice) -> bool:
    """Return whether an invoice was paid in full within seven days of the contact."""
    return each.closed_on is not None and each.closed_on <= each.on + timedelta(days=WITHIN_DAYS)


def _rows(session: Session, scope: Scope) -> list[ReminderResultRow]:
    since = scope.today - _YEAR
    counts: Counter[tuple[str, Step]] = Counter()
    paid: Counter[tuple[str, Step]] = Counter()
    received: defaultdict[tuple[str, Step], Decimal] = defaultdict(Decimal)
    for each in list_contacted(session, scope, since):
        counts[each.currency, each.step] += 1
        paid[each.currency, each.step] += is_paid(each)
    for brought in list_reminded(session, scope, since):
        received[brought.receipt.currency, brought.step] += brought.receipt.amount
    found = {*counts, *received}
    return [
        ReminderResultRow(
            f"{currency}:{step}",
            currency,
            label(step),
            counts[currency, step],
            paid[currency, step],
            percentage(paid[currency, step], counts[currency, step]),
            received[currency, step],
        )
        for currency in sorted({currency for currency, _ in found})
        for step in Step  # from the gentlest to the firmest
        if (currency, step) in found
    ]


def _plot(currency: str, rows: Sequence[ReminderResultRow]) -> Plot:
    shown = [row for row in rows if row.percent is not None]
    bars = [
        Bar(row.step, row.percent or 0, f"{row.percent:.0f} % of {row.completed}", drill=row.drill("paid"))
        for row in shown
    ]
    received = sum((row.received for row in rows), Decimal())
    alt_text = join_parts(f"{bar.label}: {bar.text}" for bar in bars) if bars else "No share is known yet."
    title = f"{currency}: {format_short(received)} received within {WITHIN_DAYS} days"
    return Plot(PlotKind.BARS, title, alt_text, bars=bars, unit="%", currency=currency)
