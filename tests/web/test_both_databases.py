"""What the pages ask, asked of SQLite and of PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine

from connector import sync_log
from connector.access.connections import connected
from connector.access.sign_in import make_link, whose_link
from connector.access.users import add_user, person_of
from connector.database import reading, writing
from connector.people import log_search, outbox_search, switching
from connector.people.today import review
from connector.tables import AnswerRow, Connection, CustomerRow, InvoiceRow, OutboxEntry, SyncRun, Task

NOON = datetime(2026, 6, 10, 11, 0, tzinfo=UTC)


def company(session: Any, name: str) -> int:
    row = Connection(short_name=name, provider="xero", external_id=name, name=name, mode="live", created_at=NOON)
    session.add(row)
    session.flush()
    return row.id or 0


def test_pages_find_the_same_on_both(engine: Engine) -> None:
    with writing(engine) as session:
        one, two = company(session, "one"), company(session, "two")
        run = SyncRun(connection_id=one, started_at=NOON, outcome="ok")
        session.add(run)
        session.flush()
        shared: dict[str, Any] = {
            "connection_id": one,
            "customer_id": "c",
            "currency": "GBP",
            "payload": {"due": {"i": "5.00"}},
        }
        session.add_all(
            [
                CustomerRow(connection_id=one, external_id="c", name="Miller"),
                InvoiceRow(
                    connection_id=one, external_id="i", number="I-1", customer_id="c", currency="GBP",
                    issued_on=NOON.date(), due_e4=50_000, status="open", is_open=True,
                ),
                AnswerRow(
                    connection_id=one, invoice_id="i", customer_id="c", kind="hold", code="later",
                    next_step="past_due", next_on=NOON.date() + timedelta(days=2), run_id=run.id or 0, since_at=NOON,
                ),
                Task(
                    connection_id=two, key="t", code="call", customer_id="c", invoice_ids=[], due_on=NOON.date(),
                    made_at=NOON,
                ),
                OutboxEntry(key="1", kind="mail", step="past_due", state="waiting", planned_at=NOON, **shared),
                OutboxEntry(
                    key="2", kind="mail", step="past_due", state="done", planned_at=NOON, ended_at=NOON, **shared
                ),
            ]
        )  # fmt: skip
        for number in range(3):
            sync_log.write(
                session,
                at=NOON,
                kind="mailed",
                text=f"Line {number}",
                connection_id=one,
                run_id=run.id,
                customer_id="c",
            )
    with reading(engine) as session:
        rows = connected(session)
        found = review(session, rows, NOON + timedelta(hours=1))
        assert [(each.approvals, each.tasks) for each in found.companies] == [(1, 0), (0, 1)]
        assert (found.sent_counts, len(found.sent), found.coming[0][1:]) == ({"mail": 1}, 1, ("past_due", 1))
        for wanted in (
            log_search.Wanted(companies=[one, two], text="LINE"),
            log_search.Wanted(companies=[one], customer="mill"),
            log_search.Wanted(since_at=NOON, until_at=NOON + timedelta(days=1), kind="mailed"),
        ):
            assert [row.text for row in log_search.lines(session, wanted).rows] == ["Line 2", "Line 1", "Line 0"]
        assert len(log_search.runs(session, log_search.Wanted(companies=[one, two])).rows) == 1
        left = outbox_search.entries(session, [one, two], states=("done",))
        assert [(each.customer, each.sums) for each in left.rows] == [("Miller", [("5.00", "GBP")])]
        assert outbox_search.counts(session, [one, two]) == {"waiting": 1}
        outlook = switching.outlook(session, rows[0], NOON.date())
        assert [(each.count, str(each.amount)) for each in (*outlook.planned, *outlook.coming)] == [(1, "5.00")] * 2


def test_a_user_and_his_link_are_the_same_on_both(engine: Engine) -> None:
    with writing(engine) as session:
        one = company(session, "one")
        user = add_user(session, "Bob@Example.com", "viewer", companies=[one], by="a test", at=NOON)
        token = make_link(session, user, NOON)
    with reading(engine) as session:
        _link, found = whose_link(session, token, NOON + timedelta(hours=23))
        assert found is not None
        assert person_of(session, found).companies == frozenset({one})
