"""Late fees that need a person: what makes one wrong, to the day, and what is left of one when its invoice is paid."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from policies.decide import decide
from policies.policy import ReminderPolicy
from policies.receivables import BalanceChange, Invoice, InvoiceStatus, PastAction, SettlementKind, Step
from tests.policies.builders import MONDAY, NO_HOLIDAYS, POLICY, at, invoice, paid_invoice, statement, tasks_in

DUE_ON = MONDAY - timedelta(days=30)
CHARGED_ON = MONDAY - timedelta(days=10)
FEE = invoice(5, id="fee", number="LF-1", fee_of="i1", total=12, issued_on=CHARGED_ON)
CHASED = ReminderPolicy.from_toml('[late_fees]\nunpaid_fee = "chase"')


def reviewed(original: Invoice, fee: Invoice = FEE, policy: ReminderPolicy = POLICY, key: str = "") -> list[str]:
    """The code and the reason of each task about a fee that was charged ten days ago."""
    charge = PastAction(
        Step.LATE_FEE, "i1", at(CHARGED_ON), CHARGED_ON, is_contact=False, recurrence_key=key, fee_invoice_id="fee"
    )
    facts = replace(statement(original, fee, past_actions=(charge,)), synced_at=at(MONDAY))
    tasks = tasks_in(decide([facts], policy, at(MONDAY), NO_HOLIDAYS))
    return [f"{each.code}: {each.reason}" for each in tasks if each.code in {"propose_waiver", "unpaid_fee"}]


def settled(on: date, kind: SettlementKind = SettlementKind.PAYMENT, **facts: Any) -> Invoice:
    return paid_invoice(on, due_in=-30, balance_changes=(BalanceChange(on, Decimal(-100), kind),), **facts)


@pytest.mark.parametrize(
    ("original", "reason"),
    [
        (settled(DUE_ON), "was paid in time, on 24 Oct 2026; that was entered after the fee of 13 Nov 2026"),
        (settled(DUE_ON + timedelta(days=1)), "was paid on 25 Oct 2026, before the fee of 13 Nov 2026"),
        (settled(CHARGED_ON - timedelta(days=1)), "was paid on 12 Nov 2026, before the fee of 13 Nov 2026"),
        (settled(DUE_ON, SettlementKind.CREDIT), "was credited in time, on 24 Oct 2026"),
        (settled(MONDAY, SettlementKind.CREDIT), "was credited or written off in full"),
        (invoice(-30, status=InvoiceStatus.VOIDED, due=Decimal(0)), "INV-1 was voided"),
    ],
)
def test_a_fee_is_wrong_where_the_invoice_was_settled_before_it(original: Invoice, reason: str) -> None:
    [task] = reviewed(original)
    assert task.startswith("propose_waiver: The late fee LF-1 for")
    assert reason in task


@pytest.mark.parametrize("cents", ["0.01", "1.00"])
def test_a_fee_on_any_open_balance_was_right(cents: str) -> None:
    part = BalanceChange(DUE_ON, Decimal(cents) - 100)
    open_part = invoice(-30, due=Decimal(cents), balance_changes=(part,))
    assert reviewed(open_part) == []
    paid = settled(MONDAY)
    rest = BalanceChange(MONDAY, -Decimal(cents))
    assert reviewed(replace(paid, balance_changes=(part, rest)), replace(FEE, due_on=MONDAY)) == []


@pytest.mark.parametrize(("due_in", "is_unpaid"), [(0, False), (-1, True)])
def test_a_fee_left_over_needs_a_person_from_the_day_after_its_due_date(due_in: int, *, is_unpaid: bool) -> None:
    fee = replace(FEE, due_on=MONDAY + timedelta(days=due_in))
    found = reviewed(settled(MONDAY), fee)
    assert [each.partition(":")[0] for each in found] == (["unpaid_fee"] if is_unpaid else [])
    assert reviewed(settled(MONDAY), fee, CHASED) == []
    assert reviewed(invoice(-30), fee) == [], "its invoice is open, and the fee is listed with it"


@pytest.mark.parametrize(
    ("due_before_charge", "changed_after_charge", "is_wrong"),
    [
        (0, 1, True),
        (-1, 1, True),  # due after the fee
        (7, 1, True),  # too soon for a warning
        (8, 1, False),
        (7, 0, True),  # moved on the day of the fee
        (7, -1, False),  # it had been moved before
    ],
)
def test_a_moved_due_date_makes_a_fee_wrong_where_it_left_no_week_for_a_warning(
    due_before_charge: int, changed_after_charge: int, *, is_wrong: bool
) -> None:
    due_on = CHARGED_ON - timedelta(days=due_before_charge)
    moved = invoice(-30, due_on=due_on, due_changed_on=CHARGED_ON + timedelta(days=changed_after_charge))
    assert bool(reviewed(moved)) is is_wrong


@pytest.mark.parametrize(("due_in", "is_wrong"), [(-31, False), (-20, True)])
def test_a_moved_due_date_makes_the_fee_of_a_month_wrong_where_that_is_not_over(due_in: int, *, is_wrong: bool) -> None:
    monthly = ReminderPolicy.from_toml('[late_fees]\nkind = "percent_per_month"')
    moved = invoice(due_in, due_changed_on=MONDAY)
    due_on = moved.due_on or MONDAY
    assert bool(reviewed(moved, policy=monthly, key=f"{due_on:%Y-%m}")) is is_wrong
    assert reviewed(moved, policy=monthly, key="once") == []
