"""A small world to break: two companies on one simulated ledger, and a duewell with a day of work due.

Everything that survives a killed process is in one folder (the database with its write-ahead log) and at the services.
``move_to`` copies that folder as it is on disk at that instant, which is what SIGKILL leaves, and continues there.
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
from connector.sync.mirror import pages
from connector.vocabulary import ConnectionMode, RunOutcome
from providers.http import TransportLimits
from sandbox import Sandbox
from sandbox.desks import open_desk
from sandbox.situations import Player
from tests.connector.scenario import SandboxCompany, Scenario, make_scenario, without_entry_times
from tests.faults.campaign import mailers
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
STALE_AFTER = timedelta(minutes=61)  # changes are older than what every sync reads again, and the token has expired
_WAITING = (  # modules that build the limits of their transport
    "providers.http", "providers.sendgrid.mailer", "providers.microsoft365.mailbox", "providers.microsoft365.oauth",
    "providers.gmail.client",
)  # fmt: skip
FEE_DAYS = 7  # after the first email


class _Stop:
    """The event that asks a program to stop; waiting for it advances the simulated clock."""

    def __init__(self, clock: Any) -> None:
        self._clock = clock

    def is_set(self) -> bool:
        return False

    def wait(self, timeout: float | None = None) -> bool:
        self._clock.advance(timedelta(seconds=timeout or 0))
        return False


@dataclass
class World:
    """A duewell with two companies: the syncs of ``company`` are broken, and ``neighbour`` must not be affected."""

    sandbox: Sandbox
    services: InProcessServices
    app: AppContext
    company: SandboxCompany
    neighbour: SandboxCompany
    folder: Path
    connection: int = 0
    neighbour_connection: int = 0
    moves: int = 0
    begin_statement: str = ""  # executed at the start of every transaction: a full disk, say
    busy_timeout_s: float = 30
    backup: Path = Path()
    mailer: str = mailers.SENDGRID
    smtp_server: list[mailers.TakenEmail] = field(default_factory=list)  # what it took
    player: Player = field(init=False)  # of situations at the company
    kept_alive: list[Any] = field(default_factory=list)  # of killed processes: never closed

    def __post_init__(self) -> None:
        """Sit down at the company's desk."""
        self.player = Player(open_desk(self.sandbox, self.company.provider, self.company.external_id))

    @property
    def database(self) -> Path:
        """Return the path of duewell's database."""
        return self.folder / "duewell.db"

    @property
    def statements(self) -> Path:
        """Return the watched folder of bank statements, which few cases have."""
        return self.folder / "statements"

    @property
    def clock(self) -> Any:
        """Return the services' clock, which is right."""
        return self.sandbox.clock

    def sync(self, connection: int = 0) -> RunResult:
        """Run one sync of the company."""
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
        """Continue in a copy of what is on disk now. ``same_process``: the sync in progress continues there as well."""
        self.copy_to(folder)
        self.resume_in(folder, same_process=same_process)

    def copy_to(self, folder: Path) -> None:
        """Copy what is on disk now: what SIGKILL would leave."""
        folder.mkdir(mode=0o700)
        for source in self.folder.iterdir():
            if source.is_file() and source.suffix != ".db-shm":  # which SQLite creates again
                shutil.copyfile(source, folder / source.name)
                (folder / source.name).chmod(0o600)
        machine = self.folder / "locks" / "id"  # the locks themselves are a living process's
        if machine.is_file():
            (folder / "locks").mkdir(mode=0o700)
            shutil.copyfile(machine, folder / "locks" / "id")
        if self.statements.is_dir():
            shutil.copytree(self.statements, folder / self.statements.name)

    def resume_in(self, folder: Path, *, same_process: bool = False) -> None:
        """Continue as a new process (or the same one) with the files in this folder."""
        self.folder = folder
        self.moves += 1
        self._fresh_pool()
        if not same_process:
            self.kept_alive.append(self.app)
            settings = self.app.settings.model_copy(
                update={"duewell_home": folder, "duewell_bank_folder": self.statements}
            )
            keyring = Keyring.from_settings(settings)  # as a new process does
            self.app = replace(self.app, settings=settings, keyring=keyring)

    def _fresh_pool(self) -> None:
        engine = self.app.engine
        self.kept_alive.append(engine.pool)
        engine.url = engine.url.set(database=str(self.database))
        engine.dispose(close=False)
        self.reset_write_queue()

    def reset_write_queue(self) -> None:
        """Replace the queue of writers, so that nobody waits behind a killed one."""
        self.app.engine.update_execution_options(**{db_engine._QUEUE: db_engine._WriteQueue()})

    def break_transactions(self, statement: str, busy_timeout_s: float = 30) -> None:
        """Start every transaction with a statement from now on; "" repairs the database."""
        self.begin_statement, self.busy_timeout_s = statement, busy_timeout_s
        self._fresh_pool()

    def delay_clock(self, by: timedelta) -> None:
        """Make this machine's clock slow; the services' are right."""
        self.app = replace(self.app, now=lambda: self.clock.now() - by)

    def ignore_write_keys(self) -> None:
        """Make both ledgers carry out a write again that is repeated under the same key, as some have reported."""
        self.sandbox.xero.api.replays_requests = self.sandbox.quickbooks.replays_requests = False

    def checkpoint(self) -> None:
        """Write everything to the one database file, so that copies are small."""
        with self.app.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")


