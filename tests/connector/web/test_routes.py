"""Every route of the app, requested by everybody who must not get it.

The routes come from the app itself, so that new pages are covered.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from sqlalchemy import select
from sqlmodel import SQLModel
from starlette.routing import Mount

from connector.auth import passkey_requirement
from connector.auth.users import find_user
from connector.db.engine import reading
from connector.db.tables import (
    CustomerRow,
    InvoiceRow,
    OutboxEntry,
    Passkey,
    PolicyVersion,
    SyncLogEntry,
    SyncRun,
    Task,
)
from connector.vocabulary import LogKind, OutboxKind, OutboxState, RunOutcome, TaskCode
from connector.web.app import ROUTES, make_app
from connector.web.page_request import derive_csrf_token
from connector.web.routes import PASSKEY_PATH, PUBLIC, cookie_name
from policies.receivables import InvoiceStatus

Site = Any
SIGN_IN_PATHS = {"/sign-in", "/sign-in/passkey", "/sign-in/sso", "/sign-in/sso/callback", "/welcome/{link}"}
PUBLIC_PATHS = {  # for everyone, with the reason
    "/healthz": "says ok, to who watches it",
    "/readyz": "says which part is ill",
    "/metrics": "numbers without names",
    "/callback/{provider_name}": "a state that was begun here is the proof",
    "/static/style.css": "the same for everybody",
    "/static/passkeys.js": "the same for everybody",
    "/static/lists.js": "the same for everybody",
    "/static/review.js": "the same for everybody",
    "/static/policy.js": "the same for everybody",
    "/static/brand.js": "the same for everybody",
    "/static/live.js": "the same for everybody",
    "/runs/{run:int}/events": "not found unless the user may see the run's company: tests in test_live.py",
    "/static/icon.svg": "the same for everybody",
    "/stop/{token}": "the link in an email is the proof",
    "/stop-mail/{token}": "the link in an email is the proof",
    "/c/{token}": "the link in an email is the proof",
    "/c/{token}/statement/{currency}.pdf": "the link in an email is the proof",
    "/c/{token}/invoice/{invoice}.pdf": "the link in an email is the proof",
    "/c/{token}/transfer/{currency}.png": "the link in an email is the proof",
    "/c/{token}/pay": "the link in an email is the proof",
    "/c/{token}/brand.css": "the link in an email is the proof",
    "/c/{token}/logo.png": "the link in an email is the proof",
    "/c/{token}/pay/{invoice}": "the link in an email is the proof",
    "/c/{token}/account": "the link in an email is the proof",
    "/c/{token}/account/{currency}.pdf": "the link in an email is the proof",
    "/c/{token}/invoices.zip": "the link in an email is the proof",
    "/c/{token}/tell/{kind}": "the link in an email is the proof",
    "/c/{token}/check/{key}": "the link in an email is the proof",
    "/c/{token}/undo/{key}": "the link in an email is the proof",
    "/c/{token}/language": "the link in an email is the proof",
    "/webhooks/sendgrid": "a signature is the proof",
    "/webhooks/sendgrid-inbound": "an address that was never told to anybody else is the proof",
    "/webhooks/xero": "a signature is the proof",
    "/webhooks/quickbooks": "a signature is the proof",
    "/api/v1/openapi.json": "describes the operations, which all ask for a token",
}
# The fields of all forms at once: whatever a handler reads, it gets the other company's data.
FORM_FIELDS = {
    "sent": "yes",
    "mode": "live",
    "reviewed": "yes",
    "confirmed": "yes",
    "note": "x",
    "disputed": "x",
    "reason": "x",
    "promised_on": "2026-07-01",
    "email": "x@y.example",
    "role": "owner",
    "document": "",
    "version": "",
}
ACTIONS = ("approve", "reject", "waive", "sent", "pause", "promise", "dispute", "save", "inherit", "hold", "word")


def walk_routes(app: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield every method and path of the app and of what is mounted in it."""
    for route in app.routes:
        path = prefix + getattr(route, "path", "")
        if isinstance(route, Mount):
            yield from walk_routes(route, path)
        else:
            yield from ((method, path) for method in sorted(getattr(route, "methods", None) or ()) if method != "HEAD")


