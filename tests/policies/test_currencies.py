"""Minor units, rounding and splitting of amounts."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.currencies import (
    minor_units,
    plain_amount,
    round_amount,
    smallest_unit,
    split_evenly,
    split_in_proportion,
)


@pytest.mark.parametrize(
    ("currency", "digits"),
    [("EUR", 2), ("HUF", 2), ("IDR", 2), ("COP", 2), ("JPY", 0), ("RWF", 0), ("BIF", 0), ("KWD", 3), ("CLF", 4)],
)
def test_minor_units_are_those_of_iso_4217_not_the_cash_habits_of_a_country(currency: str, digits: int) -> None:
    assert minor_units(currency) == digits
    assert smallest_unit(currency) == Decimal(10) ** -digits


@pytest.mark.parametrize(
    ("amount", "currency", "rounded"),
    [("1.005", "EUR", "1.01"), ("0.5", "JPY", "1"), ("1.2345", "KWD", "1.235"), ("-1.005", "EUR", "-1.01")],
)
def test_amounts_are_rounded_half_up_to_the_decimals_of_their_currency(
    amount: str, currency: str, rounded: str
) -> None:
    assert str(round_amount(Decimal(amount), currency)) == rounded


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        ("1000.00", "JPY", "1000"),
        ("1.5", "KWD", "1.500"),
        ("1234.5", "EUR", "1234.50"),
        ("0", "EUR", "0.00"),
        ("1E+3", "EUR", "1000.00"),
        ("1.2345", "EUR", "1.2345"),
    ],
)
def test_plain_amounts_have_the_decimals_of_their_currency_and_lose_nothing(
    amount: str, currency: str, text: str
) -> None:
    assert plain_amount(Decimal(amount), currency) == text


@pytest.mark.parametrize(
    ("amount", "count", "currency", "parts"),
    [
        ("1000", 3, "JPY", ["334", "333", "333"]),
        ("100.00", 3, "EUR", ["33.34", "33.33", "33.33"]),
        ("0.02", 3, "EUR", ["0.01", "0.01", "0.00"]),
        ("1.0005", 2, "EUR", ["0.5005", "0.50"]),
    ],
)
def test_an_amount_is_split_with_the_larger_parts_first(
    amount: str, count: int, currency: str, parts: list[str]
) -> None:
    assert split_evenly(Decimal(amount), count, currency) == [Decimal(part) for part in parts]


@given(st.decimals(0, 10**9, places=4), st.integers(1, 60), st.sampled_from(["EUR", "JPY", "KWD"]))
def test_the_parts_add_up_and_differ_by_one_unit_at_most(amount: Decimal, count: int, currency: str) -> None:
    parts = split_evenly(round_amount(amount, currency), count, currency)
    assert sum(parts) == round_amount(amount, currency)
    assert max(parts) - min(parts) <= smallest_unit(currency)


@pytest.mark.parametrize(
    ("amount", "weights", "currency", "parts"),
    [
        ("4.00", [10, 20], "GBP", ["1.33", "2.67"]),
        ("100", [1, 1, 1], "JPY", ["33", "33", "34"]),
        ("5.00", [0, 0], "EUR", ["0", "5.00"]),
        ("5.00", [7], "EUR", ["5.00"]),
        ("5.00", [], "EUR", []),
    ],
)
def test_an_amount_is_split_in_proportion_and_the_last_part_takes_the_rounding(
    amount: str, weights: list[int], currency: str, parts: list[str]
) -> None:
    found = split_in_proportion(Decimal(amount), [Decimal(each) for each in weights], currency)
    assert found == [Decimal(part) for part in parts]
