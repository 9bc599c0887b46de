"""What the fleet benchmark makes of the syncs that it has seen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from benchmarks import fleet

START = datetime(2026, 6, 1, 10, tzinfo=UTC)


def test_lateness_counts_from_when_each_company_was_due_and_the_rate_from_the_first() -> None:
    due = {n: START + timedelta(seconds=n) for n in range(100)}
    done = {n: (at + timedelta(seconds=n / 10), at + timedelta(seconds=81), "ok") for n, at in due.items()}
    found = fleet._summarise(due, done | {7: (*done[7][:2], "failed")}, 20.0, 10.0, 90.0, 8)
    assert found.lateness_s == pytest.approx((5.0, 9.5, 9.9))
    assert found.per_hour == pytest.approx(2000)
    assert (found.syncs, found.failed) == (100, 1)
    assert (found.worker_seconds, found.database_seconds) == (0.2, 0.1)
