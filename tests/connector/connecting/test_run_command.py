"""``duewell run`` and the other commands that do the work, against the make-believe vendors."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from connector import lease
from connector.access.connections import set_mode
from connector.access.tokens import fresh_token
from connector.database import writing
from connector.installation import Installation, Uncounted
from connector.tables import Connection, Grant

ROOT = Path(__file__).parents[3]
Vendors = Any
Command = Callable[..., Any]
GiveConsent = Callable[..., list[Connection]]


@pytest.fixture
def now_and_here(vendors: Vendors) -> None:
    """Let the vendors' clock show the real time, as commands do."""
    vendors.sandbox.clock.run()


def test_a_run_tells_its_story_and_one_company_that_needs_a_person_does_not_stop_the_other(
    duewell: Command, installation: Installation, consent: GiveConsent, vendors: Vendors, now_and_here: None
) -> None:
    xero = consent(installation, "xero")[0]
    (quickbooks,) = consent(installation, "quickbooks")
    vendors.sandbox.xero.sign_in.revoke_all()
    with writing(installation.engine) as session:
        session.get_one(Grant, xero.grant_id).token_expires_at = installation.now() - timedelta(hours=1)
    said = duewell("run", "--json")
    results = {item["id"]: item for item in json.loads(said.out)}
    assert said.exit_code == 1
    assert results[xero.id]["outcome"] == "person"
    assert "duewell connect xero" in results[xero.id]["why"]
    assert results[quickbooks.id]["outcome"] == "ok"
    assert results[quickbooks.id]["numbers"]["invoices"] > 100
    assert any("Read" in line for line in results[quickbooks.id]["story"])


def test_a_fault_of_our_own_is_said_in_words_and_kept_in_the_log_file(
    duewell: Command, installation: Installation, consent: GiveConsent, monkeypatch: pytest.MonkeyPatch
) -> None:
    consent(installation, "quickbooks")

    def breaks(_hour: object) -> None:
        raise KeyError("a secret of a record")

    monkeypatch.setattr("connector.pull.read_the_books", breaks)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's own
    said = duewell("run")
    assert said.exit_code == 1
    assert "A fault of duewell (KeyError)" in said.out
    assert "Traceback" not in said.out + said.err
    assert "secret" not in said.out + said.err
    assert "Traceback" in (installation.settings.duewell_home / "logs" / "duewell.log").read_text()


def test_a_dry_run_of_a_live_company_sends_nothing(
    duewell: Command, installation: Installation, consent: GiveConsent, vendors: Vendors, now_and_here: None
) -> None:
    (row,) = consent(installation, "quickbooks")
    set_mode(installation, row.id or 0, "live")
    said = duewell("run", row.short_name, "--dry-run")
    assert said.exit_code == 0
    assert row.name in said.out
    assert row.name in said.err
    assert vendors.sandbox.requests.counted("", "mail") == 0
    assert vendors.sandbox.requests.counted("", "write") == 0


def test_a_second_run_of_the_same_company_says_that_one_is_under_way(
    duewell: Command, installation: Installation, consent: GiveConsent
) -> None:
    (row,) = consent(installation, "quickbooks")
    with lease.hold(installation, row.id or 0):
        said = duewell("run")
    assert said.exit_code == 1
    assert "under way" in said.out


def test_secrets_are_in_no_log_even_when_everything_is_logged(
    installation: Installation, consent: GiveConsent, vendors: Vendors, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    xero = consent(installation, "xero")[0]
    (quickbooks,) = consent(installation, "quickbooks")
    tokens = [fresh_token(installation, row.grant_id or 0, Uncounted()) for row in (xero, quickbooks)]
    vendors.sandbox.clock.advance(timedelta(hours=2))
    tokens += [fresh_token(installation, row.grant_id or 0, Uncounted()) for row in (xero, quickbooks)]
    secrets = [token[name] for token in tokens for name in ("access_token", "refresh_token")]
    secrets += [installation.settings.xero_client_secret, installation.settings.quickbooks_client_secret]
    assert len(caplog.records) > 5
    assert not [secret for secret in secrets if secret in caplog.text]


def test_xero_connects_with_pkce_alone(installation: Installation, consent: GiveConsent, vendors: Vendors) -> None:
    pkce = installation.settings.model_copy(
        update={"xero_client_id": "sandbox-xero-pkce-client", "xero_client_secret": ""}
    )
    bare = Installation(pkce, installation.engine, installation.keyring, installation.now, installation.providers)
    row = consent(bare, "xero")[0]
    vendors.sandbox.clock.advance(timedelta(hours=1))
    assert fresh_token(bare, row.grant_id or 0, Uncounted())["access_token"]


def test_the_sandbox_prints_the_settings_that_point_at_it_and_ends_when_asked(free_port: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "connector.cli", "sandbox", "--port", str(free_port)],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        assert f":{free_port}" in process.stderr.readline()
        assert requests.get(f"http://127.0.0.1:{free_port}/", timeout=30).status_code == 200
        process.send_signal(signal.SIGTERM)
        out, _err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    settings = dict(line.partition("=")[::2] for line in out.splitlines())
    assert settings["XERO_API_URL"] == f"http://127.0.0.1:{free_port}"
    assert settings["SENDGRID_API_KEY"].startswith("SG.")


def test_how_fees_are_booked_is_shown_with_reasons_and_chosen_by_a_command(
    duewell: Command, installation: Installation, consent: GiveConsent, now_and_here: None
) -> None:
    name = consent(installation, "xero")[0].short_name
    shown = duewell("connections", "writeback", name)
    assert shown.exit_code == 0
    assert "account: 270 Interest Income (named for it" in shown.out
    assert "--account 260" in shown.out
    assert (
        "account: 260 Other Revenue (a person chose it)"
        in duewell("connections", "writeback", name, "--account", "260").out
    )
    refused = duewell("connections", "writeback", name, "--account", "999")
    assert refused.exit_code == 1
    assert "There are: 270" in refused.err
