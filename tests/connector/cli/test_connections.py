"""``duewell connect`` as a process: a browser's redirect, a pasted address, and the messages."""

from __future__ import annotations

import json
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).parents[3]
AnswerConsent = Callable[..., str]


@contextmanager
def running_connect(environment: dict[str, str], *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start the command; yield it and the consent URL it printed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "connector.cli.main", "connect", *arguments, "--no-browser"],
        env=environment,
        cwd=ROOT,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


@contextmanager
def running_serve(environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "connector.cli.main", "serve", "--json"],
        env=environment,
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        wait_until_reachable(environment["DUEWELL_BASE_URL"] + "/healthz")
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_until_reachable(url: str) -> None:
    session = requests.Session()
    session.mount("http://", requests.adapters.HTTPAdapter(max_retries=_retrying_session()))
    session.get(url, timeout=30)


def _retrying_session() -> Any:
    from urllib3.util import Retry  # noqa: PLC0415

    return Retry(connect=400, total=400, backoff_factor=0.05, backoff_max=0.25)


def test_the_browsers_redirect_connects_a_company(environment: dict[str, str], answer_consent: AnswerConsent) -> None:
    with running_connect(environment, "xero") as (process, url):
        page = requests.get(answer_consent(url), timeout=30)
        out, err = process.communicate(timeout=60)
    assert page.status_code == 200
    assert "is connected (id 1). Mode: Observe." in page.text
    assert page.headers["Cache-Control"] == "no-cache, no-store"
    assert page.headers["Referrer-Policy"] in {"no-referrer", "same-origin"}
    assert process.returncode == 0
    assert [line.split()[0] for line in out.splitlines()] == ["1", "2"]
    assert "mode observe" in out
    assert "Waiting for the redirect" in err


def test_the_redirected_address_can_be_pasted(environment: dict[str, str], answer_consent: AnswerConsent) -> None:
    with running_connect(environment, "quickbooks") as (process, url):
        assert process.stdin is not None
        process.stdin.write(f"\nnonsense\n{answer_consent(url)}\n")
        process.stdin.flush()
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out.startswith("1  ")
    assert "contains no state" in err


def test_a_denied_consent_is_reported_on_the_page_and_in_the_terminal(
    environment: dict[str, str], answer_consent: AnswerConsent
) -> None:
    with running_connect(environment, "xero") as (process, url):
        page = requests.get(answer_consent(url, answer="sandbox_deny"), timeout=30)
        out, err = process.communicate(timeout=60)
    assert (page.status_code, process.returncode, out) == (400, 1, "")
    assert "Access was not granted at Xero" in page.text
    assert "Access was not granted at Xero" in err


def test_a_foreign_redirect_is_rejected_and_the_wait_continues(
    environment: dict[str, str], answer_consent: AnswerConsent
) -> None:
    base = environment["DUEWELL_BASE_URL"]
    with running_connect(environment, "xero") as (process, url):
        foreign = requests.get(f"{base}/callback/xero?code=stolen&state=guessed", timeout=30)
        stray = requests.get(f"{base}/somewhere/else", timeout=30)
        rebound = requests.get(f"{base}/callback/xero", headers={"Host": "evil.example"}, timeout=30)
        requests.get(answer_consent(url), timeout=30)
        _out, err = process.communicate(timeout=60)
    assert (foreign.status_code, stray.status_code, rebound.status_code) == (400, 404, 421)
    assert "its state is unknown" in foreign.text
    assert "its state is unknown" in err
    assert process.returncode == 0


def test_an_internal_error_is_shown_in_the_browser_and_the_wait_continues(
    environment: dict[str, str], answer_consent: AnswerConsent
) -> None:
    with running_connect(environment, "xero") as (process, url):
        with sqlite3.connect(Path(environment["DUEWELL_HOME"]) / "duewell.db") as database:
            database.execute("ALTER TABLE connection RENAME TO elsewhere")
        page = requests.get(answer_consent(url), timeout=30)
        assert (page.status_code, process.poll()) == (500, None)
        assert "Not connected: The database reported an error" in page.text


def test_with_json_the_url_goes_to_stderr_and_one_document_to_stdout(
    environment: dict[str, str], answer_consent: AnswerConsent
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "connector.cli.main", "connect", "quickbooks", "--no-browser", "--json"],
        env=environment,
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    )
    assert process.stderr is not None
    url = next(line for line in process.stderr if line.startswith("http")).strip()
    requests.get(answer_consent(url), timeout=30)
    out, _err = process.communicate(timeout=60)
    (row,) = json.loads(out)
    assert (row["id"], row["provider"], row["mode"]) == (1, "quickbooks", "observe")


def test_a_running_server_receives_the_redirect(
    environment: dict[str, str], answer_consent: AnswerConsent, services: Any
) -> None:
    with running_serve(environment) as server:
        with running_connect(environment, "quickbooks") as (process, url):
            page = requests.get(answer_consent(url), timeout=30)
            _out, err = process.communicate(timeout=60)
        server.terminate()
        assert server.wait(timeout=60) == 0
    assert (page.status_code, process.returncode) == (200, 0)
    assert "is already in use" in err
    assert services.sandbox.requests.count_of("quickbooks", "token") >= 1


def test_missing_settings_end_the_command_at_once(environment: dict[str, str]) -> None:
    bare = {**environment, "XERO_CLIENT_ID": ""}
    with running_connect(bare, "xero") as (process, url):
        _out, err = process.communicate(timeout=60)
    assert (url, process.returncode) == ("", 1)
    assert "XERO_CLIENT_ID" in err
    assert "docs/connect-xero.md" in err
    assert "Traceback" not in err


def test_a_second_server_on_the_same_port_stops_with_a_message_before_it_syncs(environment: dict[str, str]) -> None:
    port = int(environment["DUEWELL_BASE_URL"].rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)):
        ended = subprocess.run(
            [sys.executable, "-m", "connector.cli.main", "serve"],
            env=environment,
            cwd=ROOT,
            text=True,
            capture_output=True,
            timeout=30,
            check=False,
        )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "Cannot listen on" in ended.stderr
    assert "Traceback" not in ended.stderr
