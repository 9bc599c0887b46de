"""Calls keep to a service's limits, whichever process makes them; a rejection for a limit is a line in the log."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Any, NamedTuple

import pytest
from sqlalchemy import select
from sqlmodel import col

from connector.app_context import AppContext
from connector.connections.pacing import PacedCalls, Pacer
from connector.db.engine import reading, writing
from connector.db.tables import KeyValue, SyncLogEntry
from connector.vocabulary import LogKind
from providers.calls import CallKind
from providers.errors import RateLimited
from sandbox.faults import Rule
from tests.connector.scenario import NOON, Scenario

XERO_MINUTE = 60


class Machine(NamedTuple):
    """Opens what paces a company's calls, as another process would; all share one clock."""

    app: AppContext
    clock: list[datetime]

    def pacer(self, connection_id: int = 1, provider: str = "xero") -> Pacer:
        return Pacer(self.app, connection_id, provider)

    def pass_time(self, seconds: float) -> None:
        self.clock[0] += timedelta(seconds=seconds)

    def calls_in_any(self, within_s: float, starts: list[datetime]) -> int:
        """Return the most calls that started within so many seconds."""
        within = timedelta(seconds=within_s)
        return max(bisect_left(starts, at + within) - n for n, at in enumerate(starts))


@pytest.fixture
def machine(either_app: AppContext) -> Machine:
    clock = [NOON]

    def sleep(seconds: float) -> None:
        clock[0] += timedelta(seconds=seconds)

    return Machine(replace(either_app, now=lambda: clock[0], sleep=sleep), clock)


@pytest.mark.parametrize(("provider", "within_s", "allowed"), [("xero", 60, 60), ("quickbooks", 1, 10)])
def test_no_window_of_a_limit_ever_holds_more_calls(
    machine: Machine, provider: str, within_s: float, allowed: int
) -> None:
    random, starts = Random(7), list[datetime]()
    processes = [machine.pacer(provider=provider) for _ in range(3)]
    for _ in range(4 * allowed):
        random.choice(processes).wait_turn()
        starts.append(machine.clock[0])
        machine.pass_time(random.choice([0, 0, within_s / 200, within_s / 20]))
    assert machine.calls_in_any(within_s, starts) <= allowed
    took = (starts[-1] - starts[0]).total_seconds()
    assert took <= 4.8 * within_s, "it waits longer than it has to"


def test_a_minute_of_quickbooks_holds_no_more_than_its_calls(machine: Machine) -> None:
    pacer, starts = machine.pacer(provider="quickbooks"), list[datetime]()
    for _ in range(700):
        pacer.wait_turn()
        starts.append(machine.clock[0])
    assert machine.calls_in_any(60, starts) <= 500


def test_companies_do_not_wait_for_each_other(machine: Machine) -> None:
    for company in range(1, 4):
        for _ in range(XERO_MINUTE - 2):
            machine.pacer(company).wait_turn()
    assert machine.clock[0] == NOON


def test_what_others_have_used_of_the_minute_counts(machine: Machine) -> None:
    pacer = machine.pacer()
    pacer.wait_turn()
    pacer.record_reply(200, {"X-MinLimit-Remaining": "4"})  # of 60, and one was ours
    for _ in range(2):
        pacer.wait_turn()
    assert machine.clock[0] == NOON
    pacer.wait_turn()
    assert machine.clock[0] - NOON >= timedelta(minutes=1)


def test_a_rejection_for_a_limit_holds_the_calls_of_every_process(machine: Machine) -> None:
    pacer = machine.pacer()
    pacer.wait_turn()
    pacer.record_reply(429, {"Retry-After": "17"})
    machine.pacer().wait_turn()
    assert machine.clock[0] - NOON == timedelta(seconds=17)


