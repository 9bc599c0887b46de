"""Records that make QuickBooks reject every reply: found by halves, set aside and named; all others are read."""

from __future__ import annotations

from datetime import timedelta

import pytest

from providers.errors import PermanentError, TransientError
from providers.ledger import ChangePage, RecordKind
from providers.quickbooks import narrowing
from sandbox.faults import Rule
from tests.providers.quickbooks.conftest import SandboxCompany

STATUSES = [400, 500]


def add_invoices(company: SandboxCompany, count: int) -> list[str]:
    """Add invoices and return their ids."""
    return [company.bookkeeper.add_invoice("Ada", 100 + n)["Id"] for n in range(count)]


def set_aside(pages: list[ChangePage]) -> dict[str, str]:
    return {one.external_id: one.reason for page in pages for one in page.malformed}


def invoice_ids(pages: list[ChangePage]) -> set[str]:
    return {one.external_id for page in pages for one in page.invoices}


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("positions", [[0], [18], [36], [4, 5], [0, 20, 36]], ids=str)
def test_records_that_spoil_a_page_are_set_aside_and_all_others_read(
    small_company: SandboxCompany, positions: list[int], status: int
) -> None:
    ids = add_invoices(small_company, 37)
    small_company.bookkeeper.note(ids[3], "an object of another kind between the ids")
    for position in positions:
        small_company.bookkeeper.poison(external_id=ids[position], status=status)
    pages = small_company.pull()
    assert set(set_aside(pages)) == {ids[position] for position in positions}
    assert invoice_ids(pages) == set(ids) - set(set_aside(pages))
    assert pages[-1].is_last
    assert all("the email address entered is invalid" in reason for reason in set_aside(pages).values())


def test_narrowing_costs_few_calls(small_company: SandboxCompany) -> None:
    ids = add_invoices(small_company, 300)
    small_company.pull()
    small_company.reset_calls()
    small_company.pull()
    healthy = small_company.reads()
    small_company.bookkeeper.poison(external_id=ids[150])
    small_company.reset_calls()
    assert set(set_aside(small_company.pull())) == {ids[150]}
    assert small_company.reads() - healthy <= 25


@pytest.mark.parametrize("inside", [False, True], ids=["whole reply", "fault inside one entity"])
@pytest.mark.parametrize("status", STATUSES)
def test_a_change_that_spoils_the_cdc_is_set_aside_and_no_other_change_lost(
    small_company: SandboxCompany, status: int, *, inside: bool
) -> None:
    ids = add_invoices(small_company, 5)
    cursor = small_company.pull()[-1].cursor
    small_company.sandbox.clock.advance(timedelta(hours=1))
    for one in ids:
        small_company.bookkeeper.edit(one, DueDate="2027-01-31")
    small_company.sandbox.quickbooks.ledger(small_company.realm).faults_inside_cdc = inside
    small_company.bookkeeper.poison(external_id=ids[2], status=status)
    pages = small_company.pull(cursor)
    assert set(set_aside(pages)) == {ids[2]}
    assert invoice_ids(pages) == set(ids) - {ids[2]}
    small_company.bookkeeper.heal()
    small_company.bookkeeper.edit(ids[2], DueDate="2027-02-28")
    again = small_company.pull(pages[-1].cursor)
    assert ids[2] in invoice_ids(again)
    assert set_aside(again) == {}


def test_a_fault_inside_one_entity_that_passes_is_not_taken_for_no_changes(small_company: SandboxCompany) -> None:
    add_invoices(small_company, 1)
    cursor = small_company.pull()[-1].cursor
    small_company.bookkeeper.add_invoice("Ada", 55)
    inner = '{"Fault":{"Error":[{"code":"10000","Detail":"An application error has occurred"}]}}'
    body = f'{{"CDCResponse":[{{"QueryResponse":[{{}},{{}},{{}},{{}},{inner}]}}],"time":"2026-11-20T04:00:00-08:00"}}'
    small_company.sandbox.faults.refuse(200, body=body, path="/cdc", headers={"Content-Type": "application/json"})
    with pytest.raises(TransientError, match="An application error has occurred"):
        small_company.pull(cursor)


@pytest.mark.parametrize(("entity", "kind"), [("Customer", RecordKind.CUSTOMER), ("Payment", RecordKind.PAYMENT)])
def test_other_kinds_of_records_are_set_aside_too(small_company: SandboxCompany, entity: str, kind: RecordKind) -> None:
    [first, second] = add_invoices(small_company, 2)
    payment = small_company.bookkeeper.pay(first)
    customer = small_company.bookkeeper.customers()[0]
    small_company.bookkeeper.poison(entity=entity, external_id={"Customer": customer, "Payment": payment}[entity]["Id"])
    pages = small_company.pull()
    assert [(one.kind, one.external_id) for page in pages for one in page.malformed] == [
        (kind, {"Customer": customer, "Payment": payment}[entity]["Id"])
    ]
    assert invoice_ids(pages) == {first, second}


