"""What all operations share: pagination, idempotent changes, limits and error responses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import select
from sqlmodel import col
from typer.testing import CliRunner

from connector.api.api_route import BODY_BYTES_MAX
from connector.cli.main import cli
from connector.db.engine import reading
from connector.db.tables import Agreement, ApiRequest, CustomerRow, OutboxEntry
from connector.vocabulary import AgreementKind, OutboxKind, OutboxState
from tests.connector.api_clients import Scenario

LISTS = ("/connections", "/runs", "/log", "/plan", "/outbox", "/fees", "/customers", "/invoices", "/tasks")


def read_pages(program: Any, path: str, size: int, meanwhile: Any = None) -> list[Any]:
    found, cursor = [], ""
    while True:
        part = program.get(path, limit=size, cursor=cursor)
        assert len(part["items"]) <= size
        found += part["items"]
        if part["next"] is None:
            return found
        cursor = part["next"]
        if meanwhile:
            meanwhile()


def test_a_paginated_list_returns_each_item_once_in_the_same_order(scenario: Scenario) -> None:
    program = scenario.client("read")
    for path in LISTS:
        whole = program.get(path, limit=500)
        assert whole["next"] is None
        assert len(whole["items"]) >= 2, path
        assert read_pages(program, path, 1 if len(whole["items"]) < 9 else 4) == whole["items"], path


def test_items_added_during_pagination_move_no_others(scenario: Scenario) -> None:
    program, numbers = scenario.client("read"), iter(range(200, 100, -1))
    before = {row["id"] for row in program.get("/outbox")["items"]}

    def more() -> None:
        key = f"new:{next(numbers)}"
        entry = OutboxEntry(
            connection_id=scenario.north.id,
            key=key,
            kind=OutboxKind.EMAIL,
            state=OutboxState.DONE,
            customer_id="c1",
            payload={"completed": []},
            planned_at=scenario.site.clock.at,
        )
        scenario.site.add_rows(entry)
        scenario.site.add_rows(CustomerRow(connection_id=scenario.north.id, external_id=f"a{key}", name=key))

    found = [row["id"] for row in read_pages(program, "/outbox", 3, more)]
    assert before <= set(found)
    assert len(found) == len(set(found))
    customers = [(row["connection"], row["id"]) for row in read_pages(program, "/customers", 1, more)]
    assert {("north-ltd", "c2"), ("south-ltd", "c1")} <= set(customers)
    assert len(customers) == len(set(customers))


def test_a_change_with_an_idempotency_key_is_made_once(scenario: Scenario) -> None:
    program, path = scenario.client("write"), "/invoices/north-ltd/i1/promise"
    body = {"promised_on": scenario.site.clock.at.date().isoformat()}
    key = {"Idempotency-Key": "one"}
    first, again = (program.request("POST", path, body, headers=key) for _ in range(2))
    assert (
        first.json()
        == again.json()
        == {"id": "i1", "number": "INV-1", "active_agreements": {"promised_on": body["promised_on"]}}
    )
    assert ("Idempotent-Replayed" in first.headers, again.headers["Idempotent-Replayed"]) == (False, "true")
    other = program.request("POST", path, {"promised_on": None}, headers=key)
    assert (other.status_code, other.json()["detail"][:20]) == (422, "This Idempotency-Key")
    assert program.request("POST", "/outbox/approve", {"ids": [scenario.north.entries["unconfirmed"]]}, headers={
        "Idempotency-Key": "two"}).status_code == 409  # fmt: skip
    fine = {"ids": [scenario.north.entries["awaiting_approval"]]}
    assert program.request("POST", "/outbox/approve", fine, headers={"Idempotency-Key": "two"}).status_code == 200
    with reading(scenario.site.app.engine) as session:
        assert len(list(session.scalars(select(Agreement).where(col(Agreement.kind) == AgreementKind.PROMISE)))) == 1
    other_program = scenario.client("write")
    assert "Idempotent-Replayed" not in other_program.request("POST", path, body, headers=key).headers
    scenario.site.clock.advance(hours=25)
    assert program.request("POST", path, {"promised_on": None}, headers=key).status_code == 200


def test_a_portal_link_is_not_kept_for_a_repetition_which_gives_the_same_again(scenario: Scenario) -> None:
    program, path = scenario.client("write"), "/customers/north-ltd/c1/link"
    first, again = (program.request("POST", path, {}, headers={"Idempotency-Key": "one"}) for _ in range(2))
    assert (first.status_code, first.json()["link"]) == (200, again.json()["link"])
    with reading(scenario.site.app.engine) as session:
        assert [row.response for row in session.scalars(select(ApiRequest))] == []


def test_an_entry_that_changed_since_it_was_read_is_not_approved(scenario: Scenario) -> None:
    program, entry = scenario.client("write"), str(scenario.north.entries["awaiting_approval"])
    etag = program.get(f"/outbox/{entry}")["etag"]
    assert program.request("PATCH", f"/outbox/{entry}/email", {"subject": "Another one", "etag": etag}).ok
    answers = [
        program.request("POST", "/outbox/approve", {"ids": [int(entry)], "etags": {entry: etag}}),
        program.request("POST", "/outbox/reject", {"ids": [int(entry)]}, headers={"If-Match": f'"{etag}"'}),
        program.request("PATCH", f"/outbox/{entry}/email", {"subject": "My own"}, headers={"If-Match": f'"{etag}"'}),
    ]
    assert [(answer.status_code, answer.json()["type"]) for answer in answers] == [
        (412, "urn:duewell:problem:changed-since-it-was-read")
    ] * 3
    assert {answer.json()["detail"] for answer in answers} == {
        "This email was changed by the API token a test on 10 Jun 2026 at 11:00; read it again."
    }
    now = program.get(f"/outbox/{entry}")
    assert (now["state"], now["edited_by"]) == ("awaiting_approval", "the API token a test")
    assert program.request("GET", f"/outbox/{entry}").headers["ETag"] == f'"{now["etag"]}"'
    assert program.request("POST", "/outbox/approve", {"ids": [int(entry)], "etags": {entry: now["etag"]}}).ok


def test_a_policy_that_somebody_saved_meanwhile_is_not_overwritten(scenario: Scenario) -> None:
    program, path = scenario.client("admin"), "/policy?connection=north-ltd"
    document = {"document": "[thank_you]\nenabled = false\n", "connection": "north-ltd"}
    for _default_policy, own_policy in enumerate(("", "# mine\n")):
        read = program.request("GET", path).headers["ETag"]
        changed = {**document, "document": f"{own_policy}{document['document']}"}
        assert program.request("PUT", "/policy", changed, headers={"If-Match": read}).ok
        late = program.request("PUT", "/policy", document, headers={"If-Match": read})
        assert (late.status_code, late.json()["type"]) == (412, "urn:duewell:problem:changed-since-it-was-read")
        assert "was saved by the API token a test on 10 Jun 2026" in late.json()["detail"]
        assert program.get("/policy", connection="north-ltd")["version"] != read.strip('"')
    assert program.request("PUT", "/policy", document).ok  # for a program that does not ask


def test_too_many_and_too_large_requests_are_rejected(scenario: Scenario) -> None:
    program, stranger = scenario.client("read"), scenario.anonymous_client()
    answers = [stranger.request("GET", "/status") for _ in range(121)]
    assert [answers[0].status_code, answers[-1].status_code] == [401, 429]
    assert int(answers[-1].headers["Retry-After"]) == 60
    assert program.request("GET", "/connections").status_code == 200
    scenario.site.clock.advance(seconds=60)
    assert stranger.request("GET", "/status").status_code == 401
    big = program.request("POST", "/policy/check", {"document": "x" * BODY_BYTES_MAX})
    assert big.status_code == 413
    assert big.json()["title"] == "Request too large"


PROBLEMS: tuple[tuple[str, str, Any, int, str], ...] = (
    ("GET", "/nowhere", None, 404, "Not found."),
    ("DELETE", "/outbox", None, 405, "Method Not Allowed"),
    ("GET", "/outbox?cursor=!!", None, 422, "cursor"),
    ("GET", "/outbox?cursor=eyJhIjoxfQ", None, 422, "cursor"),
    ("GET", "/outbox?cursor=WyJhIiwiYiJd", None, 422, "cursor"),
    ("GET", "/connections?cursor=WyJhIl0", None, 422, "cursor"),
    ("GET", "/outbox?cursor=WzIxNDc0ODM2NDhd", None, 422, "cursor"),  # an id that PostgreSQL cannot query
    ("GET", "/outbox?limit=1000", None, 422, "limit takes at most 500, not '1000'"),
    ("GET", "/outbox?limit=abc", None, 422, "limit takes a whole number, not 'abc'"),
    ("GET", "/outbox?state=lost", None, 422, "state"),
    ("GET", "/connections/east-ltd", None, 404, "Connection 'east-ltd' not found."),
    ("POST", "/outbox/approve", {"ids": [1], "colour": "red"}, 422, "colour is not known here; leave it out"),
    ("POST", "/tasks/done", {"ids": [1]}, 422, "note is missing"),
    ("POST", "/tasks/done", {"ids": [1], "note": " "}, 422, "Enter the outcome"),
    ("POST", "/tasks/1/outcome", {}, 422, "Enter the outcome"),
    ("POST", "/tasks/assign", {"ids": [1], "to": "nobody"}, 422, "'nobody' is not an email address"),
    ("POST", "/tasks/assign", {"ids": "all", "to": "a@b.example"}, 422, "ids takes a list, not 'all'"),
    ("POST", "/invoices/north-ltd/i1/promise", {"promised_on": "soon"}, 422, "promised_on: must be a date like"),
    ("POST", "/connections/north-ltd/mode", {"mode": "loud"}, 422, "takes one of observe, approve or live, not 'loud'"),
    ("POST", "/invoices/north-ltd/i1/promise", {"promised_on": "2020-01-01"}, 409, "is in the past"),
    ("POST", "/invoices/north-ltd/i1/plan", {"instalments": [{"due_on": "2026-07-01", "amount": "1"}]}, 409, "99.50"),
    ("POST", "/fees/waive", {"ids": [1], "amount": "1.23456"}, 422, "amount takes at most 4 decimal places, not '1.23"),
    ("POST", "/fees/waive", {"ids": [1], "amount": "NaN"}, 422, "amount takes an amount such as 12.50, not 'NaN'"),
    ("POST", "/fees/waive", {"ids": [1], "amount": "1" * 16}, 422, "amount takes at most 14 digits before the decimal"),
    ("PATCH", "/customers/north-ltd/c1", {"contact": {"email": "ann"}}, 422, "contact.email takes a text of the form"),
    ("PATCH", "/customers/north-ltd/c1", {"language": "tlh"}, 422, "Available: en, de, fr, es"),
    ("PATCH", "/customers/north-ltd/c1", {"hold_until_on": "2020-01-01"}, 422, "1 Jan 2020 would already be over"),
    ("POST", "/connections/north-ltd/pause", {"until_on": "2020-01-01"}, 422, "1 Jan 2020 is not in the future"),
    ("GET", f"/outbox/{'9' * 20}", None, 422, "takes at most"),
    ("GET", f"/log/{'9' * 20}", None, 422, "takes at most"),
    ("POST", "/outbox/approve", {"ids": [10**20]}, 422, "takes at most"),
    ("PUT", "/policy", {"document": "late_feees = 1"}, 422, "late_feees"),
)


def test_every_problem_says_what_happened_what_it_means_and_what_to_do(scenario: Scenario, validate_reply: Any) -> None:
    program = scenario.client()
    for method, path, body, status, detail in PROBLEMS:
        answer = program.request(method, path, body)
        assert answer.status_code == status, f"{path}: {answer.text}"
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert detail in answer.json()["detail"]
        assert " should " not in answer.json()["detail"]
        assert answer.headers["Cache-Control"] == "no-cache, no-store"
        validate_reply(scenario.document, {"$ref": "#/components/schemas/Problem"}, answer.json())


def test_an_internal_error_reveals_no_details(scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    from connector.services import status  # noqa: PLC0415

    def broken(_installation: Any) -> None:
        message = "secret"
        raise RuntimeError(message)

    monkeypatch.setattr(status, "list_statuses", broken)
    answer = scenario.client("read").request("GET", "/status")
    assert (answer.status_code, answer.headers["Content-Type"]) == (500, "application/problem+json")
    assert "secret" not in answer.text


def test_items_equal_those_that_the_commands_print(scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, program = scenario.site.app.settings, scenario.client("read")
    monkeypatch.setenv("DUEWELL_HOME", str(settings.duewell_home))
    for command, path in (
        ("outbox list", "/outbox"),
        ("customers list", "/customers"),
        ("invoices list", "/invoices"),
        ("log show", "/log"),
    ):
        printed = CliRunner().invoke(cli, [*command.split(), "--json"], prog_name="duewell")
        assert printed.exit_code == 0, printed.stderr
        said = program.get(path)
        items = said if isinstance(said, list) else said["items"]
        by_id = {(row.get("connection"), row["id"]): row for row in json.loads(printed.stdout)}
        assert {(row.get("connection"), row["id"]): row for row in items} == by_id, command
