"""A small world to break: two companies at the vendors of one ledger, one duewell, and the eve of a day of work.

Everything that survives a killed process is in one folder (the database with its write-ahead log) and in the vendors.
``move`` copies that folder as it lies on the disk at this moment, which is what SIGKILL leaves, and goes on there.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event

from connector.app_context import AppContext
from connector.connections.registry import set_mode
from connector.db import engine as db_engine
from connector.db.engine import reading
from connector.run import RunResult, run_connection
from connector.secrets.keyring import Keyring
from connector.services import fees
from connector.vocabulary import ConnectionMode, RunOutcome
from providers.http import TransportLimits
from sandbox import Sandbox
from tests.connector.scenario import SandboxCompany, Scenario, make_scenario
from tests.faults.campaign.in_process import InProcessServices

START = datetime(2026, 6, 1, 11, 0, tzinfo=UTC)  # a Monday, noon in London
LEDGERS = ("xero", "quickbooks")
_SANDBOX_URL = "http://127.0.0.1:9"  # never reached: the services answer in this process
POLICY = """
[late_fees]
enabled = true
approval = "automatic"
terms_agreed_on = 2025-01-01
"""
STALE_AFTER = timedelta(minutes=61)  # what changed is older than what every hour reads again; the token has ended
FEE_DAYS = 7  # after the first mail


class _Stop:
    """The event by which a program is asked to end; waiting for it moves the make-believe clock."""

    def __init__(self, clock: Any) -> None:
        self._clock = clock

    def is_set(self) -> bool:
        return False

    def wait(self, timeout: float | None = None) -> bool:
        self._clock.advance(timedelta(seconds=timeout or 0))
        return False


@dataclass
class World:
    """A duewell with two companies; ``books`` is the one whose hour is broken, ``neighbour`` must not notice."""

    sandbox: Sandbox
    services: InProcessServices
    app: AppContext
    company: SandboxCompany
    neighbour: SandboxCompany
    folder: Path
    connection: int = 0
    neighbour_connection: int = 0
    moves: int = 0
    begin_statement: str = ""  # said to the database at the begin of every transaction: a full disk, say
    busy_timeout_s: float = 30
    backup: Path = Path()
    kept_alive: list[Any] = field(default_factory=list)  # of the dead: never closed, as a killed process closes nothing

    @property
    def database(self) -> Path:
        """The file that duewell works with."""
        return self.folder / "duewell.db"

    @property
    def clock(self) -> Any:
        """The vendors' clock, which is right."""
        return self.sandbox.clock

    def sync(self, connection: int = 0) -> RunResult:
        """Run one hour of the company."""
        return run_connection(self.app, connection or self.connection)

    def connect(self, company: SandboxCompany) -> int:
        """Authorise access to a company, as a user does, and return the connection's id."""
        return Scenario(self.sandbox, _SANDBOX_URL, self.app, company).connect()

    def add_late_invoice(
        self, name: str, days: int, amount: str = "300.00", company: SandboxCompany | None = None
    ) -> str:
        """Add a customer with an invoice so many days overdue, and return its number."""
        company = company or self.company
        due_on = self.clock.now().date() - timedelta(days=days)
        return company.invoice(company.customer(name), amount, due_on=due_on)

    def move_to(self, folder: Path, *, same_process: bool = False) -> None:
        """Go on in a copy of what is on the disk now. ``same_process``: the hour under way goes on there as well."""
        self.copy_to(folder)
        self.resume_in(folder, same_process=same_process)

    def copy_to(self, folder: Path) -> None:
        """Copy what is on the disk now: what SIGKILL would leave."""
        folder.mkdir(mode=0o700)
        for source in self.folder.iterdir():
            if source.is_file() and source.suffix != ".db-shm":  # which SQLite makes anew after a death
                shutil.copyfile(source, folder / source.name)
                (folder / source.name).chmod(0o600)

    def resume_in(self, folder: Path, *, same_process: bool = False) -> None:
        """Be a new process (or the same one) that finds its files in this folder."""
        self.folder = folder
        self.moves += 1
        self._fresh_pool()
        if not same_process:
            self.kept_alive.append(self.app)
            settings = self.app.settings.model_copy(update={"duewell_home": folder})
            ring = Keyring.from_settings(settings)  # read anew, as a new process does
            self.app = replace(self.app, settings=settings, keyring=ring)

    def _fresh_pool(self) -> None:
        engine = self.app.engine
        self.kept_alive.append(engine.pool)
        engine.url = engine.url.set(database=str(self.database))
        engine.dispose(close=False)
        self.reset_write_queue()

    def reset_write_queue(self) -> None:
        """Let nobody wait to write behind one who was killed while he stood in line."""
        self.app.engine.update_execution_options(**{db_engine._QUEUE: db_engine._WriteQueue()})

    def break_transactions(self, at_begin: str, patience_s: float = 30) -> None:
        """Let every transaction from now on begin with a statement; "" makes the database whole again."""
        self.begin_statement, self.busy_timeout_s = at_begin, patience_s
        self._fresh_pool()

    def delay_clock(self, by: timedelta) -> None:
        """Let this machine's clock be slow; the vendors' are right."""
        self.app = replace(self.app, now=lambda: self.clock.now() - by)

    def checkpoint(self) -> None:
        """Write all into the one file, so that copies are small."""
        with self.app.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")


