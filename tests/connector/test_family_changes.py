"""Families that change after reminders were sent: other parents, other payers, money that moves within them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime

import pytest
from sqlalchemy import select
from sqlmodel import col

from connector.db.engine import reading
from connector.db.tables import CompletedStep, CustomerRow, Task
from connector.vocabulary import TaskCode, TaskState
from tests.connector.scenario import NOON, ResumeAfter, Scenario, ScenarioFactory, days
from tests.connector.test_run_families import add_sub, apply_tasks, codes, found_exceptions

EAST, WEST = "east@harbor.example", "west@harbor.example"


@pytest.fixture
def quickbooks(scenario_at: ScenarioFactory, noon: datetime) -> Iterator[Scenario]:
    with scenario_at(noon, "quickbooks") as scenario:
        yield scenario


def add_family(scenario: Scenario, *, billed: bool) -> str:
    """Add a parent and two sub-customers with addresses of their own; returns the parent's id."""
    parent = str(
        scenario.company.simulator.add_customer("Harbor Group", email="ap@harbor.example", currency="GBP")["Id"]
    )
    add_sub(scenario, "Harbor East", parent, billed=billed, email=EAST)
    add_sub(scenario, "Harbor West", parent, billed=billed, email=WEST)
    return parent


def emails_to(scenario: Scenario, address: str) -> list[str]:
    return [each.text for each in scenario.sandbox.sendgrid.emails() if address in each.to]


def open_tasks(scenario: Scenario, *wanted: TaskCode) -> list[Task]:
    query = select(Task).where(col(Task.state) == TaskState.OPEN, col(Task.code).in_(wanted))
    with reading(scenario.app.engine) as session:
        return list(session.scalars(query.order_by(col(Task.id))))


def two_thanked(scenario: Scenario) -> None:
    """East has paid an invoice and was thanked; West owes as much."""
    add_family(scenario, billed=False)
    company = scenario.company
    for name in ("Harbor East", "Harbor West"):
        company.invoice(name, "300.00", due_on=days(-4), on=days(-20))
    scenario.go_live()
    company.pay(company.numbers[0], on=days(0))
    scenario.run()
    assert ["received your payment" in each for each in emails_to(scenario, EAST)] == [True]
    scenario.pass_days(1)


def payment_of(scenario: Scenario) -> str:
    return str(scenario.company.simulator.find(scenario.company.numbers[0])["LinkedTxn"][-1]["TxnId"])


def correct_customer(scenario: Scenario) -> None:
    scenario.company.simulator.give_payment(payment_of(scenario), scenario.company.numbers[1])


def enter_again(scenario: Scenario) -> None:
    first, second = scenario.company.numbers
    scenario.company.delete_payment(first)
    scenario.company.pay(second, on=days(0))


@pytest.mark.parametrize("move", [correct_customer, enter_again])
def test_money_that_a_sub_customer_billed_themselves_has_now_was_not_returned(
    resume_after: ResumeAfter, move: Callable[[Scenario], None]
) -> None:
    with resume_after(two_thanked, "quickbooks") as scenario:
        move(scenario)
        scenario.run()
        (task,) = open_tasks(scenario, TaskCode.PAYMENT_RETURNED)
        assert f"is applied to {scenario.company.numbers[1]} of 21 May 2026 (Harbor West) now" in task.reason
        scenario.run_for_days(14, every=3)
        later = emails_to(scenario, EAST)[1:]
        assert later, "the reminders of East continue"
        assert not any("returned" in each for each in later)


def test_a_cheque_that_the_bank_returned_is_told_though_its_payment_stays(resume_after: ResumeAfter) -> None:
    with resume_after(two_thanked, "quickbooks") as scenario:
        company = scenario.company
        company.pay(company.numbers[1], on=days(0))  # a payment of the same date and amount, and West's own
        scenario.run()
        scenario.company.simulator.bounce_payment(payment_of(scenario))
        scenario.pass_days(1)
        scenario.run()
        (task,) = open_tasks(scenario, TaskCode.PAYMENT_RETURNED)
        assert "returned by the bank" in task.reason
        scenario.run_for_days(9, every=3)
        assert any("£300.00 is outstanding again" in each for each in emails_to(scenario, EAST))


def test_of_one_cheque_for_two_invoices_what_came_back_of_one_is_told(quickbooks: Scenario) -> None:
    company = quickbooks.company
    company.customer("Ashdown Ltd")
    first, second = (company.invoice("Ashdown Ltd", "300.00", due_on=days(20)) for _ in range(2))
    quickbooks.go_live()
    payment = company.simulator.receive("Ashdown Ltd", "600.00", {first: "300.00", second: "300.00"})
    quickbooks.run()
    quickbooks.pass_days(1)
    company.simulator.bounce_payment(payment["Id"], keep=second)
    quickbooks.run()
    (task,) = open_tasks(quickbooks, TaskCode.PAYMENT_RETURNED)
    assert task.reason.startswith(first)
    assert "returned by the bank" in task.reason, "what the other invoice keeps was always its own"


def billed_and_called(scenario: Scenario) -> None:
    """The parent is written to about East and West, and is to be called about both."""
    add_family(scenario, billed=True)
    for name in ("Harbor East", "Harbor West"):
        scenario.company.invoice(name, "300.00", due_on=days(-12))
    scenario.go_live().run()
    scenario.pass_days(8)
    scenario.run()
    assert [task.code for task in open_tasks(scenario, TaskCode.CALL)] == [TaskCode.CALL]


def ids(scenario: Scenario) -> dict[str, str]:
    with reading(scenario.app.engine) as session:
        return dict(session.execute(select(col(CustomerRow.external_id), col(CustomerRow.name))).all())