def build_world(provider: str, folder: Path, mailer: str = mailers.SENDGRID) -> World:
    """Build the world, with both companies connected, read and live, and their emails sent by ``mailer``."""
    sandbox = Sandbox(now=START)
    sandbox.xero.limits.minute = sandbox.xero.limits.day = 0  # the faults are the limits here
    services = InProcessServices(sandbox)
    services.install()
    _simulate_waiting(sandbox)
    pages.__dict__["_with_entry_times"] = without_entry_times  # a late invoice that is added is due at once
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    scenario = make_scenario(sandbox, _SANDBOX_URL, folder, provider)
    stop: Any = _Stop(sandbox.clock)
    settings = scenario.app.settings.model_copy(update={"mail_service": mailer, "smtp_url": mailers.SMTP_URL})
    app = replace(scenario.app, stop=stop, settings=settings)
    neighbour = SandboxCompany(sandbox, provider)
    world = World(sandbox, services, app, scenario.company, neighbour, folder, mailer=mailer)
    event.listen(world.app.engine, "do_connect", _redirect_connect(world))
    event.listen(world.app.engine, "begin", _run_at_begin(world))
    scenario.set_policy(POLICY)
    if mailer in mailers.MAILBOXES:
        mailers.connect_mailbox(world)
    elif mailer == mailers.SMTP:
        mailers.serve_smtp(world)
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
    """Make the transport wait in simulated time."""

    def sleep(seconds: float) -> None:
        sandbox.clock.advance(timedelta(seconds=seconds))

    def limits(**_given: Any) -> TransportLimits:
        return TransportLimits(sleep=sleep, now=sandbox.clock.now)

    for module in _WAITING:
        import_module(module).__dict__["TransportLimits"] = limits


def email_scenario(world: World) -> None:
    """Due: an email to a customer nine days overdue, its note, and the account owner's digest."""


def fee_scenario(world: World) -> None:
    """Due: a fee with its note, announced a week ago, and the next email."""
    _sync_both(world)
    for _day in range(FEE_DAYS):
        world.clock.advance(timedelta(days=1))
    world.clock.advance(timedelta(minutes=3))


def waiver_scenario(world: World) -> None:
    """Due: the waiver of a fee that was charged, and its note."""
    fee_scenario(world)
    _sync_both(world)
    for company in (world.connection, world.neighbour_connection):
        fees.waive(world.app, list_posted_fees(world, company), by="Ann", reason="a good customer")
    world.clock.advance(timedelta(hours=1))


def _sync_both(world: World) -> None:
    for company in (world.connection, world.neighbour_connection):
        world.sync(company)


def list_posted_fees(world: World, connection: int = 0) -> list[int]:
    """Return the ids of the fees posted in the ledger."""
    with reading(world.app.engine) as session:
        found = fees.find_fees(session, connection or world.connection)
        return [fee.id for fee in found if fee.state == "posted"]


SCENARIOS: dict[str, Callable[[World], None]] = {
    "email": email_scenario,
    "fee": fee_scenario,
    "waiver": waiver_scenario,
}


def build_scenario(provider: str, scenario: str, folder: Path, mailer: str = mailers.SENDGRID) -> World:
    """Build the world right before the sync of a scenario: email, fee or waiver."""
    world = build_world(provider, folder, mailer)
    SCENARIOS[scenario](world)
    world.sync(world.neighbour_connection)  # warms up what is compiled on first use, so that not every fork compiles it
    world.add_late_invoice("Birch Ltd", 9, company=world.neighbour)
    world.clock.advance(STALE_AFTER)
    world.checkpoint()
    return world