def build_world(provider: str, folder: Path) -> World:
    """Make the world, with both companies connected, read, and live."""
    sandbox = Sandbox(now=START)
    sandbox.xero.limits.minute = sandbox.xero.limits.day = 0  # the faults are the limits here
    services = InProcessServices(sandbox)
    services.install()
    _simulate_waiting(sandbox)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    scenario = make_scenario(sandbox, _SANDBOX_URL, folder, provider)
    stop: Any = _Stop(sandbox.clock)
    app = replace(scenario.app, stop=stop)
    world = World(sandbox, services, app, scenario.company, SandboxCompany(sandbox, provider), folder)
    event.listen(world.app.engine, "do_connect", _redirect_connect(world))
    event.listen(world.app.engine, "begin", _run_at_begin(world))
    scenario.set_policy(POLICY)
    for company in (world.company, world.neighbour):
        connection = world.connect(company)
        assert world.sync(connection).outcome == RunOutcome.OK
        set_mode(world.app, connection, ConnectionMode.LIVE)
        world.add_late_invoice("Ashdown Ltd", 9, company=company)  # read by the run that will be broken
        if company is world.company:
            world.connection = connection
        else:
            world.neighbour_connection = connection
    return world


def _redirect_connect(world: World) -> Callable[..., None]:
    def open_where_it_is(_dialect: Any, _record: Any, arguments: list[Any], parameters: dict[str, Any]) -> None:
        arguments[0] = str(world.database)
        parameters["timeout"] = world.busy_timeout_s

    return open_where_it_is


def _run_at_begin(world: World) -> Callable[[Connection], None]:
    def begin(connection: Connection) -> None:
        if world.begin_statement:
            connection.exec_driver_sql(world.begin_statement)

    return begin


def _simulate_waiting(sandbox: Sandbox) -> None:
    """Let the transport wait in make-believe time."""

    def sleep(seconds: float) -> None:
        sandbox.clock.advance(timedelta(seconds=seconds))

    def limits(**_given: Any) -> TransportLimits:
        return TransportLimits(sleep=sleep, now=sandbox.clock.now)

    for module in ("providers.http", "providers.sendgrid.mailer"):
        import_module(module).__dict__["TransportLimits"] = limits


def email_scenario(world: World) -> None:
    """A customer is nine days late: a mail, a note and the owner's digest are due."""


def fee_scenario(world: World) -> None:
    """He has been warned a week ago: a fee and its note are due, and the next mail."""
    _sync_both(world)
    for _day in range(FEE_DAYS):
        world.clock.advance(timedelta(days=1))
    world.clock.advance(timedelta(minutes=3))


def waiver_scenario(world: World) -> None:
    """A fee was charged, and a person waived it: the waiver and its note are due."""
    fee_scenario(world)
    _sync_both(world)
    for company in (world.connection, world.neighbour_connection):
        fees.waive(world.app, list_posted_fees(world, company), by="Ann", reason="a good customer")
    world.clock.advance(timedelta(hours=1))


def _sync_both(world: World) -> None:
    for company in (world.connection, world.neighbour_connection):
        world.sync(company)


def list_posted_fees(world: World, connection: int = 0) -> list[int]:
    """Give the fees that stand in the ledger."""
    with reading(world.app.engine) as session:
        found = fees.find_fees(session, connection or world.connection)
        return [fee.id for fee in found if fee.state == "posted"]


SCENARIOS: dict[str, Callable[[World], None]] = {
    "email": email_scenario,
    "fee": fee_scenario,
    "waiver": waiver_scenario,
}


def build_scenario(provider: str, day: str, folder: Path) -> World:
    """Make the world on the eve of a day: ``mail``, ``fee`` or ``waiver``."""
    world = build_world(provider, folder)
    SCENARIOS[day](world)
    world.sync(world.neighbour_connection)  # a rehearsal: what is compiled on first use is not compiled in every fork
    world.add_late_invoice("Birch Ltd", 9, company=world.neighbour)
    world.clock.advance(STALE_AFTER)
    world.checkpoint()
    return world
