"""Two companies with something of everything each, programs that ask for it, and what the document says of replies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

import jsonschema_rs
import pytest
import requests

from connector import sync_log
from connector.access import api_tokens
from connector.database import writing
from connector.money import to_e4
from connector.tables import CustomerRow, ExceptionRow, InvoiceRow, OutboxEntry, SyncRun, Task

Office = Any
API = "/api/v1"


@pytest.fixture
def settings() -> dict[str, Any]:
    return {"mail_from": "billing@north.example", "mail_from_name": "North"}


@dataclass
class Company:
    """What there is of one company."""

    id: int
    name: str
    entries: dict[str, int] = field(default_factory=dict)
    tasks: list[int] = field(default_factory=list)
    run: int = 0


@dataclass
class Program:
    """A program with a token, or with none."""

    office: Office
    token: str = ""
    http: requests.Session = field(default_factory=requests.Session)

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        headers |= more.pop("headers", {})
        return self.http.request(method, self.office.base + API + path, json=body, headers=headers, timeout=20, **more)

    def get(self, path: str, **more: Any) -> Any:
        answer = self.ask("GET", path, params=more)
        assert answer.status_code == 200, answer.text
        return answer.json()


@dataclass
class World:
    """The companies, and their programs."""

    office: Office
    north: Company
    south: Company
    document: dict[str, Any]

    def program(self, scope: str = "admin", *companies: int, days: int = 30) -> Program:
        with writing(self.office.installation.engine) as session:
            limits = companies or None
            at = self.office.clock.at
            _row, token = api_tokens.make(session, "a test", scope, companies=limits, days=days, by="Ann", at=at)
        return Program(self.office, token)

    def stranger(self) -> Program:
        return Program(self.office)


@pytest.fixture(scope="module")
def _document() -> dict[str, Any]:
    """The document, made once: it is the same for every installation."""
    return {}


@pytest.fixture
def world(office: Office, _document: dict[str, Any]) -> World:
    north, south = (company(office, name) for name in ("North Ltd", "South Ltd"))
    if not _document:
        _document |= requests.get(f"{office.base}{API}/openapi.json", timeout=20).json()
    return World(office, north, south, _document)


def company(office: Office, name: str) -> Company:
    now, today = office.clock.at, office.clock.at.date()
    made = Company(
        office.company(name, base_currency="GBP", country="GB", first_pull_done_at=now, live_since_at=now), name
    )
    run = SyncRun(connection_id=made.id, started_at=now, ended_at=now, outcome="ok", numbers={"mailed": 1})
    office.store(
        CustomerRow(connection_id=made.id, external_id="c1", name=f"Miller of {name}", emails="ap@m.example"),
        CustomerRow(connection_id=made.id, external_id="c2", name=f"Baker of {name}"),
        *(invoice(made.id, number, today) for number in range(1, 6)),
        ExceptionRow(connection_id=made.id, customer_id="c1", code="odd", why=f"Odd in {name}", since_at=now),
        run,
    )
    made.run = run.id or 0
    for state in ("waiting", "rejected", "doubt"):
        made.entries[state] = entry(office, made, state)
    for state in ("waiting", "done"):
        made.entries[f"fee-{state}"] = entry(office, made, state, fee=True)
    for number in range(3):
        task = Task(
            connection_id=made.id, key=f"t{made.id}-{number}", code="call", customer_id="c1", invoice_ids=["i1"],
            due_on=today, why=f"Call {name}", made_at=now,
        )  # fmt: skip
        office.store(task)
        made.tasks.append(task.id or 0)
    with writing(office.installation.engine) as session:
        for number in range(3):
            sync_log.write(
                session, at=now, kind="mailed", text=f"Line {number} of {name}", connection_id=made.id, run_id=run.id
            )
    return made


def invoice(company_id: int, number: int, today: Any) -> InvoiceRow:
    return InvoiceRow(
        connection_id=company_id, external_id=f"i{number}", number=f"INV-{number}", customer_id="c1", currency="GBP",
        issued_on=today - timedelta(days=37), due_on=today - timedelta(days=7 + number), total_e4=to_e4(Decimal(120)),
        due_e4=to_e4(Decimal("99.50")), status="open", is_open=True,
    )  # fmt: skip


def entry(office: Office, made: Company, state: str, *, fee: bool = False) -> int:
    step = "late_fee" if fee else "past_due"
    payload: dict[str, Any] = {
        "to": ["ap@m.example"], "taken": [["i1", step]], "listed": ["i1"], "due": {"i1": "99.50"},
        "suspension_on": None,
    }  # fmt: skip
    if fee:
        payload |= {"period": "2026-06", "number": "LF-1", "of_number": "INV-1", "amount": "5.00"}
        payload |= {"annual_rate": "262.0", "parts": [["a flat fee, as agreed", "5.00"]]}
    row = OutboxEntry(
        connection_id=made.id, key=f"{made.id}:{step}:{state}", kind="late_fee" if fee else "mail", step=step,
        state="waiting" if state == "rejected" else state, customer_id="c1", invoice_id="i1", currency="GBP",
        content="abc", why=f"{made.name} waits", payload=payload, planned_at=office.clock.at, reference="fee-1",
    )  # fmt: skip
    office.store(row)
    return row.id or 0


def closed(schema: Any) -> Any:
    """The same schema, in which nothing may stand that it does not name: what is new in a reply is named in shapes."""
    if isinstance(schema, dict):
        inner = {name: closed(each) for name, each in schema.items()}
        return inner | ({"additionalProperties": False} if "properties" in schema else {})
    return [closed(each) for each in schema] if isinstance(schema, list) else schema


@pytest.fixture(scope="module")
def fits() -> Callable[[dict[str, Any], dict[str, Any], Any], None]:
    """Hold a value against a schema of the document, strictly."""
    components: dict[str, Any] = {}

    def check(document: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
        if not components:
            components.update(closed(document["components"]))
        whole = {**closed(schema), "components": components}
        jsonschema_rs.Draft202012Validator(whole, validate_formats=True).validate(value)

    return check
