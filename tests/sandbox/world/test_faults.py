"""Fault rules: what a client sees of each fault, what the service has done by then, and the request log."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from sandbox import Sandbox
from sandbox.faults import Action, Rule
from sandbox.request_gate import classify_request

REDIRECT = "http://localhost:8710/callback/xero"
TOKEN = "/connect/token"


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(seed=1, now=datetime(2026, 11, 18, 9, 30, tzinfo=UTC))


@pytest.fixture
def url(sandbox: Sandbox) -> Iterator[str]:
    with sandbox.serve() as url:
        yield url


@pytest.fixture
def note(sandbox: Sandbox, url: str) -> Any:
    """Signs in and returns a function that writes a note on one invoice, in a new connection each time."""
    query = {
        "response_type": "code",
        "client_id": "sandbox-xero-client",
        "redirect_uri": REDIRECT,
        "sandbox_allow": "1",
    }
    query["scope"] = "accounting.invoices"
    back = requests.get(f"{url}/identity/connect/authorize", params=query, allow_redirects=False, timeout=10)
    code = back.headers["Location"].split("code=")[1].split("&")[0]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT}
    auth = ("sandbox-xero-client", "sandbox-xero-secret")
    token = requests.post(url + TOKEN, data=form, auth=auth, timeout=10).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
    headers["xero-tenant-id"] = sandbox.xero.organisation().tenant_id
    path = f"/api.xro/2.0/Invoices/{sandbox.xero.invoices()[0].id}/History"

    def write(timeout: float = 10) -> requests.Response:
        body = {"HistoryRecords": [{"Details": "a note"}]}
        return requests.put(url + path, json=body, headers=headers, timeout=timeout)

    return write


def written(sandbox: Sandbox) -> int:
    return len(sandbox.xero.notes(sandbox.xero.invoices()[0].id))


@pytest.mark.parametrize("applied", [True, False])
def test_error_can_come_before_or_after_the_effect(sandbox: Sandbox, note: Any, *, applied: bool) -> None:
    rule = sandbox.faults.refuse(503, body="<html>Bye</html>", retry_after=7, method="PUT", applied=applied)
    reply = note()
    assert (reply.status_code, reply.headers["Retry-After"], reply.text) == (503, "7", "<html>Bye</html>")
    assert reply.headers["Content-Type"] == "text/html"
    assert (written(sandbox), rule.fired) == (int(applied), 1)
    assert note().status_code == 200


@pytest.mark.parametrize("reset", [True, False])
@pytest.mark.parametrize(("action", "expected_notes"), [(Action.DROP_BEFORE, 0), (Action.DROP_AFTER, 1)])
def test_connection_can_drop_before_or_after_the_effect(
    sandbox: Sandbox, note: Any, action: Action, expected_notes: int, *, reset: bool
) -> None:
    sandbox.faults.add(Rule(action, kind="write", reset=reset))
    with pytest.raises(requests.ConnectionError):
        note()
    assert written(sandbox) == expected_notes
    assert sandbox.requests[-1].status == 0


@pytest.mark.parametrize(("action", "expected_notes"), [(Action.HANG_BEFORE, 0), (Action.HANG_AFTER, 1)])
def test_request_hangs_until_it_is_released(sandbox: Sandbox, note: Any, action: Action, expected_notes: int) -> None:
    rule = sandbox.faults.add(Rule(action, service="xero", kind="write"))
    failures: list[Exception] = []

    def call() -> None:
        try:
            note(timeout=30)
        except requests.ConnectionError as error:
            failures.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    assert rule.reached.wait(60)
    deadline = time.monotonic() + 60
    while written(sandbox) != expected_notes and time.monotonic() < deadline:
        thread.join(0.01)
    assert (thread.is_alive(), written(sandbox)) == (True, expected_notes)
    sandbox.faults.release()
    thread.join(60)
    assert len(failures) == 1
    assert written(sandbox) == expected_notes


def test_sandbox_stops_although_a_request_hangs(sandbox: Sandbox) -> None:
    rule = sandbox.faults.add(Rule(Action.HANG_BEFORE))
    with sandbox.serve() as url:
        thread = threading.Thread(target=lambda: _ignore(lambda: requests.get(f"{url}/connections", timeout=10)))
        thread.start()
        assert rule.reached.wait(60)
    thread.join(60)
    assert not thread.is_alive()


def _ignore(call: Any) -> None:
    try:
        call()
    except requests.ConnectionError:
        return


def test_responses_can_be_garbled_in_many_ways(sandbox: Sandbox, note: Any) -> None:
    sandbox.faults.add(Rule(Action.HTML, kind="write"))
    page = note()
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert written(sandbox) == 0
    sandbox.faults.add(Rule(Action.MALFORMED, kind="write"))
    with pytest.raises(requests.exceptions.JSONDecodeError):
        note().json()
    sandbox.faults.add(Rule(Action.TRUNCATE, kind="write"))
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.ConnectionError)):
        note()
    sandbox.faults.add(Rule(Action.DRIP, kind="write", seconds=0.001))
    assert note().json()["HistoryRecords"][0]["Details"] == "a note"
    assert written(sandbox) == 3


def test_fault_rule_applies_when_and_as_often_as_configured(sandbox: Sandbox, note: Any) -> None:
    sandbox.faults.refuse(500, path="/History$", nth=2, times=2)
    assert [note().status_code for _ in range(5)] == [200, 500, 500, 200, 200]
    sandbox.faults.refuse(502, path="/History$", times=0)
    assert [note().status_code for _ in range(3)] == [502, 502, 502]
    sandbox.faults.clear()
    assert note().status_code == 200


def test_hook_changes_the_ledger_between_two_requests(sandbox: Sandbox, note: Any) -> None:
    invoice = sandbox.xero.invoices()[0].id
    sandbox.faults.call(
        lambda request: sandbox.xero.note(invoice, f"hook before request {request.number}"), kind="write"
    )
    note()
    note()
    assert [text.split(" before")[0] for text in sandbox.xero.notes(invoice)] == ["hook", "a note"] * 2


def test_fault_rule_with_an_invalid_expression_is_rejected_at_once() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        Rule("nonsense")
    with pytest.raises(Exception, match="unterminated"):
        Rule(Action.HTML, path="[")


def test_request_log_distinguishes_services_and_kinds(sandbox: Sandbox, note: Any) -> None:
    note()
    seen = [(r.service, r.kind, r.method, r.status) for r in sandbox.requests]
    assert seen == [("xero", "consent", "GET", 302), ("xero", "token", "POST", 200), ("xero", "write", "PUT", 200)]
    assert sandbox.requests.count_of("xero", "write", "read") == 1
    assert sandbox.requests.count_of("quickbooks") == 0


@pytest.mark.parametrize(
    ("method", "path", "told"),
    [
        ("GET", "/connections", ("xero", "token")),
        ("GET", "/api.xro/2.0/Invoices", ("xero", "read")),
        ("GET", "/connect/oauth2", ("quickbooks", "consent")),
        ("POST", "/oauth2/v1/tokens/bearer", ("quickbooks", "token")),
        ("GET", "/.well-known/openid_configuration", ("quickbooks", "token")),
        ("POST", "/v3/company/1/query", ("quickbooks", "read")),
        ("GET", "/v3/company/1/cdc", ("quickbooks", "read")),
        ("POST", "/v3/company/1/invoice", ("quickbooks", "write")),
        ("POST", "/v3/mail/send", ("sendgrid", "email")),
        ("GET", "/v3/suppression/bounces", ("sendgrid", "read")),
        ("POST", "/v3/logs", ("sendgrid", "read")),
        ("GET", "/sandbox/state", ("", "")),
    ],
)
def test_paths_are_assigned_to_services(method: str, path: str, told: tuple[str, str]) -> None:
    assert classify_request(method, path) == told
