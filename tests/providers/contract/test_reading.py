"""What every ledger's reading keeps to: all of it once, every change after, from any cursor, to the cent."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.providers.contract.houses import Books


def test_the_first_pull_equals_the_books_and_goes_on_from_any_cursor(house: Any) -> None:
    for name in ("Ann", "Bob"):
        house.customer(name)
    first, second = house.invoice("Ann", "100"), house.invoice("Ann", "20.05")
    third = house.invoice("Bob", "7")
    house.pay(first[1], "40.01")
    house.pay(second[1])
    house.overpay("Bob", "3.30")
    house.prepay("Bob", "1.20")
    books = Books()
    pages = books.pull(house.ledger(), house.now)
    assert [page.last for page in pages] == [False] * (len(pages) - 1) + [True]
    assert books.dues() == house.dues() == {first[1]: Decimal("59.99"), third[1]: Decimal(7)}
    assert books.unapplied() == house.unapplied() == Decimal("4.50")
    assert sorted(one.emails for one in books.customers.values()) == ["ann@house.example", "bob@house.example"]
    assert books.invoices[second[0]].status == "paid"
    assert books.invoices[second[0]].settled_on is not None
    for at in range(len(pages)):
        resumed = Books()
        for page in pages[: at + 1]:
            resumed.take(page)
        resumed.cursor = pages[at].cursor
        resumed.pull(house.ledger(), house.now)
        assert (resumed.dues(), resumed.unapplied()) == (books.dues(), books.unapplied()), f"from page {at + 1}"


def test_whatever_a_bookkeeper_does_comes_with_the_next_pull(house: Any) -> None:
    for name in ("Ann", "Bob"):
        house.customer(name)
    part, void, paid, undone = (house.invoice("Ann", amount)[1] for amount in ("100", "50", "30", "20"))
    payment = house.pay(undone)
    books = Books()
    books.pull(house.ledger(), house.now)
    house.later()
    house.pay(part, "0.01")
    house.void(void)
    house.pay(paid)
    house.undo(payment)
    new = house.invoice("Bob", "9.99")[1]
    house.archive("Bob")
    house.later()
    books.pull(house.ledger(), house.now)
    assert books.dues() == house.dues()
    assert set(books.dues()) == {part, undone, new}
    states = {one.number: one.status for one in books.invoices.values()}
    assert (states[void], states[paid], states[undone]) == ("voided", "paid", "open")
    assert [one.active for one in books.customers.values() if one.name.startswith("Bob")] == [False]
    house.later()
    books.pull(house.ledger(), house.now)
    house.later()
    books.pull(house.ledger(), house.now)
    assert [one._replace(updated_at=None) for one in books.changed if house.name != "csv"] == [], "nothing happened"


@pytest.mark.needs("credits")
def test_credits_count_until_they_are_applied(house: Any) -> None:
    house.customer("Ann")
    number = house.invoice("Ann", "100")[1]
    credit = house.credit("Ann", "30.03")
    books = Books()
    books.pull(house.ledger(), house.now)
    assert (books.dues(), books.unapplied()) == ({number: Decimal(100)}, Decimal("30.03"))
    house.later()
    house.apply(credit, number, "10.01")
    house.later()
    books.pull(house.ledger(), house.now)
    assert (books.dues(), books.unapplied()) == (house.dues(), house.unapplied())
    assert (books.dues()[number], books.unapplied()) == (Decimal("89.99"), Decimal("20.02"))


@pytest.mark.needs("merges")
def test_a_merged_customer_names_the_one_he_is_now(house: Any) -> None:
    house.customer("Ann")
    house.customer("Bob")
    invoice = house.invoice("Ann", "100")
    books = Books()
    books.pull(house.ledger(), house.now)
    [bob] = [one.external_id for one in books.customers.values() if one.name == "Bob"]
    house.later()
    house.merge("Ann", "Bob")
    house.later()
    books.pull(house.ledger(), house.now)
    assert books.invoices[invoice[0]].customer_id == bob
    left = books.customers.get(invoice[2])
    assert left is None or left.merged_into == bob or not left.active


def test_amounts_stay_in_their_own_currency(house: Any) -> None:
    house.customer("Ann")
    house.customer("Eva")
    pounds, euros = house.invoice("Ann", "100"), house.invoice("Eva", "80.50", "EUR")
    books = Books()
    books.pull(house.ledger(), house.now)
    assert [(one.currency, one.due) for one in (books.invoices[pounds[0]], books.invoices[euros[0]])] == [
        ("GBP", Decimal(100)),
        ("EUR", Decimal("80.50")),
    ]
    assert house.ledger().facts().company.base_currency == "GBP"


def test_a_look_sees_this_minute_and_what_is_gone(house: Any) -> None:
    house.customer("Ann")
    paid, open_ = house.invoice("Ann", "100"), house.invoice("Ann", "50")
    ledger = house.ledger()
    Books().pull(ledger, house.now)
    house.later(minutes=1)
    house.pay(paid[1])
    house.overpay("Ann", "5")
    page = ledger.look([paid[0], open_[0], "4711"], [paid[2]], house.now)
    assert {one.external_id: one.status for one in page.invoices} == {paid[0]: "paid", open_[0]: "open"}
    assert [(one.kind, one.external_id) for one in page.deleted] == [("invoice", "4711")]
    loose = sum(one.unapplied for one in page.payments) + sum(one.remaining for one in page.credits)
    assert (loose, page.cursor) == (5, "")


def test_everything_open_is_listed_whatever_a_cursor_says(house: Any) -> None:
    house.customer("Ann")
    open_, paid, void = (house.invoice("Ann", "100") for _ in range(3))
    house.pay(paid[1])
    house.void(void[1])
    ledger = house.ledger()
    Books().pull(ledger, house.now)
    late = house.invoice("Ann", "1")
    pages = list(ledger.open_documents(house.now + timedelta(minutes=1)))
    found = {one.external_id: one.due for page in pages for one in page.invoices if one.due}
    assert found == {open_[0]: 100, late[0]: 1}
    assert {one.name for page in pages for one in page.customers} == {"Ann"}
    assert not any(page.last or page.cursor for page in pages)
