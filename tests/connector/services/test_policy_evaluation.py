"""A policy evaluated before it is used, and exceptions found, over a mirror that was read from a ledger."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

import pytest

from connector import policy_store
from connector.db.engine import reading
from connector.evaluation import exceptions
from connector.services import policy_evaluation
from policies.policy import ReminderPolicy
from tests.connector.scenario import Scenario

TODAY = datetime(2026, 6, 10, 11, 0, tzinfo=UTC).date()


def ago(days: int) -> date:
    return TODAY - timedelta(days=days)


@pytest.fixture
def company_with_history(scenario: Scenario) -> Scenario:
    """A company with an open invoice, one paid late, and one paid on time."""
    for name in ("Ashdown Ltd", "Birch Ltd"):
        scenario.company.customer(name)
    scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=ago(2))
    scenario.company.pay(scenario.company.invoice("Birch Ltd", "300.00", due_on=ago(30)))
    scenario.connect()
    assert scenario.run().outcome == "ok"
    return scenario


def test_a_diff_lists_and_summarises_what_changes(company_with_history: Scenario) -> None:
    fewer_steps = ReminderPolicy.from_toml(
        "".join(f'[{step}]\nnew = "off"\n' for step in ("plan_offer", "late_fee", "final_notice", "propose_suspension"))
    )
    changes = policy_evaluation.diff_policy(company_with_history.app, company_with_history.connection, fewer_steps)
    removed = [item for item in changes if item.change == "-" and item.kind == "email"]
    assert {item.customer for item in changes} == {"Ashdown Ltd"}
    assert "plan_offer" in {item.step for item in removed}
    assert policy_evaluation.summarise(changes).startswith("1 customer, ")
    assert re.search(r"\d fewer \w+( \w+)? in the next 30 days\.$", policy_evaluation.summarise(changes))
    same = ReminderPolicy.default()
    assert policy_evaluation.diff_policy(company_with_history.app, company_with_history.connection, same) == []
    assert policy_evaluation.summarise([]) == "It would change nothing in the next 30 days."


def test_a_backtest_replays_the_past_and_sends_nothing(company_with_history: Scenario) -> None:
    [test] = policy_evaluation.backtest(company_with_history.app, company_with_history.connection, 60)
    items = policy_evaluation.list_backtest_emails(test)
    steps = {(item.customer, item.step) for item in items}
    assert ("Birch Ltd", "past_due") in steps, "it was paid only today"
    assert all(ago(60) <= item.on < TODAY for item in items)
    assert len({item.id for item in items}) == len(items)
    [firm] = policy_evaluation.backtest(
        company_with_history.app, company_with_history.connection, 60, policy=ReminderPolicy.from_toml('tone = "firm"')
    )
    assert firm.report.emails
    assert company_with_history.customer_emails() == []
    assert company_with_history.outbox("done") == []


def test_exceptions_are_found_in_the_mirror(company_with_history: Scenario) -> None:
    duplicate_number = company_with_history.company.invoice("Ashdown Ltd", "1200.00", due_on=ago(0))
    company_with_history.company.credit("Ashdown Ltd", "1200.00")
    company_with_history.sandbox.clock.advance(timedelta(hours=1))
    company_with_history.run()
    found = exceptions.list_exceptions(company_with_history.app, company_with_history.connection)
    assert {item.code for item in found} == {"unapplied_match", "probable_duplicate"}
    [duplicate] = [item for item in found if item.code == "probable_duplicate"]
    assert (duplicate.customer, duplicate.invoice) == ("Ashdown Ltd", duplicate_number)
    assert duplicate.reason.endswith("it may be a duplicate.")
    assert len({item.id for item in found}) == len(found)


def test_only_a_company_with_a_control_group_has_a_report(company_with_history: Scenario) -> None:
    assert policy_evaluation.list_control_group_reports(company_with_history.app, company_with_history.connection) == []
    company_with_history.set_policy("[control_group]\npercent = 20\n")
    [report] = policy_evaluation.list_control_group_reports(company_with_history.app, None)
    assert report.percent == 20
    assert report.reason.startswith("Not enough data")
    with reading(company_with_history.app.engine) as session:
        [version] = policy_store.list_versions(session, company_with_history.connection)
    assert (version.id, version.connection, version.active) == (report.version, "all", True)
