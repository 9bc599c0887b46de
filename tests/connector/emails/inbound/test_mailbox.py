"""A bookkeeper's own mailbox at Microsoft 365: it sends reminders, and only what answers them is taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import select, text, update
from sqlalchemy.exc import DataError

from connector.connections import mailboxes
from connector.connections.account_owners import set_default_owner
from connector.connections.consent import begin_consent, finish_consent
from connector.db.engine import reading, writing
from connector.db.tables import ConnectedMailbox, Grant, OutboxEntry
from connector.emails.inbound import replies
from connector.emails.inbound.mailbox import read_mailbox
from connector.emails.inbound.reply_parsing import parse_reply
from connector.privacy.erase import erase
from connector.services import doctor, doctor_email
from connector.vocabulary import OutboxKind, OutboxState, RunOutcome, TaskCode
from providers.errors import ReplyTooLarge, TransientError
from providers.http import TransportLimits
from providers.microsoft365.mailbox import Microsoft365Mailbox
from sandbox.faults import Rule
from sandbox.gmail import Gmail
from sandbox.microsoft365 import ADDRESS, Microsoft365
from sandbox.sendgrid import SendGrid
from tests.connector.emails.inbound.conftest import (
    ASHDOWN,
    TODAY,
    customer_setting,
    email_entry,
    list_tasks,
    log_text,
)
from tests.connector.scenario import Scenario, suppressed_addresses

NAME = "microsoft365"
SECRET = "Lunch with the kids at noon, do not tell Bob"


@dataclass(kw_only=True)
class MailboxScenario(Scenario):
    """A live company whose reminders are sent from the connected mailbox, and a customer who has been sent one."""

    @property
    def microsoft365(self) -> Microsoft365:
        return self.sandbox.microsoft365

    def sync(self) -> RunOutcome:
        self.sandbox.clock.advance(timedelta(hours=1))
        return self.run().outcome


@pytest.fixture
def scenario(
    scenario_at: Callable[..., AbstractContextManager[Scenario]], monkeypatch: pytest.MonkeyPatch
) -> Iterator[MailboxScenario]:
    monkeypatch.setattr(SendGrid, "settings", lambda _self, _url: {"MAIL_FROM": ADDRESS})
    monkeypatch.setattr(Gmail, "settings", lambda _self, _url: {})
    with scenario_at(datetime(2026, 6, 10, 10, tzinfo=UTC), "xero") as made:
        reply = requests.get(f"{begin_consent(made.app, NAME).url}&sandbox_allow=1", allow_redirects=False, timeout=10)
        finish_consent(made.app, NAME, reply.headers["Location"])
        made.company.customer("Ashdown Ltd", ASHDOWN)
        made.number = made.company.invoice("Ashdown Ltd", "1200.00", due_on=TODAY - timedelta(days=6))
        yield MailboxScenario(**vars(made))


@pytest.fixture
def reminded(scenario: MailboxScenario) -> MailboxScenario:
    assert scenario.go_live().run().outcome == RunOutcome.OK
    assert len(scenario.microsoft365.delivered_to(ASHDOWN)) == 1
    return scenario


def stored_text(scenario: Scenario) -> str:
    """Everything in the database, as text."""
    with reading(scenario.app.engine) as session:
        tables = session.scalars(text("SELECT name FROM sqlite_master WHERE type = 'table'")).all()
        return "\n".join(str(row) for name in tables for row in session.execute(text(f'SELECT * FROM "{name}"')))


def test_a_reply_pauses_reminders_and_becomes_a_task(reminded: MailboxScenario) -> None:
    reminded.microsoft365.reply(1, "We paid this on Monday.")
    assert reminded.sync() == RunOutcome.OK
    [task] = list_tasks(reminded, TaskCode.REPLY)
    assert "We paid this on Monday." in task.reason
    setting = customer_setting(reminded)
    assert setting is not None
    assert setting.hold_until_on is not None


def test_a_reply_counts_once_also_when_everything_is_read_again(reminded: MailboxScenario) -> None:
    reminded.microsoft365.reply(1, "We paid this on Monday.")
    reminded.sync()
    reminded.microsoft365.forget_positions()
    assert reminded.sync() == RunOutcome.OK
    [task] = list_tasks(reminded, TaskCode.REPLY)
    assert task.reason.count("We paid this on Monday.") == 1


def test_a_reply_that_is_also_posted_to_the_reply_address_counts_once(reminded: MailboxScenario) -> None:
    reminded.microsoft365.reply(1, "We paid this on Monday.")
    reminded.sync()
    [message_id] = [
        each.mime["Message-ID"] for each in reminded.microsoft365.mailbox.messages if each.folder == "inbox"
    ]
    settings = reminded.app.settings.model_copy(update={"mail_reply_domain": "reply.larkspur.example"})
    app = replace(reminded.app, settings=settings)
    entry = email_entry(reminded)
    with writing(app.engine) as session:
        address = replies.reply_address(app, session, entry.connection_id, entry.customer_id)
    posted = {
        "headers": f"Message-ID:\n {message_id}\nFrom: {ASHDOWN}\n",
        "to": address,
        "text": "We paid this on Monday.",
    }
    assert replies.receive_reply(app, parse_reply(posted)) == replies.ReplyOutcome.DUPLICATE
    assert len(list_tasks(reminded, TaskCode.REPLY)) == 1


def test_private_email_leaves_no_trace(
    reminded: MailboxScenario, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level("DEBUG")
    reminded.microsoft365.receive_text("mum@family.example", SECRET, subject="Sunday at grandma's")
    reminded.microsoft365.receive_text(
        "mailer-daemon@family.example", SECRET, subject="Undelivered Mail Returned to Sender"
    )
    reminded.microsoft365.receive_text(ASHDOWN, SECRET, subject="Golf?")  # a customer, but no answer to an email
    assert reminded.sync() == RunOutcome.OK
    assert list_tasks(reminded, TaskCode.REPLY) == []
    kept = stored_text(reminded) + caplog.text
    kept += "".join(each.read_text(errors="replace") for each in Path(tmp_path).rglob("*.log"))
    for private in ("family.example", SECRET, "grandma", "Golf?"):
        assert private not in kept
    read = [each.path for each in reminded.sandbox.requests.filter_by(NAME, "read") if each.path.endswith("$value")]
    assert len(read) == 1, "only what may be a delivery report is read at all"


def test_what_only_belongs_to_the_conversation_is_no_reply(reminded: MailboxScenario) -> None:
    alias = reminded.app.settings.mail_from
    with writing(reminded.app.engine) as session:  # the mailbox's own address is another one than the sender's
        session.execute(update(ConnectedMailbox).values(address="ann@larkspur.example"))
    own = str(reminded.microsoft365.sent()[0].mime["Message-ID"])
    receive, forwarded = reminded.microsoft365.receive_text, f"{own} <forward@larkspur.example>"
    reminded.microsoft365.reply(1, "Thanks, I have seen it.", sender="ann@larkspur.example")
    receive(alias, "Our next reminder", subject="Reminder", In_Reply_To=own, References=own)  # its blind copy
    asked = {"In_Reply_To": "<forward@larkspur.example>", "References": forwarded}
    receive("lawyer@law.example", SECRET, subject="Fwd: Invoice", **asked)
    assert reminded.sync() == RunOutcome.OK
    assert list_tasks(reminded, TaskCode.REPLY) == []
    assert SECRET not in stored_text(reminded)
    domain = ASHDOWN.rpartition("@")[2]
    receive(f"director@{domain}", "I shall see to it.", subject="Fwd: Invoice", **asked)
    receive("help@desk.example", "Which invoice?", subject="Re: Invoice", In_Reply_To=own)
    assert reminded.sync() == RunOutcome.OK
    told = "".join(each.reason for each in list_tasks(reminded, TaskCode.REPLY))
    assert "I shall see to it." in told
    assert "Which invoice?" in told


def test_a_large_mailbox_is_read_over_several_syncs(reminded: MailboxScenario, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, decode = reminded.sandbox.clock, Microsoft365Mailbox._decode

    def slowly(mailbox: Microsoft365Mailbox, *reply: Any) -> Any:
        clock.advance(timedelta(minutes=3))
        return decode(mailbox, *reply)

    monkeypatch.setattr("providers.microsoft365.mailbox.PAGE_SIZE", 1)
    for number in range(3):
        reminded.microsoft365.receive_text("news@news.example", f"Issue {number}")
    reminded.microsoft365.reply(1, "We paid this on Monday.")
    monkeypatch.setattr(Microsoft365Mailbox, "_decode", slowly)
    clock.advance(timedelta(hours=1))
    readings = [read_mailbox(reminded.app, row_now(reminded)) for _reading in range(6)]
    assert readings.index(1) > 1, "each reading ended after its time, and the next one went on from there"
    assert sum(readings) == 1


def test_a_message_that_is_too_large_or_odd_for_us_stops_no_other(
    reminded: MailboxScenario, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    odd = DataError("INSERT", {}, ValueError(SECRET))  # what a database says of a text that it cannot hold
    read, refused = Microsoft365Mailbox.read_arrival, iter([ReplyTooLarge("64 MiB"), KeyError(SECRET), odd])

    def read_arrival(mailbox: Microsoft365Mailbox, arrival_id: str) -> bytes | None:
        if (problem := next(refused, None)) is not None:
            raise problem
        return read(mailbox, arrival_id)

    monkeypatch.setattr(Microsoft365Mailbox, "read_arrival", read_arrival)
    for answer in ("With all the drawings", SECRET, SECRET, "We paid this on Monday."):
        reminded.microsoft365.reply(1, answer)
    assert reminded.sync() == RunOutcome.OK
    told = "".join(each.reason for each in list_tasks(reminded, TaskCode.REPLY))
    assert "could not be read here" in told
    assert "We paid this on Monday." in told
    assert SECRET not in caplog.text


def test_what_an_erased_customer_answers_is_not_kept(reminded: MailboxScenario) -> None:
    [entry] = [each for each in reminded.outbox("done") if each.kind == OutboxKind.EMAIL]
    erase(reminded.app, reminded.connection, entry.customer_id, by="Ann")
    reminded.microsoft365.reply(1, SECRET)
    assert reminded.sync() == RunOutcome.OK
    assert list_tasks(reminded, TaskCode.REPLY) == []
    assert SECRET not in stored_text(reminded)
    assert ASHDOWN not in stored_text(reminded)


def row_now(scenario: Scenario) -> ConnectedMailbox:
    row = mailboxes.find_mailbox(scenario.app)
    assert row is not None
    return row


def test_an_out_of_office_reply_pauses_nothing(reminded: MailboxScenario) -> None:
    own = reminded.microsoft365.sent()[0].mime["Message-ID"]
    reminded.microsoft365.receive_text(
        ASHDOWN, "I am away.", subject="Automatic reply: Invoice", In_Reply_To=own, Auto_Submitted="auto-replied"
    )
    reminded.sync()
    assert list_tasks(reminded, TaskCode.REPLY) == []
    assert len(list_tasks(reminded, TaskCode.AUTO_REPLY)) == 1


def test_a_bounce_suppresses_the_address_and_takes_the_step_back(scenario: MailboxScenario) -> None:
    scenario.microsoft365.set_outcome(ASHDOWN, "unknown")
    scenario.go_live().run()
    scenario.sync()
    [task] = list_tasks(scenario, TaskCode.UNDELIVERED)
    assert "bounced" in task.reason
    assert "5.1.10" in task.reason
    assert email_entry(scenario).refusal == "address"
    with reading(scenario.app.engine) as session:
        assert ASHDOWN in suppressed_addresses(session)


@pytest.mark.parametrize(
    ("outcome", "cause"), [("full", "recipient"), ("daily limit", "sender"), ("domain limit", "sender")]
)
def test_a_full_mailbox_and_the_limits_of_our_own_suppress_nobody(
    scenario: MailboxScenario, outcome: str, cause: str
) -> None:
    scenario.microsoft365.set_outcome(ASHDOWN, outcome)
    scenario.go_live().run()
    scenario.sync()
    assert email_entry(scenario).refusal == cause
    assert len(list_tasks(scenario, TaskCode.UNDELIVERED)) == 1
    with reading(scenario.app.engine) as session:
        assert ASHDOWN not in suppressed_addresses(session)


def test_an_email_without_an_answer_is_found_in_the_mailbox_and_not_sent_again(scenario: MailboxScenario) -> None:
    scenario.go_live()
    scenario.sandbox.faults.add(Rule("drop_after", service=NAME, kind="email"))
    scenario.run()
    assert [each.state for each in scenario.outbox("unconfirmed")] == [OutboxState.UNCONFIRMED]
    scenario.sync()
    assert scenario.outbox("unconfirmed") == []
    assert len(scenario.microsoft365.delivered_to(ASHDOWN)) == 1


def test_a_revoked_consent_keeps_the_emails_and_says_what_to_do(scenario: MailboxScenario) -> None:
    scenario.go_live()
    scenario.microsoft365.revoke_consent()
    scenario.sandbox.clock.advance(timedelta(hours=2))
    result = scenario.run()
    assert result.outcome == RunOutcome.ACTION_REQUIRED
    assert "duewell connect microsoft365" in result.reason
    assert scenario.microsoft365.sent() == []
    assert {each.state for each in scenario.outbox("planned")} == {OutboxState.PLANNED}


def test_a_mailbox_that_cannot_be_read_stops_no_sync(reminded: MailboxScenario) -> None:
    wait = {"Retry-After": "600"}  # longer than a read waits
    reminded.sandbox.faults.add(Rule("refuse", service=NAME, kind="read", status=429, headers=wait, times=0))
    assert reminded.sync() == RunOutcome.DEFERRED
    reminded.sandbox.faults.clear()
    reminded.microsoft365.reply(1, "We paid this on Monday.")
    assert reminded.sync() == RunOutcome.OK
    assert len(list_tasks(reminded, TaskCode.REPLY)) == 1


def test_one_odd_message_stops_no_other(reminded: MailboxScenario) -> None:
    own = str(reminded.microsoft365.sent()[0].mime["Message-ID"])
    odd = b"In-Reply-To: " + own.encode() + b'\r\nContent-Type: multipart/mixed; boundary="\r\n\r\n\xff\xfe\x00'
    reminded.microsoft365.receive(b"From: \xff\r\n" + odd)
    reminded.microsoft365.reply(1, "We paid this on Monday.")
    assert reminded.sync() == RunOutcome.OK
    assert any("We paid this on Monday." in each.reason for each in list_tasks(reminded, TaskCode.REPLY))


def test_the_mailbox_is_read_once_for_all_companies(reminded: MailboxScenario) -> None:
    before = reminded.sandbox.requests.count_of(NAME, "read")
    reminded.sandbox.clock.advance(timedelta(hours=1))
    for _company in range(3):
        reminded.run()
    assert reminded.sandbox.requests.count_of(NAME, "read") == before + 1


def test_a_forged_report_about_somebody_else_changes_nothing(reminded: MailboxScenario) -> None:
    own = str(reminded.microsoft365.sent()[0].mime["Message-ID"])
    body = (
        "From: mailer-daemon@evil.example\r\nMessage-ID: <1@evil.example>\r\nIn-Reply-To: <x@y.example>\r\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n--b\r\n\r\nsorry\r\n'
        "--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; evil.example\r\n\r\n"
        "Final-Recipient: rfc822; victim@other.example\r\nAction: failed\r\nStatus: 5.1.1\r\n"
        f"--b\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: <{'0' * 32}@larkspur.example>\r\n--b--\r\n"
    )
    reminded.microsoft365.receive(body.encode())
    reminded.sync()
    assert own
    assert list_tasks(reminded, TaskCode.UNDELIVERED) == []
    assert "victim@" not in stored_text(reminded)


def test_what_came_of_it_reads_well(reminded: MailboxScenario) -> None:
    reminded.microsoft365.reply(1, "We paid this on Monday.")
    reminded.sync()
    assert "Ashdown Ltd replied to an email; a task was created." in log_text(reminded)
    assert mailboxes.find_mailbox(reminded.app) is not None


def test_answers_come_back_to_the_mailbox_and_not_to_the_account_owner(scenario: MailboxScenario) -> None:
    scenario.connect()
    set_default_owner(scenario.app, scenario.connection, "Ann Lee <ann@owner.example>", by="a test")
    scenario.go_live().run()
    [email] = scenario.microsoft365.delivered_to(ASHDOWN)
    assert email["Reply-To"] == ADDRESS


@pytest.mark.parametrize(
    ("failure", "arrives"),
    [
        (Rule("refuse", status=429, headers={"Retry-After": "30"}, applied=True), True),
        (Rule("refuse", status=429, headers={"Retry-After": "30"}), True),
        (Rule("refuse", status=503, applied=True), True),
        (Rule("refuse", status=504, headers={"Retry-After": "5"}), False),
        (Rule("html", applied=True), True),
    ],
    ids=["429, sent", "429, not sent", "503, sent", "504, not sent", "a page, sent"],
)
def test_whatever_graph_says_nobody_gets_a_reminder_twice(
    scenario: MailboxScenario, monkeypatch: pytest.MonkeyPatch, failure: Rule, *, arrives: bool
) -> None:
    limits = partial(TransportLimits, now=scenario.app.now)  # a limit ends by the simulated clock
    monkeypatch.setattr("providers.microsoft365.mailbox.TransportLimits", limits)
    scenario.go_live()
    scenario.sandbox.faults.add(replace(failure, service=NAME, kind="email"))
    for _sync in range(3):
        scenario.run()
        scenario.sandbox.clock.advance(timedelta(hours=1))
    assert len(scenario.microsoft365.delivered_to(ASHDOWN)) == arrives
    assert bool(scenario.outbox("unconfirmed")) != arrives


def test_an_email_that_waits_for_its_turn_is_not_marked_as_being_sent(
    scenario: MailboxScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    sending: list[int] = []

    def wait(_mailbox: Microsoft365Mailbox) -> None:
        sending.append(len(scenario.outbox("sending")))
        if len(sending) == 1:
            raise TransientError("duewell is stopping")

    monkeypatch.setattr(Microsoft365Mailbox, "wait_for_room", wait)
    assert scenario.go_live().run().outcome == RunOutcome.DEFERRED
    assert scenario.microsoft365.delivered_to(ASHDOWN) == []
    assert {each.state for each in scenario.outbox("planned", "unconfirmed")} == {OutboxState.PLANNED}
    scenario.run()
    assert sending[:2] == [0, 0]
    assert len(scenario.microsoft365.delivered_to(ASHDOWN)) == 1


def test_the_doctor_says_what_the_mailbox_lacks(scenario: MailboxScenario) -> None:
    def finding() -> str:
        return doctor.run_checks(scenario.app, [doctor_email.mailbox])[0].message

    assert "and read in it" in finding()
    row = mailboxes.find_mailbox(scenario.app)
    assert row is not None
    with writing(scenario.app.engine) as session:
        session.get_one(ConnectedMailbox, row.id).address = "other@larkspur.example"
    assert "from the mailbox other@larkspur.example, but as" in finding()
    with writing(scenario.app.engine) as session:
        session.get_one(Grant, row.grant_id).invalid_reason = "Microsoft no longer accepts it."
    assert "no longer accepts it" in finding()
    mailboxes.disconnect_mailbox(scenario.app, NAME)
    assert "No Microsoft 365 mailbox is connected" in finding()


def test_the_email_that_is_answered_is_found_by_an_index(reminded: MailboxScenario) -> None:
    query = "EXPLAIN QUERY PLAN SELECT * FROM outbox WHERE message_id_part IN ('a') AND dispatched_at >= '2026-06-01'"
    with reading(reminded.app.engine) as session:
        plan = " ".join(str(row) for row in session.execute(text(query)))
        parts = {row.kind: row.message_id_part for row in session.scalars(select(OutboxEntry))}
    assert "ix_outbox_message_id_part" in plan
    assert len(parts[OutboxKind.EMAIL]) == 32
    assert parts[OutboxKind.NOTE] == ""
