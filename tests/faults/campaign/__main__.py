"""Runs the fault campaign on all cores and says what came of it.

Exits 1 where anything does not hold, where its time was over before all was tried, and where nothing was tried.

``--size commit`` is what every change has to pass, ``long`` kills at every line of everything; ``--write`` puts the
table of its size into docs/reliability.md.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import sys
import time
from datetime import UTC, datetime
from math import inf
from pathlib import Path

from tests.faults.campaign.campaign import SIZES, Job, Tally, list_jobs, run_job
from tests.faults.campaign.report import render_table, write_table


def main() -> int:
    """Run a campaign; return the exit code."""
    asked = _parse_arguments()
    began = time.monotonic()
    tallies: dict[str, Tally] = {}
    wanted = [_sized(job, asked, began) for job in list_jobs(asked.size, asked.seed) if _is_selected(job, asked.only)]
    context = multiprocessing.get_context("fork")
    with context.Pool(asked.workers, maxtasksperchild=1) as pool:
        for done in pool.imap_unordered(run_job, wanted, chunksize=1):
            for tally in done:
                tallies.setdefault(tally.group, Tally(tally.group)).merge(tally)
                _print_tally(tally)
    how = f"size `{asked.size}`, seed {asked.seed}"
    if asked.only:
        how += f", {asked.only.replace(',', ' and ')} alone"
    if asked.thin > 1:
        how += f", hours killed at one line in {asked.thin}"
    spent = time.monotonic() - began
    stopped = spent >= 60 * asked.minutes
    if stopped:
        how += f", stopped when its {asked.minutes:.0f} minutes were over"
    said = render_table(list(tallies.values()), how, spent, asked.workers, datetime.now(UTC).date().isoformat())
    print(said)
    if asked.write:
        write_table(Path("docs/reliability.md"), asked.size, said)
    return int(stopped or not tallies or any(_has_failed(tally) for tally in tallies.values()))


def _is_selected(job: Job, only: str) -> bool:
    return any(each in f"{job.kind} {job.provider} {job.subject}" for each in only.split(","))


def _sized(job: Job, asked: argparse.Namespace, began: float) -> Job:
    size = job.size._replace(lines_every=job.size.lines_every * asked.thin)
    return job._replace(size=size, until=began + 60 * asked.minutes)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.campaign", description=__doc__)
    parser.add_argument("--size", choices=list(SIZES), default="commit")
    parser.add_argument("--seed", type=int, default=1, help="the same seed tries the same cases")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--minutes", type=float, default=inf, help="stop after so many, and say so")
    parser.add_argument("--only", default="", help="only jobs whose name contains one of these, like: kills xero,acts")
    parser.add_argument("--thin", type=int, default=1, help="kill hours at one line in so many")
    parser.add_argument("--write", action="store_true", help="put the table into docs/reliability.md")
    asked = parser.parse_args()
    if asked.write and asked.size == "sample":
        parser.error("a sample has no table in docs/reliability.md; leave --write out")
    return asked


def _has_failed(tally: Tally) -> bool:
    """Tell whether a group says that something is wrong: a violation, or a planted bug that was not found."""
    return bool(tally.failures) != tally.group.startswith("J")


def _print_tally(tally: Tally) -> None:
    print(f"{tally.group}: {tally.runs} runs, {tally.cpu_s:.0f} s of work", file=sys.stderr, flush=True)
    if tally.group.startswith("J"):
        return
    for name, violations in tally.failures:
        print(f"WRONG {name}", *violations, sep="\n   ", file=sys.stderr, flush=True)


if __name__ == "__main__":
    if platform.system() == "Windows":
        sys.exit("the campaign forks, which Windows cannot")
    sys.exit(main())
