"""How a closed invoice was settled, in a sentence."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from policies.receivables import BalanceChange, SettlementKind
from policies.settlement import describe_payment, describe_settlement
from tests.policies.builders import MONDAY, paid_invoice

PAYMENT, CREDIT = SettlementKind.PAYMENT, SettlementKind.CREDIT


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ({PAYMENT: 60, CREDIT: 40}, "Closed on 23 Nov 2026: EUR 60.00 paid, EUR 40.00 credited."),
        (
            {PAYMENT: 60, CREDIT: 39},
            "Closed on 23 Nov 2026: EUR 60.00 paid, EUR 39.00 credited, EUR 1.00 deducted or cleared in another way.",
        ),
        ({}, "Closed on 23 Nov 2026; no payment of it is recorded."),
    ],
)
def test_only_money_that_came_is_called_a_payment(parts: dict[SettlementKind, int], sentence: str) -> None:
    changes = tuple(BalanceChange(MONDAY, -Decimal(amount), kind) for kind, amount in parts.items())
    assert describe_settlement(paid_invoice(MONDAY, balance_changes=changes), MONDAY) == sentence


def test_what_is_dated_tomorrow_is_not_thanked_for_and_what_is_dated_today_is() -> None:
    assert "nobody is thanked before" in describe_settlement(paid_invoice(MONDAY + timedelta(days=1)), MONDAY)
    assert "nobody is thanked before" not in describe_settlement(paid_invoice(MONDAY), MONDAY)


def test_nothing_is_owed_on_an_invoice_for_nothing() -> None:
    invoice = replace(paid_invoice(MONDAY), total=Decimal(0))
    assert describe_settlement(invoice, MONDAY) == "Its total is EUR 0.00: nothing is owed."


def test_a_payment_in_full_is_told_from_one_in_part() -> None:
    assert describe_payment(paid_invoice(MONDAY), MONDAY) == "paid in full on 23 Nov 2026"
    part = paid_invoice(MONDAY, balance_changes=(BalanceChange(MONDAY, Decimal("-99.99")),))
    assert describe_payment(part, MONDAY).startswith("EUR 99.99 of EUR 100.00 was paid, and the rest")
