"""A scenario for tests of whole runs: a small company on a simulated ledger, and a duewell connected to it."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from copy import copy, deepcopy
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urljoin

import pytest
import requests
from sqlalchemy import select
from sqlmodel import Session, col

from connector import policy_store
from connector.app_context import AppContext, open_app
from connector.connections.registry import begin_consent, finish_consent, set_mode
from connector.db.engine import reading, writing
from connector.db.tables import OutboxEntry, SuppressedAddress
from connector.run import RunResult, run_connection
from connector.settings import load_settings
from connector.vocabulary import ConnectionMode, OutboxKind, OutboxState, RunOutcome
from providers.ledger import InvoiceRecord
from sandbox import Sandbox

NOON = datetime(2026, 6, 10, 11, 0, tzinfo=UTC)  # a Wednesday; noon in London, where the small companies are
LEDGERS = ("xero", "quickbooks")
_SATURDAY = 5


@dataclass
class SandboxCompany:
    """A small company on a simulated ledger, used in the same way on both."""

    sandbox: Sandbox
    provider: str
    external_id: str = ""
    numbers: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.provider == "xero":
            self.external_id = self.sandbox.xero.add_organisation("Small Works Ltd").tenant_id
        else:
            self.external_id = self.sandbox.quickbooks.add_company(
                "Small Works Ltd", country="GB", currency="GBP", time_zone="Europe/London"
            )

    @property
    def simulator(self) -> Any:
        return self.sandbox.xero if self.provider == "xero" else self.sandbox.quickbooks.bookkeeper(self.external_id)

    @property
    def company_filter(self) -> dict[str, str]:
        return {"organisation": self.external_id} if self.provider == "xero" else {}

    def customer(self, name: str, email: str = "") -> str:
        """Add a customer; returns the name."""
        email = email or f"accounts@{name.partition(' ')[0].lower()}.example"
        if self.provider == "xero":
            self.simulator.add_contact(name, email=email, country="United Kingdom", **self.company_filter)
        else:
            self.simulator.add_customer(name, email=email, currency="GBP", BillAddr={"Country": "GB"})
        return name

    def invoice(self, customer: str, amount: str, *, due_on: date, on: date | None = None) -> str:
        """Add an invoice that has been sent; returns its number."""
        on = on or due_on - timedelta(days=30)
        if self.provider == "xero":
            dates = {"on": on.isoformat(), "due_on": due_on.isoformat()}
            number = str(self.simulator.add_invoice(customer, amount, sent=True, **dates, **self.company_filter).number)
        else:
            number = f"I-{len(self.numbers) + 1:04}"
            self.simulator.add_invoice(customer, amount, number=number, on=on, due_on=due_on)
        self.numbers.append(number)
        return number

    def pay(self, number: str, amount: str | None = None, *, on: date | None = None) -> None:
        if self.provider == "xero":
            self.simulator.pay(number, amount or "", on.isoformat() if on else "", **self.company_filter)
        else:
            self.simulator.pay(number, amount, on=on)

    def credit_invoice(self, number: str, amount: str) -> None:
        """Enter a credit note and apply it to the invoice: on QuickBooks by a payment of 0."""
        if self.provider == "xero":
            self.simulator.credit(number, amount, **self.company_filter)
            return
        customer = self.simulator.find(number)["CustomerRef"]["value"]
        self.simulator.apply_credit(self.simulator.credit(customer, amount)["Id"], number)

    def delete_payment(self, number: str) -> None:
        """Delete the last payment of an invoice."""
        if self.provider == "xero":
            payment = self.simulator.find(number, **self.company_filter).payments[-1].id
            self.simulator.delete_payment(payment, **self.company_filter)
            return
        self.simulator.delete_payment(self.simulator.find(number)["LinkedTxn"][-1]["TxnId"])

    def move_due(self, number: str, due_on: date) -> None:
        """Change the due date of an invoice."""
        if self.provider == "xero":
            self.simulator.edit(number, due_on=due_on.isoformat(), **self.company_filter)
        else:
            self.simulator.edit(number, DueDate=due_on.isoformat())

    def change_total(self, number: str, amount: str) -> None:
        """Change what an invoice is for."""
        if self.provider == "xero":
            self.simulator.edit(number, total=Decimal(amount), **self.company_filter)
            return
        line = self.simulator.find(number)["Line"][0]
        self.simulator.edit(number, Line=[{**line, "Amount": Decimal(amount)}])

    def void(self, number: str) -> None:
        self.simulator.void(number, **self.company_filter)

    def credit(self, customer: str, amount: str) -> None:
        if self.provider == "xero":
            self.simulator.add_credit(customer, amount, **self.company_filter)
        else:
            self.simulator.credit(customer, amount)

    def notes(self, number: str) -> list[str]:
        return list(self.simulator.notes(number, **self.company_filter))

    def open_balances(self) -> dict[str, Decimal]:
        """Return the amount due on each sales invoice that is not voided, by number."""
        if self.provider == "xero":
            valid = [i for i in self.simulator.invoices(self.external_id) if i.status in {"AUTHORISED", "PAID"}]
            return {i.number: i.amount_due for i in valid}
        return {i.get("DocNumber", ""): Decimal(str(i["Balance"])) for i in self.simulator.invoices() if i["TotalAmt"]}

    def fees(self) -> dict[str, Decimal]:
        """Return the amount due on each late fee invoice, by number."""
        return {number: due for number, due in self.open_balances().items() if number.startswith("LF-")}


@dataclass
class Scenario:
    """The simulated services, a duewell, and the company it is connected to."""

    sandbox: Sandbox
    sandbox_url: str
    app: AppContext
    company: SandboxCompany
    connection: int = 0
    number: str = ""  # of the invoice a test is about

    def connect(self) -> int:
        request = begin_consent(self.app, self.company.provider)
        url = f"{request.url}&sandbox_allow=1&sandbox_organisation={self.company.external_id}"
        reply = requests.get(url, allow_redirects=False, timeout=10)
        connected = finish_consent(self.app, self.company.provider, urljoin(request.url, reply.headers["Location"]))
        assert [each.external_id for each in connected] == [self.company.external_id]
        self.connection = connected[0].id or 0
        return self.connection

    def go_live(self) -> Scenario:
        """Connect, sync once, and switch to live mode."""
        self.connect()
        assert self.run().outcome == RunOutcome.OK
        set_mode(self.app, self.connection, ConnectionMode.LIVE)
        return self

    def run(self, **options: Any) -> RunResult:
        return run_connection(self.app, self.connection, **options)

    def set_policy(self, document: str) -> None:
        with writing(self.app.engine) as session:
            policy_store.set_policy(session, document, by="a test", at=self.app.now())

    def outbox(self, *states: str) -> list[OutboxEntry]:
        """Return the entries in some states, or all of them, newest first."""
        query = select(OutboxEntry).where(col(OutboxEntry.connection_id) == self.connection)
        if states:
            query = query.where(col(OutboxEntry.state).in_([OutboxState(state) for state in states]))
        with reading(self.app.engine) as session:
            return list(session.scalars(query.order_by(col(OutboxEntry.id).desc())))

    def customer_emails(self) -> list[tuple[tuple[str, ...], str]]:
        """Return recipients and subject of every email to a customer that the email service accepted."""
        own = self.app.settings.mail_from
        return [(tuple(email.to), email.subject) for email in self.sandbox.sendgrid.emails() if own not in email.to]

    def sent_steps(self) -> list[tuple[date, str]]:
        """Return the day and the step of every email that was sent to a customer, oldest first."""
        entries = [entry for entry in self.outbox("done") if entry.kind == OutboxKind.EMAIL]
        return [(entry.ended_at.date(), entry.step) for entry in reversed(entries) if entry.ended_at is not None]

    @property
    def today(self) -> date:
        return self.sandbox.clock.now().date()

    def days_ago(self, days: int) -> date:
        return self.today - timedelta(days=days)

    def pass_days(self, days: int) -> None:
        self.sandbox.clock.advance(timedelta(days=days))

    def run_for_days(self, days: int, every: int = 1, *, weekends: bool = False) -> None:
        """Sync once every few days until ``days`` have passed.

        A daily sync has its weekends off, when no email is sent, unless the test is about what else happens then.
        """
        while days > 0:
            if every > 1 or weekends or self.today.weekday() < _SATURDAY:
                self.run()
            self.pass_days(min(every, days))
            days -= every


def without_entry_times(_session: object, _connection_id: int, records: list[InvoiceRecord]) -> list[InvoiceRecord]:
    """Stand in for the reading of entry times: what a test adds was entered on its date, and is late at once."""
    return [each._replace(created_at=None) for each in records]


class ScenarioFactory(Protocol):
    """Makes a scenario at an instant and on a ledger; the company has no customers and is not connected yet."""

    def __call__(self, now: datetime, provider: str, database_url: str = "") -> AbstractContextManager[Scenario]: ...


def make_scenario(sandbox: Sandbox, url: str, home: Path, provider: str, database_url: str = "") -> Scenario:
    app = open_scenario_app(sandbox, url, home, database_url)
    return Scenario(sandbox, url, app, SandboxCompany(sandbox, provider))


def open_scenario_app(sandbox: Sandbox, url: str, home: Path, database_url: str = "") -> AppContext:
    own = {name.lower(): value for name, value in sandbox.settings(url).items()}
    own |= {"duewell_home": str(home), "duewell_database_url": database_url or f"sqlite:///{home}/duewell.db"}
    return open_app(load_settings(**own), now=sandbox.clock.now, sleep=sandbox.clock.sleep)


class _KeptScenario:
    """A scenario at rest, and its port, which nobody else gets meanwhile: duewell remembers the services' URLs."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._home = scenario.app.settings.duewell_home
        self._port = int(scenario.sandbox_url.rpartition(":")[2])
        self._reserved = socket.socket()
        self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reserved.bind(("127.0.0.1", self._port))

    @contextmanager
    def resume(self, home: Path) -> Iterator[Scenario]:
        """Continue in a copy of the services and of duewell's files."""
        shutil.copytree(self._home, home)
        resumed = copy(self._scenario)
        resumed.company = deepcopy(self._scenario.company)
        resumed.sandbox = resumed.company.sandbox
        with resumed.sandbox.serve(self._port) as url:
            resumed.app = open_scenario_app(resumed.sandbox, url, home)
            yield resumed
            resumed.app.close()

    def close(self) -> None:
        self._reserved.close()


