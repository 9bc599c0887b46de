"""Pulls: what they read, in which order and with how many calls, whatever changes meanwhile."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from policies.receivables import InvoiceStatus
from providers.errors import TransientError
from providers.ledger import ChangePage, InvoiceRecord
from tests.providers.quickbooks.conftest import SandboxCompany


def all_of(pages: list[ChangePage], name: str) -> dict[str, Any]:
    return {record.external_id: record for page in pages for record in getattr(page, name)}


def money(value: object) -> Decimal:
    return Decimal(str(value))


def test_full_pull_equals_the_ledger(company: SandboxCompany) -> None:
    pages = company.pull()
    invoices, payments, credited = (all_of(pages, name) for name in ("invoices", "payments", "credits"))
    assert {one["Id"]: (money(one["TotalAmt"]), money(one["Balance"])) for one in company.bookkeeper.invoices()} == {
        key: (one.total, one.due) for key, one in invoices.items()
    }
    assert {
        one["Id"]: (money(one["TotalAmt"]), money(one["UnappliedAmt"])) for one in company.bookkeeper.payments()
    } == {key: (one.total, one.unapplied) for key, one in payments.items()}
    assert {one["Id"]: money(one["Balance"]) for one in company.bookkeeper.credit_memos()} == {
        key: one.remaining for key, one in credited.items()
    }
    assert {one["Id"] for one in company.bookkeeper.customers()} == all_of(pages, "customers").keys()
    assert sum(len(page.malformed) for page in pages) == 0


def test_applied_payments_explain_every_balance(company: SandboxCompany) -> None:
    pages = company.pull()
    settled: dict[str, Decimal] = defaultdict(Decimal)
    for page in pages:
        for one in page.applications:
            settled[one.invoice_id] += one.amount
    for key, invoice in all_of(pages, "invoices").items():
        assert invoice.due == invoice.total - settled[key], invoice.number


def test_pull_reports_the_expected_number_of_records(company: SandboxCompany) -> None:
    pages = company.pull()
    brought = sum(
        len(getattr(page, name)) for page in pages for name in ("customers", "invoices", "payments", "credits")
    )
    assert pages[0].expected_count == brought
    assert [page.is_last for page in pages] == [False] * (len(pages) - 1) + [True]


def test_sync_without_changes_costs_one_read(company: SandboxCompany) -> None:
    cursor = company.pull()[-1].cursor
    company.sandbox.clock.advance(timedelta(minutes=30))
    company.reset_calls()
    pages = company.pull(cursor)
    assert company.calls.kinds == ["read"]
    assert [page.is_last for page in pages] == [True]


def test_pull_reads_what_was_edited_voided_deleted_and_undone(small_company: SandboxCompany) -> None:
    edited, voided, deleted, paid = (
        small_company.bookkeeper.add_invoice("Ada", amount)["Id"] for amount in (10, 20, 30, 40)
    )
    payment = small_company.bookkeeper.pay(paid)
    undone = small_company.bookkeeper.pay(edited)
    small_company.sandbox.clock.advance(timedelta(hours=1))
    cursor = small_company.pull()[-1].cursor
    small_company.sandbox.clock.advance(timedelta(hours=1))
    small_company.bookkeeper.edit(edited, DueDate="2027-01-31")
    small_company.bookkeeper.delete_payment(undone["Id"])
    small_company.bookkeeper.void(voided)
    small_company.bookkeeper.delete(deleted)
    pages = small_company.pull(cursor)
    invoices = all_of(pages, "invoices")
    assert (invoices[edited].due, str(invoices[edited].due_on)) == (10, "2027-01-31")
    assert (invoices[voided].status, invoices[voided].due) == ("voided", 0)
    assert {(one.kind, one.external_id) for page in pages for one in page.deleted} == {
        ("invoice", deleted),
        ("payment", undone["Id"]),
    }
    assert ("payment", undone["Id"]) in [source for page in pages for source in page.replaced_sources]
    assert payment["Id"] not in all_of(pages, "payments"), "nothing happened to it"


def many(small_company: SandboxCompany, count: int) -> dict[str, str]:
    """Return numbers and ids of some invoices; the desk takes numbers, because an id may be another one's number."""
    for number in range(count):
        small_company.bookkeeper.add_invoice("Ada", 100 + number, sent=False)
    return {one["DocNumber"]: one["Id"] for one in small_company.bookkeeper.invoices()}


