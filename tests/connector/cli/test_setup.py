"""``duewell setup``: what is missing, step by step, with a check of each answer."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from dotenv import dotenv_values

import providers
from connector import settings_file
from connector.app_context import AppContext
from connector.cli import setup as command
from connector.connections.registry import set_mode
from connector.run import run_connection
from connector.services.setup_guide import SetupStep, mailer_title
from connector.settings_file import SETUP_QUESTIONS, check_value, write_settings
from connector.vocabulary import ConnectionMode
from tests.connector.installed import Command, GiveConsent, SandboxServices


def steps(document: str) -> dict[str, bool]:
    return {each["id"]: each["done"] for each in json.loads(document)["steps"]}


def test_each_step_is_done_when_it_is_and_the_guide_ends_with_the_first_company_that_may_send(
    duewell: Command, app: AppContext, services: SandboxServices, give_consent: GiveConsent
) -> None:
    result = duewell("setup", "--json")
    assert result.exit_code == 1
    done = dict.fromkeys(SetupStep, False) | {SetupStep.KEYS: True}
    assert steps(result.out) == done
    assert {each["id"] for each in json.loads(result.out)["findings"]} >= {"keys.quickbooks", "keys.xero"}
    result = duewell("setup")
    assert result.exit_code == 1
    assert "to do  2. Connect your accounting system" in result.out
    assert "-> duewell connect quickbooks" in result.out
    sent = duewell("setup", "--test-email", "ann@small.example", "--json")
    assert [email.subject for email in services.sandbox.sendgrid.emails_to("ann@small.example")] == [
        "Test email from duewell"
    ]
    again = duewell("setup", "--test-email", "ann@small.example")
    assert (again.exit_code, "within the last minute" in again.err) == (1, True)
    [company, *_more] = give_consent(app, "quickbooks")
    confirmed = duewell("setup", "--confirm", "plan", "--json")
    assert steps(sent.out)["sender"]
    assert steps(confirmed.out) == done | {SetupStep.CONNECT: True, SetupStep.SENDER: True, SetupStep.PLAN: True}
    run_connection(app, company.id or 0)
    assert steps(duewell("setup", "--json").out)["first_sync"]
    set_mode(app, company.id or 0, ConnectionMode.APPROVE)
    result = duewell("setup")
    assert "Everything is set up." in result.out
    assert result.exit_code == 0


def test_a_step_that_nobody_can_confirm_is_named(duewell: Command) -> None:
    result = duewell("setup", "--confirm", "sender")
    assert result.exit_code == 1
    assert "Confirm one of: plan, approvers" in result.err


@pytest.mark.parametrize(
    ("name", "finding"),
    [
        ("QUICKBOOKS_CLIENT_SECRET", "QuickBooks Online does not accept the keys"),
        ("XERO_CLIENT_SECRET", "Xero does not accept the keys"),
        ("SENDGRID_API_KEY", "SendGrid rejects the key"),
    ],
)
def test_a_wrong_key_is_told_from_a_right_one(
    duewell: Command, monkeypatch: pytest.MonkeyPatch, name: str, finding: str
) -> None:
    assert "keys" not in {line.partition(" ")[0] for line in duewell("setup").out.splitlines()}
    monkeypatch.setenv(name, "mistyped")
    result = duewell("setup")
    assert finding in result.out
    assert result.exit_code == 1


def test_the_senders_are_those_that_are_installed(app: AppContext) -> None:
    names = providers.list_mailer_names()
    assert {"sendgrid", "smtp", "eml", *app.mailboxes} <= set(names)
    assert all(mailer_title(app, name) for name in names)
    assert mailer_title(app, "pigeon") == "pigeon"  # of somebody's own package


def test_keys_are_written_beside_the_other_lines_for_nobody_else_to_read(tmp_path: Path) -> None:
    file = tmp_path / "home" / ".env"
    write_settings(file, {"XERO_CLIENT_ID": "abc"})
    file.write_text(f"# mine\nMAIL_FROM=old@example.com\n{file.read_text()}DUEWELL_INTERVAL_MINUTES=30", "utf-8")
    write_settings(file, {"MAIL_FROM": "new@example.com", "MAIL_FROM_NAME": "It's #1 $HOME \\"})
    assert dotenv_values(file, interpolate=True) == {
        "XERO_CLIENT_ID": "abc",
        "DUEWELL_INTERVAL_MINUTES": "30",
        "MAIL_FROM": "new@example.com",
        "MAIL_FROM_NAME": "It's #1 $HOME \\",
    }
    assert file.read_text("utf-8").startswith("# mine\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [each.name for each in file.parent.iterdir()] == [".env"]


def test_what_is_entered_is_checked_as_a_setting_is() -> None:
    assert check_value("MAIL_FROM", "billing") == "must be one email address like billing@example.com"
    assert check_value("MAIL_FROM", "billing@example.com") == ""
    assert check_value("XERO_CLIENT_SECRET", "a\x1b[2J") != ""


def test_it_asks_until_the_answer_is_one(duewell: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MAIL_FROM", "")
    questions = tuple(each for each in SETUP_QUESTIONS if each.name == "MAIL_FROM")
    monkeypatch.setattr(settings_file, "SETUP_QUESTIONS", questions)
    monkeypatch.setattr(command, "_is_terminal", lambda: True)
    result = duewell("setup", stdin="nobody\nbilling@small.example\n")
    assert "MAIL_FROM must be one email address" in result.err
    assert dotenv_values(tmp_path / "home" / ".env")["MAIL_FROM"] == "billing@small.example"


def test_what_belongs_to_an_empty_answer_is_not_asked(duewell: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the id of an app there is no secret to copy, and without a sender no name of it."""
    for each in SETUP_QUESTIONS:
        monkeypatch.setenv(each.name, "")
    monkeypatch.setattr(command, "_is_terminal", lambda: True)
    asked = duewell("setup", stdin="\n" * len(SETUP_QUESTIONS)).err
    assert [each.name for each in SETUP_QUESTIONS if each.text in asked] == [
        "XERO_CLIENT_ID", "QUICKBOOKS_CLIENT_ID", "SENDGRID_API_KEY", "MAIL_FROM"
    ]  # fmt: skip
    asked = duewell("setup", stdin="abc\n" + "\n" * len(SETUP_QUESTIONS)).err
    assert "Xero client secret" in asked
    assert "QuickBooks client secret" not in asked


