"""Money on a bank statement holds what it pays, until the ledger shows it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import pytest
from sqlalchemy import select
from sqlmodel import col

from connector.bank.importing import ImportResult
from connector.connections.registry import set_mode
from connector.db.engine import reading, writing
from connector.db.tables import BankReceipt, InvoiceDecisionRow, InvoiceRow, OutboxEntry, SyncLogEntry, Task
from connector.services import bank_statements
from connector.services.bank_statements import MatchItem
from connector.vocabulary import ConnectionMode, LogKind, MatchCertainty, MatchState, ReceiptState, TaskCode, TaskState
from policies.decisions import HoldCode
from tests.connector.scenario import LEDGERS, ResumeAfter, Scenario, add_late_customer

HEADER = "Date;Name;Description;Amount;Currency\n"


def csv_of(*rows: tuple[date, str, str, str], currency: str = "GBP") -> bytes:
    """Return a bank's CSV file: date, payer, purpose and amount of each entry."""
    lines = [f"{on.isoformat()};{payer};{text};{amount};{currency}" for on, payer, text, amount in rows]
    return (HEADER + "\n".join(lines)).encode()


def drop(scenario: Scenario, content: bytes, name: str = "june.csv") -> ImportResult:
    """Import a statement."""
    return bank_statements.import_file(scenario.app, scenario.connection, content, name=name, by="ann")


def matches(scenario: Scenario, *, include_closed: bool = False) -> list[MatchItem]:
    with reading(scenario.app.engine) as session:
        return bank_statements.list_matches(session, [scenario.connection], include_closed=include_closed)


def decision(scenario: Scenario) -> InvoiceDecisionRow:
    """Return what was decided about the scenario's invoice."""
    with reading(scenario.app.engine) as session:
        query = select(InvoiceDecisionRow).join(
            InvoiceRow,
            (col(InvoiceRow.external_id) == col(InvoiceDecisionRow.invoice_id))
            & (col(InvoiceRow.connection_id) == col(InvoiceDecisionRow.connection_id)),
        )
        return session.scalars(query.where(col(InvoiceRow.number) == scenario.number)).one()


def tasks(scenario: Scenario, code: TaskCode) -> list[Task]:
    with reading(scenario.app.engine) as session:
        return list(session.scalars(select(Task).where(col(Task.code) == code).order_by(col(Task.id))))


def log_texts(scenario: Scenario, kind: LogKind) -> list[str]:
    with reading(scenario.app.engine) as session:
        return list(session.scalars(select(col(SyncLogEntry.text)).where(col(SyncLogEntry.kind) == kind)))


@pytest.fixture(params=LEDGERS)
def late(request: pytest.FixtureRequest, resume_after: ResumeAfter) -> Iterator[Scenario]:
    """A live company; 1200.00 of Ashdown Ltd is six days overdue, and its reminder was not sent yet."""
    with resume_after(add_late_customer, request.param) as scenario:
        yield scenario


def test_money_in_the_bank_holds_the_reminder_until_the_ledger_shows_it(late: Scenario) -> None:
    result = drop(late, csv_of((late.days_ago(1), "ASHDOWN LIMITED", f"Payment {late.number}", "1200.00")))
    assert (result.new, result.sure, result.probable) == (1, 1, 0)

    late.run()
    assert late.customer_emails() == []
    held = decision(late)
    assert held.code == HoldCode.PAID_AT_BANK
    assert held.reason == "GBP 1,200.00 from ASHDOWN LIMITED arrived on 9 Jun 2026 and is not booked yet."
    (task,) = tasks(late, TaskCode.BOOK_PAYMENT)
    assert task.state == TaskState.OPEN
    assert f"apply it to {late.number} in the accounting system" in task.reason
    assert any("not booked" in text for text in log_texts(late, LogKind.BANK_MATCH))

    late.company.pay(late.number, on=late.days_ago(1))
    late.pass_days(1)
    late.run()
    (match,) = matches(late, include_closed=True)
    assert match.state == MatchState.IN_LEDGER
    assert decision(late).code == HoldCode.NOTHING_OWED
    assert tasks(late, TaskCode.BOOK_PAYMENT)[0].state == TaskState.CANCELLED
    assert any("is in the accounting system now" in text for text in log_texts(late, LogKind.BANK_MATCH))


def test_money_that_nobody_books_becomes_a_second_task_and_nothing_is_sent(late: Scenario) -> None:
    drop(late, csv_of((late.days_ago(1), "Ashdown", late.number, "1200.00")))
    late.run_for_days(14, every=3)
    (late_task,) = tasks(late, TaskCode.PAYMENT_NOT_BOOKED)
    assert "still not booked after 3 business days" in late_task.reason
    assert "book it, or say that it is for something else" in decision(late).reason
    assert late.customer_emails() == []

    (match,) = matches(late)
    bank_statements.reject_match(late.app, match.id, by="ann")
    late.run_for_days(1)
    assert len(late.customer_emails()) == 1
    assert {task.state for task in tasks(late, TaskCode.PAYMENT_NOT_BOOKED)} == {TaskState.CANCELLED}


