"""What a closed or partly settled invoice says to people: a payment is only claimed where money came."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from connector.arrangements.task_list import find_tasks
from connector.db.engine import reading
from connector.services.explain import explain
from connector.services.invoice_explanation import InvoiceExplanation
from connector.vocabulary import RunOutcome
from providers.quickbooks.ledger import QuickBooksLedger
from providers.xero.ledger import XeroLedger
from tests.connector.scenario import NOON, ResumeAfter, Scenario, ScenarioFactory, days


def explained(scenario: Scenario) -> InvoiceExplanation:
    return explain(scenario.app, scenario.number, None)


def reason(scenario: Scenario) -> str:
    decision = explained(scenario).decision
    assert decision is not None
    return decision.reason


def texts(scenario: Scenario) -> list[str]:
    own = scenario.app.settings.mail_from
    return [email.text for email in scenario.sandbox.sendgrid.emails() if own not in email.to]


def add_customer(scenario: Scenario) -> None:
    scenario.company.customer("Ashdown Ltd")
    scenario.number = scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=days(10), on=days(-2))
    scenario.go_live()


@pytest.fixture
def customer(scenario: Scenario, resume_after: ResumeAfter) -> Iterator[Scenario]:
    """A live company with one invoice of 1,200.00 that is not due yet."""
    with resume_after(add_customer, scenario.company.provider) as resumed:
        yield resumed


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


def test_some_cents_are_no_part_payment(late_customer: Scenario) -> None:
    late_customer.company.pay(late_customer.number, "0.03")
    late_customer.run()
    [text] = texts(late_customer)
    assert "£1,199.97" in text
    assert "part payment" not in text


def test_nobody_is_thanked_for_the_cents_beside_a_credit_note(customer: Scenario) -> None:
    customer.company.credit_invoice(customer.number, "1199.97")
    customer.company.pay(customer.number)
    customer.run_for_days(2)
    assert texts(customer) == []


def test_who_was_told_that_the_payment_came_back_is_thanked_for_the_next_one(customer: Scenario) -> None:
    """The limit of one thank-you in 30 days is for several payments, not for one that had to be made twice."""
    customer.company.pay(customer.number)
    customer.run()
    customer.pass_days(1)
    customer.company.delete_payment(customer.number)
    customer.run_for_days(14, every=4)
    assert sent_steps(customer)[:2] == ["thank_you", "payment_returned"]
    customer.company.pay(customer.number)
    customer.run_for_days(6, every=2)
    assert sent_steps(customer).count("thank_you") == 2
    assert "payment of £1,200.00" in texts(customer)[-1]
    customer.run_for_days(6, every=2)
    assert sent_steps(customer).count("thank_you") == 2, "once"


def test_a_part_payment_after_a_credit_is_thanked_for(late_customer: Scenario) -> None:
    late_customer.company.credit_invoice(late_customer.number, "200.00")
    late_customer.company.pay(late_customer.number, "300.00")
    late_customer.run()
    [text] = texts(late_customer)
    assert "Thank you for your part payment; £700.00 is still outstanding" in text


def pay_in_pounds(scenario: Scenario, amount: str = "") -> None:
    """Pay an invoice in euros to an account in pounds, at another rate than that of the invoice."""
    company = scenario.company
    if company.provider == "xero":
        company.simulator.pay(scenario.number, amount, rate="1.1372", **company.company_filter)
    else:
        company.simulator.pay(scenario.number, amount or None)


def test_a_payment_at_another_rate_settles_what_it_says_in_the_currency_of_the_invoice(scenario: Scenario) -> None:
    company, abroad = scenario.company, {"email": "ap@rive.example", "currency": "EUR"}
    if company.provider == "xero":
        company.simulator.add_contact("Rive SARL", **abroad, **company.company_filter)
    else:
        company.simulator.add_customer("Rive SARL", **abroad)
    part, full = (company.invoice("Rive SARL", "1000.00", due_on=days(-8)) for _ in range(2))
    scenario.go_live()
    for scenario.number, amount in ((part, "400.00"), (full, "")):
        pay_in_pounds(scenario, amount)
    scenario.run()
    [text] = texts(scenario)
    assert "Thank you for your part payment; €600.00 is still outstanding" in text
    scenario.number = part
    pay_in_pounds(scenario)
    scenario.pass_days(5)
    scenario.run()
    assert "received your payments of €2,000.00" in texts(scenario)[-1] or "€2,000.00" in texts(scenario)[-1]
    assert not any("£" in each for each in texts(scenario))


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
def quickbooks(scenario_at: ScenarioFactory) -> Iterator[Scenario]:
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


def open_tasks(scenario: Scenario) -> list[tuple[str, str]]:
    with reading(scenario.app.engine) as session:
        return [(task.code, task.text) for task in find_tasks(session, scenario.connection)]


def sent_steps(scenario: Scenario) -> list[str]:
    return [entry.step for entry in reversed(scenario.outbox("done")) if entry.kind == "email"]


def test_a_payment_that_came_back_after_the_thank_you_is_a_task_first_and_then_an_email_of_its_own(
    reminded_customer: Scenario,
) -> None:
    reminded_customer.pass_days(5)
    reminded_customer.company.pay(reminded_customer.number)
    reminded_customer.run()
    assert sent_steps(reminded_customer) == ["past_due", "thank_you"]
    reminded_customer.pass_days(14)
    reminded_customer.company.delete_payment(reminded_customer.number)
    reminded_customer.run()
    [(code, text)] = open_tasks(reminded_customer)
    assert code == "payment_returned"
    assert "The payment of GBP 1,200.00 that the customer was thanked for on 15 Jun 2026" in text
    assert explained(reminded_customer).decision.code == "payment_returned"  # type: ignore[union-attr]
    reminded_customer.run_for_days(3)
    assert sent_steps(reminded_customer) == ["past_due", "thank_you"]  # a mistake can still be corrected
    reminded_customer.run_for_days(9, every=3)
    assert sent_steps(reminded_customer)[:3] == ["past_due", "thank_you", "payment_returned"]
    returned = texts(reminded_customer)[2]
    assert "On 15 June 2026 we thanked you for your payment" in returned
    assert "£1,200.00 is outstanding again" in returned
    reminded_customer.run_for_days(14, every=4)
    assert sent_steps(reminded_customer).count("payment_returned") == 1
    assert sent_steps(reminded_customer)[3] == "second_notice"  # reminders continue where they stopped
    told_on = next(on for on, step in reminded_customer.sent_steps() if step == "payment_returned")
    assert f"We last wrote to you about this on {told_on:%-d %B %Y}" in texts(reminded_customer)[3]
    assert len([each for each in open_tasks(reminded_customer) if each[0] == "payment_returned"]) == 1


def test_a_payment_that_is_entered_again_in_time_is_never_mentioned_to_the_customer(customer: Scenario) -> None:
    customer.company.pay(customer.number)
    customer.run()
    customer.pass_days(2)
    customer.company.delete_payment(customer.number)
    customer.run()
    assert [code for code, _ in open_tasks(customer)] == ["payment_returned"]
    customer.company.pay(customer.number)
    customer.run_for_days(20, every=4)
    assert sent_steps(customer) == ["thank_you"]
    assert open_tasks(customer) == []


def test_of_a_payment_that_is_entered_again_with_less_only_a_part_was_returned(reminded_customer: Scenario) -> None:
    reminded_customer.pass_days(5)
    reminded_customer.company.pay(reminded_customer.number)
    reminded_customer.run()
    reminded_customer.company.delete_payment(reminded_customer.number)
    reminded_customer.run()
    reminded_customer.company.pay(reminded_customer.number, "1100.00")
    reminded_customer.run_for_days(12, every=3)
    returned = texts(reminded_customer)[2]
    assert "part of it has been returned or reversed, so that £100.00 is outstanding again" in returned


def test_a_part_payment_that_was_thanked_for_and_came_back_is_noticed_as_well(late_customer: Scenario) -> None:
    late_customer.company.pay(late_customer.number, "500.00")
    late_customer.run()
    assert "Thank you for your part payment" in texts(late_customer)[0]
    late_customer.pass_days(3)
    late_customer.company.delete_payment(late_customer.number)
    late_customer.run()
    [(code, text)] = open_tasks(late_customer)
    assert code == "payment_returned"
    assert "The payment of GBP 500.00" in text


def test_an_invoice_that_was_raised_after_the_thank_you_is_no_returned_payment(quickbooks: Scenario) -> None:
    simulator = quickbooks.company.simulator
    quickbooks.company.pay(quickbooks.number)
    quickbooks.run()
    line = simulator.find(quickbooks.number)["Line"][0]
    simulator.edit(quickbooks.number, Line=[{**line, "Amount": Decimal("1250.00")}])
    quickbooks.run()
    assert open_tasks(quickbooks) == []
    assert explained(quickbooks).decision.code != "payment_returned"  # type: ignore[union-attr]


def test_a_returned_cheque_moved_to_another_invoice_is_noticed(quickbooks: Scenario) -> None:
    """Intuit's own instruction: the payment stays and is linked to something else."""
    simulator = quickbooks.company.simulator
    payment = simulator.pay(quickbooks.number)
    quickbooks.run()
    charge = quickbooks.company.invoice("Ashdown Ltd", "1200.00", due_on=days(30), on=days(1))
    simulator.move_payment(payment["Id"], charge)
    quickbooks.pass_days(1)
    quickbooks.run()
    assert [code for code, _ in open_tasks(quickbooks)] == ["payment_returned"]


