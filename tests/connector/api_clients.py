"""Two companies with data of every kind, API clients, and validation against the OpenAPI document."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

import jsonschema_rs
import pytest
import requests

from connector.audit import sync_log
from connector.auth import api_tokens
from connector.db.engine import writing
from connector.db.money import to_e4
from connector.db.tables import CustomerRow, ExceptionRow, InvoiceRow, OutboxEntry, SyncRun, Task
from connector.vocabulary import LogKind, OutboxKind, OutboxState, RunOutcome, TaskCode
from policies.receivables import InvoiceStatus
from tests.connector.payloads import late_fee_payload
from tests.connector.site import Site

API = "/api/v1"


@pytest.fixture
def settings() -> dict[str, Any]:
    return {"mail_from": "billing@north.example", "mail_from_name": "North"}


@dataclass
class Company:
    """The data of one company."""

    id: int
    name: str
    entries: dict[str, int] = field(default_factory=dict)
    tasks: list[int] = field(default_factory=list)
    run: int = 0


@dataclass
class Client:
    """An API client with a token, or without one."""

    site: Site
    token: str = ""
    http: requests.Session = field(default_factory=requests.Session)

    def request(self, method: str, path: str, body: Any = None, **more: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        headers |= more.pop("headers", {})
        return self.http.request(method, self.site.base + API + path, json=body, headers=headers, timeout=20, **more)

    def get(self, path: str, **more: Any) -> Any:
        answer = self.request("GET", path, params=more)
        assert answer.status_code == 200, answer.text
        return answer.json()


@dataclass
class Scenario:
    """The companies and their clients."""

    site: Site
    north: Company
    south: Company
    document: dict[str, Any]

    def client(self, scope: str = "admin", *companies: int, days: int = 30) -> Client:
        with writing(self.site.app.engine) as session:
            limits = companies or None
            at = self.site.clock.at
            _row, token = api_tokens.create(session, "a test", scope, companies=limits, days=days, by="Ann", at=at)
        return Client(self.site, token)

    def anonymous_client(self) -> Client:
        return Client(self.site)


@pytest.fixture(scope="module")
def _openapi_cache() -> dict[str, Any]:
    """The OpenAPI document, built once: it is the same for every installation."""
    return {}


@pytest.fixture
def scenario(site: Site, _openapi_cache: dict[str, Any]) -> Scenario:
    north, south = (create_company(site, name) for name in ("North Ltd", "South Ltd"))
    if not _openapi_cache:
        _openapi_cache |= requests.get(f"{site.base}{API}/openapi.json", timeout=20).json()
    return Scenario(site, north, south, _openapi_cache)


def create_company(site: Site, name: str) -> Company:
    now, today = site.clock.at, site.clock.at.date()
    made = Company(
        site.add_company(name, base_currency="GBP", country="GB", first_pull_done_at=now, live_since_at=now), name
    )
    run = SyncRun(connection_id=made.id, started_at=now, ended_at=now, outcome=RunOutcome.OK, counts={"emailed": 1})
    site.add_rows(
        CustomerRow(connection_id=made.id, external_id="c1", name=f"Miller of {name}", emails="ap@m.example"),
        CustomerRow(connection_id=made.id, external_id="c2", name=f"Baker of {name}"),
        *(build_invoice(made.id, number, today) for number in range(1, 6)),
        ExceptionRow(connection_id=made.id, customer_id="c1", code="odd", reason=f"Odd in {name}", since_at=now),
        run,
    )
    made.run = run.id or 0
    for state in ("awaiting_approval", "rejected", "unconfirmed"):
        made.entries[state] = create_entry(site, made, state)
    for state in ("awaiting_approval", "done"):
        made.entries[f"fee-{state}"] = create_entry(site, made, state, fee=True)
    for number in range(3):
        task = Task(
            connection_id=made.id,
            key=f"t{made.id}-{number}",
            code=TaskCode.CALL,
            customer_id="c1",
            invoice_ids=["i1"],
            due_on=today,
            reason=f"Call {name}",
            created_at=now,
        )
        site.add_rows(task)
        made.tasks.append(task.id or 0)
    with writing(site.app.engine) as session:
        for number in range(3):
            sync_log.write(
                session,
                at=now,
                kind=LogKind.EMAILED,
                text=f"Line {number} of {name}",
                connection_id=made.id,
                run_id=run.id,
            )
    return made


def build_invoice(company_id: int, number: int, today: Any) -> InvoiceRow:
    return InvoiceRow(
        connection_id=company_id,
        external_id=f"i{number}",
        number=f"INV-{number}",
        customer_id="c1",
        currency="GBP",
        issued_on=today - timedelta(days=37),
        due_on=today - timedelta(days=7 + number),
        total_e4=to_e4(Decimal(120)),
        due_e4=to_e4(Decimal("99.50")),
        status=InvoiceStatus.OPEN,
        is_open=True,
    )


def create_entry(site: Site, company: Company, state: str, *, fee: bool = False) -> int:
    step = "late_fee" if fee else "past_due"
    payload: dict[str, Any] = {
        "to": ["ap@m.example"], "completed": [["i1", step]], "listed": ["i1"], "due": {"i1": "99.50"},
        "suspension_on": None,
    }  # fmt: skip
    if fee:
        payload = late_fee_payload()
    row = OutboxEntry(
        connection_id=company.id,
        key=f"{company.id}:{step}:{state}",
        kind=OutboxKind.LATE_FEE if fee else OutboxKind.EMAIL,
        step=step,
        state=OutboxState.AWAITING_APPROVAL if state == "rejected" else OutboxState(state),
        customer_id="c1",
        invoice_id="i1",
        currency="GBP",
        content_hash="abc",
        reason=f"{company.name} waits",
        payload=payload,
        planned_at=site.clock.at,
        reference="fee-1",
    )
    site.add_rows(row)
    return row.id or 0


def strict_schema(schema: Any) -> Any:
    """Return the schema without additional properties: a new field of a response has to be in the models."""
    if isinstance(schema, dict):
        inner = {name: strict_schema(each) for name, each in schema.items()}
        return inner | ({"additionalProperties": False} if "properties" in schema else {})
    return [strict_schema(each) for each in schema] if isinstance(schema, list) else schema


@pytest.fixture(scope="module")
def validate_reply() -> Callable[[dict[str, Any], dict[str, Any], Any], None]:
    """Validate a value strictly against a schema of the document."""
    components: dict[str, Any] = {}

    def check(document: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
        if not components:
            components.update(strict_schema(document["components"]))
        whole = {**strict_schema(schema), "components": components}
        jsonschema_rs.Draft202012Validator(whole, validate_formats=True).validate(value)

    return check
