"""What is said about an invoice, through the hour: it holds, it ends, it is kept or broken, and chasing goes on."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from connector.arrangements import agreements, customer_settings, tasks
from connector.arrangements.tasks import TaskOutcome
from connector.connections import account_owners, registry
from connector.db.engine import reading
from connector.db.tables import Agreement, Connection, CustomerSetting, InvoiceDecisionRow
from connector.runtime import lease
from connector.services.invoices import find_invoice, record_agreement
from policies.receivables import Instalment
from tests.connector.scenario import days

ANN = "Ann Lee <ann@small.example>"


@pytest.fixture
def late_customer(scenario: Any) -> Any:
    """A live company with one customer who is six days late, and whose owner is Ann."""
    scenario.company.customer("Ashdown Ltd")
    scenario.number = scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=days(-6))
    scenario.go_live()
    account_owners.set_default_owner(scenario.app, scenario.connection, ANN, by="Ann")
    return scenario


def change_invoice(scenario: Any, act: Any, **more: Any) -> dict[str, Any]:
    with reading(scenario.app.engine) as session:
        invoice = find_invoice(session, scenario.number, scenario.connection)
    return record_agreement(scenario.app, invoice, act, by="Ann", **more)


def decision_code(scenario: Any) -> str:
    with reading(scenario.app.engine) as session:
        invoice = find_invoice(session, scenario.number, scenario.connection)
        row = session.get_one(InvoiceDecisionRow, (scenario.connection, invoice.external_id))
        return row.code


def open_tasks(scenario: Any) -> list[tuple[str, str]]:
    with reading(scenario.app.engine) as session:
        return [(task["code"], task["owner"]) for task in tasks.find_tasks(session, scenario.connection)]


def run_for_days(scenario: Any, count: int, every: int = 4) -> None:
    """Let days pass, with a run every few of them: how often does not matter."""
    while count > 0:
        scenario.run()
        scenario.pass_days(min(every, count))
        count -= every


def sent_steps(scenario: Any) -> list[str]:
    return [entry["step"] for entry in reversed(scenario.outbox("done")) if entry["kind"] == "email"]


def agreement_states(scenario: Any) -> list[tuple[str, str]]:
    with reading(scenario.app.engine) as session:
        return [(row.kind, row.state) for row in session.scalars(select(Agreement).order_by(Agreement.id))]  # type: ignore[arg-type]


def test_a_dispute_stops_everything_and_goes_to_the_owner_and_settled_it_goes_on_where_it_stopped(
    late_customer: Any,
) -> None:
    late_customer.run()
    change_invoice(late_customer, agreements.record_dispute, reason="wrong price")
    run_for_days(late_customer, 20)
    assert decision_code(late_customer) == "disputed"
    assert len(sent_steps(late_customer)) == 1
    assert ("dispute_raised", ANN) in open_tasks(late_customer)
    change_invoice(late_customer, agreements.resolve_dispute, outcome="they were right, and we sent a credit")
    assert "dispute_raised" not in [code for code, _owner in open_tasks(late_customer)]
    late_customer.run()
    assert sent_steps(late_customer) == ["past_due", "second_notice"]
    assert agreement_states(late_customer) == [("dispute", "resolved")]


def test_a_dispute_raised_a_second_time_is_a_second_task(late_customer: Any) -> None:
    for _time in range(2):
        change_invoice(late_customer, agreements.record_dispute, reason="again")
        late_customer.run()
        change_invoice(late_customer, agreements.resolve_dispute)
        late_customer.pass_days(1)
    with reading(late_customer.app.engine) as session:
        assert [each["code"] for each in tasks.find_tasks(session, states=["done"])] == ["dispute_raised"] * 2


def test_a_promise_holds_until_its_day_and_broken_it_is_a_task_and_chasing_goes_on(late_customer: Any) -> None:
    late_customer.run()
    change_invoice(late_customer, agreements.set_promise, on=days(12), reason="on the phone")
    run_for_days(late_customer, 12)
    assert decision_code(late_customer) == "promised"
    assert len(sent_steps(late_customer)) == 1
    run_for_days(late_customer, 3)  # the promised Monday, and a business day more
    late_customer.run()
    assert ("promise_broken", ANN) in open_tasks(late_customer)
    assert agreement_states(late_customer) == [("promise", "broken")]
    assert sent_steps(late_customer) == ["past_due", "second_notice"]


def test_where_the_policy_says_so_a_mail_asks_about_a_broken_promise_once(late_customer: Any) -> None:
    late_customer.set_policy("[promise_broken]\nby_call = []\n")
    late_customer.run()
    change_invoice(late_customer, agreements.set_promise, on=days(2), reason="on the phone")
    run_for_days(late_customer, 5)
    late_customer.run()
    assert sent_steps(late_customer) == ["past_due", "promise_broken"]
    assert agreement_states(late_customer) == [("promise", "broken")]
    [_friendly, mail] = late_customer.sandbox.sendgrid.emails_to("accounts@ashdown.example")
    assert f"Invoice {late_customer.number}: the payment promised for 12 June 2026" == mail.subject
    run_for_days(late_customer, 3)
    assert sent_steps(late_customer) == ["past_due", "promise_broken"]


def test_a_kept_promise_is_remembered_as_kept_and_nobody_is_bothered(late_customer: Any) -> None:
    late_customer.run()
    change_invoice(late_customer, agreements.set_promise, on=days(9))
    late_customer.pass_days(8)
    late_customer.company.pay(late_customer.number)
    late_customer.run()
    assert agreement_states(late_customer) == [("promise", "kept")]
    assert open_tasks(late_customer) == []
    assert set(sent_steps(late_customer)[1:]) <= {"thank_you"}


def test_a_promise_is_judged_by_the_books_not_by_when_we_looked(late_customer: Any) -> None:
    late_customer.run()
    change_invoice(late_customer, agreements.set_promise, on=days(2))
    late_customer.pass_days(9)  # nothing ran meanwhile: he paid a week after the day he promised
    late_customer.company.pay(late_customer.number)
    late_customer.run()
    assert agreement_states(late_customer) == [("promise", "broken")]


def two_instalments(scenario: Any) -> list[Instalment]:
    with reading(scenario.app.engine) as session:
        return agreements.equal_instalments(find_invoice(session, scenario.number, scenario.connection), 2, days(7), 14)


def test_a_plan_holds_while_its_instalments_come(late_customer: Any) -> None:
    late_customer.run()
    change_invoice(late_customer, agreements.set_payment_plan, instalments=two_instalments(late_customer))
    run_for_days(late_customer, 7)
    late_customer.company.pay(late_customer.number, "600.00")
    run_for_days(late_customer, 13)
    assert decision_code(late_customer) == "payment_plan"
    late_customer.company.pay(late_customer.number)
    late_customer.run()
    assert agreement_states(late_customer) == [("payment_plan", "kept")]
    assert open_tasks(late_customer) == []


def test_one_missed_instalment_voids_the_plan_for_good_and_chasing_goes_on(late_customer: Any) -> None:
    late_customer.run()
    change_invoice(late_customer, agreements.set_payment_plan, instalments=two_instalments(late_customer))
    run_for_days(late_customer, 9)
    late_customer.run()
    assert agreement_states(late_customer) == [("payment_plan", "broken")]
    assert ("plan_broken", ANN) in open_tasks(late_customer)
    late_customer.company.pay(
        late_customer.number, "600.00"
    )  # the instalment comes late: the plan is void all the same
    run_for_days(late_customer, 14)
    assert decision_code(late_customer) != "payment_plan"
    assert "second_notice" in sent_steps(late_customer)


def test_a_pause_ends_by_itself(late_customer: Any) -> None:
    change_invoice(late_customer, agreements.pause_reminders, until=days(6), reason="the owner is in hospital")
    run_for_days(late_customer, 6)
    assert sent_steps(late_customer) == []
    late_customer.run()
    assert len(sent_steps(late_customer)) == 1
    assert agreement_states(late_customer) == [("pause", "ended")]
    assert change_invoice(late_customer, agreements.resume_reminders)["active_agreements"] == {}


def test_a_paused_customer_is_chased_again_from_the_day_on(late_customer: Any) -> None:
    change_customer(late_customer, {"hold_until_on": days(5)})
    run_for_days(late_customer, 5)
    assert sent_steps(late_customer) == []
    late_customer.run()
    assert len(sent_steps(late_customer)) == 1


def test_a_paused_company_goes_on_by_itself_on_its_day(late_customer: Any) -> None:
    registry.pause(late_customer.app, late_customer.connection, reason="year end", until_on=days(2), by="Ann")
    for _day in range(2):
        with reading(late_customer.app.engine) as session:
            assert lease.list_due(session, late_customer.app.now() + timedelta(hours=1), 9) == []
        late_customer.run()  # even where a person asks for a run by name, nothing leaves
        late_customer.pass_days(1)
    assert sent_steps(late_customer) == []
    with reading(late_customer.app.engine) as session:
        assert lease.list_due(session, late_customer.app.now() + timedelta(hours=1), 9) == [late_customer.connection]
    late_customer.run()
    assert len(sent_steps(late_customer)) == 1
    with reading(late_customer.app.engine) as session:
        assert session.get_one(Connection, late_customer.connection).pause_reason == ""


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
        pause_reason="year end",
        paused_until_on=date(2026, 1, 15),
    )
    assert registry.is_paused(row, begins - timedelta(minutes=1))
    assert not registry.is_paused(row, begins)


def test_who_wants_no_mail_is_one_call_and_no_more(late_customer: Any) -> None:
    change_customer(late_customer, {"no_reminders": True})
    run_for_days(late_customer, 12)
    assert sent_steps(late_customer) == []
    assert open_tasks(late_customer) == [("opted_out", ANN)]


def test_a_task_belongs_to_the_customers_own_owner(late_customer: Any) -> None:
    change_customer(late_customer, {"no_reminders": True, "owner": "Bo <bo@small.example>"})
    late_customer.run()
    assert open_tasks(late_customer) == [("opted_out", "Bo <bo@small.example>")]


def test_what_was_said_on_the_phone_counts_from_the_next_run_on(late_customer: Any) -> None:
    change_customer(late_customer, {"no_reminders": True})
    late_customer.run()
    with reading(late_customer.app.engine) as session:
        [task] = tasks.find_tasks(session, late_customer.connection)
    tasks.record_task_outcome(
        late_customer.app, task["id"], TaskOutcome(promised_on=days(9), note="Mr Ash, nice"), by="Ann"
    )
    assert open_tasks(late_customer) == []
    late_customer.run()
    assert decision_code(late_customer) == "promised"
    with reading(late_customer.app.engine) as session:
        [ended] = tasks.find_tasks(session, states=["done"])
        [promise] = agreements.list_agreements(session, find_invoice(session, late_customer.number))
    assert ended["outcome"] == "promised for 19 Jun 2026; Mr Ash, nice"
    assert (promise["until_on"], promise["recorded_by"]) == (days(9), "Ann")


def test_an_outcome_can_be_a_dispute_an_address_or_another_try(late_customer: Any) -> None:
    change_customer(late_customer, {"no_reminders": True})
    late_customer.run()
    with reading(late_customer.app.engine) as session:
        [task] = tasks.find_tasks(session, late_customer.connection)
    again = tasks.record_task_outcome(late_customer.app, task["id"], TaskOutcome(retry_on=days(2)), by="Ann")
    assert (again["state"], again["due_on"]) == ("open", days(2))
    outcome = TaskOutcome(disputed="too much", contact=("Mr Ash", "ash@ashdown.example"))
    tasks.record_task_outcome(late_customer.app, task["id"], outcome, by="Ann")
    late_customer.run()
    assert decision_code(late_customer) == "disputed"
    with reading(late_customer.app.engine) as session:
        [setting] = session.scalars(select(CustomerSetting))
    assert setting.emails == "ash@ashdown.example"
    with pytest.raises(tasks.TaskError, match="is done already"):
        tasks.complete(late_customer.app, [task["id"]], by="Ann")


def test_a_task_about_what_was_paid_meanwhile_is_moot(late_customer: Any) -> None:
    change_customer(late_customer, {"no_reminders": True})
    late_customer.run()
    late_customer.company.pay(late_customer.number)
    late_customer.pass_days(1)
    late_customer.run()
    assert open_tasks(late_customer) == []
    with reading(late_customer.app.engine) as session:
        [task] = tasks.find_tasks(session, states=["cancelled"])
    assert task["outcome"] == "nothing is owed any more"


@pytest.mark.parametrize(
    ("act", "more"),
    [
        (agreements.set_promise, {"on": days(-1)}),
        (agreements.pause_reminders, {"until": days(0)}),
        (agreements.set_payment_plan, {"instalments": [Instalment(days(3), Decimal(1))]}),
        (
            agreements.set_payment_plan,
            {"instalments": [Instalment(days(3), Decimal(600)), Instalment(days(3), Decimal(600))]},
        ),
        (
            agreements.set_payment_plan,
            {"instalments": [Instalment(days(3), Decimal(1300)), Instalment(days(4), Decimal(-100))]},
        ),
        *(
            (agreements.set_payment_plan, {"instalments": [Instalment(days(3), Decimal(odd))]})
            for odd in ("NaN", "1e99", "0.00001")
        ),
    ],
)
def test_what_makes_no_sense_is_not_kept(late_customer: Any, act: Any, more: Any) -> None:
    with pytest.raises(agreements.AgreementError):
        change_invoice(late_customer, act, **more)
    assert agreement_states(late_customer) == []


def change_customer(scenario: Any, changes: dict[str, Any]) -> None:
    with reading(scenario.app.engine) as session:
        invoice = find_invoice(session, scenario.number, scenario.connection)
    customer_settings.update_settings(scenario.app, scenario.connection, invoice.customer_id, changes, by="Ann")
