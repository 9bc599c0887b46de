"""Amounts as customers write them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from connector.portal.customer_response import ResponseRejected, parse_amount


@pytest.mark.parametrize(
    ("text", "currency", "amount"),
    [
        ("", "GBP", None),
        ("1200", "GBP", "1200"),
        ("1200.5", "GBP", "1200.5"),
        ("1.200,50", "EUR", "1200.50"),
        ("1,200.50", "GBP", "1200.50"),
        ("1 200,50", "EUR", "1200.50"),
        ("1\u202f200,50", "EUR", "1200.50"),
        ("1’200.50", "CHF", "1200.50"),
        ("1,200", "GBP", "1200"),
        ("1.200", "EUR", "1200"),
        ("1.200", "KWD", "1.200"),
        ("1200", "JPY", "1200"),
        ("1.234.567", "EUR", "1234567"),
    ],
)
def test_an_amount_is_understood_as_it_was_meant(text: str, currency: str, amount: str | None) -> None:
    assert parse_amount(text, currency) == (Decimal(amount) if amount is not None else None)


@pytest.mark.parametrize(
    ("text", "currency"),
    [("0", "GBP"), ("-5", "GBP"), ("abc", "GBP"), ("1.5", "JPY"), ("1e3", "GBP"), ("12,34.5", "GBP"), ("٣", "GBP")],
)
def test_what_is_no_amount_is_refused(text: str, currency: str) -> None:
    with pytest.raises(ResponseRejected):
        parse_amount(text, currency)
