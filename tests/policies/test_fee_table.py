"""The table in the docs: exact interest compared with the naive calculation (today's balance x days late)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest

from policies.currencies import round_amount
from policies.interest import DAYS_PER_YEAR, average_balance, interest_lines
from policies.late_fees import add_months
from policies.policy import ReminderPolicy
from policies.receivables import BalanceChange, Invoice, InvoiceStatus

PRESETS = Path(__file__).parents[2] / "policies" / "presets"
DOCS = Path(__file__).parents[2] / "docs" / "late-fees.md"
HEADER = ("case", "exact", "naive", "naive is")
FeeCase = tuple[str, str, Invoice, date]


def overdue_balance(total: str, due_on: date, currency: str, *changes: tuple[date, str]) -> Invoice:
    moved = tuple(BalanceChange(on, Decimal(amount)) for on, amount in changes)
    due = Decimal(total) + sum((change.amount for change in moved), Decimal(0))
    return Invoice(
        "i1", "INV-1", "c1", currency, due_on - timedelta(days=30), due_on, Decimal(total), due, InvoiceStatus.OPEN,
        balance_changes=moved,
    )  # fmt: skip


def fee_cases() -> Iterator[FeeCase]:
    """Every case: what happened, the preset, the invoice, and the date up to which interest is calculated."""
    jan, jul = date(2026, 1, 12), date(2026, 7, 12)
    yield "UK, 1,000 unpaid, 90 days late", "uk", overdue_balance("1000", jan, "GBP"), jan + timedelta(days=90)
    yield (
        "UK, late since December, across the new half-year",
        "uk",
        overdue_balance("1000", date(2025, 12, 12), "GBP"),
        date(2026, 3, 12),
    )
    yield (
        "UK, 900 of 1,000 paid on day 60 of 90",
        "uk",
        overdue_balance("1000", jan, "GBP", (jan + timedelta(days=60), "-900")),
        jan + timedelta(days=90),
    )
    yield (
        "EU, half-year changes on day 45 of 90",
        "eu",
        overdue_balance("5000", date(2026, 5, 17), "EUR"),
        date(2026, 5, 17) + timedelta(days=90),
    )
    yield (
        "EU, a credit of 2,000 of 5,000 on day 10 of 60",
        "eu",
        overdue_balance("5000", jul, "EUR", (jul + timedelta(days=10), "-2000")),
        jul + timedelta(days=60),
    )
    yield (
        "EU, a payment of day 20 is reversed on day 40 of 60",
        "eu",
        overdue_balance("5000", jul, "EUR", (jul + timedelta(days=20), "-5000"), (jul + timedelta(days=40), "5000")),
        jul + timedelta(days=60),
    )
    moved = replace(overdue_balance("5000", jul + timedelta(days=30), "EUR"), issued_on=jul - timedelta(days=30))
    yield "EU, due date moved by 30 of 60 days", "eu", moved, jul + timedelta(days=60)
    yield "Canada, 1 % a month, three months", "canada", overdue_balance("2400", jul, "CAD"), add_months(jul, 3)
    yield (
        "Canada, half paid halfway through three months",
        "canada",
        overdue_balance("2400", jul, "CAD", (add_months(jul, 1) + timedelta(days=15), "-1200")),
        add_months(jul, 3),
    )


def exact_interest(preset: str, invoice: Invoice, until_on: date) -> Decimal:
    """Calculate the interest of the whole delay as the policy does, without compensation and before limits."""
    rules = ReminderPolicy.from_toml(f'[late_fees]\npreset = "{preset}"\n').late_fees
    start_on = invoice.due_on or invoice.issued_on
    if rules.kind == "annual":
        parts = interest_lines(invoice, rules, start_on + timedelta(days=1), start_on, until_on, Decimal(0))
        return sum((part.amount for part in parts), Decimal(0))
    months = [(add_months(start_on, n), add_months(start_on, n + 1)) for n in range(3)]
    fees = [round_amount(average_balance(invoice, *month) * rules.rate / 100, invoice.currency) for month in months]
    return sum(fees, Decimal(0))


def naive_interest(preset: str, invoice: Invoice, until_on: date) -> Decimal:
    """Calculate as many do: today's balance, today's rate, all days since the first due date."""
    rules = ReminderPolicy.from_toml(f'[late_fees]\npreset = "{preset}"\n').late_fees
    rate = rules.annual_rate_on(until_on) if rules.kind == "annual" else rules.rate * 12
    first_due_on = invoice.issued_on + timedelta(days=30)
    days = (until_on - first_due_on).days
    return round_amount(invoice.due * rate * days / (100 * DAYS_PER_YEAR), invoice.currency)


def render_table() -> str:
    """Render the table as it has to be in the docs."""
    rows = [HEADER, ("---", "---:", "---:", "---:")]
    for words, preset, invoice, until_on in fee_cases():
        exact, naive = exact_interest(preset, invoice, until_on), naive_interest(preset, invoice, until_on)
        off = ((naive - exact) * 100 / exact).quantize(Decimal(1), ROUND_HALF_UP)
        outcome = "the same" if naive == exact else f"{off:+} %" if off else "cents off"
        rows.append((words, f"{invoice.currency} {exact}", f"{invoice.currency} {naive}", outcome))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def test_the_table_in_the_docs_is_what_is_calculated() -> None:
    assert render_table() in DOCS.read_text(encoding="utf-8"), (
        f"docs/late-fees.md should contain:\n\n{render_table()}\n"
    )


def test_the_figures_calculated_by_hand() -> None:
    by_name = {words: exact_interest(preset, invoice, until_on) for words, preset, invoice, until_on in fee_cases()}
    assert by_name["UK, 1,000 unpaid, 90 days late"] == Decimal("28.97")  # 1000 x 11.75 % x 90 / 365
    assert by_name["UK, 900 of 1,000 paid on day 60 of 90"] == Decimal("20.28")  # 60 days on 1000, 30 on 100
    assert by_name["UK, late since December, across the new half-year"] == Decimal("30.21")  # 12.25 % for all 90 days
    assert by_name["EU, half-year changes on day 45 of 90"] == Decimal("126.68")  # 45 at 10.15 %, 45 at 10.4 %
    assert by_name["EU, a credit of 2,000 of 5,000 on day 10 of 60"] == Decimal("56.99")
    assert by_name["EU, due date moved by 30 of 60 days"] == Decimal("42.74")
    assert by_name["Canada, 1 % a month, three months"] == Decimal("72.00")


@pytest.mark.parametrize("file", sorted(PRESETS.glob("fees_*.toml")), ids=lambda file: file.stem)
def test_every_preset_names_what_was_verified_and_when(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert "# Verified in November 2026: " in text
    assert "# Not verified: " in text
    assert "not legal advice" in text
