"""Past actions by invoice and step: which of them counts as the schedule's call."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from policies.past_actions import PastActions
from policies.receivables import Invoice, PastAction, Step
from tests.policies.builders import MONDAY, at, overdue_invoice

CALLED_ON = MONDAY - timedelta(days=5)
CALL = PastAction(Step.PROMISE_BROKEN, "i1", at(CALLED_ON), CALLED_ON, is_contact=False)
OVERDUE = overdue_invoice(30)
MOVED = replace(OVERDUE, due_on=MONDAY - timedelta(days=1), due_changed_on=MONDAY - timedelta(days=2))


@pytest.mark.parametrize(
    ("action", "invoices", "is_call"),
    [
        (CALL, [OVERDUE], True),
        (CALL, [], True),
        (CALL, [MOVED], False),  # the call was about the date before
        (replace(CALL, is_contact=True), [OVERDUE], False),  # it was an email
        (replace(CALL, refused=True), [OVERDUE], False),
        (replace(CALL, step=Step.SECOND_NOTICE), [OVERDUE], False),
    ],
)
def test_a_call_about_a_broken_promise_counts_as_the_call_of_the_schedule(
    action: PastAction, invoices: list[Invoice], *, is_call: bool
) -> None:
    past = PastActions.from_actions([action], invoices)
    assert (Step.CALL in past.by_invoice.get("i1", {})) is is_call
