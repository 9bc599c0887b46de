"""Fixtures for tests of connecting: simulated services, an installation that uses them, and consents."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from urllib.parse import urljoin

import pytest
import requests
from typer import testing

from connector.app_context import AppContext, open_app
from connector.cli.main import cli
from connector.connections.registry import begin_consent, finish_consent
from connector.db.engine import open_engine, upgrade
from connector.db.tables import Connection
from connector.settings import load_settings, setting_names
from sandbox import Sandbox

# Each call of a command would put all commands together anew: a tenth of a second.
testing._get_command = cache(testing._get_command)  # type: ignore[attr-defined]
NOW = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)


@dataclass(frozen=True)
class SandboxServices:
    """The sandbox and its URL."""

    sandbox: Sandbox
    url: str

    def count_token_calls(self, service: str = "xero") -> int:
        return self.sandbox.requests.count_of(service, "token")


@dataclass(frozen=True)
class CommandResult:
    """The output of a command."""

    exit_code: int
    out: str
    err: str


Command = Callable[..., CommandResult]
GiveConsent = Callable[..., list[Connection]]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in setting_names():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def services() -> Iterator[SandboxServices]:
    """The simulated services, with a stopped clock."""
    sandbox = Sandbox(now=NOW)
    with sandbox.serve() as url:
        yield SandboxServices(sandbox, url)


@pytest.fixture
def app(services: SandboxServices, tmp_path: Path, new_home: Callable[[Path], Path]) -> Iterator[AppContext]:
    """An installation on SQLite with the services' clock."""
    yield from _open_app(services, new_home(tmp_path / "home"), "")


@pytest.fixture
def either_app(services: SandboxServices, tmp_path: Path, database_url: str) -> Iterator[AppContext]:
    """The same on SQLite and on PostgreSQL."""
    engine = open_engine(database_url)
    upgrade(engine)
    engine.dispose()
    yield from _open_app(services, tmp_path / "home", database_url)


def _open_app(services: SandboxServices, home: Path, database_url: str) -> Iterator[AppContext]:
    own = {name.lower(): value for name, value in services.sandbox.settings(services.url).items()}
    settings = load_settings(**own, duewell_home=home, duewell_database_url=database_url)
    app = open_app(settings, now=services.sandbox.clock.now, sleep=services.sandbox.clock.sleep)
    yield app
    app.close()


@pytest.fixture
def give_consent() -> GiveConsent:
    """Grant a consent as a user would, and return the connections."""

    def give(app: AppContext, ledger: str, *organisations: str) -> list[Connection]:
        return finish_consent(app, ledger, answer_consent_page(begin_consent(app, ledger).url, organisations))

    return give


@pytest.fixture
def answer_consent() -> Callable[..., str]:
    """Answer a consent page as a user would (also "sandbox_deny"), and return where it redirects."""
    return answer_consent_page


def answer_consent_page(consent_url: str, organisations: Sequence[str] = (), answer: str = "sandbox_allow") -> str:
    """Answer the consent page and return where it sends the person."""
    chosen = "".join(f"&sandbox_organisation={each}" for each in organisations)
    reply = requests.get(f"{consent_url}&{answer}=all{chosen}", allow_redirects=False, timeout=30)
    return urljoin(consent_url, reply.headers["Location"])


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def environment(services: SandboxServices, tmp_path: Path, free_port: int) -> dict[str, str]:
    """The environment of a separate process: real clock, the sandbox's services."""
    services.sandbox.clock.run()
    return {
        **{name: value for name, value in os.environ.items() if name not in setting_names()},
        **services.sandbox.settings(services.url),
        "DUEWELL_HOME": str(tmp_path / "home"),
        "DUEWELL_BASE_URL": f"http://localhost:{free_port}",
    }


@pytest.fixture
def duewell(monkeypatch: pytest.MonkeyPatch, services: SandboxServices, tmp_path: Path) -> Command:
    """Run a command in this process, with the same home as ``installation``."""
    for name, value in {**services.sandbox.settings(services.url), "DUEWELL_HOME": str(tmp_path / "home")}.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str, stdin: str = "") -> CommandResult:
        result = testing.CliRunner().invoke(cli, list(arguments), input=stdin, prog_name="duewell")
        return CommandResult(result.exit_code, result.stdout, result.stderr)

    return run