@pytest.mark.parametrize("hours", [1, 4])
def test_a_record_that_makes_intuit_fail_every_time_is_set_aside_once_that_lasts(
    small_company: SandboxCompany, hours: int
) -> None:
    ids = add_invoices(small_company, 3)
    cursor = small_company.pull()[-1].cursor
    small_company.sandbox.clock.advance(timedelta(hours=hours))
    small_company.bookkeeper.edit(ids[0], DueDate="2027-01-31")
    small_company.bookkeeper.edit(ids[1], DueDate="2027-01-31")
    small_company.bookkeeper.poison(external_id=ids[1], status=503)
    if hours == 1:
        with pytest.raises(TransientError, match="An application error has occurred"):
            small_company.pull(cursor)
        return
    pages = small_company.pull(cursor)
    assert invoice_ids(pages) >= {ids[0]}
    assert list(set_aside(pages)) == [ids[1]]
    assert "An application error has occurred" in set_aside(pages)[ids[1]]


@pytest.mark.parametrize("entity", ["Customer", "Payment", "CreditMemo", "Invoice"])
def test_a_first_pull_goes_around_a_record_that_makes_intuit_fail(small_company: SandboxCompany, entity: str) -> None:
    [first, _second] = add_invoices(small_company, 2)
    books = small_company.bookkeeper
    made = {
        "Customer": lambda: books.add_customer("Birch"),
        "Payment": lambda: books.pay(first, 10),
        "CreditMemo": lambda: books.credit("Ada", 10),
        "Invoice": lambda: books.add_invoice("Ada", 33),
    }[entity]()
    books.poison(entity=entity, external_id=made["Id"], status=503)
    pages = small_company.pull()
    assert set(set_aside(pages)) == {made["Id"]}
    assert pages[-1].is_last
    assert len(invoice_ids(pages)) == 2


@pytest.mark.parametrize("entity", ["Invoice", "Customer", "Payment"])
@pytest.mark.parametrize("status", STATUSES)
def test_reloading_before_sending_reads_around_them(small_company: SandboxCompany, entity: str, status: int) -> None:
    [first, second] = add_invoices(small_company, 2)
    small_company.pull()
    payment = small_company.bookkeeper.pay(first, 10)
    customers = [one["Id"] for one in small_company.bookkeeper.customers()]
    spoiled = {"Invoice": second, "Customer": customers[0], "Payment": payment["Id"]}[entity]
    small_company.bookkeeper.edit(second, DueDate="2027-01-31")
    small_company.bookkeeper.poison(entity=entity, external_id=spoiled, status=status)
    if entity == "Customer":
        small_company.sandbox.quickbooks.bookkeeper(small_company.realm).edit_customer("Ada", Notes="changed")
    page = small_company.ledger.reload_documents([first, second], customers, small_company.now)
    assert [one.external_id for one in page.malformed] == [spoiled]
    assert page.deleted == [], "what cannot be read is not gone"
    assert {one.external_id for one in page.invoices} == {first, second} - ({second} if entity == "Invoice" else set())


def test_the_nightly_comparison_reads_around_them(small_company: SandboxCompany) -> None:
    ids = add_invoices(small_company, 3)
    small_company.pull()
    small_company.bookkeeper.poison(external_id=ids[1])
    pages = list(small_company.ledger.list_open_documents(small_company.now))
    assert set(set_aside(pages)) == {ids[1]}
    assert invoice_ids(pages) == {ids[0], ids[2]}


def test_where_everything_is_rejected_it_is_not_about_records(small_company: SandboxCompany) -> None:
    for one in add_invoices(small_company, 30):
        small_company.bookkeeper.poison(external_id=one)
    with pytest.raises(PermanentError, match="the email address entered is invalid"):
        small_company.pull()
    assert small_company.reads() < 20 + 10 * narrowing.SET_ASIDE_MAX


@pytest.mark.parametrize("status", [500, 503])
def test_a_server_error_carries_intuits_own_words(small_company: SandboxCompany, status: int) -> None:
    body = '{"Fault":{"Error":[{"code":"10000","Message":"System failure","Detail":"Ledger being rebuilt"}]}}'
    small_company.sandbox.faults.add(Rule("refuse", path="/query", status=status, body=body, times=0))
    with pytest.raises(TransientError, match=f"{status} .*Ledger being rebuilt"):
        small_company.pull()