def test_nobody_is_told_that_money_was_returned_which_another_invoice_has(scenario: Scenario) -> None:
    company = scenario.company
    company.customer("Ashdown Ltd")
    first, second = (company.invoice("Ashdown Ltd", "1200.00", due_on=days(10), on=days(-2)) for _ in range(2))
    scenario.go_live()
    company.pay(first, on=days(0))
    scenario.run()
    assert ["received your payment" in each for each in texts(scenario)] == [True]
    scenario.pass_days(1)
    if company.provider == "xero":
        company.delete_payment(first)
        company.pay(second, on=days(0))
    else:
        company.simulator.move_payment(company.simulator.find(first)["LinkedTxn"][-1]["TxnId"], second)
    scenario.run()
    [(code, text)] = open_tasks(scenario)
    assert code == "payment_returned"
    what = "a payment of the same date and amount" if company.provider == "xero" else "the money"
    assert f"{what} is applied to {second} of 8 Jun 2026 now" in text
    scenario.run_for_days(21, every=7)
    assert not any("was returned" in each for each in texts(scenario))
    assert any("£1,200.00" in each and "overdue" in each for each in texts(scenario))


@pytest.mark.parametrize("amounts", [("700.00", "500.00"), ("700.00",)], ids=["all of it", "the rest is unapplied"])
def test_nobody_is_told_that_money_was_returned_which_was_split(quickbooks: Scenario, amounts: tuple[str, ...]) -> None:
    company = quickbooks.company
    company.customer("Bexley Ltd")
    first = company.invoice("Bexley Ltd", "1200.00", due_on=days(10), on=days(-2))
    others = {company.invoice("Bexley Ltd", each, due_on=days(60), on=days(-2)): each for each in amounts}
    quickbooks.go_live()
    company.pay(first, on=days(0))
    quickbooks.run()
    quickbooks.pass_days(1)
    company.delete_payment(first)
    company.simulator.receive("Bexley Ltd", "1200.00", others, on=days(0))
    quickbooks.run()
    [text] = [text for code, text in open_tasks(quickbooks) if code == "payment_returned"]
    assert f"is applied to {' and '.join(f'{each} of 8 Jun 2026' for each in others)} now" in text
    quickbooks.run_for_days(10, every=2)
    assert not any("was returned" in each or "has been returned" in each for each in texts(quickbooks))


