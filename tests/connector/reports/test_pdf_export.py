"""The PDF of reports can be read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from connector.reports.pdf_export import _Document
from connector.reports.report import Bar, Column, ColumnKind, Plot, PlotKind, Report, ReportRow


@dataclass(frozen=True, slots=True)
class _Row(ReportRow):
    currency: str
    invoices: int


def test_only_bars_are_filled_and_no_cell_of_the_table_below_them() -> None:
    report = Report(
        name="ageing", title="Ageing", question="How old?", formula="By days.", empty="",
        columns=(Column("currency", "Currency"), Column("invoices", "Invoices", ColumnKind.NUMBER)),
        rows=[_Row("EUR", "EUR", 3)],
        plots=[Plot(PlotKind.BARS, "EUR", "", bars=[Bar("Not due", 1.0, "1"), Bar("Overdue", 2.0, "2")])],
    )  # fmt: skip
    document = _Document(date(2026, 11, 30))
    document.pdf.set_compression(False)
    document.draw(report, "Small Works Ltd")
    assert bytes(document.pdf.output()).count(b" re f") == len(report.plots[0].bars)
