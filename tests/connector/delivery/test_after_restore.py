"""A database restored from yesterday's backup: what was sent since then is not sent again."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from connector.app_context import open_app
from connector.audit import sync_log
from connector.connections import account_owners
from connector.connections.registry import set_mode
from connector.db.engine import reading, writing
from connector.db.tables import Connection
from connector.delivery.after_restore import must_withhold
from connector.emails.inbound.events import receive_events
from connector.outbox import approvals
from connector.restore.backup import restore_backup, write_backup
from connector.vocabulary import ConnectionMode, LogKind, RunOutcome
from providers.mailer import RefusalCause
from providers.sendgrid.webhook import parse_events
from tests.connector.scenario import ResumeAfter, Scenario

FEES = """
[late_fees]
enabled = true
approval = "automatic"
terms_agreed_on = 2025-01-01
"""


def restore_in_place(scenario: Scenario, backup: Path) -> None:
    """Restore the backup with duewell stopped, start it and go live again, as a user would."""
    settings = scenario.app.settings
    scenario.app.close()
    restore_backup(settings.duewell_database_url, backup, scenario.app.keyring, at=scenario.sandbox.clock.now())
    scenario.app = open_app(settings, now=scenario.sandbox.clock.now, sleep=scenario.sandbox.clock.sleep)
    scenario.connect()  # the tokens of the backup have been used since
    set_mode(scenario.app, scenario.connection, ConnectionMode.LIVE)


class ExternalState(NamedTuple):
    email_keys: list[str]
    notes: dict[str, list[str]]
    fees: list[str]


def send_after_a_backup(scenario: Scenario) -> None:
    scenario.company.invoice(scenario.company.customer("Ashdown Ltd"), "1200.00", due_on=scenario.days_ago(6))
    scenario.company.invoice(scenario.company.customer("Birch Ltd"), "300.00", due_on=scenario.days_ago(14))
    scenario.company.invoice(scenario.company.customer("Cole Ltd"), "500.00", due_on=scenario.days_ago(-1))
    scenario.go_live()
    scenario.set_policy(FEES)
    scenario.run()
    scenario.pass_days(5)
    write_backup(scenario.app.engine, backup_file(scenario), scenario.app.keyring, at=scenario.sandbox.clock.now())
    for _day in range(4):
        scenario.run()
        scenario.pass_days(1)
    assert "accounts@cole.example" in {to[0] for to, _subject in scenario.customer_emails()}


def backup_file(scenario: Scenario) -> Path:
    return scenario.app.settings.duewell_home / "backup.db"


def restore(scenario: Scenario) -> None:
    restore_in_place(scenario, backup_file(scenario))


@pytest.fixture
def since(scenario: Scenario, resume_after: ResumeAfter) -> Iterator[Scenario]:
    """A company with a backup from before some emails, notes and a late fee."""
    with resume_after(send_after_a_backup, scenario.company.provider) as resumed:
        yield resumed


def external_state(scenario: Scenario) -> ExternalState:
    """Return what the services have got: emails to customers, notes and fees."""
    own = scenario.app.settings.mail_from
    emails = [email for email in scenario.sandbox.sendgrid.emails() if own not in email.to]
    keys = sorted(email.custom_args["duewell_key"] for email in emails)
    notes = {number: scenario.company.notes(number) for number in scenario.company.numbers}
    return ExternalState(keys, notes, sorted(scenario.company.fees()))


def test_nothing_that_was_sent_since_the_backup_is_sent_again(since: Scenario) -> None:
    before = external_state(since)
    assert before.fees
    restore(since)
    for _run in range(3):
        assert since.run().outcome is RunOutcome.OK
        since.sandbox.clock.advance(timedelta(hours=1))
    after = external_state(since)
    assert set(Counter(after.email_keys).values()) == {1}
    assert set(before.email_keys) <= set(after.email_keys)
    assert all(len(notes) == len(set(notes)) for notes in after.notes.values())
    assert {number: after.notes[number][: len(notes)] for number, notes in before.notes.items()} == before.notes
    assert after.fees == before.fees
    assert since.outbox("planned", "sending", "unconfirmed") == []


def test_reminders_continue_after_a_restore(since: Scenario) -> None:
    restore(since)
    since.run()
    before = len(since.customer_emails())
    since.company.invoice(since.company.customer("Dent Ltd"), "90.00", due_on=since.today, on=since.today)
    since.sandbox.clock.advance(timedelta(hours=1))
    since.run()
    assert len(since.customer_emails()) == before + 1


def test_without_a_searchable_email_log_notes_prove_emails_and_the_others_need_approval(
    since: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "eml"
    folder.mkdir()
    monkeypatch.setattr("providers.eml.mailer.EmlMailer.can_find_sent", False)
    restore(since)
    since.company.invoice(since.company.customer("Dent Ltd"), "90.00", due_on=since.today, on=since.today)
    others = dict.fromkeys(("sendgrid_api_key", "microsoft365_client_id", "gmail_client_id"), "")
    settings = since.app.settings.model_copy(update={**others, "eml_folder": folder})
    since.app = replace(since.app, settings=settings)
    since.run()
    assert [path for path in folder.iterdir() if "owner-email" not in path.name] == []
    awaiting = since.outbox("awaiting_approval")
    with writing(since.app.engine) as session:
        approvals.approve(session, [each.id or 0 for each in awaiting], by="Ann", at=since.app.now())
    since.run()
    emails = [path.read_text() for path in folder.iterdir() if "owner-email" not in path.name]
    assert len([text for text in emails if "accounts@dent.example" in text]) == 1
    assert [text for text in emails if "accounts@cole.example" in text] == []  # the note in the ledger proves it


@pytest.mark.parametrize("scenario", ["xero"], indirect=True)
def test_events_that_come_after_a_restore_prove_what_was_sent_before_it(
    since: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Counter(external_state(since).email_keys)
    restore(since)
    monkeypatch.setattr("providers.sendgrid.mailer.SendGridMailer.can_find_sent", False)
    monkeypatch.setattr("connector.delivery.after_restore._find_in_ledger", lambda *_: None)
    sent = [{**event, **event["custom_args"]} for event in since.sandbox.sendgrid.store.events]
    returned = since.sandbox.sendgrid.emails_to("accounts@cole.example")[-1]
    full = {"event": "bounce", "type": "expired", "reason": "452 4.2.2 mailbox full", "sg_event_id": "full"}
    delivered = next(each for each in sent if each["sg_message_id"].startswith(returned.message_id))
    sent.append({**delivered, **full})
    receive_events(since.app, parse_events(json.dumps(sent).encode(), since.app.now()))
    since.run()
    assert Counter(external_state(since).email_keys) == before
    [entry] = [each for each in since.outbox("done") if each.key == returned.custom_args["duewell_key"]]
    assert entry.refusal == RefusalCause.RECIPIENT, "it was sent, and reached nobody"


class _LookedUpError(Exception):
    """The entry was looked up, to search for it outside."""


@pytest.mark.parametrize(("seconds", "searched"), [(0, True), (1, False)])
def test_earlier_sends_are_searched_for_until_45_days_after_a_restore(seconds: int, *, searched: bool) -> None:
    def look_up() -> None:
        raise _LookedUpError

    now = datetime(2026, 6, 10, 12, 0, tzinfo=UTC)
    gap = SimpleNamespace(to_at=now - timedelta(days=45, seconds=seconds))
    ctx: Any = SimpleNamespace(restore_gap=gap, now=lambda: now, reading=look_up)
    with pytest.raises(_LookedUpError) if searched else nullcontext():
        assert must_withhold(ctx, 1, "email") is False


@pytest.mark.parametrize("scenario", ["xero"], indirect=True)
def test_a_database_copied_back_by_hand_is_detected_and_nothing_is_sent_twice(
    scenario: Scenario, tmp_path: Path
) -> None:
    scenario.company.invoice(scenario.company.customer("Ashdown Ltd"), "1200.00", due_on=scenario.days_ago(6))
    scenario.go_live()
    settings, database = scenario.app.settings, scenario.app.settings.duewell_home / "duewell.db"
    scenario.app.close()  # merges the write-ahead log: the file is complete
    shutil.copy(database, tmp_path / "by-hand.db")
    scenario.run()
    scenario.pass_days(1)
    scenario.run()
    before = external_state(scenario)
    assert before.email_keys
    scenario.app.close()
    shutil.copy(tmp_path / "by-hand.db", database)
    scenario.app = open_app(settings, now=scenario.sandbox.clock.now, sleep=scenario.sandbox.clock.sleep)
    scenario.connect()
    scenario.run()
    with reading(scenario.app.engine) as session:
        assert session.get_one(Connection, scenario.connection).mode == ConnectionMode.APPROVE
        assert [line.text[:20] for line in sync_log.list_entries(session) if line.kind == LogKind.RESTORED] == [
            "Restored from a copy"
        ]
    set_mode(scenario.app, scenario.connection, ConnectionMode.LIVE)
    for _run in range(2):
        scenario.sandbox.clock.advance(timedelta(hours=1))
        scenario.run()
    assert external_state(scenario) == before
    with reading(scenario.app.engine) as session:
        assert session.get_one(Connection, scenario.connection).mode == ConnectionMode.LIVE


@pytest.mark.parametrize("scenario", ["xero"], indirect=True)
def test_log_entries_written_after_copying_back_by_hand_hide_nothing_that_was_sent_before(
    scenario: Scenario, tmp_path: Path
) -> None:
    scenario.company.invoice(scenario.company.customer("Ashdown Ltd"), "1200.00", due_on=scenario.days_ago(6))
    scenario.go_live()
    account_owners.set_default_owner(scenario.app, scenario.connection, "Ann <ann@small.example>", by="Ann")
    scenario.run()
    scenario.pass_days(1)  # the next day's digest is about today
    settings, database = scenario.app.settings, scenario.app.settings.duewell_home / "duewell.db"
    scenario.app.close()
    shutil.copy(database, tmp_path / "by-hand.db")
    scenario.run()
    assert scenario.sandbox.sendgrid.emails_to("ann@small.example"), "the day's digest has been sent"
    scenario.sandbox.clock.advance(timedelta(hours=1))
    scenario.app.close()
    shutil.copy(tmp_path / "by-hand.db", database)
    scenario.app = open_app(settings, now=scenario.sandbox.clock.now, sleep=scenario.sandbox.clock.sleep)
    scenario.connect()  # which is logged later than all that was sent
    scenario.run()
    set_mode(scenario.app, scenario.connection, ConnectionMode.LIVE)
    scenario.run()
    keys = Counter(email.custom_args["duewell_key"] for email in scenario.sandbox.sendgrid.emails())
    assert set(keys.values()) == {1}