def test_a_payment_that_is_entered_again_without_a_cent_is_no_returned_payment(customer: Scenario) -> None:
    customer.company.pay(customer.number)
    customer.run()
    customer.pass_days(1)
    customer.company.delete_payment(customer.number)
    customer.company.pay(customer.number, "1199.99")
    customer.run()
    assert open_tasks(customer) == []


@pytest.mark.parametrize("again", ["400.00", "399.50"])
def test_the_task_ends_once_a_part_payment_that_was_thanked_for_is_entered_again(
    late_customer: Scenario, again: str
) -> None:
    late_customer.company.pay(late_customer.number, "400.00")
    late_customer.run()
    late_customer.pass_days(1)
    late_customer.company.delete_payment(late_customer.number)
    late_customer.run()
    assert [code for code, _ in open_tasks(late_customer)] == ["payment_returned"]
    late_customer.company.pay(late_customer.number, again)
    late_customer.run()
    assert "payment_returned" not in [code for code, _ in open_tasks(late_customer)]
    late_customer.run_for_days(12)
    assert "payment_returned" not in sent_steps(late_customer)
    late_customer.company.delete_payment(late_customer.number)
    late_customer.run()
    assert "payment_returned" in [code for code, _ in open_tasks(late_customer)]


def test_a_payment_that_a_credit_replaces_is_not_said_to_have_come_back(late_customer: Scenario) -> None:
    late_customer.company.pay(late_customer.number, "500.00")
    late_customer.run()
    assert any("Thank you for your part payment; £700.00 is still outstanding" in each for each in texts(late_customer))
    late_customer.pass_days(1)
    late_customer.company.delete_payment(late_customer.number)
    late_customer.company.credit_invoice(late_customer.number, "500.00")
    late_customer.run()
    assert open_tasks(late_customer) == []


