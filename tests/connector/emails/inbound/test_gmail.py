"""A company that sends from its own Gmail: what comes back to that mailbox, and what is none of our business."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import urljoin

import pytest
import requests
from sqlalchemy import select

from connector.app_context import open_app
from connector.audit import sync_log
from connector.connections.consent import begin_consent, finish_consent
from connector.connections.mailboxes import find_mailbox
from connector.db.engine import reading
from connector.db.tables import EmailEvent, ReceivedReply, Task
from connector.emails.inbound.received_message import read_message
from connector.services.doctor_email import mailbox as check_mailbox
from connector.services.doctor_email import sender as check_sender
from connector.settings import load_settings
from connector.vocabulary import OutboxKind, RunOutcome, TaskCode
from sandbox import Sandbox
from sandbox.faults import Rule
from sandbox.gmail import Gmail
from sandbox.gmail.mail import StoredMail, write_report
from tests.connector.scenario import NOON, SandboxCompany, Scenario, days, suppressed_addresses

PRIVATE = "Divorce papers"
CUSTOMERS = ("Ashdown", "Birch", "Cedar", "Dale", "Elm", "Fern")


@dataclass
class Correspondence:
    """A live company that has reminded its customers from Gmail, and read what came back."""

    scenario: Scenario
    home: Path
    requests_before: int  # that the simulated services had got before the mailbox was read

    @property
    def gmail(self) -> Gmail:
        return self.scenario.sandbox.gmail

    def tasks(self, code: TaskCode) -> dict[str, str]:
        """Return the reasons of the tasks by customer."""
        with reading(self.scenario.app.engine) as session:
            reasons = [task.reason for task in session.scalars(select(Task)) if task.code == code]
        return {name: reason for name in CUSTOMERS for reason in reasons if f"{name} Ltd" in reason}

    def refusal(self, name: str) -> str:
        return next(each.refusal for each in self.scenario.outbox() if email_of(name) in str(each.payload))

    def number(self, name: str) -> int:
        """Return the number of the email to a customer."""
        return next(n for n, each in enumerate(self.gmail.emails(), 1) if email_of(name) in each.envelope)


def email_of(name: str) -> str:
    return f"accounts@{name.lower()}.example"


def connect_gmail(scenario: Scenario) -> None:
    begun = begin_consent(scenario.app, "gmail")
    reply = requests.get(f"{begun.url}&sandbox_allow=1", allow_redirects=False, timeout=10)
    finish_consent(scenario.app, "gmail", urljoin(begun.url, reply.headers["Location"]))


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, new_home: Callable[[Path], Path]
) -> Iterator[tuple[Scenario, Path]]:
    sandbox, home = Sandbox(now=NOON), new_home(tmp_path_factory.mktemp("home"))
    with sandbox.serve() as url:
        own = {name.lower(): value for name, value in sandbox.settings(url).items()}
        own |= {"duewell_home": str(home), "duewell_database_url": f"sqlite:///{home}/duewell.db"}
        own |= {"sendgrid_api_key": "", "microsoft365_client_id": ""}
        app = open_app(load_settings(**own), now=sandbox.clock.now, sleep=sandbox.clock.sleep)
        yield Scenario(sandbox, url, app, SandboxCompany(sandbox, "xero")), home
        app.close()


@pytest.fixture(scope="module")
def correspondence(served: tuple[Scenario, Path]) -> Correspondence:
    scenario, home = served
    gmail = scenario.sandbox.gmail
    for name in CUSTOMERS:
        scenario.company.customer(f"{name} Ltd", email_of(name))
        scenario.company.invoice(f"{name} Ltd", "1200.00", due_on=days(-6))
    connect_gmail(scenario)
    scenario.go_live()
    gmail.set_outcome(email_of("Birch"), "bounce")
    gmail.set_outcome(email_of("Cedar"), "sending_limit")
    scenario.sandbox.faults.add(Rule("drop_after", service="gmail", kind="email", nth=len(CUSTOMERS)))
    scenario.run()
    made = Correspondence(scenario, home, len(scenario.sandbox.requests))
    scenario.sandbox.clock.advance(timedelta(hours=1))
    gmail.reply(made.number("Ashdown"), "We paid this on Monday.")
    gmail.reply(made.number("Elm"), "Which invoice is that?", subject="Your letter")
    gmail.reply(made.number("Fern"), "I am away until Friday.", headers={"Auto-Submitted": "auto-replied"})
    gmail.bounce(made.number("Dale"), complete=False)
    gmail.receive("eve@eve.example", PRIVATE, f"{PRIVATE}: please sign.")
    gmail.send(
        "billing@larkspur.example", b"From: billing@larkspur.example\nTo: bo@bo.example\nSubject: Lunch\n\nNoon?\n"
    )
    gmail.reply(len(gmail.emails()), f"{PRIVATE} first.")
    scenario.run()
    return made


def test_each_customer_was_emailed_once_from_the_mailbox(correspondence: Correspondence) -> None:
    scenario = correspondence.scenario
    sent = [each.envelope[0] for each in correspondence.gmail.emails() if each.envelope[0].startswith("accounts@")]
    assert sorted(sent) == [email_of(name) for name in CUSTOMERS]
    assert scenario.sandbox.sendgrid.emails() == []
    emails = [each for each in scenario.outbox() if each.kind == OutboxKind.EMAIL and each.attempts]
    assert {each.state for each in emails} == {"done"}, "the one whose reply was lost was found by its key"


def test_replies_are_tasks_with_their_own_text_whatever_their_subject(correspondence: Correspondence) -> None:
    replies = correspondence.tasks(TaskCode.REPLY)
    assert replies.keys() == {"Ashdown", "Elm"}
    assert "We paid this on Monday." in replies["Ashdown"]
    assert "1200" not in replies["Ashdown"], "what it quotes is ours"
    assert correspondence.tasks(TaskCode.AUTO_REPLY).keys() == {"Fern"}


def test_bounces_suppress_the_address_with_and_without_a_machine_readable_part(correspondence: Correspondence) -> None:
    with reading(correspondence.scenario.app.engine) as session:
        suppressed = suppressed_addresses(session)
    assert suppressed.keys() == {email_of("Birch"), email_of("Dale")}
    assert {correspondence.refusal(name) for name in ("Birch", "Dale")} == {"address"}


def test_notice_of_the_sending_limit_is_about_us_and_leaves_the_address_good(correspondence: Correspondence) -> None:
    assert correspondence.refusal("Cedar") == "sender"
    assert "not about their address" in correspondence.tasks(TaskCode.UNDELIVERED)["Cedar"]


def test_other_email_of_the_mailbox_leaves_no_trace_and_its_text_was_never_fetched(
    correspondence: Correspondence, caplog: pytest.LogCaptureFixture
) -> None:
    scenario = correspondence.scenario
    private = {
        each.id
        for each in correspondence.gmail.mailboxes["billing@larkspur.example"].emails.values()
        if PRIVATE.encode() in each.raw
    }
    assert len(private) == 2
    asked = scenario.sandbox.requests[correspondence.requests_before :]
    fetched = [each.path for each in asked if each.service == "gmail" and "format=raw" in each.query]
    assert fetched
    assert not [path for path in fetched if path.rpartition("/")[2] in private]
    stored = b"".join(file.read_bytes() for file in correspondence.home.rglob("*") if file.is_file())
    assert PRIVATE.encode() not in stored
    assert b"eve@eve.example" not in stored
    assert PRIVATE not in caplog.text


def test_each_message_counts_once_also_where_the_mailbox_is_read_anew(correspondence: Correspondence) -> None:
    scenario = correspondence.scenario
    before = count_received(scenario)
    row = find_mailbox(scenario.app)
    assert row is not None
    assert row.cursor
    scenario.sandbox.clock.advance(timedelta(days=9))  # Gmail forgets the position meanwhile
    correspondence.gmail.reply(correspondence.number("Ashdown"), "Anything else?")
    assert scenario.run().outcome == RunOutcome.OK
    assert count_received(scenario) == (before[0] + 1, before[1])


@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize(
    ("outcome", "kind"), [("bounce", "failed"), ("delayed", "delayed"), ("sending_limit", "failed")]
)
def test_each_report_of_gmail_says_what_happened_to_whom(outcome: str, kind: str, *, complete: bool) -> None:
    original = StoredMail("1", "1", b"Subject: Invoice\r\nMessage-ID: <a@mail.gmail.com>\r\n\r\nHi", [], NOON)
    address, own = email_of("Ashdown"), "billing@larkspur.example"
    raw = write_report(original, address, outcome, own, "<r@mx.google.com>", NOON, complete=complete)
    message = read_message(raw)
    assert message.is_report
    assert [(each.addresses, each.action) for each in message.reports] == [((address,), kind)]
    assert "<a@mail.gmail.com>" in message.references
    unnamed = read_message(raw.replace(b"X-Failed-Recipients", b"X-Other"))
    assert [each.action for each in unnamed.reports] == [kind]


def test_later_reminders_name_the_message_ids_that_their_recipient_knows(correspondence: Correspondence) -> None:
    scenario, gmail = correspondence.scenario, correspondence.gmail
    scenario.company.customer("Hazel Ltd", email_of("Hazel"))
    scenario.company.invoice("Hazel Ltd", "800.00", due_on=scenario.days_ago(6))
    scenario.sandbox.faults.add(Rule("drop_after", service="gmail", kind="email"))  # sent, and found an hour later
    for hours in (1, 1, 0, 0, 0, 0):
        scenario.run()
        scenario.sandbox.clock.advance(timedelta(hours=hours) if hours else timedelta(days=7))
    first, second, *_ = gmail.emails_to(email_of("Hazel"))
    assert first.message_id.endswith("@mail.gmail.com>")
    assert second.references == [first.message_id] * 2  # References and In-Reply-To


def count_received(scenario: Scenario) -> tuple[int, int]:
    with reading(scenario.app.engine) as session:
        return len(session.scalars(select(ReceivedReply)).all()), len(session.scalars(select(EmailEvent)).all())


def test_revoked_access_keeps_the_emails_and_says_how_to_connect_again(correspondence: Correspondence) -> None:
    scenario = correspondence.scenario
    correspondence.gmail.revoke_all()
    scenario.sandbox.clock.advance(timedelta(hours=2))
    scenario.company.customer("Gorse Ltd", email_of("Gorse"))
    scenario.company.invoice("Gorse Ltd", "800.00", due_on=scenario.days_ago(6))
    assert scenario.run().outcome == RunOutcome.ACTION_REQUIRED
    assert correspondence.gmail.emails_to(email_of("Gorse")) == []
    [finding] = check_mailbox(scenario.app)
    assert (finding.status, "duewell connect gmail" in finding.message) == ("error", True)


def test_the_doctor_says_when_the_access_of_an_app_in_testing_ends_and_as_whom_one_may_send(
    correspondence: Correspondence,
) -> None:
    scenario = correspondence.scenario
    correspondence.gmail.sign_in.testing = True
    connect_gmail(scenario)
    [finding] = check_mailbox(scenario.app)
    assert finding.status == "warning"
    assert "Testing" in finding.fix
    assert [each.status for each in check_sender(scenario.app)][:2] == ["ok", "ok"]
    correspondence.gmail.sign_in.testing = False
    connect_gmail(scenario)
    asked = scenario.app.settings.model_copy(update={"mail_from": "office@larkspur.example"})
    app = replace(scenario.app, settings=asked)
    assert [each.status for each in check_mailbox(app)] == ["error"]
    correspondence.gmail.add_alias("office@larkspur.example", "pending")
    assert "may not send as office@larkspur.example" in next(check_mailbox(app)).message
    correspondence.gmail.add_alias("office@larkspur.example")
    assert [each.status for each in check_mailbox(app)] == ["ok"]
    with reading(scenario.app.engine) as session:
        assert "billing@larkspur.example (Gmail) was connected" in "\n".join(
            e.text for e in sync_log.list_entries(session)
        )
