"""Properties over random ledgers: run frequency, contact limits, send window, holds and unapplied credit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from policies.calendar import find_time_zone
from policies.decide import decide
from policies.decisions import SendReminder
from policies.policy import ReminderPolicy
from policies.receivables import Credit, CreditKind, Customer, Invoice, Segment, Size
from policies.unapplied_credit import allocate_credit
from tests.policies.builders import (
    COMPANY,
    KNOWN_CUSTOMER,
    MONDAY,
    NO_HOLIDAYS,
    Holidays,
    Simulation,
    at,
    daily,
    hourly,
    invoice,
    reminder_in,
    statement,
)

FEES = ReminderPolicy.from_toml(
    '[late_fees]\nenabled = true\napproval = "automatic"\nterms_agreed_on = 2026-01-31\n'
    'kind = "percent_per_month"\nrate = 1.5\n'
)
# around the clock changes of both hemispheres, the end of a year and a leap day
STARTS = [date(2026, 3, 16), date(2026, 9, 21), date(2026, 10, 19), date(2026, 12, 14), date(2028, 2, 14)]
ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Kathmandu"]


@st.composite
def invoice_lists(draw: st.DrawFn, today: date = MONDAY) -> list[Invoice]:
    return [
        invoice(
            draw(st.integers(-120, 45)),
            today=today,
            id=f"i{count}",
            number=f"INV-{count}",
            terms=draw(st.sampled_from([0, 7, 14, 30, 60])),
            currency=draw(st.sampled_from(["EUR", "EUR", "USD"])),
            size=draw(st.sampled_from(Size)),
            total=str(draw(st.integers(1, 5000))),
        )
        for count in range(draw(st.integers(1, 6)))
    ]


@st.composite
def customers(draw: st.DrawFn) -> Customer:
    return replace(
        KNOWN_CUSTOMER, segment=draw(st.sampled_from([None, *Segment])), time_zone=draw(st.sampled_from(ZONES))
    )


@st.composite
def scenarios(draw: st.DrawFn) -> dict[str, Any]:
    """A simulation with payments, a start date, and holidays on random days."""
    start_on = draw(st.sampled_from(STARTS))
    invoices = draw(invoice_lists(start_on))
    payment_dates = {
        each.id: start_on + timedelta(days=draw(st.integers(1, 60))) for each in invoices if draw(st.booleans())
    }
    off = [start_on + timedelta(days=draw(st.integers(0, 40))) for _ in range(3)]
    return {
        "start_on": start_on,
        "simulation": {
            "invoices": invoices,
            "payment_dates": payment_dates,
            "customer": draw(customers()),
            "calendar": Holidays({("DE", on): "a holiday" for on in off}),
            "company": replace(COMPANY, time_zone=draw(st.sampled_from(ZONES))),
            "policy": FEES,
            "live_since_at": at(start_on),
        },
    }


def simulate(scenario: dict[str, Any], instants: Iterable[datetime]) -> Simulation:
    return Simulation(**scenario["simulation"]).run_all(instants)


@settings(max_examples=6, deadline=None)
@given(scenarios())
def test_the_frequency_of_runs_does_not_matter(scenario: dict[str, Any]) -> None:
    scenario["simulation"] |= {
        "customer": replace(scenario["simulation"]["customer"], time_zone=""),
        "company": COMPANY,
    }
    often, seldom = (
        simulate(scenario, hourly(scenario["start_on"], 40)),
        simulate(scenario, daily(scenario["start_on"], 40)),
    )
    assert (often.emails, sorted(often.completed)) == (seldom.emails, sorted(seldom.completed))


@settings(max_examples=12, deadline=None)
@given(scenarios())
def test_contact_limits_and_send_window_are_never_broken(scenario: dict[str, Any]) -> None:
    simulation = simulate(scenario, (at(scenario["start_on"]) + timedelta(hours=3 * count) for count in range(60 * 8)))
    days = [on for on, _, _ in simulation.emails]
    for on in days:
        assert sum(0 <= (on - each).days < 3 for each in days) == 1
        assert sum(0 <= (on - each).days < 7 for each in days) <= 2
        assert sum(0 <= (on - each).days < 30 for each in days) <= 7
    zone = find_time_zone(scenario["simulation"]["customer"].time_zone)
    for instant in simulation.sent_times:
        local = instant.astimezone(zone)
        assert 8 <= local.hour < 18
        assert local.weekday() < 5
        assert not simulation.calendar.holiday_name("DE", local.date())


@settings(max_examples=60, deadline=None)
@given(invoice_lists(), customers(), st.integers(0, 23))
def test_every_invoice_gets_exactly_one_decision_and_a_customer_at_most_one_email(
    invoices: list[Invoice], customer: Customer, hour: int
) -> None:
    now = at(MONDAY, hour)
    statements = [
        statement(*[each for each in invoices if each.currency == currency], now=now, customer=customer)
        for currency in sorted({each.currency for each in invoices})
    ]
    decision = decide(statements, FEES, now, NO_HOLIDAYS)
    assert sorted(each.invoice_id for each in decision.invoice_decisions) == sorted(each.id for each in invoices)
    assert all(each.reason and each.code for each in decision.invoice_decisions)
    emails = [action for action in decision.actions if isinstance(action, SendReminder)]
    assert len(emails) <= 1
    for email in emails:
        assert {each for each, _ in email.completed} <= set(email.listed)
        assert {each.currency for each in invoices if each.id in email.listed} == {email.currency}


HOLDS: list[dict[str, Any]] = [
    {"disputed_on": MONDAY},
    {"promised_on": MONDAY + timedelta(days=3)},
    {"paused": True},
    {"sent_to_customer": False},
    {"fee_of": "gone"},
]


@settings(max_examples=60, deadline=None)
@given(invoice_lists(), customers(), st.sampled_from(HOLDS), st.data())
def test_adding_a_hold_never_adds_a_contact(
    invoices: list[Invoice], customer: Customer, hold: dict[str, Any], data: st.DataObject
) -> None:
    euros = [replace(each, currency="EUR") for each in invoices]
    index = data.draw(st.integers(0, len(euros) - 1))
    held = [replace(each, **hold) if count == index else each for count, each in enumerate(euros)]
    free, bound = (
        reminder_in(decide([statement(*some, customer=customer)], FEES, at(MONDAY), NO_HOLIDAYS))
        for some in (euros, held)
    )
    if free is None:
        assert bound is None
    elif bound is not None:
        assert set(bound.completed) <= set(free.completed)
        assert euros[index].id not in dict(bound.completed)


@settings(max_examples=40, deadline=None)
@given(invoice_lists(), st.integers(1, 10000))
def test_unapplied_credit_is_never_chased(invoices: list[Invoice], cents: int) -> None:
    euros = [replace(each, currency="EUR") for each in invoices]
    money = Credit("cr", CreditKind.PAYMENT, "c1", "EUR", Decimal(cents), MONDAY)
    decision = decide([statement(*euros, credits=(money,))], FEES, at(MONDAY), NO_HOLIDAYS)
    covered = allocate_credit(statement(*euros, credits=(money,)))
    owed = sum((each.due for each in euros), Decimal(0))
    assert sum(covered.values(), Decimal(0)) == min(Decimal(cents), owed)
    email = reminder_in(decision)
    if email is not None:
        asked = sum(
            (each.due - covered.get(each.id, Decimal(0)) for each in euros if each.id in email.listed), Decimal(0)
        )
        assert asked <= max(owed - cents, Decimal(0))
        assert all(covered.get(each.id) != each.due for each in euros if each.id in email.listed)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(ZONES), st.datetimes(datetime(2026, 1, 1), datetime(2028, 12, 31)))  # noqa: DTZ001 - made aware below
def test_a_postponed_email_is_planned_inside_the_send_window_of_a_business_day(name: str, instant: datetime) -> None:
    time_zone = ZoneInfo(name)
    now = instant.replace(tzinfo=ZoneInfo("UTC"))
    customer = replace(KNOWN_CUSTOMER, time_zone=name)
    old = invoice(-40, today=now.date())
    email = reminder_in(decide([statement(old, now=now, customer=customer)], FEES, now, NO_HOLIDAYS))
    assert email is not None
    local = (email.send_after or now).astimezone(time_zone)
    assert local.weekday() < 5
    assert 8 <= local.hour < 18
    assert email.send_after is None or timedelta(0) < email.send_after - now < timedelta(days=3)
