"""What reading from every ledger guarantees: everything once, then every change, from any cursor, to the cent."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from tests.providers.contract.companies import Company, LocalCopy


def test_first_pull_equals_the_ledger_and_resumes_from_any_cursor(company: Company) -> None:
    for name in ("Ann", "Bob"):
        company.add_customer(name)
    first, second = company.add_invoice("Ann", "100"), company.add_invoice("Ann", "20.05")
    third = company.add_invoice("Bob", "7")
    company.pay(first.number, "40.01")
    company.pay(second.number)
    company.overpay("Bob", "3.30")
    company.prepay("Bob", "1.20")
    copy = LocalCopy()
    pages = copy.pull(company.ledger(), company.now)
    assert [page.is_last for page in pages] == [False] * (len(pages) - 1) + [True]
    assert copy.amounts_due() == company.amounts_due() == {first.number: Decimal("59.99"), third.number: Decimal(7)}
    assert copy.unapplied() == company.unapplied() == Decimal("4.50")
    assert sorted(one.emails for one in copy.customers.values()) == ["ann@customer.example", "bob@customer.example"]
    assert copy.invoices[second.id].status == "paid"
    assert copy.invoices[second.id].closed_on is not None
    for number in range(1, len(pages) + 1):
        resumed = LocalCopy()
        for page in pages[:number]:
            resumed.store(page)
        resumed.cursor = pages[number - 1].cursor
        resumed.pull(company.ledger(), company.now)
        assert (resumed.amounts_due(), resumed.unapplied()) == (copy.amounts_due(), copy.unapplied()), f"page {number}"


def test_next_pull_reads_every_change_in_the_ledger(company: Company) -> None:
    for name in ("Ann", "Bob"):
        company.add_customer(name)
    part_paid, voided, paid, reopened = (
        company.add_invoice("Ann", total).number for total in ("100", "50", "30", "20")
    )
    payment = company.pay(reopened)
    copy = LocalCopy()
    copy.pull(company.ledger(), company.now)
    company.advance()
    company.pay(part_paid, "0.01")
    company.void(voided)
    company.pay(paid)
    company.delete_payment(payment)
    new = company.add_invoice("Bob", "9.99").number
    company.archive("Bob")
    company.advance()
    copy.pull(company.ledger(), company.now)
    assert copy.amounts_due() == company.amounts_due()
    assert set(copy.amounts_due()) == {part_paid, reopened, new}
    statuses = {one.number: one.status for one in copy.invoices.values()}
    assert (statuses[voided], statuses[paid], statuses[reopened]) == ("voided", "paid", "open")
    assert [one.active for one in copy.customers.values() if one.name.startswith("Bob")] == [False]
    company.advance()
    copy.pull(company.ledger(), company.now)
    company.advance()
    copy.pull(company.ledger(), company.now)
    if (
        company.name != "csv"
    ):  # files have no change feed: every pull reads all of them, stamped with the time of reading
        assert copy.changed == []


@pytest.mark.needs("credits")
def test_credit_is_unapplied_until_it_is_applied(company: Company) -> None:
    company.add_customer("Ann")
    number = company.add_invoice("Ann", "100").number
    credit = company.credit("Ann", "30.03")
    copy = LocalCopy()
    copy.pull(company.ledger(), company.now)
    assert (copy.amounts_due(), copy.unapplied()) == ({number: Decimal(100)}, Decimal("30.03"))
    company.advance()
    company.apply(credit, number, "10.01")
    company.advance()
    copy.pull(company.ledger(), company.now)
    assert (copy.amounts_due(), copy.unapplied()) == (company.amounts_due(), company.unapplied())
    assert (copy.amounts_due()[number], copy.unapplied()) == (Decimal("89.99"), Decimal("20.02"))


@pytest.mark.needs("merges")
def test_merged_customer_points_to_the_remaining_one(company: Company) -> None:
    company.add_customer("Ann")
    company.add_customer("Bob")
    invoice = company.add_invoice("Ann", "100")
    copy = LocalCopy()
    copy.pull(company.ledger(), company.now)
    [bob] = [one.external_id for one in copy.customers.values() if one.name == "Bob"]
    company.advance()
    company.merge("Ann", "Bob")
    company.advance()
    copy.pull(company.ledger(), company.now)
    assert copy.invoices[invoice.id].customer_id == bob
    ann = copy.customers.get(invoice.customer_id)
    assert ann is None or ann.merged_into == bob or not ann.active


def test_amounts_keep_their_currency(company: Company) -> None:
    company.add_customer("Ann")
    company.add_customer("Eva")
    pounds, euros = company.add_invoice("Ann", "100"), company.add_invoice("Eva", "80.50", "EUR")
    copy = LocalCopy()
    copy.pull(company.ledger(), company.now)
    assert [(one.currency, one.due) for one in (copy.invoices[pounds.id], copy.invoices[euros.id])] == [
        ("GBP", Decimal(100)),
        ("EUR", Decimal("80.50")),
    ]
    assert company.ledger().get_company_details().company.base_currency == "GBP"


def test_reloading_shows_the_current_state_and_what_is_gone(company: Company) -> None:
    company.add_customer("Ann")
    paid, unpaid = company.add_invoice("Ann", "100"), company.add_invoice("Ann", "50")
    ledger = company.ledger()
    LocalCopy().pull(ledger, company.now)
    company.advance(minutes=1)
    company.pay(paid.number)
    company.overpay("Ann", "5")
    page = ledger.reload_documents([paid.id, unpaid.id, "4711"], [paid.customer_id], company.now)
    assert {one.external_id: one.status for one in page.invoices} == {paid.id: "paid", unpaid.id: "open"}
    assert [(one.kind, one.external_id) for one in page.deleted] == [("invoice", "4711")]
    unapplied = sum(one.unapplied for one in page.payments) + sum(one.remaining for one in page.credits)
    assert (unapplied, page.cursor) == (5, "")


def test_open_documents_are_listed_whatever_the_cursor(company: Company) -> None:
    company.add_customer("Ann")
    unpaid, paid, voided = (company.add_invoice("Ann", "100") for _ in range(3))
    company.pay(paid.number)
    company.void(voided.number)
    ledger = company.ledger()
    LocalCopy().pull(ledger, company.now)
    added_later = company.add_invoice("Ann", "1")
    pages = list(ledger.list_open_documents(company.now + timedelta(minutes=1)))
    amounts_due = {one.external_id: one.due for page in pages for one in page.invoices if one.due}
    assert amounts_due == {unpaid.id: 100, added_later.id: 1}
    assert {one.name for page in pages for one in page.customers} == {"Ann"}
    assert not any(page.is_last or page.cursor for page in pages)
