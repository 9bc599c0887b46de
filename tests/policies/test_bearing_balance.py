"""The balance that bears late fees: disputed parts, payment plans and payments that are gone."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from policies.bearing_balance import bearing_invoice
from policies.interest import balance_on
from policies.receivables import BalanceChange, DateSpan, FormerHistory, Invoice, SettlementKind
from policies.schedule import starts_on
from tests.policies.builders import overdue_invoice

TODAY = date(2026, 12, 14)
ISSUED_ON = date(2026, 9, 1)


def day(count: int) -> date:
    """Return the date that many days after the invoice was issued."""
    return ISSUED_ON + timedelta(days=count)


def invoice(due: int = 1000, *changes: BalanceChange, **facts: object) -> Invoice:
    own = replace(overdue_invoice(30, total="1000.00"), issued_on=ISSUED_ON, due=Decimal(due), balance_changes=changes)
    return replace(own, **facts)  # type: ignore[arg-type]


def credit(on: int, amount: int) -> BalanceChange:
    return BalanceChange(day(on), Decimal(-amount), SettlementKind.CREDIT)


def payment(on: int, amount: int) -> BalanceChange:
    return BalanceChange(day(on), Decimal(-amount))


def balances(subject: Invoice, *days: int) -> list[int]:
    bearing = bearing_invoice(subject, TODAY)
    return [int(balance_on(bearing, day(count))) for count in days]


def test_without_disputes_plans_or_lost_payments_the_balance_is_the_ledgers() -> None:
    own = invoice(600, payment(40, 400))
    assert bearing_invoice(own, TODAY) is own


@pytest.mark.parametrize(("until", "expected"), [(60, [600, 600, 600]), (40, [1000, 1000, 600]), (None, [600] * 3)])
def test_a_credit_given_in_a_dispute_counts_from_the_day_of_the_invoice(until: int | None, expected: list[int]) -> None:
    dispute = DateSpan(day(30), day(until) if until else None)
    assert balances(invoice(600, credit(50, 400), disputes=(dispute,)), 0, 49, 50) == expected


def test_a_payment_in_a_dispute_counts_from_its_own_day() -> None:
    dispute = DateSpan(day(30), day(60))
    assert balances(invoice(600, payment(50, 400), disputes=(dispute,)), 49, 50) == [1000, 600]


def test_days_under_a_payment_plan_bear_nothing_and_those_around_it_do() -> None:
    plan = DateSpan(day(30), day(60))
    own = invoice(700, payment(40, 300), plan_spans=(plan,))
    assert balances(own, 29, 30, 40, 59, 60, 70) == [1000, 0, 0, 0, 700, 700]


def test_a_plan_that_is_still_open_bears_nothing_up_to_today() -> None:
    assert balances(invoice(1000, plan_spans=(DateSpan(day(30)),)), 29, 30, 100) == [1000, 0, 0]


def test_days_on_which_a_payment_that_is_gone_was_in_the_ledger_bear_the_rest() -> None:
    gone = FormerHistory(day(60), (payment(20, 400), payment(30, 600)))
    assert balances(invoice(1000, former_histories=(gone,)), 19, 20, 30, 59, 60) == [1000, 600, 0, 0, 1000]


def test_a_payment_that_was_entered_again_counts_once() -> None:
    gone = FormerHistory(day(60), (payment(20, 400),))
    assert balances(invoice(600, payment(20, 400), former_histories=(gone,)), 19, 20, 60) == [1000, 600, 600]


def test_a_credit_given_on_the_first_or_last_day_of_a_dispute_was_never_due() -> None:
    for first, last in ((50, 60), (40, 50)):
        dispute = DateSpan(day(first), day(last))
        assert balances(invoice(600, credit(50, 400), disputes=(dispute,)), 0, 49) == [600, 600]


def test_what_was_overpaid_at_the_time_bears_nothing() -> None:
    gone = FormerHistory(day(60), (payment(20, 1200),))
    assert balances(invoice(1000, former_histories=(gone,)), 19, 20, 60) == [1000, 0, 1000]


def test_what_a_late_invoice_was_raised_by_bears_from_then_on() -> None:
    raised = invoice(900, payment(45, 100), raised_on=day(50), former_total=Decimal(300))
    assert balances(raised, 0, 44, 45, 49, 50) == [300, 300, 200, 200, 900]


def test_an_invoice_that_was_raised_and_lowered_again_bears_what_it_is_for() -> None:
    assert balances(invoice(1000, raised_on=day(50), former_total=Decimal(1200)), 0, 49, 50) == [1000] * 3


def test_a_raised_invoice_under_a_payment_plan_bears_nothing_in_its_days() -> None:
    plan = DateSpan(day(30), day(60))
    raised = invoice(1000, plan_spans=(plan,), raised_on=day(50), former_total=Decimal(300))
    assert balances(raised, 29, 30, 59, 60) == [300, 0, 0, 1000]


def test_fees_count_from_the_due_date_of_what_an_invoice_was_for_before_it_was_raised() -> None:
    raised = invoice(50, raised_on=day(50), known_on=day(50), former_total=Decimal(950))
    bearing = bearing_invoice(raised, day(60))
    assert starts_on(bearing) == starts_on(replace(raised, known_on=None))
    assert bearing_invoice(bearing, day(60)) == bearing, "nothing is deducted twice"
