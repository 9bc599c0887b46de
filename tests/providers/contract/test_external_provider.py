"""A provider from outside the source tree is found by its entry point and synced like any other."""

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
from tests.providers.contract.csv_company import CsvCompany

NOON = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)  # a Wednesday


@pytest.mark.usefixtures("installed_example")
def test_example_provider_is_connected_and_its_company_is_chased(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger_folder, email_folder, home = tmp_path / "ledger", tmp_path / "emails", tmp_path / "home"
    for folder in (ledger_folder, email_folder, home):
        folder.mkdir(mode=0o700)
    monkeypatch.setenv("CSV_LEDGER_FOLDER", str(ledger_folder))
    assert "csv" in providers.list_ledger_names()
    sandbox = Sandbox(now=NOON)
    company = CsvCompany(sandbox, ledger_folder)
    company.add_customer("Ann")
    number = company.add_invoice("Ann", "100").number
    settings = load_settings(duewell_home=str(home), eml_folder=str(email_folder), mail_from="billing@duewell.example")
    app = open_app(settings, now=sandbox.clock.now, sleep=sandbox.clock.sleep)
    try:
        consent_request = begin_consent(app, "csv")
        [connection] = finish_consent(app, "csv", consent_request.url)
        assert connection.id is not None
        assert run_connection(app, connection.id).outcome == "ok"
        assert list(email_folder.iterdir()) == []
        set_mode(app, connection.id, "live")
        assert run_connection(app, connection.id).outcome == "ok"
        [note] = company.notes(number)
        assert "ann@customer.example" in note
        assert len(emails_to_ann(email_folder)) == 1
        company.pay(number)
        sandbox.clock.advance(timedelta(days=9))
        assert run_connection(app, connection.id).outcome == "ok"
        assert [one for one in emails_to_ann(email_folder)[1:] if "thank" not in one.lower()] == [], (
            "a customer who has paid gets no reminder"
        )
    finally:
        app.close()


def emails_to_ann(folder: Path) -> list[str]:
    texts = [one.read_text() for one in sorted(folder.iterdir(), key=lambda one: one.stat().st_mtime_ns)]
    return [text for text in texts if "To: Ann <ann@customer.example>" in text]
