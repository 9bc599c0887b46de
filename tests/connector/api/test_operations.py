"""Every API operation: responses match the OpenAPI document, and no client reaches another company's data."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from connector.auth import api_tokens
from connector.db.engine import writing
from tests.connector.api_clients import Scenario

STATEMENT = base64.b64encode(b"Date;Name;Description;Amount;Currency\n2026-06-01;A payer;INV-1;99.50;GBP\n").decode()
POLICY = "[replies]\npause_days = 5\n"


RATE = {
    "preset": "uk", "from_on": "2022-01-01", "rate": "8.2", "source": "Bank Rate", "checked_on": "2022-01-02",
    "replace": True,
}  # fmt: skip


def example_requests(scenario: Scenario, company: Any) -> dict[str, tuple[dict[str, Any], Any]]:
    """The path and body of each operation, in an order that works."""
    site_with_invoices, one = {"connection": company.name.lower().replace(" ", "-")}, {"invoice": "i1"}
    day = (scenario.site.clock.at.date() + timedelta(days=9)).isoformat()
    entry, task = company.entries, company.tasks
    today = scenario.site.clock.at.date()
    monday = today - timedelta(days=today.weekday())
    return {
        "get_status": ({}, None),
        "list_connections": ({}, None),
        "get_connection": (site_with_invoices, None),
        "list_bank_details": (site_with_invoices, None),
        "set_bank_details": (
            {**site_with_invoices, "currency": "EUR"},
            {"payee": "North GmbH", "iban": "DE89 3704 0044 0532 0130 00"},
        ),
        "remove_bank_details": ({**site_with_invoices, "currency": "EUR"}, None),
        "show_brand": (site_with_invoices, None),
        "set_brand": (site_with_invoices, {"accent_colour": "#7a285a", "logo": "", "links": ["Terms https://n.example"]}),
        "import_bank_statement": (site_with_invoices, {"name": "june.csv", "content": STATEMENT}),
        "list_bank_matches": (site_with_invoices, None),
        "confirm_bank_match": (site_with_invoices | {"match": 1}, None),
        "reject_bank_match": (site_with_invoices | {"match": 1}, None),
        "list_bank_receipts": (site_with_invoices, None),
        "assign_bank_receipt": (site_with_invoices | {"receipt": 1}, {"invoice": "INV-1"}),
        "set_aside_bank_receipt": (site_with_invoices | {"receipt": 1}, None),
        "list_runs": ({}, None),
        "get_run": ({"run": company.run}, None),
        "list_log": ({}, None),
        "get_log_entry": ({"line": first_log_id(scenario, company)}, None),
        "verify_log": ({}, None),
        "get_plan": ({}, None),
        "list_exceptions": ({}, None),
        "search": ({}, None),
        "list_outbox": ({}, None),
        "get_entry": ({"entry": entry["awaiting_approval"]}, None),
        "get_email": ({"entry": entry["awaiting_approval"]}, None),
        "edit_email": ({"entry": entry["awaiting_approval"]}, {"subject": "Your invoice INV-1"}),
        "list_fees": ({}, None),
        "list_customers": ({}, None),
        "get_customer": ({**site_with_invoices, "customer": "c1"}, None),
        "list_reported": ({**site_with_invoices, "customer": "c1"}, None),
        "list_invoices": ({}, None),
        "explain_invoice": (site_with_invoices | one, None),
        "list_tasks": ({}, None),
        "get_policy": ({}, None),
        "describe_schedule": ({}, None),
        "list_reports": ({}, None),
        "get_report": ({"report": "ageing"}, None),
        "list_invoices_behind": ({"report": "cash-collected", "row": f"GBP:{monday}", "column": "collected"}, None),
        "create_link": ({**site_with_invoices, "customer": "c1"}, None),
        "revoke_links": ({**site_with_invoices, "customer": "c1"}, None),
        "export_customer": ({**site_with_invoices, "customer": "c1"}, None),
        "check_policy": ({}, {"document": POLICY}),
        "diff_policy": ({}, {"document": "[thank_you]\nenabled = false\n", **site_with_invoices}),
        "pause_connection": (site_with_invoices, {"reason": "year end", "until_on": day}),
        "resume_connection": (site_with_invoices, None),
        "run_connection": (site_with_invoices, None),
        "set_owner": (site_with_invoices, {"owner": "Bob <bob@n.example>"}),
        "mark_exception_correct": ({}, {"id": f"{site_with_invoices['connection']}:odd:c1"}),
        "approve_entries": ({}, {"ids": [entry["awaiting_approval"]]}),
        "reject_entries": ({}, {"ids": [entry["rejected"]], "reason": "no"}),
        "undo_decisions": ({}, {"ids": [entry["rejected"]]}),
        "resolve_entry": ({"entry": entry["unconfirmed"]}, {"sent": True}),
        "approve_fees": ({}, {"ids": [entry["fee-awaiting_approval"]]}),
        "waive_fees": ({}, {"ids": [entry["fee-done"]], "reason": "kind"}),
        "set_customer": (
            {**site_with_invoices, "customer": "c1"},
            {
                "segment": "new", "no_fees": True, "contact": {"name": "Ann", "email": "ann@m.example"},
                "hold_until_on": day, "tags": ["a", "b"], "owner": "Bob <bob@n.example>", "fees_agreed_on": day,
                "no_reminders": False, "language": "de", "sales_rep": None,
            },
        ),
        "dispute_invoice": (site_with_invoices | one, {"reason": "broken"}),
        "undispute_invoice": (site_with_invoices | one, {"outcome": "mended"}),
        "promise_invoice": (site_with_invoices | one, {"promised_on": day, "promised_amount": "0.01"}),
        "plan_invoice": (site_with_invoices | one, {"instalments": [{"due_on": day, "amount": "99.50"}]}),
        "pause_invoice": (site_with_invoices | one, {"until_on": day}),
        "undo_agreements": ({}, {}),
        "pause_invoices": ({}, {"invoices": ["i1"], **site_with_invoices}),
        "resume_invoice": (site_with_invoices | one, None),
        "record_outcome": ({"task": task[0]}, {"promised_on": day, "note": "by phone"}),
        "assign_tasks": ({}, {"ids": [task[1]], "to": "Bob <bob@n.example>"}),
        "complete_tasks": ({}, {"ids": [task[1]], "note": "called them"}),
        "set_policy": ({}, {"document": POLICY, **site_with_invoices}),
        "list_rates": ({}, None),
        "add_rate": ({}, {**RATE, **site_with_invoices}),
        "list_versions": ({}, None),
        "get_version": ({"version": 1}, None),
        "set_mode": (site_with_invoices, {"mode": "live"}),
        "disconnect": (site_with_invoices, {"reason": "We changed the accounting system"}),
    }  # fmt: skip


def log_texts(scenario: Scenario) -> list[str]:
    return [line["text"] for line in scenario.client("read").get("/log")["items"] if line["kind"] != "token_created"]


def first_log_id(scenario: Scenario, company: Any) -> int:
    found = scenario.client("read", company.id).get("/log", limit=1)["items"]
    return int(found[0]["id"])


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield operation["operationId"], method.upper(), path, operation


def test_every_response_matches_the_openapi_document(scenario: Scenario, validate_reply: Any) -> None:
    asked = example_requests(scenario, scenario.north)
    known = {name: (method, path, operation) for name, method, path, operation in operations(scenario.document)}
    assert set(asked) == set(known)
    program = scenario.client()
    for name, (places, body) in asked.items():
        method, path, operation = known[name]
        answer = program.request(method, path.format(**places), body)
        assert answer.ok, f"{name}: {answer.text}"
        said = operation["responses"][str(answer.status_code)]
        if "content" in said:
            assert answer.headers["Content-Type"] == "application/json"
            validate_reply(scenario.document, said["content"]["application/json"]["schema"], answer.json())
    for name in ("get_status", "list_connections", "list_runs", "list_log", "get_plan", "list_outbox", "list_fees",
                 "list_customers", "list_invoices", "list_tasks", "list_versions"):  # fmt: skip
        rows = program.request(*known[name][:2]).json()
        rows = rows if isinstance(rows, list) else rows["items"]
        assert rows, name
        assert all("id" in row for row in rows)


def test_a_token_for_one_company_sees_and_changes_nothing_of_another(scenario: Scenario) -> None:
    before = log_texts(scenario)
    asked, foreign = example_requests(scenario, scenario.north), scenario.client("admin", scenario.south.id)
    general = {
        "verify_log",
        "list_rates",
        "check_policy",
        "get_policy",
        "describe_schedule",
        "list_versions",
    }  # they have no company's data
    for name, method, path, _operation in operations(scenario.document):
        places, body = asked[name]
        answer = foreign.request(method, path.format(**places), body)
        assert "North" not in answer.text, name
        assert "north" not in answer.text.replace("'north-ltd'", ""), name  # except for what was requested
        if (places and name not in {"get_report", "list_invoices_behind"}) or (
            body is not None and name not in general
        ):
            assert answer.status_code == 404, f"{name}: {answer.text}"
        else:
            assert answer.status_code == 200, f"{name}: {answer.text}"
    for path in (
        "/reports/ageing-by-customer",
        "/runs",
        "/log",
        "/plan",
        "/outbox",
        "/fees",
        "/customers",
        "/invoices",
        "/tasks",
        "/exceptions",
    ):
        assert foreign.request("GET", path, params={"connection": "north-ltd"}).status_code == 404
        assert "South" in foreign.request("GET", path).text or path in {"/runs", "/fees", "/invoices", "/exceptions"}
    assert foreign.request("PUT", "/policy", {"document": POLICY}).status_code == 403
    assert foreign.request("POST", "/policy/rates", RATE).status_code == 403
    assert log_texts(scenario) == before


def test_a_token_for_no_company_gets_empty_lists_and_no_errors(scenario: Scenario) -> None:
    program = scenario.client("read")
    with writing(scenario.site.app.engine) as session:
        _row, program.token = api_tokens.create(
            session, "none", "read", companies=[], by="Ann", at=scenario.site.clock.at
        )
    reports = [f"/reports/{report['id']}" for report in program.get("/reports")]
    for path in (
        "/runs",
        "/log",
        "/plan",
        "/outbox",
        "/fees",
        "/customers",
        "/invoices",
        "/tasks",
        "/exceptions",
        *reports,
    ):
        assert program.get(path)["items"] == [], path


def test_a_token_allows_no_more_than_its_scope(scenario: Scenario) -> None:
    asked, seen = example_requests(scenario, scenario.north), set()
    for scope, denied in (("read", {"write", "admin"}), ("write", {"admin"})):
        program = scenario.client(scope)
        for name, method, path, operation in operations(scenario.document):
            (needed,) = operation["security"][0]["token"]
            seen.add(needed)
            if needed in denied:
                answer = program.request(method, path.format(**asked[name][0]), asked[name][1])
                assert answer.status_code == 403, name
                assert answer.json()["action"]
    assert seen == {"read", "write", "admin"}


def test_nothing_is_returned_without_a_valid_token(scenario: Scenario, validate_reply: Any) -> None:
    ended, revoked, wrong = scenario.client(days=1), scenario.client(), scenario.anonymous_client()
    wrong.token = revoked.token[:-1] + "_"
    scenario.site.clock.advance(days=2)
    with writing(scenario.site.app.engine) as session:
        api_tokens.revoke(session, 2, by="Ann", at=scenario.site.clock.at)
    asked = example_requests(scenario, scenario.north)
    for place, (name, method, path, _operation) in enumerate(operations(scenario.document)):
        program = (scenario.anonymous_client(), ended, revoked, wrong)[place % 4]
        answer = program.request(method, path.format(**asked[name][0]), asked[name][1])
        assert answer.status_code == 401, name
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert answer.headers["Content-Type"] == "application/problem+json"
        validate_reply(scenario.document, {"$ref": "#/components/schemas/Problem"}, answer.json())
        scenario.site.clock.advance(seconds=10)


def test_lists_take_the_filters_and_sorts_of_the_pages(scenario: Scenario) -> None:
    program = scenario.client("read")
    numbers = [row["number"] for row in program.get("/invoices?sort=due_on&state=all")["items"]]
    assert [row["number"] for row in program.get("/invoices?sort=-due_on&state=all")["items"]] == numbers[::-1]
    assert [row["number"] for row in program.get("/invoices?search=INV-1")["items"]] == ["INV-1"] * 2
    assert program.get("/invoices?min=999999999")["items"] == []
    first = program.get("/outbox?sort=-amount&limit=1")
    more = program.get(f"/outbox?sort=-amount&limit=1&cursor={first['next']}")
    assert first["items"][0]["id"] != more["items"][0]["id"]
    for path in ("/invoices?sort=secret", "/invoices?min=lots", "/tasks?state=odd", "/fees?planned_from=x"):
        assert program.request("GET", path).status_code == 422, path
    assert program.request("GET", f"/outbox?sort=step&cursor={'WyJhIiwiYiJd'}").status_code == 422
    names = {each["name"] for each in program.get("/openapi.json")["paths"]["/customers"]["get"]["parameters"]}
    assert {"state", "segment", "owner", "min", "max", "sort", "cursor"} <= names
    found = program.get("/search?q=inv-1")["matches"]
    assert (found[0]["name"], found[0]["kind"], found[0]["exact"]) == ("INV-1", "invoice", True)
    south = scenario.client("read", scenario.north.id)
    assert "south-ltd" not in south.request("GET", "/search?q=c1").text


def test_a_token_undoes_what_it_paused_together_and_nobody_elses(scenario: Scenario) -> None:
    north, program = scenario.north.name.lower().replace(" ", "-"), scenario.client("write")
    numbers = [each["number"] for each in program.get("/invoices", connection=north)["items"]][:2]
    paused = program.request("POST", "/invoices/pause", {"connection": north, "invoices": numbers}).json()
    assert [each["active_agreements"] for each in paused["invoices"]] == [{"paused": True}] * len(numbers)
    body = {"recorded_at": paused["recorded_at"]}
    other = scenario.client("admin")
    with writing(scenario.site.app.engine) as session:
        at = scenario.site.clock.at
        _row, other.token = api_tokens.create(session, "another", "admin", companies=None, by="Ann", at=at)
    for each in (scenario.client("write", scenario.south.id), other):
        assert each.request("POST", "/invoices/undo", body).status_code == 404
    undone = program.request("POST", "/invoices/undo", body).json()
    assert [each["active_agreements"] for each in undone["invoices"]] == [{}] * len(numbers)
    assert program.request("POST", "/invoices/undo", {}).status_code == 404