class ResumeAfter(Protocol):
    """Continues in a copy of a scenario after ``prepare``, which is simulated for the first test only."""

    def __call__(
        self, prepare: Callable[[Scenario], object], provider: str, now: datetime = NOON
    ) -> AbstractContextManager[Scenario]: ...


_Prepared = tuple[Callable[[Scenario], object], str, datetime]


@pytest.fixture(scope="session")
def _kept_scenarios() -> Iterator[dict[_Prepared, _KeptScenario]]:
    kept: dict[_Prepared, _KeptScenario] = {}
    yield kept
    for each in kept.values():
        each.close()


@pytest.fixture
def resume_after(
    _kept_scenarios: dict[_Prepared, _KeptScenario],
    scenario_at: ScenarioFactory,
    tmp_path_factory: pytest.TempPathFactory,
) -> ResumeAfter:
    @contextmanager
    def resume(prepare: Callable[[Scenario], object], provider: str, now: datetime = NOON) -> Iterator[Scenario]:
        key = (prepare, provider, now)
        if key not in _kept_scenarios:
            with scenario_at(now, provider) as scenario:
                prepare(scenario)
            _kept_scenarios[key] = _KeptScenario(scenario)  # its services have stopped: nothing changes it any more
        with _kept_scenarios[key].resume(tmp_path_factory.mktemp("resumed") / "home") as resumed:
            yield resumed

    return resume


