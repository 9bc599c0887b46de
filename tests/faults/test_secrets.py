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

from connector import sync_log
from connector.access import api_tokens, sign_in
from connector.access.connections import begin_consent, disconnect, finish_consent, set_mode
from connector.access.sessions import Browser
from connector.access.tokens import bound_to
from connector.access.users import add_user
from connector.database import reading, writing
from connector.installation import Installation
from connector.tables import Grant

START = datetime(2026, 6, 10, 11, 0, tzinfo=UTC)
TODAY = START.date()
PASSWORD = "kanarienvogel im kohlenschacht"  # gitleaks:allow
CUSTOMER = "Kanarienvogel Nachfolger"
AMOUNT = "7771.37"


@contextmanager
def listening(capfd: pytest.CaptureFixture[str]) -> Iterator[list[str]]:
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
def _deaf() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def tokens_of(installation: Installation) -> set[str]:
    """Every token there is at the moment, as the vendors gave it."""
    with reading(installation.engine) as session:
        grants = session.scalars(select(Grant)).all()
    opened = [json.loads(installation.keyring.decrypt(grant.token, bound_to(grant))) for grant in grants if grant.token]
    return {str(token[name]) for token in opened for name in ("access_token", "refresh_token")}


def cut(text: str, secret: str) -> str:
    """What stands around a secret that was found."""
    at = text.index(secret)
    return text[max(0, at - 150) : at + 20]


def people(installation: Installation) -> set[str]:
    """Make a user, a session, a link and an API token; what must not be found of them."""
    with writing(installation.engine) as session:
        user = add_user(session, "ann@example.com", "owner", by="a test", at=installation.now())
        link = sign_in.make_link(session, user, installation.now())
        _row, program = api_tokens.make(session, "canary", "read", by="a test", at=installation.now())
    token = sign_in.choose_password(installation, link, PASSWORD, Browser("192.0.2.1", "a browser"))
    with pytest.raises(sign_in.SignInError):
        sign_in.sign_in(installation, "ann@example.com", PASSWORD[:-1], Browser())
    return {link, token, program, PASSWORD}


def consented(town: Any) -> set[str]:
    """Connect as a person does; returns what came along in addresses."""
    installation, provider = town.installation, town.books.provider
    request = begin_consent(installation, provider)
    url = f"{request.url}&sandbox_allow=1&sandbox_organisation={town.books.company}"
    with _deaf():  # to what this browser of ours says
        back = urljoin(url, requests.get(url, allow_redirects=False, timeout=10).headers["Location"])
    town.connection = finish_consent(installation, provider, back)[0].id or 0
    code = parse_qs(urlsplit(back).query)["code"][0]
    return {each for each in (code, request.state, request.verifier) if each}


def go_wrong(town: Any, secrets: set[str], said: list[str]) -> None:
    """Let vendors answer with what they were told, and runs end badly in every way there is."""
    faults, provider = town.sandbox.faults, town.books.provider
    echo = " ".join(sorted(secrets))
    told = json.dumps({"error": "server_error", "error_description": echo, "Detail": echo})
    for status, body in ((500, f"<html>{echo}</html>"), (400, told), (401, told), (200, "{" + echo)):
        for kind in ("read", "write"):
            faults.refuse(status, body=body, vendor=provider, kind=kind, times=0)
        faults.refuse(status, body=body, vendor="sendgrid", times=0)
        town.books.invoice(CUSTOMER, AMOUNT, due_on=TODAY - timedelta(days=40))
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
        sing(town, capfd)


def sing(town: Any, capfd: pytest.CaptureFixture[str]) -> None:
    installation = town.installation
    settings = installation.settings
    named = ("sendgrid_api_key", f"{town.books.provider}_client_secret", "xero_webhook_key", "quickbooks_webhook_token")
    secrets = {getattr(settings, name) for name in named}
    town.books.customer(CUSTOMER, email="kanari@nachfolger.example")
    town.books.invoice(CUSTOMER, AMOUNT, due_on=TODAY - timedelta(days=9))
    said: list[str] = []
    with listening(capfd) as heard:
        secrets |= people(installation) | consented(town) | tokens_of(installation)
        assert town.run().outcome == "ok"
        set_mode(installation, town.connection, "live")
        assert town.run().outcome == "ok"
        town.sandbox.clock.advance(timedelta(hours=3))  # the token ends, and is refreshed
        assert town.run().outcome == "ok"
        secrets |= tokens_of(installation)
        go_wrong(town, secrets, said)
        secrets |= tokens_of(installation)
        said += disconnect(installation, town.connection)
        said.append(repr(installation))
    mails = town.sandbox.sendgrid.mails()
    with reading(installation.engine) as session:
        said += [f"{line.text} {line.facts}" for line in sync_log.entries(session)]
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
    found = {(place, cut(text, secret)) for place, text in places.items() for secret in secrets if secret in text}
    assert found == set()
    assert len(secrets) > 10
    assert mails
    assert "DEBUG is heard" in heard
    assert CUSTOMER in places["duewell.db"] + places["duewell.db-wal"]
    assert [word for word in (CUSTOMER, "nachfolger.example", AMOUNT) if word in places["the log of the program"]] == []
