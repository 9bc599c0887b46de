"""No raw identifier reaches people: after days of syncs, on every page, in command-line output and in every email."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from html.parser import HTMLParser
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlmodel import Session, col

from connector import policy_store
from connector.app_context import AppContext, open_app
from connector.connections.registry import set_mode
from connector.db.engine import reading, writing
from connector.db.tables import CustomerRow, ExceptionRow, InvoiceDecisionRow, OutboxEntry, SyncLogEntry, SyncRun, Task
from connector.reports.catalogue import REPORTS
from connector.run import run_connection
from connector.settings import load_settings
from connector.vocabulary.labels import vocabularies
from connector.web.app import ROUTES
from connector.web.routes import PUBLIC
from tests.connector.installed import Command, GiveConsent, SandboxServices
from tests.connector.site import Clock, Site, serve_app

DAYS = 9  # long enough for a warning and the late fee that follows a week later
POLICY = '[late_fees]\nenabled = true\napproval = "automatic"\nterms_agreed_on = 2024-01-01\n'
RAW_VALUES = {value for labels in vocabularies().values() for value in labels if "_" in value}
IDENTIFIER = re.compile(r"\b[a-z]+(?:_[a-z0-9]+)+\b")
# What users may copy: documents, commands, and the data of a log entry.
VERBATIM = {"code", "pre", "textarea", "script", "style"}
COMMANDS = (
    "status",
    "plan --days 30",
    "connections",
    "outbox",
    "fees",
    "tasks list --closed",
    "customers",
    "invoices list --closed",
    "exceptions",
    "policy versions",
    "log --limit 5000",
    "run --dry-run",
    "doctor",
    "privacy retention",
    "reports",
    *(f"reports {name}" for name in REPORTS),
)


class VisibleText(HTMLParser):
    """Collects what a page shows: text, titles, labels and placeholders, without verbatim parts."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._verbatim = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._verbatim += tag in VERBATIM
        self.texts += [text for name, text in attrs if text and name in {"title", "alt", "aria-label", "placeholder"}]

    def handle_endtag(self, tag: str) -> None:
        self._verbatim -= tag in VERBATIM

    def handle_data(self, data: str) -> None:
        if not self._verbatim:
            self.texts.append(data)


@pytest.fixture
def base(free_port: int) -> str:
    return f"http://localhost:{free_port}"


@pytest.fixture
def synced(
    services: SandboxServices, base: str, tmp_path: Path, new_home: Callable[[Path], Path], give_consent: GiveConsent
) -> Iterator[AppContext]:
    """An installation with a year-old company on each ledger, live for some days with late fees."""
    services.sandbox.xero.limits.minute = 0  # with a stopped clock, a minute would never end
    own = {name.lower(): value for name, value in services.sandbox.settings(services.url).items()}
    settings = load_settings(**own, duewell_home=new_home(tmp_path / "home"), duewell_base_url=base)
    app = open_app(settings, now=services.sandbox.clock.now, sleep=services.sandbox.clock.sleep)
    with writing(app.engine) as session:
        policy_store.set_policy(session, POLICY, by="Ann", at=app.now())
    ids = [give_consent(app, ledger)[0].id or 0 for ledger in ("xero", "quickbooks")]
    for connection_id in ids:
        run_connection(app, connection_id)
        set_mode(app, connection_id, "live", by="Ann")
    for _ in range(0, DAYS, 3):
        for connection_id in ids:
            run_connection(app, connection_id)
        services.sandbox.clock.advance(timedelta(days=3))
    yield app
    app.close()


def raw_identifiers(text: str) -> set[str]:
    return {found for found in IDENTIFIER.findall(text) if found in RAW_VALUES}


def visible(html: str) -> str:
    reader = VisibleText()
    reader.feed(html)
    return " ".join(reader.texts)


def one_of_each(session: Session, *columns: Any) -> list[Any]:
    """Return a row for each combination of these columns' values."""
    table = columns[0].class_
    key = tuple(column.key for column in columns)
    rows: dict[Any, Any] = {}
    for row in session.scalars(select(table)):
        rows.setdefault(tuple(getattr(row, name) for name in key), row)
    return list(rows.values())


