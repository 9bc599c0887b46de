"""Several policies at once: each customer follows theirs, decisions name its version, a control group the old one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import pytest
from sqlalchemy import select
from sqlmodel import col

from connector import policy_store
from connector.arrangements.customer_settings import update_settings
from connector.db.engine import reading
from connector.db.tables import CustomerRow, InvoiceDecisionRow, OutboxEntry, SyncLogEntry
from connector.vocabulary import OutboxKind
from tests.connector.scenario import Scenario, ScenarioFactory, days

FRIENDS = """
[policies.friends]
applies_to = { tags = ["friend"] }
tone = "gentle"
"""


@pytest.fixture
def xero_scenario(scenario_at: ScenarioFactory, noon: datetime) -> Iterator[Scenario]:
    with scenario_at(noon, "xero") as scenario:
        yield scenario


def policy_versions(scenario: Scenario) -> dict[str, int | None]:
    with reading(scenario.app.engine) as session:
        rows = session.execute(
            select(CustomerRow.name, InvoiceDecisionRow.policy_version).join(  # type: ignore[call-overload]
                InvoiceDecisionRow, col(InvoiceDecisionRow.customer_id) == CustomerRow.external_id
            )
        )
        return {row[0]: row[1] for row in rows}


def test_a_tag_chooses_the_policy_and_the_log_names_it(xero_scenario: Scenario) -> None:
    for name in ("Ashdown Ltd", "Birch Ltd"):
        xero_scenario.company.customer(name)
        xero_scenario.company.invoice(
            name, "1200.00", due_on=days(-4)
        )  # gentle waits until the 5th day after the due date
    xero_scenario.connect()
    xero_scenario.run()
    with reading(xero_scenario.app.engine) as session:
        friend = session.scalars(select(CustomerRow).where(col(CustomerRow.name) == "Birch Ltd")).one().external_id
    update_settings(xero_scenario.app, xero_scenario.connection, friend, {"tags": "Friend"}, by="Ann")
    xero_scenario.set_policy(FRIENDS)
    xero_scenario.run()
    with reading(xero_scenario.app.engine) as session:
        planned = session.scalars(select(OutboxEntry).where(col(OutboxEntry.kind) == OutboxKind.EMAIL)).all()
        logged = [row.facts for row in session.scalars(select(SyncLogEntry)) if row.customer_id == friend]
        version = policy_store.get_active_policy(session, xero_scenario.connection).version
    assert [entry.customer_id for entry in planned if entry.customer_id == friend] == []
    assert len(planned) == 1
    assert policy_versions(xero_scenario)["Birch Ltd"] == version
    assert any('"policy_name":"friends"' in facts.replace(" ", "") for facts in logged)


def test_a_control_group_keeps_the_previous_policy_and_each_decision_names_its_version(xero_scenario: Scenario) -> None:
    names = [f"Customer {count:02} Ltd" for count in range(24)]
    for name in names:
        xero_scenario.company.customer(name, f"a{name[9:11]}@example.org")
        xero_scenario.company.invoice(name, "1200.00", due_on=days(-4))
    xero_scenario.connect()
    xero_scenario.set_policy('tone = "standard"')
    xero_scenario.set_policy('tone = "gentle"\n[control_group]\npercent = 50\n')
    xero_scenario.run()
    with reading(xero_scenario.app.engine) as session:
        policies = policy_store.get_active_policy(session, xero_scenario.connection)
        ids = {row.name: row.external_id for row in session.scalars(select(CustomerRow))}
        emailed = {row.customer_id for row in session.scalars(select(OutboxEntry)) if row.kind == OutboxKind.EMAIL}
    control_group = {name for name in names if policies.is_in_control_group(ids[name])}
    assert 4 < len(control_group) < 20
    assert policies.version != policies.previous_version
    found = policy_versions(xero_scenario)
    assert {found[name] for name in control_group} == {policies.previous_version}
    assert {found[name] for name in names if name not in control_group} == {policies.version}
    assert emailed == {ids[name] for name in control_group}, "the gentle policy is not yet due"
