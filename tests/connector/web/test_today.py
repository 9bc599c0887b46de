"""The first page: what needs attention, what was sent, what is next."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from connector.db.tables import CustomerRow, InvoiceDecisionRow, OutboxEntry, SyncRun, Task
from connector.vocabulary import OutboxState, RunOutcome, TaskCode
from policies.decisions import DecisionKind
from policies.receivables import Step

Site = Any


def build_entry(site: Site, company: int, number: int, state: str, **more: Any) -> OutboxEntry:
    given = {
        "kind": "email",
        "step": "past_due",
        "customer_id": f"c{number % 7}",
        "reason": f"reason {company}-{number}",
        "payload": {"to": [], "completed": [], "listed": []},
        "planned_at": site.clock.at,
        **more,
    }
    return OutboxEntry(connection_id=company, key=f"{company}:{number}", state=OutboxState(state), **given)


def test_an_owner_without_a_company_sees_how_to_start(site: Site) -> None:
    owner = site.sign_in("owner")
    assert "Connect your first company" in owner.get("/").text
    assert "Connect your first company" not in site.sign_in("viewer").get("/").text


def test_it_shows_what_needs_attention_what_was_sent_and_what_is_next(site: Site) -> None:
    north = site.add_company("North <b>Ltd</b>", mode="live")
    south = site.add_company(
        "South Ltd", health="authorization_expired", health_reason="Xero says the consent was withdrawn."
    )
    site.add_company("East Ltd", synced_at=site.clock.at - timedelta(days=2))
    at, soon = site.clock.at, site.clock.at + timedelta(hours=20)
    site.add_rows(
        CustomerRow(connection_id=north, external_id="c1", name="Miller & Sons"),
        build_entry(site, north, 1, "awaiting_approval"),
        build_entry(site, north, 2, "unconfirmed"),
        build_entry(site, north, 3, "done", ended_at=at - timedelta(hours=3), customer_id="c1"),
        build_entry(site, north, 4, "done", ended_at=at - timedelta(days=3)),
        build_entry(site, north, 5, "planned", send_after=soon),
        Task(
            connection_id=south,
            key="t",
            code=TaskCode.CALL,
            customer_id="c9",
            invoice_ids=[],
            due_on=at.date(),
            reason="Call them",
            created_at=at,
        ),
        SyncRun(connection_id=north, started_at=at, outcome=RunOutcome.FAILED, reason="The disk is full."),
        InvoiceDecisionRow(
            connection_id=north,
            invoice_id="i",
            customer_id="c1",
            kind=DecisionKind.HOLD,
            code="later",
            next_step=Step.SECOND_NOTICE,
            next_on=(at + timedelta(days=3)).date(),
            run_id=1,
            since_at=at,
        ),
    )
    browser = site.sign_in("viewer")
    page, text = browser.get("/").text, browser.text
    assert "<b>Ltd</b>" not in page
    assert "1 to approve" in text
    assert "1 unconfirmed" in text
    assert "the consent was withdrawn" in text
    assert "The disk is full." in text
    assert "Last synced on 8 Jun" in text
    assert "Call them" in text
    assert "Miller & Sons" in text
    assert "reason 1-3" in text
    assert "reason 1-4" not in text
    assert "reason 1-5" in text
    assert "Second notice" in text


def test_nothing_to_do(site: Site) -> None:
    site.add_company("North Ltd", mode="live")
    browser = site.sign_in("viewer")
    browser.get("/")
    assert "Nothing. All companies sync automatically." in browser.text


def test_the_number_of_queries_does_not_depend_on_the_number_of_companies(site: Site, count_queries: Any) -> None:
    browser = site.sign_in("viewer")
    first = site.add_company("Company 0")
    site.add_rows(*(build_entry(site, first, number, "awaiting_approval") for number in range(5)))
    few = count_queries(lambda: browser.get("/"))
    for number in range(1, 30):
        company = site.add_company(f"Company {number}")
        site.add_rows(
            *(
                build_entry(site, company, each, state)
                for each, state in enumerate(["awaiting_approval", "unconfirmed", "planned"])
            )
        )
    assert count_queries(lambda: browser.get("/")) == few
    assert few <= 14


def test_recently_sent_entries_are_found_by_an_index(site: Site) -> None:
    from sqlalchemy import event  # noqa: PLC0415

    from connector.connections.registry import list_connected  # noqa: PLC0415
    from connector.db.engine import reading  # noqa: PLC0415
    from connector.services.today import load_dashboard  # noqa: PLC0415

    site.add_company("North Ltd")
    plans: list[str] = []

    def note(_c: Any, cursor: Any, statement: str, parameters: Any, *_more: Any) -> None:
        if "outbox.ended_at >=" in statement:
            cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans.append(" ".join(str(row[3]) for row in cursor.fetchall()))

    event.listen(site.app.engine, "before_cursor_execute", note)
    with reading(site.app.engine) as session:
        load_dashboard(session, list_connected(session), site.clock.at)
    event.remove(site.app.engine, "before_cursor_execute", note)
    assert len(plans) == 2
    assert all("ix_outbox_state (connection_id=? AND state=? AND ended_at>?)" in plan for plan in plans), plans
