"""The table in the docs: exact interest compared with the naive calculation (today's balance x days late)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest

from policies.backtest import as_of
from policies.currencies import round_amount
from policies.fee_periods import add_months
from policies.interest import DAYS_PER_YEAR
from policies.policy import ReminderPolicy
from policies.receivables import BalanceChange, Invoice, InvoiceStatus, PastAction, Step
from tests.policies.builders import at, decide_at, fees_in, sent_email, statement

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
    """Every case: what happened, the preset, the invoice, and the date up to which fees are charged."""
    jan, may, jul = date(2026, 1, 12), date(2026, 5, 18), date(2026, 7, 13)
    yield "UK, 1,000 unpaid for three months", "uk", overdue_balance("1000", jan, "GBP"), add_months(jan, 3)
    yield (
        "UK, late since December, across the new half-year",
        "uk",
        overdue_balance("1000", date(2025, 12, 12), "GBP"),
        date(2026, 3, 12),
    )
    yield (
        "UK, 900 of 1,000 paid on day 60 of three months",
        "uk",
        overdue_balance("1000", jan, "GBP", (jan + timedelta(days=60), "-900")),
        add_months(jan, 3),
    )
    yield (
        "UK, 9,500 of 10,000 paid on day 28 of a month",
        "uk",
        overdue_balance("10000", jul, "GBP", (jul + timedelta(days=28), "-9500")),
        add_months(jul, 1),
    )
    yield "EU, half-year changes within three months", "eu", overdue_balance("5000", may, "EUR"), add_months(may, 3)
    yield (
        "EU, a credit of 2,000 of 5,000 on day 10 of two months",
        "eu",
        overdue_balance("5000", jul, "EUR", (jul + timedelta(days=10), "-2000")),
        add_months(jul, 2),
    )
    yield (
        "EU, a payment of day 5 is reversed on day 20 of a month",
        "eu",
        overdue_balance("5000", jul, "EUR", (jul + timedelta(days=5), "-5000"), (jul + timedelta(days=20), "5000")),
        add_months(jul, 1),
    )
    moved = replace(overdue_balance("5000", add_months(jul, 1), "EUR"), issued_on=jul - timedelta(days=30))
    yield "EU, due date moved by one of two months", "eu", moved, add_months(jul, 2)
    yield (
        "Germany, 10,000 due on Saturday 13 June, one month",
        "germany",
        overdue_balance("10000", date(2026, 6, 13), "EUR"),
        date(2026, 7, 15),
    )
    yield "Canada, 1 % a month, three months", "canada", overdue_balance("2400", jul, "CAD"), add_months(jul, 3)
    yield (
        "Canada, half paid halfway through three months",
        "canada",
        overdue_balance("2400", jul, "CAD", (add_months(jul, 1) + timedelta(days=15), "-1200")),
        add_months(jul, 3),
    )


def charged_interest(preset: str, invoice: Invoice, until_on: date) -> Decimal:
    """Apply the policy day by day, as the product does, and add up its fees without the fixed compensation."""
    rules = ReminderPolicy.from_toml(
        f'[late_fees]\nenabled = true\nterms_agreed_on = 2022-01-31\npreset = "{preset}"\n'
    )
    start_on = invoice.due_on or invoice.issued_on
    past_actions = [sent_email(Step.PAST_DUE, start_on + timedelta(days=5))]
    total = Decimal(0)
    for day in range((until_on - start_on).days + 1):
        now = at(start_on + timedelta(days=day))
        facts = statement(as_of(invoice, start_on + timedelta(days=day)), past_actions=tuple(past_actions))
        for fee in fees_in(decide_at(facts, now=now, policy=rules)):
            total += sum((line.amount for line in fee.lines if line.text != "fixed compensation"), Decimal(0))
            on = start_on + timedelta(days=day)
            charged = PastAction(
                Step.LATE_FEE, invoice.id, now, on, is_contact=False, recurrence_key=fee.period, fee_amount=fee.amount
            )
            past_actions.append(charged)
    return total


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
        exact, naive = charged_interest(preset, invoice, until_on), naive_interest(preset, invoice, until_on)
        off = ((naive - exact) * 100 / exact).quantize(Decimal(1), ROUND_HALF_UP)
        outcome = "the same" if naive == exact else f"{off:+} %" if off else "cents off"
        rows.append((words, f"{invoice.currency} {exact}", f"{invoice.currency} {naive}", outcome))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def test_the_table_in_the_docs_is_what_is_charged() -> None:
    assert render_table() in DOCS.read_text(encoding="utf-8"), (
        f"docs/late-fees.md should contain:\n\n{render_table()}\n"
    )


def test_the_figures_calculated_by_hand() -> None:
    by_name = {words: charged_interest(preset, invoice, until_on) for words, preset, invoice, until_on in fee_cases()}
    # 1000 x 11.75 % / 365 for 31, 28 and 31 days, each rounded
    assert by_name["UK, 1,000 unpaid for three months"] == Decimal("9.98") + Decimal("9.01") + Decimal("9.98")
    # the rate of the half-year in which it became late, 12.25 %, for 31, 31 and 28 days
    december = Decimal("10.40") + Decimal("10.40") + Decimal("9.40")
    assert by_name["UK, late since December, across the new half-year"] == december
    # 60 days on 1000, 30 on 100
    assert by_name["UK, 900 of 1,000 paid on day 60 of three months"] == Decimal("20.28")
    # 28 days on 10,000 and 3 on 500
    assert by_name["UK, 9,500 of 10,000 paid on day 28 of a month"] == Decimal("90.62")
    # 5 and 11 of 31 days on 5000 at 10.4 %
    assert by_name["EU, a payment of day 5 is reversed on day 20 of a month"] == Decimal("22.79")
    assert by_name["EU, due date moved by one of two months"] == Decimal("44.16")
    # payable until Monday 15 June: 16 days at 10.27 % and 14 at 10.52 %
    assert by_name["Germany, 10,000 due on Saturday 13 June, one month"] == Decimal("85.37")
    assert by_name["Canada, 1 % a month, three months"] == Decimal("72.00")


@pytest.mark.parametrize("file", sorted(PRESETS.glob("fees_*.toml")), ids=lambda file: file.stem)
def test_every_preset_names_what_was_verified_and_when(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert "# Verified in November 2026: " in text
    assert "# Not verified: " in text
    assert "not legal advice" in text
    assert "# Consumers: " in text
    assert "365 days" in text or "average balance" in text
