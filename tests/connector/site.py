"""A served web app for tests: companies and users in its database, and a simple browser."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import requests
import uvicorn

from benchmarks.full_year import NOW, DataSize, fill_company
from connector.app_context import AppContext, open_app
from connector.auth.sign_in import create_link
from connector.auth.users import add_user, find_user
from connector.db.engine import writing
from connector.db.tables import Connection, CustomerRow, InvoiceRow
from connector.settings import load_settings, setting_names
from connector.web.app import make_app
from policies.receivables import InvoiceStatus

NOON = datetime(2026, 6, 10, 11, 0, tzinfo=UTC)
PASSWORD = "correct horse battery staple"  # gitleaks:allow


@dataclass
class Clock:
    """A clock that stands still until a test advances it."""

    at: datetime = NOON

    def now(self) -> datetime:
        return self.at

    def advance(self, **how: float) -> None:
        self.at += timedelta(**how)


class HealthyScheduler:
    """A scheduler that is alive."""

    def is_alive(self) -> bool:
        return True


@dataclass
class Browser:
    """A minimal browser: keeps cookies and submits forms as they are on the page."""

    base: str
    http: requests.Session = field(default_factory=requests.Session)
    page: requests.Response | None = None

    def get(self, path: str, **more: Any) -> requests.Response:
        self.page = self.http.get(self.base + path, timeout=20, **more)
        return self.page

    def post(self, path: str, fields: Any = None, *, origin: str | None = None, **more: Any) -> requests.Response:
        """Post fields as a page of the app would; without a CSRF token unless ``fields`` contains one."""
        headers = {"Origin": self.base if origin is None else origin}
        return self.http.post(self.base + path, data=fields, headers=headers, timeout=20, **more)

    def submit(self, action: str, fields: dict[str, Any] | None = None) -> requests.Response:
        """Fill in and submit the form with this action on the current page."""
        assert self.page is not None
        self.page = self.post(action, {**hidden_fields(self.page.text, action), **(fields or {})})
        return self.page

    def submit_file(
        self, action: str, field: str | None, name: str, content: str | bytes, fields: dict[str, Any] | None = None
    ) -> requests.Response:
        """Choose a file in the form with this action on the current page, and submit it; None chooses none."""
        assert self.page is not None
        own = {**hidden_fields(self.page.text, action), **(fields or {})}
        raw = content.encode() if isinstance(content, str) else content
        files = {field or "none": (name, raw) if field else ("", b"")}
        self.page = self.post(action, own, files=files)
        return self.page

    @property
    def text(self) -> str:
        assert self.page is not None
        return unescape(re.sub(r"<[^>]+>", " ", self.page.text))


def hidden_fields(page: str, action: str) -> dict[str, list[str]]:
    """Return the hidden fields of the form on a page that posts to ``action``."""
    for form in re.findall(r"<form\b.*?</form>", page, re.DOTALL):
        opening = unescape(form.partition(">")[0] + ">")
        if f'action="{action}"' in opening and 'method="post"' in opening:
            fields: dict[str, list[str]] = {}
            for name, value in re.findall(r'<input type="hidden" name="([\w-]+)" value="([^"]*)"', form):
                fields.setdefault(name, []).append(unescape(value))
            return fields
    message = f"no form to {action} on the page"
    raise AssertionError(message)


@dataclass
class Site:
    """A served installation."""

    app: AppContext
    clock: Clock
    base: str

    def browser(self) -> Browser:
        return Browser(self.base)

    def add_company(self, name: str, **more: Any) -> int:
        """Add a company without an accounting system behind it."""
        with writing(self.app.engine) as session:
            row = Connection(
                short_name=name.lower().replace(" ", "-"),
                provider=more.pop("provider", "xero"),
                external_id=name,
                name=name,
                created_at=self.clock.at,
                **{"health": "ok", "mode": "approve", "synced_at": self.clock.at, **more},
            )
            session.add(row)
            session.flush()
            return row.id or 0

    def add_user(self, role: str, *companies: int, email: str = "") -> str:
        email = email or f"{role}@example.com"
        with writing(self.app.engine) as session:
            add_user(session, email, role, companies=companies or None, by="a test", at=self.clock.at)
        return email

    def sign_in(self, role: str, *companies: int, email: str = "") -> Browser:
        """Add a user and sign in by a link, which skips the slow password hash."""
        email = self.add_user(role, *companies, email=email)
        with writing(self.app.engine) as session:
            link = create_link(session, find_user(session, email), self.clock.at, signs_in_directly=True)
        browser = self.browser()
        assert browser.get(f"/welcome/{link}").status_code == 200
        return browser

    def add_rows(self, *rows: Any) -> None:
        with writing(self.app.engine) as session:
            session.add_all(rows)

    def add_overdue_invoice(self, company: int, number: str = "I-1", *, days: int = 2) -> None:
        """Add the customer Miller & Sons, with an invoice over GBP 1,200.00 that is so many days overdue."""
        due_on = self.clock.at.date() - timedelta(days=days)
        self.add_rows(
            CustomerRow(connection_id=company, external_id="c1", name="Miller & Sons", emails="ap@miller.example"),
            InvoiceRow(
                connection_id=company, external_id="i1", number=number, customer_id="c1", currency="GBP",
                issued_on=due_on - timedelta(days=30), due_on=due_on, total_e4=12_000_000, due_e4=12_000_000,
                status=InvoiceStatus.OPEN, is_open=True,
            ),
        )  # fmt: skip


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in setting_names():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@contextmanager
def serve_app(app: AppContext, port: int) -> Iterator[None]:
    """Serve the web app in a thread."""
    config = uvicorn.Config(make_app(app, HealthyScheduler()), host="127.0.0.1", port=port, log_level="critical")
    server = uvicorn.Server(config)
    ready, startup = threading.Event(), server.startup

    async def tell(*arguments: Any, **more: Any) -> None:
        await startup(*arguments, **more)
        ready.set()

    server.startup = tell  # type: ignore[method-assign]
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert ready.wait(60)
    yield
    server.should_exit = True
    thread.join()


@pytest.fixture
def settings() -> dict[str, Any]:
    """Settings of the installation; tests override this fixture."""
    return {}


@pytest.fixture
def site(tmp_path: Path, settings: dict[str, Any], new_home: Callable[[Path], Path]) -> Iterator[Site]:
    """An empty installation on SQLite, served at noon."""
    home = new_home(tmp_path / "home")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    base = f"http://localhost:{port}"
    clock = Clock()
    own = {"duewell_home": home, "duewell_database_url": f"sqlite:///{home}/duewell.db", "duewell_base_url": base}
    app = open_app(load_settings(**{**own, **settings}), now=clock.now)
    with serve_app(app, port):
        yield Site(app, clock, base)
    app.close()


@pytest.fixture
def site_with_invoices(site: Site) -> Site:
    """A site with a company of six customers with three open invoices each; i10, i11 and i12 are the second's."""
    site.clock.at = NOW
    company = site.add_company("North Ltd", base_currency="EUR", country="DE", first_pull_done_at=NOW)
    with writing(site.app.engine) as session:
        fill_company(session, DataSize(invoices=60, runs=5), company)
    return site


QueryCounter = Callable[[Callable[[], object]], int]


@pytest.fixture
def count_queries(site: Site) -> QueryCounter:
    """Return a function that counts the SELECTs of an action."""
    from sqlalchemy import event  # noqa: PLC0415

    def count(act: Callable[[], object]) -> int:
        seen: list[str] = []

        def note(_c: Any, _k: Any, statement: str, *_more: Any) -> None:
            if statement.lstrip().upper().startswith("SELECT"):
                seen.append(statement)

        event.listen(site.app.engine, "before_cursor_execute", note)
        try:
            act()
        finally:
            event.remove(site.app.engine, "before_cursor_execute", note)
        return len(seen)

    return count
