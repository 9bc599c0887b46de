"""Odd requests get the answer that the contract names: a problem document, with the right status and headers.

With ``SCHEMATHESIS=1`` (``make contract``) the tool of that name searches for complaints as well.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.connector.api_clients import API, Client, Scenario

ODD_CURSORS = {
    "half a surrogate pair": ["\ud800", 1],
    "NUL": ["a\0b", 1],
    "a fraction": [0.5],
    "a truth value": [True],
    "a list": [[1]],
    "a negative id": [-1],
    "a huge id": [10**30],
    "nothing": None,
    "an object": {},
}
LISTS = ("/customers", "/invoices", "/outbox", "/tasks", "/log", "/runs", "/fees", "/exceptions", "/policy/versions")
DEEP = 2_000


# Not every rule of the business can stand in a schema: 422 is a fine answer to a promise in the past, 412 to an
# ``If-Match`` of something else. A body larger than any is rejected before it is parsed, with 413.
ACCEPTED = """
[checks]
positive_data_acceptance.expected-statuses = ["2xx", "3xx", 401, 403, 404, 409, 412, 422, 429]
negative_data_rejection.expected-statuses = [400, 401, 403, 404, 405, 406, 409, 412, 413, 415, 422, 428, 429, "5xx"]
"""


def problem_of(answer: requests.Response, status: int) -> dict[str, Any]:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    document: dict[str, Any] = answer.json()
    assert document["status"] == status
    return document


@pytest.fixture
def client(scenario: Scenario) -> Client:
    return scenario.client("admin")


def test_odd_cursors_are_invalid_requests(client: Client) -> None:
    for path in LISTS:
        for value in ODD_CURSORS.values():
            cursor = base64.urlsafe_b64encode(json.dumps(value).encode()).decode()
            problem_of(client.request("GET", path, params={"cursor": cursor}), 422)


def test_bodies_that_cannot_be_read_are_invalid_requests(client: Client) -> None:
    nested = b"[" * DEEP + b"]" * DEEP
    for body in (
        b"{",
        b"\xff",
        b"",
        b"NaN",
        b'{"document": "\\ud800"}',
        b'{"\\ud800": 1}',
        b'{"document": ' + nested + b"}",
    ):
        answer = client.http.post(
            client.site.base + API + "/policy/check", body, timeout=20,
            headers={"Authorization": f"Bearer {client.token}", "Content-Type": "application/json"},
        )  # fmt: skip
        problem_of(answer, 422)


@pytest.mark.parametrize(
    "document", ["x = " + "[" * DEEP + "]" * DEEP, "x = " + "9" * 5_000, "x = 1e99999999999999999999"]
)
def test_odd_policy_documents_are_reported_and_not_an_error(client: Client, document: str) -> None:
    answer = client.request("POST", "/policy/check", {"document": document})
    assert (answer.status_code, answer.json()["ok"]) == (200, False)
    problem_of(client.request("PUT", "/policy", {"document": document}), 422)


def test_a_kind_of_a_known_error_is_a_problem_document_too(client: Client) -> None:
    rate = {"preset": "eu", "from_on": "2026-05-04", "rate": "8", "source": "a gazette", "checked_on": "2026-05-04"}
    assert "half-year" in problem_of(client.request("POST", "/policy/rates", rate), 422)["detail"]
    company = client.get("/connections")["items"][0]["short_name"]
    asked = base64.b64encode(b"Date;Amount;Text\n03.04.2026;1.234;x\n03.05.2026;2.345;y\n").decode()
    answer = client.request("POST", f"/connections/{company}/bank-statements", {"name": "a.csv", "content": asked})
    assert "decimal mark" in problem_of(answer, 422)["detail"]


def test_filters_that_match_nothing_or_cannot_match_are_no_internal_error(client: Client) -> None:
    assert client.get("/log", kind="nothing of ours") == {"items": [], "next": None}
    problem_of(client.request("GET", "/log", params={"run": str(10**30)}), 422)
    for path in LISTS:
        problem_of(client.request("GET", path, params={"connection": "\0"}), 422)
    problem_of(client.request("POST", "/invoices/north-ltd/i1/dispute", {"reason": "a\0b"}), 422)


@pytest.mark.parametrize("value", ["0.5", "0", "1700000000", "2026-11-30", "2026-11-30T08:00:00", "now", "-1", "NaN"])
def test_an_instant_is_given_in_full(client: Client, value: str) -> None:
    problem_of(client.request("GET", "/log", params={"since_at": value}), 422)
    problem_of(client.request("POST", "/invoices/north-ltd/i1/promise", {"promised_on": float("1")}), 422)
    assert client.request("GET", "/log", params={"since_at": "2026-11-30T08:00:00+01:00"}).ok


@pytest.mark.parametrize(
    "path", ["", "/", "/nothing", "/policy/", "/customers/%00/c1", "/customers/a%0Ab/c1", "/outbox/-1", "/outbox/x"]
)
def test_what_is_not_there_is_a_problem_document(client: Client, path: str) -> None:
    answer = client.request("GET", path)
    assert answer.status_code in {404, 422}
    problem_of(answer, answer.status_code)


def test_a_rejected_method_names_all_that_the_address_has(client: Client) -> None:
    for method in ("DELETE", "PATCH", "POST"):
        answer = client.request(method, "/policy", {})
        problem_of(answer, 405)
        assert answer.headers["allow"] == "GET, PUT"
    assert client.request("DELETE", "/outbox/approve").headers["allow"] == "POST"
    page = requests.delete(client.site.base + "/sign-in", timeout=20)
    assert (page.status_code, page.headers["allow"]) == (405, "GET, HEAD, POST")


@pytest.mark.skipif("SCHEMATHESIS" not in os.environ, reason="minutes: make contract")
def test_schemathesis_has_no_complaint(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connector.rate_limit.RateLimiter.try_acquire", lambda *_: True)
    program = os.environ["SCHEMATHESIS"]
    found = shutil.which(program) or shutil.which("schemathesis", path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip("schemathesis is not installed")
    config = tmp_path / "schemathesis.toml"
    config.write_text(ACCEPTED, encoding="utf-8")
    command = [
        found, "--config-file", str(config), "run", f"{client.site.base}{API}/openapi.json",
        "--header", f"Authorization: Bearer {client.token}", "--checks", "all", "--seed", os.environ.get("SEED", "1"),
        "--max-examples", os.environ.get("EXAMPLES", "50"), "--continue-on-failure", "--no-color",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, "\n".join(line[:300] for line in [*done.stdout.splitlines(), done.stderr])
