"""Rechecking: customers are read again right before anything is sent to them, and trusted for a minute."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from connector.connections.pacing import Pacer
from connector.delivery import deliver, recheck
from connector.runtime.run_context import RunContext
from connector.vocabulary import OutboxKind
from tests.connector.scenario import Scenario, days

DAY = timedelta(days=1)


@pytest.mark.parametrize("scenario", ["xero"], indirect=True)
def test_customers_are_rechecked_in_batches_and_trusted_for_a_minute(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliver, "RECHECK_BATCH_SIZE", 2)
    for number in range(5):
        scenario.company.customer(f"C{number} Ltd")
        scenario.company.invoice(f"C{number} Ltd", "100.00", due_on=days(-6))
    scenario.go_live()
    rechecked: list[list[str]] = []
    read_again = recheck.read_again

    def record(ctx: RunContext, customer_ids: Sequence[str], entry_ids: Sequence[int]) -> None:
        rechecked.append(list(customer_ids))
        read_again(ctx, customer_ids, entry_ids)

    monkeypatch.setattr(recheck, "read_again", record)
    scenario.run()
    assert [len(each) for each in rechecked] == [2, 2, 1]
    assert len(scenario.customer_emails()) == 5


@pytest.mark.parametrize(
    "slow", [{"service": "sendgrid"}, {"service": "sendgrid", "kind": "email"}, {"path": "pdf|Online"}]
)
def test_nobody_is_emailed_on_a_reading_older_than_a_minute(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch, slow: dict[str, Any]
) -> None:
    for number in range(4):
        scenario.company.invoice(scenario.company.customer(f"C{number} Ltd"), "100.00", due_on=days(-6))
    scenario.go_live()
    clock, read_again, read_at, ages = (
        scenario.sandbox.clock,
        recheck.read_again,
        dict[str, datetime](),
        list[timedelta](),
    )

    def record(ctx: RunContext, customer_ids: Sequence[str], entry_ids: Sequence[int]) -> None:
        started_at = clock.now()
        read_again(ctx, customer_ids, entry_ids)
        read_at.update(dict.fromkeys(customer_ids, started_at))

    def measure(_request: object) -> None:
        [entry] = scenario.outbox("sending")
        ages.append(clock.now() - read_at[entry.customer_id])

    monkeypatch.setattr(recheck, "read_again", record)
    scenario.sandbox.faults.call(measure, service="sendgrid", kind="email", times=0)
    scenario.sandbox.faults.call(lambda _request: clock.advance(timedelta(seconds=25)), times=0, **slow)
    scenario.run()
    assert len(scenario.customer_emails()) == len(ages) == 4
    assert max(ages) <= timedelta(seconds=60)


FEE_CALLS = {"xero": {"method": "PUT", "path": "/Invoices$"}, "quickbooks": {"method": "POST", "path": "/invoice$"}}


def test_nobody_is_charged_on_a_reading_older_than_a_minute(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario.set_policy('[late_fees]\nenabled = true\napproval = "automatic"\nterms_agreed_on = 2025-01-01\n')
    customer = scenario.company.customer("Ashdown Ltd")
    for _ in range(4):  # all of one customer, who is read again once for all of them
        scenario.company.invoice(customer, "1200.00", due_on=scenario.days_ago(20))
    scenario.go_live()
    scenario.run()
    scenario.pass_days(7)
    clock, read_again, read_at, ages = (
        scenario.sandbox.clock,
        recheck.read_again,
        dict[str, datetime](),
        list[timedelta](),
    )

    def record(ctx: RunContext, customer_ids: Sequence[str], entry_ids: Sequence[int]) -> None:
        started_at = clock.now()
        read_again(ctx, customer_ids, entry_ids)
        read_at.update(dict.fromkeys(customer_ids, started_at))

    def measure(_request: object) -> None:
        [fee] = [entry for entry in scenario.outbox("sending") if entry.kind == OutboxKind.LATE_FEE]
        ages.append(clock.now() - read_at[fee.customer_id])
        clock.advance(timedelta(seconds=25))

    monkeypatch.setattr(recheck, "read_again", record)
    provider = scenario.company.provider
    scenario.sandbox.faults.call(measure, service=provider, times=0, **FEE_CALLS[provider])
    scenario.run()
    assert len(scenario.company.fees()) == len(ages) == 4
    assert max(ages) <= timedelta(seconds=60)


@pytest.mark.parametrize("scenario", ["xero"], indirect=True)
def test_waiting_for_the_limit_of_a_minute_does_not_age_a_reading(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        scenario.company.invoice(scenario.company.customer(f"C{number} Ltd"), "100.00", due_on=days(-6))
    scenario.go_live()
    rechecks = list[int]()

    def wait(_pacer: Pacer, _calls: int) -> None:
        rechecks.append(1)
        scenario.sandbox.clock.advance(timedelta(seconds=62))

    monkeypatch.setattr(Pacer, "wait_for_room", wait)
    scenario.run()
    assert len(scenario.customer_emails()) == 3
    assert len(rechecks) == 1
