"""The summary of a run counts actions of one kind, and lists one by one what needs attention."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine
from sqlmodel import Session

from connector.audit import sync_log
from connector.audit.run_summary import format_outcome, summarise_run
from connector.db.engine import reading, writing
from connector.db.tables import Connection, CustomerRow, InvoiceDecisionRow, OutboxEntry, SyncRun
from connector.vocabulary import LogKind, OutboxKind, OutboxState, RunOutcome
from policies.decisions import DecisionKind

NOW = datetime(2026, 11, 20, 15, tzinfo=UTC)


def _create_run(session: Session) -> tuple[Connection, int]:
    connection = Connection(short_name="elm", provider="xero", external_id="x", name="Elm Ltd", created_at=NOW)
    session.add(connection)
    session.flush()
    run = SyncRun(connection_id=connection.id or 0, started_at=NOW)
    session.add(run)
    session.flush()
    return connection, run.id or 0


def _log_action(session: Session, connection: Connection, run_id: int, kind: LogKind, step: str, text: str) -> None:
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
    sync_log.write(
        session,
        at=NOW,
        kind=kind,
        text=text,
        connection_id=connection.id,
        run_id=run_id,
        customer_id="c",
        facts=facts,
    )


def _summary(engine: Engine, connection_id: int, run_id: int, counts: dict[str, int]) -> list[str]:
    with reading(engine) as session:
        return summarise_run(session, session.get_one(Connection, connection_id), run_id, counts)


def test_emails_are_counted_by_step_with_an_example_and_notes_are_only_counted(engine: Engine) -> None:
    with writing(engine) as session:
        connection, run_id = _create_run(session)
        for number in range(9):
            _log_action(session, connection, run_id, LogKind.EMAILED, "past_due", f"Emailed: Reminder {number}.")
            _log_action(session, connection, run_id, LogKind.NOTED, "past_due", f"Noted in the ledger: note {number}.")
        _log_action(session, connection, run_id, LogKind.EMAILED, "thank_you", "Emailed: Thank you.")
        company = connection.id or 0
    summary = _summary(engine, company, run_id, {"unchanged": 1, "calls_read": 1, "calls_email": 10})
    assert summary == [
        "Elm Ltd (Xero, mode: observe)",
        "  emails      10 emails sent",
        "                9 × first reminder, e.g. Reminder 0.",
        "                1 × thank-you email: Thank you.",
        "  notes       9 notes added to invoices",
        "  decisions   nothing has changed; all decisions stand",
        "  calls       1 read, 10 emails",
    ]


def test_rejections_are_listed_one_by_one_and_many_of_them_point_to_the_log(engine: Engine) -> None:
    with writing(engine) as session:
        connection, run_id = _create_run(session)
        for number in range(7):
            text = f"Rejected: reason {number}"
            _log_action(session, connection, run_id, LogKind.PROVIDER_REJECTED, "past_due", text)
        company = connection.id or 0
    summary = _summary(engine, company, run_id, {"unchanged": 1})
    assert summary[1:6] == [f"  rejected    Rejected: reason {number}" for number in range(5)]
    assert summary[6].strip() == "… and 2 more: duewell log"


def test_decisions_are_counted_by_their_labels_with_an_example(engine: Engine) -> None:
    with writing(engine) as session:
        connection, run_id = _create_run(session)
        company = connection.id or 0
        session.add(CustomerRow(connection_id=company, external_id="c", name="Oak"))
        for number in ("1", "2"):
            session.add(
                InvoiceDecisionRow(
                    connection_id=company,
                    invoice_id=number,
                    customer_id="c",
                    kind=DecisionKind.HOLD,
                    code="not_due_yet",
                    reason="Nothing due until 24 Nov 2026.",
                    run_id=run_id,
                    since_at=NOW,
                )
            )
    summary = _summary(engine, company, run_id, {"decisions": 2})
    assert "  decisions   2 invoices, each with its reason" in summary
    example = "2 × next step not due yet, e.g. Oak: Nothing due until 24 Nov 2026."
    assert any(line.endswith(example) for line in summary)
    some = _summary(engine, company, run_id, {"decisions": 1, "customers": 1})
    assert "1 customer looked at (1 invoice); nothing has changed for the others, whose decisions stand" in some[2]


def test_a_run_that_ended_before_it_decided_does_not_claim_earlier_decisions(engine: Engine) -> None:
    with writing(engine) as session:
        connection, run_id = _create_run(session)
        company = connection.id or 0
    assert _summary(engine, company, run_id, {})[1:] == ["  decisions   none; those of the last run stand"]


@pytest.mark.parametrize(
    ("outcome", "counts", "expected"),
    [
        (RunOutcome.OK, {}, "Completed: nothing to send."),
        (RunOutcome.OK, {"emailed": 2, "noted": 1}, "Completed: 2 emails sent, 1 note added."),
        (RunOutcome.DEFERRED, {}, "Deferred. Try later."),
        (RunOutcome.ACTION_REQUIRED, {"unconfirmed": 1}, "Action required: 1 delivery unconfirmed. Try later."),
    ],
)
def test_an_outcome_is_one_sentence(outcome: RunOutcome, counts: dict[str, int], expected: str) -> None:
    reason = "" if outcome == RunOutcome.OK else "Try later."
    assert format_outcome(outcome, reason, counts) == expected