def test_money_that_is_probably_for_an_invoice_makes_its_email_wait_for_approval(late: Scenario) -> None:
    drop(late, csv_of((late.days_ago(1), "Ashdown Ltd", "thank you", "700.00")))
    late.run()
    (entry,) = late.outbox("awaiting_approval")
    assert "GBP 700.00 from Ashdown Ltd, in the bank on 9 Jun 2026, may be for" in entry.reason
    assert late.customer_emails() == []


def test_a_part_that_is_in_the_bank_is_not_asked_for(late: Scenario) -> None:
    drop(late, csv_of((late.days_ago(1), "Ashdown Ltd", f"part of {late.number}", "700.00")))
    late.run()
    assert len(late.customer_emails()) == 1
    (entry,) = [each for each in late.outbox("done") if each.kind == "email"]
    assert list(entry.payload["due"].values()) == ["500.00"]


def test_what_an_exchange_may_have_cost_is_not_asked_for_before_the_money_is_booked(late: Scenario) -> None:
    number = late.company.invoice("Ashdown Ltd", "4000.00", due_on=late.days_ago(6))
    drop(late, csv_of((late.days_ago(1), "Ashdown Ltd", f"Payment {number}", "3900.00")))
    late.run()
    (entry,) = [each for each in late.outbox("done") if each.kind == "email"]
    assert list(entry.payload["due"].values()) == ["1200.00"]
    assert "maybe charges or an exchange" in str(matches(late)[0].parts)


def test_money_that_the_ledger_shows_already_holds_nothing(late: Scenario) -> None:
    number = late.company.invoice("Ashdown Ltd", "1200.00", due_on=late.days_ago(40))
    late.company.pay(number, on=late.days_ago(1))
    late.run()
    sent = len(late.customer_emails())
    drop(late, csv_of((late.days_ago(1), "Ashdown Ltd", "", "1200.00")))
    assert matches(late) == []
    with reading(late.app.engine) as session:
        assert session.scalars(select(col(BankReceipt.state))).all() == [ReceiptState.IN_LEDGER]
    assert sent == 1


def test_a_payment_that_was_entered_weeks_late_is_not_taken_twice(late: Scenario) -> None:
    number = late.company.invoice("Ashdown Ltd", "1200.00", due_on=late.days_ago(40))
    late.company.pay(number, on=late.days_ago(5))
    drop(late, csv_of((late.days_ago(25), "Ashdown Ltd", number, "1200.00")), "may.csv")
    late.run()
    drop(late, csv_of((late.days_ago(1), "Ashdown Ltd", late.number, "1200.00")))
    late.run()
    assert [each.state for each in matches(late)] == [MatchState.OPEN]


def test_a_reported_payment_that_is_in_the_bank_needs_no_search(late: Scenario) -> None:
    late.run()
    with writing(late.app.engine) as session:
        invoice = session.scalars(select(InvoiceRow).where(col(InvoiceRow.number) == late.number)).one()
        session.add(
            Task(
                connection_id=late.connection,
                key="reported",
                code=TaskCode.PAYMENT_REPORTED,
                customer_id=invoice.customer_id,
                invoice_ids=[invoice.external_id],
                due_on=late.days_ago(0),
                reason="Ashdown reports a payment.",
                created_at=late.app.now(),
            )
        )
    drop(late, csv_of((late.days_ago(1), "Ashdown Ltd", f"part of {late.number}", "700.00")))
    late.run()
    assert [task.state for task in tasks(late, TaskCode.PAYMENT_REPORTED)] == [TaskState.OPEN]
    drop(late, csv_of((late.days_ago(0), "Ashdown Ltd", late.number, "500.00")), "rest.csv")
    late.run()
    assert [task.state for task in tasks(late, TaskCode.PAYMENT_REPORTED)] == [TaskState.CANCELLED]
    assert all("No reminder is sent about it until then" in task.reason for task in tasks(late, TaskCode.BOOK_PAYMENT))
    bank_statements.reject_match(late.app, matches(late)[0].id, by="ann")
    late.run()
    assert [task.state for task in tasks(late, TaskCode.PAYMENT_REPORTED)] == [TaskState.OPEN]


def test_the_payment_of_a_deleted_payment_holds_again(late: Scenario) -> None:
    late.company.pay(late.number, on=late.days_ago(1))
    late.run()
    drop(late, csv_of((late.days_ago(1), "Ashdown Ltd", late.number, "1200.00")))
    assert matches(late) == []
    late.company.delete_payment(late.number)
    late.pass_days(1)
    late.run()
    assert [match.certainty for match in matches(late)] == [MatchCertainty.SURE]
    assert decision(late).code == HoldCode.PAID_AT_BANK


def test_an_email_that_was_approved_waits_again_once_money_is_in_the_bank(late: Scenario) -> None:
    set_mode(late.app, late.connection, ConnectionMode.APPROVE)
    late.run()
    assert [entry.state for entry in late.outbox("awaiting_approval")] == ["awaiting_approval"]
    drop(late, csv_of((late.days_ago(1), "Ashdown Ltd", late.number, "1200.00")))
    late.run()
    assert late.outbox("awaiting_approval", "planned") == []
    assert isinstance(late.outbox(), list)
    assert not any(entry.kind == "email" for entry in late.outbox()), OutboxEntry