def test_ledger_edited_during_a_pull_loses_no_invoice(small_company: SandboxCompany) -> None:
    ids = many(small_company, 3100)
    numbers = list(ids)
    edits = iter([numbers[at] for at in (2500, 3, 1000, 999, 1001, -1, 0, 1998)])

    def edit(_request: object) -> None:
        small_company.bookkeeper.edit(next(edits), DueDate="2027-03-01")

    edited = small_company.sandbox.faults.call(edit, path="/query$", times=8, nth=7)
    pages = small_company.pull()
    assert edited.fired == 8
    assert all_of(pages, "invoices").keys() == set(ids.values())
    small_company.sandbox.clock.advance(timedelta(hours=1))
    pages += small_company.pull(pages[-1].cursor)
    newest = all_of(pages, "invoices")
    in_book = {one["Id"]: one["DueDate"] for one in small_company.bookkeeper.invoices()}
    assert {key: str(one.due_on) for key, one in newest.items()} == in_book


def test_deletions_during_a_pull_lose_no_other_invoice(small_company: SandboxCompany) -> None:
    ids = many(small_company, 2500)
    numbers = list(ids)
    gone = [numbers[at] for at in (5, 998, 999)]  # after the second page's start, and at the boundary of the pages
    small_company.sandbox.clock.advance(timedelta(hours=1))

    def delete(_request: object) -> None:
        for one in gone:
            small_company.bookkeeper.delete(one)

    deleted = small_company.sandbox.faults.call(delete, path="/query$", times=1, nth=12)
    pages = small_company.pull()
    assert deleted.fired == 1
    assert len(pages[-1].invoices) < 600, "it happened before the last page"
    assert {ids[one] for one in ids if one not in gone} <= all_of(pages, "invoices").keys()
    small_company.sandbox.clock.advance(timedelta(hours=1))
    after = small_company.pull(pages[-1].cursor)
    assert {one.external_id for page in after for one in page.deleted} == {ids[one] for one in gone}


def test_interrupted_pull_resumes_after_its_last_page(small_company: SandboxCompany) -> None:
    ids = many(small_company, 1500)
    first, *_, late = ids
    small_company.sandbox.clock.advance(timedelta(days=2))
    small_company.bookkeeper.pay(late)
    small_company.sandbox.clock.advance(timedelta(days=20))
    small_company.bookkeeper.edit(late, DueDate="2027-03-01")
    pages: list[ChangePage] = []
    for page in small_company.ledger.list_changes(None, small_company.now):
        pages.append(page)
        if ids[first] in all_of([page], "invoices"):
            break
    small_company.reset_calls()
    resumed = list(small_company.another_ledger().list_changes(pages[-1].cursor, small_company.now))
    assert len(all_of(resumed, "invoices")) < 600
    assert len(all_of(pages + resumed, "invoices")) == 1500
    assert str(all_of(resumed, "invoices")[ids[late]].closed_on) == "2026-11-22"


def test_failed_page_keeps_the_pages_before_it(small_company: SandboxCompany) -> None:
    many(small_company, 1500)
    small_company.sandbox.faults.refuse(503, path="/query$", nth=12, times=0)
    pages: list[ChangePage] = []
    with pytest.raises(TransientError):
        pages.extend(small_company.ledger.list_changes(None, small_company.now))
    small_company.sandbox.faults.clear()
    assert len(all_of(pages, "invoices")) == 1000
    rest = list(small_company.another_ledger().list_changes(pages[-1].cursor, small_company.now))
    assert len(all_of(pages + rest, "invoices")) == 1500


