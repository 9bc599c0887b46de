"""A user's own words, from the terminal to the customer's mailbox."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from connector.cli.main import cli

TODAY = date(2026, 6, 10)


@pytest.fixture
def scenario(scenario_at: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """A live company with a customer who is six days late, and a terminal at its home."""
    with scenario_at(datetime(2026, 6, 10, 11, tzinfo=UTC), "xero") as made:
        made.company.customer("Ashdown Ltd")
        made.number = made.company.invoice("Ashdown Ltd", "1200.00", due_on=TODAY - timedelta(days=6))
        made.go_live()
        for name, value in made.sandbox.settings(made.url).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("DUEWELL_HOME", str(made.app.settings.duewell_home))
        monkeypatch.chdir(tmp_path)
        yield made


def duewell(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
    result = CliRunner().invoke(cli, list(arguments), input=stdin, prog_name="duewell")
    return result.exit_code, result.stdout, result.stderr


def test_own_words_are_checked_seen_set_and_sent(scenario: Any, tmp_path: Path) -> None:
    words = tmp_path / "words.toml"
    words.write_text('subject = "A word about {{ invoices }}"\n', encoding="utf-8")
    assert duewell("templates", "check", str(words))[0] == 0
    code, seen, _ = duewell("templates", "preview", "past_due", "--invoice", scenario.number, "--file", str(words))
    assert code == 0
    assert f"Subject: A word about invoice {scenario.number}" in seen
    assert "£1,200.00" in seen
    assert scenario.customer_emails() == []
    assert duewell("templates", "set", "past_due", str(words))[0] == 0
    scenario.run()
    assert [subject for _to, subject in scenario.customer_emails()] == [f"A word about invoice {scenario.number}"]


def test_words_that_fail_are_refused_and_change_nothing(scenario: Any) -> None:
    code, _, said = duewell("templates", "set", "past_due", "-", stdin='subject = "{{ whom }}"')
    assert code == 1
    assert "undefined" in said
    code, listed, _ = duewell("templates", "list", "--json")
    assert code == 0
    assert {row["text"] for row in json.loads(listed)} == {"default"}
    assert duewell("templates", "show", "call")[0] == 2
    assert duewell("templates", "show", "no_such_step")[0] == 2


def test_every_mail_can_be_seen_with_real_figures(scenario: Any) -> None:
    for row in json.loads(duewell("templates", "list", "--json")[1]):
        code, seen, said = duewell(
            "templates", "preview", row["step"], "--invoice", scenario.number, "--language", "de"
        )
        assert code == 0, said
        assert scenario.number in seen


def test_what_is_shown_can_be_set_again_as_it_is_and_taken_back(scenario: Any) -> None:
    code, shown, _ = duewell("templates", "show", "second_notice")
    assert code == 0
    assert duewell("templates", "set", "second_notice", "-", stdin=shown)[0] == 0
    assert duewell("templates", "show", "second_notice")[1].strip() == shown.strip()
    assert duewell("templates", "reset", "second_notice")[0] == 0
    assert {row["text"] for row in json.loads(duewell("templates", "--json")[1])} == {"default"}
