"""One digest for a person on a day, over all their companies, whatever happens on the way."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from html import unescape

import pytest
from sqlalchemy import select
from sqlmodel import col

from connector.auth.preferences import Preferences, update_preferences
from connector.auth.users import UserError, add_user, find_user
from connector.connections import account_owners
from connector.connections.registry import set_mode
from connector.db.engine import reading, writing
from connector.db.tables import CompletedStep, Connection, DailyDigest, SentEmail
from connector.emails.outbound import digest_email, digest_slots
from connector.services import email_preview, entry_email
from connector.vocabulary import ConnectionMode, OutboxKind, OutboxState, RunOutcome
from policies.policy import ReminderPolicy
from policies.receivables import Step
from providers.http import TransportLimits
from sandbox.faults import Rule
from sandbox.sendgrid.message_store import Email
from tests.connector.scenario import SandboxCompany, Scenario

SIX = datetime(2026, 6, 10, 5, 20, tzinfo=UTC)  # a Wednesday, 6.20 in London: before digests are sent
TODAY = date(2026, 6, 10)
ANN = "ann@small.example"


@dataclass
class Office:
    """Three companies of Ann's: two with overdue customers, one with nothing to say."""

    scenarios: list[Scenario]

    @property
    def first(self) -> Scenario:
        return self.scenarios[0]

    def run(self, **time: float) -> None:
        self.first.sandbox.clock.advance(timedelta(**time))
        for each in self.scenarios:
            assert each.run().outcome in {RunOutcome.OK, RunOutcome.DEFERRED}

    def digests(self) -> list[Email]:
        return self.first.sandbox.sendgrid.emails_to(ANN)

    def states(self) -> list[list[str]]:
        """Return the states of each company's digests, the newest first."""
        return [[row.state for row in each.outbox() if row.kind == OutboxKind.OWNER_EMAIL] for each in self.scenarios]

    def alerted(self) -> set[int]:
        """Return the companies about whose customers an account owner counts as alerted."""
        query = select(col(CompletedStep.connection_id)).where(col(CompletedStep.step) == Step.NOTIFY_OWNER)
        with reading(self.first.app.engine) as session:
            return set(session.scalars(query))


@pytest.fixture
def office(scenario_at: Callable[..., AbstractContextManager[Scenario]]) -> Iterator[Office]:
    with scenario_at(SIX - timedelta(days=1), "xero") as made:
        more = [SandboxCompany(made.sandbox, "xero") for _each in range(2)]
        others = [Scenario(made.sandbox, made.sandbox_url, made.app, company) for company in more]
        scenarios = [made, *others]
        for number, each in enumerate(scenarios):
            late = 40 if number < 2 else -60
            each.company.customer(f"Customer{number} Ltd")
            each.company.invoice(f"Customer{number} Ltd", f"{number + 1}200.00", due_on=TODAY - timedelta(days=late))
            each.connect()
            written = ANN.title() if number == 1 else ANN  # one person, however somebody writes the address
            account_owners.set_default_owner(each.app, each.connection, f"Ann <{written}>", by="Ann")
            assert each.run().outcome == RunOutcome.OK
            set_mode(each.app, each.connection, ConnectionMode.APPROVE)
        made.pass_days(1)
        yield Office(scenarios)


def prefer(office: Office, *, time_zone: str = "", digest_at: str = "", digest_off: bool = False) -> None:
    with writing(office.first.app.engine) as session:
        user = add_user(session, ANN, "owner", by="a test", at=office.first.app.now())
        update_preferences(session, user.id or 0, time_zone=time_zone, digest_at=digest_at, digest_off=digest_off)


def test_all_companies_are_in_one_email_and_those_without_news_in_one_line(office: Office) -> None:
    office.run()
    assert office.digests() == []
    office.run(hours=1)
    [digest] = office.digests()
    assert digest.subject.startswith("2 companies: ")
    assert "2 need your attention" in digest.subject
    assert "Customer0" in digest.text
    assert "Customer1" in digest.text
    assert len(re.findall("Nothing to report: .*", digest.text)) == 1
    assert "Customer2" not in digest.text
    for _hour in range(6):
        office.run(hours=1)
    assert len(office.digests()) == 1
    assert office.states() == [[OutboxState.DONE], [OutboxState.DONE], []]
    assert office.alerted() == {office.scenarios[0].connection, office.scenarios[1].connection}
    office.run(hours=18)
    assert len(office.digests()) == 2


@pytest.mark.parametrize(("fault", "status"), [("drop_after", 0), ("refuse", 429)], ids=["answer lost", "not sent"])
def test_whatever_happens_to_the_email_it_is_never_sent_twice(
    office: Office, monkeypatch: pytest.MonkeyPatch, fault: str, status: int
) -> None:
    limits = partial(TransportLimits, now=office.first.app.now)  # a limit ends by the simulated clock
    monkeypatch.setattr("providers.sendgrid.mailer.TransportLimits", limits)
    office.run()
    office.first.sandbox.faults.add(Rule(fault, service="sendgrid", kind="email", status=status))
    office.run(hours=1)
    for _hour in range(3):
        office.run(hours=1)
    assert len(office.digests()) == 1
    with reading(office.first.app.engine) as session:
        assert len(list(session.scalars(select(DailyDigest)))) == 1


