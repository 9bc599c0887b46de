"""The morning's review: what waits, what went out, what goes out."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from connector.tables import AnswerRow, CustomerRow, OutboxEntry, SyncRun, Task

Office = Any


def entry(office: Office, company: int, number: int, state: str, **more: Any) -> OutboxEntry:
    given = {
        "kind": "mail",
        "step": "past_due",
        "customer_id": f"c{number % 7}",
        "why": f"reason {company}-{number}",
        "payload": {"to": [], "taken": [], "listed": []},
        "planned_at": office.clock.at,
        **more,
    }
    return OutboxEntry(connection_id=company, key=f"{company}:{number}", state=state, **given)


def test_an_owner_without_a_company_is_told_how_to_begin(office: Office) -> None:
    owner = office.signed_in("owner")
    assert "Connect the first one" in owner.get("/").text
    assert "Connect the first one" not in office.signed_in("viewer").get("/").text


def test_it_shows_what_waits_what_went_out_and_what_goes_out_next(office: Office) -> None:
    north = office.company("North <b>Ltd</b>", mode="live")
    south = office.company("South Ltd", health="reconnect", health_why="Xero says the consent was withdrawn.")
    office.company("East Ltd", pulled_at=office.clock.at - timedelta(days=2))
    at, soon = office.clock.at, office.clock.at + timedelta(hours=20)
    office.store(
        CustomerRow(connection_id=north, external_id="c1", name="Miller & Sons"),
        entry(office, north, 1, "waiting"),
        entry(office, north, 2, "doubt"),
        entry(office, north, 3, "done", ended_at=at - timedelta(hours=3), customer_id="c1"),
        entry(office, north, 4, "done", ended_at=at - timedelta(days=3)),
        entry(office, north, 5, "planned", leaves_from_at=soon),
        Task(
            connection_id=south, key="t", code="call", customer_id="c9", invoice_ids=[], due_on=at.date(),
            why="Ring him", made_at=at,
        ),
        SyncRun(connection_id=north, started_at=at, outcome="failed", why="The disk is full."),
        AnswerRow(
            connection_id=north, invoice_id="i", customer_id="c1", kind="hold", code="later", next_step="second_notice",
            next_on=(at + timedelta(days=3)).date(), run_id=1, since_at=at,
        ),
    )  # fmt: skip
    browser = office.signed_in("viewer")
    page, text = browser.get("/").text, browser.text
    assert "<b>Ltd</b>" not in page
    assert "1 to approve" in text
    assert "1 in doubt" in text
    assert "the consent was withdrawn" in text
    assert "The disk is full." in text
    assert "Its books were last read on 8 Jun" in text
    assert "Ring him" in text
    assert "Miller & Sons" in text
    assert "reason 1-3" in text
    assert "reason 1-4" not in text
    assert "reason 1-5" in text
    assert "second notice" in text


def test_a_quiet_morning_says_so(office: Office) -> None:
    office.company("North Ltd", mode="live")
    browser = office.signed_in("viewer")
    browser.get("/")
    assert "Nothing. Every company's hour does its work by itself." in browser.text


def test_it_asks_the_database_as_often_for_thirty_companies_as_for_one(office: Office, queries_of: Any) -> None:
    browser = office.signed_in("viewer")
    first = office.company("Company 0")
    office.store(*(entry(office, first, number, "waiting") for number in range(5)))
    few = queries_of(lambda: browser.get("/"))
    for number in range(1, 30):
        company = office.company(f"Company {number}")
        office.store(
            *(entry(office, company, each, state) for each, state in enumerate(["waiting", "doubt", "planned"]))
        )
    assert queries_of(lambda: browser.get("/")) == few
    assert few <= 14


def test_what_went_out_lately_is_found_without_reading_all_that_ever_did(office: Office) -> None:
    from sqlalchemy import event  # noqa: PLC0415

    from connector.access.connections import connected  # noqa: PLC0415
    from connector.database import reading  # noqa: PLC0415
    from connector.people.today import review  # noqa: PLC0415

    office.company("North Ltd")
    plans: list[str] = []

    def note(_c: Any, cursor: Any, statement: str, parameters: Any, *_more: Any) -> None:
        if "outbox.ended_at >=" in statement:
            cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans.append(" ".join(str(row[3]) for row in cursor.fetchall()))

    event.listen(office.installation.engine, "before_cursor_execute", note)
    with reading(office.installation.engine) as session:
        review(session, connected(session), office.clock.at)
    event.remove(office.installation.engine, "before_cursor_execute", note)
    assert len(plans) == 2
    assert all("ix_outbox_state (connection_id=? AND state=? AND ended_at>?)" in plan for plan in plans), plans