def all_routes(site: Site) -> set[tuple[str, str]]:
    return set(walk_routes(make_app(site.app, object())))  # type: ignore[arg-type]


def fill_path(path: str, ids: dict[str, int]) -> str:
    words = {"link": "x" * 43, "token": "x" * 43, "report": "ageing", "step": "past_due", "customer": "c1"}

    def filled(found: re.Match[str]) -> str:
        return str(ids.get(found[1], 1 if found[2] else words.get(found[1], "xero")))

    return re.sub(r"\{(\w+)(:int)?\}", filled, path)


def add_other_company(site: Site) -> dict[str, int]:
    """Add a company with rows of every kind; returns the ids in the paths of its pages."""
    company = site.add_company("South Ltd", mode="approve")
    at, today = site.clock.at, site.clock.at.date()
    run = SyncRun(connection_id=company, started_at=at, outcome=RunOutcome.OK)
    entry = OutboxEntry(
        connection_id=company,
        key="south:mail:1",
        kind=OutboxKind.EMAIL,
        state=OutboxState.AWAITING_APPROVAL,
        customer_id="c1",
        payload={"to": ["a@south.example"], "completed": [], "listed": []},
        reason="South's secret",
        planned_at=at,
    )
    task = Task(
        connection_id=company,
        key="t",
        code=TaskCode.CALL,
        customer_id="c1",
        invoice_ids=[],
        due_on=today,
        reason="South's secret",
        created_at=at,
    )
    invoice = InvoiceRow(
        connection_id=company,
        external_id="77",
        number="South-1",
        customer_id="c1",
        currency="GBP",
        issued_on=today,
        due_on=today,
        total_e4=990_000,
        due_e4=990_000,
        status=InvoiceStatus.OPEN,
        is_open=True,
    )
    customer = CustomerRow(connection_id=company, external_id="c1", name="South's customer", emails="a@south.example")
    policy = PolicyVersion(connection_id=company, document='tone = "firm" # South', set_by="South", set_at=at)
    site.add_rows(run, entry, task, invoice, customer, policy)
    line = SyncLogEntry(
        connection_id=company,
        run_id=run.id,
        at=at,
        kind=LogKind.EMAILED,
        text="South's secret",
        previous_hash="",
        hash="",
    )
    site.add_rows(line)
    return {
        "company": company,
        "connection": company,
        "run": run.id or 0,
        "entry": entry.id or 0,
        "line": line.id or 0,
        "task": task.id or 0,
        "invoice": 77,
        "version": policy.id or 0,
    }


def stored_rows(site: Site, company: int) -> dict[str, list[Any]]:
    """Return all rows of a company, table by table."""
    with reading(site.app.engine) as session:
        kept = {
            table.name: sorted(map(repr, session.execute(select(table).where(table.c.connection_id == company))))
            for table in SQLModel.metadata.tables.values()
            if "connection_id" in table.c
        }
        own = SQLModel.metadata.tables["connection"]
        kept["connection"] = [repr(session.execute(select(own).where(own.c.id == company)).one())]
    return kept


def test_every_route_needs_a_role_or_is_known_to_be_public(site: Site) -> None:
    gated = {(route.method, route.path) for route in ROUTES}
    unknown = {
        path
        for method, path in all_routes(site)
        if (method, path) not in gated and path not in PUBLIC_PATHS and not path.startswith("/api/v1/")
    }
    assert unknown == set()
    assert {route.path for route in ROUTES if route.min_role is PUBLIC} == SIGN_IN_PATHS


def test_without_signing_in_only_public_routes_respond(site: Site) -> None:
    ids, stranger = add_other_company(site), site.browser()
    before = stored_rows(site, ids["company"])
    gated = {(route.method, route.path): route for route in ROUTES}
    addresses = all_routes(site)
    assert len(addresses) > 80
    for method, path in sorted(addresses):
        where = f"{method} {path}"
        answer = stranger.http.request(
            method, site.base + fill_path(path, ids), headers={"Origin": site.base}, allow_redirects=False, timeout=20
        )
        assert "South" not in answer.text, where
        if path.startswith("/api/v1/") and path not in PUBLIC_PATHS:
            assert answer.status_code == 401, where
        elif (method, path) in gated and gated[method, path].min_role is not PUBLIC:
            there = answer.headers.get("location", "").partition("?")[0]
            assert (answer.status_code, there) == ((303, "/sign-in") if method == "GET" else (401, "")), where
        elif path not in SIGN_IN_PATHS and path not in PUBLIC_PATHS:
            raise AssertionError(where)
    assert stored_rows(site, ids["company"]) == before


