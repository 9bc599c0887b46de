"""What follows from decisions: each invoice's decision is stored, tasks come once, and observing creates none."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from connector.connections.registry import set_mode
from connector.db.engine import reading, writing
from connector.db.tables import InvoiceDecisionRow, Task
from connector.outbox import approvals
from connector.vocabulary import ConnectionMode
from tests.connector.scenario import Scenario

pytestmark = pytest.mark.parametrize("scenario", ["xero"], indirect=True)


def tasks(scenario: Scenario) -> list[str]:
    with reading(scenario.app.engine) as session:
        return [str(row.step) for row in session.scalars(select(Task))]


def decision(scenario: Scenario) -> InvoiceDecisionRow:
    with reading(scenario.app.engine) as session:
        return session.scalars(select(InvoiceDecisionRow)).one()


@pytest.fixture
def to_call(scenario: Scenario) -> Scenario:
    """A company in observe mode whose policy has the customer called instead of emailed."""
    scenario.set_policy('[past_due]\nkind = "call"\n')
    scenario.company.invoice(scenario.company.customer("Ashdown Ltd"), "1200.00", due_on=scenario.days_ago(6))
    scenario.connect()
    return scenario


def test_observing_stores_the_decision_and_creates_no_task(to_call: Scenario) -> None:
    to_call.run()
    assert (decision(to_call).kind, decision(to_call).code, tasks(to_call)) == ("task", "past_due", [])


@pytest.mark.parametrize("mode", [ConnectionMode.APPROVE, ConnectionMode.LIVE])
def test_a_task_is_created_once_however_often_a_company_syncs(to_call: Scenario, mode: ConnectionMode) -> None:
    set_mode(to_call.app, to_call.connection, mode)
    for _run in range(3):
        to_call.run()
    assert tasks(to_call) == ["past_due"]


def test_a_rejected_email_is_not_announced_again(scenario: Scenario) -> None:
    scenario.company.invoice(scenario.company.customer("Ashdown Ltd"), "1200.00", due_on=scenario.days_ago(6))
    scenario.go_live()
    set_mode(scenario.app, scenario.connection, ConnectionMode.APPROVE)
    scenario.run()
    [entry] = scenario.outbox("awaiting_approval")
    assert decision(scenario).kind == "reminder"
    with writing(scenario.app.engine) as session:
        approvals.reject(session, [entry.id or 0], by="Ann", at=scenario.app.now(), reason="they called")
    scenario.run()
    assert (decision(scenario).kind, decision(scenario).code) == ("waiting", "not_due_yet")
    assert scenario.outbox("planned", "awaiting_approval") == []
