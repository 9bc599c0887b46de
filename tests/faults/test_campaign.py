"""A small sample of the fault campaign (`make faults` does it all): it holds, and it finds a bug that is planted."""

from __future__ import annotations

import multiprocessing
import os
from datetime import UTC, datetime

import pytest

from tests.faults.campaign.campaign import Tally, list_jobs, run_job


@pytest.fixture(scope="module")
def tallies() -> list[Tally]:
    """What came of the sample, each of its jobs in a process of its own."""
    seed = 1 if os.environ.get("CI") else datetime.now(UTC).date().toordinal()  # elsewhere other cases each day
    with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
        return [tally for done in pool.map(run_job, list_jobs("sample", seed), chunksize=1) for tally in done]


def test_nothing_happens_twice_or_is_lost_wherever_an_hour_is_broken(tallies: list[Tally]) -> None:
    tried = {tally.group: tally for tally in tallies if not tally.group.startswith("J")}
    assert {group: tally.failures for group, tally in tried.items() if tally.failures} == {}
    assert tried["A"].runs > 20
    assert tried["A, acts"].runs > 1


def test_a_planted_bug_is_found(tallies: list[Tally]) -> None:
    [planted] = [tally for tally in tallies if tally.group.startswith("J")]
    assert planted.failures