def test_too_large_ids_in_urls_are_not_found(site: Site) -> None:
    owner = site.sign_in("owner")
    for route in ROUTES:
        if ":int}" in route.path and route.method == "GET":
            huge = re.sub(r"\{\w+:int\}", "9" * 25, route.path)
            assert owner.get(fill_path(huge, {})).status_code == 404, route.path
    site.add_company("North Ltd")
    for path in ("/outbox", "/fees", "/tasks", "/exceptions", "/customers", "/runs", "/log", "/reports", "/policy"):
        for strange in ("9" * 25, "-1", "x"):
            assert owner.get(f"{path}?company={strange}").status_code == 404, path


def test_viewers_cannot_change_anything(site: Site) -> None:
    ids = add_other_company(site)
    viewer, own = site.sign_in("viewer"), {"/sign-out", "/confirm"}
    before = stored_rows(site, ids["company"])
    for route in ROUTES:
        if route.method == "POST" and route.path not in SIGN_IN_PATHS | own and not route.path.startswith("/account/"):
            assert route.min_role in {"bookkeeper", "owner"}, route.path
            answer = viewer.post(fill_path(route.path, ids))
            assert (answer.status_code, "No access" in answer.text) == (403, True), route.path
    assert stored_rows(site, ids["company"]) == before


def test_routes_of_owners_are_denied_to_bookkeepers(site: Site) -> None:
    ids = add_other_company(site)
    bookkeeper = site.sign_in("bookkeeper")
    for route in ROUTES:
        if route.min_role == "owner":
            path = fill_path(route.path, ids)
            answer = bookkeeper.post(path) if route.method == "POST" else bookkeeper.get(path)
            assert (answer.status_code, "No access" in answer.text) == (403, True), route.path


def test_users_without_the_required_passkey_can_only_add_one(site: Site) -> None:
    """Also owners, and in browsers that were signed in before."""
    ids = add_other_company(site)
    browser, other = site.sign_in("owner"), site.add_user("owner", email="ann@example.com")
    with reading(site.app.engine) as session:
        ann = find_user(session, other).id or 0
    site.add_rows(Passkey(id="of ann", user_id=ann, public_key=b"", created_at=site.clock.at))
    assert "South" in browser.get("/companies").text
    passkey_requirement.set_required(site.app, required=True, by="a test")
    token, before = browser.http.cookies[cookie_name(site.app)], stored_rows(site, ids["company"])
    open_to_him = {("GET", PASSKEY_PATH): 200, ("POST", PASSKEY_PATH): 409, ("POST", "/sign-out"): 303}
    for route in sorted(ROUTES, key=lambda route: route.path == "/sign-out"):  # which comes last
        path, where = fill_path(route.path, ids), (route.method, route.path)
        if route.method == "GET":
            answer = browser.get(path, allow_redirects=False)
        else:
            answer = browser.post(path, {**FORM_FIELDS, "csrf": derive_csrf_token(token, path)}, allow_redirects=False)
        assert "South" not in answer.text, where
        if where in open_to_him:
            assert answer.status_code == open_to_him[where], where
        elif route.min_role is PUBLIC:
            assert "owner@example.com" not in answer.text, where  # signing in, as for anybody
        elif route.method == "GET":
            assert (answer.status_code, answer.headers["location"]) == (303, PASSKEY_PATH), where
        else:
            assert (answer.status_code, "Passkey required" in answer.text) == (403, True), where
    assert stored_rows(site, ids["company"]) == before
    assert {(route.method, route.path) for route in ROUTES if route.allowed_without_passkey} == set(open_to_him)


