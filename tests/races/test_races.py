"""A sample of the races (`make races` runs all pairs): two decisions at once end as in one of their two orders."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import pytest
from sqlalchemy import Connection
from sqlalchemy.engine import URL

from connector.db import engine as database_engine
from tests.races.harness.pairs import Racer
from tests.races.harness.servers import DATABASES, quick_passwords, template_on
from tests.races.harness.syncs import race_sync

# What two people once were both told to have succeeded in, and what databases refuse where nobody waits.
PAIRS = (
    ("approve as read", "edit the text"),
    ("approve", "reject"),
    ("mark as sent", "mark as not sent"),
    ("Ann disables Ben", "Ben disables Ann"),
    ("sign in by link", "sign in by link"),
    ("hold customer", "tag customer"),
    ("complete task", "promise by task"),
    ("sign in by passkey", "sign in by passkey"),
    ("change the keys", "back up"),
    ("set money aside", "back up"),
    ("assign tasks of a list", "assign tasks of a list"),
)


@pytest.fixture(scope="module", params=DATABASES)
def racer(request: pytest.FixtureRequest) -> Iterator[Racer]:
    """A world on each database, in which decisions race."""
    url = ""
    if request.param == "postgresql":
        server: URL = request.getfixturevalue("postgresql_url")
        url = server.render_as_string(hide_password=False)
    with quick_passwords(), template_on(request.param, url) as template:
        yield Racer(template, stops_max=2)


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_two_decisions_at_once_end_as_in_one_of_their_orders(racer: Racer, first: str, second: str) -> None:
    result = racer.race(first, second)
    assert result.failures == []
    assert result.interleavings >= 2


@pytest.mark.parametrize("decision", ["reject", "edit the text", "pause company", "save template", "promise"])
def test_what_is_decided_before_an_email_is_sent_counts(racer: Racer, decision: str) -> None:
    result = race_sync(racer.template, decision, stops_max=3)
    assert result.failures == []


def test_a_missing_lock_is_found(racer: Racer, monkeypatch: pytest.MonkeyPatch) -> None:
    def begin_without_waiting(connection: Connection, *_company: object, **_how: object) -> None:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN")

    monkeypatch.setattr(database_engine._WriteQueue, "turn", lambda _queue: nullcontext())
    monkeypatch.setattr(database_engine, "_take_writers_turn", begin_without_waiting)
    monkeypatch.setattr(database_engine, "_begin_as_writer", begin_without_waiting)
    result = Racer(racer.template, stops_max=3).race("Ann disables Ben", "Ben disables Ann")
    assert result.failures
