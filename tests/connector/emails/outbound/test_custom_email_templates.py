"""A user's own email templates, from the command line to the email that is sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from connector.cli.main import cli
from tests.connector.scenario import Scenario

TODAY = date(2026, 6, 10)


@pytest.fixture
def scenario(
    scenario_at: Callable[..., AbstractContextManager[Scenario]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Scenario]:
    """A live company with a customer who is six days overdue, and a command line for it."""
    with scenario_at(datetime(2026, 6, 10, 11, tzinfo=UTC), "xero") as made:
        made.company.customer("Ashdown Ltd")
        made.number = made.company.invoice("Ashdown Ltd", "1200.00", due_on=TODAY - timedelta(days=6))
        made.go_live()
        for name, value in made.sandbox.settings(made.sandbox_url).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("DUEWELL_HOME", str(made.app.settings.duewell_home))
        monkeypatch.chdir(tmp_path)
        yield made


def duewell(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
    result = CliRunner().invoke(cli, list(arguments), input=stdin, prog_name="duewell")
    return result.exit_code, result.stdout, result.stderr


def test_a_template_is_checked_previewed_set_and_sent(scenario: Scenario, tmp_path: Path) -> None:
    template = tmp_path / "template.toml"
    template.write_text('subject = "A note about {{ invoices }}"\n', encoding="utf-8")
    assert duewell("templates", "check", str(template))[0] == 0
    code, preview, _ = duewell(
        "templates", "preview", "past_due", "--invoice", scenario.number, "--file", str(template)
    )
    assert code == 0
    assert f"Subject: A note about invoice {scenario.number}" in preview
    assert "£1,200.00" in preview
    assert scenario.customer_emails() == []
    assert duewell("templates", "set", "past_due", str(template))[0] == 0
    scenario.run()
    assert [subject for _to, subject in scenario.customer_emails()] == [f"A note about invoice {scenario.number}"]


def test_a_template_that_cannot_be_filled_is_rejected_and_changes_nothing(scenario: Scenario) -> None:
    code, _, error = duewell("templates", "set", "past_due", "-", stdin='subject = "{{ whom }}"')
    assert code == 1
    assert "undefined" in error
    code, listed, _ = duewell("templates", "list", "--json")
    assert code == 0
    assert {row["text"] for row in json.loads(listed)} == {"default"}
    assert duewell("templates", "show", "call")[0] == 2
    assert duewell("templates", "show", "no_such_step")[0] == 2


def test_every_email_can_be_previewed_with_real_figures(scenario: Scenario) -> None:
    for row in json.loads(duewell("templates", "list", "--json")[1]):
        code, preview, error = duewell(
            "templates", "preview", row["step"], "--invoice", scenario.number, "--language", "de"
        )
        assert code == 0, error
        assert scenario.number in preview


def test_the_shown_template_can_be_set_unchanged_and_reset(scenario: Scenario) -> None:
    code, shown, _ = duewell("templates", "show", "second_notice")
    assert code == 0
    assert duewell("templates", "set", "second_notice", "-", stdin=shown)[0] == 0
    assert duewell("templates", "show", "second_notice")[1].strip() == shown.strip()
    assert duewell("templates", "reset", "second_notice")[0] == 0
    assert {row["text"] for row in json.loads(duewell("templates", "--json")[1])} == {"default"}
