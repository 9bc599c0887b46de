"""The lease of a connection: who may run it, when it is due, and what a wrong clock cannot do."""

from __future__ import annotations

import socket
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from connector.app_context import AppContext
from connector.db.engine import reading, writing
from connector.db.tables import Connection
from connector.runtime import lease
from connector.runtime.lease import CLOCK_SKEW, LEASE_DURATION, MAX_RUN_DELAY, LeaseLost, RunInProgress
from tests.connector.installed import NOW, GiveConsent

SECOND = timedelta(seconds=1)


@pytest.fixture
def company(app: AppContext, give_consent: GiveConsent) -> int:
    [connection] = give_consent(app, "quickbooks")
    return connection.id or 0


@pytest.fixture
def frozen(app: AppContext) -> AppContext:
    """The installation with a clock that stands still."""
    return replace(app, now=lambda: NOW)


def at_instant(app: AppContext, at: datetime) -> AppContext:
    return replace(app, now=lambda: at)


def change(app: AppContext, company: int, **values: object) -> None:
    with writing(app.engine) as session:
        row = session.get_one(Connection, company)
        for name, value in values.items():
            setattr(row, name, value)


def stored(app: AppContext, company: int) -> Connection:
    with reading(app.engine) as session:
        return session.get_one(Connection, company)


def is_due(app: AppContext) -> bool:
    with reading(app.engine) as session:
        return bool(lease.list_due(session, NOW, 10, home=app.settings.duewell_home))


@pytest.mark.parametrize(
    ("next_run_at", "due"),
    [
        (None, True),
        (NOW, True),
        (NOW + SECOND, False),
        (NOW + MAX_RUN_DELAY, False),
        (NOW + MAX_RUN_DELAY + SECOND, True),  # planned by a wrong clock
    ],
)
def test_a_company_is_due_at_its_time_or_where_a_wrong_clock_planned_it(
    frozen: AppContext, company: int, next_run_at: datetime | None, *, due: bool
) -> None:
    change(frozen, company, next_run_at=next_run_at)
    assert is_due(frozen) is due


@pytest.mark.parametrize(
    ("time_zone", "days", "due"),
    [
        ("Pacific/Kiritimati", 1, True),  # where it is midnight, of the next day
        ("Pacific/Kiritimati", 2, False),
        ("Pacific/Pago_Pago", 0, False),  # where it is 23:00 of the day before
        ("Pacific/Pago_Pago", -1, True),
    ],
)
def test_a_pause_ends_with_the_day_in_the_companys_time_zone(
    frozen: AppContext, company: int, time_zone: str, days: int, *, due: bool
) -> None:
    until_on = NOW.date() + timedelta(days=days)
    change(frozen, company, next_run_at=None, pause_reason="audit", paused_until_on=until_on, time_zone=time_zone)
    assert is_due(frozen) is due


def test_a_company_is_due_once_in_each_interval_always_at_the_same_second(frozen: AppContext, company: int) -> None:
    row, interval = stored(frozen, company), timedelta(minutes=frozen.settings.duewell_interval_minutes)
    slot = lease.next_run_slot(frozen, row)
    assert NOW < slot <= NOW + interval
    for at, due_at in ((slot - SECOND, slot), (slot, slot + interval), (slot + 24 * interval, slot + 25 * interval)):
        assert lease.next_run_slot(at_instant(frozen, at), row) == due_at


def test_no_interval_that_can_be_set_is_taken_for_a_wrong_clock() -> None:
    longest = timedelta(minutes=7 * 24 * 60)
    assert longest < MAX_RUN_DELAY <= longest + timedelta(days=1)


@pytest.mark.parametrize(
    ("until_at", "free"),
    [
        (None, True),
        (NOW - SECOND, True),
        (NOW + SECOND, False),
        (NOW + LEASE_DURATION + CLOCK_SKEW, False),
        (NOW + LEASE_DURATION + CLOCK_SKEW + SECOND, True),  # taken by a wrong clock
    ],
)
@pytest.mark.parametrize("owner", ["elsewhere:1", f"{socket.gethostname()}/other folder:1"])
def test_a_lease_of_another_machine_holds_until_it_expires(
    frozen: AppContext, company: int, owner: str, until_at: datetime | None, *, free: bool
) -> None:
    change(frozen, company, lease_until_at=until_at, lease_owner=owner, next_run_at=None)
    assert is_due(frozen) is free
    try:
        with lease.acquire(frozen, company):
            acquired = True
    except RunInProgress as busy:
        assert f"is being run by {owner}" in str(busy)  # noqa: PT017 - either outcome is right
        acquired = False
    assert acquired is free


def test_a_dead_process_of_this_machine_is_taken_over_at_once(frozen: AppContext, company: int) -> None:
    here = lease.lease_owner(frozen.settings.duewell_home).rpartition(":")[0]
    change(frozen, company, lease_until_at=NOW + LEASE_DURATION, lease_owner=f"{here}:1")
    before = stored(frozen, company).fence
    with lease.acquire(frozen, company) as held:
        assert held.fence == before + 1
        with pytest.raises(RunInProgress), lease.acquire(frozen, company):
            pass
    after = stored(frozen, company)
    assert (after.lease_until_at, after.lease_owner, after.fence) == (None, "", before + 1)


def test_the_former_owner_can_neither_renew_nor_release(frozen: AppContext, company: int) -> None:
    with lease.acquire(frozen, company) as held:
        change(frozen, company, fence=held.fence + 1, lease_owner="elsewhere:1", lease_until_at=NOW + LEASE_DURATION)
        with writing(frozen.engine) as session:
            with pytest.raises(LeaseLost, match="taken over by another worker"):
                held.renew(session)
            with pytest.raises(LeaseLost):
                held.check(session)
    assert stored(frozen, company).lease_owner == "elsewhere:1"


def test_renewing_extends_the_lease_from_now(frozen: AppContext, company: int) -> None:
    with lease.acquire(frozen, company) as held:
        later = replace(held, app=replace(frozen, now=lambda: NOW + timedelta(minutes=3)))
        with writing(frozen.engine) as session:
            later.renew(session)
        assert stored(frozen, company).lease_until_at == NOW + timedelta(minutes=13)
