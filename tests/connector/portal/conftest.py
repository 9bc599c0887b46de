"""A live company that customers reach over https, and the browser of one customer who has a portal link."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from html import unescape
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import uvicorn
from sqlalchemy import select
from sqlmodel import col

from connector.arrangements.customer_settings import find_customer
from connector.audit import sync_log
from connector.db.engine import reading
from connector.db.tables import (
    Agreement,
    CustomerRow,
    CustomerSetting,
    InvoiceDecisionRow,
    InvoiceRow,
    OutboxEntry,
    PortalFile,
    PortalResponse,
    Task,
)
from connector.services.invoices import find_invoice
from connector.vocabulary import TaskCode
from connector.web.app import make_app
from tests.connector.scenario import ResumeAfter, Scenario

TODAY = date(2026, 6, 10)
MILLER = "accounts@miller.example"
HOST = "portal.larkspur.example"


class FakeScheduler:
    def is_alive(self) -> bool:
        return True


class PortalClient:
    """A browser with the link from an email, behind the proxy that the public address stands for."""

    def __init__(self, url: str, link: str) -> None:
        self.url, self.link = url, urlsplit(link).path

    def get(self, path: str = "", link: str = "", **headers: str) -> requests.Response:
        return requests.get(self.url + (link or self.link) + path, headers={"Host": HOST, **headers}, timeout=20)

    def post(self, path: str, **options: Any) -> requests.Response:
        return requests.post(
            self.url + self.link + path, headers={"Host": HOST}, timeout=20, allow_redirects=False, **options
        )

    def draft(self, kind: str, file: Any = b"", **fields: Any) -> requests.Response:
        """Fill in a form, and return the summary, or the form with its problem."""
        files = {"file": ("scan.exe", file, "text/html")} if file else None
        return self._follow(self.post(f"/tell/{kind}", data=fields, files=files))

    def submit(self, kind: str, file: Any = b"", **fields: Any) -> requests.Response:
        """Fill in a form, send what the summary shows, and return the page that confirms it."""
        summary = self.draft(kind, file, **fields)
        if summary.status_code != 200:
            return summary
        return self.send(draft_key(summary))

    def send(self, key: str) -> requests.Response:
        return self._follow(self.post(f"/check/{key}"))

    def undo(self, key: str) -> requests.Response:
        return self._follow(self.post(f"/undo/{key}"))

    def _follow(self, response: requests.Response) -> requests.Response:
        if response.status_code != 303:
            return response
        return self.get(response.headers["location"].removeprefix(self.link))


def draft_key(page: requests.Response) -> str:
    """Return the key of the response that a summary or a confirmation is about."""
    found = re.search(r'/(?:check|undo)/([\w-]+)"', page.text)
    assert found is not None, page.text
    return found[1]


@dataclass(kw_only=True)
class PortalScenario(Scenario):
    """Miller owes two invoices, one of them overdue; Potter owes another one. A reminder has been sent."""

    client: PortalClient
    overdue: str
    upcoming: str
    foreign: str


def serve(scenario: Scenario) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(make_app(scenario.app, FakeScheduler()), log_config=None, lifespan="off"))
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join(timeout=10)


def send_reminders(scenario: Scenario) -> None:
    scenario.company.customer("Miller & Sons", MILLER)
    scenario.company.customer("Potter plc", "ap@potter.example")
    scenario.company.invoice("Miller & Sons", "1200.00", due_on=TODAY - timedelta(days=6))
    scenario.company.invoice("Miller & Sons", "80.50", due_on=TODAY + timedelta(days=20))
    scenario.company.invoice("Potter plc", "640.00", due_on=TODAY - timedelta(days=2))
    scenario.go_live().run()


@pytest.fixture
def scenario(
    resume_after: ResumeAfter, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[PortalScenario]:
    """Two customers with open invoices, and the portal link from the first email to one of them."""
    monkeypatch.setenv("DUEWELL_BASE_URL", f"https://{HOST}")
    with resume_after(send_reminders, getattr(request, "param", "xero")) as made:
        overdue, upcoming, foreign = made.company.numbers
        [email] = made.sandbox.sendgrid.emails_to(MILLER)
        [link] = re.findall(rf"https://{HOST}/c/[a-z2-7]{{32}}", email.text)
        assert link in email.html.replace("&#x2f;", "/")
        for url in serve(made):
            yield PortalScenario(
                **vars(made), client=PortalClient(url, link), overdue=overdue, upcoming=upcoming, foreign=foreign
            )


def visible_text(page: requests.Response) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page.text)).replace("\u00a0", " ").split())


def list_tasks(scenario: Scenario, code: TaskCode) -> list[Task]:
    with reading(scenario.app.engine) as session:
        return [task for task in session.scalars(select(Task).order_by(col(Task.id))) if task.code == code]


def find_row(scenario: Scenario, number: str) -> InvoiceRow:
    with reading(scenario.app.engine) as session:
        return find_invoice(session, number, scenario.connection)


def decision_of(scenario: Scenario, number: str) -> tuple[str, date | None]:
    with reading(scenario.app.engine) as session:
        key = (scenario.connection, find_row(scenario, number).external_id)
        found = session.get_one(InvoiceDecisionRow, key)
        return found.code, found.next_on


def find_miller(scenario: Scenario) -> CustomerRow:
    with reading(scenario.app.engine) as session:
        return find_customer(session, "Miller & Sons", scenario.connection)


def customer_setting(scenario: Scenario) -> CustomerSetting | None:
    with reading(scenario.app.engine) as session:
        return session.get(CustomerSetting, (scenario.connection, find_miller(scenario).external_id))


def stored_state(scenario: Scenario) -> str:
    """Everything that a response could change, in one text."""
    with reading(scenario.app.engine) as session:
        tables = (Task, Agreement, CustomerSetting, OutboxEntry, PortalResponse, PortalFile)
        rows = [repr(each) for table in tables for each in session.scalars(select(table))]
        return "\n".join([*rows, *(entry.text for entry in sync_log.list_entries(session))])
