"""A provider's calls are shared between a first load, the hourly syncs and pending writes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine
from sqlmodel import Session

from connector.db.tables import Connection
from connector.runtime.budget import DAILY_WRITE_RESERVE, READS_PER_RUN, CallBudget, count_month_reads
from providers.calls import CallKind
from providers.errors import LimitWindow, RateLimited

MORNING = datetime(2026, 6, 10, 7, 30, tzinfo=UTC)
ONE_HOUR = timedelta(hours=1)


@dataclass
class Vendor:
    """A provider with 1,000 calls a day, whose day starts at its own hour, and a connection to it."""

    engine: Engine
    now: datetime = MORNING
    used: int = 0
    day_starts_at: int = 3
    day: int = 0

    def budget(self, connection_id: int = 1, reads_a_month: int | None = None) -> CallBudget:
        with Session(self.engine) as session:
            return CallBudget(session, connection_id, lambda: self.now, monthly_read_limit=reads_a_month)

    def save(self, budget: CallBudget) -> None:
        with Session(self.engine) as session:
            budget.save(session)
            session.commit()

    def call(self, budget: CallBudget, kind: CallKind) -> None:
        budget.before(kind)
        day = (self.now - timedelta(hours=self.day_starts_at)).toordinal()
        self.day, self.used = day, (self.used if day == self.day else 0) + 1
        assert self.used <= 1000, "the vendor would have refused this"
        budget.after(kind, 200, {"X-DayLimit-Remaining": str(1000 - self.used)})

    def read_until_refused(self, budget: CallBudget, most: int) -> int:
        for made in range(most):
            try:
                self.call(budget, CallKind.READ)
            except RateLimited:
                return made
        return most


@pytest.fixture
def vendor(engine: Engine) -> Vendor:
    with Session(engine) as session:
        for number, provider in ((1, "xero"), (2, "quickbooks"), (3, "quickbooks")):
            made = Connection(
                id=number,
                short_name=f"c{number}",
                provider=provider,
                external_id=str(number),
                name="C",
                created_at=MORNING,
            )
            session.add(made)
        session.commit()
    return Vendor(engine)


def test_a_large_first_load_leaves_reads_and_writes_for_later_syncs(vendor: Vendor) -> None:
    read: list[int] = []
    for _hour in range(48):
        budget = vendor.budget()
        read.append(vendor.read_until_refused(budget, 5000 if len(read) < 30 else READS_PER_RUN))
        vendor.call(budget, CallKind.WRITE)
        vendor.save(budget)
        vendor.now += ONE_HOUR
    assert read[0] > 300, "the first load goes fast"
    assert min(read) >= READS_PER_RUN, "no hour goes without"
    assert max(read[1:20]) < read[0]


def test_syncs_are_spaced_out_where_too_few_calls_are_left_for_every_hour(vendor: Vendor) -> None:
    vendor.used, vendor.day = 1000 - DAILY_WRITE_RESERVE - 4 * READS_PER_RUN, (vendor.now - 3 * ONE_HOUR).toordinal()
    budget = vendor.budget()
    assert vendor.read_until_refused(budget, 100) == READS_PER_RUN
    apart = budget.run_spacing()
    assert apart is not None
    assert timedelta(hours=5) < apart < timedelta(hours=9)
    with pytest.raises(RateLimited, match="used its share"):
        budget.before(CallKind.READ)
    budget.before(CallKind.WRITE)


def test_the_monthly_limit_counts_all_companies_of_the_app_and_stops_before_the_provider_does(
    vendor: Vendor,
) -> None:
    for connection_id, reads in ((2, 60), (3, 39)):
        budget = vendor.budget(connection_id, reads_a_month=100)
        for _ in range(reads):
            budget.before(CallKind.READ)
            budget.after(CallKind.READ, 200, {})
        budget.after(CallKind.WRITE, 200, {})
        vendor.save(budget)
    with pytest.raises(RateLimited, match="99 of this month's 100 reads") as refused:
        vendor.budget(2, reads_a_month=100).before(CallKind.READ)
    assert refused.value.retry_at == datetime(2026, 7, 1, tzinfo=UTC)
    vendor.budget(2, reads_a_month=100).before(CallKind.WRITE)
    with Session(vendor.engine) as session:
        assert count_month_reads(session, vendor.now) == {"quickbooks": 99}
    vendor.now = datetime(2026, 7, 1, 0, 0, 1, tzinfo=UTC)
    vendor.budget(2, reads_a_month=100).before(CallKind.READ)


def test_an_app_limit_reached_by_one_company_applies_to_the_others_of_the_same_ledger(vendor: Vendor) -> None:
    budget = vendor.budget(2)
    budget.record_limit(RateLimited("enough", limit=LimitWindow.APP, retry_at=vendor.now + ONE_HOUR))
    vendor.save(budget)
    with pytest.raises(RateLimited):
        vendor.budget(3).before(CallKind.WRITE)
    vendor.budget(1).before(CallKind.READ)
    vendor.now += ONE_HOUR
    vendor.budget(3).before(CallKind.WRITE)


def test_a_sync_may_read_its_own_share_and_half_of_what_no_sync_needs(vendor: Vendor) -> None:
    """1,000 calls are left and 24 syncs to come: 50 are for writes, 8 for each sync, 758 are spare."""
    assert vendor.read_until_refused(vendor.budget(), 5000) == 6 + 758 // 2
