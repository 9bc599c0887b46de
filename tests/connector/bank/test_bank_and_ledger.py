"""Money that a statement has, and the ledger as well, but not on the invoice: it counts once."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

from connector.services import bank_statements
from connector.vocabulary import MatchCertainty, MatchState, TaskCode
from tests.connector.bank.test_bank_run import csv_of, drop, matches, tasks
from tests.connector.scenario import LEDGERS, ResumeAfter, Scenario


def add_two_late_invoices(scenario: Scenario) -> None:
    """Add 1200.00 and 800.00 of Ashdown Ltd, both six days overdue."""
    scenario.company.customer("Ashdown Ltd")
    for amount in ("1200.00", "800.00"):
        scenario.company.invoice("Ashdown Ltd", amount, due_on=scenario.days_ago(6))
    scenario.go_live()


@pytest.fixture(params=LEDGERS)
def late(request: pytest.FixtureRequest, resume_after: ResumeAfter) -> Iterator[Scenario]:
    """A live company with two overdue invoices of one customer; their reminder was not sent yet."""
    with resume_after(add_two_late_invoices, request.param) as scenario:
        yield scenario


def asked_for(scenario: Scenario) -> list[dict[str, str]]:
    return [each.payload["due"] for each in scenario.outbox() if each.kind == "email"]


def test_what_is_entered_on_no_invoice_and_is_in_the_bank_covers_one_invoice_only(late: Scenario) -> None:
    """In Xero an overpayment, which is read right before the email; in QuickBooks a payment that is not applied."""
    number, simulator = late.company.numbers[0], late.company.simulator
    drop(late, csv_of((late.days_ago(1), "Ashdown Ltd", number, "1200.00")))
    if late.company.provider == "xero":
        simulator.add_credit("Ashdown Ltd", "1200.00", "Overpayment", **late.company.company_filter)
    else:
        simulator.pay_unapplied("Ashdown Ltd", "1200.00", on=late.days_ago(1))
    late.run()
    late.run()
    assert [sum(map(Decimal, each.values())) for each in asked_for(late)] == [Decimal("800.00")]
    assert [each.state for each in matches(late, include_closed=True)] == [MatchState.IN_LEDGER]


@pytest.mark.parametrize("late", ["quickbooks"], indirect=True)
def test_a_deposit_of_exactly_what_is_in_the_bank_may_be_that_money(late: Scenario) -> None:
    """It is on accounts receivable, so that only the customer's balance tells of it: a person has to look."""
    first, _second = late.company.numbers
    simulator = late.company.simulator
    drop(late, csv_of((late.days_ago(1), "Ashdown Ltd", first, "1200.00")))
    simulator.book_on_no_invoice("Ashdown Ltd", "1200.00")
    late.run()
    assert asked_for(late) == []
    (task,) = tasks(late, TaskCode.APPLY_CREDIT)
    assert task.reason.endswith(
        "It may be the GBP 1,200.00 from Ashdown Ltd that the bank statement has on 9 Jun 2026: then apply it to"
        f" {first} only."
    )

    simulator.book_on_no_invoice("Ashdown Ltd", "-1200.00")  # the deposit is applied to the invoice
    late.company.pay(first, on=late.days_ago(1))
    late.pass_days(1)
    late.run()
    assert [sum(map(Decimal, each.values())) for each in asked_for(late)] == [Decimal("800.00")]


@pytest.mark.parametrize("text", ["", "thank you"], ids=["named", "matched by its amount"])
def test_money_for_two_invoices_may_be_booked_one_after_the_other(late: Scenario, text: str) -> None:
    """The rest is held for the other invoice; when that is booked on another day, nothing is left for later ones."""
    first, second = late.company.numbers
    drop(late, csv_of((late.days_ago(1), "Ashdown Ltd", text or f"{first} {second}", "2000.00")))
    late.run()
    late.company.pay(first, on=late.days_ago(1))
    late.pass_days(1)
    late.run()
    (rest,) = matches(late)
    assert (rest.invoice, rest.amount, rest.certainty) == (second, "800.00", MatchCertainty.SURE)

    late.company.pay(second, on=late.today)
    late.company.invoice("Ashdown Ltd", "500.00", due_on=late.days_ago(3))
    late.pass_days(1)
    late.run()
    assert matches(late) == []


def test_money_for_two_invoices_of_which_one_was_credited_awaits_approval(late: Scenario) -> None:
    """Nobody knows what the credited part is for; what a person confirmed for the other invoice stays."""
    first, second = late.company.numbers
    drop(late, csv_of((late.days_ago(1), "Ashdown Ltd", f"{first} {second}", "2000.00")))
    late.company.credit_invoice(first, "1200.00")
    late.run()
    (match,) = matches(late)
    assert (match.invoice, match.certainty) == (second, MatchCertainty.PROBABLE)
    assert [each.state for each in late.outbox() if each.kind == "email"] == ["awaiting_approval"]
    bank_statements.confirm_match(late.app, match.id, by="ann")
    late.pass_days(1)
    late.run()
    assert [each.state for each in matches(late)] == [MatchState.CONFIRMED]
    assert late.customer_emails() == []