def page_paths(app: AppContext) -> Iterator[str]:
    """Yield the path of each page, of detail pages one for every state, kind and code there is."""
    with reading(app.engine) as session:
        entries = one_of_each(session, col(OutboxEntry.kind), col(OutboxEntry.state), col(OutboxEntry.step))
        decisions = one_of_each(session, col(InvoiceDecisionRow.kind), col(InvoiceDecisionRow.code))
        exceptions = one_of_each(session, col(ExceptionRow.code))
        values: list[dict[str, Any]] = [
            *({"entry": row.id} for row in entries),
            *({"line": row.id} for row in one_of_each(session, col(SyncLogEntry.kind))),
            *({"run": row.id} for row in one_of_each(session, col(SyncRun.connection_id), col(SyncRun.outcome))),
            *({"task": row.id} for row in one_of_each(session, col(Task.code), col(Task.state))),
            *({"company": row.connection_id, "invoice": row.invoice_id} for row in decisions),
            *({"company": row.connection_id, "customer": row.customer_id} for row in (*decisions, *exceptions)),
            *({"company": row.connection_id} for row in one_of_each(session, col(CustomerRow.connection_id))),
            *({"report": name} for name in REPORTS),
            {},
        ]
    pages = [
        route.path
        for route in ROUTES
        if route.method == "GET" and route.min_role is not PUBLIC and not route.path.endswith("/email.html")
    ]
    seen = set()
    for path, ids in product(pages, values):
        names = re.findall(r"\{(\w+)", path)
        if set(names) == set(ids):
            filled = re.sub(r":\w+\}", "}", path).format_map(ids)
            seen.add(path)
            yield filled + ("?mode=approve" if path.endswith("/mode") else "")
    assert len(seen) > 30


def check_pages(app: AppContext, base: str, port: int) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    statuses: dict[str, int] = {}
    with serve_app(app, port):
        browser = Site(app, Clock(app.now()), base).sign_in("owner")
        for path in page_paths(app):
            page = browser.get(path)
            statuses[path] = page.status_code
            if page.headers["Content-Type"].startswith("text/html"):
                found[path] = raw_identifiers(visible(page.text))
    assert {path: status for path, status in statuses.items() if status not in {200, 409}} == {}
    return found


def check_commands(app: AppContext, duewell: Command) -> dict[str, set[str]]:
    with reading(app.engine) as session:
        decisions = one_of_each(session, col(InvoiceDecisionRow.kind), col(InvoiceDecisionRow.code))
    explained = [f"explain {row.invoice_id} --connection {row.connection_id}" for row in decisions]
    shown = [f"customers show {row.customer_id} --connection {row.connection_id}" for row in decisions]
    results = {command: duewell(*command.split()) for command in (*COMMANDS, *explained, *shown)}
    assert {command: result.err for command, result in results.items() if result.exit_code == 2} == {}
    return {command: raw_identifiers(result.out + result.err) for command, result in results.items()}


def check_emails(services: SandboxServices) -> dict[str, set[str]]:
    emails = services.sandbox.sendgrid.emails()
    assert len(emails) > 20
    return {email.subject: raw_identifiers(f"{email.subject} {email.text} {visible(email.html)}") for email in emails}


def test_no_page_command_or_email_shows_a_raw_identifier(
    synced: AppContext, services: SandboxServices, duewell: Command, base: str, free_port: int
) -> None:
    found = check_pages(synced, base, free_port) | check_commands(synced, duewell) | check_emails(services)
    assert {where: values for where, values in found.items() if values} == {}


def test_the_search_finds_raw_identifiers_but_no_verbatim_text() -> None:
    page = '<p title="awaiting_approval">late_fee</p><code>past_due</code> an_unknown_word'
    assert raw_identifiers(visible(page)) == {"awaiting_approval", "late_fee"}
