"""Many companies on one PostgreSQL and several workers: ``python -m benchmarks.fleet [--companies N] [--workers N]``.

The companies are on simulated ledgers that answer after 200 ms, half of them on Xero and half on QuickBooks, with
open invoices each; a tenth of them gets a payment before each round. The rounds are: all due at once, which shows how
many syncs an hour are possible; due one after the other at a rate, which shows how late they begin; the same with a
worker killed, while it syncs, every two minutes; and the same with each worker stopped and started again in turn.
That no effect is doubled or lost under kills is shown elsewhere (``tests.faults.workers``). The floor is the
processor time of the same sync in a process without queue and threads.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import signal
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from multiprocessing import RawValue
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import text

from connector.run import run_connection
from connector.server.scheduler import POLL_SECONDS
from sandbox.faults import Action, Rule
from tests.faults.workers import Fleet, Worker, Zygote, end_worker, started_fleet

NAMES = ("Ashdown", "Birch", "Cedar", "Dunmore", "Elder", "Fernhill")  # of each company's customers
LATENCY_S = 0.2
_TICKS = os.sysconf("SC_CLK_TCK")
_GIVE_UP_S = 900.0


class Round(NamedTuple):
    """What a round showed; lateness in seconds, processor time in seconds for each sync."""

    syncs: int
    per_hour: float
    lateness_s: tuple[float, float, float]
    worker_seconds: float
    database_seconds: float
    worker_mib: float
    connections: int
    failed: int


class Workers:
    """The workers of a round, and the processor seconds of those that have ended."""

    def __init__(self, fleet: Fleet, zygote: Zygote, count: int) -> None:
        """Start so many."""
        self._fleet, self._zygote = fleet, zygote
        self.running = [fleet.start_worker(zygote) for _ in range(count)]
        self._ended_s = 0.0

    def replace(self, number: signal.Signals) -> bool:
        """End one by a signal, and start another; return whether it was done: one to be killed has to be syncing."""
        look = self._fleet.look()
        ready = [each for each in self.running if number != signal.SIGKILL or look.is_syncing(each)]
        for oldest in ready[:1]:
            self._ended_s += _seconds(oldest.process_id)
            os.kill(oldest.process_id, number)
            self.running.remove(oldest)
            self.running.append(self._fleet.start_worker(self._zygote))
        return bool(ready)

    def seconds(self) -> float:
        """Return the processor seconds of all until now."""
        return self._ended_s + sum(_seconds(each.process_id) for each in self.running)


def main() -> int:
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--companies", type=int, default=100)
    parser.add_argument("--invoices", type=int, default=60, help="open invoices of each company")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=4, help="syncs that a worker makes at the same time")
    parser.add_argument("--per-hour", type=float, default=10_000, help="how many companies come due in an hour")
    parser.add_argument("--kill-every", type=float, default=120.0, help="seconds between two kills")
    asked = parser.parse_args()
    offset = RawValue("d", 0.0)
    # First: a process with threads must not be forked.
    zygote = Zygote(offset, threads=asked.threads, poll_seconds=POLL_SECONDS)
    with started_fleet(asked.companies, 1, offset) as fleet:
        alone = _prepare(fleet, asked.invoices)
        spread_s = 3600 / asked.per_hour * asked.companies
        kills = [n * asked.kill_every for n in range(1, int(spread_s / asked.kill_every + 0.5))] or [spread_s / 2]
        restarts = [spread_s * n / (asked.workers + 1) for n in range(1, asked.workers + 1)]
        rounds: dict[str, Round] = {}
        for title, spread, at, number in (
            ("all due at once", 0.0, [], signal.SIGTERM),
            ("due one by one", spread_s, [], signal.SIGTERM),
            (f"the same, {len(kills)} × a worker killed", spread_s, kills, signal.SIGKILL),
            ("the same, rolling restart", spread_s, restarts, signal.SIGTERM),
        ):
            rounds[title] = _measure(fleet, Workers(fleet, zygote, asked.workers), spread, at, number)
    zygote.stop()
    _report(asked, rounds, alone)
    return int(any(each.failed or each.syncs < asked.companies for each in rounds.values()))


def _prepare(fleet: Fleet, invoices: int) -> float:
    """Enter each company's invoices and sync it twice in this process; return the mean processor time of the second."""
    for company in fleet.companies:
        names = [company.customer(f"{name} Ltd") for name in NAMES]
        today = fleet.sandbox.clock.now().date()
        for number in range(invoices):
            due_on = today + timedelta(days=20 + number % 40)
            company.invoice(names[number % len(names)], f"{100 + number}.00", on=today, due_on=due_on)
    seconds = []
    for n, connection in enumerate(_connections(fleet)):
        run_connection(fleet.app, connection)
        _pay_one_in_ten(fleet, n)
        began = time.thread_time()
        run_connection(fleet.app, connection)
        seconds.append(time.thread_time() - began)
        _show(f"\rfirst syncs: {n + 1}")
    fleet.sandbox.faults.add(Rule(Action.DELAY, times=0, seconds=LATENCY_S))
    return statistics.mean(seconds)


