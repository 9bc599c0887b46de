"""What every ledger's reading keeps to: all of it once, every change after, from any cursor, to the cent."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.providers.contract.ledger_fixtures import LocalCopy


def test_the_first_pull_equals_the_books_and_goes_on_from_any_cursor(ledger_fixture: Any) -> None:
    for name in ("Ann", "Bob"):
        ledger_fixture.customer(name)
    first, second = ledger_fixture.invoice("Ann", "100"), ledger_fixture.invoice("Ann", "20.05")
    third = ledger_fixture.invoice("Bob", "7")
    ledger_fixture.pay(first[1], "40.01")
    ledger_fixture.pay(second[1])
    ledger_fixture.overpay("Bob", "3.30")
    ledger_fixture.prepay("Bob", "1.20")
    books = LocalCopy()
    pages = books.pull(ledger_fixture.ledger(), ledger_fixture.now)
    assert [page.is_last for page in pages] == [False] * (len(pages) - 1) + [True]
    assert books.amounts_due() == ledger_fixture.dues() == {first[1]: Decimal("59.99"), third[1]: Decimal(7)}
    assert books.unapplied() == ledger_fixture.unapplied() == Decimal("4.50")
    assert sorted(one.emails for one in books.customers.values()) == ["ann@house.example", "bob@house.example"]
    assert books.invoices[second[0]].status == "paid"
    assert books.invoices[second[0]].settled_on is not None
    for at in range(len(pages)):
        resumed = LocalCopy()
        for page in pages[: at + 1]:
            resumed.store(page)
        resumed.cursor = pages[at].cursor
        resumed.pull(ledger_fixture.ledger(), ledger_fixture.now)
        assert (resumed.amounts_due(), resumed.unapplied()) == (books.amounts_due(), books.unapplied()), (
            f"from page {at + 1}"
        )


def test_whatever_a_bookkeeper_does_comes_with_the_next_pull(ledger_fixture: Any) -> None:
    for name in ("Ann", "Bob"):
        ledger_fixture.customer(name)
    part, void, paid, undone = (ledger_fixture.invoice("Ann", amount)[1] for amount in ("100", "50", "30", "20"))
    payment = ledger_fixture.pay(undone)
    books = LocalCopy()
    books.pull(ledger_fixture.ledger(), ledger_fixture.now)
    ledger_fixture.later()
    ledger_fixture.pay(part, "0.01")
    ledger_fixture.void(void)
    ledger_fixture.pay(paid)
    ledger_fixture.undo(payment)
    new = ledger_fixture.invoice("Bob", "9.99")[1]
    ledger_fixture.archive("Bob")
    ledger_fixture.later()
    books.pull(ledger_fixture.ledger(), ledger_fixture.now)
    assert books.amounts_due() == ledger_fixture.dues()
    assert set(books.amounts_due()) == {part, undone, new}
    states = {one.number: one.status for one in books.invoices.values()}
    assert (states[void], states[paid], states[undone]) == ("voided", "paid", "open")
    assert [one.active for one in books.customers.values() if one.name.startswith("Bob")] == [False]
    ledger_fixture.later()
    books.pull(ledger_fixture.ledger(), ledger_fixture.now)
    ledger_fixture.later()
    books.pull(ledger_fixture.ledger(), ledger_fixture.now)
    assert [one._replace(updated_at=None) for one in books.changed if ledger_fixture.name != "csv"] == [], (
        "nothing happened"
    )


@pytest.mark.needs("credits")
def test_credits_count_until_they_are_applied(ledger_fixture: Any) -> None:
    ledger_fixture.customer("Ann")
    number = ledger_fixture.invoice("Ann", "100")[1]
    credit = ledger_fixture.credit("Ann", "30.03")
    books = LocalCopy()
    books.pull(ledger_fixture.ledger(), ledger_fixture.now)
    assert (books.amounts_due(), books.unapplied()) == ({number: Decimal(100)}, Decimal("30.03"))
    ledger_fixture.later()
    ledger_fixture.apply(credit, number, "10.01")
    ledger_fixture.later()
    books.pull(ledger_fixture.ledger(), ledger_fixture.now)
    assert (books.amounts_due(), books.unapplied()) == (ledger_fixture.dues(), ledger_fixture.unapplied())
    assert (books.amounts_due()[number], books.unapplied()) == (Decimal("89.99"), Decimal("20.02"))


@pytest.mark.needs("merges")
def test_a_merged_customer_names_the_one_he_is_now(ledger_fixture: Any) -> None:
    ledger_fixture.customer("Ann")
    ledger_fixture.customer("Bob")
    invoice = ledger_fixture.invoice("Ann", "100")
    books = LocalCopy()
    books.pull(ledger_fixture.ledger(), ledger_fixture.now)
    [bob] = [one.external_id for one in books.customers.values() if one.name == "Bob"]
    ledger_fixture.later()
    ledger_fixture.merge("Ann", "Bob")
    ledger_fixture.later()
    books.pull(ledger_fixture.ledger(), ledger_fixture.now)
    assert books.invoices[invoice[0]].customer_id == bob
    left = books.customers.get(invoice[2])
    assert left is None or left.merged_into == bob or not left.active


def test_amounts_stay_in_their_own_currency(ledger_fixture: Any) -> None:
    ledger_fixture.customer("Ann")
    ledger_fixture.customer("Eva")
    pounds, euros = ledger_fixture.invoice("Ann", "100"), ledger_fixture.invoice("Eva", "80.50", "EUR")
    books = LocalCopy()
    books.pull(ledger_fixture.ledger(), ledger_fixture.now)
    assert [(one.currency, one.due) for one in (books.invoices[pounds[0]], books.invoices[euros[0]])] == [
        ("GBP", Decimal(100)),
        ("EUR", Decimal("80.50")),
    ]
    assert ledger_fixture.ledger().facts().company.base_currency == "GBP"


def test_a_look_sees_this_minute_and_what_is_gone(ledger_fixture: Any) -> None:
    ledger_fixture.customer("Ann")
    paid, open_ = ledger_fixture.invoice("Ann", "100"), ledger_fixture.invoice("Ann", "50")
    ledger = ledger_fixture.ledger()
    LocalCopy().pull(ledger, ledger_fixture.now)
    ledger_fixture.later(minutes=1)
    ledger_fixture.pay(paid[1])
    ledger_fixture.overpay("Ann", "5")
    page = ledger.look([paid[0], open_[0], "4711"], [paid[2]], ledger_fixture.now)
    assert {one.external_id: one.status for one in page.invoices} == {paid[0]: "paid", open_[0]: "open"}
    assert [(one.kind, one.external_id) for one in page.deleted] == [("invoice", "4711")]
    loose = sum(one.unapplied for one in page.payments) + sum(one.remaining for one in page.credits)
    assert (loose, page.cursor) == (5, "")


def test_everything_open_is_listed_whatever_a_cursor_says(ledger_fixture: Any) -> None:
    ledger_fixture.customer("Ann")
    open_, paid, void = (ledger_fixture.invoice("Ann", "100") for _ in range(3))
    ledger_fixture.pay(paid[1])
    ledger_fixture.void(void[1])
    ledger = ledger_fixture.ledger()
    LocalCopy().pull(ledger, ledger_fixture.now)
    late = ledger_fixture.invoice("Ann", "1")
    pages = list(ledger.open_documents(ledger_fixture.now + timedelta(minutes=1)))
    found = {one.external_id: one.due for page in pages for one in page.invoices if one.due}
    assert found == {open_[0]: 100, late[0]: 1}
    assert {one.name for page in pages for one in page.customers} == {"Ann"}
    assert not any(page.last or page.cursor for page in pages)
