"""The incremental pull: what each sync reads, and that nothing is lost."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import responses

from providers.errors import TransientError
from providers.ledger import ChangePage
from tests.providers.xero.conftest import FakeXero

if TYPE_CHECKING:
    from providers.xero.ledger import XeroLedger

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
BASE = "https://api.xero.com/api.xro/2.0"


def ms(at: datetime) -> str:
    return f"/Date({round(at.timestamp() * 1000)}+0000)/"


def pull(ledger: XeroLedger, cursor: str | None, now: datetime) -> list[ChangePage]:
    return list(ledger.list_changes(cursor, now))


def invoices(pages: list[ChangePage]) -> list[str]:
    return [one.external_id for page in pages for one in page.invoices]


def test_first_pull_reads_everything_and_customers_last(xero: FakeXero, ledger: XeroLedger) -> None:
    xero.records["Invoices"] = [xero.invoice(n) for n in range(3)]
    pages = pull(ledger, None, NOW)
    assert xero.reads == ["Invoices", "CreditNotes", "Overpayments", "Prepayments", "Contacts"]
    assert len(invoices(pages)) == 3
    assert [page.is_last for page in pages] == [False, False, False, False, True]


def test_sync_without_changes_costs_three_reads(xero: FakeXero, ledger: XeroLedger) -> None:
    xero.records["Invoices"] = [xero.invoice(1, NOW - timedelta(minutes=1))]
    cursor = pull(ledger, None, NOW)[-1].cursor
    for hour in range(1, 24):
        xero.reads.clear()
        cursor = pull(ledger, cursor, NOW + hour * HOUR)[-1].cursor
        assert xero.reads == ["Invoices", "CreditNotes", "Contacts"]


def test_overpayments_and_prepayments_are_checked_once_a_day(xero: FakeXero, ledger: XeroLedger) -> None:
    cursor = pull(ledger, None, NOW)[-1].cursor
    seen = []
    for hour in range(1, 50):
        xero.reads.clear()
        cursor = pull(ledger, cursor, NOW + hour * HOUR)[-1].cursor
        assert len(xero.reads) == 3
        seen.append("Overpayments" in xero.reads)
    assert sum(seen) == 2


def test_changed_invoice_makes_the_pull_read_what_the_change_may_have_affected(
    xero: FakeXero, ledger: XeroLedger
) -> None:
    cursor = pull(ledger, None, NOW)[-1].cursor
    xero.records["Invoices"] = [xero.invoice(1, NOW + HOUR / 2)]
    xero.reads.clear()
    cursor = pull(ledger, cursor, NOW + HOUR)[-1].cursor
    assert xero.reads == ["Invoices", "CreditNotes", "Overpayments", "Prepayments", "Payments", "Contacts"]
    xero.reads.clear()
    pull(ledger, cursor, NOW + HOUR + timedelta(seconds=5))
    assert xero.reads == ["Invoices", "CreditNotes", "Contacts"]


def test_next_pull_starts_at_the_start_of_the_last_one_minus_an_overlap(xero: FakeXero, ledger: XeroLedger) -> None:
    cursor = pull(ledger, None, NOW)[-1].cursor
    xero.records["Invoices"] = [
        xero.invoice(1, NOW - timedelta(minutes=4)),
        xero.invoice(2, NOW - timedelta(minutes=6)),
    ]
    assert invoices(pull(ledger, cursor, NOW + HOUR)) == ["00000001-0000-4000-8000-000000000000"]


def test_deleted_payment_is_read(xero: FakeXero, ledger: XeroLedger) -> None:
    cursor = pull(ledger, None, NOW)[-1].cursor
    at = NOW + HOUR / 2
    xero.records["Invoices"] = [xero.invoice(1, at)]
    xero.records["Payments"] = [{"PaymentID": "p1", "Status": "DELETED", "UpdatedDateUTC": ms(at)}]
    pages = pull(ledger, cursor, NOW + HOUR)
    assert [tuple(one) for page in pages for one in page.deleted] == [("payment", "p1", at)]


def test_ledger_edited_during_a_pull_loses_no_invoice(xero: FakeXero, ledger: XeroLedger) -> None:
    book = [xero.invoice(n * 7919 % 100_003) for n in range(5000)]
    xero.records["Invoices"] = book
    served = []

    def edit(_name: str) -> None:
        served.append(1)
        book[len(served) * 37 % 5000]["UpdatedDateUTC"] = ms(NOW + timedelta(seconds=len(served)))
        book.append(xero.invoice(200_000 - len(served) * 9999, NOW + timedelta(seconds=len(served))))

    xero.on_page_served = edit
    pages = pull(ledger, None, NOW)
    known = set(invoices(pages))
    xero.on_page_served = lambda _: None
    known |= set(invoices(pull(ledger, pages[-1].cursor, NOW + HOUR)))
    assert known >= {one["InvoiceID"] for one in book}
    assert len(served) >= 5


def test_records_that_disappear_between_pages_hide_no_others(xero: FakeXero, ledger: XeroLedger) -> None:
    book = [xero.invoice(n) for n in range(3500)]
    xero.records["Invoices"] = book
    stay = {one["InvoiceID"] for one in book[20:]}
    xero.on_page_served = lambda _: book.pop(0) if len(book) > 3490 else None
    assert set(invoices(pull(ledger, None, NOW))) >= stay


def test_interrupted_pull_continues_after_its_last_page(xero: FakeXero, ledger: XeroLedger) -> None:
    xero.records["Invoices"] = [xero.invoice(n) for n in range(2500)]
    pages = ledger.list_changes(None, NOW)
    first, second = next(pages), next(pages)
    assert (len(first.invoices), len(second.invoices), first.expected_count) == (1000, 1000, 2500)
    rest = pull(ledger, second.cursor, NOW + HOUR)
    assert len(rest[0].invoices) == 500
    since = json.loads(rest[-1].cursor)["watermarks"]["invoices"]
    assert datetime.fromisoformat(since) == NOW - timedelta(minutes=5)


def test_unreadable_cursor_starts_a_full_pull(xero: FakeXero, ledger: XeroLedger) -> None:
    xero.records["Invoices"] = [xero.invoice(1, NOW - timedelta(days=300))]
    assert len(invoices(pull(ledger, "{oops", NOW))) == 1


def test_pages_without_counts_are_read_until_one_is_empty(
    mocked: responses.RequestsMock, ledger: XeroLedger, xero: FakeXero
) -> None:
    mocked.remove("GET", f"{BASE}/Invoices")
    mocked.get(f"{BASE}/Invoices", json={"Invoices": [xero.invoice(1)]})
    mocked.get(f"{BASE}/Invoices", json={"Invoices": [xero.invoice(2)]})
    mocked.get(f"{BASE}/Invoices", json={"Invoices": []})
    assert len(invoices(pull(ledger, None, NOW))) == 2


def test_all_statuses_are_requested_but_no_bills(xero: FakeXero, ledger: XeroLedger) -> None:
    cursor = pull(ledger, None, NOW)[-1].cursor
    pull(ledger, cursor, NOW + HOUR)
    asked = [query for name, query in zip(xero.reads, xero.queries, strict=True) if name == "Invoices"]
    assert {query["where"] for query in asked} == {'Type=="ACCREC"'}
    assert not any("Statuses" in query for query in asked)
    contacts = [query for name, query in zip(xero.reads, xero.queries, strict=True) if name == "Contacts"]
    assert {query["includeArchived"] for query in contacts} == {"true"}


@pytest.mark.parametrize("body", ["[]", '{"Invoices": "none"}', '{"Invoices": [{]}'])
def test_response_that_is_not_a_page_is_tried_later(
    mocked: responses.RequestsMock, ledger: XeroLedger, body: str
) -> None:
    mocked.get(f"{BASE}/Invoices", body=body)
    with pytest.raises(TransientError):
        pull(ledger, None, NOW)


def test_not_modified_is_an_empty_page(mocked: responses.RequestsMock, xero: FakeXero, ledger: XeroLedger) -> None:
    cursor = pull(ledger, None, NOW)[-1].cursor
    for name in ("Invoices", "CreditNotes", "Contacts"):
        mocked.remove("GET", f"{BASE}/{name}")
        mocked.get(f"{BASE}/{name}", status=304)
    pages = pull(ledger, cursor, NOW + HOUR)
    assert (len(pages), invoices(pages), pages[-1].is_last) == (3, [], True)
    assert xero.reads[-1] == "Contacts"
