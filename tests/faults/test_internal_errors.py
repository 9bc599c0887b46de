"""Internal errors: one stops one effect and no other, every run ends, and nothing is left unfinished."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from unittest.mock import Mock

import pytest
from sqlalchemy import select, text, update
from sqlmodel import col

from connector.arrangements.customer_settings import update_settings
from connector.connections.registry import disconnect
from connector.db.engine import reading, writing
from connector.db.tables import Connection, InvoiceDecisionRow, InvoiceRow, SyncRun, Task
from connector.emails.outbound import compose
from connector.emails.outbound.ledger_documents import Documents
from connector.evaluation.evaluate import decide_again
from connector.runtime import lease
from connector.runtime.run_context import RunContext
from connector.vocabulary import ConnectionHealth, OutboxKind, RunOutcome, TaskCode
from providers.mailer import Email
from sandbox.faults import Rule
from tests.connector.scenario import Scenario
from tests.faults.conftest import FastScenarioFactory

START = datetime(2026, 6, 1, 11, 0, tzinfo=UTC)


@pytest.fixture(params=["xero", "quickbooks"])
def scenario(request: pytest.FixtureRequest, fast_scenario_at: FastScenarioFactory) -> Iterator[Scenario]:
    with fast_scenario_at(START, request.param) as scenario:
        add_late_invoice(scenario, "Ashdown Ltd")
        yield scenario.go_live()


def add_late_invoice(scenario: Scenario, name: str) -> str:
    return scenario.company.invoice(scenario.company.customer(name), "300.00", due_on=scenario.days_ago(9))


def run_outcomes(scenario: Scenario) -> list[RunOutcome | None]:
    with reading(scenario.app.engine) as session:
        return [run.outcome for run in session.scalars(select(SyncRun).order_by(col(SyncRun.id)))]


def test_an_email_that_breaks_our_code_does_not_stop_the_others(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_late_invoice(scenario, "Birch Ltd")
    original, composed = compose.compose_entry, list[int]()

    def first_breaks(
        composing: compose.Composing, documents: Documents, entry_id: int, *, all_companies: bool = False
    ) -> Email:
        composed.append(entry_id)
        if entry_id == composed[0]:
            raise KeyError("a secret of a record")
        return original(composing, documents, entry_id, all_companies=all_companies)

    with monkeypatch.context() as patch:
        patch.setattr(compose, "compose_entry", first_breaks)
        result = scenario.run()
    assert result.outcome == RunOutcome.FAILED
    assert "secret" not in result.reason
    assert len(scenario.customer_emails()) == 1
    assert run_outcomes(scenario)[-1] == RunOutcome.FAILED
    scenario.sandbox.clock.advance(timedelta(hours=1))
    assert scenario.run().outcome == RunOutcome.OK
    assert len(scenario.customer_emails()) == 2


def test_a_run_that_breaks_fails_and_the_next_one_continues(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(_ctx: RunContext) -> None:
        raise KeyError

    with monkeypatch.context() as patch:
        patch.setattr("connector.sync.pull.pull_changes", breaks)
        result = scenario.run()
    assert result.outcome == RunOutcome.FAILED
    assert run_outcomes(scenario)[-1] == RunOutcome.FAILED
    assert scenario.run().outcome == RunOutcome.OK
    assert len(scenario.customer_emails()) == 1


def test_a_killed_run_is_ended_by_the_next(scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(_ctx: RunContext) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("connector.sync.pull.pull_changes", killed)
        with pytest.raises(KeyboardInterrupt):
            scenario.run()
    assert run_outcomes(scenario)[-1] is None
    scenario.run()
    assert None not in run_outcomes(scenario)


def test_a_note_that_cannot_be_searched_for_does_not_stop_the_run(scenario: Scenario) -> None:
    if scenario.company.provider == "quickbooks":
        pytest.skip("QuickBooks searches notes by query, which a deleted invoice does not break")
    scenario.sandbox.faults.add(Rule("drop_before", service="xero", method="PUT", path="/History$", times=2))
    scenario.run()
    scenario.sandbox.faults.refuse(404, times=0, service="xero", method="GET", path="/History$")
    add_late_invoice(scenario, "Birch Ltd")
    scenario.sandbox.clock.advance(timedelta(hours=1))
    scenario.run()
    assert len(scenario.customer_emails()) == 2
    assert [entry.kind for entry in scenario.outbox("unconfirmed")] == [OutboxKind.NOTE]


def test_planned_notes_are_written_when_only_the_reserve_of_calls_is_left(scenario: Scenario) -> None:
    if scenario.company.provider == "quickbooks":
        pytest.skip("QuickBooks has no daily limit")
    number = scenario.company.numbers[0]
    scenario.sandbox.faults.add(Rule("drop_before", service="xero", path="/History$", times=1, method="PUT"))
    scenario.sandbox.faults.refuse(
        429, service="xero", path="/History$", headers={"Retry-After": "3600"}, nth=1, times=1
    )
    scenario.run()
    scenario.sandbox.faults.clear()
    assert scenario.company.notes(number) == []
    scenario.sandbox.faults.refuse(503, service="xero", path="/Invoices$", times=0)
    scenario.sandbox.clock.advance(timedelta(hours=2))
    assert scenario.run().outcome == RunOutcome.DEFERRED
    assert len(scenario.company.notes(number)) == 1


def test_a_clock_that_was_a_year_ahead_does_not_stop_a_company_for_a_year(scenario: Scenario) -> None:
    now = scenario.sandbox.clock.now()
    far = now + timedelta(days=365)
    with writing(scenario.app.engine) as session:
        session.execute(update(Connection).values(next_run_at=far, lease_until_at=far, lease_owner="elsewhere:1"))
    with reading(scenario.app.engine) as session:
        assert lease.list_due(session, now, 5) == [scenario.connection]
    assert scenario.run().outcome == RunOutcome.OK


def test_a_company_disconnected_during_a_run_stays_disconnected(scenario: Scenario) -> None:
    scenario.sandbox.faults.call(
        lambda _request: disconnect(scenario.app, scenario.connection), times=1, service="sendgrid", kind="email"
    )
    scenario.run()
    with reading(scenario.app.engine) as session:
        assert session.get_one(Connection, scenario.connection).health == ConnectionHealth.DISCONNECTED


def test_an_email_service_that_hangs_leaves_only_a_few_deliveries_unconfirmed(scenario: Scenario) -> None:
    for number in range(6):
        add_late_invoice(scenario, f"Late{number} Ltd")
    scenario.sandbox.faults.add(Rule("drop_before", service="sendgrid", kind="email", times=0))
    scenario.run()
    assert len([entry for entry in scenario.outbox("unconfirmed") if entry.kind == OutboxKind.EMAIL]) == 3
    scenario.sandbox.faults.clear()
    scenario.sandbox.clock.advance(timedelta(hours=1))
    scenario.run()
    assert len(scenario.customer_emails()) == 4


@pytest.mark.parametrize("scenario", ["xero"], indirect=True)
def test_a_customer_whose_rows_cannot_be_read_is_skipped_alone_and_becomes_a_task(scenario: Scenario) -> None:
    broken = add_late_invoice(scenario, "Birch Ltd")
    add_late_invoice(scenario, "Cole Ltd")
    assert scenario.run(dry_run=True).outcome == RunOutcome.OK
    with reading(scenario.app.engine) as session:
        customer = session.scalars(select(InvoiceRow).where(col(InvoiceRow.number) == broken)).one().customer_id
    update_settings(scenario.app, scenario.connection, customer, {"hold_until_on": date(2030, 1, 1)}, by="Ann")
    corrupt = text("UPDATE customer_setting SET hold_until_on = :day")
    with scenario.app.engine.begin() as connection:
        connection.execute(corrupt, {"day": "2026-13-77"})
    for _run in range(2):
        result = scenario.run()
        assert result.outcome == RunOutcome.FAILED
        assert "ValueError" in result.reason
        scenario.sandbox.clock.advance(timedelta(hours=1))
    assert {to for (to,), _subject in scenario.customer_emails()} == {
        "accounts@ashdown.example",
        "accounts@cole.example",
    }
    with scenario.app.engine.begin() as connection:
        [reason] = connection.execute(
            select(col(Task.reason)).where(col(Task.code) == TaskCode.UNREADABLE_DATA)
        ).scalars()
        assert "cannot be read (ValueError)" in reason
        decisions = select(col(InvoiceDecisionRow.code)).join(
            InvoiceRow, col(InvoiceRow.external_id) == InvoiceDecisionRow.invoice_id
        )
        assert connection.execute(decisions.where(col(InvoiceRow.number) == broken)).scalars().all() == [
            "decision_failed"
        ]
        connection.execute(corrupt, {"day": "2026-01-01"})
    assert scenario.run().outcome == RunOutcome.OK
    assert len(scenario.customer_emails()) == 3


@pytest.mark.parametrize("scenario", ["xero"], indirect=True)
def test_an_invoice_that_changes_its_customer_keeps_one_decision(scenario: Scenario) -> None:
    add_late_invoice(scenario, "Birch Ltd")
    scenario.run()
    with writing(scenario.app.engine) as session:
        moved, other = session.scalars(select(InvoiceRow).order_by(col(InvoiceRow.number))).all()
        moved.customer_id = other.customer_id
        ctx = RunContext(
            app=scenario.app,
            lease=lease.Lease(scenario.app, scenario.connection, 0),
            connection_id=scenario.connection,
            run_id=1,
            ledger_key=scenario.company.provider,
            ledger=Mock(),
            mailer=None,
            budget=Mock(),
            started_at=scenario.sandbox.clock.now(),
            pacer=Mock(),
        )
        decide_again(ctx, session, [other.customer_id])
        decisions = {row.invoice_id: row.customer_id for row in session.scalars(select(InvoiceDecisionRow))}
    assert decisions[moved.external_id] == other.customer_id
    assert len(decisions) == 2
