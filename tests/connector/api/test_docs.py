"""docs/api.md is true: its examples run, and its scopes, limits and events exist."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from connector.api.api_route import BODY_BYTES_MAX, CALLS_PER_MINUTE
from connector.auth.api_tokens import SCOPES
from connector.db.tables import Connection, InvoiceRow
from connector.webhooks.delivery import RETRY_DELAYS
from connector.webhooks.events import EVENTS
from tests.connector.api_clients import Scenario

PAGE = (Path(__file__).parents[3] / "docs/api.md").read_text()


def test_the_examples_run_as_written(scenario: Scenario) -> None:
    if shutil.which("curl") is None:
        pytest.skip("no curl here")
    from connector.db.engine import writing  # noqa: PLC0415

    with writing(scenario.site.app.engine) as session:
        session.get_one(Connection, scenario.north.id).short_name = "my-company"
        session.get_one(InvoiceRow, (scenario.north.id, "i1")).number = "INV-1042"
    examples = [block for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) if "curl" in block]
    assert len(examples) == 2
    script = "set -e\n" + "\n".join(examples).replace("curl ", "curl -w '\\n' ")
    environment = {
        "AT": f"{scenario.site.base}/api/v1",
        "TOKEN": scenario.client("write").token,
        "PATH": os.environ["PATH"],
    }
    result = subprocess.run(
        ["bash", "-c", script], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert result.returncode == 0, result.stderr
    replies = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(replies) == script.count("curl ")
    assert replies[3]["active_agreements"] == {"promised_on": "2026-06-19"}
    assert replies[5][0]["state"] == "planned"


def test_the_page_lists_every_scope_event_and_limit(scenario: Scenario) -> None:
    assert dict(re.findall(r"^\| `([a-z]+\.?[a-z_]*)` \| (.+) \|$", PAGE, re.MULTILINE)) == EVENTS | {
        "read": "read everything",
        "write": "also approve, reject, waive, resolve, record agreements, pause and resume",
        "admin": "also change modes, set policies and disconnect companies",
    }
    assert list(SCOPES) == ["read", "write", "admin"]
    assert f"more than {CALLS_PER_MINUTE} requests in a minute" in PAGE
    assert f"larger than {BODY_BYTES_MAX // 2**20} MiB" in PAGE
    hours = ", ".join(f"{wait.total_seconds() / 3600:.0f}" for wait in RETRY_DELAYS[3:-1])
    assert f"5 seconds, 5 and 30 minutes, {hours} and 24 hours" in PAGE
    assert scenario.document["openapi"].startswith("3.1")
