"""Suppressed addresses: checked before sending, left out of emails, reported by a task, and lifted by a user."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import select

from connector.arrangements.customer_settings import find_customer, update_settings
from connector.audit import sync_log
from connector.db.engine import reading
from connector.db.tables import Task
from connector.vocabulary import LogKind, RunOutcome, TaskCode
from sandbox.sendgrid.message_store import Email
from tests.connector.scenario import Scenario

TODAY = date(2026, 6, 10)
ASHDOWN = "accounts@ashdown.example"


def ago(days: int) -> date:
    return TODAY - timedelta(days=days)


@pytest.fixture
def xero_scenario(scenario_at: Callable[..., AbstractContextManager[Scenario]]) -> Iterator[Scenario]:
    """A company on one ledger: nothing here depends on which."""
    with scenario_at(datetime(2026, 6, 10, 11, tzinfo=UTC), "xero") as made:
        made.company.customer("Ashdown Ltd", ASHDOWN)
        yield made


def emails_to_ashdown(scenario: Scenario) -> list[Email]:
    return scenario.sandbox.sendgrid.emails_to(ASHDOWN)


def run_for_days(scenario: Scenario, days: int) -> None:
    for _turn in range(0, days, 4):
        scenario.pass_days(4)
        assert scenario.run().outcome == RunOutcome.OK


def list_suppressed_tasks(scenario: Scenario) -> list[Task]:
    with reading(scenario.app.engine) as session:
        return [task for task in session.scalars(select(Task)) if task.code == TaskCode.SUPPRESSED]


def list_warnings(scenario: Scenario) -> list[str]:
    with reading(scenario.app.engine) as session:
        return [entry.text for entry in sync_log.list_entries(session) if entry.kind == LogKind.WARNING]


def count_suppression_checks(scenario: Scenario) -> int:
    return sum("/suppression" in each.path for each in scenario.sandbox.requests.filter_by("sendgrid"))


def test_a_suppressed_address_receives_no_email_and_creates_one_task(xero_scenario: Scenario) -> None:
    xero_scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=ago(6))
    xero_scenario.sandbox.sendgrid.suppress(ASHDOWN)
    xero_scenario.go_live().run()
    xero_scenario.run()
    assert emails_to_ashdown(xero_scenario) == []
    [task] = list_suppressed_tasks(xero_scenario)
    assert "bounced" in task.reason
    run_for_days(xero_scenario, 3)
    assert emails_to_ashdown(xero_scenario) == []
    assert len(list_suppressed_tasks(xero_scenario)) == 1


def test_one_suppressed_address_of_two_is_left_out(xero_scenario: Scenario) -> None:
    xero_scenario.company.customer("Birch & Co")
    xero_scenario.company.invoice("Birch & Co", "1200.00", due_on=ago(6))
    xero_scenario.go_live()
    with reading(xero_scenario.app.engine) as session:
        birch = find_customer(session, "Birch & Co").external_id
    update_settings(
        xero_scenario.app,
        xero_scenario.connection,
        birch,
        {"emails": "ann@birch.example, Gone@birch.example"},
        by="Ann",
    )
    xero_scenario.sandbox.sendgrid.suppress("gone@birch.example")
    xero_scenario.run()
    [email] = xero_scenario.sandbox.sendgrid.emails_to("ann@birch.example")
    assert email.to == ("ann@birch.example",)


def test_an_address_is_checked_once_a_day_and_only_before_an_email_is_sent(xero_scenario: Scenario) -> None:
    xero_scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=ago(6))
    result = xero_scenario.go_live().run()
    assert count_suppression_checks(xero_scenario) == 4
    assert result.counts["calls_email_read"] == 4  # not counted as reads of the ledger
    for _hour in range(3):
        xero_scenario.sandbox.clock.advance(timedelta(hours=1))
        xero_scenario.run()
    assert count_suppression_checks(xero_scenario) == 4


def test_emails_are_sent_when_the_check_for_suppressed_addresses_fails(xero_scenario: Scenario) -> None:
    xero_scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=ago(6))
    xero_scenario.go_live()
    xero_scenario.sandbox.faults.refuse(400, service="sendgrid", path="/suppression", times=0)
    assert xero_scenario.run().outcome == RunOutcome.OK
    assert len(emails_to_ashdown(xero_scenario)) == 1
    assert any("could not check for suppressed addresses" in text for text in list_warnings(xero_scenario))


def test_setting_an_address_again_lifts_its_suppression(xero_scenario: Scenario) -> None:
    xero_scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=ago(6))
    xero_scenario.sandbox.sendgrid.suppress(ASHDOWN)
    xero_scenario.go_live().run()
    assert emails_to_ashdown(xero_scenario) == []
    xero_scenario.sandbox.sendgrid.unsuppress(ASHDOWN)
    with reading(xero_scenario.app.engine) as session:
        ashdown = find_customer(session, "Ashdown Ltd").external_id
    update_settings(xero_scenario.app, xero_scenario.connection, ashdown, {"emails": ASHDOWN}, by="Ann")
    run_for_days(xero_scenario, 12)
    assert emails_to_ashdown(xero_scenario) != []
