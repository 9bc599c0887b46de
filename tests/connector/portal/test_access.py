"""Who can open the portal: whoever has a valid link, and not too often."""

from __future__ import annotations

import json
import re
from contextlib import nullcontext
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner

from connector.cli.main import cli
from connector.restore.backup import write_backup
from connector.services.key_rotation import rotate
from tests.connector.portal.conftest import MILLER, PortalScenario, customer_setting


def run_command(*arguments: str) -> str:
    result = CliRunner().invoke(cli, ["customers", "link", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_link_expires_can_be_revoked_and_cannot_be_guessed(
    scenario: PortalScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connector.cli.customer_data.open_command_app", lambda: nullcontext(scenario.app))
    token = scenario.client.link.removeprefix("/c/")
    for guess in ("a" * 32, token[:-1], token[:-1] + ("a" if token[-1] != "a" else "b"), "%00" * 32, "é" * 32):
        assert scenario.client.get(link=f"/c/{guess}").status_code == 404
    assert scenario.client.get(link=f"/stop/{token}").status_code == 404
    assert run_command("Miller & Sons").endswith(scenario.client.link + "\n")
    assert json.loads(run_command("Miller & Sons", "--revoke", "--json"))["revoked"] == 1
    assert scenario.client.get().status_code == 410
    assert scenario.client.submit("stop").status_code == 410
    new_link = urlsplit(json.loads(run_command("Miller & Sons", "--json"))["link"]).path
    assert new_link != scenario.client.link
    assert scenario.client.get(link=new_link).status_code == 200
    scenario.pass_days(121)
    assert scenario.client.get(link=new_link).status_code == 410
    assert customer_setting(scenario) is None


def test_no_link_of_a_customer_is_stored_and_a_change_of_keys_leaves_those_sent_valid(
    scenario: PortalScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connector.cli.customer_data.open_command_app", lambda: nullcontext(scenario.app))
    app = scenario.app
    [email] = scenario.sandbox.sendgrid.emails_to(MILLER)
    sent = set(re.findall(r"/(?:c|stop)/([a-z2-7]{32})", f"{email.text} {email.headers}"))
    assert len(sent) == 2
    rotate(app)
    assert scenario.client.get().status_code == 200
    new_link = urlsplit(json.loads(run_command("Miller & Sons", "--json"))["link"]).path
    assert new_link != scenario.client.link
    for link in (new_link, scenario.client.link):
        assert scenario.client.get(link=link).status_code == 200
    assert run_command("Miller & Sons").endswith(new_link + "\n")
    write_backup(app.engine, app.settings.duewell_home / "backup.db", app.keyring, at=app.now())
    stored = {file: file.read_bytes() for file in app.settings.duewell_home.rglob("*") if file.is_file()}
    tokens = {*sent, new_link.removeprefix("/c/")}
    assert [(file.name, token) for file, text in stored.items() for token in tokens if token.encode() in text] == []


def test_too_many_responses_and_too_many_guesses_are_rejected(scenario: PortalScenario) -> None:
    codes = [scenario.client.draft("promise", on="never").status_code for _attempt in range(22)]
    assert codes == [422] * 20 + [429] * 2
    codes = [scenario.client.get(link=f"/c/{'a' * 32}").status_code for _attempt in range(31)]
    assert codes == [404] * 30 + [429]
