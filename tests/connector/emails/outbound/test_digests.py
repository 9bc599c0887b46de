"""The mail to the people who mind customers: once a day, what leaves, left and waits; its link stops one mail."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, Unpack

import pytest
from sqlalchemy import text

from connector import languages as language
from connector.arrangements.customer_settings import SettingChanges, find_customer, update_settings
from connector.audit import sync_log
from connector.connections import account_owners
from connector.connections.registry import set_mode
from connector.db.engine import reading, writing
from connector.emails.inbound import email_stops
from policies.sections import Language

SEVEN = datetime(2026, 6, 10, 6, 20, tzinfo=UTC)  # a Wednesday, twenty past seven in London: before mails may leave
TODAY = date(2026, 6, 10)
ASHDOWN, BIRCH = "accounts@ashdown.example", "accounts@birch.example"
ANN, BO = "ann@small.example", "bo@small.example"
LINK = re.compile(r"http://localhost:\d+/stop-mail/(\S+)")


@pytest.fixture
def scenario(scenario_at: Any) -> Iterator[Any]:
    """Two customers six days late, before the window opens; Ann minds all customers."""
    with scenario_at(SEVEN - timedelta(days=1), "xero") as made:
        for name, address in (("Ashdown Ltd", ASHDOWN), ("Birch & Co", BIRCH)):
            made.company.customer(name, address)
            made.company.invoice(name, "1200.00", due_on=TODAY - timedelta(days=6))
        made.connect()
        account_owners.set_default_owner(made.app, made.connection, f"Ann <{ANN}>", by="Ann")
        assert made.run().outcome == "ok"
        made.pass_days(1)
        set_mode(made.app, made.connection, "live")
        yield made


def sent_digests(scenario: Any, reader: str = ANN) -> list[Any]:
    return list(scenario.sandbox.sendgrid.emails_to(reader))


def assign(scenario: Any, customer: str, **by: Unpack[SettingChanges]) -> None:
    with reading(scenario.app.engine) as session:
        found = find_customer(session, customer).external_id
    update_settings(scenario.app, scenario.connection, found, by, by="Ann")


def advance(scenario: Any, **time: float) -> None:
    scenario.sandbox.clock.advance(timedelta(**time))
    assert scenario.run().outcome == "ok"


def test_it_carries_the_newest_hash_of_the_log_which_a_log_written_anew_does_not_have(scenario: Any) -> None:
    scenario.run()
    [noted] = re.findall(r"log verify --head ([0-9a-f]{32})", sent_digests(scenario)[0].text)
    engine = scenario.app.engine
    with reading(engine) as session:
        assert sync_log.has_entry(session, noted)
        lines = [(line.kind, line.text, line.at) for line in sync_log.list_entries(session)]
    with engine.begin() as connection:  # as somebody would who has the file: chain and all
        for (name,) in connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all():
            connection.execute(text(f"DROP TRIGGER {name}"))
        connection.execute(text("DELETE FROM sync_log"))
    with writing(engine) as session:
        for kind, said, at in lines:
            sync_log.write(session, at=at, kind=kind, text=said.replace("Ashdown", "Nobody"))
    with reading(engine) as session:
        assert sync_log.verify(session).ok
        assert not sync_log.has_entry(session, noted)


def test_it_comes_once_before_the_mails_it_tells_of(scenario: Any) -> None:
    scenario.run()
    assert scenario.customer_emails() == [((ANN,), sent_digests(scenario)[0].subject)]
    [digest] = sent_digests(scenario)
    assert "2 leave today" in digest.subject
    assert "Ashdown Ltd, £1,200.00: " in digest.text
    assert "Birch & Co, £1,200.00: " in digest.text
    for _quarter in range(4):
        advance(scenario, minutes=15)
    assert len(sent_digests(scenario)) == 1
    assert len(scenario.sandbox.sendgrid.emails_to(ASHDOWN)) == 1


def test_it_is_written_in_the_language_of_the_company(scenario: Any) -> None:
    scenario.set_policy('[digest]\nlanguage = "de"\n')
    scenario.run()
    [digest] = sent_digests(scenario)
    assert digest.subject == "Small Works Ltd: 2 gehen heute hinaus"
    first, _second = scenario.company.numbers
    assert f"Ashdown Ltd, 1.200,00 £: freundliche Erinnerung, {first}" in digest.text
    assert "Diese Nachricht an Ashdown Ltd anhalten: http" in digest.text
    assert 'lang="de"' in digest.html


def test_every_language_of_mails_is_one_of_digests() -> None:
    assert set(Language) == set(language.LANGUAGES) | {""}


def test_the_next_day_tells_what_left(scenario: Any) -> None:
    scenario.run()
    advance(scenario, hours=2)
    advance(scenario, hours=22)
    [_first, second] = sent_digests(scenario)
    assert "2 went out" in second.subject
    assert "leave today" not in second.text


def test_nobody_is_written_to_where_there_is_nothing_to_say(scenario: Any) -> None:
    scenario.run()
    advance(scenario, hours=2)
    advance(scenario, hours=22)
    told = len(sent_digests(scenario))
    for number in list(scenario.company.numbers):
        scenario.company.pay(number)
    scenario.set_policy("[thank_you]\nenabled = false\n")
    scenario.pass_days(1)
    scenario.run()
    scenario.pass_days(1)
    scenario.run()
    assert len(sent_digests(scenario)) == told


def test_it_keeps_the_weekend(scenario: Any) -> None:
    set_mode(scenario.app, scenario.connection, "approve")
    for _day in range(7):
        scenario.run()
        scenario.pass_days(1)
    days = {mail.at.date().isoweekday() for mail in sent_digests(scenario)}
    assert days == {1, 2, 3, 4, 5}


def test_each_reads_of_his_own_customers_and_the_sales_rep_reads_along(scenario: Any) -> None:
    assign(scenario, "Birch & Co", owner=f"Bo <{BO}>", sales_rep="Sal <sal@small.example>")
    scenario.run()
    [ann], [bo], [sal] = sent_digests(scenario), sent_digests(scenario, BO), sent_digests(scenario, "sal@small.example")
    assert "Ashdown" in ann.text
    assert "Birch" not in ann.text
    for mail in (bo, sal):
        assert "Birch" in mail.text
        assert "Ashdown" not in mail.text


def test_its_link_stops_one_mail_before_it_leaves_and_no_other(scenario: Any) -> None:
    scenario.run()
    [digest] = sent_digests(scenario)
    tokens = {line.partition(" to ")[2].partition(":")[0]: LINK.search(line) for line in digest.text.splitlines()}
    token = next(found[1] for name, found in tokens.items() if found and name.startswith("Ashdown"))
    about = email_stops.find_stop(scenario.app, token)
    assert about is not None
    assert about.too_late_reason == ""
    stopped = email_stops.stop_email(scenario.app, token)
    assert stopped is not None
    assert stopped.customer == "Ashdown Ltd"
    advance(scenario, hours=2)
    assert scenario.sandbox.sendgrid.emails_to(ASHDOWN) == []
    assert len(scenario.sandbox.sendgrid.emails_to(BIRCH)) == 1
    again = email_stops.stop_email(scenario.app, token)
    assert again is not None
    assert ANN in again.too_late_reason


def test_a_link_comes_too_late_for_a_mail_that_left(scenario: Any) -> None:
    scenario.run()
    [digest] = sent_digests(scenario)
    advance(scenario, hours=2)
    for token in LINK.findall(digest.text):
        about = email_stops.stop_email(scenario.app, token)
        assert about is not None
        assert "left already" in about.too_late_reason
    assert len(scenario.sandbox.sendgrid.emails_to(ASHDOWN)) == 1


@pytest.mark.parametrize("token", ["", "x", "AAAA" * 30, "é"])
def test_a_made_up_link_stops_nothing(scenario: Any, token: str) -> None:
    assert email_stops.stop_email(scenario.app, token) is None


def test_what_waits_for_approval_is_said_with_its_number(scenario: Any) -> None:
    set_mode(scenario.app, scenario.connection, "approve")
    scenario.run()
    [digest] = sent_digests(scenario)
    assert "2 wait for you" in digest.subject
    assert "waits for approval" in digest.text
    waiting = [entry.id for entry in scenario.outbox("awaiting_approval")]
    assert all(f"(duewell outbox, {each})" in digest.text for each in waiting)