def test_after_more_than_29_days_everything_is_read_again(small_company: SandboxCompany) -> None:
    small_company.bookkeeper.add_invoice("Ada", 10)
    pages = small_company.pull()
    assert not pages[0].full_resync
    small_company.sandbox.clock.advance(timedelta(days=31))
    again = small_company.pull(pages[-1].cursor)
    assert [page.full_resync for page in again] == [True] + [False] * (len(again) - 1)
    assert len(all_of(again, "invoices")) == 1
    small_company.sandbox.clock.advance(timedelta(hours=1))
    assert len(small_company.pull(again[-1].cursor)) == 1


def test_more_changes_than_one_response_holds_are_all_read(small_company: SandboxCompany) -> None:
    gone = small_company.bookkeeper.add_invoice("Ada", 10)
    cursor = small_company.pull()[-1].cursor
    small_company.sandbox.clock.advance(timedelta(hours=1))
    small_company.bookkeeper.delete(
        gone["DocNumber"]
    )  # the sandbox returns the latest first, so this is beyond its limit of a thousand
    small_company.sandbox.clock.advance(timedelta(minutes=1))
    many(small_company, 1400)
    small_company.sandbox.clock.advance(timedelta(minutes=30))
    pages = small_company.pull(cursor)
    assert all_of(pages, "invoices").keys() == {one["Id"] for one in small_company.bookkeeper.invoices()}
    assert [page.is_last for page in pages] == [False] * (len(pages) - 1) + [True]
    small_company.sandbox.clock.advance(timedelta(hours=1))
    (quiet,) = small_company.pull(pages[-1].cursor)
    small_company.sandbox.clock.advance(timedelta(hours=20))
    swept = small_company.pull(quiet.cursor)
    assert swept[0].full_resync, "for the deletion that the full answer did not hold"
    assert gone["Id"] not in all_of(swept, "invoices")
    small_company.sandbox.clock.advance(timedelta(hours=30))
    assert len(small_company.pull(swept[-1].cursor)) == 1


def test_next_pull_starts_at_the_earlier_clock_minus_an_overlap(small_company: SandboxCompany) -> None:
    ahead = small_company.now + timedelta(hours=3)
    cursor = list(small_company.ledger.list_changes(None, ahead))[-1].cursor
    assert msgspec.json.decode(cursor)["changed_since"] == "2026-11-20T11:55:00+00:00"


def test_unreadable_record_is_skipped_and_named(small_company: SandboxCompany) -> None:
    good, bad = (small_company.bookkeeper.add_invoice("Ada", amount)["Id"] for amount in (10, 20))
    entry = small_company.sandbox.quickbooks.ledger(small_company.realm).get("Invoice", bad)
    entry.body = {**entry.body, "CustomerRef": {"value": [7]}}
    pages = small_company.pull()
    assert all_of(pages, "invoices").keys() == {good}
    (malformed,) = [one for page in pages for one in page.malformed]
    assert (malformed.kind, malformed.external_id) == ("invoice", bad)
    assert "CustomerRef.value" in malformed.reason
    assert b'"CustomerRef"' in malformed.raw


def test_editing_a_paid_invoice_does_not_change_its_payment_date(small_company: SandboxCompany) -> None:
    invoice = small_company.bookkeeper.add_invoice("Ada", 10)["Id"]
    small_company.bookkeeper.pay(invoice)
    small_company.sandbox.clock.advance(timedelta(hours=1))
    cursor = small_company.pull()[-1].cursor
    small_company.sandbox.clock.advance(timedelta(days=9))
    small_company.bookkeeper.edit(invoice, PrivateNote="checked")
    small_company.token(rejected_token=small_company.token())
    small_company.reset_calls()
    (page,) = small_company.another_ledger().list_changes(cursor, small_company.now)
    record: InvoiceRecord = page.invoices[0]
    assert (record.status, str(record.closed_on)) == (InvoiceStatus.PAID, "2026-11-20")
    assert small_company.reads() == 2, "the payment came days ago, so it is asked for"


