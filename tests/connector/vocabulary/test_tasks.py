"""The codes of tasks."""

from __future__ import annotations

from connector.vocabulary import TaskCode
from policies.receivables import Step


def test_every_step_is_a_task_code_as_a_policy_can_turn_each_email_into_a_call() -> None:
    assert {step.value for step in Step} <= {code.value for code in TaskCode}