def pay_to(scenario: Scenario, account: str, amount: str = "") -> None:
    """Book a payment to an account by its name: bad debts, or what a payment service keeps."""
    company = scenario.company
    scenario.sandbox.clock.advance(timedelta(minutes=1))  # Xero tells changes by the second
    if company.provider == "xero":
        code = {"Bad Debts": "431", "Bank Fees": "404"}[account]
        company.simulator.pay(scenario.number, amount, "", account=code, **company.company_filter)
        return
    kind = "Other Current Asset" if account == "Bad Debts" else "Expense"
    company.simulator.pay(scenario.number, amount or None, deposit_to=company.simulator.add_account(account, kind))


def test_a_payment_to_an_account_of_bad_debts_is_a_write_off(customer: Scenario) -> None:
    pay_to(customer, "Bad Debts")
    customer.run_for_days(3)
    assert texts(customer) == []
    assert "no payment was received for it" in reason(customer)


@pytest.mark.parametrize("amount", ["", "200.00"], ids=["in place of the payment", "of a part"])
def test_a_write_off_right_before_sending_is_not_thanked_for(
    late_customer: Scenario, monkeypatch: pytest.MonkeyPatch, amount: str
) -> None:
    """It lands after the sync has read the ledger: the invoice is read again, and so is where its payment went."""
    ledger: Any = {"xero": XeroLedger, "quickbooks": QuickBooksLedger}[late_customer.company.provider]
    reload = ledger.reload_documents

    if not amount:
        late_customer.company.pay(late_customer.number)

    def write_off_first(self: Any, *arguments: Any) -> Any:
        monkeypatch.undo()
        if not amount:
            late_customer.company.delete_payment(late_customer.number)
        pay_to(late_customer, "Bad Debts", amount)
        return reload(self, *arguments)

    monkeypatch.setattr(ledger, "reload_documents", write_off_first)
    late_customer.run_for_days(3)
    assert [text for text in texts(late_customer) if "hank you" in text] == []
    assert len(texts(late_customer)) == (1 if amount else 0)


