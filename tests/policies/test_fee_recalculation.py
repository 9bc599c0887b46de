"""What a late fee comes to on the balance as it is known now."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from policies.fee_basis import FeeBasis
from policies.fee_recalculation import recalculate
from policies.receivables import BalanceChange, PastAction, Step
from tests.policies.builders import at, overdue_invoice

FROM_ON, TO_ON = date(2026, 10, 1), date(2026, 10, 31)
RATES = ((date(2026, 1, 1), Decimal("7.3")), (date(2026, 10, 16), Decimal("14.6")))
ANNUAL = FeeBasis(from_on=FROM_ON, to_on=TO_ON, rates=RATES, is_annual=True)
MONTHLY = FeeBasis(from_on=FROM_ON, to_on=TO_ON, rates=((date(2026, 1, 1), Decimal(2)),))
FLAT = FeeBasis(flat=Decimal(12), least_balance=Decimal(400))
ONCE = FeeBasis(rates=((date(2026, 1, 1), Decimal(3)),))


def found(basis: FeeBasis, due: int, *paid: tuple[date, int], **limits: Decimal) -> str:
    changes = tuple(BalanceChange(on, Decimal(-amount)) for on, amount in paid)
    invoice = overdue_invoice(90, total=due + sum(amount for _, amount in paid))
    invoice = replace(invoice, due=Decimal(due), balance_changes=changes)
    again = recalculate(
        invoice,
        PastAction(Step.LATE_FEE, "i1", at(TO_ON), TO_ON, fee_basis=replace(basis, **limits)),  # type: ignore[arg-type]
    )
    assert again is not None
    return f"{again.amount:.2f}"


@pytest.mark.parametrize(
    ("basis", "due", "paid", "fee"),
    [
        (ANNUAL, 1000, (), "9.00"),  # 15 days at 0.20 and 15 at 0.40
        (ANNUAL, 500, ((date(2026, 10, 16), 500),), "6.00"),
        (ANNUAL, 0, ((date(2026, 10, 16), 1000),), "3.00"),
        (ANNUAL, 0, ((FROM_ON, 1000),), "0.00"),
        (replace(ANNUAL, unpaid=Decimal(500)), 1000, (), "13.50"),
        (replace(ANNUAL, unpaid=Decimal(500)), 0, ((date(2026, 10, 16), 1000),), "4.50"),
        (MONTHLY, 500, ((date(2026, 10, 16), 500),), "15.00"),  # of 750.00 on average
        (replace(MONTHLY, unpaid=Decimal(100)), 1000, (), "22.00"),
        (ONCE, 1000, (), "30.00"),
        (ONCE, 600, ((date(2026, 10, 30), 400),), "18.00"),
        (ONCE, 600, ((TO_ON, 400),), "30.00"),  # paid on the day of the fee: too late for it
        (FLAT, 400, (), "12.00"),
        (FLAT, 399, (), "0.00"),
        (replace(FLAT, least_balance=Decimal(0)), 0, ((FROM_ON, 1),), "0.00"),
    ],
)
def test_a_fee_is_calculated_again_on_the_balance_of_its_days(
    basis: FeeBasis, due: int, paid: tuple[tuple[date, int], ...], fee: str
) -> None:
    assert found(basis, due, *paid) == fee


@pytest.mark.parametrize(
    ("limits", "fee"),
    [
        ({"compensation": Decimal(40)}, "49.00"),
        ({"compensation": Decimal(40), "limit": Decimal(20)}, "20.00"),
        ({"minimum": Decimal("9.00")}, "9.00"),
        ({"minimum": Decimal("9.01")}, "0.00"),
    ],
)
def test_the_limits_of_the_day_hold_for_a_fee_that_is_calculated_again(limits: dict[str, Decimal], fee: str) -> None:
    assert found(ANNUAL, 1000, **limits) == fee


def test_without_a_balance_no_compensation_is_due_either() -> None:
    assert found(ANNUAL, 0, (FROM_ON, 1000), compensation=Decimal(40)) == "0.00"


def test_a_fee_whose_figures_are_not_known_is_not_calculated_again() -> None:
    assert recalculate(overdue_invoice(90), PastAction(Step.LATE_FEE, "i1", at(TO_ON), TO_ON)) is None
