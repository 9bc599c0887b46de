"""What writing to every ledger guarantees: one key is one effect, refusals are explained, waivers leave no trace."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest

from providers.errors import AuthorizationExpired, OutcomeUnknown, PermanentError
from providers.ledger import Ledger, WaivedPart
from sandbox.faults import Rule
from tests.providers.contract.companies import TODAY, Company, InvoiceKey, LocalCopy


@pytest.fixture
def invoice(company: Company) -> InvoiceKey:
    company.add_customer("Ann")
    return company.add_invoice("Ann", "100")


def test_note_is_written_once_per_key(company: Company, invoice: InvoiceKey) -> None:
    text = "Reminded. [duewell ab12cd]"
    for _again in range(2):
        company.ledger().add_note(invoice.id, text, "note-1")
    assert company.notes(invoice.number) == [text]
    assert company.ledger().find_note(invoice.id, "ab12cd") is not None
    assert company.ledger().find_note(invoice.id, "ffffff") is None


def test_fee_is_a_separate_invoice_and_a_waiver_undoes_it(company: Company, invoice: InvoiceKey) -> None:
    before = company.amounts_due()
    posted = company.ledger().post_late_fee(company.build_fee(invoice), "fee-1")
    assert company.ledger().post_late_fee(company.build_fee(invoice), "fee-1") == posted
    assert company.ledger().post_late_fee(company.build_fee(invoice), "another key").number == posted.number
    assert company.ledger().find_invoice(posted.number) == posted
    assert company.amounts_due() == {**before, posted.number: Decimal("12.50")}, "the original invoice is unchanged"
    books = LocalCopy()
    books.pull(company.ledger(), company.now)
    fee = books.invoices[posted.external_id]
    assert (fee.reference, fee.currency, fee.customer_id) == (invoice.number, invoice.currency, invoice.customer_id)
    for _again in range(2):
        company.ledger().waive_late_fee(posted.external_id, "waive-1", reason="Ann waived it", on=TODAY)
    assert company.amounts_due() == before
    assert company.ledger().find_invoice(posted.number) is None


def test_several_fees_are_posted_as_one_invoice_of_their_total(company: Company, invoice: InvoiceKey) -> None:
    lines = (("first fee", Decimal("2.50")), ("second fee", Decimal("10.00")))
    posted = company.ledger().post_late_fee(company.build_fee(invoice)._replace(lines=lines), "fee-1")
    assert company.amounts_due()[posted.number] == Decimal("12.50")


@pytest.mark.needs("network")
def test_write_whose_reply_is_lost_happens_once(company: Company, invoice: InvoiceKey) -> None:
    text = "Once [duewell ab12cd]"
    writes: list[Callable[[Ledger], object]] = [
        lambda ledger: ledger.add_note(invoice.id, text, "note-1"),
        lambda ledger: ledger.post_late_fee(company.build_fee(invoice), "fee-1"),
    ]
    for write in writes:
        company.sandbox.faults.add(
            Rule("drop_after", service=company.name, kind="write", path="nvoice|istory|ttachable")
        )
        with pytest.raises(OutcomeUnknown):
            write(company.ledger())
        company.sandbox.faults.clear()
        write(company.ledger())
    assert company.notes(invoice.number) == [text]
    assert [number for number in company.amounts_due() if number.startswith("LF-")] == ["LF-1-1"]


@pytest.mark.needs("credits")
@pytest.mark.parametrize("paid", ["5.00", "12.50", "locked"])
def test_fee_that_cannot_be_voided_is_credited_to_the_cent(company: Company, invoice: InvoiceKey, paid: str) -> None:
    before = sum(company.amounts_due().values())
    posted = company.ledger().post_late_fee(company.build_fee(invoice), "fee-1")
    if paid == "locked":
        company.close_books(TODAY)
    else:
        company.pay(posted.number, paid)
    on = TODAY + timedelta(days=1)
    credit = company.ledger().waive_late_fee(posted.external_id, "waive-1", reason="Ann waived it", on=on)
    assert credit.number == posted.number.replace("LF-", "CR-")
    expected_credit = Decimal(0) if paid == "locked" else Decimal(paid)
    assert sum(company.amounts_due().values()) == before
    assert company.unapplied() == expected_credit, "the customer gets back what was paid on the fee as a credit"
    assert company.ledger().waive_late_fee(posted.external_id, "waive-1", on=on) == credit


@pytest.mark.needs("credits")
@pytest.mark.parametrize("paid", ["", "12.50"])
def test_parts_of_a_fee_are_credited_one_after_the_other(company: Company, invoice: InvoiceKey, paid: str) -> None:
    posted = company.ledger().post_late_fee(company.build_fee(invoice), "fee-1")
    if paid:
        company.pay(posted.number, paid)
    for part in (WaivedPart(Decimal("2.50"), 1), WaivedPart(Decimal("4.00"), 2)):
        for _again in range(2):
            credit = company.ledger().waive_late_fee(posted.external_id, f"waive-{part.ordinal}", on=TODAY, part=part)
            assert credit.number == f"{posted.number.replace('LF-', 'CR-')}.{part.ordinal}"
    assert company.amounts_due().get(posted.number, Decimal(0)) == (Decimal(0) if paid else Decimal("6.00"))
    assert company.unapplied() == (Decimal("6.50") if paid else Decimal(0))


@pytest.mark.needs("locked periods")
def test_fee_in_a_locked_period_is_rejected_and_not_posted(company: Company, invoice: InvoiceKey) -> None:
    company.close_books(TODAY)
    with pytest.raises(PermanentError, match=r"(?i)clos|lock"):
        company.ledger().post_late_fee(company.build_fee(invoice), "fee-1")
    assert set(company.amounts_due()) == {invoice.number}


@pytest.mark.needs("archived accounts")
def test_rejection_names_what_was_archived_in_the_ledger(company: Company, invoice: InvoiceKey) -> None:
    if company.name == "xero":
        company.archive("Ann")
        reason = r"(?i)archived"
    else:
        company.ledger().post_late_fee(company.build_fee(invoice), "fee-0")
        store = company.sandbox.quickbooks.ledger(company.id).stores["Item"]
        item = next(one for one in store.by_id() if one.body["Name"] == "Late fee")
        item.body = {**item.body, "Active": False}
        reason = "inactive"
    with pytest.raises(PermanentError, match=reason):
        company.ledger().post_late_fee(company.build_fee(invoice, "LF-1-2"), "fee-2")


@pytest.mark.needs("tokens")
def test_expired_token_is_refreshed_once_and_a_dead_grant_needs_a_new_consent(
    company: Company, invoice: InvoiceKey
) -> None:
    company.ledger().get_company_details()
    refreshes = company.calls.kinds["token"]
    company.advance(hours=2)
    company.ledger().add_note(invoice.id, "any text", "note-1")
    assert company.calls.kinds["token"] == refreshes + 1
    company.advance(days=200)
    with pytest.raises(AuthorizationExpired):
        company.provider.refresh(company.settings, company.token, company.calls)


@pytest.mark.needs("remote disconnection")
def test_disconnected_company_needs_a_new_consent(company: Company, invoice: InvoiceKey) -> None:
    ledger = company.ledger()
    company.disconnect()
    with pytest.raises(AuthorizationExpired):
        list(ledger.list_changes(None, company.now))
    with pytest.raises(AuthorizationExpired):
        ledger.add_note(invoice.id, "any text", "note-1")
