"""A failure within a run stops nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlmodel import select

from connector.arrangements.customer_settings import find_customer, update_settings
from connector.db.engine import reading, writing
from connector.db.tables import EmailTemplate, InvoiceDecisionRow, Task
from connector.evaluation import evaluate
from connector.vocabulary import OutboxKind, RunOutcome, TaskCode
from policies.decide import decide
from tests.connector.scenario import Scenario, ScenarioFactory

NOON = datetime(2026, 6, 10, 11, tzinfo=UTC)
NAMES = ("Ashdown Ltd", "Birch & Co", "Cedar plc")


@pytest.fixture
def three_customers(scenario_at: ScenarioFactory) -> Iterator[Scenario]:
    """A live company with three customers, each six days late."""
    with scenario_at(NOON, "xero") as scenario:
        for name in NAMES:
            scenario.company.customer(name)
            scenario.company.invoice(name, "1200.00", due_on=NOON.date() - timedelta(days=6))
        yield scenario.go_live()


def emailed_customers(scenario: Scenario) -> set[str]:
    return {
        to.partition("@")[2].partition(".")[0] for addresses, _subject in scenario.customer_emails() for to in addresses
    }


def test_one_faulty_template_stops_no_other_email(three_customers: Scenario) -> None:
    with reading(three_customers.app.engine) as session:
        birch = find_customer(session, "Birch & Co").external_id
    update_settings(three_customers.app, three_customers.connection, birch, {"language": "de"}, by="Ann")
    with writing(three_customers.app.engine) as session:  # as if an older release had accepted it
        broken = 'opening = "{{ nobody }}"'
        session.add(EmailTemplate(step="past_due", language="de", document=broken, set_by="Ann", set_at=NOON))
    for _run in range(3):
        three_customers.run()
    assert emailed_customers(three_customers) == {"ashdown", "cedar"}
    with reading(three_customers.app.engine) as session:
        [task] = session.scalars(select(Task).where(Task.code == TaskCode.REJECTED))
        assert "The text of past_due cannot be filled" in task.reason


@pytest.mark.parametrize(
    "body",
    [
        '{"ErrorNumber": 17, "Type": "NoDataProcessedException", "Message": "No data has been processed"}',
        '{"Status": "ERROR", "Type": "ValidationException", "Elements": [{"ValidationErrors": []}]}',
        '{"Id": "e997d6d7", "Status": "OK", "ProviderName": "duewell"}',
        "{}",
    ],
)
def test_an_error_under_status_200_deletes_no_invoices(three_customers: Scenario, body: str) -> None:
    """The daily comparison reads all open invoices, and those that are not among them are taken as deleted."""
    three_customers.pass_days(1)
    sandbox = three_customers.sandbox
    is_json = {"Content-Type": "application/json"}
    sandbox.faults.refuse(200, body=body, service="xero", path="/Invoices$", method="GET", times=0, headers=is_json)
    assert three_customers.run().outcome is not RunOutcome.OK
    assert emailed_customers(three_customers) == set()
    sandbox.faults.clear()
    sandbox.clock.advance(timedelta(hours=1))
    three_customers.run()
    assert emailed_customers(three_customers) == {"ashdown", "birch", "cedar"}


def test_one_failing_customer_stops_no_other(three_customers: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(statements: Any, *more: Any) -> Any:
        if statements and statements[0].customer.name == "Birch & Co":
            message = "these facts break our code"
            raise ZeroDivisionError(message)
        return decide(statements, *more)

    monkeypatch.setattr(evaluate, "decide", failing)
    assert three_customers.run().outcome is RunOutcome.FAILED
    assert emailed_customers(three_customers) == {"ashdown", "cedar"}
    with reading(three_customers.app.engine) as session:
        codes = sorted(session.scalars(select(InvoiceDecisionRow.code)))
    assert codes == ["decision_failed", "past_due", "past_due"]


def test_a_suppressed_address_does_not_stay_in_the_outbox_for_ever(three_customers: Scenario) -> None:
    three_customers.sandbox.sendgrid.suppress("accounts@birch.example")
    three_customers.run_for_days(12, every=4)
    assert emailed_customers(three_customers) == {"ashdown", "cedar"}
    unfinished = three_customers.outbox("planned", "awaiting_approval", "sending", "unconfirmed")
    assert [entry for entry in unfinished if entry.kind == OutboxKind.EMAIL] == []
    with reading(three_customers.app.engine) as session:
        tasks = [task.code for task in session.scalars(select(Task))]
    assert tasks.count(TaskCode.SUPPRESSED) == 1
