"""Customer policies: who follows which, and the problems that are reported."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from policies.customer_policies import is_in_control_group
from policies.policy import PolicyError, ReminderPolicy
from policies.receivables import Customer, Segment, Step
from tests.policies.builders import KNOWN_CUSTOMER, MONDAY, decide_at, overdue_invoice, statement

DOCUMENT = """
tone = "firm"

[policies.segment]
applies_to = { segments = ["strategic", "established"] }
tone = "gentle"

[policies.group]
applies_to = { groups = ["Members"] }

[policies.tag]
applies_to = { tags = ["Friend"] }
[policies.tag.minimum_balance]
default = 50

[policies.one]
applies_to = { customers = ["Acme Ltd", "77"] }
[policies.one.past_due]
established = "off"
[policies.one.second_notice]
established = "off"
[policies.one.plan_offer]
established = "off"
[policies.one.final_notice]
established = "off"
[policies.one.propose_suspension]
established = "off"
[policies.one.late_fee]
established = "off"
"""
POLICY = ReminderPolicy.from_toml(DOCUMENT)
NEW = replace(KNOWN_CUSTOMER, segment=Segment.NEW)


@pytest.mark.parametrize(
    ("customer", "name", "tone"),
    [
        (NEW, "", "firm"),
        (KNOWN_CUSTOMER, "segment", "gentle"),
        (replace(NEW, groups=("members",)), "group", "firm"),
        (replace(KNOWN_CUSTOMER, groups=("Members",), tags=("friend",)), "tag", "firm"),
        (replace(KNOWN_CUSTOMER, tags=("friend",), name="ACME ltd"), "one", "firm"),
        (replace(NEW, id="77"), "one", "firm"),
    ],
)
def test_the_policy_that_names_a_customer_most_closely_applies(customer: Customer, name: str, tone: str) -> None:
    chosen = POLICY.policy_for(customer, MONDAY)
    assert (chosen.name, chosen.tone) == (name, tone)


def test_a_customer_policy_inherits_what_it_does_not_set() -> None:
    friend = POLICY.policy_for(replace(NEW, tags=("friend",)), MONDAY)
    assert friend.minimum_balance.for_currency("EUR") == 50
    assert friend.schedules == POLICY.schedules


def test_a_decision_follows_and_names_the_customer_policy() -> None:
    overdue = overdue_invoice(30)
    assert (
        decide_at(statement(overdue, customer=replace(KNOWN_CUSTOMER, segment=Segment.NEW)), policy=POLICY).policy == ""
    )
    decision = decide_at(statement(overdue, customer=replace(KNOWN_CUSTOMER, name="Acme Ltd")), policy=POLICY)
    assert decision.policy == "one"
    assert all(getattr(action, "step", None) is not Step.PAST_DUE for action in decision.actions)


def test_a_document_with_several_policies_reads_back_the_same() -> None:
    assert ReminderPolicy.from_toml(POLICY.to_toml()) == POLICY


REFUSED: list[tuple[str, int, str]] = [
    ('[policies.x]\ntone = "gentle"', 1, "must name customers, tags, groups or segments"),
    ("[policies.x]\napplies_to = { tags = [] }", 2, "must name"),
    ('[policies.x]\napplies_to = { tag = ["a"] }', 2, "did you mean tags"),
    ('[policies.x]\napplies_to = { segments = ["old"] }', 2, "a list out of"),
    ('[policies.x]\napplies_to = { tags = ["a"] }\ntone = "loud"', 3, "in [policies.x]: tone must be"),
    ('[policies.x]\napplies_to = { tags = ["a"] }\n[policies.x.past_due]\nnew = -3', 4, "after the due date"),
    ('[policies.x]\napplies_to = { tags = ["a"] }\n[policies.x.final_notice]\nnew = "off"', 4, "needs a final_notice"),
    ('[policies.x]\napplies_to = { tags = ["a"] }\n[policies.x.sizes]\nlarge_percentile = 95', 3, "whole document"),
    ('[policies.x]\napplies_to = { tags = ["a"] }\n[policies.x.fees]\na = 1', 3, "fees is not known"),
    ("policies = 3", 1, "holds tables"),
]


@pytest.mark.parametrize(("document", "line", "words"), REFUSED)
def test_a_problem_in_a_customer_policy_is_reported_with_its_line(document: str, line: int, words: str) -> None:
    with pytest.raises(PolicyError) as caught:
        ReminderPolicy.from_toml(document)
    found: dict[str, Any] = {problem.text: problem.line for problem in caught.value.problems}
    assert any(words in text and at == line for text, at in found.items()), found


def test_the_control_group_has_the_requested_share_and_is_always_the_same() -> None:
    drawn = Counter(is_in_control_group(f"c{count}", 10, "salt") for count in range(5000))
    assert 400 < drawn[True] < 600
    assert is_in_control_group("c1", 10, "salt") is is_in_control_group("c1", 10, "salt")
    assert not any(is_in_control_group(f"c{count}", 0, "salt") for count in range(100))


def test_nobody_changes_groups_while_a_comparison_runs() -> None:
    drawn = [count for count in range(60) if is_in_control_group(f"c{count}", 10, "salt")]
    assert drawn == [2, 9, 20, 25, 37, 45, 54, 57, 58]
