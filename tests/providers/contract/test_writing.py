"""What every ledger's writing keeps to: one key is one effect, refusals come in words, waivers leave no trace."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from providers.errors import AuthorizationExpired, OutcomeUnknown, PermanentError
from providers.ledger import Ledger
from sandbox.faults import Rule
from tests.providers.contract.ledger_fixtures import TODAY, LocalCopy


@pytest.fixture
def invoice(ledger_fixture: Any) -> Any:
    ledger_fixture.customer("Ann")
    return ledger_fixture.invoice("Ann", "100")


def test_a_note_under_one_key_is_one_note(ledger_fixture: Any, invoice: Any) -> None:
    text = "Reminded. [duewell ab12cd]"
    for _again in range(2):
        ledger_fixture.ledger().add_note(invoice[0], text, "note-1")
    assert ledger_fixture.notes(invoice[1]) == [text]
    assert ledger_fixture.ledger().find_note(invoice[0], "ab12cd") is not None
    assert ledger_fixture.ledger().find_note(invoice[0], "ffffff") is None


def test_a_fee_is_one_invoice_of_its_own_and_a_waived_one_was_never_there(ledger_fixture: Any, invoice: Any) -> None:
    before = ledger_fixture.dues()
    posted = ledger_fixture.ledger().post_late_fee(ledger_fixture.fee_on(invoice), "fee-1")
    assert ledger_fixture.ledger().post_late_fee(ledger_fixture.fee_on(invoice), "fee-1") == posted
    assert (
        ledger_fixture.ledger().post_late_fee(ledger_fixture.fee_on(invoice), "another key, the same number").number
        == posted.number
    )
    assert ledger_fixture.ledger().find_invoice(posted.number) == posted
    assert ledger_fixture.dues() == {**before, posted.number: Decimal("12.50")}, "the original is as it was"
    books = LocalCopy()
    books.pull(ledger_fixture.ledger(), ledger_fixture.now)
    fee = books.invoices[posted.external_id]
    assert (fee.reference, fee.currency, fee.customer_id) == (invoice[1], invoice[3], invoice[2])
    for _again in range(2):
        ledger_fixture.ledger().waive_late_fee(posted.external_id, "waive-1", reason="Ann waived it", on=TODAY)
    assert ledger_fixture.dues() == before
    assert ledger_fixture.ledger().find_invoice(posted.number) is None


def test_several_fees_make_one_invoice_of_their_sum(ledger_fixture: Any, invoice: Any) -> None:
    lines = (("on one", Decimal("2.50")), ("on two", Decimal("10.00")))
    posted = ledger_fixture.ledger().post_late_fee(ledger_fixture.fee_on(invoice)._replace(lines=lines), "fee-1")
    assert ledger_fixture.dues()[posted.number] == Decimal("12.50")


@pytest.mark.needs("network")
def test_writes_whose_answers_are_lost_happen_once(ledger_fixture: Any, invoice: Any) -> None:
    text = "Once [duewell ab12cd]"
    acts: list[Callable[[Ledger], object]] = [
        lambda ledger: ledger.add_note(invoice[0], text, "note-1"),
        lambda ledger: ledger.post_late_fee(ledger_fixture.fee_on(invoice), "fee-1"),
    ]
    for act in acts:
        ledger_fixture.sandbox.faults.add(
            Rule("drop_after", vendor=ledger_fixture.name, kind="write", path="nvoice|istory|ttachable")
        )
        with pytest.raises(OutcomeUnknown):
            act(ledger_fixture.ledger())
        ledger_fixture.sandbox.faults.clear()
        act(ledger_fixture.ledger())
    assert ledger_fixture.notes(invoice[1]) == [text]
    assert [number for number in ledger_fixture.dues() if number.startswith("LF-")] == ["LF-1-1"]


@pytest.mark.needs("credits")
@pytest.mark.parametrize("money", ["5.00", "12.50", "closed"])
def test_a_fee_that_cannot_be_voided_is_credited_to_the_cent(ledger_fixture: Any, invoice: Any, money: str) -> None:
    before = sum(ledger_fixture.dues().values())
    posted = ledger_fixture.ledger().post_late_fee(ledger_fixture.fee_on(invoice), "fee-1")
    if money == "closed":
        ledger_fixture.close(TODAY)
    else:
        ledger_fixture.pay(posted.number, money)
    on = TODAY + timedelta(days=1)
    credit = ledger_fixture.ledger().waive_late_fee(posted.external_id, "waive-1", reason="Ann waived it", on=on)
    assert credit.number == posted.number.replace("LF-", "CR-")
    paid = Decimal(0) if money == "closed" else Decimal(money)
    assert (sum(ledger_fixture.dues().values()), ledger_fixture.unapplied()) == (before, paid), (
        "what was paid is the customer's credit"
    )
    assert ledger_fixture.ledger().waive_late_fee(posted.external_id, "waive-1", on=on) == credit


@pytest.mark.needs("closed books")
def test_a_fee_into_closed_books_is_refused_and_not_there(ledger_fixture: Any, invoice: Any) -> None:
    ledger_fixture.close(TODAY)
    with pytest.raises(PermanentError, match=r"(?i)clos|lock"):
        ledger_fixture.ledger().post_late_fee(ledger_fixture.fee_on(invoice), "fee-1")
    assert set(ledger_fixture.dues()) == {invoice[1]}


@pytest.mark.needs("archived accounts")
def test_what_was_archived_in_the_ledger_is_refused_in_words(ledger_fixture: Any, invoice: Any) -> None:
    if ledger_fixture.name == "xero":
        ledger_fixture.archive("Ann")
        words = r"(?i)archived"
    else:
        ledger_fixture.ledger().post_late_fee(ledger_fixture.fee_on(invoice), "fee-0")
        shelf = ledger_fixture.sandbox.quickbooks.books(ledger_fixture.id).shelves["Item"]
        item = next(one for one in shelf.by_id() if one.body["Name"] == "Late fee")
        item.body = {**item.body, "Active": False}
        words = "inactive"
    with pytest.raises(PermanentError, match=words):
        ledger_fixture.ledger().post_late_fee(ledger_fixture.fee_on(invoice, "LF-1-2"), "fee-2")


@pytest.mark.needs("tokens")
def test_an_expired_token_is_refreshed_once_and_a_dead_grant_must_be_connected_again(
    ledger_fixture: Any, invoice: Any
) -> None:
    ledger_fixture.ledger().facts()
    refreshed = ledger_fixture.calls.kinds["token"]
    ledger_fixture.later(hours=2)
    ledger_fixture.ledger().add_note(invoice[0], "still here", "note-1")
    assert ledger_fixture.calls.kinds["token"] == refreshed + 1
    ledger_fixture.later(days=200)
    with pytest.raises(AuthorizationExpired):
        ledger_fixture.provider.refresh(ledger_fixture.settings, ledger_fixture.token, ledger_fixture.calls)


@pytest.mark.needs("disconnecting by the vendor")
def test_a_disconnected_company_must_be_connected_again(ledger_fixture: Any, invoice: Any) -> None:
    ledger = ledger_fixture.ledger()
    ledger_fixture.disconnect()
    with pytest.raises(AuthorizationExpired):
        list(ledger.changes(None, ledger_fixture.now))
    with pytest.raises(AuthorizationExpired):
        ledger.add_note(invoice[0], "anybody there?", "note-1")
