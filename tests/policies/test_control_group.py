"""The control group report: a difference with its interval, or that there is not enough data."""

from __future__ import annotations

from datetime import timedelta

import pytest

from policies.control_group import PaymentGroup, PolicyEffect, build_group, compare_groups
from policies.receivables import Invoice
from tests.policies.builders import MONDAY, invoice, overdue_invoice, paid_invoice

SINCE_ON = MONDAY - timedelta(days=60)


def customers(count: int, days_late: int) -> list[list[Invoice]]:
    """Customers who pay about so many days after a due date 40 days ago."""
    due_on = MONDAY - timedelta(days=40)
    return [
        [paid_invoice(due_on + timedelta(days=days_late + index % 3), due_in=-40, id=f"{index}")]
        for index in range(count)
    ]


def test_a_significant_difference_is_reported_with_its_interval() -> None:
    found = compare_groups(
        build_group(customers(40, 3), SINCE_ON, MONDAY), build_group(customers(20, 12), SINCE_ON, MONDAY)
    )
    assert found.difference is not None
    assert -9.5 < found.difference < -8.5
    assert found.summary().startswith("Paid 9.0 days sooner than the 20 customers in the control group")
    assert "chance" not in found.summary()


def test_a_difference_that_may_be_due_to_chance_is_reported_as_such() -> None:
    found = compare_groups(
        build_group(customers(40, 3), SINCE_ON, MONDAY), build_group(customers(20, 3), SINCE_ON, MONDAY)
    )
    assert found.summary().endswith("may be due to chance.")


def test_too_few_customers_give_no_result() -> None:
    found = compare_groups(
        build_group(customers(40, 3), SINCE_ON, MONDAY), build_group(customers(7, 30), SINCE_ON, MONDAY)
    )
    assert found.difference is None
    assert found.summary().startswith("Not enough data: 40 with the new policy, 7 in the control group")


def test_an_open_invoice_counts_as_late_as_it_is_today() -> None:
    owned = [overdue_invoice(30), overdue_invoice(70, id="before the change"), invoice(5, id="not yet due")]
    group = build_group([owned], SINCE_ON, MONDAY)
    assert (group.days_late, group.invoices, group.still_open) == ((30.0,), 1, 1)


def group(*days_late: float) -> PaymentGroup:
    return PaymentGroup(days_late, len(days_late), 0)


def test_the_interval_is_welchs_at_95_percent() -> None:
    found = compare_groups(group(*range(8)), group(*range(4, 24, 2)))
    assert found.difference == pytest.approx(-9.5)
    error = (6 / 8 + (110 / 3) / 10) ** 0.5  # the variances of both, worked out by hand
    assert found.low == pytest.approx(-9.5 - 1.96 * error)
    assert found.high == pytest.approx(-9.5 + 1.96 * error)


@pytest.mark.parametrize(
    ("difference", "low", "high", "words"),
    [
        (-0.4, -0.6, -0.1, "Paid 0.4 days sooner"),
        (0.4, 0.1, 0.6, "Paid 0.4 days later"),
        (-1.0, -2.0, 0.0, "may be due to chance"),
        (1.0, 0.0, 2.0, "may be due to chance"),
    ],
)
def test_an_interval_that_reaches_zero_may_be_due_to_chance(
    difference: float, low: float, high: float, words: str
) -> None:
    summary = PolicyEffect(group(), group(), difference, low, high).summary()
    assert words in summary
    assert ("chance" in summary) is ("chance" in words)


def test_an_invoice_counts_from_the_day_of_the_change_and_not_before_it_is_late() -> None:
    days = (MONDAY - SINCE_ON).days
    owned = [invoice(-days, id="that day"), invoice(-days - 1, id="before"), invoice(0, id="due today")]
    assert build_group([owned], SINCE_ON, MONDAY).invoices == 1


def test_no_difference_at_all_is_not_called_later() -> None:
    assert PolicyEffect(group(), group(), 0.0, -1.0, 1.0).summary().startswith("Paid 0.0 days sooner")
