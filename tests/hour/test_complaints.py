"""Complaints that only a whole run can answer: what fails stops itself, and nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlmodel import select

from connector import deciding
from connector.database import reading, writing
from connector.people.customers import find_customer, set_customer
from connector.tables import AnswerRow, MailWords, Task
from policies.decide import decide

NOON = datetime(2026, 6, 10, 11, tzinfo=UTC)
NAMES = ("Ashdown Ltd", "Birch & Co", "Cedar plc")


@pytest.fixture
def three(town_at: Any) -> Iterator[Any]:
    """Three customers, each six days late."""
    with town_at(NOON, "xero") as town:
        for name in NAMES:
            town.books.customer(name)
            town.books.invoice(name, "1200.00", due_on=NOON.date() - timedelta(days=6))
        yield town.live()


def mailed(town: Any) -> set[str]:
    return {to.partition("@")[2].partition(".")[0] for addresses, _subject in town.mails() for to in addresses}


def test_complaint_one_bad_template_stopping_all_the_others(three: Any) -> None:
    with reading(three.installation.engine) as session:
        birch = find_customer(session, "Birch & Co").external_id
    set_customer(three.installation, three.connection, birch, {"language": "de"}, by="Ann")
    with writing(three.installation.engine) as session:  # as if an older release had let it in
        broken = 'opening = "{{ nobody }}"'
        session.add(MailWords(step="past_due", language="de", document=broken, set_by="Ann", set_at=NOON))
    for _run in range(3):
        three.run()
    assert mailed(three) == {"ashdown", "cedar"}
    with reading(three.installation.engine) as session:
        [task] = session.scalars(select(Task).where(Task.code == "refused"))
        assert "The words of past_due cannot be filled" in task.why


def test_complaint_one_failing_customer_stopping_all_the_others(three: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(statements: Any, *more: Any) -> Any:
        if statements and statements[0].customer.name == "Birch & Co":
            message = "these facts break our code"
            raise ZeroDivisionError(message)
        return decide(statements, *more)

    monkeypatch.setattr(deciding, "decide", failing)
    assert three.run().outcome == "failed"
    assert mailed(three) == {"ashdown", "cedar"}
    with reading(three.installation.engine) as session:
        codes = sorted(session.scalars(select(AnswerRow.code)))
    assert codes == ["odd", "past_due", "past_due"]


def test_complaint_a_blacklisted_address_queued_for_ever(three: Any) -> None:
    three.sandbox.sendgrid.suppress("accounts@birch.example")
    for _day in range(12):
        three.run()
        three.pass_days(1)
    assert mailed(three) == {"ashdown", "cedar"}
    assert [each for each in three.outbox("planned", "waiting", "calling", "doubt") if each["kind"] == "mail"] == []
    with reading(three.installation.engine) as session:
        assert [task.code for task in session.scalars(select(Task)) if task.code == "suppressed"] == ["suppressed"]
