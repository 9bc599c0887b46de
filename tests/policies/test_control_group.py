"""The control group report: a difference with its interval, or that there is not enough data."""

from __future__ import annotations

from datetime import timedelta

from policies.control_group import build_group, compare_groups
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
