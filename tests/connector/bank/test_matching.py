"""Which invoices money pays: what is sure is right, what can be read in two ways is left to a person."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from benchmarks.bank_year import judge_year, make_year
from connector.bank.facts import LedgerPayment, Match, MatchFacts, OpenInvoice, Receipt
from connector.bank.matching import match_receipts
from connector.bank.number_index import NumberIndex
from connector.vocabulary import MatchCertainty

ON = date(2026, 6, 9)
SURE, PROBABLE = MatchCertainty.SURE, MatchCertainty.PROBABLE
NAMES: dict[str, tuple[str, ...]] = {
    "c1": ("Ashdown Ltd",),
    "c2": ("Bramley Foods GmbH",),
    "c3": ("Müller & Söhne GmbH",),
}


def invoice(number: str, due: str, customer: str = "c1", **more: Any) -> OpenInvoice:
    facts = {"issued_on": date(2026, 5, 1), "due_on": date(2026, 5, 31), "currency": "EUR", **more}
    return OpenInvoice(f"i-{number}", number, customer, customer, due=Decimal(due), **facts)


def money(amount: str, payer: str = "", text: str = "", **more: Any) -> Receipt:
    facts = {"id": 1, "currency": "EUR", "booked_on": ON, **more}
    return Receipt(amount=Decimal(amount), payer=payer, text=text, **facts)


def match(receipt: Receipt, *invoices: OpenInvoice, **facts: Any) -> Match | None:
    found = match_receipts([receipt], MatchFacts(invoices=invoices, **{"names": NAMES, **facts})).matches
    return found[0] if found else None


def shares(found: Match | None) -> dict[str, Decimal]:
    return {each.invoice_id: each.amount for each in found.shares} if found else {}


FIRST, SECOND, THIRD = invoice("INV-0041", "900.00"), invoice("INV-0042", "250.50"), invoice("INV-0043", "120.00")
OTHERS = invoice("INV-0051", "777.00", "c2")


@pytest.mark.parametrize(
    ("receipt", "certainty", "paid"),
    [
        (money("900.00", text="payment INV-0041"), SURE, {"i-INV-0041"}),
        (money("900.00", "Ashdown Ltd", "inv 41"), SURE, {"i-INV-0041"}),
        (money("900.00", "Ashdown Ltd", "INV-00 41"), SURE, {"i-INV-0041"}),
        (money("900.00", "Ashdown Ltd", "Rechnung 0041"), SURE, {"i-INV-0041"}),
        (money("900.00", reference="RF47INV0041"), SURE, {"i-INV-0041"}),
        (money("900.00", "ASHDOWN LIMITED"), SURE, {"i-INV-0041"}),
        (money("250.50", "Ashdwn Ltd"), SURE, {"i-INV-0042"}),
        (money("900.00", "Ashdwn Ltd"), PROBABLE, {"i-INV-0041"}),  # round, and only like their name
        (money("1150.50", "Ashdown Ltd"), SURE, {"i-INV-0041", "i-INV-0042"}),
        (money("1270.50", text="INV-0041, 42 + 43", payer="Ashdown"), SURE, {"i-INV-0041", "i-INV-0042", "i-INV-0043"}),
        (money("500.00", "Ashdown Ltd", "first part of INV-0041"), SURE, {"i-INV-0041"}),
        (money("885.00", "Ashdown Ltd", "INV-0041", charges=Decimal(15)), SURE, {"i-INV-0041"}),
        (money("885.00", "Ashdown Ltd", "INV-0041"), SURE, {"i-INV-0041"}),
        (
            money("885.00", "Ashdown Ltd"),
            PROBABLE,
            {"i-INV-0041", "i-INV-0042", "i-INV-0043"},
        ),  # less a charge, or a part of all
        (
            money("1000.00", "Ashdown Ltd", "INV-0041"),
            PROBABLE,
            {"i-INV-0041", "i-INV-0042", "i-INV-0043"},
        ),  # for what else?
        (money("500.00", "Ashdown Ltd"), PROBABLE, {"i-INV-0041", "i-INV-0042", "i-INV-0043"}),
        (money("250.50", "A person"), PROBABLE, {"i-INV-0042"}),
        (money("900.00", "A person"), PROBABLE, {"i-INV-0041"}),  # the only one: somebody has to look
        (money("901.00", "A person"), None, set()),
        (money("900.00", "HM Revenue and Customs", "VAT"), None, set()),
        (money("250.50", "Stripe Payments UK Ltd", "payout"), None, set()),
        (money("900.00", "J Marsh", "INV-004"), PROBABLE, {"i-INV-0041"}),  # cut off
        (money("250.50", "J Marsh", "for Bramley Foods"), PROBABLE, {"i-INV-0042", "i-INV-0051"}),
        (money("777.00", "J Marsh", "for Bramley Foods"), PROBABLE, {"i-INV-0051"}),
        (money("370.50", "J Marsh", "rent"), PROBABLE, {"i-INV-0042", "i-INV-0043"}),  # two, one after another
        (money("900.00", "Ashdown Ltd", "INV-0014"), SURE, {"i-INV-0041"}),  # two digits swapped
        (money("1150.50", "Ashdown Ltd", "INV-0041"), SURE, {"i-INV-0041", "i-INV-0042"}),  # and another one
        (money("900.00", "Bramley Foods"), PROBABLE, {"i-INV-0051"}),  # theirs, for whatever
        (money("900.00", "Ashdown Ltd", "INV-0041", is_pending=True), PROBABLE, {"i-INV-0041"}),
        (money("900.00", "Ashdown Ltd", "INV-0041", currency="USD"), None, set()),
        (money("900.00", "Ashdown Ltd", "INV-0041", is_batch=True), None, set()),
        (money("900.00", "Ashdown Ltd", booked_on=date(2026, 4, 1)), PROBABLE, {"i-INV-0041"}),
    ],
)
def test_money_is_matched_as_surely_as_it_can_be_read(
    receipt: Receipt, certainty: MatchCertainty | None, paid: set[str]
) -> None:
    found = match(receipt, FIRST, SECOND, THIRD, OTHERS)
    assert (found.certainty if found else None) == certainty
    assert set(shares(found)) == paid


@pytest.mark.parametrize(
    ("number", "receipt"),
    [
        ("12", money("500.00", "Ashdown Ltd", "Rechnung 12.05.2026")),
        ("2026", money("500.00", "Ashdown Ltd", "inv of May: 31/05/2026")),
        ("2026", money("500.00", "Ashdown Ltd", "invoice 2026-05-12")),
        ("20260601", money("500.00", "Ashdown Ltd", "Zahlung 20260601")),
        ("1042", money("500.00", "Ashdown Ltd", "Kd-Nr 1042 danke")),
        ("1042", money("900.00", "A stranger", "transfer to account no 1042")),
        ("1042", money("900.00", "A stranger", "Mandat Nr. 1042")),
        ("1042", money("500.00", "Ashdown Ltd", reference="1042")),  # a number of the payer's own
        ("INV-0002", money("500.00", "Ashdown Ltd", "re 2 machines")),
        ("INV-112", money("900.00", "Ashdown Ltd", "no 99")),  # the amount of one, the number of another
        ("RE-2026-0112", money("900.00", "Ashdown Ltd", "RE 13")),
        ("INV-1", money("100.00", "Ashdown Ltd", "INV-1 12")),  # a dozen, or INV-112 cut by a bank
        ("INV-0041", money("500.00", "Ashdown Ltd", "INV-0040 INV-0041")),  # the first is paid: was it paid twice?
        ("INV-0041", money("500.00", "Factoring Bank AG", "INV-0041")),
        ("INV-0041", money("900.00", "Hans Müller", "rent")),  # not Müller GmbH
    ],
)
def test_what_only_looks_like_an_invoice_or_a_customer_is_not_sure(number: str, receipt: Receipt) -> None:
    names = {"c1": ("Ashdown Ltd",), "c3": ("Müller GmbH",)}
    owed = invoice(number, "900.00", "c3" if "Müller" in receipt.payer else "c1")
    others = [invoice(other, "770.00") for other in ("INV-0099", "INV-112", "RE-2025-0013") if other != number]
    found = match(receipt, owed, *others, names=names, closed=(("i-40", "INV-0040", "c1"),))
    assert found is None or found.certainty == PROBABLE


def test_a_name_that_the_bank_cut_may_be_a_longer_one() -> None:
    names = {"c1": ("Bramley Foods International Ltd",), "c2": ("Bramley Foods International Trading GmbH",)}
    cut = match(money("900.00", "Bramley Foods International"), FIRST, OTHERS, names=names)
    whole = match(money("900.00", "Bramley Foods International Ltd"), FIRST, OTHERS, names=names)
    assert cut is not None
    assert whole is not None
    assert (cut.certainty, whole.certainty) == (PROBABLE, SURE)


@pytest.mark.parametrize("payer", ["Mu\u0308ller & So\u0308hne", "MUELLER + SOEHNE GMBH", "MULLER SOHNE"])
def test_an_umlaut_is_known_however_a_bank_writes_it(payer: str) -> None:
    found = match(money("250.50", payer), invoice("INV-0042", "250.50", "c3"))
    assert found is not None
    assert found.certainty == SURE


@pytest.mark.parametrize(("days_before", "is_possible"), [(30, True), (90, True), (91, False)])
def test_old_money_of_a_customer_is_not_for_every_later_invoice(days_before: int, is_possible: bool) -> None:
    """A sales receipt that nobody books would hold up all their reminders to come."""
    booked_on = FIRST.issued_on - timedelta(days=days_before)
    found = match(money("500.00", "Ashdown Ltd", booked_on=booked_on), FIRST)
    assert (found is not None) is is_possible


def test_two_invoices_of_one_amount_are_both_possible() -> None:
    found = match(money("900.00", "Ashdown Ltd"), FIRST, invoice("INV-0044", "900.00"))
    assert found is not None
    assert (found.certainty, set(shares(found))) == (PROBABLE, {"i-INV-0041", "i-INV-0044"})


def test_an_early_payment_discount_settles_the_invoice() -> None:
    owed = invoice("INV-0041", "1000.00", discount=Decimal(20), discount_until_on=ON)
    found = match(money("980.00", "Ashdown Ltd", "INV-0041"), owed)
    assert found is not None
    assert found.certainty == SURE
    assert found.shares[0].settles
    assert ("amount of the invoice less the early payment discount", 27) in found.parts


def test_what_a_person_said_about_a_payer_counts() -> None:
    receipt = money("250.50", "A Person", payer_account="GB1")
    learned = match(receipt, FIRST, SECOND, payers={"GB1": {"c1"}})
    assert learned is not None
    assert learned.certainty == SURE
    refused = match(money("250.50", "Ashdown Ltd"), FIRST, SECOND, not_payers={"ASHDOWN": {"c1"}})
    assert refused is None or refused.certainty == PROBABLE


def test_the_account_of_a_payment_service_is_nobodys_alone() -> None:
    receipt = money("777.00", "Bramley Foods GmbH", payer_account="GB1")
    found = match(receipt, invoice("INV-0041", "777.00"), OTHERS, payers={"GB1": {"c1"}})
    assert found is not None
    assert found.certainty == PROBABLE


def test_no_money_is_taken_twice_and_no_invoice_paid_twice() -> None:
    receipts = [money("900.00", "Ashdown Ltd", "INV-0041", id=place) for place in (1, 2)]
    found = match_receipts(receipts, MatchFacts(invoices=(FIRST,), names=NAMES)).matches
    assert [(each.receipt_id, each.certainty) for each in found] == [(1, SURE)]


def ledger(amount: str, days: int = 0, family: str = "c1", key: str = "p1") -> LedgerPayment:
    return LedgerPayment(key, family, "EUR", Decimal(amount), ON + timedelta(days=days))


@pytest.mark.parametrize(
    ("payments", "in_ledger"),
    [
        ([ledger("900.00", 2)], {1: "p1"}),
        ([ledger("900.00", -30)], {}),  # the payment of last month
        ([ledger("900.00", family="c2")], {}),
        ([ledger("600.00"), ledger("300.00", key="p2")], {1: "p1,p2"}),  # one payment for each invoice, as in Xero
    ],
)
def test_money_that_the_ledger_shows_is_taken_out_first(
    payments: Sequence[LedgerPayment], in_ledger: dict[int, str]
) -> None:
    facts = MatchFacts(invoices=(FIRST,), names=NAMES, payments=tuple(payments))
    found = match_receipts([money("900.00", "Ashdown Ltd")], facts)
    assert found.in_ledger == in_ledger
    assert bool(found.matches) == (not in_ledger)


@pytest.mark.parametrize(
    ("amount", "due", "booked", "left"),
    [
        ("1150.50", "250.50", "900.00", {"i-INV-0042": "250.50"}),
        ("900.00", "900.00", "300.00", {"i-INV-0042": "900.00"}),  # the 300.00 was other money, paid before
    ],
)
def test_what_is_booked_of_money_for_several_invoices_is_taken_out(
    amount: str, due: str, booked: str, left: dict[str, str]
) -> None:
    ledger = LedgerPayment("p", "c1", "EUR", Decimal(booked), ON, frozenset({"i-INV-0041"}))
    found = match(
        money(amount, "Ashdown Ltd", "INV-0041 INV-0042"),
        invoice("INV-0042", due),
        closed=(("i-INV-0041", "INV-0041", "c1"),),
        payments=(ledger,),
    )
    assert found is not None
    assert found.certainty == SURE
    assert {key: str(value) for key, value in shares(found).items()} == left


def test_an_invoice_number_is_found_in_any_spelling() -> None:
    index = NumberIndex([("a", "INV-0042"), ("b", "2026-0107"), ("c", "10001")])
    spelled = ("INV-0042", "inv0042", "INV 42", "Rg.Nr. 42", "RE42", "factura 0042", "INV-00 42")
    assert {text: [hit.invoice_id for hit in index.find(text)] for text in spelled} == {text: ["a"] for text in spelled}
    assert [hit.invoice_id for hit in index.find("2026 107")] == []
    for text in ("2026-0107", "Rechnung 2026/0107 vom 12.05.2026", "RE 2026 0107"):
        assert [hit.invoice_id for hit in index.find(text)] == ["b"]
    assert [hit.invoice_id for hit in index.find("10001")] == ["c"]
    assert index.find("call 020 7946 0042") == [] or index.find("call 020 7946 0042")[0].points < 45


def test_a_made_year_is_matched_rightly_and_nobody_is_forgotten() -> None:
    judged = judge_year(make_year(customers=60, months=4))
    assert judged.unbooked > 150
    assert judged.precision >= 0.995
    assert judged.recall >= 0.9
    assert judged.missed == []


@pytest.mark.parametrize(
    ("receipt", "certainty", "paid"),
    [
        # of two invoices of one amount the written one, not the oldest: odoo 9177
        (money("250.50", "Ashdown Ltd", "INV-0045"), SURE, {"i-INV-0045"}),
        # references that share groups of digits with others': odoo 39005
        (money("250.50", "Ashdown Ltd", "45 RE34Y U0000 00000 02019 00045"), SURE, {"i-INV-0045"}),
        # 990 of 1000 is the whole, a bank abroad kept the rest: OCA account-reconcile 500
        (money("990.00", "Ashdown Ltd", "INV-0046"), SURE, {"i-INV-0046"}),
        # all of one invoice and a part of the next: odoo 25721
        (money("1500.00", "Bramley Foods GmbH", "INV-0051 INV-0052"), SURE, {"i-INV-0051", "i-INV-0052"}),
        # an amount alone, whoever pays: odoo 61584
        (money("1000.00", "", "transfer"), PROBABLE, {"i-INV-0046"}),
    ],
)
def test_what_other_programs_matched_wrongly(receipt: Receipt, certainty: MatchCertainty, paid: set[str]) -> None:
    same, thousand = invoice("INV-0045", "250.50", due_on=date(2026, 6, 5)), invoice("INV-0046", "1000.00")
    found = match(receipt, SECOND, same, thousand, OTHERS, invoice("INV-0052", "1000.50", "c2"))
    assert (found.certainty if found else None) == certainty
    assert set(shares(found)) == paid