def _pay_one_in_ten(fleet: Fleet, place: int) -> None:
    if place % 10 == 0:
        company = fleet.companies[place]
        company.pay(company.numbers[-1], "1.00", on=fleet.sandbox.clock.now().date())


def _connections(fleet: Fleet) -> list[int]:
    with fleet.app.engine.connect() as database:
        return [row[0] for row in database.execute(text("SELECT id FROM connection ORDER BY id"))]


def _measure(
    fleet: Fleet, workers: Workers, spread_s: float, replaced_at_s: Sequence[float], number: signal.Signals
) -> Round:
    time.sleep(5)  # they connect to the queue
    connections = _connections(fleet)
    for place in range(len(connections)):
        _pay_one_in_ten(fleet, place)
    database_before, worker_before = _database_seconds(fleet), workers.seconds()
    began = fleet.app.now() + timedelta(seconds=1)
    due = {each: began + timedelta(seconds=spread_s * n / len(connections)) for n, each in enumerate(connections)}
    with fleet.app.engine.begin() as database:
        for connection, at in due.items():
            query = "UPDATE connection SET next_run_at = :at WHERE id = :id"
            database.execute(text(query), {"at": at, "id": connection})
    peak, to_replace, started_at = 0, list(replaced_at_s), time.monotonic()
    done: dict[int, tuple[datetime, datetime, str]] = {}
    while len(done) < len(due) and time.monotonic() < started_at + spread_s + _GIVE_UP_S:
        time.sleep(0.2)
        done, peak = _runs(fleet, due), max(peak, _database_connections(fleet))
        if to_replace and time.monotonic() > started_at + to_replace[0] and workers.replace(number):
            to_replace.pop(0)
        _show(f"\rsyncs: {len(done)}")
    mib = max(_peak_mib(each) for each in workers.running)
    worker_seconds, database_seconds = workers.seconds() - worker_before, _database_seconds(fleet) - database_before
    found = _summarise(due, done, worker_seconds, database_seconds, mib, peak)
    for each in workers.running:
        end_worker(each.process_id)  # what it still syncs would change when its company is due next
    return found


def _runs(fleet: Fleet, due: dict[int, datetime]) -> dict[int, tuple[datetime, datetime, str]]:
    """Return when the first sync since it was due began and ended, by connection, of those that have ended."""
    query = text(
        "SELECT connection_id, started_at, ended_at, outcome FROM sync_run WHERE started_at >= :since"
        " AND ended_at IS NOT NULL AND reason NOT LIKE 'interrupted%' ORDER BY id DESC"
    )
    with fleet.app.engine.connect() as database:
        rows = database.execute(query, {"since": min(due.values())}).all()
    return {row[0]: (row[1], row[2], row[3]) for row in rows if row[1] >= due[row[0]]}


