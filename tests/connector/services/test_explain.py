"""An invoice's story from recorded facts, what comes next, and decisions that come out the same when made again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from connector.arrangements import agreements
from connector.arrangements.customer_settings import find_customer
from connector.db.engine import reading, writing
from connector.db.tables import CustomerRow, DecisionRecord
from connector.evaluation import decision_records
from connector.services import customer_profile
from connector.services.explain import explain
from connector.services.invoices import find_invoice, record_agreement
from tests.connector.scenario import days


@pytest.fixture
def late_customer(scenario: Any) -> Any:
    scenario.company.customer("Ashdown Ltd")
    scenario.number = scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=days(-6))
    return scenario.go_live()


def explain_invoice(scenario: Any) -> dict[str, Any]:
    return explain(scenario.app, scenario.number, None)


def run_for_days(scenario: Any, *steps: int) -> None:
    for step in steps:
        scenario.run()
        scenario.pass_days(step)


def test_explain_tells_the_whole_story_and_what_comes_next(late_customer: Any) -> None:
    run_for_days(late_customer, 2)
    with reading(late_customer.app.engine) as session:
        invoice = find_invoice(session, late_customer.number)
    record_agreement(late_customer.app, invoice, "Ann", agreements.set_promise, on=days(5), reason="on the phone")
    run_for_days(late_customer, 2, 5)
    late_customer.company.pay(late_customer.number, "200.00")
    run_for_days(late_customer, 1)
    told = explain_invoice(late_customer)
    kinds = [each["kind"] for each in told["timeline"]]
    assert kinds[0] == "issued"
    assert {"decision", "email", "note", "agreement", "task", "applied"} <= set(kinds)
    assert [each["on"] for each in told["timeline"]] == sorted(each["on"] for each in told["timeline"])
    words = "\n".join(each["text"] for each in told["timeline"])
    assert "promise for 15 Jun 2026: on the phone (Ann)" in words
    assert "promise broken" in words
    assert "was mailed to accounts@ashdown.example" in words
    coming = [(each["kind"], each["step"]) for each in told["upcoming"]]
    assert ("email", "plan_offer") in coming
    assert ("email", "final_notice") in coming
    assert coming.index(("email", "plan_offer")) < coming.index(("email", "final_notice"))


def test_a_recorded_decision_comes_out_the_same_long_after_and_under_another_policy(late_customer: Any) -> None:
    run_for_days(late_customer, 5, 9)
    late_customer.set_policy('tone = "firm"\n')
    run_for_days(late_customer, 12)
    late_customer.company.pay(late_customer.number)
    run_for_days(late_customer, 1)
    late_customer.set_policy('tone = "gentle"\n')
    decisions = explain_invoice(late_customer)["decision_audit"]
    assert len(decisions) >= 4
    assert {each["policy_version"] is None for each in decisions} == {True, False}
    assert all(each["reproduced"] for each in decisions)


def test_a_decision_that_would_come_out_otherwise_is_named(late_customer: Any) -> None:
    run_for_days(late_customer, 1)
    late_customer.set_policy("minimum_balance = { default = 5000 }\n")
    with writing(late_customer.app.engine) as session:
        session.execute(update(DecisionRecord).values(policy_version=1))  # as if it had followed this policy
    [*_, last] = explain_invoice(late_customer)["decision_audit"]
    assert (last["code"], last["reproduced"]) == ("past_due", False)
    assert last["note"].startswith("it would now say: GBP 1,200.00 is below the minimum")


def test_nothing_is_recorded_where_nothing_is_new(late_customer: Any) -> None:
    late_customer.run()
    late_customer.sandbox.clock.advance(timedelta(hours=1))
    late_customer.run()
    with reading(late_customer.app.engine) as session:
        before = len(session.scalars(select(DecisionRecord)).all())
    for _run in range(3):
        late_customer.sandbox.clock.advance(timedelta(hours=1))
        late_customer.run()
    with reading(late_customer.app.engine) as session:
        rows = session.scalars(select(DecisionRecord)).all()
    assert len(rows) == before
    assert max(len(row.snapshot) for row in rows) < 2000


def test_facts_are_unpacked_as_they_were(late_customer: Any) -> None:
    late_customer.run()
    with reading(late_customer.app.engine) as session:
        row = session.scalars(select(DecisionRecord)).all()[-1]
        facts, again = decision_records.replay(session, row)
    [statement] = facts.statements
    assert [invoice.number for invoice in statement.invoices] == [late_customer.number]
    assert statement.customer.name == "Ashdown Ltd"
    assert again == facts.invoice_decisions


def test_a_customer_is_shown_with_every_judgements_inputs(scenario: Any) -> None:
    scenario.company.customer("Ashdown Ltd")
    for month in range(8, 1, -1):
        number = scenario.company.invoice("Ashdown Ltd", "500.00", due_on=days(-30 * month))
        scenario.company.pay(number)
    scenario.number = scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=days(-6))
    scenario.go_live()
    scenario.pass_days(1)
    with reading(scenario.app.engine) as session:
        row: CustomerRow = find_customer(session, "ashdown ltd")
        told = customer_profile.build_profile(session, row, scenario.app.now())
    assert told["segment_reason"].startswith(f"{told['segment']}: ")
    assert told["payment_behaviour_reason"].startswith(f"score {told['score']}: 7 invoices settled, ")
    [invoice] = told["invoices"]
    assert "large from" in invoice["size_reason"]
    assert invoice["earliest_on"] <= invoice["expected_on"] <= invoice["latest_on"]
    assert "in four of five cases" in invoice["expected_reason"]
    assert any("score" in line for line in customer_profile.format_profile(told))
