"""A database put back from yesterday's backup: what left since then does not leave again."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from connector.app_context import open_app
from connector.audit import sync_log
from connector.connections import account_owners
from connector.connections.registry import set_mode
from connector.db.engine import reading, writing
from connector.db.tables import Connection
from connector.outbox import approvals
from connector.restore.backup import restore_backup, write_backup
from connector.vocabulary import ConnectionMode, LogKind

FEES = """
[late_fees]
enabled = true
approval = "automatic"
terms_agreed_on = 2025-01-01
"""


def days_ago(scenario: Any, days: int) -> date:
    today: date = scenario.sandbox.clock.now().date()
    return today - timedelta(days=days)


def restore_in_place(scenario: Any, backup: Path) -> None:
    """Restore the backup in place, as a person would with duewell stopped, and go live again."""
    settings = scenario.app.settings
    scenario.app.close()
    restore_backup(settings.duewell_database_url, backup, at=scenario.sandbox.clock.now())
    scenario.app = open_app(settings, now=scenario.sandbox.clock.now)
    scenario.connect()  # the tokens of the backup were used up since
    set_mode(scenario.app, scenario.connection, "live")


@pytest.fixture
def restore_after_a_day(scenario: Any, tmp_path: Path) -> Callable[[], None]:
    """A company with a backup, and a day lived since: mails, notes and a fee have left. Calling it restores."""
    scenario.company.invoice(scenario.company.customer("Ashdown Ltd"), "1200.00", due_on=days_ago(scenario, 6))
    scenario.company.invoice(scenario.company.customer("Birch Ltd"), "300.00", due_on=days_ago(scenario, 14))
    scenario.go_live()
    scenario.set_policy(FEES)
    scenario.run()
    scenario.pass_days(5)
    tmp_path.chmod(0o700)
    write_backup(scenario.app.engine, tmp_path / "backup.db", at=scenario.sandbox.clock.now())
    scenario.company.invoice(scenario.company.customer("Cole Ltd"), "500.00", due_on=days_ago(scenario, 6))
    for _day in range(4):
        scenario.run()
        scenario.pass_days(1)
    assert "accounts@cole.example" in {to[0] for to, _subject in scenario.customer_emails()}
    return lambda: restore_in_place(scenario, tmp_path / "backup.db")


def external_state(scenario: Any) -> tuple[Any, ...]:
    own = scenario.app.settings.mail_from
    keys = sorted(m.custom_args["duewell_key"] for m in scenario.sandbox.sendgrid.emails() if own not in m.to)
    return keys, {n: scenario.company.notes(n) for n in scenario.company.numbers}, sorted(scenario.company.fees())


def test_nothing_that_left_since_the_backup_leaves_again(
    scenario: Any, restore_after_a_day: Callable[[], None]
) -> None:
    keys, notes, fees = external_state(scenario)
    assert fees
    restore_after_a_day()
    for _hour in range(3):
        assert scenario.run().outcome == "ok"
        scenario.sandbox.clock.advance(timedelta(hours=1))
    after = external_state(scenario)
    assert set(Counter(after[0]).values()) == {1}
    assert set(keys) <= set(after[0])
    assert all(len(written) == len(set(written)) for written in after[1].values())
    assert {number: after[1][number][: len(written)] for number, written in notes.items()} == notes
    assert after[2] == fees
    assert scenario.outbox("planned", "sending", "unconfirmed") == []


def test_life_goes_on_after_a_restore(scenario: Any, restore_after_a_day: Callable[[], None]) -> None:
    restore_after_a_day()
    scenario.run()
    before = len(scenario.customer_emails())
    scenario.company.invoice(scenario.company.customer("Dent Ltd"), "90.00", due_on=days_ago(scenario, 8))
    scenario.sandbox.clock.advance(timedelta(hours=1))
    scenario.run()
    assert len(scenario.customer_emails()) == before + 1


def test_where_no_mail_system_can_be_asked_the_notes_tell_and_a_person_approves_the_rest(
    scenario: Any, restore_after_a_day: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "eml"
    folder.mkdir()
    monkeypatch.setattr("providers.eml.mailer.EmlMailer.can_find_sent", False)
    restore_after_a_day()
    scenario.company.invoice(scenario.company.customer("Dent Ltd"), "90.00", due_on=days_ago(scenario, 8))
    settings = scenario.app.settings.model_copy(update={"sendgrid_api_key": "", "eml_folder": folder})
    scenario.app = replace(scenario.app, settings=settings)
    scenario.run()
    assert [path for path in folder.iterdir() if "owner-mail" not in path.name] == []
    waiting = scenario.outbox("awaiting_approval")
    with writing(scenario.app.engine) as session:
        approvals.approve(session, [each.id for each in waiting], by="Ann", at=scenario.app.now())
    scenario.run()
    written = [path.read_text() for path in folder.iterdir() if "owner-mail" not in path.name]
    assert len([text for text in written if "accounts@dent.example" in text]) == 1
    assert [text for text in written if "accounts@cole.example" in text] == []  # the note in the ledger tells


@pytest.mark.parametrize("scenario", ["xero"], indirect=True)
def test_a_database_copied_back_by_hand_is_noticed_and_nothing_leaves_twice(scenario: Any, tmp_path: Path) -> None:
    scenario.company.invoice(scenario.company.customer("Ashdown Ltd"), "1200.00", due_on=days_ago(scenario, 6))
    scenario.go_live()
    settings, database = scenario.app.settings, scenario.app.settings.duewell_home / "duewell.db"
    scenario.app.close()  # the last one takes the write-ahead log along: the file is whole
    shutil.copy(database, tmp_path / "by-hand.db")
    scenario.run()
    scenario.pass_days(1)
    scenario.run()
    before = external_state(scenario)
    assert before[0]
    scenario.app.close()
    shutil.copy(tmp_path / "by-hand.db", database)
    scenario.app = open_app(settings, now=scenario.sandbox.clock.now)
    scenario.connect()
    scenario.run()
    with reading(scenario.app.engine) as session:
        assert session.get_one(Connection, scenario.connection).mode == ConnectionMode.APPROVE
        assert [line.text[:20] for line in sync_log.list_entries(session) if line.kind == LogKind.RESTORED] == [
            "Put back from a copy"
        ]
    set_mode(scenario.app, scenario.connection, "live")
    for _hour in range(2):
        scenario.sandbox.clock.advance(timedelta(hours=1))
        scenario.run()
    assert external_state(scenario) == before
    with reading(scenario.app.engine) as session:
        assert session.get_one(Connection, scenario.connection).mode == ConnectionMode.LIVE


@pytest.mark.parametrize("scenario", ["xero"], indirect=True)
def test_what_was_written_after_copying_back_by_hand_hides_nothing_that_left_before(
    scenario: Any, tmp_path: Path
) -> None:
    scenario.company.invoice(scenario.company.customer("Ashdown Ltd"), "1200.00", due_on=days_ago(scenario, 6))
    scenario.go_live()
    account_owners.set_default_owner(scenario.app, scenario.connection, "Ann <ann@small.example>", by="Ann")
    scenario.run()
    scenario.pass_days(1)  # the next day's digest tells of today
    settings, database = scenario.app.settings, scenario.app.settings.duewell_home / "duewell.db"
    scenario.app.close()
    shutil.copy(database, tmp_path / "by-hand.db")
    scenario.run()
    assert scenario.sandbox.sendgrid.emails_to("ann@small.example"), "the day's digest has left"
    scenario.sandbox.clock.advance(timedelta(hours=1))
    scenario.app.close()
    shutil.copy(tmp_path / "by-hand.db", database)
    scenario.app = open_app(settings, now=scenario.sandbox.clock.now)
    scenario.connect()  # which is logged, later than all that left
    scenario.run()
    set_mode(scenario.app, scenario.connection, "live")
    scenario.run()
    keys = Counter(mail.custom_args["duewell_key"] for mail in scenario.sandbox.sendgrid.emails())
    assert set(keys.values()) == {1}
