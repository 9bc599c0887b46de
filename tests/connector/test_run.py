"""A sync as its users see it: the ledger is read, emails, notes and fees are sent once, and never to who has paid."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import select
from sqlmodel import col

from connector.connections.registry import set_mode
from connector.db.engine import reading, writing
from connector.db.tables import Connection, CreditRow, InvoiceDecisionRow, InvoiceRow, PaymentRow, SyncRun, Task
from connector.runtime.run_context import RunContext
from connector.vocabulary import ConnectionHealth, ConnectionMode, OutboxKind, OutboxState, RunOutcome
from providers.errors import TransientError
from tests.connector.scenario import Scenario, days


def load_connection(scenario: Scenario) -> Connection:
    with reading(scenario.app.engine) as session:
        return session.get_one(Connection, scenario.connection)


def test_a_late_customer_gets_one_email_and_the_invoice_one_note(late_customer: Scenario) -> None:
    result = late_customer.run()
    assert result.outcome is RunOutcome.OK
    assert [to for to, _subject in late_customer.customer_emails()] == [("accounts@ashdown.example",)]
    [note] = late_customer.company.notes(late_customer.number)
    assert note.startswith("First reminder emailed to accounts@ashdown.example on 10 Jun 2026")
    assert len(note) <= 250
    [entry] = [entry for entry in late_customer.outbox("done") if entry.kind == OutboxKind.EMAIL]
    assert late_customer.sandbox.sendgrid.emails()[0].custom_args["duewell_key"] == entry.key


def test_a_second_run_right_after_does_nothing(reminded_customer: Scenario) -> None:
    writes = reminded_customer.sandbox.requests.count_of(reminded_customer.company.provider, "write")
    result = reminded_customer.run()
    assert result.outcome is RunOutcome.OK
    assert len(reminded_customer.customer_emails()) == 1
    assert reminded_customer.sandbox.requests.count_of(reminded_customer.company.provider, "write") == writes


def test_a_sync_without_changes_costs_one_read_on_quickbooks_and_three_on_xero(late_customer: Scenario) -> None:
    provider, requests = late_customer.company.provider, late_customer.sandbox.requests
    late_customer.run()
    late_customer.sandbox.clock.advance(timedelta(hours=1))
    late_customer.run()  # reads what our own notes and links have changed
    for _run in range(3):
        reads, tokens = requests.count_of(provider, "read"), requests.count_of(provider, "token")
        late_customer.sandbox.clock.advance(timedelta(hours=1))
        assert late_customer.run().outcome is RunOutcome.OK
        assert requests.count_of(provider, "read") - reads <= {"xero": 3, "quickbooks": 1}[provider]
        assert requests.count_of(provider, "token") - tokens <= 1


def test_the_mirror_equals_the_ledger_to_the_cent(scenario: Scenario) -> None:
    scenario.company.customer("Ashdown Ltd")
    scenario.company.customer("Birch & Co")
    first = scenario.company.invoice("Ashdown Ltd", "1200.10", due_on=days(-6))
    second = scenario.company.invoice("Birch & Co", "80.05", due_on=days(-2))
    third = scenario.company.invoice("Birch & Co", "500.00", due_on=days(9))
    scenario.company.pay(first, "0.33")
    scenario.company.pay(second)
    scenario.company.credit("Birch & Co", "20.01")
    scenario.connect()
    scenario.run()
    scenario.company.void(third)
    scenario.company.pay(first, "100.00")
    scenario.sandbox.clock.advance(timedelta(hours=1))
    scenario.run()
    with reading(scenario.app.engine) as session:
        valid = session.scalars(select(InvoiceRow).where(col(InvoiceRow.status).in_(["open", "paid"]))).all()
        mirror = {row.number: Decimal(row.due_e4) / 10000 for row in valid}
        payments = sum(row.total_e4 for row in session.scalars(select(PaymentRow)))
        credited = sum(row.remaining_e4 for row in session.scalars(select(CreditRow)))
    assert mirror == scenario.company.open_balances() == {first: Decimal("1099.77"), second: Decimal(0)}
    assert payments == (Decimal("0.33") + Decimal("80.05") + Decimal(100)) * 10000
    assert credited == Decimal("20.01") * 10000


def test_every_invoice_gets_one_decision_with_a_reason(scenario: Scenario) -> None:
    scenario.company.customer("Ashdown Ltd")
    numbers = [scenario.company.invoice("Ashdown Ltd", "10.00", due_on=days(-late)) for late in (40, 6, 0, -20, -60)]
    scenario.go_live().run()
    with reading(scenario.app.engine) as session:
        query = select(col(InvoiceRow.number), InvoiceDecisionRow).join(
            InvoiceDecisionRow, col(InvoiceDecisionRow.invoice_id) == col(InvoiceRow.external_id)
        )
        found = dict(session.execute(query).all())
    assert set(found) == set(numbers)
    assert all(decision.reason.endswith(".") for decision in found.values())


def test_nothing_is_sent_and_no_task_created_while_a_connection_observes(scenario: Scenario) -> None:
    scenario.company.customer("Ashdown Ltd")
    scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=days(-6))
    scenario.company.customer("Birch & Co", "no address")
    scenario.company.invoice("Birch & Co", "900.00", due_on=days(-60))
    scenario.connect()
    for _run in range(3):
        assert scenario.run().outcome is RunOutcome.OK
        scenario.sandbox.clock.advance(timedelta(hours=1))
    assert scenario.customer_emails() == []
    assert scenario.sandbox.requests.count_of(scenario.company.provider, "write") == 0
    assert {entry.state for entry in scenario.outbox()} == {OutboxState.PLANNED}
    with reading(scenario.app.engine) as session:
        assert session.scalars(select(Task)).all() == []
    set_mode(scenario.app, scenario.connection, ConnectionMode.LIVE)
    scenario.run()
    with reading(scenario.app.engine) as session:
        assert session.scalars(select(Task)).all() != []


def test_a_fee_is_posted_once_and_only_after_its_warning(late_customer: Scenario) -> None:
    late_customer.set_policy('[late_fees]\nenabled = true\napproval = "automatic"\nterms_agreed_on = 2025-01-01\n')
    late_customer.run()
    assert late_customer.company.fees() == {}
    for days_later in (*[1] * 12, 7, 7, 7, 7):
        late_customer.pass_days(days_later)
        late_customer.run()
    [(number, amount)] = late_customer.company.fees().items()
    assert number == f"LF-{late_customer.number}"[:21]
    assert amount == Decimal("12.00")
    assert any("Late fee" in note for note in late_customer.company.notes(late_customer.number))


def test_a_dry_run_changes_nothing_outside_and_plans_nothing(late_customer: Scenario) -> None:
    before = [(entry.id, entry.state, entry.content_hash) for entry in late_customer.outbox()]
    result = late_customer.run(dry_run=True)
    assert result.outcome is RunOutcome.OK
    assert late_customer.customer_emails() == []
    assert [(entry.id, entry.state, entry.content_hash) for entry in late_customer.outbox()] == before
    assert any("Would email: Ashdown Ltd: " in line for line in result.report)


def test_a_run_that_was_killed_is_marked_as_failed_by_the_next(late_customer: Scenario) -> None:
    with writing(late_customer.app.engine) as session:
        started_at = late_customer.app.now() - timedelta(hours=2)
        session.add(SyncRun(connection_id=late_customer.connection, started_at=started_at))
    run_at = late_customer.app.now()
    late_customer.run()
    with reading(late_customer.app.engine) as session:
        [killed] = session.scalars(select(SyncRun).where(col(SyncRun.started_at) == started_at))
        assert (killed.outcome, killed.ended_at) == (RunOutcome.FAILED, run_at)
        assert session.scalars(select(SyncRun).where(col(SyncRun.ended_at).is_(None))).all() == []


@pytest.mark.parametrize("scenario", ["xero"], indirect=True)
@pytest.mark.parametrize(
    ("asked", "deferred"),
    [
        (timedelta(hours=3), timedelta(hours=3)),
        (timedelta(days=400), timedelta(days=1)),
        (None, timedelta(minutes=5)),
    ],
)
def test_a_provider_defers_the_next_run_by_a_day_at_most(
    late_customer: Scenario, monkeypatch: pytest.MonkeyPatch, asked: timedelta | None, deferred: timedelta
) -> None:
    def put_off(ctx: RunContext) -> None:
        raise TransientError("come back later", retry_at=ctx.now() + asked if asked else None)

    monkeypatch.setattr("connector.sync.pull.pull_changes", put_off)
    result = late_customer.run()
    assert (result.outcome, result.reason) == (RunOutcome.DEFERRED, "come back later")
    connection = load_connection(late_customer)
    assert connection.health == ConnectionHealth.LIMITED
    assert connection.next_run_at == late_customer.app.now() + deferred


@pytest.mark.parametrize("scenario", ["xero"], indirect=True)
def test_an_internal_error_fails_the_run_without_quoting_data(
    late_customer: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_ctx: RunContext) -> None:
        raise KeyError("accounts@ashdown.example")

    monkeypatch.setattr("connector.sync.pull.pull_changes", fail)
    result = late_customer.run()
    assert result.outcome is RunOutcome.FAILED
    assert result.reason == "Internal error in duewell (KeyError); see its log for details. Please report it."
    assert load_connection(late_customer).health == ConnectionHealth.FAILING
