"""The mail to the people who mind customers: once a day, what leaves, left and waits; its link stops one mail."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from connector import sync_log
from connector.access import team
from connector.access.connections import set_mode
from connector.database import reading, writing
from connector.letters import languages as language
from connector.letters import stop_mail
from connector.people.customers import find_customer, set_customer
from policies.policy import LANGUAGES

SEVEN = datetime(2026, 6, 10, 6, 20, tzinfo=UTC)  # a Wednesday, twenty past seven in London: before mails may leave
TODAY = date(2026, 6, 10)
ASHDOWN, BIRCH = "accounts@ashdown.example", "accounts@birch.example"
ANN, BO = "ann@small.example", "bo@small.example"
LINK = re.compile(r"http://localhost:\d+/stop-mail/(\S+)")


@pytest.fixture
def town(town_at: Any) -> Iterator[Any]:
    """Two customers six days late, before the window opens; Ann minds all customers."""
    with town_at(SEVEN - timedelta(days=1), "xero") as made:
        for name, address in (("Ashdown Ltd", ASHDOWN), ("Birch & Co", BIRCH)):
            made.books.customer(name, address)
            made.books.invoice(name, "1200.00", due_on=TODAY - timedelta(days=6))
        made.connect()
        team.set_default_owner(made.installation, made.connection, f"Ann <{ANN}>", by="Ann")
        assert made.run().outcome == "ok"
        made.pass_days(1)
        set_mode(made.installation, made.connection, "live")
        yield made


def digests(town: Any, reader: str = ANN) -> list[Any]:
    return list(town.sandbox.sendgrid.mails_to(reader))


def minded(town: Any, customer: str, **by: str) -> None:
    with reading(town.installation.engine) as session:
        found = find_customer(session, customer).external_id
    set_customer(town.installation, town.connection, found, by, by="Ann")


def later(town: Any, **time: float) -> None:
    town.sandbox.clock.advance(timedelta(**time))
    assert town.run().outcome == "ok"


def test_it_carries_the_newest_hash_of_the_log_which_a_log_written_anew_does_not_have(town: Any) -> None:
    town.run()
    [noted] = re.findall(r"log verify --head ([0-9a-f]{32})", digests(town)[0].text)
    engine = town.installation.engine
    with reading(engine) as session:
        assert sync_log.holds_line(session, noted)
        lines = [(line.kind, line.text, line.at) for line in sync_log.entries(session)]
    with engine.begin() as connection:  # as somebody would who has the file: chain and all
        for (name,) in connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all():
            connection.execute(text(f"DROP TRIGGER {name}"))
        connection.execute(text("DELETE FROM sync_log"))
    with writing(engine) as session:
        for kind, said, at in lines:
            sync_log.write(session, at=at, kind=kind, text=said.replace("Ashdown", "Nobody"))
    with reading(engine) as session:
        assert sync_log.verify(session).ok
        assert not sync_log.holds_line(session, noted)


def test_it_comes_once_before_the_mails_it_tells_of(town: Any) -> None:
    town.run()
    assert town.mails() == [((ANN,), digests(town)[0].subject)]
    [digest] = digests(town)
    assert "2 leave today" in digest.subject
    assert "Ashdown Ltd, £1,200.00: " in digest.text
    assert "Birch & Co, £1,200.00: " in digest.text
    for _quarter in range(4):
        later(town, minutes=15)
    assert len(digests(town)) == 1
    assert len(town.sandbox.sendgrid.mails_to(ASHDOWN)) == 1


def test_it_is_written_in_the_language_of_the_company(town: Any) -> None:
    town.policy('[digest]\nlanguage = "de"\n')
    town.run()
    [digest] = digests(town)
    assert digest.subject == "Small Works Ltd: 2 gehen heute hinaus"
    first, _second = town.books.numbers
    assert f"Ashdown Ltd, 1.200,00 £: freundliche Erinnerung, {first}" in digest.text
    assert "Diese Nachricht an Ashdown Ltd anhalten: http" in digest.text
    assert 'lang="de"' in digest.html


def test_every_language_of_mails_is_one_of_digests() -> None:
    assert set(LANGUAGES) == set(language.LANGUAGES) | {""}


def test_the_next_day_tells_what_left(town: Any) -> None:
    town.run()
    later(town, hours=2)
    later(town, hours=22)
    [_first, second] = digests(town)
    assert "2 went out" in second.subject
    assert "leave today" not in second.text


def test_nobody_is_written_to_where_there_is_nothing_to_say(town: Any) -> None:
    town.run()
    later(town, hours=2)
    later(town, hours=22)
    told = len(digests(town))
    for number in list(town.books.numbers):
        town.books.pay(number)
    town.policy("[thank_you]\nenabled = false\n")
    town.pass_days(1)
    town.run()
    town.pass_days(1)
    town.run()
    assert len(digests(town)) == told


def test_it_keeps_the_weekend(town: Any) -> None:
    set_mode(town.installation, town.connection, "approve")
    for _day in range(7):
        town.run()
        town.pass_days(1)
    days = {mail.at.date().isoweekday() for mail in digests(town)}
    assert days == {1, 2, 3, 4, 5}


def test_each_reads_of_his_own_customers_and_the_sales_rep_reads_along(town: Any) -> None:
    minded(town, "Birch & Co", owner=f"Bo <{BO}>", sales_rep="Sal <sal@small.example>")
    town.run()
    [ann], [bo], [sal] = digests(town), digests(town, BO), digests(town, "sal@small.example")
    assert "Ashdown" in ann.text
    assert "Birch" not in ann.text
    for mail in (bo, sal):
        assert "Birch" in mail.text
        assert "Ashdown" not in mail.text


def test_its_link_stops_one_mail_before_it_leaves_and_no_other(town: Any) -> None:
    town.run()
    [digest] = digests(town)
    tokens = {line.partition(" to ")[2].partition(":")[0]: LINK.search(line) for line in digest.text.splitlines()}
    token = next(found[1] for name, found in tokens.items() if found and name.startswith("Ashdown"))
    about = stop_mail.look(town.installation, token)
    assert about is not None
    assert about.too_late == ""
    stopped = stop_mail.stop_mail(town.installation, token)
    assert stopped is not None
    assert stopped.customer == "Ashdown Ltd"
    later(town, hours=2)
    assert town.sandbox.sendgrid.mails_to(ASHDOWN) == []
    assert len(town.sandbox.sendgrid.mails_to(BIRCH)) == 1
    again = stop_mail.stop_mail(town.installation, token)
    assert again is not None
    assert ANN in again.too_late


def test_a_link_comes_too_late_for_a_mail_that_left(town: Any) -> None:
    town.run()
    [digest] = digests(town)
    later(town, hours=2)
    for token in LINK.findall(digest.text):
        about = stop_mail.stop_mail(town.installation, token)
        assert about is not None
        assert "left already" in about.too_late
    assert len(town.sandbox.sendgrid.mails_to(ASHDOWN)) == 1


@pytest.mark.parametrize("token", ["", "x", "AAAA" * 30, "é"])
def test_a_made_up_link_stops_nothing(town: Any, token: str) -> None:
    assert stop_mail.stop_mail(town.installation, token) is None


def test_what_waits_for_approval_is_said_with_its_number(town: Any) -> None:
    set_mode(town.installation, town.connection, "approve")
    town.run()
    [digest] = digests(town)
    assert "2 wait for you" in digest.subject
    assert "waits for approval" in digest.text
    waiting = [entry["id"] for entry in town.outbox("waiting")]
    assert all(f"(duewell outbox, {each})" in digest.text for each in waiting)
