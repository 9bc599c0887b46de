"""Editing a policy document: values change, everything else stays as it was written."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.document import KeyPath, Table, parse_toml
from policies.document_editor import edit_document

DOCUMENT = """\
# Our policy
tone = "gentle" # for our members

# agreed with the board
[late_fees] # see the minutes
enabled = true # yes
rate = 1.50 # %

# softer than the default
[past_due]
new = { large = 4, medium = 4, small = 4 } # soon

[policies.friends] # our friends
applies_to = { tags = ["a"] } # by tag
"""
DOTTED = "call.established.medium = 12 # a\npast_due.established.medium = 9 # b\n"
APART = "tone = 'firm'\n[policies.a.past_due]\nnew = 5\n[late_fees]\nrate = 1\n[policies.b]\ntone = 'gentle'\n"
PATHS: list[KeyPath] = [
    ("tone",),
    ("late_fees", "rate"),
    ("late_fees", "amounts"),
    ("past_due", "new"),
    ("call", "established", "large"),
    ("send_window", "opens"),
    ("policies", "friends", "tone"),
    ("policies", "friends", "past_due", "strategic", "large"),
    ("policies", "a b", "applies_to"),
]
VALUES = st.sampled_from(
    [7, True, Decimal("2.25"), "off", 'ä "quoted" \\ text\n#', ["a", "b"], {"EUR": Decimal("7.5"), "x y": 1}, {}]
)


def test_a_value_changes_and_everything_else_stays() -> None:
    edited = edit_document(DOCUMENT, {("late_fees", "rate"): Decimal("2.25"), ("past_due", "new", "large"): 7})
    assert edited == DOCUMENT.replace("1.50", "2.25").replace("large = 4", "large = 7")


def test_a_new_value_is_written_below_the_last_one_of_its_section() -> None:
    edited = edit_document(DOCUMENT, {("late_fees", "grace_days"): 3})
    assert "rate = 1.50 # %\ngrace_days = 3\n\n# softer than the default\n[past_due]" in edited


def test_a_new_section_and_a_new_plain_value_find_their_places() -> None:
    edited = edit_document("[late_fees]\nenabled = true\n", {("tone",): "firm", ("sizes", "medium_percentile"): 40})
    assert edited == 'tone = "firm"\n[late_fees]\nenabled = true\n\n[sizes]\nmedium_percentile = 40\n'


def test_a_table_inside_a_section_is_written_on_one_line() -> None:
    assert edit_document("", {("past_due", "new", "large"): 3}) == "[past_due]\nnew = { large = 3 }\n"


def test_a_customer_policy_is_a_section_and_so_are_its_tables() -> None:
    edited = edit_document(
        "", {("policies", "vip", "applies_to"): {"tags": ["vip"]}, ("policies", "vip", "past_due", "new", "large"): 9}
    )
    assert edited == '[policies.vip]\napplies_to = { tags = ["vip"] }\n\n[policies.vip.past_due]\nnew = { large = 9 }\n'


def test_a_value_is_removed_with_its_comment() -> None:
    assert edit_document(DOCUMENT, {("late_fees", "enabled"): None}) == DOCUMENT.replace("enabled = true # yes\n", "")
    assert edit_document(DOCUMENT, {("late_fees", "grace_days"): None, ("sizes", "floors"): None}) == DOCUMENT


def test_a_customer_policy_is_removed() -> None:
    assert edit_document(DOCUMENT, {("policies", "friends"): None}).startswith(
        DOCUMENT.partition("[policies")[0].rstrip()
    )
    assert parse_toml(edit_document(DOCUMENT, {("policies",): None})).keys() == {"tone", "late_fees", "past_due"}


@pytest.mark.parametrize("document", ["", DOCUMENT, DOTTED, APART], ids=["empty", "sections", "dotted", "apart"])
@settings(max_examples=40, deadline=None)
@given(changes=st.dictionaries(st.sampled_from(PATHS), VALUES | st.none(), max_size=5))
def test_an_edited_document_says_exactly_what_was_changed(document: str, changes: Mapping[KeyPath, object]) -> None:
    edited = edit_document(document, changes)
    assert without_empty_tables(parse_toml(edited)) == without_empty_tables(changed(parse_toml(document), changes))
    kept = [line.partition("#")[2] for line in document.splitlines() if line.startswith("#")]
    assert all(f"#{comment}\n" in edited for comment in kept)


def changed(table: Table, changes: Mapping[KeyPath, object]) -> Table:
    """Apply the changes to the parsed document."""
    table = copy.deepcopy(table)
    for path, value in changes.items():
        target = table
        for key in path[:-1]:
            target = target.setdefault(key, {})  # type: ignore[assignment]
        if value is None:
            target.pop(path[-1], None)
        else:
            target[path[-1]] = value
    return table


def without_empty_tables(table: Table) -> Table:
    pruned = {key: without_empty_tables(value) if isinstance(value, dict) else value for key, value in table.items()}
    return {key: value for key, value in pruned.items() if value != {}}
