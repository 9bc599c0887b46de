"""How many calls a day's emails take, counted at simulated services that keep their limits strictly."""

from __future__ import annotations

import os
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from benchmarks.calls import MIDNIGHT, MORNING_SYNC, describe, late_company
from connector.vocabulary import OutboxKind

EMAILS = 40
PER_EMAIL_MAX = {"xero": 1.5, "quickbooks": 0.25}  # with the reading before it and its note
DAYS = int(os.environ.get("LIMIT_DAYS", "1"))  # `make ninety` simulates ninety


@pytest.mark.parametrize("provider", PER_EMAIL_MAX)
def test_a_mornings_emails_take_few_calls_and_are_not_held_up(provider: str, tmp_path: Path) -> None:
    with late_company(provider, EMAILS, 1, tmp_path / "home") as company:
        company.scenario.go_live()
        company.scenario.sandbox.clock.set(MIDNIGHT)  # from now on the day's emails are planned
        night = company.sync_hourly_until(MORNING_SYNC, syncs_max=2)
        morning = company.sync()
        notes = [entry for entry in company.scenario.outbox("done") if entry.kind == OutboxKind.NOTE]
    assert (morning.emails, len(notes)) == (EMAILS, EMAILS)
    assert len(morning.to_ledger) <= PER_EMAIL_MAX[provider] * EMAILS
    assert morning.lookups_at_sendgrid == 4
    assert morning.waited_s < 60
    assert sum(sync.rejected for sync in [*night, morning]) == 0
    assert all(
        email.attachments for email in company.scenario.sandbox.sendgrid.emails_to("accounts@customer000.example")
    )
    got = Counter(f"{describe(one)} {one.path}" for sync in [*night, morning] for one in sync.to_ledger)
    documents = {name: count for name, count in got.items() if "/OnlineInvoice" in name or "/pdf" in name}
    assert set(documents.values()) <= {1}, "each is got once"


def test_a_first_morning_with_little_prepared_is_free_of_rejections(tmp_path: Path) -> None:
    with late_company("xero", EMAILS, 1, tmp_path / "home") as company:
        company.scenario.go_live()
        company.scenario.sandbox.clock.set(MORNING_SYNC)
        morning = company.sync()
    assert morning.emails == EMAILS
    assert morning.rejected == 0
    assert morning.waited_s < 60


@pytest.mark.parametrize("provider", PER_EMAIL_MAX)
def test_no_call_of_a_busy_company_is_rejected_for_a_limit_in_days_of_hourly_syncs(
    provider: str, tmp_path: Path
) -> None:
    """At the limits of Xero's Starter tier, a thousand calls a day; new invoices fall due every day."""
    with late_company(provider, 4, 3, tmp_path / "home") as company:
        scenario, emails = company.scenario, 0
        scenario.go_live()
        for day in range(1, DAYS + 1):
            name = scenario.company.customer(f"New{day} Ltd")
            scenario.company.invoice(name, f"{200 + day}.00", due_on=scenario.today - timedelta(days=4))
            paid = scenario.company.numbers[day % len(scenario.company.numbers)]
            if scenario.company.open_balances().get(paid):
                scenario.company.pay(paid)
            syncs = company.sync_hourly_until(MORNING_SYNC + timedelta(days=day))
            emails += sum(sync.emails for sync in syncs)
            assert sum(sync.rejected for sync in syncs) == 0
            assert sum(len(sync.to_ledger) for sync in syncs) < 1000
    assert emails >= 4
