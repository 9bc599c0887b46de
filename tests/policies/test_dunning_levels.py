"""Dunning levels: which step is due, in which order, and once only."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from policies.decisions import DecisionKind
from policies.policy import ReminderPolicy
from policies.receivables import Discount, Invoice, PastAction, Segment, Size, Step
from tests.policies.builders import (
    KNOWN_CUSTOMER,
    MONDAY,
    NEW_CUSTOMER,
    Simulation,
    at,
    daily,
    decide_at,
    first_decision,
    hourly,
    invoice,
    overdue_invoice,
    reminder_in,
    sent_email,
    statement,
    tasks_in,
)

LEVEL_STEPS = [Step.PAST_DUE, Step.SECOND_NOTICE, Step.PLAN_OFFER, Step.FINAL_NOTICE]
TABLE = {  # the table of docs/policy.md, past_due / second_notice / plan_offer / final_notice
    (Segment.STRATEGIC, Size.LARGE): (4, 14, 21, 45),
    (Segment.STRATEGIC, Size.MEDIUM): (5, 19, 26, 50),
    (Segment.STRATEGIC, Size.SMALL): (7, 21, 35, 60),
    (Segment.ESTABLISHED, Size.LARGE): (3, 14, 20, 35),
    (Segment.ESTABLISHED, Size.MEDIUM): (5, 19, 25, 40),
    (Segment.ESTABLISHED, Size.SMALL): (7, 17, 27, 45),
    (Segment.NEW, Size.LARGE): (3, 12, 17, 25),
    (Segment.NEW, Size.MEDIUM): (4, 15, 20, 30),
    (Segment.NEW, Size.SMALL): (5, 14, 19, 30),
}


def always_open_policy() -> ReminderPolicy:
    """The default policy with a send window that is always open, so that each step is completed on its day."""
    return ReminderPolicy.from_toml(
        '[send_window]\nopens = "00:00"\ncloses = "23:59"\n'
        'weekdays = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]\n'
    )


def emails_by_day(simulation: Simulation) -> list[tuple[int, Step]]:
    due_on = simulation.invoices[0].due_on
    assert due_on is not None
    return [((on - due_on).days, step) for on, step, _ in simulation.emails]


@pytest.mark.parametrize(("cell", "days"), TABLE.items(), ids=[" ".join(cell) for cell in TABLE])
def test_emails_after_the_due_date_are_sent_on_the_days_of_the_schedule(
    cell: tuple[Segment, Size], days: tuple[int, ...]
) -> None:
    segment, size = cell
    customer = replace(KNOWN_CUSTOMER, segment=segment)
    simulation = Simulation([invoice(0, size=size)], policy=always_open_policy(), customer=customer).run_all(
        daily(MONDAY, 100)
    )
    past_due = [(day, step) for day, step in emails_by_day(simulation) if step in LEVEL_STEPS]
    assert past_due == list(zip(days, LEVEL_STEPS, strict=True))


def test_tasks_are_created_once_on_the_days_of_the_schedule() -> None:
    customer = replace(KNOWN_CUSTOMER, segment=Segment.ESTABLISHED)
    simulation = Simulation([invoice(0, size=Size.LARGE)], policy=always_open_policy(), customer=customer).run_all(
        hourly(MONDAY, 100)
    )
    tasks = [((on - MONDAY).days, step) for on, step, *_ in simulation.completed if step not in LEVEL_STEPS]
    assert tasks == [
        (8, Step.CALL),
        (14, Step.NOTIFY_OWNER),
        (27, Step.ESCALATION_CALL),
        (45, Step.PROPOSE_SUSPENSION),
        (75, Step.HAND_OFF_REVIEW),
    ]


def test_before_the_due_date_there_is_a_receipt_check_and_a_reminder_a_week_before() -> None:
    simulation = Simulation([invoice(30)], policy=always_open_policy()).run_all(daily(MONDAY, 31))
    assert emails_by_day(simulation) == [(-16, Step.RECEIPT_CHECK), (-7, Step.BEFORE_DUE)]


def test_a_new_customer_is_reminded_on_the_due_date() -> None:
    simulation = Simulation([invoice(30)], policy=always_open_policy(), customer=replace(NEW_CUSTOMER)).run_all(
        daily(MONDAY, 40)
    )
    assert emails_by_day(simulation)[1:] == [(-7, Step.BEFORE_DUE), (0, Step.DUE_TODAY), (5, Step.PAST_DUE)]


def test_the_receipt_of_a_strategic_customers_large_invoice_is_checked_by_phone() -> None:
    facts = statement(invoice(23, size=Size.LARGE), customer=replace(KNOWN_CUSTOMER, segment=Segment.STRATEGIC))
    decision = decide_at(facts)
    assert reminder_in(decision) is None
    assert [task.step for task in tasks_in(decision)] == [Step.RECEIPT_CHECK]


@pytest.mark.parametrize("terms", [7, 10, 14])
def test_short_payment_terms_leave_out_the_receipt_check(terms: int) -> None:
    simulation = Simulation([invoice(terms, terms=terms)], policy=always_open_policy()).run_all(
        daily(MONDAY, terms + 1)
    )
    assert [step for _, step in emails_by_day(simulation)] == [Step.BEFORE_DUE]


def test_an_invoice_due_on_receipt_gets_no_early_email() -> None:
    simulation = Simulation([invoice(0, terms=0)], policy=always_open_policy()).run_all(daily(MONDAY, 10))
    assert emails_by_day(simulation) == [(7, Step.PAST_DUE)]


def test_a_discount_reminder_is_sent_two_days_before_the_discount_ends() -> None:
    discount = Discount(Decimal(2), MONDAY + timedelta(days=10))
    simulation = Simulation([invoice(30, discount=discount)], policy=always_open_policy()).run_all(daily(MONDAY, 14))
    assert [(on, step) for on, step, _ in simulation.emails] == [(MONDAY + timedelta(days=8), Step.DISCOUNT_ENDING)]


def test_between_two_steps_the_decision_names_the_next_one() -> None:
    outcome = first_decision(
        statement(overdue_invoice(10), past_actions=(sent_email(Step.PAST_DUE, MONDAY - timedelta(days=3)),))
    )
    assert outcome.code == "not_due_yet"
    assert (outcome.next_step, outcome.next_on) == (Step.SECOND_NOTICE, date(2026, 11, 30))
    assert outcome.kind is DecisionKind.WAITING  # nothing holds it
    assert outcome.reason == "Next step: second notice on 30 Nov 2026, 17 days after the due date."


def test_a_step_that_waits_for_the_email_before_it_says_so() -> None:
    sent_late = statement(overdue_invoice(14), past_actions=(sent_email(Step.PAST_DUE, MONDAY),))
    assert first_decision(sent_late).reason == (
        "Next step: second notice on 3 Dec 2026, 10 days after the first reminder of 23 Nov 2026."
    )


@pytest.mark.parametrize(
    ("facts", "step"),
    [
        (invoice(28, terms=30), "receipt check on 5 Dec 2026, 14 days after the invoice date"),
        (invoice(12, terms=14), "reminder before the due date on 28 Nov 2026, 7 days before the due date"),
        (overdue_invoice(1), "first reminder on 29 Nov 2026, 7 days after the due date"),
        (
            invoice(30, discount=Discount(Decimal(2), MONDAY + timedelta(days=10))),
            "early payment discount reminder on 1 Dec 2026, 2 days before the end of the discount",
        ),
    ],
)
def test_the_next_step_says_what_its_day_is_counted_from(facts: Invoice, step: str) -> None:
    assert first_decision(statement(facts)).reason == f"Next step: {step}."


def test_an_old_ledger_gets_one_email_no_more_severe_than_the_first_reminder() -> None:
    ledger = [invoice(-days, id=f"i{days}") for days in (1, 8, 40, 100, 400)]
    decision = decide_at(statement(*ledger))
    email = reminder_in(decision)
    assert email is not None
    assert email.step is Step.PAST_DUE
    assert {step for _, step in email.completed} == {Step.PAST_DUE}
    assert len([each for each in decision.actions if type(each) is type(email)]) == 1
    assert email.listed == ("i400", "i100", "i40", "i8", "i1")


def test_after_the_first_email_to_an_old_ledger_the_next_levels_keep_their_gaps() -> None:
    simulation = Simulation([overdue_invoice(200)], policy=always_open_policy()).run_all(daily(MONDAY, 60))
    days = [(on - MONDAY).days for on, _, _ in simulation.emails]
    assert [step for _, step, _ in simulation.emails] == LEVEL_STEPS
    assert days == [0, 10, 20, 38]  # 7, 17, 27, 45 in the schedule


def test_no_suspension_is_proposed_before_its_notice_even_if_very_late() -> None:
    simulation = Simulation([overdue_invoice(200)], policy=always_open_policy()).run_all(daily(MONDAY, 90))
    done = {step: (on - MONDAY).days for on, step, *_ in simulation.completed}
    assert done[Step.PROPOSE_SUSPENSION] - done[Step.FINAL_NOTICE] == 15


def test_the_final_notice_names_the_date_of_the_proposed_suspension() -> None:
    past_actions = tuple(
        sent_email(step, MONDAY - timedelta(days=ago))
        for step, ago in [(Step.PAST_DUE, 40), (Step.SECOND_NOTICE, 30), (Step.PLAN_OFFER, 20)]
    )
    email = reminder_in(decide_at(statement(overdue_invoice(50), past_actions=past_actions)))
    assert email is not None
    assert (email.step, email.suspension_on) == (Step.FINAL_NOTICE, MONDAY + timedelta(days=15))


def test_only_the_most_advanced_task_is_created() -> None:
    past_actions = (
        sent_email(Step.PAST_DUE, MONDAY - timedelta(days=80)),
        sent_email(Step.SECOND_NOTICE, MONDAY - timedelta(days=70)),
        sent_email(Step.PLAN_OFFER, MONDAY - timedelta(days=60)),
        sent_email(Step.FINAL_NOTICE, MONDAY - timedelta(days=40)),
    )
    late_one = overdue_invoice(100, size=Size.LARGE)
    decision = decide_at(statement(late_one, past_actions=past_actions))
    assert [task.step for task in tasks_in(decision)] == [Step.HAND_OFF_REVIEW]
    created = PastAction(Step.HAND_OFF_REVIEW, "i1", at(MONDAY), MONDAY, is_contact=False)
    assert tasks_in(decide_at(statement(late_one, past_actions=(*past_actions, created)))) == []


def test_the_decision_reports_that_all_steps_are_completed() -> None:
    steps = [*LEVEL_STEPS, Step.PROPOSE_SUSPENSION, Step.HAND_OFF_REVIEW, Step.NOTIFY_OWNER, Step.CALL]
    past_actions = tuple(sent_email(step, MONDAY - timedelta(days=100 - index)) for index, step in enumerate(steps))
    assert first_decision(statement(overdue_invoice(200), past_actions=past_actions)).code == "all_steps_completed"


def test_one_email_completes_the_step_of_each_invoice_and_the_most_severe_sets_the_text() -> None:
    facts = statement(
        overdue_invoice(8, id="friendly"),
        overdue_invoice(30, id="second"),
        invoice(7, id="soon"),
        invoice(20, id="later"),
        past_actions=(sent_email(Step.PAST_DUE, MONDAY - timedelta(days=20), "second"),),
    )
    email = reminder_in(decide_at(facts))
    assert email is not None
    assert email.step is Step.SECOND_NOTICE
    assert email.completed == (
        ("second", Step.SECOND_NOTICE),
        ("friendly", Step.PAST_DUE),
        ("soon", Step.BEFORE_DUE),
    )
    assert email.listed == ("second", "friendly", "soon")


def test_a_late_fee_is_listed_with_its_invoice() -> None:
    facts = statement(
        overdue_invoice(8, id="parent"),
        overdue_invoice(1, id="fee", fee_of="parent"),
        overdue_invoice(1, id="other", fee_of="gone"),
    )
    email = reminder_in(decide_at(facts))
    assert email is not None
    assert email.listed == ("parent", "fee")
    assert email.completed == (("parent", Step.PAST_DUE),)


def test_after_an_outage_only_the_step_due_today_is_sent() -> None:
    simulation = Simulation([invoice(10)], policy=always_open_policy())
    simulation.run_all(daily(MONDAY, 4))
    simulation.run_all(daily(MONDAY + timedelta(days=60), 1))
    assert [step for _, step, _ in simulation.emails][-1] is Step.PAST_DUE
    assert len([on for on, _, _ in simulation.emails if on >= MONDAY + timedelta(days=60)]) == 1


def test_an_early_step_is_never_sent_late() -> None:
    assert first_decision(statement(overdue_invoice(1))).code == "not_due_yet"
    assert reminder_in(decide_at(statement(overdue_invoice(1), customer=NEW_CUSTOMER))) is None


def test_the_reminder_on_the_due_date_is_not_planned_for_a_later_day() -> None:
    decision = decide_at(statement(invoice(0), customer=NEW_CUSTOMER), now=at(MONDAY, 19))
    assert reminder_in(decision) is None


def test_a_moved_due_date_moves_what_comes_next() -> None:
    moved = invoice(20)
    outcome = first_decision(statement(moved, past_actions=(sent_email(Step.PAST_DUE, MONDAY - timedelta(days=5)),)))
    assert (outcome.code, outcome.next_on) == ("not_due_yet", MONDAY + timedelta(days=13))


@pytest.mark.parametrize(("total", "expected"), [("50.00", Step.PLAN_OFFER), ("49.99", Step.FINAL_NOTICE)])
def test_no_payment_plan_is_offered_for_a_small_balance_and_the_ladder_goes_on(total: str, expected: Step) -> None:
    past = (sent_email(Step.SECOND_NOTICE, MONDAY - timedelta(days=40)),)
    reminder = reminder_in(decide_at(statement(overdue_invoice(60, total=total), past_actions=past)))
    assert reminder is not None
    assert reminder.step is expected
