"""What a command loads: of the libraries that are large or slow to load, only those that it uses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.connector.scenario import Scenario

# Loads of 10 MiB or a tenth of a second, and whole areas that a command does not need
SERVER = {"fastapi", "starlette", "uvicorn", "apscheduler", "webauthn", "argon2", "zxcvbn", "connector.web.app"}
EMAILS = {"fpdf", "mjml", "minijinja", "segno", "sendgrid", "fontTools"}
SDKS = {"xero_python", "quickbooks", "requests", "authlib.integrations.requests_client"}
ALWAYS = SERVER | EMAILS | {
    "alembic", "psycopg", "sqlalchemy.dialects.postgresql", "dns", "jinja2", "schwifty", "sandbox",
}  # fmt: skip

_REPORT = """
import atexit, json, sys
atexit.register(lambda: sys.stderr.write("\\nLOADED " + json.dumps(sorted(sys.modules))))
from connector.cli.main import main
main()
"""


def loaded_by(command: str, environment: dict[str, str], folder: Path) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", _REPORT, *command.split()],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return set(json.loads(done.stderr.rpartition("LOADED ")[2]))


@pytest.mark.parametrize("scenario", ["xero"], indirect=True)
def test_a_command_loads_only_the_large_libraries_that_it_uses(scenario: Scenario, tmp_path: Path) -> None:
    scenario.sandbox.clock.set(datetime.now(UTC))  # which is the commands' clock
    scenario.company.customer("Ashdown Ltd")
    scenario.company.invoice("Ashdown Ltd", "1200.00", on=scenario.today, due_on=scenario.days_ago(-30))
    scenario.go_live()
    environment = {
        **os.environ,
        **scenario.sandbox.settings(scenario.sandbox_url),
        "DUEWELL_HOME": str(scenario.app.settings.duewell_home),
    }
    loaded = {command: loaded_by(command, environment, tmp_path) for command in ("--help", "status", "run")}
    assert loaded["--help"] & (ALWAYS | SDKS | {"sqlalchemy.dialects.sqlite", "connector.db.tables"}) == set()
    assert loaded["status"] & (ALWAYS | SDKS | {"holidays"}) == set()
    assert loaded["run"] & (ALWAYS | {"quickbooks"}) == set()


def test_the_web_app_loads_no_library_that_few_requests_need(tmp_path: Path) -> None:
    report = "import json, sys, connector.web.app; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", report], cwd=tmp_path, capture_output=True, text=True, check=True)
    unused = EMAILS | {"xero_python", "quickbooks", "alembic", "psycopg", "holidays", "schwifty", "sandbox", "zxcvbn"}
    assert set(json.loads(done.stdout)) & unused == set()
