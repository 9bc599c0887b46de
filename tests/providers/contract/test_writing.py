"""What every ledger's writing keeps to: one key is one effect, refusals come in words, waivers leave no trace."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from providers.errors import Reconnect, Rejected, Unknown
from providers.ledger import Ledger
from providers.sandbox.faults import Rule
from tests.providers.contract.houses import TODAY, Books


@pytest.fixture
def invoice(house: Any) -> Any:
    house.customer("Ann")
    return house.invoice("Ann", "100")


def test_a_note_under_one_key_is_one_note(house: Any, invoice: Any) -> None:
    text = "Reminded. [duewell ab12cd]"
    for _again in range(2):
        house.ledger().add_note(invoice[0], text, "note-1")
    assert house.notes(invoice[1]) == [text]
    assert house.ledger().find_note(invoice[0], "ab12cd") is not None
    assert house.ledger().find_note(invoice[0], "ffffff") is None


def test_a_fee_is_one_invoice_of_its_own_and_a_waived_one_was_never_there(house: Any, invoice: Any) -> None:
    before = house.dues()
    posted = house.ledger().post_late_fee(house.fee_on(invoice), "fee-1")
    assert house.ledger().post_late_fee(house.fee_on(invoice), "fee-1") == posted
    assert house.ledger().post_late_fee(house.fee_on(invoice), "another key, the same number").number == posted.number
    assert house.ledger().find_invoice(posted.number) == posted
    assert house.dues() == {**before, posted.number: Decimal("12.50")}, "the original is as it was"
    books = Books()
    books.pull(house.ledger(), house.now)
    fee = books.invoices[posted.external_id]
    assert (fee.reference, fee.currency, fee.customer_id) == (invoice[1], invoice[3], invoice[2])
    for _again in range(2):
        house.ledger().waive_late_fee(posted.external_id, "waive-1", reason="Ann waived it", on=TODAY)
    assert house.dues() == before
    assert house.ledger().find_invoice(posted.number) is None


def test_several_fees_make_one_invoice_of_their_sum(house: Any, invoice: Any) -> None:
    lines = (("on one", Decimal("2.50")), ("on two", Decimal("10.00")))
    posted = house.ledger().post_late_fee(house.fee_on(invoice)._replace(lines=lines), "fee-1")
    assert house.dues()[posted.number] == Decimal("12.50")


@pytest.mark.needs("network")
def test_writes_whose_answers_are_lost_happen_once(house: Any, invoice: Any) -> None:
    text = "Once [duewell ab12cd]"
    acts: list[Callable[[Ledger], object]] = [
        lambda ledger: ledger.add_note(invoice[0], text, "note-1"),
        lambda ledger: ledger.post_late_fee(house.fee_on(invoice), "fee-1"),
    ]
    for act in acts:
        house.sandbox.faults.add(Rule("drop_after", vendor=house.name, kind="write", path="nvoice|istory|ttachable"))
        with pytest.raises(Unknown):
            act(house.ledger())
        house.sandbox.faults.clear()
        act(house.ledger())
    assert house.notes(invoice[1]) == [text]
    assert [number for number in house.dues() if number.startswith("LF-")] == ["LF-1-1"]


@pytest.mark.needs("credits")
@pytest.mark.parametrize("money", ["5.00", "12.50", "closed"])
def test_a_fee_that_cannot_be_voided_is_credited_to_the_cent(house: Any, invoice: Any, money: str) -> None:
    before = sum(house.dues().values())
    posted = house.ledger().post_late_fee(house.fee_on(invoice), "fee-1")
    if money == "closed":
        house.close(TODAY)
    else:
        house.pay(posted.number, money)
    on = TODAY + timedelta(days=1)
    credit = house.ledger().waive_late_fee(posted.external_id, "waive-1", reason="Ann waived it", on=on)
    assert credit.number == posted.number.replace("LF-", "CR-")
    paid = Decimal(0) if money == "closed" else Decimal(money)
    assert (sum(house.dues().values()), house.unapplied()) == (before, paid), "what was paid is the customer's credit"
    assert house.ledger().waive_late_fee(posted.external_id, "waive-1", on=on) == credit


@pytest.mark.needs("closed books")
def test_a_fee_into_closed_books_is_refused_and_not_there(house: Any, invoice: Any) -> None:
    house.close(TODAY)
    with pytest.raises(Rejected, match=r"(?i)clos|lock"):
        house.ledger().post_late_fee(house.fee_on(invoice), "fee-1")
    assert set(house.dues()) == {invoice[1]}


@pytest.mark.needs("archived accounts")
def test_what_was_archived_in_the_ledger_is_refused_in_words(house: Any, invoice: Any) -> None:
    if house.name == "xero":
        house.archive("Ann")
        words = r"(?i)archived"
    else:
        house.ledger().post_late_fee(house.fee_on(invoice), "fee-0")
        shelf = house.sandbox.quickbooks.books(house.id).shelves["Item"]
        item = next(one for one in shelf.by_id() if one.body["Name"] == "Late fee")
        item.body = {**item.body, "Active": False}
        words = "inactive"
    with pytest.raises(Rejected, match=words):
        house.ledger().post_late_fee(house.fee_on(invoice, "LF-1-2"), "fee-2")


@pytest.mark.needs("tokens")
def test_an_expired_token_is_refreshed_once_and_a_dead_grant_must_be_connected_again(house: Any, invoice: Any) -> None:
    house.ledger().facts()
    refreshed = house.calls.kinds["token"]
    house.later(hours=2)
    house.ledger().add_note(invoice[0], "still here", "note-1")
    assert house.calls.kinds["token"] == refreshed + 1
    house.later(days=200)
    with pytest.raises(Reconnect):
        house.provider.refresh(house.settings, house.token, house.calls)


@pytest.mark.needs("disconnecting by the vendor")
def test_a_disconnected_company_must_be_connected_again(house: Any, invoice: Any) -> None:
    ledger = house.ledger()
    house.disconnect()
    with pytest.raises(Reconnect):
        list(ledger.changes(None, house.now))
    with pytest.raises(Reconnect):
        ledger.add_note(invoice[0], "anybody there?", "note-1")
