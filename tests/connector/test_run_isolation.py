"""Complaints that only a whole run can answer: what fails stops itself, and nobody else."""

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
from connector.vocabulary import TaskCode
from policies.decide import decide

NOON = datetime(2026, 6, 10, 11, tzinfo=UTC)
NAMES = ("Ashdown Ltd", "Birch & Co", "Cedar plc")


@pytest.fixture
def three_customers(scenario_at: Any) -> Iterator[Any]:
    """Three customers, each six days late."""
    with scenario_at(NOON, "xero") as scenario:
        for name in NAMES:
            scenario.company.customer(name)
            scenario.company.invoice(name, "1200.00", due_on=NOON.date() - timedelta(days=6))
        yield scenario.go_live()


def emailed_customers(scenario: Any) -> set[str]:
    return {
        to.partition("@")[2].partition(".")[0] for addresses, _subject in scenario.customer_emails() for to in addresses
    }


def test_complaint_one_bad_template_stopping_all_the_others(three_customers: Any) -> None:
    with reading(three_customers.app.engine) as session:
        birch = find_customer(session, "Birch & Co").external_id
    update_settings(three_customers.app, three_customers.connection, birch, {"language": "de"}, by="Ann")
    with writing(three_customers.app.engine) as session:  # as if an older release had let it in
        broken = 'opening = "{{ nobody }}"'
        session.add(EmailTemplate(step="past_due", language="de", document=broken, set_by="Ann", set_at=NOON))
    for _run in range(3):
        three_customers.run()
    assert emailed_customers(three_customers) == {"ashdown", "cedar"}
    with reading(three_customers.app.engine) as session:
        [task] = session.scalars(select(Task).where(Task.code == TaskCode.REJECTED))
        assert "The words of past_due cannot be filled" in task.reason


def test_complaint_one_failing_customer_stopping_all_the_others(
    three_customers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(statements: Any, *more: Any) -> Any:
        if statements and statements[0].customer.name == "Birch & Co":
            message = "these facts break our code"
            raise ZeroDivisionError(message)
        return decide(statements, *more)

    monkeypatch.setattr(evaluate, "decide", failing)
    assert three_customers.run().outcome == "failed"
    assert emailed_customers(three_customers) == {"ashdown", "cedar"}
    with reading(three_customers.app.engine) as session:
        codes = sorted(session.scalars(select(InvoiceDecisionRow.code)))
    assert codes == ["decision_failed", "past_due", "past_due"]


def test_complaint_a_blacklisted_address_queued_for_ever(three_customers: Any) -> None:
    three_customers.sandbox.sendgrid.suppress("accounts@birch.example")
    for _day in range(12):
        three_customers.run()
        three_customers.pass_days(1)
    assert emailed_customers(three_customers) == {"ashdown", "cedar"}
    assert [
        each
        for each in three_customers.outbox("planned", "awaiting_approval", "sending", "unconfirmed")
        if each.kind == "email"
    ] == []
    with reading(three_customers.app.engine) as session:
        assert [task.code for task in session.scalars(select(Task)) if task.code == TaskCode.SUPPRESSED] == [
            "suppressed"
        ]
