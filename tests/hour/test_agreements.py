"""What is said about an invoice, through the hour: it holds, it ends, it is kept or broken, and chasing goes on."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from connector import lease
from connector.access import connections, team
from connector.database import reading
from connector.people import agreements, customers, tasks
from connector.people.invoices import find_invoice, say
from connector.people.tasks import Outcome
from connector.tables import Agreement, AnswerRow, Connection, CustomerSetting
from policies.receivables import Instalment
from tests.hour.conftest import days

ANN = "Ann Lee <ann@small.example>"


@pytest.fixture
def late(town: Any) -> Any:
    """A live company with one customer who is six days late, and whose owner is Ann."""
    town.books.customer("Ashdown Ltd")
    town.number = town.books.invoice("Ashdown Ltd", "1200.00", due_on=days(-6))
    town.live()
    team.set_default_owner(town.installation, town.connection, ANN, by="Ann")
    return town


def said(town: Any, act: Any, **more: Any) -> dict[str, Any]:
    with reading(town.installation.engine) as session:
        invoice = find_invoice(session, town.number, town.connection)
    return say(town.installation, invoice, act, by="Ann", **more)


def answer(town: Any) -> str:
    with reading(town.installation.engine) as session:
        invoice = find_invoice(session, town.number, town.connection)
        row = session.get_one(AnswerRow, (town.connection, invoice.external_id))
        return row.code


def todo(town: Any) -> list[tuple[str, str]]:
    with reading(town.installation.engine) as session:
        return [(task["code"], task["owner"]) for task in tasks.listing(session, town.connection)]


def live_days(town: Any, count: int, every: int = 4) -> None:
    """Let days pass, with a run every few of them: how often does not matter."""
    while count > 0:
        town.run()
        town.pass_days(min(every, count))
        count -= every


def mailed(town: Any) -> list[str]:
    return [entry["step"] for entry in reversed(town.outbox("done")) if entry["kind"] == "mail"]


def states(town: Any) -> list[tuple[str, str]]:
    with reading(town.installation.engine) as session:
        return [(row.kind, row.state) for row in session.scalars(select(Agreement).order_by(Agreement.id))]  # type: ignore[arg-type]


def test_a_dispute_stops_everything_and_goes_to_the_owner_and_settled_it_goes_on_where_it_stopped(late: Any) -> None:
    late.run()
    said(late, agreements.dispute, why="wrong price")
    live_days(late, 20)
    assert answer(late) == "disputed"
    assert len(mailed(late)) == 1
    assert ("dispute_raised", ANN) in todo(late)
    said(late, agreements.undispute, outcome="they were right, and we sent a credit")
    assert "dispute_raised" not in [code for code, _owner in todo(late)]
    late.run()
    assert mailed(late) == ["past_due", "second_notice"]
    assert states(late) == [("dispute", "settled")]


def test_a_dispute_raised_a_second_time_is_a_second_task(late: Any) -> None:
    for _time in range(2):
        said(late, agreements.dispute, why="again")
        late.run()
        said(late, agreements.undispute)
        late.pass_days(1)
    with reading(late.installation.engine) as session:
        assert [each["code"] for each in tasks.listing(session, states=["done"])] == ["dispute_raised"] * 2


def test_a_promise_holds_until_its_day_and_broken_it_is_a_task_and_chasing_goes_on(late: Any) -> None:
    late.run()
    said(late, agreements.promise, on=days(12), why="on the phone")
    live_days(late, 12)
    assert answer(late) == "promised"
    assert len(mailed(late)) == 1
    live_days(late, 3)  # the promised Monday, and a business day more
    late.run()
    assert ("promise_broken", ANN) in todo(late)
    assert states(late) == [("promise", "broken")]
    assert mailed(late) == ["past_due", "second_notice"]


def test_where_the_policy_says_so_a_mail_asks_about_a_broken_promise_once(late: Any) -> None:
    late.policy("[promise_broken]\nby_call = []\n")
    late.run()
    said(late, agreements.promise, on=days(2), why="on the phone")
    live_days(late, 5)
    late.run()
    assert mailed(late) == ["past_due", "promise_broken"]
    assert states(late) == [("promise", "broken")]
    [_friendly, mail] = late.sandbox.sendgrid.mails_to("accounts@ashdown.example")
    assert f"Invoice {late.number}: the payment promised for 12 June 2026" == mail.subject
    live_days(late, 3)
    assert mailed(late) == ["past_due", "promise_broken"]


def test_a_kept_promise_is_remembered_as_kept_and_nobody_is_bothered(late: Any) -> None:
    late.run()
    said(late, agreements.promise, on=days(9))
    late.pass_days(8)
    late.books.pay(late.number)
    late.run()
    assert states(late) == [("promise", "kept")]
    assert todo(late) == []
    assert set(mailed(late)[1:]) <= {"thank_you"}


def test_a_promise_is_judged_by_the_books_not_by_when_we_looked(late: Any) -> None:
    late.run()
    said(late, agreements.promise, on=days(2))
    late.pass_days(9)  # nothing ran meanwhile: he paid a week after the day he promised
    late.books.pay(late.number)
    late.run()
    assert states(late) == [("promise", "broken")]


def halves(town: Any) -> list[Instalment]:
    with reading(town.installation.engine) as session:
        return agreements.equal_parts(find_invoice(session, town.number, town.connection), 2, days(7), 14)


def test_a_plan_holds_while_its_instalments_come(late: Any) -> None:
    late.run()
    said(late, agreements.plan, instalments=halves(late))
    live_days(late, 7)
    late.books.pay(late.number, "600.00")
    live_days(late, 13)
    assert answer(late) == "payment_plan"
    late.books.pay(late.number)
    late.run()
    assert states(late) == [("plan", "kept")]
    assert todo(late) == []


def test_one_missed_instalment_voids_the_plan_for_good_and_chasing_goes_on(late: Any) -> None:
    late.run()
    said(late, agreements.plan, instalments=halves(late))
    live_days(late, 9)
    late.run()
    assert states(late) == [("plan", "broken")]
    assert ("plan_broken", ANN) in todo(late)
    late.books.pay(late.number, "600.00")  # the instalment comes late: the plan is void all the same
    live_days(late, 14)
    assert answer(late) != "payment_plan"
    assert "second_notice" in mailed(late)


def test_a_pause_ends_by_itself(late: Any) -> None:
    said(late, agreements.pause, until=days(6), why="the owner is in hospital")
    live_days(late, 6)
    assert mailed(late) == []
    late.run()
    assert len(mailed(late)) == 1
    assert states(late) == [("pause", "ended")]
    assert said(late, agreements.resume)["said"] == {}


def test_a_paused_customer_is_chased_again_from_the_day_on(late: Any) -> None:
    change(late, {"hold_until_on": days(5)})
    live_days(late, 5)
    assert mailed(late) == []
    late.run()
    assert len(mailed(late)) == 1


def test_a_paused_company_goes_on_by_itself_on_its_day(late: Any) -> None:
    connections.pause(late.installation, late.connection, why="year end", until=days(2), by="Ann")
    for _day in range(2):
        with reading(late.installation.engine) as session:
            assert lease.claim_due(session, late.installation.now() + timedelta(hours=1), 9) == []
        late.run()  # even where a person asks for a run by name, nothing leaves
        late.pass_days(1)
    assert mailed(late) == []
    with reading(late.installation.engine) as session:
        assert lease.claim_due(session, late.installation.now() + timedelta(hours=1), 9) == [late.connection]
    late.run()
    assert len(mailed(late)) == 1
    with reading(late.installation.engine) as session:
        assert session.get_one(Connection, late.connection).paused_why == ""


@pytest.mark.parametrize("zone", ["Pacific/Auckland", "America/Los_Angeles"])
def test_a_paused_company_goes_on_when_its_day_begins_where_it_is(zone: str) -> None:
    begins = datetime(2026, 1, 15, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    row = Connection(
        short_name="a",
        provider="xero",
        external_id="1",
        name="A",
        created_at=begins,
        time_zone=zone,
        paused_why="year end",
        paused_until_on=date(2026, 1, 15),
    )
    assert connections.is_paused(row, begins - timedelta(minutes=1))
    assert not connections.is_paused(row, begins)


def test_who_wants_no_mail_is_one_call_and_no_more(late: Any) -> None:
    change(late, {"no_reminders": True})
    live_days(late, 12)
    assert mailed(late) == []
    assert todo(late) == [("opted_out", ANN)]


def test_a_task_belongs_to_the_customers_own_owner(late: Any) -> None:
    change(late, {"no_reminders": True, "owner": "Bo <bo@small.example>"})
    late.run()
    assert todo(late) == [("opted_out", "Bo <bo@small.example>")]


def test_what_was_said_on_the_phone_counts_from_the_next_run_on(late: Any) -> None:
    change(late, {"no_reminders": True})
    late.run()
    with reading(late.installation.engine) as session:
        [task] = tasks.listing(session, late.connection)
    tasks.record(late.installation, task["id"], Outcome(promised_on=days(9), note="Mr Ash, nice"), by="Ann")
    assert todo(late) == []
    late.run()
    assert answer(late) == "promised"
    with reading(late.installation.engine) as session:
        [ended] = tasks.listing(session, states=["done"])
        [promise] = agreements.history(session, find_invoice(session, late.number))
    assert ended["outcome"] == "promised for 19 Jun 2026; Mr Ash, nice"
    assert (promise["until_on"], promise["said_by"]) == (days(9), "Ann")


def test_an_outcome_can_be_a_dispute_an_address_or_another_try(late: Any) -> None:
    change(late, {"no_reminders": True})
    late.run()
    with reading(late.installation.engine) as session:
        [task] = tasks.listing(session, late.connection)
    again = tasks.record(late.installation, task["id"], Outcome(again_on=days(2)), by="Ann")
    assert (again["state"], again["due_on"]) == ("open", days(2))
    outcome = Outcome(disputed="too much", contact=("Mr Ash", "ash@ashdown.example"))
    tasks.record(late.installation, task["id"], outcome, by="Ann")
    late.run()
    assert answer(late) == "disputed"
    with reading(late.installation.engine) as session:
        [setting] = session.scalars(select(CustomerSetting))
    assert setting.emails == "ash@ashdown.example"
    with pytest.raises(tasks.TaskError, match="is done already"):
        tasks.done(late.installation, [task["id"]], by="Ann")


def test_a_task_about_what_was_paid_meanwhile_is_moot(late: Any) -> None:
    change(late, {"no_reminders": True})
    late.run()
    late.books.pay(late.number)
    late.pass_days(1)
    late.run()
    assert todo(late) == []
    with reading(late.installation.engine) as session:
        [task] = tasks.listing(session, states=["moot"])
    assert task["outcome"] == "nothing is owed any more"


@pytest.mark.parametrize(
    ("act", "more"),
    [
        (agreements.promise, {"on": days(-1)}),
        (agreements.pause, {"until": days(0)}),
        (agreements.plan, {"instalments": [Instalment(days(3), Decimal(1))]}),
        (agreements.plan, {"instalments": [Instalment(days(3), Decimal(600)), Instalment(days(3), Decimal(600))]}),
        (agreements.plan, {"instalments": [Instalment(days(3), Decimal(1300)), Instalment(days(4), Decimal(-100))]}),
        *(
            (agreements.plan, {"instalments": [Instalment(days(3), Decimal(odd))]})
            for odd in ("NaN", "1e99", "0.00001")
        ),
    ],
)
def test_what_makes_no_sense_is_not_kept(late: Any, act: Any, more: Any) -> None:
    with pytest.raises(agreements.AgreementError):
        said(late, act, **more)
    assert states(late) == []


def change(town: Any, changes: dict[str, Any]) -> None:
    with reading(town.installation.engine) as session:
        invoice = find_invoice(session, town.number, town.connection)
    customers.set_customer(town.installation, town.connection, invoice.customer_id, changes, by="Ann")
