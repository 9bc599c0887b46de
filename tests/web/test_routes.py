"""Every page, asked by everybody who must not get it."""

from __future__ import annotations

import re
from typing import Any

from connector.tables import InvoiceRow, OutboxEntry, SyncLogEntry, SyncRun, Task
from connector.web.app import ROUTES

Office = Any
OPEN = {"/sign-in", "/welcome/{link}"}


def asked(route: Any, ids: dict[str, int]) -> str:
    return re.sub(r"\{(\w+)(?::\w+)?\}", lambda found: str(ids.get(found[1], "xero")), route.path)


def foreign(office: Office) -> dict[str, int]:
    """A company with something of everything; returns what stands in the paths of its pages."""
    company = office.company("South Ltd", mode="approve")
    run = SyncRun(connection_id=company, started_at=office.clock.at, outcome="ok")
    entry = OutboxEntry(
        connection_id=company,
        key="south:mail:1",
        kind="mail",
        state="waiting",
        customer_id="c1",
        payload={"to": ["a@south.example"], "taken": [], "listed": []},
        why="South's secret",
        planned_at=office.clock.at,
    )
    task = Task(
        connection_id=company, key="t", code="call", customer_id="c1", invoice_ids=[], due_on=office.clock.at.date(),
        why="South's secret", made_at=office.clock.at,
    )  # fmt: skip
    invoice = InvoiceRow(
        connection_id=company, external_id="77", number="South-1", customer_id="c1", currency="GBP",
        issued_on=office.clock.at.date(), status="open", is_open=True,
    )  # fmt: skip
    office.store(run, entry, task, invoice)
    line = SyncLogEntry(
        connection_id=company,
        run_id=run.id,
        at=office.clock.at,
        kind="mailed",
        text="South's secret",
        previous_hash="",
        hash="",
    )
    office.store(line)
    return {
        "company": company,
        "run": run.id or 0,
        "entry": entry.id or 0,
        "line": line.id or 0,
        "task": task.id or 0,
        "invoice": 77,
    }


def test_nobody_gets_a_page_that_is_not_open(office: Office) -> None:
    ids, stranger = foreign(office), office.browser()
    for route in ROUTES:
        if route.needs == "nobody":
            assert route.path in OPEN
            continue
        path = asked(route, ids)
        ask = stranger.get if route.method == "GET" else stranger.post
        answer = ask(path, allow_redirects=False)
        if route.method == "GET":
            assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, "/sign-in"), path
        else:
            assert answer.status_code == 401, path
        assert "South" not in answer.text


def test_a_viewer_changes_nothing(office: Office) -> None:
    ids = foreign(office)
    viewer = office.signed_in("viewer")
    for route in ROUTES:
        if route.method == "POST" and route.path not in {*OPEN, "/sign-out"}:
            assert route.needs in {"bookkeeper", "owner"}, route.path
            assert viewer.post(asked(route, ids)).status_code == 403, route.path


def test_only_an_owner_gets_what_is_for_owners(office: Office) -> None:
    ids = foreign(office)
    bookkeeper = office.signed_in("bookkeeper")
    for route in ROUTES:
        if route.needs == "owner":
            answer = bookkeeper.post(asked(route, ids)) if route.method == "POST" else bookkeeper.get(asked(route, ids))
            assert answer.status_code == 403, route.path


def test_a_bookkeeper_of_another_company_sees_and_touches_nothing_of_this_one(office: Office) -> None:
    ids = foreign(office)
    north = office.company("North Ltd")
    bookkeeper = office.signed_in("bookkeeper", north)
    token = bookkeeper.get("/").text
    assert "North" in token or "South" not in token
    from connector.web.visit import form_token  # noqa: PLC0415

    session_token = bookkeeper.http.cookies["duewell"]
    for route in ROUTES:
        if route.needs not in {"viewer", "bookkeeper"} or route.path == "/sign-out":
            continue
        path = asked(route, ids)
        if route.method == "GET":
            answer = bookkeeper.get(path)
        else:
            fields = {"csrf": form_token(session_token, path), "id": str(ids["entry"]), "sent": "yes", "mode": "live"}
            answer = bookkeeper.post(path, fields)
        assert "South" not in answer.text, path
        if "{" in route.path or route.method == "POST":
            assert answer.status_code in {404, 409}, path
    seen = bookkeeper.get(f"/log?company={ids['company']}")
    assert "South" not in seen.text
    assert seen.status_code == 404


def test_every_page_for_people_carries_strict_headers(office: Office) -> None:
    ids = foreign(office)
    owner = office.signed_in("owner")
    for route in ROUTES:
        if route.method != "GET":
            continue
        headers = owner.get(asked(route, ids)).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script-src" not in policy
        assert headers["Cache-Control"] == "no-cache, no-store"
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
