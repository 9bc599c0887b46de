"""The daily digest to account owners: what is sent, was sent and needs attention; its links stop single emails."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime, timedelta
from html import unescape
from typing import Unpack

import pytest
from sqlalchemy import text

from connector.arrangements.customer_settings import SettingChanges, find_customer, update_settings
from connector.audit import sync_log
from connector.connections import account_owners
from connector.connections.registry import set_mode
from connector.db.engine import reading, writing
from connector.emails.inbound import email_stops
from connector.languages import LANGUAGES
from connector.services.key_rotation import rotate
from connector.vocabulary import ConnectionMode, OutboxState, RunOutcome
from policies.sections import Language
from sandbox.sendgrid.message_store import Email
from tests.connector.scenario import Scenario

SEVEN = datetime(2026, 6, 10, 6, 20, tzinfo=UTC)  # a Wednesday, 7.20 in London: before emails may be sent
TODAY = date(2026, 6, 10)
ASHDOWN, BIRCH = "accounts@ashdown.example", "accounts@birch.example"
ANN, BO = "ann@small.example", "bo@small.example"
LINK = re.compile(r"http://localhost:\d+/stop-mail/(\S+)")


@pytest.fixture
def scenario(scenario_at: Callable[..., AbstractContextManager[Scenario]]) -> Iterator[Scenario]:
    """Two customers six days overdue, before the send window opens; Ann is the account owner of all customers."""
    with scenario_at(SEVEN - timedelta(days=1), "xero") as made:
        for name, address in (("Ashdown Ltd", ASHDOWN), ("Birch & Co", BIRCH)):
            made.company.customer(name, address)
            made.company.invoice(name, "1200.00", due_on=TODAY - timedelta(days=6))
        made.connect()
        account_owners.set_default_owner(made.app, made.connection, f"Ann <{ANN}>", by="Ann")
        assert made.run().outcome == RunOutcome.OK
        made.pass_days(1)
        set_mode(made.app, made.connection, ConnectionMode.LIVE)
        yield made


def sent_digests(scenario: Scenario, recipient: str = ANN) -> list[Email]:
    return scenario.sandbox.sendgrid.emails_to(recipient)


def assign(scenario: Scenario, customer: str, **changes: Unpack[SettingChanges]) -> None:
    with reading(scenario.app.engine) as session:
        found = find_customer(session, customer).external_id
    update_settings(scenario.app, scenario.connection, found, changes, by="Ann")


def advance(scenario: Scenario, **time: float) -> None:
    scenario.sandbox.clock.advance(timedelta(**time))
    assert scenario.run().outcome == RunOutcome.OK


def test_it_has_the_newest_hash_of_the_log_which_a_rewritten_log_does_not_have(scenario: Scenario) -> None:
    scenario.run()
    [head] = re.findall(r"log verify --head ([0-9a-f]{32})", sent_digests(scenario)[0].text)
    engine = scenario.app.engine
    with reading(engine) as session:
        assert sync_log.has_entry(session, head)
        lines = [(line.kind, line.text, line.at) for line in sync_log.list_entries(session)]
    with engine.begin() as connection:  # as somebody could who has the file
        for (name,) in connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all():
            connection.execute(text(f"DROP TRIGGER {name}"))
        connection.execute(text("DELETE FROM sync_log"))
    with writing(engine) as session:
        for kind, entry_text, at in lines:
            sync_log.write(session, at=at, kind=kind, text=entry_text.replace("Ashdown", "Nobody"))
    with reading(engine) as session:
        assert sync_log.verify(session).ok
        assert not sync_log.has_entry(session, head)


def test_it_is_sent_once_before_the_emails_it_lists(scenario: Scenario) -> None:
    scenario.run()
    assert scenario.customer_emails() == [((ANN,), sent_digests(scenario)[0].subject)]
    [digest] = sent_digests(scenario)
    assert "2 to be sent today" in digest.subject
    assert re.search(r"Ashdown Ltd: first reminder, \S+, £1,200\.00\n", digest.text)
    assert "Birch & Co: first reminder" in digest.text
    for _quarter in range(4):
        advance(scenario, minutes=15)
    assert len(sent_digests(scenario)) == 1
    assert len(scenario.sandbox.sendgrid.emails_to(ASHDOWN)) == 1


def test_it_is_in_the_language_of_the_company(scenario: Scenario) -> None:
    scenario.set_policy('[digest]\nlanguage = "de"\n')
    scenario.run()
    [digest] = sent_digests(scenario)
    assert digest.subject == "Small Works Ltd: 2 heute im Versand"
    first, _second = scenario.company.numbers
    assert f"Ashdown Ltd: Zahlungserinnerung, {first}, 1.200,00 £" in digest.text
    assert "Diese E-Mail an Ashdown Ltd stoppen: http" in digest.text
    assert 'lang="de"' in digest.html


def test_digests_have_the_same_languages_as_emails() -> None:
    assert set(Language) == set(LANGUAGES) | {""}


def test_the_next_digest_lists_what_was_sent(scenario: Scenario) -> None:
    scenario.run()
    advance(scenario, hours=2)
    advance(scenario, hours=22)
    [_first, second] = sent_digests(scenario)
    assert "2 sent" in second.subject
    assert "will be sent today" not in second.text


def test_no_digest_is_sent_when_there_is_nothing_to_report(scenario: Scenario) -> None:
    scenario.run()
    advance(scenario, hours=2)
    advance(scenario, hours=22)
    count = len(sent_digests(scenario))
    for number in list(scenario.company.numbers):
        scenario.company.pay(number)
    scenario.set_policy("[thank_you]\nenabled = false\n")
    scenario.pass_days(1)
    scenario.run()
    scenario.pass_days(1)
    scenario.run()
    assert len(sent_digests(scenario)) == count


def test_no_digest_is_sent_on_weekends(scenario: Scenario) -> None:
    set_mode(scenario.app, scenario.connection, ConnectionMode.APPROVE)
    for _day in range(7):
        scenario.run()
        scenario.pass_days(1)
    days = {digest.at.date().isoweekday() for digest in sent_digests(scenario)}
    assert days == {1, 2, 3, 4, 5}


def test_owners_and_sales_reps_receive_digests_about_their_own_customers(scenario: Scenario) -> None:
    assign(scenario, "Birch & Co", owner=f"Bo <{BO}>", sales_rep="Sal <sal@small.example>")
    scenario.run()
    [ann], [bo], [sal] = sent_digests(scenario), sent_digests(scenario, BO), sent_digests(scenario, "sal@small.example")
    assert "Ashdown" in ann.text
    assert "Birch" not in ann.text
    for digest in (bo, sal):
        assert "Birch" in digest.text
        assert "Ashdown" not in digest.text


def test_a_link_stops_one_email_before_it_is_sent_and_no_other_also_after_a_change_of_keys(scenario: Scenario) -> None:
    scenario.run()
    [digest] = sent_digests(scenario)
    assert rotate(scenario.app).removed_keys
    tokens = {line.partition(" to ")[2].partition(":")[0]: LINK.search(line) for line in digest.text.splitlines()}
    token = next(found[1] for name, found in tokens.items() if found and name.startswith("Ashdown"))
    stop = email_stops.find_stop(scenario.app, token)
    assert stop is not None
    assert stop.too_late_reason == ""
    stopped = email_stops.stop_email(scenario.app, token)
    assert stopped is not None
    assert stopped.customer == "Ashdown Ltd"
    advance(scenario, hours=2)
    assert scenario.sandbox.sendgrid.emails_to(ASHDOWN) == []
    assert len(scenario.sandbox.sendgrid.emails_to(BIRCH)) == 1
    again = email_stops.stop_email(scenario.app, token)
    assert again is not None
    assert ANN in again.too_late_reason


def test_a_link_is_too_late_for_an_email_that_was_sent(scenario: Scenario) -> None:
    scenario.run()
    [digest] = sent_digests(scenario)
    advance(scenario, hours=2)
    for token in LINK.findall(digest.text):
        stop = email_stops.stop_email(scenario.app, token)
        assert stop is not None
        assert "already been sent" in stop.too_late_reason
    assert len(scenario.sandbox.sendgrid.emails_to(ASHDOWN)) == 1


@pytest.mark.parametrize("token", ["", "x", "AAAA" * 30, "é"])
def test_an_unknown_link_stops_nothing(scenario: Scenario, token: str) -> None:
    assert email_stops.stop_email(scenario.app, token) is None


def test_emails_that_await_approval_are_listed_with_their_numbers(scenario: Scenario) -> None:
    set_mode(scenario.app, scenario.connection, ConnectionMode.APPROVE)
    scenario.run()
    [digest] = sent_digests(scenario)
    assert "2 need your attention" in digest.subject
    assert "to be sent today" not in digest.subject  # unless somebody approves them
    assert "/stop-mail/" not in digest.text
    waiting = [entry.id for entry in scenario.outbox(OutboxState.AWAITING_APPROVAL)]
    assert all(f"(outbox {each})" in digest.text for each in waiting)


def test_each_line_opens_what_it_speaks_of(scenario: Scenario) -> None:
    set_mode(scenario.app, scenario.connection, ConnectionMode.APPROVE)
    scenario.run()
    [digest] = sent_digests(scenario)
    base = scenario.app.settings.duewell_base_url
    for entry in scenario.outbox(OutboxState.AWAITING_APPROVAL):
        assert f"{base}/outbox/{entry.id}\n" in digest.text
        assert f'<a href="{base}/outbox/{entry.id}">' in unescape(digest.html)
