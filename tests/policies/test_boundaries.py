"""What lies exactly on a limit of the policy, and what lies one day or one cent beside it."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest

from policies.decisions import DecisionKind, HoldCode
from policies.payment_behaviour import Baseline, ClosedInvoice, learn_behaviour
from policies.policy import PolicyError, ReminderPolicy
from policies.receivables import PaymentBehaviour, Size, Step
from policies.schedule_adjustments import adjust_schedule
from policies.step_tables import CELLS
from tests.policies.builders import (
    MONDAY,
    POLICY,
    at,
    decide_at,
    first_decision,
    invoice,
    overdue_invoice,
    paid_invoice,
    reminder_in,
    sent_email,
    statement,
    tasks_in,
)

ESTABLISHED_SMALL = next(cell for cell in CELLS if [part.value for part in cell] == ["established", "small"])
ALWAYS_BY_EMAIL = ReminderPolicy.from_toml("[promise_broken]\nby_call = []")


@pytest.mark.parametrize(("total", "held"), [("1.00", False), ("0.99", True)])
def test_a_balance_equal_to_the_minimum_is_chased(total: str, *, held: bool) -> None:
    assert (first_decision(statement(overdue_invoice(8, total=total))).code == HoldCode.BELOW_MINIMUM) is held


@pytest.mark.parametrize(("due_in", "listed"), [(7, True), (8, False)])
def test_an_email_lists_what_is_due_within_the_days_of_the_policy(due_in: int, *, listed: bool) -> None:
    soon = invoice(due_in, id="i2")
    past = (sent_email(Step.BEFORE_DUE, MONDAY - timedelta(days=10), "i2"),)
    email = reminder_in(decide_at(statement(overdue_invoice(8), soon, past_actions=past)))
    assert email is not None
    assert ("i2" in email.listed) is listed


@pytest.mark.parametrize(("days_ago", "thanked"), [(5, True), (6, False)])
def test_a_payment_is_thanked_for_within_five_days(days_ago: int, *, thanked: bool) -> None:
    email = reminder_in(decide_at(statement(paid_invoice(MONDAY - timedelta(days=days_ago)))))
    assert (email is not None) is thanked


@pytest.mark.parametrize(("days_ago", "thanked"), [(30, True), (29, False)])
def test_a_customer_is_thanked_once_in_thirty_days(days_ago: int, *, thanked: bool) -> None:
    past = (sent_email(Step.THANK_YOU, MONDAY - timedelta(days=days_ago), "other"),)
    email = reminder_in(decide_at(statement(paid_invoice(MONDAY), past_actions=past)))
    assert (email is not None) is thanked


@pytest.mark.parametrize(("terms", "asked"), [(26, True), (25, False)])
def test_the_receipt_check_needs_five_days_before_the_next_step(terms: int, *, asked: bool) -> None:
    """It comes 14 days after the invoice date, the next step 7 days before the due date."""
    email = reminder_in(decide_at(statement(invoice(terms - 14, terms=terms))))
    assert (email is not None) is asked
    assert email is None or email.step is Step.RECEIPT_CHECK


@pytest.mark.parametrize(
    ("weekdays", "usual"),
    [([0, 0, 0, 0, 1, 2], 0), ([0, 0, 0, 1, 2, 3], None), ([0, 0, 0, 0, 0], None), ([4] * 6, 4)],
)
def test_the_usual_weekday_is_that_of_more_than_half_of_at_least_six_payments(
    weekdays: list[int], usual: int | None
) -> None:
    history = [ClosedInvoice(day, day) for day in (date(2026, 6, 1) + timedelta(days=each) for each in weekdays)]
    assert learn_behaviour(history, Baseline(), MONDAY).weekday == usual


def behaviour(median: float = 0.0, closed: int = 10, streak: int = 0) -> PaymentBehaviour:
    return PaymentBehaviour(closed, median, median - 20, median + 20, 0.5, on_time_streak=streak)


@pytest.mark.parametrize(
    ("customer", "is_called_first"),
    [(behaviour(16.0), True), (behaviour(15.0), False), (behaviour(16.0, closed=3), True), (behaviour(16.0, 2), False)],
)
def test_a_customer_who_is_late_by_more_than_fifteen_days_is_called_first(
    customer: PaymentBehaviour, *, is_called_first: bool
) -> None:
    calls = [task.day for task in adjust_schedule(POLICY.schedules[ESTABLISHED_SMALL], customer).tasks]
    assert (5 in calls) is is_called_first  # two days before the first reminder on day 7


@pytest.mark.parametrize(("streak", "asked"), [(5, True), (6, False)])
def test_who_paid_the_last_six_invoices_on_time_is_not_asked_about_receipt(streak: int, *, asked: bool) -> None:
    adjusted = adjust_schedule(POLICY.schedules[ESTABLISHED_SMALL], behaviour(streak=streak))
    assert (adjusted.receipt_check is not None) is asked


@pytest.mark.parametrize(
    ("completed", "leading"), [((), Step.PROMISE_BROKEN), ((Step.SECOND_NOTICE,), Step.PLAN_OFFER)]
)
def test_a_broken_promise_outranks_the_second_notice_and_no_plan_offer(
    completed: tuple[Step, ...], leading: Step
) -> None:
    """One invoice was promised for last week; another one has its next notice due."""
    promised = overdue_invoice(20, id="i1", promised_on=MONDAY - timedelta(days=4))
    other = overdue_invoice(60, id="i2")
    steps = (Step.PAST_DUE, *completed)
    past = tuple(sent_email(step, MONDAY - timedelta(days=40 - 10 * place), "i2") for place, step in enumerate(steps))
    email = reminder_in(decide_at(statement(promised, other, past_actions=past), policy=ALWAYS_BY_EMAIL))
    assert email is not None
    assert email.step is leading
    assert dict(email.completed).keys() == {"i1", "i2"}


@pytest.mark.parametrize(("days_ago", "kind"), [(3, DecisionKind.REMINDER), (2, DecisionKind.WAITING)])
def test_contacts_are_three_days_apart(days_ago: int, kind: DecisionKind) -> None:
    past = (sent_email(Step.PAST_DUE, MONDAY - timedelta(days=days_ago), "other"),)
    assert first_decision(statement(overdue_invoice(8), past_actions=past)).kind is kind


@pytest.mark.parametrize(("total", "size_day"), [("100", 3), ("99.99", 5)])
def test_an_invoice_equal_to_a_fixed_amount_has_that_size(total: str, size_day: int) -> None:
    policy = ReminderPolicy.from_toml("[sizes.floors]\nEUR = { large = 100, medium = 10 }")
    for days, due in ((size_day - 1, False), (size_day, True)):
        email = reminder_in(decide_at(statement(overdue_invoice(days, total=Decimal(total))), policy=policy))
        assert (email is not None) is due, days


def test_a_payment_dated_tomorrow_is_not_thanked_for_today() -> None:
    assert reminder_in(decide_at(statement(paid_invoice(MONDAY + timedelta(days=1))))) is None


@pytest.mark.parametrize(("usual_day", "first_day"), [(6, 7), (7, 8), (13, 14), (15, 14)])
def test_the_first_reminder_waits_for_the_usual_day_but_keeps_its_distance_to_the_second(
    usual_day: int, first_day: int
) -> None:
    steady = PaymentBehaviour(12, usual_day, usual_day, usual_day, 0.9)
    first, second, *_ = adjust_schedule(POLICY.schedules[ESTABLISHED_SMALL], steady).levels
    assert (first.day, second.day) == (first_day, 17)


@pytest.mark.parametrize("day", [1, 120])
def test_a_receipt_check_comes_within_120_days_of_the_invoice(day: int) -> None:
    outside = {1: 0, 120: 121}[day]
    with pytest.raises(PolicyError, match=f"a day from 1 to 120 .*, not {outside}"):
        ReminderPolicy.from_toml(f"[receipt_check]\nnew = {outside}")
    try:
        ReminderPolicy.from_toml(f"[receipt_check]\nnew = {day}")
    except PolicyError as error:
        assert "from 1 to 120" not in str(error)  # noqa: PT017 - the order of the steps may refuse it as well


@pytest.mark.parametrize(("count", "more"), [(3, ""), (4, "; and 1 more"), (5, "; and 2 more")])
def test_a_task_names_three_invoices_and_counts_the_others(count: int, more: str) -> None:
    overdue = [overdue_invoice(14, id=f"i{index}", number=f"INV-{index}", size=Size.LARGE) for index in range(count)]
    past = tuple(sent_email(Step.PAST_DUE, MONDAY - timedelta(days=8), each.id) for each in overdue)
    (task,) = [each for each in tasks_in(decide_at(statement(*overdue, past_actions=past))) if each.step is Step.CALL]
    assert task.reason.count("was due on") == min(count, 3)
    assert task.reason.endswith(f"due on 9 Nov 2026{more}.")


def test_a_call_that_falls_on_a_saturday_is_due_on_monday() -> None:
    saturday = MONDAY - timedelta(days=2)
    overdue = overdue_invoice(12, size=Size.LARGE)
    past = (sent_email(Step.PAST_DUE, MONDAY - timedelta(days=8)),)
    decision = decide_at(statement(overdue, past_actions=past, now=at(saturday)), now=at(saturday))
    assert [(each.step, each.due_on) for each in tasks_in(decision)] == [(Step.CALL, MONDAY)]