def _summarise(
    due: dict[int, datetime],
    done: dict[int, tuple[datetime, datetime, str]],
    worker_seconds: float,
    database_seconds: float,
    mib: float,
    connections: int,
) -> Round:
    late = sorted((began - due[each]).total_seconds() for each, (began, _ended, _outcome) in done.items())
    took_s = (max(ended for _began, ended, _outcome in done.values()) - min(due.values())).total_seconds()
    p50, p95, p99 = (late[min(int(share * len(late)), len(late) - 1)] for share in (0.5, 0.95, 0.99))
    return Round(
        syncs=len(done),
        per_hour=3600 * len(done) / took_s,
        lateness_s=(p50, p95, p99),
        worker_seconds=worker_seconds / len(done),
        database_seconds=database_seconds / len(done),
        worker_mib=mib,
        connections=connections,
        failed=sum(outcome not in {"ok", "deferred"} for _began, _ended, outcome in done.values()),
    )


def _seconds(process_id: int, *, with_children: bool = False) -> float:
    fields = Path(f"/proc/{process_id}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return sum(map(int, fields[11 : 15 if with_children else 13])) / _TICKS


def _database_seconds(fleet: Fleet) -> float:
    """Return the processor time of the server and of its processes, those that have ended included."""
    with fleet.app.engine.connect() as database:
        own = database.execute(text("SELECT pg_backend_pid()")).scalar_one()
    parent = int(Path(f"/proc/{own}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[1])
    found = _seconds(parent, with_children=True)
    for each in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(each.read_text(encoding="ascii").rpartition(")")[2].split()[1]) == parent:
                found += _seconds(int(each.parent.name))
        except (OSError, IndexError):  # it has just ended
            continue
    return found


def _database_connections(fleet: Fleet) -> int:
    with fleet.app.engine.connect() as database:
        query = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
        return int(database.execute(text(query)).scalar_one())


def _peak_mib(worker: Worker) -> float:
    status = Path(f"/proc/{worker.process_id}/status").read_text(encoding="ascii")
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 1024


def _report(asked: Any, rounds: dict[str, Round], alone: float, report: Callable[[str], object] = print) -> None:
    report(
        f"{datetime.now(UTC):%d %b %Y}, Python {platform.python_version()}, {platform.machine()},"
        f" {os.cpu_count()} cores, load {os.getloadavg()[0]:.0f}:"
        f" {asked.companies} companies with {asked.invoices} open invoices,"
        f" {asked.workers} workers with {asked.threads} threads; one by one means {asked.per_hour:,.0f} an hour\n"
    )
    report(f"| figure | {' | '.join(rounds)} |\n|---|{'---|' * len(rounds)}")
    rows: dict[str, Callable[[Round], str]] = {
        "syncs": lambda each: f"{each.syncs}",
        "companies per hour": lambda each: f"{each.per_hour:,.0f}",
        "lateness p50, p95, p99": lambda each: ", ".join(f"{late:.1f} s" for late in each.lateness_s),
        "processor time per sync, workers": lambda each: f"{each.worker_seconds:.3f} s",
        "  beside the same sync alone": lambda each: f"{each.worker_seconds / alone:.2f} ×",
        "processor time per sync, database": lambda each: f"{each.database_seconds:.3f} s",
        "peak memory of a worker": lambda each: f"{each.worker_mib:.0f} MiB",
        "connections to the database": lambda each: f"{each.connections}",
        "syncs that failed": lambda each: f"{each.failed}",
    }
    for title, format_value in rows.items():
        report(f"| {title.strip()} | {' | '.join(map(format_value, rounds.values()))} |")


def _show(progress: str) -> None:
    sys.stderr.write(progress)


if __name__ == "__main__":
    sys.exit(main())
