"""Due on a weekend or a public holiday: until when it is paid in time, by preset, and what counts from then."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest

from connector.geo import HolidayCalendar
from policies.calendar import Calendar
from policies.decide import decide
from policies.decisions import SendReminder
from policies.fee_rules import FeePreset
from policies.formatting import format_date
from policies.payable_dates import with_payable_dates
from policies.policy import ReminderPolicy
from policies.receivables import Customer, Invoice, PastAction, Step
from policies.schedule import payable_on
from tests.policies.builders import (
    COMPANY,
    KNOWN_CUSTOMER,
    MONDAY,
    POLICY,
    Holidays,
    at,
    decide_at,
    fees_in,
    invoice,
    reminder_in,
    sent_email,
    statement,
    tasks_in,
)

SATURDAY = date(2026, 6, 13)
GERMAN = replace(KNOWN_CUSTOMER, country="DE")


def preset_policy(name: str, line: str = "") -> ReminderPolicy:
    head = f'[late_fees]\nenabled = true\nterms_agreed_on = 2022-01-31\npreset = "{name}"\n'
    return ReminderPolicy.from_toml(head + line)


def payable_until(
    due_on: date,
    preset: str = "germany",
    customer: Customer = GERMAN,
    calendar: Calendar | None = None,
    line: str = "",
    company_place: str = "",
) -> date:
    """Return the last date on which an invoice due on a day is paid in time."""
    facts = statement(invoice(0, today=due_on), customer=customer)
    facts = replace(facts, company=replace(facts.company, holiday_region=company_place))
    [rolled] = with_payable_dates(facts, preset_policy(preset, line), calendar or HolidayCalendar()).invoices
    return payable_on(rolled)


@pytest.mark.parametrize(
    ("due_on", "expected"),
    [
        (date(2026, 6, 12), date(2026, 6, 12)),  # a Friday
        (SATURDAY, date(2026, 6, 15)),
        (date(2026, 6, 14), date(2026, 6, 15)),
        (date(2026, 4, 3), date(2026, 4, 7)),  # Good Friday: Easter Monday is a holiday as well
        (date(2026, 12, 25), date(2026, 12, 28)),
        (date(2026, 12, 31), date(2026, 12, 31)),  # New Year's Eve is a business day
        (date(2022, 12, 31), date(2023, 1, 2)),  # a Saturday, and the next half-year
        (date(2027, 1, 1), date(2027, 1, 4)),
        (date(2028, 2, 29), date(2028, 2, 29)),  # a Tuesday
        (date(2026, 2, 28), date(2026, 3, 2)),
        (date(2026, 6, 4), date(2026, 6, 5)),  # Corpus Christi, a holiday in some of the states only
    ],
)
def test_germany_what_is_due_on_no_business_day_is_paid_in_time_on_the_next(due_on: date, expected: date) -> None:
    assert payable_until(due_on) == expected


@pytest.mark.parametrize("preset", list(FeePreset))
def test_only_the_presets_that_say_so_move_a_due_date(preset: str) -> None:
    moves = preset in {"germany", "switzerland"}
    assert payable_until(SATURDAY, preset) == (date(2026, 6, 15) if moves else SATURDAY)


@pytest.mark.parametrize(
    ("place", "moves"),
    [("US-NY", True), ("US-CA", True), ("US-TX", False), ("US", False), ("", False), ("DE", False)],
)
def test_in_the_united_states_a_due_date_moves_only_where_the_law_of_the_customers_state_is_known(
    place: str, moves: bool
) -> None:
    customer = replace(KNOWN_CUSTOMER, country=place[:2] or "US", holiday_region=place)
    assert payable_until(SATURDAY, "us", customer=customer) == (date(2026, 6, 15) if moves else SATURDAY)
    everywhere = "due_on_weekend_regions = []"
    assert payable_until(SATURDAY, "us", customer=customer, line=everywhere) == date(2026, 6, 15)


@pytest.mark.parametrize(
    ("place", "company_place", "moves"),
    [
        ("US", "US-NY", True),  # their state is unknown
        ("US", "US-TX", False),
        ("US-TX", "US-NY", False),
        ("US-NY", "US-TX", True),
        ("CA", "US-NY", False),
        ("US", "US", False),
    ],
)
def test_where_the_customers_state_is_unknown_the_companys_own_counts(
    place: str, company_place: str, moves: bool
) -> None:
    customer = replace(KNOWN_CUSTOMER, country=place[:2], holiday_region=place)
    payable_on_monday = date(2026, 6, 15) if moves else SATURDAY
    assert payable_until(SATURDAY, "us", customer=customer, company_place=company_place) == payable_on_monday


def test_the_holidays_of_the_customers_country_count() -> None:
    bastille_day = date(2026, 7, 14)
    assert payable_until(bastille_day) == bastille_day
    assert payable_until(bastille_day, customer=replace(KNOWN_CUSTOMER, country="FR")) == date(2026, 7, 15)


def test_a_holiday_of_one_region_counts_where_the_region_of_the_customer_is_unknown() -> None:
    """Epiphany is a holiday in Bavaria, not in Hamburg."""
    epiphany, next_day = date(2026, 1, 6), date(2026, 1, 7)
    assert payable_until(epiphany) == next_day
    assert payable_until(epiphany, customer=replace(GERMAN, holiday_region="DE-BY")) == next_day
    assert payable_until(epiphany, customer=replace(GERMAN, holiday_region="DE-HH")) == epiphany
    on = date(2026, 6, 10)
    assert payable_until(on, calendar=Holidays(regional={("DE", on): "Feast"})) == date(2026, 6, 11)


def charge_on(of: Invoice, on: date, preset: str = "germany") -> list[tuple[str, str]]:
    """Return period and first line of the fees charged on a day."""
    warned = sent_email(Step.PAST_DUE, on - timedelta(days=10))
    facts = statement(of, now=at(on), past_actions=(warned,), customer=GERMAN)
    decision = decide([facts], preset_policy(preset), at(on), HolidayCalendar())
    return [(fee.period, fee.lines[0].text) for fee in fees_in(decision)]


def test_interest_on_an_invoice_due_on_a_saturday_counts_from_the_monday() -> None:
    """Sections 193 and 288 of the civil code: on Tuesday 14 July it is 29 days late, not 31."""
    debt = invoice(0, today=SATURDAY, total="1000")
    assert charge_on(debt, date(2026, 7, 14)) == []
    moved = "EUR 1,000.00 for 16 days at 10.27 % a year"
    assert charge_on(debt, date(2026, 7, 15)) == [("2026-06", moved)]
    stays = "EUR 1,000.00 for 18 days at 10.15 % a year"
    assert charge_on(debt, date(2026, 7, 13), "eu") == [("2026-06", stays)]


def test_nobody_is_late_on_the_business_day_that_takes_the_place_of_the_due_date() -> None:
    """Due on Good Friday, payable until Tuesday; the first reminder is on day 3 after that, a Friday."""
    debt = invoice(0, today=date(2026, 4, 3), size="large")
    policy = preset_policy("germany")
    sent: dict[Step, date] = {}
    for day in range(20):
        on = date(2026, 4, 1) + timedelta(days=day)
        facts = statement(debt, now=at(on), customer=GERMAN)
        reminder = reminder_in(decide([facts], policy, at(on), HolidayCalendar()))
        if reminder is not None and reminder.send_after is None:
            sent.setdefault(reminder.step, on)
    assert sent[Step.PAST_DUE] == date(2026, 4, 10)


def test_the_reason_says_why_the_days_count_from_later() -> None:
    on = date(2026, 6, 18)
    facts = statement(invoice(0, today=SATURDAY, size="large"), now=at(on), customer=GERMAN)
    [decided] = decide([facts], preset_policy("germany"), at(on), HolidayCalendar()).invoice_decisions
    assert "was due on 15 Jun 2026 (13 Jun 2026 is not a business day), 3 days ago" in decided.reason


@pytest.mark.parametrize(("due_in", "tense"), [(-9, "was"), (-40, "was"), (6, "is")])
def test_days_are_not_counted_in_what_is_read_on_another_day(due_in: int, tense: str) -> None:
    """A forecast is read before its day, and a task until it is completed."""
    debt = invoice(due_in)
    due_on = f"{tense} due on {format_date(MONDAY + timedelta(days=due_in))}"
    foreseen = decide([statement(debt)], POLICY, at(MONDAY), HolidayCalendar(), is_forecast=True)
    tasks = tasks_in(decide_at(statement(debt, customer=replace(KNOWN_CUSTOMER, emails=()))))
    for reason in (foreseen.invoice_decisions[0].reason, *(each.reason for each in tasks)):
        assert due_on in reason
        assert " ago" not in reason
        assert ", in " not in reason


def final_notice(on: date, customer: Customer, *, calendar: Calendar) -> SendReminder:
    """Return the final notice sent on a day about an invoice that has had all emails before."""
    past: list[PastAction] = [
        sent_email(Step.PAST_DUE, on - timedelta(days=40)),
        sent_email(Step.SECOND_NOTICE, on - timedelta(days=30)),
        sent_email(Step.PLAN_OFFER, on - timedelta(days=20)),
    ]
    facts = statement(invoice(-50, today=on), now=at(on), past_actions=tuple(past), customer=customer)
    reminder = reminder_in(decide([facts], ReminderPolicy.default(), at(on), calendar))
    assert reminder is not None
    assert reminder.step is Step.FINAL_NOTICE
    return reminder


@pytest.mark.parametrize(
    ("on", "country", "suspension_on"),
    [
        (date(2026, 6, 10), "DE", date(2026, 6, 25)),  # 15 days after the notice, a Thursday
        (date(2026, 6, 12), "DE", date(2026, 6, 29)),  # not on Saturday 27 June
        (date(2026, 12, 10), "DE", date(2026, 12, 28)),  # not on Christmas Day, nor on the weekend after it
        (date(2026, 6, 29), "FR", date(2026, 7, 15)),  # not on the customer's national holiday
        (date(2026, 9, 18), "FR", date(2026, 10, 5)),  # not on the weekend of 3 October, the company's own holiday
    ],
)
def test_a_final_notice_names_a_business_day_of_customer_and_company(
    on: date, country: str, suspension_on: date
) -> None:
    customer = replace(KNOWN_CUSTOMER, country=country)
    assert COMPANY.country == "DE"
    assert final_notice(on, customer, calendar=HolidayCalendar()).suspension_on == suspension_on