def test_a_bookkeeper_of_another_company_sees_nothing(site: Site) -> None:
    ids, north = add_other_company(site), site.add_company("North Ltd")
    bookkeeper = site.sign_in("bookkeeper", north)
    assert "North" in bookkeeper.get("/companies").text
    pages = [route for route in ROUTES if route.method == "GET" and route.min_role in {"viewer", "bookkeeper"}]
    for route in pages:
        answer = bookkeeper.get(fill_path(route.path, ids))
        assert "South" not in answer.text, route.path
        if set(re.findall(r"\{(\w+)", route.path)) & set(ids):
            assert answer.status_code == 404, route.path
        here = fill_path(route.path, {**ids, "company": north})
        for names in (("company", "connection"), ("customer", "invoice", "version", "entry", "task", "run")):
            query = "&".join(f"{name}={ids.get(name, 'c1')}" for name in names)
            seen = bookkeeper.get(f"{here}?{query}&for=south&text=South")
            assert "South's" not in seen.text, f"{route.path} with {names}"
            assert "South-1" not in seen.text, f"{route.path} with {names}"


def test_a_bookkeeper_of_another_company_changes_nothing(site: Site) -> None:
    ids, north = add_other_company(site), site.add_company("North Ltd")
    bookkeeper = site.sign_in("bookkeeper", north)
    bookkeeper.get("/")
    session_token = bookkeeper.http.cookies[cookie_name(site.app)]
    before = stored_rows(site, ids["company"])
    told = {name: str(value) for name, value in ids.items()} | {"customer": "c1", "for": "south"}
    told |= {"id": str(ids["entry"]), "shown": f"{ids['entry']}:", "version": "", "tasks": str(ids["task"])}
    for route in ROUTES:
        if route.method != "POST" or route.min_role not in {"viewer", "bookkeeper"} or route.path == "/sign-out":
            continue
        # another company's id in the path; and the user's own, with another one's in the form
        for path in {fill_path(route.path, ids), fill_path(route.path, {**ids, "company": north})}:
            for deed in ACTIONS:
                fields = {
                    **FORM_FIELDS,
                    **told,
                    "do": deed,
                    "action": deed,
                    "csrf": derive_csrf_token(session_token, path),
                }
                answer = bookkeeper.post(path, fields, allow_redirects=False)
                assert "South" not in answer.text, f"{path} {deed}"
                if (
                    "{" in route.path
                    and path == fill_path(route.path, ids)
                    and not route.path.startswith("/policy/emails")
                ):
                    assert answer.status_code in {404, 409, 422}, f"{path} {deed}"
                assert answer.status_code < 500, f"{path} {deed}"
    assert stored_rows(site, ids["company"]) == before


def test_every_table_belongs_to_companies_or_is_known_not_to() -> None:
    of_none = {
        "connection": "is the company",
        "grant_token": "reached through the company it was given for",
        "pending_consent": "before there is a company",
        "suppressed_address": "an address is suppressed for every company",
        "email_event": "found by the key of the outbox entry",
        "app_user": "people",
        "connected_mailbox": "the installation's own, for every company",
        "daily_digest": "people: one email over their companies, without its text",
        "user_company": "people",
        "web_session": "people",
        "passkey": "people",
        "used_challenge": "people",
        "sign_in_link": "people",
        "sign_in_attempt": "people",
        "api_token": "names its companies",
        "api_request": "an answer to a token, again",
        "webhook_endpoint": "an owner's",
        "webhook_delivery": "an owner's",
    }
    tables = SQLModel.metadata.tables
    assert {name for name, table in tables.items() if "connection_id" not in table.c} - set(of_none) == set()


def test_every_page_has_strict_headers(site: Site) -> None:
    ids = add_other_company(site)
    owner = site.sign_in("owner")
    for route in ROUTES:
        if route.method != "GET":
            continue
        headers = owner.get(fill_path(route.path, ids), allow_redirects=False).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy, route.path
        scripts = re.findall("script-src [^;]*", policy)
        assert set(scripts) <= ({"script-src 'self'"} if not route.path.endswith("email.html") else set()), route.path
        assert headers["Cache-Control"] == "no-cache, no-store"
        assert "unsafe" not in policy or route.path.endswith("email.html")  # an email's own styles, in a sandbox
        assert "frame-ancestors 'none'" in policy or route.path.endswith("email.html")
        assert headers["X-Content-Type-Options"] == "nosniff"
