"""Secrets stay where they belong: canaries are planted everywhere, all goes well and then wrong, and nothing sings."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
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

START = datetime(2026, 6, 10, 11, 0, tzinfo=UTC)
TODAY = START.date()
PASSWORD = "kanarienvogel im kohlenschacht"  # gitleaks:allow
CUSTOMER = "Kanarienvogel Nachfolger"
AMOUNT = "7771.37"


@contextmanager
def captured_output(capfd: pytest.CaptureFixture[str]) -> Iterator[list[str]]:
    """Hear everything that is said at DEBUG by anything at all, and what reaches the terminal."""
    heard: list[str] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(self.format(record))

    ear, root = Ear(), logging.getLogger()
    before = root.level
    root.addHandler(ear)
    root.setLevel(logging.DEBUG)
    logging.getLogger("some.library").debug("DEBUG is heard")
    try:
        yield heard
    finally:
        root.removeHandler(ear)
        root.setLevel(before)
        heard.extend(capfd.readouterr())


@contextmanager
def _logging_disabled() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def tokens_of(app: AppContext) -> set[str]:
    """Every token there is at the moment, as the vendors gave it."""
    with reading(app.engine) as session:
        grants = session.scalars(select(Grant)).all()
    opened = [json.loads(app.keyring.decrypt(grant.token, associated_data(grant))) for grant in grants if grant.token]
    return {str(token[name]) for token in opened for name in ("access_token", "refresh_token")}


def excerpt(text: str, secret: str) -> str:
    """What stands around a secret that was found."""
    at = text.index(secret)
    return text[max(0, at - 150) : at + 20]


def create_access(app: AppContext) -> set[str]:
    """Make a user, a session, a link and an API token; what must not be found of them."""
    with writing(app.engine) as session:
        user = add_user(session, "ann@example.com", "owner", by="a test", at=app.now())
        link = sign_in.create_link(session, user, app.now())
        _row, program = api_tokens.create(session, "canary", "read", by="a test", at=app.now())
    token = sign_in.set_password(app, link, PASSWORD, Browser("192.0.2.1", "a browser"))
    with pytest.raises(sign_in.SignInError):
        sign_in.sign_in(app, "ann@example.com", PASSWORD[:-1], Browser())
    return {link, token, program, PASSWORD}


def connect(town: Any) -> set[str]:
    """Connect as a person does; returns what came along in addresses."""
    app, provider = town.app, town.company.provider
    request = begin_consent(app, provider)
    url = f"{request.url}&sandbox_allow=1&sandbox_organisation={town.company.external_id}"
    with _logging_disabled():  # to what this browser of ours says
        back = urljoin(url, requests.get(url, allow_redirects=False, timeout=10).headers["Location"])
    town.connection = finish_consent(app, provider, back)[0].id or 0
    code = parse_qs(urlsplit(back).query)["code"][0]
    return {each for each in (code, request.state, request.code_verifier) if each}


def fail_everywhere(town: Any, secrets: set[str], said: list[str]) -> None:
    """Let vendors answer with what they were told, and runs end badly in every way there is."""
    faults, provider = town.sandbox.faults, town.company.provider
    echo = " ".join(sorted(secrets))
    told = json.dumps({"error": "server_error", "error_description": echo, "Detail": echo})
    for status, body in ((500, f"<html>{echo}</html>"), (400, told), (401, told), (200, "{" + echo)):
        for kind in ("read", "write"):
            faults.refuse(status, body=body, service=provider, kind=kind, times=0)
        faults.refuse(status, body=body, service="sendgrid", times=0)
        town.company.invoice(CUSTOMER, AMOUNT, due_on=TODAY - timedelta(days=40))
        town.sandbox.clock.advance(timedelta(hours=3))
        said.append(str(town.run()))
        faults.clear()
    faults.refuse(400, body=json.dumps({"error": "invalid_grant", "error_description": echo}), kind="token", times=0)
    town.sandbox.clock.advance(timedelta(hours=3))
    said.append(str(town.run()))
    faults.clear()


@pytest.mark.parametrize("provider", ["xero", "quickbooks"])
def test_no_secret_is_said_mailed_logged_or_kept_in_the_open(
    quick_town: Any, provider: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with quick_town(START, provider) as town:
        assert_no_secret_leaks(town, capfd)


def assert_no_secret_leaks(town: Any, capfd: pytest.CaptureFixture[str]) -> None:
    app = town.app
    settings = app.settings
    named = (
        "sendgrid_api_key",
        f"{town.company.provider}_client_secret",
        "xero_webhook_key",
        "quickbooks_webhook_token",
    )
    secrets = {getattr(settings, name) for name in named}
    town.company.customer(CUSTOMER, email="kanari@nachfolger.example")
    town.company.invoice(CUSTOMER, AMOUNT, due_on=TODAY - timedelta(days=9))
    said: list[str] = []
    with captured_output(capfd) as heard:
        secrets |= create_access(app) | connect(town) | tokens_of(app)
        assert town.run().outcome == "ok"
        set_mode(app, town.connection, "live")
        assert town.run().outcome == "ok"
        town.sandbox.clock.advance(timedelta(hours=3))  # the token ends, and is refreshed
        assert town.run().outcome == "ok"
        secrets |= tokens_of(app)
        fail_everywhere(town, secrets, said)
        secrets |= tokens_of(app)
        said += disconnect(app, town.connection)
        said.append(repr(app))
    mails = town.sandbox.sendgrid.emails()
    with reading(app.engine) as session:
        said += [f"{line.text} {line.facts}" for line in sync_log.list_entries(session)]
    places = {
        "the log of the program": "\n".join(heard),
        "words and the sync log": "\n".join(said),
        "mails": "\n".join(map(repr, mails)),
        **{
            file.name: file.read_bytes().decode("latin-1")
            for file in settings.duewell_home.rglob("*")
            if file.is_file() and file.name != "secret.key"
        },
    }
    found = {(place, excerpt(text, secret)) for place, text in places.items() for secret in secrets if secret in text}
    assert found == set()
    assert len(secrets) > 10
    assert mails
    assert "DEBUG is heard" in heard
    assert CUSTOMER in places["duewell.db"] + places["duewell.db-wal"]
    assert [word for word in (CUSTOMER, "nachfolger.example", AMOUNT) if word in places["the log of the program"]] == []