def test_customer_without_an_address_gets_emails_at_the_invoices_address(small_company: SandboxCompany) -> None:
    small_company.bookkeeper.add_customer("Bo")
    cursor = small_company.pull()[-1].cursor
    small_company.sandbox.clock.advance(timedelta(hours=1))
    invoice = small_company.bookkeeper.add_invoice("Bo", 10)["Id"]
    small_company.bookkeeper.edit(invoice, BillEmail={"Address": "bo@example.com; office@example.com"})
    (page,) = small_company.pull(cursor)
    assert [one.emails for one in page.customers if one.name == "Bo"] == ["bo@example.com,office@example.com"]
    small_company.sandbox.clock.advance(timedelta(hours=1))
    small_company.bookkeeper.edit_customer("Bo", GivenName="Bo")
    (later,) = small_company.pull(page.cursor)
    assert [one.emails for one in later.customers] == ["bo@example.com,office@example.com"]


def test_recheck_sees_recent_payments_deletions_and_unapplied_credits(small_company: SandboxCompany) -> None:
    paid, gone, open_ = (small_company.bookkeeper.add_invoice("Ada", amount)["Id"] for amount in (10, 20, 30))
    customer = small_company.bookkeeper.customer("Ada")["Id"]
    small_company.bookkeeper.pay(small_company.bookkeeper.add_invoice("Ada", 1)["Id"])  # names the account of payments
    small_company.pull()
    small_company.sandbox.clock.advance(timedelta(minutes=1))
    small_company.bookkeeper.pay(paid)
    small_company.bookkeeper.delete(gone)
    small_company.bookkeeper.pay_unapplied("Ada", 25)
    credit = small_company.bookkeeper.credit("Ada", 5)["Id"]
    small_company.reset_calls()
    page = small_company.ledger.reload_documents([paid, gone, open_], [customer], small_company.now)
    assert small_company.calls.kinds == ["read", "read"]
    assert {one.external_id: one.status for one in page.invoices} == {paid: "paid", open_: "open"}
    assert [(one.kind, one.external_id) for one in page.deleted] == [("invoice", gone)]
    assert sum(one.unapplied for one in page.payments) == 25
    assert [(one.external_id, one.remaining) for one in page.credits] == [(credit, Decimal(5))]
    assert page.cursor == ""


def test_recheck_after_weeks_without_a_sync_reads_everything_of_the_customers(small_company: SandboxCompany) -> None:
    open_ = small_company.bookkeeper.add_invoice("Ada", 30)["Id"]
    customer = small_company.bookkeeper.customer("Ada")["Id"]
    small_company.pull()
    small_company.bookkeeper.pay_unapplied("Ada", 25)
    small_company.sandbox.clock.advance(timedelta(days=40))
    page = small_company.ledger.reload_documents([open_], [customer], small_company.now)
    assert sum(one.unapplied for one in page.payments) == 25


def test_recheck_without_an_earlier_pull_keeps_discounts_and_addresses(company: SandboxCompany) -> None:
    invoices = all_of(company.pull(), "invoices")
    discounted = next(one for one in invoices.values() if one.discount_amount)
    page = company.another_ledger().reload_documents([discounted.external_id], [discounted.customer_id], company.now)
    assert page.invoices[0].discount_amount == discounted.discount_amount
    assert all(one.emails for one in page.customers)


def test_recheck_leaves_out_other_customers(small_company: SandboxCompany) -> None:
    small_company.bookkeeper.add_customer("Bo", email="bo@example.com")
    invoice = small_company.bookkeeper.add_invoice("Ada", 10)["Id"]
    small_company.pull()
    small_company.bookkeeper.pay_unapplied("Bo", 99)
    page = small_company.ledger.reload_documents(
        [invoice], [small_company.bookkeeper.customer("Ada")["Id"]], small_company.now
    )
    assert page.payments == []
    assert {one.name for one in page.customers} <= {"Ada"}


def test_company_has_currency_country_time_zone_and_closing_date(company: SandboxCompany) -> None:
    company.sandbox.quickbooks.ledger(company.realm).profile.region = "NY"
    company.sandbox.quickbooks.close_books((company.now - timedelta(days=40)).date())
    facts = company.ledger.get_company_details()
    assert (facts.company.base_currency, facts.company.country) == ("USD", "US")
    assert facts.company.holiday_region == "US-NY"
    assert facts.company.time_zone == "America/New_York"
    assert str(facts.company.lock_on) == "2026-10-11"
    assert "QuickBooks" in facts.subscription
