"""docs/reports.md: it defines every report, with the periods that the code has, and its example adds up."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

from connector.reports import ageing, cash_collected, dso, open_invoices, payment_probability, receipts
from connector.reports.catalogue import REPORTS

TEXT = (Path(__file__).parents[2] / "docs/reports.md").read_text(encoding="utf-8")


def test_every_report_is_defined() -> None:
    assert re.findall(r"^\| `([\w-]+)` \|", TEXT, re.MULTILINE) == list(REPORTS)


def test_the_periods_are_those_of_the_code() -> None:
    assert f"last {cash_collected.WEEKS} weeks" in TEXT
    assert f"of the {dso.SALES_DAYS} days up to it)* × {dso.SALES_DAYS}" in TEXT
    assert f"or in the {receipts.WITHIN_DAYS} days after it" in TEXT
    assert f"expected ± {payment_probability.Z_80_PERCENT} ×" in TEXT
    assert open_invoices.DAYS_AHEAD == 7
    assert "Expected in 7 days" in TEXT
    first, second, third = ageing.BUCKET_ENDS
    assert f"1–{first}, {first + 1}–{second}, {second + 1}–{third}, over {third}" in TEXT


def test_the_example_of_the_dso_adds_up() -> None:
    found = re.search(r"([\d,]+) ÷ \(([\d,]+) − ([\d,]+)\) × (\d+) = ([\d.]+) days", TEXT)
    assert found is not None
    open_, invoiced, credited, days, result = (Decimal(each.replace(",", "")) for each in found.groups())
    assert round(open_ / (invoiced - credited) * days, 1) == result
