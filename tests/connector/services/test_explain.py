"""The explanation of an invoice: its timeline, what comes next, and decisions reproduced from recorded facts."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

from sqlalchemy import select, update

from connector.arrangements import agreements
from connector.arrangements.customer_settings import find_customer
from connector.db.engine import reading, writing
from connector.db.tables import CustomerRow, DecisionRecord
from connector.evaluation import decision_records
from connector.services import customer_profile
from connector.services.explain import explain
from connector.services.invoice_explanation import InvoiceExplanation
from connector.services.invoices import find_invoice, record_agreement
from tests.connector.scenario import Scenario, days


def explain_invoice(scenario: Scenario) -> InvoiceExplanation:
    return explain(scenario.app, scenario.number, None)


def run_for_days(scenario: Scenario, *steps: int) -> None:
    for step in steps:
        scenario.run()
        scenario.pass_days(step)


def test_explain_shows_what_happened_and_what_comes_next(late_customer: Scenario) -> None:
    run_for_days(late_customer, 2)
    with reading(late_customer.app.engine) as session:
        invoice = find_invoice(session, late_customer.number)
    record_agreement(late_customer.app, invoice, "Ann", agreements.set_promise, on=days(5), reason="on the phone")
    run_for_days(late_customer, 2, 5)
    late_customer.company.pay(late_customer.number, "200.00")
    run_for_days(late_customer, 1)
    explanation = explain_invoice(late_customer)
    kinds = [each.kind for each in explanation.timeline]
    assert kinds[0] == "issued"
    assert {"decision", "email", "note", "agreement", "task", "applied"} <= set(kinds)
    assert [each.on for each in explanation.timeline] == sorted(each.on for each in explanation.timeline)
    texts = "\n".join(each.text for each in explanation.timeline)
    assert "Promise to pay by 15 Jun 2026: on the phone (Ann)" in texts
    assert "Promise to pay: broken" in texts
    assert "First reminder emailed to accounts@ashdown.example" in texts
    upcoming: list[tuple[str, str]] = [(each.kind, each.step) for each in explanation.upcoming]
    assert ("email", "plan_offer") in upcoming
    assert ("email", "final_notice") in upcoming
    assert upcoming.index(("email", "plan_offer")) < upcoming.index(("email", "final_notice"))


def test_recorded_decisions_are_reproduced_later_and_under_another_policy(late_customer: Scenario) -> None:
    run_for_days(late_customer, 5, 9)
    late_customer.set_policy('tone = "firm"\n')
    run_for_days(late_customer, 12)
    late_customer.company.pay(late_customer.number)
    run_for_days(late_customer, 1)
    late_customer.set_policy('tone = "gentle"\n')
    decisions = explain_invoice(late_customer).decision_audit
    assert len(decisions) >= 4
    assert {each.policy_version is None for each in decisions} == {True, False}
    assert all(each.reproduced for each in decisions)


def test_a_decision_that_is_not_reproduced_is_reported(late_customer: Scenario) -> None:
    run_for_days(late_customer, 1)
    late_customer.set_policy("minimum_balance = { default = 5000 }\n")
    with writing(late_customer.app.engine) as session:
        session.execute(update(DecisionRecord).values(policy_version=1))  # as if it had followed this policy
    [*_, last] = explain_invoice(late_customer).decision_audit
    assert (last.code, last.reproduced) == ("past_due", False)
    assert last.note.startswith("it would now be: GBP 1,200.00 is below the minimum")


def test_only_new_decisions_are_recorded(reminded_customer: Scenario) -> None:
    reminded_customer.sandbox.clock.advance(timedelta(hours=1))
    reminded_customer.run()
    with reading(reminded_customer.app.engine) as session:
        before = len(session.scalars(select(DecisionRecord)).all())
    for _run in range(3):
        reminded_customer.sandbox.clock.advance(timedelta(hours=1))
        reminded_customer.run()
    with reading(reminded_customer.app.engine) as session:
        rows = session.scalars(select(DecisionRecord)).all()
    assert len(rows) == before
    assert max(len(row.snapshot) for row in rows) < 2000


def test_recorded_facts_are_unpacked_unchanged(reminded_customer: Scenario) -> None:
    with reading(reminded_customer.app.engine) as session:
        row = session.scalars(select(DecisionRecord)).all()[-1]
        facts, replayed = decision_records.replay(session, row)
    [statement] = facts.statements
    assert [invoice.number for invoice in statement.invoices] == [reminded_customer.number]
    assert statement.customer.name == "Ashdown Ltd"
    assert replayed == facts.invoice_decisions


def test_a_profile_gives_the_inputs_of_every_judgement(scenario: Scenario) -> None:
    scenario.company.customer("Ashdown Ltd")
    for month in range(8, 1, -1):
        number = scenario.company.invoice("Ashdown Ltd", "500.00", due_on=days(-30 * month))
        scenario.company.pay(number)
    scenario.number = scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=days(-6))
    scenario.go_live()
    scenario.pass_days(1)
    with reading(scenario.app.engine) as session:
        row: CustomerRow = find_customer(session, "ashdown ltd")
        explanation = customer_profile.build_profile(session, row, scenario.app.now())
    assert explanation.segment_reason.startswith(f"{explanation.segment}: ")
    assert (explanation.payment_behaviour_reason or "").startswith(f"score {explanation.score}: 7 invoices closed, ")
    [invoice] = explanation.invoices
    assert "large from" in invoice.size_reason
    assert invoice.earliest_on
    assert invoice.expected_on
    assert invoice.latest_on
    assert invoice.earliest_on <= invoice.expected_on <= invoice.latest_on
    assert "with 80 % probability" in invoice.expected_reason
    assert any("score" in line for line in customer_profile.format_profile(explanation))
    for day, words in (
        (invoice.expected_on + timedelta(days=1), "and is not paid yet; the 80 % range ends on"),
        (invoice.latest_on + timedelta(days=1), "Later than nine in ten of their payments"),
    ):
        with reading(scenario.app.engine) as session:
            at = datetime.combine(day, time(12), UTC)
            (later,) = customer_profile.build_profile(session, row, at).invoices
        assert words in later.expected_reason  # never an expected date that is over


def test_a_next_step_says_what_it_has_to_do_with_the_invoice_and_which_others_it_is_about(
    late_customer: Scenario,
) -> None:
    younger = late_customer.company.invoice("Ashdown Ltd", "80.00", due_on=late_customer.days_ago(-3))
    late_customer.run()
    late_customer.pass_days(1)
    older = [each.reason for each in explain_invoice(late_customer).upcoming]
    assert any(each.startswith("Second notice for") and each.endswith(f"Also about {younger}.") for each in older)
    of_younger = [each.reason for each in explain(late_customer.app, younger, None).upcoming]
    about_older = [each for each in of_younger if f"for {late_customer.number}" in each]
    one_email = "It is one email for all of the customer's invoices"
    assert about_older[0].endswith(f"{one_email}, and only lists this one.")
    assert about_older[-1].endswith(f"{one_email}; for this one it is the payment plan offer.")
