"""A reminder that was sent, and the web app in which what comes back arrives."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import uvicorn
from sqlalchemy import select

from connector.app_context import AppContext
from connector.arrangements.customer_settings import find_customer
from connector.audit import sync_log
from connector.db.engine import reading
from connector.db.tables import CustomerSetting, OutboxEntry, Task
from connector.vocabulary import OutboxKind, RunOutcome, TaskCode
from connector.web.app import make_app
from sandbox.sendgrid.message_store import Email
from tests.connector.scenario import ResumeAfter, Scenario, add_late_customer

TODAY = date(2026, 6, 10)
ASHDOWN = "accounts@ashdown.example"
HOST = "reminders.larkspur.example"
REPLIES = "reply.larkspur.example"


class FakeScheduler:
    def is_alive(self) -> bool:
        return True


class WebClient:
    """The web app over real HTTP, behind the proxy that a public address stands for."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, link: str, **options: Any) -> requests.Response:
        return self._request("GET", link, **options)

    def post(self, link: str, **options: Any) -> requests.Response:
        return self._request("POST", link, **options)

    def _request(
        self, method: str, link: str, headers: dict[str, str] | None = None, **options: Any
    ) -> requests.Response:
        parts = urlsplit(link)
        url = f"{self.url}{parts.path}?{parts.query}" if parts.query else self.url + parts.path
        return requests.request(method, url, headers={"Host": HOST, **(headers or {})}, timeout=20, **options)


@dataclass(kw_only=True)
class InboundScenario(Scenario):
    """A live company that is reached over https, and a customer who has been sent a reminder."""

    client: WebClient
    email: Email


@contextmanager
def serve(app: AppContext) -> Iterator[WebClient]:
    server = uvicorn.Server(uvicorn.Config(make_app(app, FakeScheduler()), log_config=None, lifespan="off"))
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    yield WebClient(f"http://127.0.0.1:{listening.getsockname()[1]}")
    server.should_exit = True
    thread.join(timeout=10)


def send_reminder(scenario: Scenario) -> None:
    add_late_customer(scenario)
    scenario.run()


@pytest.fixture
def scenario(resume_after: ResumeAfter, monkeypatch: pytest.MonkeyPatch) -> Iterator[InboundScenario]:
    """A customer who is six days overdue and has been sent a reminder."""
    monkeypatch.setenv("DUEWELL_BASE_URL", f"https://{HOST}")
    monkeypatch.setenv("MAIL_REPLY_DOMAIN", REPLIES)
    with resume_after(send_reminder, "xero") as made:
        [email] = made.sandbox.sendgrid.emails_to(ASHDOWN)
        with serve(made.app) as client:
            yield InboundScenario(**vars(made), client=client, email=email)


def list_tasks(scenario: Scenario, code: TaskCode) -> list[Task]:
    with reading(scenario.app.engine) as session:
        return [task for task in session.scalars(select(Task)) if task.code == code]


def customer_setting(scenario: Scenario) -> CustomerSetting | None:
    with reading(scenario.app.engine) as session:
        customer = find_customer(session, "Ashdown Ltd")
        return session.get(CustomerSetting, (customer.connection_id, customer.external_id))


def log_text(scenario: Scenario) -> str:
    with reading(scenario.app.engine) as session:
        return "\n".join(entry.text for entry in sync_log.list_entries(session))


def email_entry(scenario: Scenario) -> OutboxEntry:
    with reading(scenario.app.engine) as session:
        [found] = [each for each in session.scalars(select(OutboxEntry)) if each.kind == OutboxKind.EMAIL]
        return found


def run_for_days(scenario: Scenario, days: int, every: int = 1) -> None:
    """Sync every day, except at weekends, when no email is sent, or every few days; on the last one in any case."""
    while days > 0:
        scenario.pass_days(min(every, days))
        days -= every
        if every > 1 or days <= 0 or scenario.today.weekday() < 5:
            assert scenario.run().outcome == RunOutcome.OK
