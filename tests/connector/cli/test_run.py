"""``duewell run`` and related commands with the simulated services."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import requests

from connector.app_context import AppContext, UncountedCalls
from connector.cli.run import at_served_port
from connector.connections.registry import set_mode
from connector.connections.tokens import fresh_token
from connector.db.engine import writing
from connector.db.tables import Grant
from connector.runtime import lease
from tests.connector.installed import Command, GiveConsent, SandboxServices

ROOT = Path(__file__).parents[3]


@pytest.fixture
def real_clock(services: SandboxServices) -> None:
    """Set the simulated services' clock to the real time, which the commands use."""
    services.sandbox.clock.run()


def test_a_run_prints_its_report_and_one_company_that_needs_action_does_not_stop_the_other(
    duewell: Command, app: AppContext, give_consent: GiveConsent, services: SandboxServices, real_clock: None
) -> None:
    xero = give_consent(app, "xero")[0]
    (quickbooks,) = give_consent(app, "quickbooks")
    services.sandbox.xero.sign_in.revoke_all()
    with writing(app.engine) as session:
        session.get_one(Grant, xero.grant_id).token_expires_at = app.now() - timedelta(hours=1)
    said = duewell("run", "--json")
    results = {item["id"]: item for item in json.loads(said.out)}
    assert said.exit_code == 1
    assert results[xero.id]["outcome"] == "action_required"
    assert "duewell connect xero" in results[xero.id]["reason"]
    assert results[quickbooks.id]["outcome"] == "ok"
    assert results[quickbooks.id]["counts"]["invoices"] > 100
    assert any("Read" in line for line in results[quickbooks.id]["report"])
    lines = duewell("run").out.splitlines()  # nothing has changed for one, and the other cannot be read
    assert len(lines) == len(results)
    assert lines[0].startswith(f"{xero.name}: ")
    assert "duewell connect xero" in lines[0]
    assert lines[-1] == f"{quickbooks.name}: Completed: nothing to send."
    assert f"== {quickbooks.name}: Completed" in duewell("run", "--verbose").out.splitlines()


def test_an_internal_error_gives_a_message_and_is_in_the_log_file(
    duewell: Command, app: AppContext, give_consent: GiveConsent, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_consent(app, "quickbooks")

    def breaks(_hour: object) -> None:
        raise KeyError("a secret of a record")

    monkeypatch.setattr("connector.sync.pull.pull_changes", breaks)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's own
    said = duewell("run")
    assert said.exit_code == 1
    assert "Internal error in duewell (KeyError)" in said.out
    assert "Traceback" not in said.out + said.err
    assert "secret" not in said.out + said.err
    assert "Traceback" in (app.settings.duewell_home / "logs" / "duewell.log").read_text()


def test_a_dry_run_of_a_live_company_sends_nothing(
    duewell: Command, app: AppContext, give_consent: GiveConsent, services: SandboxServices, real_clock: None
) -> None:
    (row,) = give_consent(app, "quickbooks")
    set_mode(app, row.id or 0, "live")
    said = duewell("run", row.short_name, "--connection", row.short_name, "--dry-run")  # named twice, synced once
    assert said.exit_code == 0
    assert said.out.count(f"== {row.name}") == 1
    assert row.name in said.err
    assert services.sandbox.requests.count_of("", "email") == 0
    assert services.sandbox.requests.count_of("", "write") == 0


def test_a_second_run_of_the_same_company_reports_the_one_in_progress(
    duewell: Command, app: AppContext, give_consent: GiveConsent
) -> None:
    (row,) = give_consent(app, "quickbooks")
    with lease.acquire(app, row.id or 0):
        said = duewell("run")
    assert said.exit_code == 1
    assert "under way" in said.out


def test_secrets_are_in_no_log_even_when_everything_is_logged(
    app: AppContext, give_consent: GiveConsent, services: SandboxServices, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    xero = give_consent(app, "xero")[0]
    (quickbooks,) = give_consent(app, "quickbooks")
    tokens = [fresh_token(app, row.grant_id or 0, UncountedCalls()) for row in (xero, quickbooks)]
    services.sandbox.clock.advance(timedelta(hours=2))
    tokens += [fresh_token(app, row.grant_id or 0, UncountedCalls()) for row in (xero, quickbooks)]
    secrets = [token[name] for token in tokens for name in ("access_token", "refresh_token")]
    secrets += [app.settings.xero_client_secret, app.settings.quickbooks_client_secret]
    assert len(caplog.records) > 5
    assert not [secret for secret in secrets if secret in caplog.text]


def test_xero_connects_with_pkce_alone(app: AppContext, give_consent: GiveConsent, services: SandboxServices) -> None:
    pkce = app.settings.model_copy(update={"xero_client_id": "sandbox-xero-pkce-client", "xero_client_secret": ""})
    bare = AppContext(pkce, app.engine, app.keyring, app.now, app.providers)
    row = give_consent(bare, "xero")[0]
    services.sandbox.clock.advance(timedelta(hours=1))
    assert fresh_token(bare, row.grant_id or 0, UncountedCalls())["access_token"]


def test_the_sandbox_prints_its_settings_and_stops_on_a_signal(free_port: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "connector.cli.main", "sandbox", "--port", str(free_port)],
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


def test_fee_posting_is_shown_with_reasons_and_changed(
    duewell: Command, app: AppContext, give_consent: GiveConsent, real_clock: None
) -> None:
    name = give_consent(app, "xero")[0].short_name
    shown = duewell("connections", "fee-posting", name)
    assert shown.exit_code == 0
    assert "Account: 270 Interest Income (" in shown.out
    assert "--account 260" in shown.out
    assert (
        "Account: 260 Other Revenue (chosen by a user)"
        in duewell("connections", "fee-posting", name, "--account", "260").out
    )
    refused = duewell("connections", "fee-posting", name, "--account", "999")
    assert refused.exit_code == 1
    assert "It has: 270" in refused.err


def test_links_lead_to_the_port_that_is_served_unless_an_address_was_set(app: AppContext) -> None:
    def address(base: str, port: int) -> str:
        settings = app.settings.model_copy(update={"duewell_base_url": base})
        return at_served_port(replace(app, settings=settings), port).settings.duewell_base_url

    assert address("http://localhost:8710", 8945) == "http://localhost:8945"
    assert address("http://localhost:8710", 8710) == "http://localhost:8710"
    assert address("https://chase.example", 8945) == "https://chase.example"
