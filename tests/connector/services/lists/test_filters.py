"""What people type into filters."""

from __future__ import annotations

from decimal import Decimal

import pytest

from connector.services.lists.filters import parse_amount


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("12,496.13", "12496.13"),
        ("12496.13", "12496.13"),
        ("12.496,13", "12496.13"),
        ("12 496,13", "12496.13"),
        ("12'496.13", "12496.13"),
        ("€ 12.496,13", "12496.13"),
        ("EUR 1,5", "1.5"),
        ("1,250", "1250"),
        ("1.250", "1250"),
        ("1,234,567", "1234567"),
        ("1.234.567,8", "1234567.8"),
        ("-3.50", "-3.50"),
        (".5", "0.5"),
        ("INV-70", None),
        ("", None),
        ("1e9", None),
        ("--", None),
        ("٣", None),
        ("9" * 30, None),
    ],
)
def test_an_amount_is_read_as_people_of_any_country_write_it(text: str, amount: str | None) -> None:
    assert parse_amount(text) == (None if amount is None else Decimal(amount))
