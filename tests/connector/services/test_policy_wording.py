"""A policy's problems and changes in words."""

from __future__ import annotations

import pytest

from connector.services import policy_form, policy_wording
from connector.services.policy_fields import fields
from policies.document import PolicyError, parse_toml
from policies.policy import ReminderPolicy

SIZES = "day (large / medium / small)"
FRIENDS = "Policy for some customers: friends"
NAMES = [field.name for field in fields()]


@pytest.mark.parametrize(
    ("document", "field", "words"),
    [
        (
            "[final_notice]\nstrategic = { large = 58 }",
            "final_notice.strategic.large",
            "Proposed account suspension on day 60 needs 10 days after final notice on day 58 (strategic large)",
        ),
        ('[past_due]\nnew = { small = "soon" }', "past_due.new.small", 'First reminder, new small, must be "off" or'),
        ('[call]\nnew = "soon"', "call.new.medium", 'Call, new, must be "off" or'),
        (
            "[frequency]\nmin_days_between = 1",
            "frequency.min_days_between",
            "“Minimum days between two contacts” must be a whole number from 3 to 60",
        ),
        ('[minimum_balance]\nEUR = "much"', "minimum_balance", "“Minimum balance, by currency” must be a number"),
        ('[late_fees.minimum]\n15 = "EUR"', "late_fees.minimum", 'write amounts such as "EUR 15, USD 12.50"'),
        (
            '[send_window]\nopens = "19:00"',
            "send_window.opens",
            "“Emails are sent from” must be earlier than “Emails are sent until”",
        ),
        (
            '[past_due]\nnew = { large = "off" }\n[late_fee]\nnew = { large = "off" }',
            "past_due.new.large",
            "Second notice needs the first reminder, which is off (new large)",
        ),
        ('[late_fees]\nenabled = true\nkind = "flat"', "late_fees.kind", "“Kind” is "),
        (
            '[policies.friends]\napplies_to = { tags = ["x"] }\n[policies.friends.past_due]\nnew = 1000',
            "past_due.new.large",
            "(customer policy friends)",
        ),
    ],
)
def test_a_problem_names_its_fields_in_the_words_of_the_form(document: str, field: str, words: str) -> None:
    with pytest.raises(PolicyError) as error:
        ReminderPolicy.from_toml(document)
    [problem] = policy_wording.describe_problems(error.value.problems, NAMES)
    assert field in problem.fields
    assert words in problem.text
    assert problem.line == 0


def test_a_problem_of_no_field_keeps_its_line() -> None:
    with pytest.raises(PolicyError) as error:
        ReminderPolicy.from_toml("# a comment\n[nonsense]\n")
    [problem] = policy_wording.describe_problems(error.value.problems, NAMES)
    assert (problem.fields, problem.line) == ((), 2)


@pytest.mark.parametrize(
    ("document", "change"),
    [
        ("[past_due]\nnew = { small = 6 }", (f"First reminder, new customers, {SIZES}", "3 / 4 / 5", "3 / 4 / 6")),
        ('[call]\nnew = "off"', (f"Call, new customers, {SIZES}", "7 / 10 / 10", "off / off / off")),
        ("[late_fees]\nenabled = true", ("Charge late fees", "no", "yes")),
        ('[late_fees]\ninvoicing = "monthly"', ("Fee invoices", "One invoice per fee", "Monthly invoice")),
        ('[past_due]\nby_call = ["new large"]', ("First reminder by phone instead of email", "nobody", "new large")),
        (
            '[payment_instructions]\ndefault = "By transfer."',
            ("[payment_instructions] default", "none", "By transfer."),
        ),
        ('[policies.friends]\napplies_to = { tags = ["x"] }', (FRIENDS, "did not exist", "added")),
        ('[digest]\nlanguage = "de"', ("[digest] language", "none", "de")),
    ],
)
def test_a_change_is_told_by_its_label_with_before_and_after(document: str, change: tuple[str, str, str]) -> None:
    found = policy_wording.describe_changes(ReminderPolicy.default(), ReminderPolicy.from_toml(document))
    assert [tuple(each) for each in found] == [change]


def test_a_policy_for_some_customers_is_told_when_its_own_settings_change() -> None:
    friends = '[policies.friends]\napplies_to = { tags = ["x"] }\n'
    before = ReminderPolicy.from_toml(friends)
    general = ReminderPolicy.from_toml(f"[replies]\npause_days = 9\n{friends}")
    assert [each.setting for each in policy_wording.describe_changes(before, general)] == [
        "Pause after a customer's reply (days)"
    ]
    own = ReminderPolicy.from_toml(f'{friends}tone = "gentle"\n')
    assert [each.setting for each in policy_wording.describe_changes(before, own)] == [FRIENDS]


def test_the_days_that_another_tone_brings_are_not_written_down_although_the_form_shows_them() -> None:
    """The form shows them as soon as the effect of the tone was shown beside it."""
    shown = policy_form.field_values(ReminderPolicy.from_toml('tone = "gentle"\n'))
    form = {name: value.split(" | ") for name, value in shown.items()}
    document, changed = policy_form.apply_form("# ours\n", ReminderPolicy.default(), form)
    assert (parse_toml(document), changed) == ({"tone": "gentle"}, ["tone"])
    assert "# ours" in document
    document, _changed = policy_form.apply_form("", ReminderPolicy.default(), {**form, "past_due.new.large": ["6"]})
    assert parse_toml(document) == {"tone": "gentle", "past_due": {"new": {"large": 6}}}
