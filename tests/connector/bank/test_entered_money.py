"""Deposits in QuickBooks on no payment: money that may be for an invoice, which a person has to say."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from connector.services import bank_statements
from connector.vocabulary import MatchCertainty, MatchState, TaskCode
from tests.connector.bank.test_bank_run import csv_of, drop, matches, tasks
from tests.connector.scenario import ResumeAfter, Scenario, add_late_customer

INCOME, RECEIVABLE, UNDEPOSITED = "1", "2", "4"  # accounts of the simulated company


@pytest.fixture
def late(resume_after: ResumeAfter) -> Iterator[Scenario]:
    """A live company; 1200.00 of Ashdown Ltd is six days overdue, and its reminder was not sent yet."""
    with resume_after(add_late_customer, "quickbooks") as scenario:
        yield scenario


def emails(scenario: Scenario) -> list[str]:
    return [each.state for each in scenario.outbox() if each.kind == "email"]


def test_a_deposit_of_a_customer_on_no_payment_makes_the_reminder_await_approval(late: Scenario) -> None:
    """Once a person says that it is the customer's payment, it holds, until the payment is entered."""
    deposit = late.company.simulator.add_deposit("1200.00", account=INCOME, customer="Ashdown Ltd", note="June")
    late.run()
    assert emails(late) == ["awaiting_approval"]
    (match,) = matches(late)
    assert (match.invoice, match.amount, match.certainty) == (late.number, "1200.00", MatchCertainty.PROBABLE)
    assert match.parts[-1].text == "a deposit in the accounting system that is on no payment: it may be a cash sale"

    bank_statements.confirm_match(late.app, match.id, by="ann")
    late.pass_days(1)
    late.run()
    assert "awaiting_approval" not in emails(late)
    assert late.customer_emails() == []
    assert len(tasks(late, TaskCode.BOOK_PAYMENT)) == 1

    late.company.simulator.delete_deposit(deposit)
    late.company.pay(late.number, on=late.today)
    late.pass_days(1)
    late.run()
    assert matches(late) == []


@pytest.mark.parametrize(
    ("account", "customer", "payment", "expected"),
    [
        (INCOME, "", "", MatchCertainty.PROBABLE),
        (UNDEPOSITED, "Ashdown Ltd", "77", None),
        (UNDEPOSITED, "", "", None),
        (RECEIVABLE, "Ashdown Ltd", "", None),
    ],
    ids=["to income, of nobody", "of a payment", "from another asset, of nobody", "in the customer's balance"],
)
def test_only_a_deposit_that_may_pay_an_invoice_is_money_in_the_bank(
    late: Scenario, account: str, customer: str, payment: str, expected: MatchCertainty | None
) -> None:
    late.company.simulator.add_deposit("1200.00", account=account, customer=customer, payment=payment)
    late.run()
    assert [each.certainty for each in matches(late)] == ([expected] if expected else [])


@pytest.mark.parametrize("is_confirmed", [False, True], ids=["undecided", "confirmed"])
def test_a_deposit_that_a_statement_has_as_well_counts_once(late: Scenario, *, is_confirmed: bool) -> None:
    late.company.simulator.add_deposit("1200.00", account=INCOME, customer="Ashdown Ltd")
    late.company.invoice("Ashdown Ltd", "1200.00", due_on=late.days_ago(6))
    late.run()
    first = next(each for each in matches(late) if each.invoice == late.number)
    if is_confirmed:
        bank_statements.confirm_match(late.app, first.id, by="ann")
    drop(late, csv_of((late.days_ago(1), "Ashdown Ltd", late.number, "1200.00")))
    (match,) = matches(late)
    assert (match.invoice, match.state) == (late.number, MatchState.CONFIRMED if is_confirmed else MatchState.OPEN)
    assert match.received_on == late.days_ago(1)


def test_of_two_equal_lines_of_a_statement_the_one_that_names_the_payer_is_the_deposit(late: Scenario) -> None:
    late.company.simulator.add_deposit("1200.00", account=INCOME, customer="Ashdown Ltd")
    late.run()
    bank_statements.confirm_match(late.app, matches(late)[0].id, by="ann")
    drop(late, csv_of((late.today, "Birch & Co", "deposit", "1200.00"), (late.days_ago(1), "Ashdown", "", "1200.00")))
    (match,) = (each for each in matches(late) if each.state == MatchState.CONFIRMED)
    assert match.received_on == late.days_ago(1)


def test_a_deleted_deposit_is_for_nothing_any_more(late: Scenario) -> None:
    deposit = late.company.simulator.add_deposit("1200.00", account=INCOME, customer="Ashdown Ltd")
    late.run()
    assert len(matches(late)) == 1
    late.company.simulator.delete_deposit(deposit)
    late.pass_days(1)
    late.run()
    assert matches(late) == []
    assert [each.state for each in matches(late, include_closed=True)] == [MatchState.ENDED]


@pytest.mark.parametrize(
    ("amounts", "kept"), [(["50.00", "1200.00"], True), (["12.00"], False)], ids=["line", "amount"]
)
def test_what_a_person_confirmed_of_a_deposit_stays_with_its_money_when_the_deposit_is_edited(
    late: Scenario, amounts: list[str], *, kept: bool
) -> None:
    deposit = late.company.simulator.add_deposit("1200.00", account=INCOME, customer="Ashdown Ltd")
    late.run()
    bank_statements.confirm_match(late.app, matches(late)[0].id, by="ann")
    late.company.simulator.edit_deposit(deposit, *amounts)
    late.pass_days(1)
    late.run()
    confirmed = [each for each in matches(late) if each.state == MatchState.CONFIRMED]
    assert [each.received for each in confirmed] == (["1200.00"] if kept else [])


def test_a_deposit_that_is_on_no_payment_any_more_counts_again(late: Scenario) -> None:
    deposit = late.company.simulator.add_deposit("1200.00", account=INCOME, customer="Ashdown Ltd")
    late.run()
    late.company.simulator.edit_deposit(deposit, "0.00")
    late.pass_days(1)
    late.run()
    assert matches(late) == []
    late.company.simulator.edit_deposit(deposit, "1200.00")
    late.pass_days(1)
    late.run()
    assert len(matches(late)) == 1
