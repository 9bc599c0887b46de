"""After some days of real syncs, all API responses match the OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urljoin

import pytest
import requests

from connector.auth import api_tokens
from connector.connections.registry import begin_consent, finish_consent, set_mode
from connector.db.engine import writing
from connector.db.tables import Connection
from connector.run import run_connection
from sandbox import Sandbox
from tests.connector.site import Site

NOON = datetime(2026, 6, 10, 11, 0, tzinfo=UTC)


@pytest.fixture
def sandbox() -> Iterator[tuple[Sandbox, str]]:
    """A company with a customer who always paid late, and one who is long overdue."""
    made = Sandbox(now=NOON)
    where = made.xero.add_organisation("Small Works Ltd").tenant_id
    for name in ("Miller & Sons", "Baker Ltd"):
        made.xero.add_contact(
            name, email=f"ap@{name[:5].lower()}.example", country="United Kingdom", organisation=where
        )
    for name, amount, late, paid in (
        *(("Miller & Sons", "100", late, True) for late in (300, 200, 100, 60)),
        ("Miller & Sons", "1200.00", 12, False), ("Miller & Sons", "75", -20, False), ("Baker Ltd", "640", 41, False),
    ):  # fmt: skip
        due_on = NOON.date() - timedelta(days=late)
        dates = {"on": (due_on - timedelta(days=30)).isoformat(), "due_on": due_on.isoformat()}
        number = str(made.xero.add_invoice(name, amount, sent=True, organisation=where, **dates).number)
        if paid:
            made.xero.pay(number, "", organisation=where)
    with made.serve() as url:
        yield made, url


@pytest.fixture
def settings(sandbox: tuple[Sandbox, str]) -> dict[str, Any]:
    made, url = sandbox
    return {name.lower(): value for name, value in made.settings(url).items()}


def run_days(site: Site, made: Sandbox, days: int) -> None:
    """Connect, switch to live, and sync once a day."""
    request = begin_consent(site.app, "xero")
    url = f"{request.url}&sandbox_allow=1&sandbox_organisation={made.xero.organisations[-1].tenant_id}"
    back = requests.get(url, allow_redirects=False, timeout=20).headers["Location"]
    connection = finish_consent(site.app, "xero", urljoin(request.url, back))[0].id or 0
    run_connection(site.app, connection)
    set_mode(site.app, connection, "live", by="Ann")
    for _ in range(days):
        assert run_connection(site.app, connection).outcome == "ok"
        site.clock.advance(days=1)
        made.clock.advance(timedelta(days=1))


def test_responses_after_real_syncs_match_the_openapi_document(
    site: Site, sandbox: tuple[Sandbox, str], validate_reply: Any
) -> None:
    run_days(site, sandbox[0], 2)
    with writing(site.app.engine) as session:
        _row, token = api_tokens.create(session, "a test", "admin", by="Ann", at=site.clock.at)
        name = session.get_one(Connection, 1).short_name
    http = requests.Session()
    http.headers["Authorization"] = f"Bearer {token}"
    base = f"{site.base}/api/v1"
    document = http.get(f"{base}/openapi.json", timeout=20).json()
    shown: dict[str, Any] = {}

    def look(template: str, **places: str) -> Any:
        answer = http.get(base + template.format(**places), timeout=30)
        assert answer.ok, answer.text
        said = document["paths"][template]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        validate_reply(document, said, answer.json())
        shown.setdefault(template, []).append(answer.json())
        return answer.json()

    day = (site.clock.at.date() + timedelta(days=5)).isoformat()
    number = look("/invoices")["items"][0]["number"]
    assert http.post(f"{base}/invoices/{name}/{number}/promise", json={"promised_on": day}, timeout=20).ok
    for path in document["paths"]:
        if "{" not in path and "get" in document["paths"][path]:
            look(path)
    for item in look("/customers")["items"]:
        look("/customers/{connection}/{customer}", connection=name, customer=item["id"])
    for item in http.get(f"{base}/invoices?include_closed=true", timeout=20).json()["items"]:
        look("/invoices/{connection}/{invoice}", connection=name, invoice=item["id"])
    for item in look("/reports"):
        look("/reports/{report}", report=item["id"])
    for item in look("/outbox")["items"]:
        look("/outbox/{entry}", entry=item["id"])
    assert {"email", "note"} <= {item["kind"] for item in shown["/outbox"][0]["items"]}
    assert any(card["payment_behaviour"] for card in shown["/customers/{connection}/{customer}"])
    told = shown["/invoices/{connection}/{invoice}"]
    for part in (
        "applied",
        "timeline",
        "upcoming",
        "decision_audit",
        "agreements",
        "decision",
        "current_decision",
        "completed_steps",
        "outbox",
        "log",
    ):
        assert any(each[part] for each in told), part
    assert all(shown[path][0]["items"] for path in ("/runs", "/log", "/plan", "/customers", "/invoices"))
