"""A town for the tests of the hour: small books at both make-believe vendors, and a duewell connected to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
import requests

from connector import policy_store
from connector.app_context import AppContext, open_app
from connector.connections.registry import begin_consent, finish_consent, set_mode
from connector.db.engine import reading, writing
from connector.run import RunResult, run_connection
from connector.services import outbox_search
from connector.settings import load_settings
from sandbox import Sandbox

NOON = datetime(2026, 6, 10, 11, 0, tzinfo=UTC)  # a Wednesday; noon in London, where the small companies are
LEDGERS = ("xero", "quickbooks")


@dataclass
class SandboxCompany:
    """One small company at one vendor, spoken to in the same words on both ledgers."""

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
        email = email or f"accounts@{name.partition(' ')[0].lower()}.example"
        if self.provider == "xero":
            self.simulator.add_contact(name, email=email, country="United Kingdom", **self.company_filter)
        else:
            self.simulator.add_customer(name, email=email, currency="GBP", BillAddr={"Country": "GB"})
        return name

    def invoice(self, customer: str, amount: str, *, due_on: date, on: date | None = None) -> str:
        on = on or due_on - timedelta(days=30)
        if self.provider == "xero":
            dates = {"on": on.isoformat(), "due_on": due_on.isoformat()}
            made = str(self.simulator.add_invoice(customer, amount, sent=True, **dates, **self.company_filter).number)
        else:
            made = f"I-{len(self.numbers) + 1:04}"
            self.simulator.add_invoice(customer, amount, number=made, on=on, due_on=due_on)
        self.numbers.append(made)
        return made

    def pay(self, number: str, amount: str | None = None) -> None:
        if self.provider == "xero":
            self.simulator.pay(number, amount or "", **self.company_filter)
        else:
            self.simulator.pay(number, amount)

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
        """What is due on every living sales invoice, by number."""
        if self.provider == "xero":
            living = [i for i in self.simulator.invoices(self.external_id) if i.status in {"AUTHORISED", "PAID"}]
            return {i.number: i.amount_due for i in living}
        return {i["DocNumber"]: Decimal(str(i["Balance"])) for i in self.simulator.invoices() if i["TotalAmt"]}

    def fees(self) -> dict[str, Decimal]:
        return {number: due for number, due in self.open_balances().items() if number.startswith("LF-")}


@dataclass
class Scenario:
    """The sandbox, a duewell, and the company it is connected to."""

    sandbox: Sandbox
    sandbox_url: str
    app: AppContext
    company: SandboxCompany
    connection: int = 0
    number: str = ""  # of the invoice that a test is about

    def connect(self) -> int:
        request = begin_consent(self.app, self.company.provider)
        url = f"{request.url}&sandbox_allow=1&sandbox_organisation={self.company.external_id}"
        reply = requests.get(url, allow_redirects=False, timeout=10)
        made = finish_consent(self.app, self.company.provider, urljoin(request.url, reply.headers["Location"]))
        assert [each.external_id for each in made] == [self.company.external_id]
        self.connection = made[0].id or 0
        return self.connection

    def go_live(self) -> Scenario:
        """Connect and go live, with the books read once."""
        self.connect()
        assert self.run().outcome == "ok"
        set_mode(self.app, self.connection, "live")
        return self

    def run(self, **how: Any) -> RunResult:
        return run_connection(self.app, self.connection, **how)

    def set_policy(self, document: str) -> None:
        with writing(self.app.engine) as session:
            policy_store.set_policy(session, document, by="a test", at=self.app.now())

    def outbox(self, *states: str) -> list[dict[str, Any]]:
        with reading(self.app.engine) as session:
            return outbox_search.find_entries(session, self.connection, states or None)

    def customer_emails(self) -> list[tuple[tuple[str, ...], str]]:
        """Every mail to a customer that the mail system took: to whom, and its subject."""
        own = self.app.settings.mail_from
        return [(tuple(mail.to), mail.subject) for mail in self.sandbox.sendgrid.emails() if own not in mail.to]

    @property
    def today(self) -> date:
        return self.sandbox.clock.now().date()

    def pass_days(self, days: int) -> None:
        self.sandbox.clock.advance(timedelta(days=days))


def make_scenario(sandbox: Sandbox, url: str, home: Path, provider: str, database_url: str = "") -> Scenario:
    own = {name.lower(): value for name, value in sandbox.settings(url).items()}
    own |= {"duewell_home": str(home), "duewell_database_url": database_url or f"sqlite:///{home}/duewell.db"}
    app = open_app(load_settings(**own), now=sandbox.clock.now)
    return Scenario(sandbox, url, app, SandboxCompany(sandbox, provider))


@pytest.fixture
def scenario_at(
    tmp_path_factory: pytest.TempPathFactory, new_home: Callable[[Path], Path]
) -> Callable[..., AbstractContextManager[Scenario]]:
    """Make a town with an empty company, not connected yet, at a moment and on a ledger."""

    @contextmanager
    def make(now: datetime, provider: str, database_url: str = "") -> Iterator[Scenario]:
        sandbox = Sandbox(now=now)
        with sandbox.serve() as url:
            home = new_home(tmp_path_factory.mktemp("home"))
            made = make_scenario(sandbox, url, home, provider, database_url)
            yield made
            made.app.close()

    return make


@pytest.fixture
def noon() -> datetime:
    """The moment at which towns begin."""
    return NOON


@pytest.fixture(params=LEDGERS)
def scenario(request: pytest.FixtureRequest, scenario_at: Any) -> Iterator[Scenario]:
    """A town at noon, on each ledger."""
    with scenario_at(NOON, request.param) as made:
        yield made


TODAY = NOON.date()


def days(count: int) -> date:
    """The date ``count`` days after the town's first day."""
    return TODAY + timedelta(days=count)
