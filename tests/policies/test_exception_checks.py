"""Exceptions that a person should look at."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from policies.exception_checks import find_exceptions
from policies.receivables import Credit, CreditKind, Invoice, InvoiceStatus
from tests.policies.builders import KNOWN_CUSTOMER, MONDAY, invoice, paid_invoice

HISTORY = [
    paid_invoice(MONDAY - timedelta(days=30 * index), id=f"p{index}", due_in=-30 * index, total=str(100 + index))
    for index in range(1, 11)
]


def codes(*invoices: Invoice, unapplied: tuple[Credit, ...] = ()) -> list[tuple[str, str]]:
    return [(item.code, item.invoice_id) for item in find_exceptions(KNOWN_CUSTOMER, [*HISTORY, *invoices], unapplied)]


def test_an_ordinary_ledger_has_no_exceptions() -> None:
    assert codes(invoice(10, total="120")) == []


def test_the_same_amount_twice_in_a_week_is_probably_a_duplicate() -> None:
    one, two = invoice(10, id="a", total="55", number="A"), invoice(12, id="b", total="55", number="B")
    assert codes(one, two) == [("probable_duplicate", "b")]
    assert codes(one, replace(two, total=Decimal(56))) == []
    assert codes(one, replace(two, issued_on=one.issued_on + timedelta(days=8))) == []
    assert codes(one, replace(two, status=InvoiceStatus.VOIDED)) == []


def test_an_invoice_due_before_it_was_issued_is_an_exception() -> None:
    (found,) = find_exceptions(KNOWN_CUSTOMER, [invoice(10, terms=-3)])
    assert found.reason == "INV-1 of 6 Dec 2026 was due on 3 Dec 2026, before it was issued."


def test_an_amount_far_above_the_usual_is_unusual() -> None:
    assert codes(invoice(10, total="100000")) == [("unusual_amount", "i1")]
    assert codes(invoice(10, total="250")) == []
    assert [item.code for item in find_exceptions(KNOWN_CUSTOMER, [*HISTORY[:5], invoice(10, total="100000")])] == []


def test_a_customer_with_a_balance_and_no_email_address_is_one_exception() -> None:
    unreachable = replace(KNOWN_CUSTOMER, emails=("unknown",))
    assert [item.code for item in find_exceptions(unreachable, [invoice(10), invoice(20, id="b", total="7")])] == [
        "missing_email_address"
    ]
    assert find_exceptions(unreachable, HISTORY) == []


def test_the_first_invoice_in_a_new_currency_is_an_exception() -> None:
    assert codes(invoice(10, total="120", currency="USD")) == [("unusual_currency", "i1")]


def test_unapplied_credit_that_matches_an_open_invoice_is_an_exception() -> None:
    payment = Credit("c", CreditKind.PAYMENT, "c1", "EUR", Decimal(120), MONDAY)
    assert codes(invoice(10, total="120"), unapplied=(payment,)) == [("unapplied_match", "i1")]
    assert codes(invoice(10, total="121"), unapplied=(payment,)) == []


def test_late_fees_of_our_own_are_no_exceptions() -> None:
    assert codes(invoice(10, id="a", fee_of="x", total="5"), invoice(10, id="b", fee_of="y", total="5")) == []


@pytest.mark.parametrize(("total", "is_unusual"), [("316.50", False), ("316.51", True)])
def test_an_unusual_amount_is_more_than_three_times_the_usual_one(total: str, *, is_unusual: bool) -> None:
    assert bool(codes(invoice(10, total=total))) is is_unusual  # the median of the others is 105.50


SCATTERED = [
    paid_invoice(MONDAY - timedelta(days=30 * index), id=f"p{index}", due_in=-30 * index, total=str(total))
    for index, total in enumerate((40, 60, 80, 99, 101, 120, 140, 160), start=1)
]


@pytest.mark.parametrize(
    ("history", "total", "is_unusual"),
    [
        (SCATTERED, "366.86", False),  # the median is 100, its deviation 30 × 1.4826, and six of these are 266.87
        (SCATTERED, "366.87", True),
        (SCATTERED[1:], "9999.00", False),  # seven others are too few
    ],
)
def test_an_unusual_amount_is_six_deviations_above_the_usual_one(
    history: list[Invoice], total: str, *, is_unusual: bool
) -> None:
    found = find_exceptions(KNOWN_CUSTOMER, [*history, invoice(10, total=total)])
    assert [item.code for item in found] == (["unusual_amount"] if is_unusual else [])


@pytest.mark.parametrize(("others", "expected"), [(8, ["unusual_currency"]), (7, [])])
def test_a_new_currency_is_unusual_after_eight_invoices_in_another(others: int, expected: list[str]) -> None:
    found = find_exceptions(KNOWN_CUSTOMER, [*HISTORY[:others], invoice(10, total="7", currency="USD")])
    assert [item.code for item in found] == expected


@pytest.mark.parametrize(("days", "is_duplicate"), [(6, True), (7, False)])
def test_the_same_amount_a_week_later_is_no_duplicate(days: int, *, is_duplicate: bool) -> None:
    one, two = invoice(10, id="a", total="55", number="A"), invoice(10 + days, id="b", total="55", number="B")
    assert bool(codes(one, two)) is is_duplicate


def test_a_reason_names_three_of_many_and_cuts_long_ones() -> None:
    shared = replace(KNOWN_CUSTOMER, shares_mailbox_with=("A", "B", "C", "D"), invalid_emails=("x" * 61, "b", "c", "d"))
    reasons = [item.reason for item in find_exceptions(shared, [invoice(10)])]
    assert "the same email address as A, B, C and 1 more:" in reasons[0]
    assert reasons[1].startswith(f"Kunde AG: '{'x' * 60}', 'b', 'c' is not a valid email address; emails go to pay@")


def test_the_ledgers_own_balance_above_the_invoices_is_an_exception() -> None:
    for debt, expected in ((Decimal("0.01"), ["balance_above_invoices"]), (Decimal(0), [])):
        customer = replace(KNOWN_CUSTOMER, debt_on_no_invoice=debt, debt_currency="EUR")
        assert [item.code for item in find_exceptions(customer, [invoice(10)])] == expected
