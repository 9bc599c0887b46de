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

from connector import sync_log
from connector.access import team
from connector.access.connections import set_mode
from connector.backup import restore_backup, write_backup
from connector.database import reading, writing
from connector.installation import open_installation
from connector.people import approvals
from connector.tables import Connection

FEES = """
[late_fees]
enabled = true
approval = "automatic"
terms_agreed_on = 2025-01-01
"""


def ago(town: Any, days: int) -> date:
    today: date = town.sandbox.clock.now().date()
    return today - timedelta(days=days)


def put_back(town: Any, backup: Path) -> None:
    """Restore the backup in place, as a person would with duewell stopped, and go live again."""
    settings = town.installation.settings
    town.installation.close()
    restore_backup(settings.duewell_database_url, backup, at=town.sandbox.clock.now())
    town.installation = open_installation(settings, now=town.sandbox.clock.now)
    town.connect()  # the tokens of the backup were used up since
    set_mode(town.installation, town.connection, "live")


@pytest.fixture
def lived(town: Any, tmp_path: Path) -> Callable[[], None]:
    """A company with a backup, and a day lived since: mails, notes and a fee have left. Calling it restores."""
    town.books.invoice(town.books.customer("Ashdown Ltd"), "1200.00", due_on=ago(town, 6))
    town.books.invoice(town.books.customer("Birch Ltd"), "300.00", due_on=ago(town, 14))
    town.live()
    town.policy(FEES)
    town.run()
    town.pass_days(5)
    tmp_path.chmod(0o700)
    write_backup(town.installation.engine, tmp_path / "backup.db", at=town.sandbox.clock.now())
    town.books.invoice(town.books.customer("Cole Ltd"), "500.00", due_on=ago(town, 6))
    for _day in range(4):
        town.run()
        town.pass_days(1)
    assert "accounts@cole.example" in {to[0] for to, _subject in town.mails()}
    return lambda: put_back(town, tmp_path / "backup.db")


def outside(town: Any) -> tuple[Any, ...]:
    own = town.installation.settings.mail_from
    keys = sorted(m.custom_args["duewell_key"] for m in town.sandbox.sendgrid.mails() if own not in m.to)
    return keys, {n: town.books.notes(n) for n in town.books.numbers}, sorted(town.books.fees())


def test_nothing_that_left_since_the_backup_leaves_again(town: Any, lived: Callable[[], None]) -> None:
    keys, notes, fees = outside(town)
    assert fees
    lived()
    for _hour in range(3):
        assert town.run().outcome == "ok"
        town.sandbox.clock.advance(timedelta(hours=1))
    after = outside(town)
    assert set(Counter(after[0]).values()) == {1}
    assert set(keys) <= set(after[0])
    assert all(len(written) == len(set(written)) for written in after[1].values())
    assert {number: after[1][number][: len(written)] for number, written in notes.items()} == notes
    assert after[2] == fees
    assert town.outbox("planned", "calling", "doubt") == []


def test_life_goes_on_after_a_restore(town: Any, lived: Callable[[], None]) -> None:
    lived()
    town.run()
    before = len(town.mails())
    town.books.invoice(town.books.customer("Dent Ltd"), "90.00", due_on=ago(town, 8))
    town.sandbox.clock.advance(timedelta(hours=1))
    town.run()
    assert len(town.mails()) == before + 1


def test_where_no_mail_system_can_be_asked_the_notes_tell_and_a_person_approves_the_rest(
    town: Any, lived: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "eml"
    folder.mkdir()
    monkeypatch.setattr("providers.eml.mailer.EmlMailer.reconciles", False)
    lived()
    town.books.invoice(town.books.customer("Dent Ltd"), "90.00", due_on=ago(town, 8))
    settings = town.installation.settings.model_copy(update={"sendgrid_api_key": "", "eml_folder": folder})
    town.installation = replace(town.installation, settings=settings)
    town.run()
    assert [path for path in folder.iterdir() if "owner-mail" not in path.name] == []
    waiting = town.outbox("waiting")
    with writing(town.installation.engine) as session:
        approvals.approve(session, [each["id"] for each in waiting], by="Ann", at=town.installation.now())
    town.run()
    written = [path.read_text() for path in folder.iterdir() if "owner-mail" not in path.name]
    assert len([text for text in written if "accounts@dent.example" in text]) == 1
    assert [text for text in written if "accounts@cole.example" in text] == []  # the note in the ledger tells


@pytest.mark.parametrize("town", ["xero"], indirect=True)
def test_a_database_copied_back_by_hand_is_noticed_and_nothing_leaves_twice(town: Any, tmp_path: Path) -> None:
    town.books.invoice(town.books.customer("Ashdown Ltd"), "1200.00", due_on=ago(town, 6))
    town.live()
    settings, database = town.installation.settings, town.installation.settings.duewell_home / "duewell.db"
    town.installation.close()  # the last one takes the write-ahead log along: the file is whole
    shutil.copy(database, tmp_path / "by-hand.db")
    town.run()
    town.pass_days(1)
    town.run()
    before = outside(town)
    assert before[0]
    town.installation.close()
    shutil.copy(tmp_path / "by-hand.db", database)
    town.installation = open_installation(settings, now=town.sandbox.clock.now)
    town.connect()
    town.run()
    with reading(town.installation.engine) as session:
        assert session.get_one(Connection, town.connection).mode == "approve"
        assert [line.text[:20] for line in sync_log.entries(session) if line.kind == "restored"] == [
            "Put back from a copy"
        ]
    set_mode(town.installation, town.connection, "live")
    for _hour in range(2):
        town.sandbox.clock.advance(timedelta(hours=1))
        town.run()
    assert outside(town) == before
    with reading(town.installation.engine) as session:
        assert session.get_one(Connection, town.connection).mode == "live"


@pytest.mark.parametrize("town", ["xero"], indirect=True)
def test_what_was_written_after_copying_back_by_hand_hides_nothing_that_left_before(town: Any, tmp_path: Path) -> None:
    town.books.invoice(town.books.customer("Ashdown Ltd"), "1200.00", due_on=ago(town, 6))
    town.live()
    team.set_default_owner(town.installation, town.connection, "Ann <ann@small.example>", by="Ann")
    town.run()
    town.pass_days(1)  # the next day's digest tells of today
    settings, database = town.installation.settings, town.installation.settings.duewell_home / "duewell.db"
    town.installation.close()
    shutil.copy(database, tmp_path / "by-hand.db")
    town.run()
    assert town.sandbox.sendgrid.mails_to("ann@small.example"), "the day's digest has left"
    town.sandbox.clock.advance(timedelta(hours=1))
    town.installation.close()
    shutil.copy(tmp_path / "by-hand.db", database)
    town.installation = open_installation(settings, now=town.sandbox.clock.now)
    town.connect()  # which is logged, later than all that left
    town.run()
    set_mode(town.installation, town.connection, "live")
    town.run()
    keys = Counter(mail.custom_args["duewell_key"] for mail in town.sandbox.sendgrid.mails())
    assert set(keys.values()) == {1}
