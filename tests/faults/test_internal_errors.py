"""A fault of our own: it stops one effect and nobody else's, every run has an end, and nothing is left behind."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from unittest.mock import Mock

import pytest
from sqlalchemy import select, text, update
from sqlmodel import col

from connector.arrangements.customer_settings import update_settings
from connector.connections.registry import disconnect
from connector.db.engine import reading, writing
from connector.db.tables import Connection, InvoiceDecisionRow, InvoiceRow, SyncRun, Task
from connector.emails.outbound import compose
from connector.evaluation.evaluate import decide_again
from connector.runtime import lease
from connector.runtime.run_context import RunContext
from connector.vocabulary import ConnectionHealth
from sandbox.faults import Rule

START = datetime(2026, 6, 1, 11, 0, tzinfo=UTC)


@pytest.fixture(params=["xero", "quickbooks"])
def town(request: pytest.FixtureRequest, quick_town: Any) -> Any:
    with quick_town(START, request.param) as made:
        add_late_invoice(made, "Ashdown Ltd")
        yield made.go_live()


def add_late_invoice(town: Any, name: str) -> str:
    on = town.sandbox.clock.now().date() - timedelta(days=9)
    number: str = town.company.invoice(town.company.customer(name), "300.00", due_on=on)
    return number


def run_outcomes(town: Any) -> list[str]:
    with reading(town.app.engine) as session:
        return [run.outcome or "" for run in session.scalars(select(SyncRun).order_by(col(SyncRun.id)))]


def test_a_mail_that_breaks_our_code_does_not_stop_the_others(town: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    add_late_invoice(town, "Birch Ltd")
    original, composed = compose.compose_entry, list[int]()

    def first_breaks(ctx: Any, documents: Any, entry_id: int) -> Any:
        composed.append(entry_id)
        if entry_id == composed[0]:
            raise KeyError("a secret of a record")
        return original(ctx, documents, entry_id)

    with monkeypatch.context() as within:
        within.setattr("connector.emails.outbound.compose.compose_entry", first_breaks)
        result = town.run()
    assert result.outcome == "failed"
    assert "secret" not in result.reason
    assert len(town.customer_emails()) == 1
    assert run_outcomes(town)[-1] == "failed"
    town.sandbox.clock.advance(timedelta(hours=1))
    assert town.run().outcome == "ok"
    assert len(town.customer_emails()) == 2


def test_a_run_that_breaks_ends_as_failed_and_the_next_one_goes_on(town: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(_hour: Any) -> None:
        raise KeyError

    with monkeypatch.context() as within:
        within.setattr("connector.sync.pull.pull_changes", breaks)
        result = town.run()
    assert result.outcome == "failed"
    assert run_outcomes(town)[-1] == "failed"
    assert town.run().outcome == "ok"
    assert len(town.customer_emails()) == 1


def test_a_run_that_was_killed_gets_an_end_by_the_next(town: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(_hour: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as within:
        within.setattr("connector.sync.pull.pull_changes", killed)
        with pytest.raises(KeyboardInterrupt):
            town.run()
    assert run_outcomes(town)[-1] == ""
    town.run()
    assert "" not in run_outcomes(town)


def test_a_note_that_cannot_be_looked_up_does_not_hold_up_the_run(town: Any) -> None:
    if town.company.provider == "quickbooks":
        pytest.skip("QuickBooks looks for notes by query, which a deleted invoice does not break")
    town.sandbox.faults.add(Rule("drop_before", service="xero", method="PUT", path="/History$", times=2))
    town.run()
    town.sandbox.faults.refuse(404, times=0, service="xero", method="GET", path="/History$")
    add_late_invoice(town, "Birch Ltd")
    town.sandbox.clock.advance(timedelta(hours=1))
    town.run()
    assert len(town.customer_emails()) == 2
    assert [entry.kind for entry in town.outbox("unconfirmed")] == ["note"]


def test_notes_owed_are_written_when_only_the_reserve_of_calls_is_left(town: Any) -> None:
    if town.company.provider == "quickbooks":
        pytest.skip("QuickBooks has no allowance of a day")
    number = town.company.numbers[0]
    town.sandbox.faults.add(Rule("drop_before", service="xero", path="/History$", times=1, method="PUT"))
    town.sandbox.faults.refuse(429, service="xero", path="/History$", headers={"Retry-After": "3600"}, nth=1, times=1)
    town.run()
    town.sandbox.faults.clear()
    assert town.company.notes(number) == []
    town.sandbox.faults.refuse(503, service="xero", path="/Invoices$", times=0)
    town.sandbox.clock.advance(timedelta(hours=2))
    assert town.run().outcome == "deferred"
    assert len(town.company.notes(number)) == 1


def test_a_clock_that_was_a_year_ahead_does_not_stop_a_company_for_a_year(town: Any) -> None:
    now = town.sandbox.clock.now()
    far = now + timedelta(days=365)
    with writing(town.app.engine) as session:
        session.execute(update(Connection).values(next_run_at=far, lease_until_at=far, lease_owner="elsewhere:1"))
    with reading(town.app.engine) as session:
        assert lease.list_due(session, now, 5) == [town.connection]
    assert town.run().outcome == "ok"


def test_who_is_disconnected_during_a_run_stays_so(town: Any) -> None:
    town.sandbox.faults.call(
        lambda _request: disconnect(town.app, town.connection), times=1, service="sendgrid", kind="email"
    )
    town.run()
    with reading(town.app.engine) as session:
        assert session.get_one(Connection, town.connection).health == ConnectionHealth.DISCONNECTED


def test_a_mail_system_that_hangs_makes_a_few_doubts_and_not_a_doubt_of_every_mail(town: Any) -> None:
    for number in range(6):
        add_late_invoice(town, f"Late{number} Ltd")
    town.sandbox.faults.add(Rule("drop_before", service="sendgrid", kind="email", times=0))
    town.run()
    assert len([entry for entry in town.outbox("unconfirmed") if entry.kind == "email"]) == 3
    town.sandbox.faults.clear()
    town.sandbox.clock.advance(timedelta(hours=1))
    town.run()
    assert len(town.customer_emails()) == 4


@pytest.mark.parametrize("scenario", ["xero"], indirect=True)
def test_a_customer_whose_rows_cannot_be_read_is_left_out_alone_and_a_person_is_told(town: Any) -> None:
    broken = add_late_invoice(town, "Birch Ltd")
    add_late_invoice(town, "Cole Ltd")
    assert town.run(dry_run=True).outcome == "ok"
    with reading(town.app.engine) as session:
        customer = session.scalars(select(InvoiceRow).where(col(InvoiceRow.number) == broken)).one().customer_id
    update_settings(town.app, town.connection, customer, {"hold_until_on": date(2030, 1, 1)}, by="Ann")
    spoil = text("UPDATE customer_setting SET hold_until_on = :day")
    with town.app.engine.begin() as connection:
        connection.execute(spoil, {"day": "2026-13-77"})
    for _hour in range(2):
        result = town.run()
        assert result.outcome == "failed"
        assert "ValueError" in result.reason
        town.sandbox.clock.advance(timedelta(hours=1))
    assert {to for (to,), _subject in town.customer_emails()} == {"accounts@ashdown.example", "accounts@cole.example"}
    with town.app.engine.begin() as connection:
        [reason] = connection.execute(select(col(Task.reason)).where(col(Task.code) == "odd")).scalars()
        assert "cannot be read (ValueError)" in reason
        answers = select(col(InvoiceDecisionRow.code)).join(
            InvoiceRow, col(InvoiceRow.external_id) == InvoiceDecisionRow.invoice_id
        )
        assert connection.execute(answers.where(col(InvoiceRow.number) == broken)).scalars().all() == ["odd"]
        connection.execute(spoil, {"day": "2026-01-01"})
    assert town.run().outcome == "ok"
    assert len(town.customer_emails()) == 3


@pytest.mark.parametrize("scenario", ["xero"], indirect=True)
def test_an_invoice_that_changes_its_customer_keeps_one_answer(town: Any) -> None:
    add_late_invoice(town, "Birch Ltd")
    town.run()
    with writing(town.app.engine) as session:
        moved, other = session.scalars(select(InvoiceRow).order_by(col(InvoiceRow.number))).all()
        moved.customer_id = other.customer_id
        ctx = RunContext(
            app=town.app,
            lease=lease.Lease(town.app, town.connection, 0),
            connection_id=town.connection,
            run_id=1,
            ledger_key=town.company.provider,
            ledger=Mock(),
            mailer=None,
            budget=Mock(),
            started_at=town.sandbox.clock.now(),
        )
        decide_again(ctx, session, [other.customer_id])
        answers = {row.invoice_id: row.customer_id for row in session.scalars(select(InvoiceDecisionRow))}
    assert answers[moved.external_id] == other.customer_id
    assert len(answers) == 2