def test_too_many_calls_at_once_hold_nothing_for_a_minute(machine: Machine) -> None:
    pacer = machine.pacer()
    pacer.wait_turn()
    pacer.record_reply(429, {"X-Rate-Limit-Problem": "concurrent"})  # without Retry-After
    machine.pacer().wait_turn()
    assert machine.clock[0] == NOON


def test_the_end_of_a_daily_limit_is_not_waited_for_here(machine: Machine) -> None:
    pacer = machine.pacer()
    pacer.wait_turn()
    pacer.record_reply(429, {"Retry-After": "43200", "X-Rate-Limit-Problem": "day"})
    pacer.wait_turn()
    assert machine.clock[0] == NOON


def test_a_caller_without_patience_learns_when_to_come_back(machine: Machine) -> None:
    pacer = machine.pacer()
    for _ in range(XERO_MINUTE - 2):
        pacer.wait_turn()
    with pacer.without_waiting(), pytest.raises(RateLimited) as refused:
        pacer.wait_turn()
    assert refused.value.retry_at is not None
    assert timedelta(minutes=1) <= refused.value.retry_at - NOON < timedelta(seconds=62)
    machine.pass_time(62)
    with pacer.without_waiting():
        pacer.wait_turn()


def test_what_belongs_together_starts_only_when_it_can_go_through(machine: Machine) -> None:
    pacer = machine.pacer()
    for _ in range(XERO_MINUTE - 5):
        pacer.wait_turn()
    pacer.wait_for_room(3)
    assert machine.clock[0] == NOON
    pacer.wait_for_room(4)
    began = machine.clock[0]
    assert began > NOON
    for _ in range(4):
        pacer.wait_turn()
    assert machine.clock[0] == began


def test_a_clock_that_is_put_back_holds_nothing_up(machine: Machine) -> None:
    for _ in range(XERO_MINUTE - 2):
        machine.pacer().wait_turn()
    machine.pass_time(-86_400)
    back = machine.clock[0]
    machine.pacer().wait_turn()
    assert machine.clock[0] == back


def test_it_waits_before_it_asks_whether_the_call_may_be_made(machine: Machine) -> None:
    pacer, seen = machine.pacer(), list[datetime]()

    class Asked:
        def before(self, kind: CallKind) -> None:
            seen.append(machine.clock[0])

        after: Callable[..., None] = lambda *_: None

    for _ in range(XERO_MINUTE - 2):
        pacer.wait_turn()
    PacedCalls(Asked(), pacer).before(CallKind.TOKEN)  # sign-in has limits of its own
    PacedCalls(Asked(), pacer).before(CallKind.WRITE)
    assert seen[0] == NOON
    assert seen[1] - NOON >= timedelta(minutes=1)


def test_no_call_waits_for_what_others_write(machine: Machine) -> None:
    if machine.app.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    with writing(machine.app.engine):
        machine.pacer().wait_turn()
    with reading(machine.app.engine) as session:
        assert session.get(KeyValue, (1, "calls")) is not None, "the call was made without its reservation"


def test_a_database_that_fails_keeps_no_call_from_being_made(app: AppContext) -> None:
    with writing(app.engine) as session:
        session.connection().exec_driver_sql("ALTER TABLE key_value RENAME TO elsewhere")
    Pacer(app, 1, "xero").wait_turn()


def test_a_rejection_for_a_limit_is_one_line_in_the_log(late_customer: Scenario) -> None:
    scenario = late_customer
    rule: dict[str, Any] = {
        "service": scenario.company.provider,
        "method": "GET",
        "status": 429,
        "headers": {"Retry-After": "0"},
    }
    scenario.sandbox.faults.add(Rule(action="refuse", times=2, **rule))
    scenario.run()
    with reading(scenario.app.engine) as session:
        warnings = session.scalars(
            select(col(SyncLogEntry.text)).where(col(SyncLogEntry.kind) == LogKind.WARNING)
        ).all()
    assert len([text for text in warnings if "a limit of its calls was reached" in text]) == 1
    assert len(scenario.customer_emails()) == 1
