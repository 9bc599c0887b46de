"""What changes between an import and an email: payments that are booked, deleted or replaced, invoices that close."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select
from sqlmodel import col

from connector.bank import matches as bank_matches
from connector.bank.deciding import MatchDecisionError
from connector.bank.matching import match_receipts
from connector.db.engine import reading, writing
from connector.db.tables import BankReceipt, InvoiceRow, Task
from connector.outbox import approvals
from connector.services import bank_statements
from connector.vocabulary import MatchCertainty, MatchState, ReceiptState, TaskCode, TaskState
from policies.decisions import HoldCode
from tests.connector.bank.test_bank_run import csv_of, decision, drop, matches, tasks
from tests.connector.scenario import LEDGERS, ResumeAfter, Scenario, add_late_customer

REREAD: dict[str, dict[str, Any]] = {"xero": {"query": "IDs="}, "quickbooks": {"path": "/cdc$", "nth": 2}}


@pytest.fixture(params=LEDGERS)
def late(request: pytest.FixtureRequest, resume_after: ResumeAfter) -> Iterator[Scenario]:
    """A live company; 1200.00 of Ashdown Ltd is six days overdue, and its reminder was not sent yet."""
    with resume_after(add_late_customer, request.param) as scenario:
        yield scenario


def receipt_states(scenario: Scenario) -> list[ReceiptState]:
    with reading(scenario.app.engine) as session:
        return list(session.scalars(select(col(BankReceipt.state)).order_by(col(BankReceipt.id))))


def test_money_that_is_booked_right_before_an_email_is_deducted_once(late: Scenario) -> None:
    drop(late, csv_of((late.days_ago(1), "Ashdown Ltd", f"part of {late.number}", "300.00")))
    provider = late.company.provider
    rule = late.sandbox.faults.call(
        lambda _request: late.company.pay(late.number, "300.00", on=late.days_ago(1)),
        times=1,
        service=provider,
        **REREAD[provider],
    )
    late.run()
    assert rule.fired == 1
    late.sandbox.faults.clear()
    late.run()
    (entry,) = [each for each in late.outbox("done") if each.kind == "email"]
    assert list(entry.payload["due"].values()) == ["900.00"]
    assert receipt_states(late) == [ReceiptState.IN_LEDGER]


def test_money_of_an_invoice_that_was_credited_may_be_for_the_others(late: Scenario) -> None:
    other = late.company.invoice("Ashdown Ltd", "1200.00", due_on=late.days_ago(3))
    late.run()
    sent = len(late.customer_emails())
    drop(late, csv_of((late.days_ago(1), "Ashdown Ltd", late.number, "1200.00")))
    bank_statements.confirm_match(late.app, matches(late)[0].id, by="ann")
    late.company.credit_invoice(late.number, "1200.00")
    late.pass_days(1)
    late.run()
    (match,) = matches(late)
    assert (match.invoice, match.state, match.certainty) == (other, MatchState.OPEN, MatchCertainty.PROBABLE)
    late.run_for_days(12)
    assert len(late.customer_emails()) == sent


def test_money_that_is_confirmed_for_several_invoices_is_counted_once(late: Scenario) -> None:
    late.company.invoice("Ashdown Ltd", "300.00", due_on=late.days_ago(3))
    third = late.company.invoice("Ashdown Ltd", "75.00", due_on=late.days_ago(-20))
    late.run()
    drop(late, csv_of((late.days_ago(1), "Ashdown Ltd", "on account", "1300.00")))
    money = {each.amount: each for each in matches(late)}
    assert set(money) == {"1200.00", "300.00", "75.00"}
    for amount in ("1200.00", "300.00"):
        bank_statements.confirm_match(late.app, money[amount].id, by="ann")
    assert sorted(each.amount for each in matches(late)) == ["100.00", "1200.00"]
    with pytest.raises(MatchDecisionError, match="All of this money is for other invoices"):
        bank_statements.assign_receipt(late.app, money["75.00"].receipt, third, by="ann")


def test_money_that_was_booked_with_another_amount_holds_nothing_more(late: Scenario) -> None:
    """The bank kept 15.00: the ledger has the payment in full, and the charge as an expense."""
    late.company.invoice("Ashdown Ltd", "800.00", due_on=late.days_ago(-5))
    drop(late, csv_of((late.days_ago(1), "Ashdown Ltd", late.number, "1185.00")))
    bank_statements.confirm_match(late.app, matches(late)[0].id, by="ann")
    late.company.pay(late.number, on=late.days_ago(1))
    late.run()
    assert matches(late) == []
    assert receipt_states(late) == [ReceiptState.IN_LEDGER]
    late.company.delete_payment(late.number)
    late.pass_days(1)
    late.run()
    assert decision(late).code == HoldCode.PAID_AT_BANK


def test_what_a_person_confirmed_is_confirmed_again_when_its_payment_is_deleted(late: Scenario) -> None:
    """The payer's name says nothing: without the confirmation the money would hold nothing."""
    drop(late, csv_of((late.days_ago(1), "Hr 4711 Treuhand", "Sammler", "1200.00")))
    (found,) = matches(late)  # nothing but the amount says so
    assert found.certainty is MatchCertainty.PROBABLE
    bank_statements.assign_receipt(late.app, found.receipt, late.number, by="ann")
    late.company.pay(late.number, on=late.days_ago(1))
    late.run()
    assert receipt_states(late) == [ReceiptState.IN_LEDGER]
    late.company.delete_payment(late.number)
    late.pass_days(1)
    late.run()
    assert [each.state for each in matches(late)] == [MatchState.CONFIRMED]
    assert decision(late).code == HoldCode.PAID_AT_BANK
    assert late.customer_emails() == []


