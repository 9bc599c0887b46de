"""Every operation of the API: its replies are as its document says, and no program gets at what is not its own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from connector.access import api_tokens
from connector.database import writing

World = Any
POLICY = "[replies]\npause_days = 5\n"


def requests_of(world: World, made: Any) -> dict[str, tuple[dict[str, Any], Any]]:
    """For each operation what stands in its path, and its body, so that it can be done; in an order that works."""
    books, one = {"connection": made.name.lower().replace(" ", "-")}, {"invoice": "i1"}
    day = (world.office.clock.at.date() + timedelta(days=9)).isoformat()
    entry, task = made.entries, made.tasks
    return {
        "get_status": ({}, None),
        "list_connections": ({}, None),
        "get_connection": (books, None),
        "list_runs": ({}, None),
        "get_run": ({"run": made.run}, None),
        "list_log": ({}, None),
        "get_line": ({"line": line_of(world, made)}, None),
        "verify_log": ({}, None),
        "get_plan": ({}, None),
        "list_exceptions": ({}, None),
        "list_outbox": ({}, None),
        "get_entry": ({"entry": entry["waiting"]}, None),
        "get_mail": ({"entry": entry["waiting"]}, None),
        "reword_mail": ({"entry": entry["waiting"]}, {"subject": "Your invoice INV-1"}),
        "list_fees": ({}, None),
        "list_customers": ({}, None),
        "get_customer": ({**books, "customer": "c1"}, None),
        "list_invoices": ({}, None),
        "explain_invoice": (books | one, None),
        "list_tasks": ({}, None),
        "get_policy": ({}, None),
        "list_reports": ({}, None),
        "get_report": ({"report": "ageing"}, None),
        "give_link": ({**books, "customer": "c1"}, None),
        "revoke_links": ({**books, "customer": "c1"}, None),
        "export_customer": ({**books, "customer": "c1"}, None),
        "check_policy": ({}, {"document": POLICY}),
        "diff_policy": ({}, {"document": "[thank_you]\nenabled = false\n", **books}),
        "pause_connection": (books, {"why": "year end", "until_on": day}),
        "resume_connection": (books, None),
        "run_connection": (books, None),
        "set_owner": (books, {"owner": "Bob <bob@n.example>"}),
        "settle_exception": ({}, {"id": f"{books['connection']}:odd:c1"}),
        "approve_entries": ({}, {"ids": [entry["waiting"]]}),
        "reject_entries": ({}, {"ids": [entry["rejected"]], "why": "no"}),
        "resolve_entry": ({"entry": entry["doubt"]}, {"sent": True}),
        "approve_fees": ({}, {"ids": [entry["fee-waiting"]]}),
        "waive_fees": ({}, {"ids": [entry["fee-done"]], "why": "kind"}),
        "set_customer": (
            {**books, "customer": "c1"},
            {
                "segment": "new", "no_fees": True, "contact": {"name": "Ann", "email": "ann@m.example"},
                "hold_until_on": day, "tags": ["a", "b"], "owner": "Bob <bob@n.example>", "fees_agreed_on": day,
                "no_reminders": False, "language": "de", "sales_rep": None,
            },
        ),
        "dispute_invoice": (books | one, {"why": "broken"}),
        "undispute_invoice": (books | one, {"outcome": "mended"}),
        "promise_invoice": (books | one, {"on": day}),
        "plan_invoice": (books | one, {"instalments": [{"on": day, "amount": "99.50"}]}),
        "pause_invoice": (books | one, {"until_on": day}),
        "resume_invoice": (books | one, None),
        "record_outcome": ({"task": task[0]}, {"promised_on": day, "note": "by phone"}),
        "assign_tasks": ({}, {"ids": [task[1]], "to": "Bob <bob@n.example>"}),
        "end_tasks": ({}, {"ids": [task[1]]}),
        "set_policy": ({}, {"document": POLICY, **books}),
        "list_versions": ({}, None),
        "get_version": ({"version": 1}, None),
        "set_mode": (books, {"mode": "live"}),
        "disconnect": (books, None),
    }  # fmt: skip


def told(world: World) -> list[str]:
    return [line["text"] for line in world.program("read").get("/log")["items"] if line["kind"] != "token_made"]


def line_of(world: World, made: Any) -> int:
    found = world.program("read", made.id).get("/log", limit=1)["items"]
    return int(found[0]["id"])


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield operation["operationId"], method.upper(), path, operation


def test_every_operation_answers_as_the_document_says(world: World, fits: Any) -> None:
    asked = requests_of(world, world.north)
    known = {name: (method, path, operation) for name, method, path, operation in operations(world.document)}
    assert set(asked) == set(known)
    program = world.program()
    for name, (places, body) in asked.items():
        method, path, operation = known[name]
        answer = program.ask(method, path.format(**places), body)
        assert answer.ok, f"{name}: {answer.text}"
        said = operation["responses"][str(answer.status_code)]
        if "content" in said:
            assert answer.headers["Content-Type"] == "application/json"
            fits(world.document, said["content"]["application/json"]["schema"], answer.json())
    for name in ("get_status", "list_connections", "list_runs", "list_log", "get_plan", "list_outbox", "list_fees",
                 "list_customers", "list_invoices", "list_tasks", "list_versions"):  # fmt: skip
        rows = program.ask(*known[name][:2]).json()
        rows = rows if isinstance(rows, list) else rows["items"]
        assert rows, name
        assert all("id" in row for row in rows)


def test_a_program_of_one_company_sees_and_changes_nothing_of_another(world: World) -> None:
    before = told(world)
    asked, foreign = requests_of(world, world.north), world.program("admin", world.south.id)
    general = {"verify_log", "check_policy", "get_policy", "list_versions"}  # hold nothing of any company
    for name, method, path, _operation in operations(world.document):
        places, body = asked[name]
        answer = foreign.ask(method, path.format(**places), body)
        assert "North" not in answer.text, name
        assert "north" not in answer.text.replace("'north-ltd'", ""), name  # but for what was asked for
        if (places and name != "get_report") or (body is not None and name not in general):
            assert answer.status_code == 404, f"{name}: {answer.text}"
        else:
            assert answer.status_code == 200, f"{name}: {answer.text}"
    for path in (
        "/reports/customers",
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
        assert foreign.ask("GET", path, params={"connection": "north-ltd"}).status_code == 404
        assert "South" in foreign.ask("GET", path).text or path in {"/runs", "/fees", "/invoices", "/exceptions"}
    assert foreign.ask("PUT", "/policy", {"document": POLICY}).status_code == 403
    assert told(world) == before


def test_a_program_of_no_company_gets_nothing_and_no_fault(world: World) -> None:
    program = world.program("read")
    with writing(world.office.installation.engine) as session:
        _row, program.token = api_tokens.make(session, "none", "read", companies=[], by="Ann", at=world.office.clock.at)
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


def test_a_token_does_no_more_than_its_scope(world: World) -> None:
    asked, seen = requests_of(world, world.north), set()
    for scope, denied in (("read", {"act", "admin"}), ("act", {"admin"})):
        program = world.program(scope)
        for name, method, path, operation in operations(world.document):
            (needed,) = operation["security"][0]["token"]
            seen.add(needed)
            if needed in denied:
                answer = program.ask(method, path.format(**asked[name][0]), asked[name][1])
                assert answer.status_code == 403, name
                assert answer.json()["todo"]
    assert seen == {"read", "act", "admin"}


def test_nobody_gets_anything_without_a_token_that_counts(world: World, fits: Any) -> None:
    ended, revoked, wrong = world.program(days=1), world.program(), world.stranger()
    wrong.token = revoked.token[:-1] + "_"
    world.office.clock.advance(days=2)
    with writing(world.office.installation.engine) as session:
        api_tokens.revoke(session, 2, by="Ann", at=world.office.clock.at)
    asked = requests_of(world, world.north)
    for place, (name, method, path, _operation) in enumerate(operations(world.document)):
        program = (world.stranger(), ended, revoked, wrong)[place % 4]
        answer = program.ask(method, path.format(**asked[name][0]), asked[name][1])
        assert answer.status_code == 401, name
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert answer.headers["Content-Type"] == "application/problem+json"
        fits(world.document, {"$ref": "#/components/schemas/Problem"}, answer.json())
        world.office.clock.advance(seconds=10)
