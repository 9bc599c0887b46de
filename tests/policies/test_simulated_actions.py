"""What a preview or a backtest takes for granted after an action."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from policies.decisions import Action, CreateTask, NotifyOwner, SendReminder
from policies.receivables import Step
from policies.simulated_actions import as_past_actions
from tests.policies.builders import MONDAY, at, decide_at, fees_in, overdue_invoice, sent_email, statement
from tests.policies.test_fee_reviews import POLICY

TASK = CreateTask("c1", Step.CALL, "call", ("i1", "i2"), MONDAY, "", recurrence_key="again")


def known(action: Action) -> list[tuple[Step, str, bool, str]]:
    found = as_past_actions(action, at(MONDAY), MONDAY)
    return [(each.step, each.invoice_id, each.is_contact, each.recurrence_key) for each in found]


def test_an_email_is_a_contact_and_completes_a_step_of_each_invoice() -> None:
    completed = (("i1", Step.PAST_DUE), ("i2", Step.PROMISE_BROKEN))
    email = SendReminder(
        "c1",
        "EUR",
        Step.PAST_DUE,
        completed,
        ("i1", "i2"),
        "",
        recurrence_keys=(("i2", "2026-11-20"),),
        announces_fee_on=("i1",),
    )
    assert known(email) == [(Step.PAST_DUE, "i1", True, ""), (Step.PROMISE_BROKEN, "i2", True, "2026-11-20")]
    assert [each.announced_fee for each in as_past_actions(email, at(MONDAY), MONDAY)] == [True, False]


def test_alerts_and_tasks_are_no_contacts() -> None:
    alert = NotifyOwner("c1", "EUR", (("i1", Step.NOTIFY_OWNER),), "")
    assert known(alert) == [(Step.NOTIFY_OWNER, "i1", False, "")]
    assert known(TASK) == [(Step.CALL, "i1", False, "again"), (Step.CALL, "i2", False, "again")]
    assert known(CreateTask("c1", None, "apply_credit", ("i1",), MONDAY, "")) == []


def test_a_fee_is_known_with_its_period_and_amount() -> None:
    warned = (sent_email(Step.PAST_DUE, MONDAY - timedelta(days=20)),)
    (fee,) = fees_in(decide_at(statement(overdue_invoice(40, total="1000"), past_actions=warned), policy=POLICY))
    assert known(fee) == [(Step.LATE_FEE, "i1", False, "once")]
    assert [each.fee_amount for each in as_past_actions(fee, at(MONDAY), MONDAY)] == [Decimal("10.00")]
