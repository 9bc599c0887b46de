"""Long holds: nobody forgets an overdue invoice that is on hold, whatever the reason."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import select
from sqlmodel import col

from connector.arrangements import agreements
from connector.db.engine import reading
from connector.db.tables import ExceptionRow, InvoiceRow, Task
from connector.services.invoices import record_agreement
from policies.exception_checks import ExceptionCode
from tests.connector.scenario import Scenario, ScenarioFactory


def long_holds(scenario: Scenario) -> list[str]:
    with reading(scenario.app.engine) as session:
        query = select(col(ExceptionRow.reason)).where(col(ExceptionRow.code) == ExceptionCode.LONG_HOLD)
        return sorted(session.scalars(query))


def tasks(scenario: Scenario) -> list[tuple[str, str]]:
    with reading(scenario.app.engine) as session:
        rows = session.scalars(select(Task).where(col(Task.code) == "apply_credit"))
        return [(str(row.state), row.reason) for row in rows]


def test_a_small_credit_becomes_a_task_and_the_rest_is_chased(scenario: Scenario) -> None:
    company = scenario.company
    company.customer("Ashdown Ltd")
    company.invoice("Ashdown Ltd", "12000.00", due_on=scenario.days_ago(6))
    company.credit("Ashdown Ltd", "0.03")
    scenario.go_live().run()
    assert len(scenario.customer_emails()) == 1
    text = scenario.sandbox.sendgrid.emails()[0].text
    assert "£11,999.97" in text
    assert "We have already deducted your unapplied credit of £0.03" in text
    ((state, reason),) = tasks(scenario)
    assert state == "open"
    assert "credit note of" in reason


def test_a_hold_by_credit_that_covers_everything_becomes_a_task_and_an_exception(scenario: Scenario) -> None:
    company = scenario.company
    company.customer("Ashdown Ltd")
    number = company.invoice("Ashdown Ltd", "300.00", due_on=scenario.days_ago(6))
    company.credit("Ashdown Ltd", "400.00")
    scenario.go_live().run_for_days(30, every=5)
    assert long_holds(scenario) == []
    scenario.run()
    (reason,) = long_holds(scenario)
    assert reason.startswith(
        f"{number} for GBP 300.00 is overdue and has been on hold for 30 days, since 10 Jun 2026: "
    )
    assert "apply the credit first" in reason
    assert scenario.customer_emails() == []
    company.pay(number)
    scenario.run()
    assert long_holds(scenario) == []


def test_the_task_is_cancelled_once_the_credit_is_used_and_comes_back_with_it(scenario: Scenario) -> None:
    company = scenario.company
    company.customer("Ashdown Ltd")
    number = company.invoice("Ashdown Ltd", "300.00", due_on=scenario.days_ago(6))
    company.invoice("Ashdown Ltd", "900.00", due_on=scenario.days_ago(6))
    company.credit("Ashdown Ltd", "300.00")
    scenario.go_live().run()
    assert [state for state, _ in tasks(scenario)] == ["open"]
    company.pay(number)  # the credit is for what is left now
    scenario.run()
    assert sorted(state for state, _ in tasks(scenario)) == ["cancelled", "open"]


def test_a_rest_below_the_minimum_balance_is_not_forgotten(scenario: Scenario) -> None:
    company = scenario.company
    company.customer("Ashdown Ltd")
    number = company.invoice("Ashdown Ltd", "1200.00", due_on=scenario.days_ago(6))
    company.pay(number, "1199.20")
    scenario.go_live().run_for_days(32, every=8)
    scenario.run()
    (reason,) = long_holds(scenario)
    assert "GBP 0.80 is below the minimum balance of GBP 1.00" in reason


@pytest.mark.parametrize("setting", ["promised", "paused", "disputed"])
def test_a_hold_of_any_kind_is_an_exception_after_thirty_days(
    scenario_at: ScenarioFactory, noon: datetime, setting: str
) -> None:
    with scenario_at(noon, "quickbooks") as scenario:
        scenario.company.customer("Ashdown Ltd")
        scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=scenario.days_ago(6))
        scenario.go_live()
        with reading(scenario.app.engine) as session:
            invoice = session.scalars(select(InvoiceRow)).one()
        if setting == "promised":
            far_away = scenario.today + timedelta(days=80)
            record_agreement(scenario.app, invoice, "Ann", agreements.set_promise, on=far_away)
        elif setting == "paused":
            record_agreement(scenario.app, invoice, "Ann", agreements.pause_reminders, until=None)
        else:
            record_agreement(scenario.app, invoice, "Ann", agreements.record_dispute, reason="wrong price")
        scenario.run_for_days(35, every=5)
        assert len(long_holds(scenario)) == 1


def test_an_invoice_that_is_chased_or_not_due_is_no_long_hold(scenario: Scenario) -> None:
    company = scenario.company
    for name, overdue in (("Ashdown Ltd", 6), ("Bexley Ltd", -90)):
        company.customer(name)
        company.invoice(name, "300.00", due_on=scenario.days_ago(overdue))
    company.credit("Bexley Ltd", "300.00")
    scenario.go_live().run_for_days(40, every=4)
    assert long_holds(scenario) == []


def test_a_hold_of_the_whole_company_is_one_exception_about_no_invoice(
    scenario_at: ScenarioFactory, noon: datetime
) -> None:
    with scenario_at(noon, "xero") as scenario:
        for name in ("Ashdown Ltd", "Bexley Ltd"):
            scenario.company.customer(name)
            scenario.company.invoice(name, "1200.00", due_on=scenario.days_ago(6))
        scenario.sandbox.xero.organisation(scenario.company.external_id).sends_reminders = True
        scenario.go_live().run_for_days(35, every=5)
        (reason,) = long_holds(scenario)
        assert reason.startswith("2 overdue invoices have been on hold for 30 days or more: ")
        with reading(scenario.app.engine) as session:
            row = session.scalars(select(ExceptionRow).where(col(ExceptionRow.code) == ExceptionCode.LONG_HOLD)).one()
        assert (row.customer_id, row.invoice_id) == ("", "")


def test_the_policy_says_after_how_many_days_a_hold_is_an_exception(scenario: Scenario) -> None:
    company = scenario.company
    company.customer("Ashdown Ltd")
    company.invoice("Ashdown Ltd", "300.00", due_on=scenario.days_ago(6))
    company.credit("Ashdown Ltd", "300.00")
    scenario.go_live().set_policy("[exceptions]\nlong_hold_days = 10")
    scenario.run_for_days(12, every=4)
    scenario.run()
    assert len(long_holds(scenario)) == 1
    scenario.set_policy('[exceptions]\nlong_hold_days = "off"')
    scenario.run()
    assert long_holds(scenario) == []


def test_what_has_no_due_date_is_open_and_not_overdue(scenario_at: ScenarioFactory, noon: datetime) -> None:
    with scenario_at(noon, "xero") as scenario:
        company = scenario.company
        company.customer("Ashdown Ltd")
        number = company.invoice("Ashdown Ltd", "300.00", due_on=scenario.days_ago(6))
        company.simulator.edit(number, due_on=None, **company.company_filter)
        scenario.go_live().run_for_days(40, every=20)
        scenario.run()
        [reason] = long_holds(scenario)
        assert reason.startswith(f"{number} for GBP 300.00 is open and has been on hold for ")
