"""How often syncs run changes nothing: hourly, daily and every five minutes give the same emails, notes and fees."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

import pytest

from connector.vocabulary import RunOutcome
from tests.connector.scenario import Scenario, ScenarioFactory

LEDGERS = ("xero", "quickbooks")
POLICY = """
[late_fees]
enabled = true
approval = "automatic"
terms_agreed_on = 2025-01-01
"""
# `make ninety` simulates ninety days at every cadence (26,000 runs and more for each ledger, most of an hour); these
# tests simulate four days of hourly runs, over the change of the clocks, and five hours of runs every five minutes.
HOURLY_DAYS = int(os.environ.get("HOURLY_DAYS", "4"))
FIVE_MINUTES_DAYS = float(os.environ.get("FIVE_MINUTES_DAYS", "0.2"))
START = datetime(2026, 3, 26, 11, 0, tzinfo=UTC)  # three days before the clocks change in London
EVENING = timedelta(hours=11)  # the bookkeeper works at 22:00 UTC, when no email is sent anywhere


class Sent(NamedTuple):
    """What the services have got; emails with their key, subject and date."""

    emails: list[tuple[str, str, date]]
    notes: dict[str, list[str]]
    fees: list[str]


Simulation = Callable[[str, timedelta, float], Sent]


def simulate_day(scenario: Scenario, day: int) -> None:
    """Enter a day's changes in the ledger: new invoices, payments in full and in part, a voided one, a credit."""
    company = scenario.company
    today = scenario.sandbox.clock.now().date()
    if day % 6 == 0:
        name = company.customer(f"Customer{day} Ltd")
        company.invoice(name, f"{300 + 70 * day}.00", on=today, due_on=today + timedelta(days=(14, 30, 7)[day % 3]))
        company.invoice(name, f"{100 + day}.50", on=today - timedelta(days=20), due_on=today - timedelta(days=day % 5))
    balances = company.open_balances()
    unpaid = [number for number in company.numbers if balances.get(number)]
    if day % 4 == 1 and balances.get(unpaid[0], 0) > 50:
        company.pay(unpaid[0], "50.00")
    if day % 5 == 2 and len(unpaid) > 3:
        company.pay(unpaid[2])
    if day == 31:
        company.void(unpaid[-1])
    if day == 40:
        company.credit("Customer0 Ltd", "25.00")


def simulate(scenario: Scenario, every: timedelta, days: float) -> Sent:
    """Simulate some days with a run every so often, and return what was sent."""
    clock = scenario.sandbox.clock
    simulate_day(scenario, 0)
    scenario.go_live()
    scenario.set_policy(POLICY)
    run_at, evening = clock.now(), 1
    end = run_at + timedelta(days=days)
    while run_at <= end:
        while START + timedelta(days=evening - 1) + EVENING <= run_at:
            clock.set(START + timedelta(days=evening - 1) + EVENING)
            simulate_day(scenario, evening)
            evening += 1
        clock.set(run_at)
        result = scenario.run()
        assert result.outcome is RunOutcome.OK, result.reason
        run_at += every
    own = scenario.app.settings.mail_from
    emails = [email for email in scenario.sandbox.sendgrid.emails() if own not in email.to]
    return Sent(
        emails=sorted((email.custom_args["duewell_key"], email.subject, email.at.date()) for email in emails),
        notes={number: sorted(scenario.company.notes(number)) for number in scenario.company.numbers},
        fees=sorted(scenario.company.fees()),
    )


@pytest.fixture
def simulation(scenario_at: ScenarioFactory) -> Simulation:
    def simulate_from_start(provider: str, every: timedelta, days: float) -> Sent:
        with scenario_at(START, provider) as scenario:
            scenario.sandbox.xero.limits.minute = scenario.sandbox.xero.limits.day = 0  # not what this is about
            return simulate(scenario, every, days)

    return simulate_from_start


@pytest.mark.parametrize("provider", LEDGERS)
def test_hourly_and_daily_runs_give_the_same_emails_notes_and_fees(simulation: Simulation, provider: str) -> None:
    daily = simulation(provider, timedelta(days=1), HOURLY_DAYS)
    hourly = simulation(provider, timedelta(hours=1), HOURLY_DAYS)
    assert len(daily.emails) >= 2
    assert hourly == daily


@pytest.mark.parametrize("provider", LEDGERS)
def test_runs_every_five_minutes_and_daily_runs_give_the_same_emails_notes_and_fees(
    simulation: Simulation, provider: str
) -> None:
    daily = simulation(provider, timedelta(days=1), FIVE_MINUTES_DAYS)
    assert daily.emails
    assert daily.fees or FIVE_MINUTES_DAYS < HOURLY_DAYS
    assert simulation(provider, timedelta(minutes=5), FIVE_MINUTES_DAYS) == daily
