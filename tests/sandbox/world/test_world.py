"""The simulated companies' history: plausible, the same for the same seed, posted outside business hours."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from sandbox.bulk import bulk_invoices
from sandbox.clock import SandboxClock
from sandbox.events import (
    BillReceived,
    CreditNoteIssued,
    CustomerAdded,
    CustomerArchived,
    Event,
    InvoiceIssued,
    InvoiceVoided,
    NoteWritten,
    PaymentDeleted,
    PaymentReceived,
)
from sandbox.simulation import CompanyHistory

TODAY = date(2026, 11, 18)
COMPANIES = pytest.mark.parametrize("company", ["xero", "quickbooks"])
ZONES = {
    "GB": "Europe/London",
    "IE": "Europe/Dublin",
    "DE": "Europe/Berlin",
    "FR": "Europe/Paris",
    "US": "America/New_York",
    "CA": "America/Toronto",
}


def amounts_due(world: CompanyHistory, until: datetime) -> dict[str, Decimal]:
    """Return the balance of each approved invoice at ``until``."""
    due: dict[str, Decimal] = {}
    payments: dict[str, PaymentReceived] = {}
    for event in world.between(None, until):
        if isinstance(event, InvoiceIssued) and not event.draft:
            due[event.key] = event.total
        elif isinstance(event, InvoiceVoided):
            assert due[event.invoice_key] > 0
            due[event.invoice_key] = Decimal(0)
        elif isinstance(event, PaymentReceived | CreditNoteIssued):
            if isinstance(event, PaymentReceived):
                payments[event.key] = event
            for key, amount in event.applied:
                due[key] -= amount
                assert due[key] >= 0, event
        elif isinstance(event, PaymentDeleted):
            for key, amount in payments[event.payment_key].applied:
                due[key] += amount
    return due


@COMPANIES
def test_same_seed_gives_the_same_history(company: str) -> None:
    assert CompanyHistory(3, company, TODAY).events == CompanyHistory(3, company, TODAY).events
    assert CompanyHistory(3, company, TODAY).events != CompanyHistory(4, company, TODAY).events


@COMPANIES
def test_other_date_gives_the_history_up_to_that_date(company: str) -> None:
    later = TODAY + timedelta(days=40)
    assert len(CompanyHistory(1, company, TODAY).events) == pytest.approx(
        len(CompanyHistory(1, company, later).events), rel=0.02
    )
    assert CompanyHistory(1, company, later).events[0].on == CompanyHistory(1, company, TODAY).events[0].on + timedelta(
        days=40
    )


@COMPANIES
def test_nothing_is_posted_during_business_hours_of_customers_who_get_emails(company: str) -> None:
    world = CompanyHistory(1, company, TODAY)
    countries = {customer.country for customer in world.customers if customer.email and customer.country != "AU"}
    assert countries == set(ZONES)
    for event in world.events:
        for zone in ZONES.values():
            assert not 8 <= event.at.astimezone(ZoneInfo(zone)).hour < 18, (event, zone)


@COMPANIES
def test_australian_customers_get_no_emails_because_of_their_time_zone(company: str) -> None:
    world = CompanyHistory(1, company, TODAY)
    archived = {e.customer_key for e in world.events if isinstance(e, CustomerArchived)}
    assert len(archived) == 1
    australians = [customer for customer in world.customers if customer.country == "AU"]
    assert [customer.key for customer in australians if customer.email and customer.key not in archived] == []


@COMPANIES
def test_no_document_is_ever_paid_beyond_its_total(company: str) -> None:
    world = CompanyHistory(1, company, TODAY)
    assert amounts_due(world, world.events[-1].at)


@COMPANIES
def test_overdue_invoices_of_every_age_exist_today(company: str) -> None:
    world = CompanyHistory(1, company, TODAY)
    issued = {e.key: e for e in world.events if isinstance(e, InvoiceIssued)}
    open_ones = [key for key, due in amounts_due(world, datetime(2026, 11, 18, 12, tzinfo=UTC)).items() if due]
    ages = [(TODAY - issued[key].due_on).days for key in open_ones]
    for youngest, oldest in ((-30, 0), (1, 15), (16, 30), (31, 60), (61, 90), (91, 400)):
        assert [age for age in ages if youngest <= age <= oldest], (youngest, oldest)


@COMPANIES
def test_customers_are_about_sixty_in_seven_countries_including_unusual_ones(company: str) -> None:
    world = CompanyHistory(1, company, TODAY)
    assert 55 <= len(world.customers) <= 70
    assert {customer.country for customer in world.customers} == {*ZONES, "AU"}
    assert len({customer.email for customer in world.customers}) == len(world.customers)
    assert sum(not customer.email for customer in world.customers) == 1
    assert sum(customer.discount_percent == 2 for customer in world.customers) == 1
    assert {customer.terms_days for customer in world.customers} == {14, 30, 60}


@COMPANIES
def test_year_contains_everything_that_can_happen_to_invoices(company: str) -> None:
    world = CompanyHistory(1, company, TODAY)
    past = Counter(type(event) for event in world.between(None, datetime(2026, 11, 18, 12, tzinfo=UTC)))
    for kind in (InvoiceVoided, PaymentDeleted, CreditNoteIssued, NoteWritten, BillReceived, CustomerArchived):
        assert past[kind] >= 1, kind
    payments = [e for e in world.events if isinstance(e, PaymentReceived)]
    assert any(len(payment.applied) > 1 for payment in payments)
    assert any(payment.amount > sum(amount for _, amount in payment.applied) > 0 for payment in payments)
    assert any(payment.on_account for payment in payments)


@COMPANIES
def test_history_continues_for_four_hundred_days(company: str) -> None:
    months = Counter(
        (e.on.year, e.on.month) for e in CompanyHistory(1, company, TODAY).events if isinstance(e, InvoiceIssued)
    )
    assert min(months.values()) > 10
    assert max(months) >= (2027, 12)


def test_invoices_are_numbered_by_issue_date_and_follow_their_customer() -> None:
    known: set[str] = set()
    numbers: list[int] = []
    for event in CompanyHistory(1, "xero", TODAY).events:
        if isinstance(event, CustomerAdded):
            known.add(event.customer.key)
        elif isinstance(event, InvoiceIssued):
            assert event.customer_key in known
            numbers.append(int(event.number.removeprefix("INV-")))
    assert numbers == sorted(numbers)


def test_quickbooks_customer_always_keeps_one_currency() -> None:
    currencies: dict[str, set[str]] = defaultdict(set)
    for event in CompanyHistory(1, "quickbooks", TODAY).events:
        if isinstance(event, InvoiceIssued | PaymentReceived | CreditNoteIssued):
            currencies[event.customer_key].add(event.currency)
    assert {len(each) for each in currencies.values()} == {1}


def test_events_between_two_times_are_returned_once_whatever_the_intervals() -> None:
    world = CompanyHistory(1, "xero", TODAY)
    seen: list[Event] = []
    at: datetime | None = None
    for day in range(0, 800, 7):
        until = datetime(2025, 11, 1, tzinfo=UTC) + timedelta(days=day)
        seen += world.between(at, until)
        at = until
    assert seen == list(world.between(None, at or datetime.max.replace(tzinfo=UTC)))


def test_fifty_thousand_invoices_share_their_lines() -> None:
    invoices = list(bulk_invoices(50_000, TODAY))
    assert len(invoices) == 50_000
    assert len({id(invoice.lines) for invoice in invoices}) < 200
    assert all(invoice.total == sum(line.net for line in invoice.lines) for invoice in invoices[:500])


def test_stopped_clock_moves_only_when_it_is_set() -> None:
    clock = SandboxClock(datetime(2026, 1, 1, tzinfo=UTC))
    assert clock.now() == clock.now()
    assert clock.advance(timedelta(hours=1)) == datetime(2026, 1, 1, 1, tzinfo=UTC)


def test_running_clock_continues_from_where_it_was_set() -> None:
    clock = SandboxClock()
    clock.advance(timedelta(days=10))
    assert timedelta(0) <= clock.now() - datetime.now(UTC) - timedelta(days=10) + timedelta(seconds=1)
    clock.set(datetime(2020, 1, 1, tzinfo=UTC))
    clock.run()
    assert timedelta(0) <= clock.now() - datetime(2020, 1, 1, tzinfo=UTC) < timedelta(minutes=1)


def test_clock_rejects_a_time_without_a_time_zone() -> None:
    with pytest.raises(ValueError, match="time zone"):
        SandboxClock(datetime(2026, 1, 1))  # noqa: DTZ001 -- this is what is rejected
