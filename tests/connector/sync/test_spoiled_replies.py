"""One record makes QuickBooks reject every reply that would hold it: it is set aside and named, the others chased."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlmodel import col

from connector.connections.registry import set_mode
from connector.db.engine import reading
from connector.db.tables import ExceptionRow, InvoiceDecisionRow, SyncLogEntry, Task
from connector.vocabulary import ConnectionMode, LogKind, RunOutcome, TaskCode, TaskState
from policies.exception_checks import ExceptionCode
from tests.connector.scenario import Scenario

pytestmark = pytest.mark.parametrize("scenario", ["quickbooks"], indirect=True)


@pytest.fixture
def spoiled(scenario: Scenario) -> Scenario:
    """A live company with two overdue customers; the invoice of the first spoils every reply since it was edited."""
    scenario.company.customer("Ashdown Ltd")
    scenario.company.customer("Birch Ltd")
    scenario.number = scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=scenario.days_ago(2))
    scenario.company.invoice("Birch Ltd", "700.00", due_on=scenario.days_ago(2))
    scenario.go_live()
    scenario.pass_days(5)
    scenario.company.simulator.edit(scenario.number, PrivateNote="edited")
    return scenario


def recipients(scenario: Scenario) -> list[str]:
    return sorted({to for addresses, _subject in scenario.customer_emails() for to in addresses})


@pytest.mark.parametrize("status", [400, 500])
@pytest.mark.parametrize("inside", [False, True], ids=["whole reply", "fault inside"])
def test_the_others_are_chased_and_the_record_is_named(spoiled: Scenario, status: int, *, inside: bool) -> None:
    spoiled.sandbox.quickbooks.ledger(spoiled.company.external_id).faults_inside_cdc = inside
    spoiled.company.simulator.poison(spoiled.number, status=status)
    assert spoiled.run().outcome == RunOutcome.OK
    assert recipients(spoiled) == ["accounts@birch.example"]
    with reading(spoiled.app.engine) as session:
        texts = list(session.scalars(select(col(SyncLogEntry.text)).where(col(SyncLogEntry.kind) == LogKind.MALFORMED)))
        tasks = [one for one in session.scalars(select(Task)) if one.code == TaskCode.UNREADABLE_DATA]
    assert any(
        f"{spoiled.number}, Ashdown Ltd" in text and "email address entered is invalid" in text for text in texts
    )
    [task] = tasks
    assert spoiled.number in task.reason


def test_what_is_readable_again_is_chased_again(spoiled: Scenario) -> None:
    spoiled.company.simulator.poison(spoiled.number)
    spoiled.run()
    spoiled.company.simulator.heal()
    spoiled.company.simulator.edit(spoiled.number, PrivateNote="corrected")
    spoiled.sandbox.clock.advance(timedelta(hours=1))
    assert spoiled.run().outcome == RunOutcome.OK
    assert recipients(spoiled) == ["accounts@ashdown.example", "accounts@birch.example"]


def test_nobody_is_asked_to_apply_credit_to_a_paid_invoice_that_cannot_be_read(spoiled: Scenario) -> None:
    spoiled.company.simulator.poison(spoiled.number)
    spoiled.company.pay(spoiled.number)
    assert spoiled.run().outcome == RunOutcome.OK
    with reading(spoiled.app.engine) as session:
        assert [one.code for one in session.scalars(select(Task))] == [TaskCode.UNREADABLE_DATA]
        reasons = list(session.scalars(select(col(InvoiceDecisionRow.reason))))
    assert any("its newest version in the accounting system cannot be read" in each for each in reasons)
    assert recipients(spoiled) == ["accounts@birch.example"]


@pytest.mark.parametrize("mode", [ConnectionMode.LIVE, ConnectionMode.OBSERVE])
def test_the_task_closes_when_the_record_can_be_read_and_opens_when_it_cannot_again(
    spoiled: Scenario, mode: ConnectionMode
) -> None:
    def states() -> list[str]:
        assert spoiled.run().outcome == RunOutcome.OK
        with reading(spoiled.app.engine) as session:
            return [one.state for one in session.scalars(select(Task)) if one.code == TaskCode.UNREADABLE_DATA]

    set_mode(spoiled.app, spoiled.connection, mode)
    books = spoiled.company.simulator
    books.poison(spoiled.number)
    assert states() == [TaskState.OPEN]
    spoiled.pass_days(1)
    assert states() == [TaskState.OPEN]
    books.heal()
    books.edit(spoiled.number, PrivateNote="corrected")
    spoiled.sandbox.clock.advance(timedelta(hours=1))
    assert states() == [TaskState.CANCELLED]
    books.edit(spoiled.number, PrivateNote="spoiled again")
    books.poison(spoiled.number)
    spoiled.sandbox.clock.advance(timedelta(hours=1))
    assert states() == [TaskState.OPEN]


def test_a_record_that_stays_so_survives_the_full_resync(spoiled: Scenario) -> None:
    spoiled.company.simulator.poison(spoiled.number)
    for _day in range(3):
        assert spoiled.run().outcome == RunOutcome.OK
        spoiled.pass_days(1)
    spoiled.company.simulator.heal()
    spoiled.company.simulator.edit(spoiled.number, PrivateNote="corrected")
    spoiled.run()
    assert "accounts@ashdown.example" in recipients(spoiled)
    with reading(spoiled.app.engine) as session:
        assert len([one for one in session.scalars(select(Task)) if one.code == TaskCode.UNREADABLE_DATA]) == 1


def unreadable(scenario: Scenario) -> list[str]:
    """Return the exceptions about unreadable records."""
    with reading(scenario.app.engine) as session:
        rows = session.scalars(select(ExceptionRow).where(col(ExceptionRow.code) == ExceptionCode.UNREADABLE_RECORD))
        return [row.reason for row in rows]


@pytest.mark.parametrize("first", [True, False], ids=["first load", "change"])
@pytest.mark.parametrize(("entity", "status"), [("Customer", 400), ("Payment", 500), ("CreditMemo", 400)])
def test_nobody_is_chased_on_half_knowledge_of_a_customer_a_payment_or_a_credit_note(
    scenario: Scenario, entity: str, status: int, *, first: bool
) -> None:
    company, books = scenario.company, scenario.company.simulator
    for name in ("Ashdown Ltd", "Birch Ltd"):
        company.customer(name)
        company.invoice(name, "700.00", due_on=scenario.days_ago(6))

    def spoil() -> None:
        record = {
            "Customer": lambda: books.edit_customer("Ashdown Ltd", Notes="edited"),
            "Payment": lambda: books.pay_unapplied("Ashdown Ltd", 700),
            "CreditMemo": lambda: books.credit("Ashdown Ltd", 700),
        }[entity]()
        books.poison(entity=entity, external_id=record["Id"], status=status)

    if first:
        spoil()
    scenario.go_live()
    if not first:
        spoil()
    scenario.sandbox.clock.advance(timedelta(hours=1))
    assert scenario.run().outcome == RunOutcome.OK
    assert recipients(scenario) == ["accounts@birch.example"]
    [reason] = unreadable(scenario)
    assert "cannot be read: QuickBooks rejects every reply that holds it" in reason
    assert "email address entered is invalid" in reason
    books.heal()
    books.edit_customer("Ashdown Ltd", Notes="corrected")
    if entity == "Customer":
        scenario.run()
        assert unreadable(scenario) == []
        assert recipients(scenario) == ["accounts@ashdown.example", "accounts@birch.example"]
