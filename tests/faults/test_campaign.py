"""A small sample of the fault campaign (`make faults` runs all of it): no violations, and a planted bug is found."""

from __future__ import annotations

import multiprocessing
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.faults.campaign.campaign import Tally, list_jobs, run_job
from tests.faults.campaign.kills import EFFECT_PATH, ROOT
from tests.faults.campaign.planted_bugs import PLANTED, Bug


@pytest.fixture(scope="module")
def tallies() -> list[Tally]:
    """The outcome of the sample, with each of its jobs in a process of its own."""
    seed = 1 if os.environ.get("CI") else datetime.now(UTC).date().toordinal()  # elsewhere other cases each day
    with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
        return [tally for done in pool.map(run_job, list_jobs("sample", seed), chunksize=1) for tally in done]


def test_nothing_happens_twice_or_is_lost_wherever_a_sync_is_broken(tallies: list[Tally]) -> None:
    tried = {tally.group: tally for tally in tallies if not tally.group.startswith("J")}
    assert {group: tally.failures for group, tally in tried.items() if tally.failures} == {}
    assert tried["A"].runs > 20
    assert tried["A, actions"].runs > 1


def test_a_planted_bug_is_found(tallies: list[Tally]) -> None:
    [planted] = [tally for tally in tallies if tally.group.startswith("J")]
    assert planted.failures


@pytest.mark.parametrize("bug", PLANTED, ids=lambda bug: bug.name)
def test_every_planted_bug_replaces_a_function_that_exists(bug: Bug) -> None:
    assert [name for owner, name in bug.targets if not callable(getattr(owner, name, None))] == []


def test_every_path_that_is_killed_exists() -> None:
    assert [path for path in EFFECT_PATH if not Path(ROOT, path).exists()] == []