def test_each_step_names_the_command_that_can_be_run_now(duewell: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "-> duewell connect quickbooks, or duewell connect xero" in duewell("setup").out
    monkeypatch.setenv("QUICKBOOKS_CLIENT_ID", "")
    assert "-> duewell connect xero\n" in duewell("setup").out
    monkeypatch.setenv("SENDGRID_API_KEY", "")
    page = duewell("setup").out
    assert "is not connected yet, and there is no other email service." in page
    assert "--test-email" not in page, "nothing could be tested"
    for name in ("MICROSOFT365_CLIENT_ID", "GMAIL_CLIENT_ID"):
        monkeypatch.setenv(name, "")
    page = duewell("setup").out
    assert "No email service is set up yet, so nothing can be sent: set SENDGRID_API_KEY or SMTP_URL" in page
    assert "--test-email" not in page, "nothing could be tested"
    refused = duewell("setup", "--test-email", "ann@small.example")
    assert refused.exit_code == 1
    assert "The test email was not sent. No email service is set up yet" in refused.err
    monkeypatch.setenv("SMTP_URL", "smtp://localhost:2525")
    monkeypatch.setenv("MAIL_FROM", "")
    assert "MAIL_FROM is not set" in duewell("setup", "--test-email", "ann@small.example").err


def test_the_digest_of_a_user_is_set_and_shown(duewell: Command) -> None:
    duewell("users", "add", "ann@small.example", "owner")
    changed = duewell("users", "digest", "ann@small.example", "--at", "06:30", "--time-zone", "Asia/Tokyo")
    assert changed.out == "ann@small.example: the digest is sent at 06:30, Asia/Tokyo.\n"
    assert json.loads(duewell("users", "digest", "ann@small.example", "--off", "--json").out)["off"] is True
    refused = duewell("users", "digest", "ann@small.example", "--at", "6 o'clock")
    assert (refused.exit_code, "Write it as 07:30" in refused.err) == (2, True)
