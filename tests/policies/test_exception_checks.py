"""Exceptions worth a person's eye."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from policies.exception_checks import find_exceptions
from policies.receivables import Credit, CreditKind, Invoice, InvoiceStatus
from tests.policies.builders import KNOWN_CUSTOMER, MONDAY, invoice, paid_invoice

HISTORY = [
    paid_invoice(MONDAY - timedelta(days=30 * place), id=f"p{place}", due_in=-30 * place, total=str(100 + place))
    for place in range(1, 11)
]


def codes(*invoices: Invoice, unapplied: tuple[Credit, ...] = ()) -> list[tuple[str, str]]:
    return [(odd.code, odd.invoice_id) for odd in find_exceptions(KNOWN_CUSTOMER, [*HISTORY, *invoices], unapplied)]


def test_ordinary_books_have_no_exceptions() -> None:
    assert codes(invoice(10, total="120")) == []


def test_the_same_sum_twice_in_a_week_is_probably_a_duplicate() -> None:
    one, two = invoice(10, id="a", total="55", number="A"), invoice(12, id="b", total="55", number="B")
    assert codes(one, two) == [("probable_duplicate", "b")]
    assert codes(one, replace(two, total=Decimal(56))) == []
    assert codes(one, replace(two, issued_on=one.issued_on + timedelta(days=8))) == []
    assert codes(one, replace(two, status=InvoiceStatus.VOIDED)) == []


def test_an_invoice_due_before_it_was_issued_is_named() -> None:
    odd = invoice(10, terms=-3)
    (found,) = find_exceptions(KNOWN_CUSTOMER, [odd])
    assert found.reason == "INV-1 of 6 Dec 2026 is due on 3 Dec 2026, before it was issued."


def test_an_amount_far_from_the_usual_is_unusual() -> None:
    assert codes(invoice(10, total="100000")) == [("unusual_amount", "i1")]
    assert codes(invoice(10, total="250")) == []
    assert [odd.code for odd in find_exceptions(KNOWN_CUSTOMER, [*HISTORY[:5], invoice(10, total="100000")])] == []


def test_a_debtor_without_an_address_is_named_once() -> None:
    nowhere = replace(KNOWN_CUSTOMER, emails=("unknown",))
    assert [odd.code for odd in find_exceptions(nowhere, [invoice(10), invoice(20, id="b", total="7")])] == [
        "missing_email_address"
    ]
    assert find_exceptions(nowhere, HISTORY) == []


def test_a_currency_unlike_before_is_named() -> None:
    assert codes(invoice(10, total="120", currency="USD")) == [("unusual_currency", "i1")]


def test_money_that_matches_an_open_invoice_but_is_not_applied_is_named() -> None:
    money = Credit("c", CreditKind.PAYMENT, "c1", "EUR", Decimal(120), MONDAY)
    assert codes(invoice(10, total="120"), unapplied=(money,)) == [("unapplied_match", "i1")]
    assert codes(invoice(10, total="121"), unapplied=(money,)) == []


def test_late_fees_of_our_own_are_no_exceptions() -> None:
    assert codes(invoice(10, id="a", fee_of="x", total="5"), invoice(10, id="b", fee_of="y", total="5")) == []
