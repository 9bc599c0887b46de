"""Runs the fault campaign on all cores and prints its report.

Exits 1 where an invariant is violated, a planted bug is not found, the time was over before everything was tried, or
nothing was tried.

``--size commit`` is what every change has to pass; ``long`` kills at every line of everything. ``--write`` updates the
table of its size in docs/reliability.md.
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
    """Run a campaign, and return the exit code."""
    options = _parse_arguments()
    started_at = time.monotonic()
    tallies: dict[str, Tally] = {}
    selected = [
        _sized(job, options, started_at)
        for job in list_jobs(options.size, options.seed)
        if _is_selected(job, options.only)
    ]
    context = multiprocessing.get_context("fork")
    with context.Pool(options.workers, maxtasksperchild=1) as pool:
        for done in pool.imap_unordered(run_job, selected, chunksize=1):
            for tally in done:
                tallies.setdefault(tally.group, Tally(tally.group)).merge(tally)
                _print_tally(tally)
    parameters = f"size `{options.size}`, seed {options.seed}"
    if options.only:
        parameters += f", {options.only.replace(',', ' and ')} alone"
    if options.thin > 1:
        parameters += f", syncs killed at one line in {options.thin}"
    spent = time.monotonic() - started_at
    stopped = spent >= 60 * options.minutes
    if stopped:
        parameters += f", stopped when its {options.minutes:.0f} minutes were over"
    report = render_table(
        list(tallies.values()), parameters, spent, options.workers, datetime.now(UTC).date().isoformat()
    )
    print(report)
    if options.write:
        write_table(Path("docs/reliability.md"), options.size, report)
    return int(stopped or not tallies or any(_has_failed(tally) for tally in tallies.values()))


def _is_selected(job: Job, only: str) -> bool:
    return any(each in f"{job.kind} {job.label}" for each in only.split(","))


def _sized(job: Job, options: argparse.Namespace, started_at: float) -> Job:
    size = job.size._replace(lines_every=job.size.lines_every * options.thin)
    return job._replace(size=size, until=started_at + 60 * options.minutes)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.campaign", description=__doc__)
    parser.add_argument("--size", choices=list(SIZES), default="commit")
    parser.add_argument("--seed", type=int, default=1, help="the same seed tries the same cases")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--minutes", type=float, default=inf, help="stop after so many minutes, and report it")
    parser.add_argument(
        "--only", default="", help="only jobs whose name contains one of these, like: kills xero,actions"
    )
    parser.add_argument("--thin", type=int, default=1, help="kill syncs only at one line in so many")
    parser.add_argument("--write", action="store_true", help="update the table in docs/reliability.md")
    options = parser.parse_args()
    if options.write and options.size == "sample":
        parser.error("a sample has no table in docs/reliability.md; use --write with another size")
    return options


def _has_failed(tally: Tally) -> bool:
    """Return whether a group has failed: a violation, or a planted bug that was not found."""
    return bool(tally.failures) != tally.group.startswith("J")


def _print_tally(tally: Tally) -> None:
    print(f"{tally.group}: {tally.runs} runs, {tally.cpu_s:.0f} s of work", file=sys.stderr, flush=True)
    if tally.group.startswith("J"):
        return
    for name, violations in tally.failures:
        print(f"VIOLATION {name}", *violations, sep="\n   ", file=sys.stderr, flush=True)


if __name__ == "__main__":
    if platform.system() == "Windows":
        sys.exit("the campaign forks processes, which Windows cannot do")
    sys.exit(main())