def test_a_payment_whose_account_is_corrected_is_a_payment(quickbooks: Scenario) -> None:
    simulator = quickbooks.company.simulator
    payment = simulator.pay(quickbooks.number, deposit_to=simulator.add_account("Bad Debts", "Other Current Asset"))
    quickbooks.run()
    assert "no payment was received for it" in reason(quickbooks)
    quickbooks.pass_days(1)
    simulator.deposit_to(payment["Id"], simulator.add_account("Undeposited Funds 2", "Other Current Asset"))
    quickbooks.run()
    [text] = texts(quickbooks)
    assert "received your payment of £1,200.00" in text


def test_what_is_written_off_beside_a_payment_is_not_thanked_for(customer: Scenario) -> None:
    customer.company.pay(customer.number, "1000.00")
    customer.run()
    pay_to(customer, "Bad Debts")
    customer.run()
    [text] = texts(customer)
    assert "£1,000.00" in text
    assert "£1,200.00" not in text


def test_what_a_payment_service_kept_was_paid_all_the_same(customer: Scenario) -> None:
    customer.company.pay(customer.number, "1180.00")
    pay_to(customer, "Bank Fees")
    customer.run()
    [text] = texts(customer)
    assert "received your payment of £1,200.00" in text


def test_accounts_are_read_only_when_a_payment_names_a_new_one(customer: Scenario) -> None:
    reads = {"xero": "/Accounts", "quickbooks": "/query"}[customer.company.provider]
    before = len(customer.sandbox.requests)
    for amount in ("100.00", "200.00", "300.00"):
        customer.sandbox.clock.advance(timedelta(minutes=1))
        customer.company.pay(customer.number, amount)
        customer.run()
    assert [each.path.endswith(reads) for each in customer.sandbox.requests[before:]].count(True) == 1


def test_a_post_dated_cheque_is_thanked_for_on_its_date(customer: Scenario) -> None:
    customer.company.pay(customer.number, on=days(5))
    customer.run()
    assert reason(customer) == "Settled by what is dated 15 Jun 2026: nobody is thanked before."
    customer.run_for_days(5)
    assert texts(customer) == []
    customer.run()
    assert len(texts(customer)) == 1


def test_no_part_payment_is_claimed_before_the_date_of_a_post_dated_cheque(scenario: Scenario) -> None:
    scenario.company.customer("Ashdown Ltd")
    scenario.number = scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=days(-6))
    scenario.company.pay(scenario.number, "700.00", on=days(20))
    scenario.go_live().run()
    [text] = texts(scenario)
    assert "£500.00" in text
    assert "part payment" not in text


def test_the_task_about_a_returned_payment_follows_its_amounts(reminded_customer: Scenario) -> None:
    reminded_customer.pass_days(5)
    reminded_customer.company.pay(reminded_customer.number)
    reminded_customer.run()
    reminded_customer.pass_days(14)
    reminded_customer.company.delete_payment(reminded_customer.number)
    reminded_customer.run()
    reminded_customer.company.pay(reminded_customer.number, "700.00")
    reminded_customer.run()
    [(code, text)] = open_tasks(reminded_customer)
    assert code == "payment_returned"
    assert "The payment of GBP 500.00 that the customer was thanked for" in text
    assert "GBP 500.00 is open" in text


@pytest.mark.parametrize(("total", "rest"), [("1250.00", "£650.00"), ("1150.00", "£550.00")], ids=["raised", "lowered"])
def test_what_an_invoice_was_raised_by_is_not_deducted_from_the_money_that_came(
    reminded_customer: Scenario, total: str, rest: str
) -> None:
    reminded_customer.pass_days(1)
    reminded_customer.company.pay(reminded_customer.number, "600.00")
    reminded_customer.company.change_total(reminded_customer.number, total)
    reminded_customer.pass_days(14)
    reminded_customer.run()
    text = texts(reminded_customer)[-1]
    assert "we have received £600.00" in text
    assert rest in text
