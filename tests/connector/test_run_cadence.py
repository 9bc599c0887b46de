"""How often the job runs changes nothing: hourly, daily and every five minutes give the same mails, notes and fees."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

LEDGERS = ("xero", "quickbooks")
POLICY = """
[late_fees]
enabled = true
approval = "automatic"
terms_agreed_on = 2025-01-01
"""
# `make ninety` lives all ninety days at every cadence (26,000 runs and more for each ledger, most of an hour); everyday
# tests live four days of hours, over the change of the clocks, and a day's business hours of five minutes.
HOURLY_DAYS = int(os.environ.get("HOURLY_DAYS", "4"))
FIVE_MINUTES_DAYS = float(os.environ.get("FIVE_MINUTES_DAYS", "0.35"))
START = datetime(2026, 3, 26, 11, 0, tzinfo=UTC)  # three days before the clocks change in London
EVENING = timedelta(hours=11)  # the bookkeeper works at 22:00 UTC, when no mail leaves anywhere


def simulate_day(scenario: Any, day: int) -> None:
    """Let a day's evening happen in the books: new invoices, payments in full and in part, a void, a credit."""
    books = scenario.company
    today = scenario.sandbox.clock.now().date()
    if day % 6 == 0:
        name = books.customer(f"Customer{day} Ltd")
        books.invoice(name, f"{300 + 70 * day}.00", on=today, due_on=today + timedelta(days=(14, 30, 7)[day % 3]))
        books.invoice(name, f"{100 + day}.50", on=today - timedelta(days=20), due_on=today - timedelta(days=day % 5))
    dues = books.open_balances()
    unpaid = [number for number in books.numbers if dues.get(number)]
    if day % 4 == 1 and dues.get(unpaid[0], 0) > 50:
        books.pay(unpaid[0], "50.00")
    if day % 5 == 2 and len(unpaid) > 3:
        books.pay(unpaid[2])
    if day == 31:
        books.void(unpaid[-1])
    if day == 40:
        books.credit("Customer0 Ltd", "25.00")


def simulate(scenario: Any, every: timedelta, days: float) -> dict[str, Any]:
    """Live some days with a run every so often, and give what left: mails with their day, notes, fees."""
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
        assert result.outcome == "ok", result.reason
        run_at += every
    own = scenario.app.settings.mail_from
    mails = [mail for mail in scenario.sandbox.sendgrid.emails() if own not in mail.to]
    return {
        "mails": sorted((mail.custom_args["duewell_key"], mail.subject, mail.at.date()) for mail in mails),
        "notes": {number: sorted(scenario.company.notes(number)) for number in scenario.company.numbers},
        "fees": sorted(scenario.company.fees()),
    }


@pytest.fixture
def simulation(tmp_path: Path, scenario_at: Any) -> Any:
    def live(provider: str, every: timedelta, days: float) -> dict[str, Any]:
        with scenario_at(START, provider) as scenario:
            scenario.sandbox.xero.limits.minute = scenario.sandbox.xero.limits.day = 0  # not what this is about
            return simulate(scenario, every, days)

    return live


@pytest.mark.parametrize("provider", LEDGERS)
def test_days_run_hourly_and_daily_give_the_same_mails_notes_and_fees(simulation: Any, provider: str) -> None:
    daily = simulation(provider, timedelta(days=1), HOURLY_DAYS)
    hourly = simulation(provider, timedelta(hours=1), HOURLY_DAYS)
    assert len(daily["mails"]) >= 2
    assert hourly == daily


@pytest.mark.parametrize("provider", LEDGERS)
def test_a_run_every_five_minutes_gives_the_same_mails_notes_and_fees_as_one_a_day(
    simulation: Any, provider: str
) -> None:
    daily = simulation(provider, timedelta(days=1), FIVE_MINUTES_DAYS)
    assert daily["mails"]
    assert daily["fees"] or FIVE_MINUTES_DAYS < HOURLY_DAYS
    assert simulation(provider, timedelta(minutes=5), FIVE_MINUTES_DAYS) == daily