@pytest.fixture
def scenario_at(tmp_path_factory: pytest.TempPathFactory, new_home: Callable[[Path], Path]) -> ScenarioFactory:
    @contextmanager
    def make(now: datetime, provider: str, database_url: str = "") -> Iterator[Scenario]:
        sandbox = Sandbox(now=now)
        with sandbox.serve() as url:
            home = new_home(tmp_path_factory.mktemp("home"))
            scenario = make_scenario(sandbox, url, home, provider, database_url)
            yield scenario
            scenario.app.close()

    return make


@pytest.fixture
def noon() -> datetime:
    """The instant at which scenarios begin."""
    return NOON


@pytest.fixture(params=LEDGERS)
def scenario(request: pytest.FixtureRequest, scenario_at: ScenarioFactory) -> Iterator[Scenario]:
    """A scenario at noon, on each ledger."""
    with scenario_at(NOON, request.param) as scenario:
        yield scenario


def add_late_customer(scenario: Scenario) -> None:
    """Add a customer whose invoice is six days overdue, and go live."""
    scenario.company.customer("Ashdown Ltd")
    scenario.number = scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=scenario.days_ago(6))
    scenario.go_live()


@pytest.fixture
def late_customer(scenario: Scenario, resume_after: ResumeAfter) -> Iterator[Scenario]:
    """A live company with one customer whose invoice is six days overdue."""
    with resume_after(add_late_customer, scenario.company.provider) as resumed:
        yield resumed


def send_first_reminder(scenario: Scenario) -> None:
    add_late_customer(scenario)
    scenario.run()


@pytest.fixture
def reminded_customer(scenario: Scenario, resume_after: ResumeAfter) -> Iterator[Scenario]:
    """The same after the customer was sent the first reminder."""
    with resume_after(send_first_reminder, scenario.company.provider) as resumed:
        yield resumed


TODAY = NOON.date()


def suppressed_addresses(session: Session) -> dict[str, str]:
    """Return every suppressed address with the reason."""
    return {row.address: row.reason for row in session.scalars(select(SuppressedAddress))}


def days(count: int) -> date:
    """Return the date ``count`` days after a scenario's first day."""
    return TODAY + timedelta(days=count)
