"""Amounts are stored exactly or rejected."""

from __future__ import annotations

from decimal import Decimal, getcontext, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.db.money import MoneyError, from_e4, to_e4, to_e4_column

AMOUNTS = st.decimals(min_value=Decimal(-(10**14)), max_value=Decimal(10**14), places=4)


@given(AMOUNTS)
def test_an_amount_is_read_as_it_was_stored(amount: Decimal) -> None:
    assert from_e4(to_e4(amount)) == amount


@given(st.integers(min_value=-(2**63) + 1, max_value=2**63 - 1))
def test_every_stored_value_can_be_read_and_stored_again(e4: int) -> None:
    assert to_e4(from_e4(e4)) == e4


@given(AMOUNTS)
def test_an_amount_shows_at_least_two_decimals_and_no_trailing_zeros(amount: Decimal) -> None:
    shown = str(from_e4(to_e4(amount)))
    decimals = shown.partition(".")[2]
    assert len(decimals) == 2 or (len(decimals) in {3, 4} and not decimals.endswith("0"))


@given(st.lists(AMOUNTS))
def test_amounts_are_converted_in_bulk_as_one_by_one(amounts: list[Decimal]) -> None:
    assert to_e4_column(amounts) == [to_e4(amount) for amount in amounts]


def test_amounts_look_like_money() -> None:
    assert [str(from_e4(e4)) for e4 in (125000, 0, -5, 123450, 1)] == ["12.50", "0.00", "-0.0005", "12.345", "0.0001"]


@pytest.mark.parametrize(
    "amount",
    ["0.00001", "NaN", "sNaN", "Infinity", "-Infinity", "922337203685477.5808", "1E+400", "1E-400", "1" + "0" * 60,
     "1.0000000000000000000000000000000000000000000000001"],
)  # fmt: skip
def test_an_amount_that_cannot_be_stored_exactly_is_rejected(amount: str) -> None:
    with pytest.raises(MoneyError):
        to_e4(Decimal(amount))
    with pytest.raises(MoneyError):
        to_e4_column([Decimal(1), Decimal(amount)])


def test_the_callers_decimal_context_does_not_round_money() -> None:
    with localcontext() as context:
        context.prec = 3
        assert from_e4(to_e4(Decimal("123456789.1234"))) == Decimal("123456789.1234")
    assert getcontext().prec > 3