def test_a_sync_without_any_change_matches_nothing_again(late: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    drop(late, csv_of((late.days_ago(1), "Ashdown Ltd", late.number, "1200.00")))
    late.run()
    called: list[int] = []
    monkeypatch.setattr(bank_matches, "match_receipts", lambda *_facts: called.append(1))
    late.pass_days(0)
    late.run()
    assert called == []


def test_only_the_newest_of_very_much_money_is_matched_again(late: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(late.days_ago(20 - day), f"Stranger {day}", "", f"{day + 1}.00") for day in range(9)]
    drop(late, csv_of(*rows, (late.days_ago(1), "Ashdown Ltd", late.number, "1200.00")))
    seen: list[list[str]] = []

    def count(receipts: Any, facts: Any) -> Any:
        seen.append([each.payer for each in receipts])
        return match_receipts(receipts, facts)

    monkeypatch.setattr(bank_matches, "match_receipts", count)
    monkeypatch.setattr(bank_matches, "_REFRESHED_MAX", 3)
    late.company.invoice("Ashdown Ltd", "10.00", due_on=late.days_ago(-20))
    late.pass_days(1)
    late.run()
    assert seen[0] == ["Stranger 7", "Stranger 8", "Ashdown Ltd"]
    assert decision(late).code == HoldCode.PAID_AT_BANK


@pytest.mark.parametrize("may_be_there", [True, False])
def test_no_email_says_that_a_reported_payment_is_missing_while_money_may_be_it(
    late: Scenario, *, may_be_there: bool
) -> None:
    late.run()
    late.pass_days(2)
    with writing(late.app.engine) as session:
        invoice = session.scalars(select(InvoiceRow).where(col(InvoiceRow.number) == late.number)).one()
        session.add(
            Task(
                connection_id=late.connection,
                key="reported",
                code=TaskCode.PAYMENT_REPORTED,
                customer_id=invoice.customer_id,
                invoice_ids=[invoice.external_id],
                due_on=late.today,
                reason="Ashdown reports a payment.",
                created_at=late.app.now(),
            )
        )
    if may_be_there:
        drop(late, csv_of((late.days_ago(1), "Ashdown Ltd", "thank you", "700.00")))
    late.run_for_days(7)
    late.run()
    for entry in late.outbox("awaiting_approval"):
        with writing(late.app.engine) as session:
            approvals.approve(session, [entry.id or 0], by="ann", at=late.app.now())
    late.run()
    first, second = [each.text for each in late.sandbox.sendgrid.emails() if "accounts@ashdown.example" in each.to]
    assert "find this payment" not in first
    assert ("have not been able to find this payment" in second) == (not may_be_there)


@pytest.mark.parametrize("payer", ["Ashdown Ltd", "Somebody Else"], ids=["named", "recognised by its amount"])
def test_a_booked_payment_that_the_bank_takes_back_becomes_a_task(late: Scenario, payer: str) -> None:
    """It names the invoice, and is cancelled once the accounting system has followed."""
    late.company.pay(late.number, on=late.days_ago(3))
    late.run()
    text = late.number if payer == "Ashdown Ltd" else "thanks"
    drop(late, csv_of((late.days_ago(3), payer, text, "1200.00")))
    drop(
        late,
        csv_of((late.days_ago(1), payer, f"Returned direct debit {text}", "-1204.00")),
        "back.csv",
    )
    late.run()
    (task,) = tasks(late, TaskCode.PAYMENT_TAKEN_BACK)
    assert task.state == TaskState.OPEN
    assert "was taken back by the bank on 9 Jun 2026, and the accounting system still shows the payment" in task.reason
    assert f"the payment of invoice {late.number}: remove it there" in task.reason

    late.company.delete_payment(late.number)
    late.pass_days(1)
    late.run()
    (task,) = tasks(late, TaskCode.PAYMENT_TAKEN_BACK)
    assert (task.state, task.outcome) == (TaskState.CANCELLED, "the accounting system no longer shows the payment")
