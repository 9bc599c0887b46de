"""What a closed or partly settled invoice says to people: a payment is only claimed where money came."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from connector.services.explain import InvoiceExplanation, explain
from connector.vocabulary import RunOutcome
from tests.connector.scenario import NOON, Scenario, ScenarioFactory, days


def explained(scenario: Scenario) -> InvoiceExplanation:
    return explain(scenario.app, scenario.number, None)


def reason(scenario: Scenario) -> str:
    decision = explained(scenario).decision
    assert decision is not None
    return decision.reason


def texts(scenario: Scenario) -> list[str]:
    own = scenario.app.settings.mail_from
    return [email.text for email in scenario.sandbox.sendgrid.emails() if own not in email.to]


@pytest.fixture
def customer(scenario: Scenario) -> Scenario:
    """A live company with one invoice of 1,200.00 that is not due yet."""
    scenario.company.customer("Ashdown Ltd")
    scenario.number = scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=days(10), on=days(-2))
    return scenario.go_live()


def test_a_customer_is_thanked_for_a_payment_in_full(customer: Scenario) -> None:
    customer.company.pay(customer.number)
    customer.run()
    [text] = texts(customer)
    assert "received your payment of £1,200.00" in text
    assert reason(customer) == "Thank-you email: paid in full on 10 Jun 2026."


def test_nobody_is_thanked_for_an_invoice_that_was_credited_in_full(customer: Scenario) -> None:
    customer.company.credit_invoice(customer.number, "1200.00")
    customer.run()
    assert texts(customer) == []
    assert reason(customer) == "Credited in full on 10 Jun 2026; no payment was received for it."
    assert [(each.kind.value, each.amount) for each in explained(customer).applied] == [("credit_note", "1200.00")]
    events = [each.text for each in explained(customer).timeline]
    assert "Credit note of GBP 1,200.00 applied" in events
    assert "Closed" in events


def test_the_thank_you_names_the_money_that_came_and_not_the_credit(customer: Scenario) -> None:
    customer.company.credit_invoice(customer.number, "200.00")
    customer.run()
    customer.company.pay(customer.number)
    customer.run()
    [text] = texts(customer)
    assert "received your payment of £1,000.00" in text
    assert "now settled in full" in text
    assert "GBP 1,000.00 of GBP 1,200.00 was paid" in reason(customer)
    customer.pass_days(1)
    customer.run()
    assert reason(customer) == "Closed on 10 Jun 2026: GBP 1,000.00 paid, GBP 200.00 credited."


def test_nobody_is_thanked_when_the_rest_of_an_old_payment_is_written_off(customer: Scenario) -> None:
    customer.company.pay(customer.number, "1150.00")
    customer.run()
    customer.pass_days(40)
    customer.company.credit_invoice(customer.number, "50.00")
    customer.run()
    assert [text for text in texts(customer) if "received your payment" in text] == []


def test_a_credit_is_not_called_a_part_payment(late_customer: Scenario) -> None:
    late_customer.company.credit_invoice(late_customer.number, "200.00")
    late_customer.run()
    [text] = texts(late_customer)
    assert "£1,000.00" in text
    assert "part payment" not in text


def test_a_part_payment_after_a_credit_is_thanked_for(late_customer: Scenario) -> None:
    late_customer.company.credit_invoice(late_customer.number, "200.00")
    late_customer.company.pay(late_customer.number, "300.00")
    late_customer.run()
    [text] = texts(late_customer)
    assert "Thank you for your part payment; £700.00 is still outstanding" in text


def test_a_payment_deleted_before_the_thank_you_is_not_thanked_for(customer: Scenario) -> None:
    customer.company.pay(customer.number)
    customer.sandbox.clock.advance(timedelta(hours=9))  # outside the send window: the email waits
    customer.run()
    assert texts(customer) == []
    assert [entry.step for entry in customer.outbox("planned")] == ["thank_you"]
    customer.company.delete_payment(customer.number)
    customer.sandbox.clock.advance(timedelta(hours=12))
    customer.run()
    assert [text for text in texts(customer) if "received your payment" in text] == []


def test_an_allocated_overpayment_is_money_and_a_deduction_is_not(scenario_at: ScenarioFactory) -> None:
    """Xero: 1,200 less 200 deducted under the Construction Industry Scheme (CIS), nothing paid."""
    with scenario_at(NOON, "xero") as scenario:
        company, xero = scenario.company, scenario.company.simulator
        company.customer("Ashdown Ltd")
        dates = {"on": days(-36).isoformat(), "due_on": days(-6).isoformat()}
        fields = {**dates, **company.company_filter, "deduction": Decimal(200)}
        scenario.number = xero.add_invoice("Ashdown Ltd", "1200.00", **fields).number
        scenario.go_live()
        scenario.run()
        [text] = texts(scenario)
        assert "for £1,000.00 was due" in text
        assert "part payment" not in text
        credit = xero.add_credit("Ashdown Ltd", "1000.00", "Overpayment", **company.company_filter)
        xero.allocate(credit.id, scenario.number, **company.company_filter)
        scenario.pass_days(5)
        scenario.run()
        assert "received your payment of £1,000.00" in texts(scenario)[-1]
        scenario.pass_days(1)
        scenario.run()
        assert reason(scenario).endswith(": GBP 1,000.00 paid, GBP 200.00 deducted or cleared in another way.")


@pytest.fixture
def quickbooks(scenario_at: ScenarioFactory) -> Scenario:
    """A live company on QuickBooks with one invoice of 1,200.00 that is not due yet."""
    with scenario_at(NOON, "quickbooks") as scenario:
        scenario.company.customer("Ashdown Ltd")
        scenario.number = scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=days(10), on=days(-2))
        yield scenario.go_live()


def test_a_journal_entry_that_clears_an_invoice_is_a_write_off_and_no_payment(quickbooks: Scenario) -> None:
    quickbooks.company.simulator.write_off(quickbooks.number)
    quickbooks.run()
    assert texts(quickbooks) == []
    expected = "Written off or cleared by a journal entry on 10 Jun 2026; no payment was received for it."
    assert reason(quickbooks) == expected


def test_one_payment_beside_a_credit_memo_is_thanked_for_its_own_amount(quickbooks: Scenario) -> None:
    simulator = quickbooks.company.simulator
    other = quickbooks.company.invoice("Ashdown Ltd", "300.00", due_on=days(12), on=days(-1))
    credit = simulator.credit("Ashdown Ltd", "300.00")["Id"]
    simulator.receive(
        "Ashdown Ltd", "1200.00", {quickbooks.number: "1200.00", other: "300.00"}, credits={credit: "300.00"}
    )
    quickbooks.run()
    [text] = texts(quickbooks)
    assert f"received your payment of £1,200.00 for invoice {quickbooks.number}." in text
    quickbooks.number = other
    assert reason(quickbooks) == "Credited in full on 10 Jun 2026; no payment was received for it."


def test_an_invoice_with_a_total_of_0_is_not_called_paid(quickbooks: Scenario) -> None:
    """QuickBooks keeps a voided invoice without amounts; the note that says so can be overwritten."""
    quickbooks.company.void(quickbooks.number)
    quickbooks.company.simulator.edit(quickbooks.number, PrivateNote="entered twice")
    assert quickbooks.run().outcome is RunOutcome.OK
    assert texts(quickbooks) == []
    assert reason(quickbooks) == "Its total is GBP 0.00: nothing is owed."
