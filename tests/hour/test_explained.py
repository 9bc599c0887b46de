"""An invoice's story from recorded facts, what comes next, and decisions that come out the same when made again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from connector.database import reading, writing
from connector.people import agreements, customer_card, recorded
from connector.people.customers import find_customer
from connector.people.explain import explain
from connector.people.invoices import find_invoice, say
from connector.tables import CustomerRow, DecisionRow
from tests.hour.conftest import days


@pytest.fixture
def late(town: Any) -> Any:
    town.books.customer("Ashdown Ltd")
    town.number = town.books.invoice("Ashdown Ltd", "1200.00", due_on=days(-6))
    return town.live()


def explained(town: Any) -> dict[str, Any]:
    return explain(town.installation, town.number, None)


def live(town: Any, *steps: int) -> None:
    for step in steps:
        town.run()
        town.pass_days(step)


def test_explain_tells_the_whole_story_and_what_comes_next(late: Any) -> None:
    live(late, 2)
    with reading(late.installation.engine) as session:
        invoice = find_invoice(session, late.number)
    say(late.installation, invoice, agreements.promise, by="Ann", on=days(5), why="on the phone")
    live(late, 2, 5)
    late.books.pay(late.number, "200.00")
    live(late, 1)
    told = explained(late)
    kinds = [each["kind"] for each in told["story"]]
    assert kinds[0] == "issued"
    assert {"decided", "mail", "note", "said", "task", "applied"} <= set(kinds)
    assert [each["on"] for each in told["story"]] == sorted(each["on"] for each in told["story"])
    words = "\n".join(each["text"] for each in told["story"])
    assert "promise for 15 Jun 2026: on the phone (Ann)" in words
    assert "promise broken" in words
    assert "was mailed to accounts@ashdown.example" in words
    coming = [(each["kind"], each["step"]) for each in told["next"]]
    assert ("mail", "plan_offer") in coming
    assert ("mail", "final_notice") in coming
    assert coming.index(("mail", "plan_offer")) < coming.index(("mail", "final_notice"))


def test_a_recorded_decision_comes_out_the_same_long_after_and_under_another_policy(late: Any) -> None:
    live(late, 5, 9)
    late.policy('tone = "firm"\n')
    live(late, 12)
    late.books.pay(late.number)
    live(late, 1)
    late.policy('tone = "gentle"\n')
    decisions = explained(late)["decisions"]
    assert len(decisions) >= 4
    assert {each["policy_version"] is None for each in decisions} == {True, False}
    assert all(each["same_again"] for each in decisions)


def test_a_decision_that_would_come_out_otherwise_is_named(late: Any) -> None:
    live(late, 1)
    late.policy("minimum = { default = 5000 }\n")
    with writing(late.installation.engine) as session:
        session.execute(update(DecisionRow).values(policy_version=1))  # as if it had followed this policy
    [*_, last] = explained(late)["decisions"]
    assert (last["code"], last["same_again"]) == ("past_due", False)
    assert last["note"].startswith("it would now say: GBP 1,200.00 is below the minimum")


def test_nothing_is_recorded_where_nothing_is_new(late: Any) -> None:
    late.run()
    late.sandbox.clock.advance(timedelta(hours=1))
    late.run()
    with reading(late.installation.engine) as session:
        before = len(session.scalars(select(DecisionRow)).all())
    for _run in range(3):
        late.sandbox.clock.advance(timedelta(hours=1))
        late.run()
    with reading(late.installation.engine) as session:
        rows = session.scalars(select(DecisionRow)).all()
    assert len(rows) == before
    assert max(len(row.recorded) for row in rows) < 2000


def test_facts_are_unpacked_as_they_were(late: Any) -> None:
    late.run()
    with reading(late.installation.engine) as session:
        row = session.scalars(select(DecisionRow)).all()[-1]
        facts, again = recorded.replay(session, row)
    [statement] = facts.statements
    assert [invoice.number for invoice in statement.invoices] == [late.number]
    assert statement.customer.name == "Ashdown Ltd"
    assert again == facts.answers


def test_a_customer_is_shown_with_every_judgements_inputs(town: Any) -> None:
    town.books.customer("Ashdown Ltd")
    for month in range(8, 1, -1):
        number = town.books.invoice("Ashdown Ltd", "500.00", due_on=days(-30 * month))
        town.books.pay(number)
    town.number = town.books.invoice("Ashdown Ltd", "1200.00", due_on=days(-6))
    town.live()
    town.pass_days(1)
    with reading(town.installation.engine) as session:
        row: CustomerRow = find_customer(session, "ashdown ltd")
        told = customer_card.card(session, row, town.installation.now())
    assert told["segment_why"].startswith(f"{told['segment']}: ")
    assert told["habits_why"].startswith(f"score {told['score']}: 7 invoices settled, ")
    [invoice] = told["invoices"]
    assert "large from" in invoice["size_why"]
    assert invoice["earliest_on"] <= invoice["expected_on"] <= invoice["latest_on"]
    assert "in four of five cases" in invoice["expected_why"]
    assert any("score" in line for line in customer_card.lines(told))
