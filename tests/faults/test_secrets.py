"""Secrets stay where they belong: none is found anywhere, whether everything goes well or everything fails."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest
import requests
from sqlalchemy import select

from connector.app_context import AppContext
from connector.audit import sync_log
from connector.auth import api_tokens, sign_in
from connector.auth.sessions import Browser
from connector.auth.users import add_user
from connector.connections.registry import begin_consent, disconnect, finish_consent, set_mode
from connector.connections.tokens import associated_data
from connector.db.engine import reading, writing
from connector.db.tables import Grant
from connector.vocabulary import ConnectionMode, RunOutcome
from tests.connector.scenario import Scenario
from tests.faults.conftest import FastScenarioFactory

START = datetime(2026, 6, 10, 11, 0, tzinfo=UTC)
TODAY = START.date()
PASSWORD = "kanarienvogel im kohlenschacht"  # gitleaks:allow
CUSTOMER = "Kanarienvogel Nachfolger"
AMOUNT = "7771.37"


@contextmanager
def captured_output(capfd: pytest.CaptureFixture[str]) -> Iterator[list[str]]:
    """Capture what any logger logs at DEBUG, and what reaches the terminal."""
    lines: list[str] = []

    class Capture(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    handler, root = Capture(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    logging.getLogger("some.library").debug("DEBUG is captured")
    try:
        yield lines
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        lines.extend(capfd.readouterr())


@contextmanager
def _logging_disabled() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def tokens_of(app: AppContext) -> set[str]:
    """Return every token there is now, as the services issued it."""
    with reading(app.engine) as session:
        grants = session.scalars(select(Grant)).all()
    tokens = [json.loads(app.keyring.decrypt(grant.token, associated_data(grant))) for grant in grants if grant.token]
    return {str(token[name]) for token in tokens for name in ("access_token", "refresh_token")}


def excerpt(text: str, secret: str) -> str:
    """Return the text around a secret that was found."""
    at = text.index(secret)
    return text[max(0, at - 150) : at + 20]


def create_access(app: AppContext) -> set[str]:
    """Create a user, a session, a link and an API token, and return their secrets."""
    with writing(app.engine) as session:
        user = add_user(session, "ann@example.com", "owner", by="a test", at=app.now())
        link = sign_in.create_link(session, user, app.now())
        _row, program = api_tokens.create(session, "canary", "read", by="a test", at=app.now())
    token = sign_in.set_password(app, link, PASSWORD, Browser("192.0.2.1", "a browser"))
    with pytest.raises(sign_in.SignInError):
        sign_in.sign_in(app, "ann@example.com", PASSWORD[:-1], Browser())
    return {link, token, program, PASSWORD}


def connect(scenario: Scenario) -> set[str]:
    """Connect as a user does, and return the secrets in the URLs."""
    app, provider = scenario.app, scenario.company.provider
    request = begin_consent(app, provider)
    url = f"{request.url}&sandbox_allow=1&sandbox_organisation={scenario.company.external_id}"
    with _logging_disabled():  # of this test's own browser
        back = urljoin(url, requests.get(url, allow_redirects=False, timeout=10).headers["Location"])
    scenario.connection = finish_consent(app, provider, back)[0].id or 0
    code = parse_qs(urlsplit(back).query)["code"][0]
    return {each for each in (code, request.state, request.code_verifier) if each}


def fail_everywhere(scenario: Scenario, secrets: set[str], printed: list[str]) -> None:
    """Make services reply with the secrets they were sent, and make runs fail in every way."""
    faults, provider = scenario.sandbox.faults, scenario.company.provider
    echo = " ".join(sorted(secrets))
    error = json.dumps({"error": "server_error", "error_description": echo, "Detail": echo})
    for status, body in ((500, f"<html>{echo}</html>"), (400, error), (401, error), (200, "{" + echo)):
        for kind in ("read", "write"):
            faults.refuse(status, body=body, service=provider, kind=kind, times=0)
        faults.refuse(status, body=body, service="sendgrid", times=0)
        scenario.company.invoice(CUSTOMER, AMOUNT, due_on=TODAY - timedelta(days=40))
        scenario.sandbox.clock.advance(timedelta(hours=3))
        printed.append(str(scenario.run()))
        faults.clear()
    faults.refuse(400, body=json.dumps({"error": "invalid_grant", "error_description": echo}), kind="token", times=0)
    scenario.sandbox.clock.advance(timedelta(hours=3))
    printed.append(str(scenario.run()))
    faults.clear()


@pytest.mark.parametrize("provider", ["xero", "quickbooks"])
def test_no_secret_is_printed_emailed_logged_or_stored_in_plain_text(
    fast_scenario_at: FastScenarioFactory, provider: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with fast_scenario_at(START, provider) as scenario:
        assert_no_secret_leaks(scenario, capfd)


def assert_no_secret_leaks(scenario: Scenario, capfd: pytest.CaptureFixture[str]) -> None:
    app = scenario.app
    settings = app.settings
    named = (
        "sendgrid_api_key",
        f"{scenario.company.provider}_client_secret",
        "xero_webhook_key",
        "quickbooks_webhook_token",
    )
    secrets = {getattr(settings, name) for name in named}
    scenario.company.customer(CUSTOMER, email="kanari@nachfolger.example")
    scenario.company.invoice(CUSTOMER, AMOUNT, due_on=TODAY - timedelta(days=9))
    printed: list[str] = []
    with captured_output(capfd) as captured:
        secrets |= create_access(app) | connect(scenario) | tokens_of(app)
        assert scenario.run().outcome == RunOutcome.OK
        set_mode(app, scenario.connection, ConnectionMode.LIVE)
        assert scenario.run().outcome == RunOutcome.OK
        scenario.sandbox.clock.advance(timedelta(hours=3))  # the token expires, and is refreshed
        assert scenario.run().outcome == RunOutcome.OK
        secrets |= tokens_of(app)
        fail_everywhere(scenario, secrets, printed)
        secrets |= tokens_of(app)
        printed += disconnect(app, scenario.connection)
        printed.append(repr(app))
    emails = scenario.sandbox.sendgrid.emails()
    with reading(app.engine) as session:
        printed += [f"{entry.text} {entry.facts}" for entry in sync_log.list_entries(session)]
    places = {
        "the program's log": "\n".join(captured),
        "results and the sync log": "\n".join(printed),
        "emails": "\n".join(map(repr, emails)),
        **{
            file.name: file.read_bytes().decode("latin-1")
            for file in settings.duewell_home.rglob("*")
            if file.is_file() and file.name != "secret.key"
        },
    }
    found = {(place, excerpt(text, secret)) for place, text in places.items() for secret in secrets if secret in text}
    assert found == set()
    assert len(secrets) > 10
    assert emails
    assert "DEBUG is captured" in captured
    assert CUSTOMER in places["duewell.db"] + places["duewell.db-wal"]
    assert [text for text in (CUSTOMER, "nachfolger.example", AMOUNT) if text in places["the program's log"]] == []