def test_when_a_sub_customer_is_billed_themselves_calls_and_reminders_go_to_them_and_back(
    resume_after: ResumeAfter,
) -> None:
    with resume_after(billed_and_called, "quickbooks") as scenario:
        books, before = scenario.company.simulator, len(scenario.customer_emails())
        scenario.pass_days(1)
        books.edit_customer("Harbor East", BillWithParent=False)
        scenario.run_for_days(2, weekends=True)
        names = ids(scenario)
        assert [names[task.customer_id] for task in open_tasks(scenario, TaskCode.CALL)] == ["Harbor Group"]
        scenario.run_for_days(9, every=3)
        calls = {names[task.customer_id]: len(task.invoice_ids) for task in open_tasks(scenario, TaskCode.CALL)}
        assert calls == {"Harbor East": 1, "Harbor Group": 1}, "each about their own, East after a first reminder"
        to_each = [to for to, _subject in scenario.customer_emails()[before:]]
        assert (EAST,) in to_each and ("ap@harbor.example",) in to_each  # noqa: PT018 - one statement about both
        books.edit_customer("Harbor East", BillWithParent=True)
        scenario.run()
        (call,) = open_tasks(scenario, TaskCode.CALL, TaskCode.ESCALATION_CALL)
        assert (names[call.customer_id], len(call.invoice_ids)) == ("Harbor Group", 2)
        before = len(scenario.customer_emails())
        scenario.run_for_days(12, every=3)
        assert {to for to, _subject in scenario.customer_emails()[before:]} == {("ap@harbor.example",)}
        with reading(scenario.app.engine) as session:
            done = session.execute(select(col(CompletedStep.invoice_id), col(CompletedStep.step))).all()
        assert Counter(done).most_common(2)[1][1] == 1, "no step twice, but for one more first reminder, to East"


def one_emailed(scenario: Scenario) -> None:
    """The parent got the first reminder about East's invoice."""
    add_family(scenario, billed=True)
    scenario.company.invoice("Harbor East", "300.00", due_on=days(-12))
    scenario.go_live().run()
    scenario.pass_days(5)


@pytest.mark.parametrize("address", [EAST, ""])
def test_who_is_written_to_in_anothers_place_gets_a_first_reminder_first(
    resume_after: ResumeAfter, address: str
) -> None:
    with resume_after(one_emailed, "quickbooks") as scenario:
        books = scenario.company.simulator
        if not address:  # the reminders go on to the parent's address: nothing starts again
            books.set_email("Harbor East", "")
        books.edit_customer("Harbor East", BillWithParent=False)
        scenario.run_for_days(15, every=5)
        to = address or "ap@harbor.example"
        steps = [step for _, step in scenario.sent_steps()]
        if not address:
            assert steps == ["past_due", "second_notice"]
            return
        assert steps == ["past_due", "past_due", "second_notice"]
        first = emails_to(scenario, to)[0]
        assert "10 June" not in first, "nobody there got that email"
        books.edit_customer("Harbor East", BillWithParent=True)
        scenario.run_for_days(15, every=5)
        assert [step for _, step in scenario.sent_steps()][3:4] == ["second_notice"], "the parent goes on"


def test_a_sub_customer_that_moves_to_another_parent_leaves_the_old_parents_money_behind(quickbooks: Scenario) -> None:
    parent = add_family(quickbooks, billed=True)
    books = quickbooks.company.simulator
    other = books.add_customer("Pier Holding", email="pay@pier.example", currency="GBP")["Id"]
    quickbooks.company.invoice("Harbor East", "300.00", due_on=days(-8))
    books.pay_unapplied("Harbor Group", "300.00")
    quickbooks.go_live().run()
    assert set(codes(quickbooks).values()) == {"unapplied_credit"}
    assert len(apply_tasks(quickbooks)) == 1
    quickbooks.pass_days(1)
    books.edit_customer("Harbor East", ParentRef={"value": other})
    quickbooks.run()
    assert books.customer(parent)["BalanceWithJobs"] == -300
    assert books.customer(other)["BalanceWithJobs"] == 300
    assert [to for to, _subject in quickbooks.customer_emails()] == [("pay@pier.example",)]
    assert open_tasks(quickbooks, TaskCode.APPLY_CREDIT) == [], "that money is the old parent's"
    books.book_on_no_invoice("Pier Holding", "300.00")
    quickbooks.pass_days(1)
    quickbooks.run()
    assert set(codes(quickbooks).values()) == {"unapplied_credit"}


@pytest.mark.parametrize(("top", "parent"), [("EUR", "GBP"), ("GBP", "EUR")])
def test_credit_of_a_relative_in_another_currency_covers_nothing(
    scenario_at: ScenarioFactory, top: str, parent: str
) -> None:
    with scenario_at(NOON, "quickbooks") as scenario:
        books = scenario.company.simulator
        head = books.add_customer("Harbor World", email="world@harbor.example", currency=top)["Id"]
        group = {"Job": True, "BillWithParent": False, "ParentRef": {"value": head}}
        middle = books.add_customer("Harbor Group", email="ap@harbor.example", currency=parent, **group)["Id"]
        add_sub(scenario, "Harbor East", middle, billed=False, email=EAST)
        scenario.company.invoice("Harbor East", "300.00", due_on=days(-8))
        books.credit("Harbor World" if top == "EUR" else "Harbor Group", "300.00")
        scenario.go_live().run()
        assert len(emails_to(scenario, EAST)) == 1, "pounds are owed, and euros are no pounds"
        assert found_exceptions(scenario) == []