def test_news_that_the_digest_did_not_have_waits_for_the_next_one(office: Office) -> None:
    second = office.scenarios[1]
    office.run()
    office.first.sandbox.clock.advance(timedelta(hours=1))
    office.first.run()
    assert len(office.digests()) == 1
    with writing(office.first.app.engine) as session:
        [digest] = session.scalars(select(DailyDigest))
        digest.included = dict.fromkeys(digest.included, "something else")
    second.run()
    assert len(office.digests()) == 1
    assert second.connection not in office.alerted()
    assert office.states()[1] == [OutboxState.PLANNED]
    office.run(hours=24)
    assert len(office.digests()) == 2
    assert office.alerted() == {office.first.connection, second.connection}


def test_companies_of_another_part_of_the_world_have_a_digest_of_their_own_morning(office: Office) -> None:
    second = office.scenarios[1]
    with writing(second.app.engine) as session:
        session.get_one(Connection, second.connection).time_zone = "America/New_York"
    for _day in range(2):  # what was planned for a European morning goes with the first
        before = len(office.digests())
        office.run(hours=1)
        office.run(hours=5)
        office.run(hours=18)
    european, american = office.digests()[before:]
    assert "Customer1" not in european.text
    assert len(re.findall("Nothing to report: .*", european.text)) == 1, "of the quiet company, not of the American one"
    assert "Customer1" in american.text
    assert "Customer0" not in american.text
    assert "Nothing to report" not in american.text


def test_a_user_chooses_the_time_and_the_zone(office: Office) -> None:
    prefer(office, time_zone="America/New_York", digest_at="06:30")  # 11.30 in London
    for _hour in range(6):
        office.run(hours=1)
        is_time = office.first.app.now() >= datetime(2026, 6, 10, 10, 30, tzinfo=UTC)
        assert len(office.digests()) == int(is_time)
    [digest] = office.digests()
    assert "/account#digest" in digest.text


def test_a_user_switches_it_off(office: Office) -> None:
    prefer(office, digest_off=True)
    for _hour in range(3):
        office.run(hours=1)
    assert office.digests() == []
    assert len(office.alerted()) == 2
    [entry] = [each for each in office.first.outbox() if each.kind == OutboxKind.OWNER_EMAIL]
    assert "switched the digest off" in entry.response


@pytest.mark.parametrize(("zone", "at"), [("Europe/Londn", ""), ("", "7.30"), ("", "25:00")])
def test_a_time_or_zone_that_does_not_exist_is_refused(office: Office, zone: str, at: str) -> None:
    with pytest.raises(UserError, match=re.escape(repr(zone or at))):
        prefer(office, time_zone=zone, digest_at=at)
    with pytest.raises(UserError), reading(office.first.app.engine) as session:
        find_user(session, ANN)


def test_each_company_has_a_few_lines_the_most_money_for_the_longest_first(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digest_email, "COMPANY_LINES_MAX", {"to_review": 1, "overdue": 0})
    office.run()
    office.run(hours=1)
    [digest] = office.digests()
    assert digest.subject.startswith("2 companies: 2 need your attention, 2 overdue customers")
    text, html = digest.text, digest.html
    assert text.index("Customer1 Ltd: first reminder") < text.index("Customer0 Ltd: first reminder")
    for each in office.scenarios[:2]:
        assert f"and 1 more: http://localhost:8710/?company={each.connection}\n" in text
        assert f'<a href="http://localhost:8710/?company={each.connection}">and 1 more</a>' in unescape(html)
    assert text.count("/outbox/") == 2


def test_the_entry_of_a_company_shows_nothing_of_the_others(office: Office) -> None:
    office.run()
    app = office.first.app
    [entry] = [each for each in office.first.outbox() if each.kind == OutboxKind.OWNER_EMAIL]
    email = email_preview.preview_email(app, entry)
    assert "Customer0" in email.text
    assert "Customer1" not in email.text
    office.run(hours=1)
    with reading(app.engine) as session:
        kept = select(SentEmail).where(col(SentEmail.outbox_id) == entry.id)
        assert len(office.digests()) == 1
        assert list(session.scalars(kept)) == []
    [entry] = [each for each in office.first.outbox("done") if each.kind == OutboxKind.OWNER_EMAIL]
    assert entry_email.find_email(app, entry)[1].startswith("A sent digest is not kept: it is about all companies")


@pytest.mark.parametrize(
    ("now", "sent_at"),
    [
        (datetime(2026, 3, 27, 1, tzinfo=UTC), datetime(2026, 3, 27, 6, 30, tzinfo=UTC)),
        (datetime(2026, 3, 30, 1, tzinfo=UTC), datetime(2026, 3, 30, 5, 30, tzinfo=UTC)),  # summer time has begun
        (datetime(2026, 10, 26, 1, tzinfo=UTC), datetime(2026, 10, 26, 6, 30, tzinfo=UTC)),
    ],
    ids=["winter", "summer", "winter again"],
)
def test_the_chosen_time_is_the_clock_s_in_summer_and_in_winter(now: datetime, sent_at: datetime) -> None:
    company = Connection(short_name="c", provider="xero", external_id="c", name="C", time_zone="UTC", created_at=now)
    preferences = Preferences("Europe/Berlin", time(7, 30))
    found = digest_slots.digest_time(now, company, ReminderPolicy.default().send_window, preferences)
    assert found is not None
    assert (found.send_after, found.slot) == (sent_at, now.date().isoformat())
