"""A provider outside the tree is found by its entry point, and its company lives through the hour like any other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import providers
from connector.app_context import open_app
from connector.connections.registry import begin_consent, finish_consent, set_mode
from connector.run import run_connection
from connector.settings import load_settings
from sandbox.server import Sandbox
from tests.providers.contract.csv_ledger_fixture import CsvFixture

NOON = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)  # a Wednesday


@pytest.mark.usefixtures("installed_example")
def test_the_example_is_connected_read_chased_and_written_back_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    books, mails, home = tmp_path / "books", tmp_path / "mails", tmp_path / "home"
    for folder in (books, mails, home):
        folder.mkdir(mode=0o700)
    monkeypatch.setenv("CSV_LEDGER_FOLDER", str(books))
    assert "csv" in providers.list_ledger_names()
    sandbox = Sandbox(now=NOON)
    ledger_fixture = CsvFixture(sandbox, books)
    ledger_fixture.customer("Ann")
    number = ledger_fixture.invoice("Ann", "100")[1]
    settings = load_settings(duewell_home=str(home), eml_folder=str(mails), mail_from="books@house.example")
    app = open_app(settings, now=sandbox.clock.now)
    try:
        begun = begin_consent(app, "csv")
        [connection] = finish_consent(app, "csv", begun.url)
        assert connection.id is not None
        assert run_connection(app, connection.id).outcome == "ok"
        assert list(mails.iterdir()) == []
        set_mode(app, connection.id, "live")
        assert run_connection(app, connection.id).outcome == "ok"
        [note] = ledger_fixture.notes(number)
        assert "ann@house.example" in note
        assert len(to_ann(mails)) == 1
        ledger_fixture.pay(number)
        sandbox.clock.advance(timedelta(days=9))
        assert run_connection(app, connection.id).outcome == "ok"
        assert [one for one in to_ann(mails)[1:] if "thank" not in one.lower()] == [], "who has paid is not chased"
    finally:
        app.close()


def to_ann(emails: Path) -> list[str]:
    texts = [one.read_text() for one in sorted(emails.iterdir(), key=lambda one: one.stat().st_mtime_ns)]
    return [text for text in texts if "To: Ann <ann@house.example>" in text]
