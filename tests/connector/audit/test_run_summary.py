"""The story of a run: many things of one kind are summed up, nothing that needs a person is."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Engine
from sqlmodel import Session

from connector.audit import sync_log
from connector.audit.run_summary import summarise_run
from connector.db.engine import reading, writing
from connector.db.tables import Connection, CustomerRow, InvoiceDecisionRow, OutboxEntry, SyncRun
from connector.vocabulary import LogKind, OutboxKind, OutboxState
from policies.decisions import DecisionKind

NOW = datetime(2026, 11, 20, 15, tzinfo=UTC)


def _run(session: Session) -> tuple[Connection, int]:
    connection = Connection(short_name="elm", provider="xero", external_id="x", name="Elm Ltd", created_at=NOW)
    session.add(connection)
    session.flush()
    run = SyncRun(connection_id=connection.id or 0, started_at=NOW)
    session.add(run)
    session.flush()
    return connection, run.id or 0


def _done(session: Session, connection: Connection, run_id: int, kind: str, step: str, text: str) -> None:
    entry = OutboxEntry(
        connection_id=connection.id or 0,
        key=f"{kind}:{text}",
        kind=OutboxKind.EMAIL,
        state=OutboxState.DONE,
        customer_id="c",
        step=step,
        payload={},
        planned_at=NOW,
    )
    session.add(entry)
    session.flush()
    facts = {"entry": entry.id}
    here = connection.id
    sync_log.write(
        session, at=NOW, kind=LogKind(kind), text=text, connection_id=here, run_id=run_id, customer_id="c", facts=facts
    )


def _summary(engine: Engine, connection_id: int, run_id: int, numbers: dict[str, int]) -> list[str]:
    with reading(engine) as session:
        return summarise_run(session, session.get_one(Connection, connection_id), run_id, numbers)


def test_mails_are_counted_by_step_with_an_example_and_notes_are_counted_alone(engine: Engine) -> None:
    with writing(engine) as session:
        connection, run_id = _run(session)
        for number in range(9):
            _done(session, connection, run_id, "emailed", "past_due", f"Mailed: The friendly reminder {number}.")
            _done(session, connection, run_id, "noted", "past_due", f"Noted in the ledger: note {number}.")
        _done(session, connection, run_id, "emailed", "thank_you", "Mailed: The thank-you.")
        here = connection.id or 0
    story = _summary(engine, here, run_id, {"unchanged": 1, "calls_read": 1, "calls_mail": 10})
    assert story == [
        "Elm Ltd (xero, mode observe)",
        "  mailed      10 mails",
        "                9 x friendly reminder, e.g. The friendly reminder 0.",
        "                1 x thank-you: The thank-you.",
        "  noted       9 notes on invoices in the ledger",
        "  decided     not one fact has changed: every invoice's answer stands",
        "  calls       1 read, 10 mails",
    ]


def test_what_was_refused_is_told_one_by_one_and_a_flood_of_it_points_to_the_log(engine: Engine) -> None:
    with writing(engine) as session:
        connection, run_id = _run(session)
        for number in range(7):
            _done(session, connection, run_id, "provider_rejected", "past_due", f"Refused, not done: reason {number}")
        here = connection.id or 0
    story = _summary(engine, here, run_id, {"unchanged": 1})
    assert story[1:6] == [f"  refused     Refused, not done: reason {number}" for number in range(5)]
    assert story[6].strip() == "… and 2 more: duewell log"


def test_answers_are_told_in_plain_words_with_an_example(engine: Engine) -> None:
    with writing(engine) as session:
        connection, run_id = _run(session)
        here = connection.id or 0
        session.add(CustomerRow(connection_id=here, external_id="c", name="Oak"))
        for number in ("1", "2"):
            session.add(
                InvoiceDecisionRow(
                    connection_id=here,
                    invoice_id=number,
                    customer_id="c",
                    kind=DecisionKind.HOLD,
                    code="not_due_yet",
                    reason="Nothing due until 24 Nov 2026.",
                    run_id=run_id,
                    since_at=NOW,
                )
            )
    story = _summary(engine, here, run_id, {"decisions": 2})
    assert "  decided     2 invoices, each with its reason" in story
    assert any(line.endswith("2 wait for their day, e.g. Oak: Nothing due until 24 Nov 2026.") for line in story)


def test_a_run_that_ended_before_it_decided_does_not_claim_old_answers(engine: Engine) -> None:
    with writing(engine) as session:
        connection, run_id = _run(session)
        here = connection.id or 0
    assert _summary(engine, here, run_id, {})[1:] == ["  decided     nothing; the answers of the last run stand"]
