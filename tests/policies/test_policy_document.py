"""The policy document: merged over the defaults, its problems reported in plain words with their lines."""

from __future__ import annotations

from datetime import date, time
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.document import DEPTH_MAX, LENGTH_MAX, line_numbers
from policies.policy import PolicyError, ReminderPolicy
from policies.receivables import Segment, Size, Step


def problems(document: str) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        ReminderPolicy.from_toml(document)
    return str(caught.value).splitlines()


def test_the_defaults_keep_every_rule() -> None:
    assert ReminderPolicy.default().late_fees.enabled is False


def test_one_setting_is_a_whole_document() -> None:
    policy = ReminderPolicy.from_toml("[late_fees]\nenabled = true\nterms_agreed_on = 2026-01-31\n")
    assert (policy.late_fees.enabled, policy.late_fees.needs_approval) == (True, True)
    assert policy.late_fees.terms_agreed_on == date(2026, 1, 31)
    assert policy.schedules == ReminderPolicy.default().schedules


def test_one_day_of_the_schedule_can_be_changed() -> None:
    policy = ReminderPolicy.from_toml("[past_due]\nestablished = { small = 6 }\n")
    changed, default = policy.schedules, ReminderPolicy.default().schedules
    assert changed[Segment.ESTABLISHED, Size.SMALL].levels[0] == (Step.PAST_DUE, 6)
    assert {cell for cell, schedule in changed.items() if schedule != default[cell]} == {
        (Segment.ESTABLISHED, Size.SMALL)
    }


def test_one_day_can_apply_to_all_sizes() -> None:
    policy = ReminderPolicy.from_toml("[past_due]\nstrategic = 4\n[notify_owner]\nstrategic = 7")
    assert {policy.schedules[Segment.STRATEGIC, size].levels[0].day for size in Size} == {4}


def test_an_email_can_be_made_a_call() -> None:
    policy = ReminderPolicy.from_toml('[plan_offer]\nkind = "call"\n[final_notice]\nby_call = ["new large"]')
    assert Step.PLAN_OFFER in policy.schedules[Segment.NEW, Size.SMALL].by_call
    assert Step.FINAL_NOTICE in policy.schedules[Segment.NEW, Size.LARGE].by_call
    assert Step.FINAL_NOTICE not in policy.schedules[Segment.NEW, Size.SMALL].by_call


def test_a_formatted_policy_reads_back_the_same() -> None:
    own = 'tone = "firm"\n[send_window]\nopens = "09:30"\n[sizes.floors]\nEUR = { large = 5000, medium = "500.50" }\n'
    policy = ReminderPolicy.from_toml(own + "[late_fees]\nterms_agreed_on = 2026-02-28\nrate = 1.25")
    assert ReminderPolicy.from_toml(policy.to_toml()) == policy
    assert policy.sizes.floors["EUR"] == (Decimal(5000), Decimal("500.50"))
    assert policy.send_window.opens == time(9, 30)
    assert policy.late_fees.rate == Decimal("1.25")


@pytest.mark.parametrize("tone", ["gentle", "standard", "firm"])
def test_every_tone_keeps_the_rules(tone: str) -> None:
    assert ReminderPolicy.from_toml(f'tone = "{tone}"').tone == tone


BREACHES = [
    (
        "order",
        "[second_notice]\n\nestablished = { large = 3 }",
        "line 3: second_notice on day 3 must come after call on day 8",
    ),
    (
        "gap",
        "[call]\nnew = { large = 5 }",
        "line 2: past_due on day 3 and call on day 5 need 3 days between them (new large)",
    ),
    (
        "week",
        "call.established.medium = 12\npast_due.established.medium = 9\nsecond_notice.established.medium = 15",
        "more than 2 contacts in 7 days (established medium)",
    ),
    (
        "notice",
        "\n[final_notice]\nnew = { small = 33 }",
        "line 3: propose_suspension on day 40 needs 10 days after final_notice on day 33",
    ),
    (
        "no notice",
        '[final_notice]\nnew = "off"',
        "line 2: propose_suspension needs a final_notice before it, which is off",
    ),
    (
        "early fee",
        "[late_fee]\nnew = 9",
        "line 2: late_fee on day 9 needs 7 days after the warning, past_due on day 3 (new large)",
    ),
    (
        "unwarned fee",
        '[past_due]\nnew = "off"',
        "line 2: late_fee needs a past_due email before it as a warning, which is off",
    ),
    (
        "no first reminder",
        '[past_due]\nnew = "off"',
        "line 2: second_notice needs the first reminder, past_due, which is off",
    ),
    ("sign", "[before_due]\nnew = 7", 'line 2: [before_due] new must be "off" or a day from -60 to -1'),
    (
        "sign of past due",
        "[past_due]\nnew = { large = -3 }",
        'line 2: [past_due.new] large must be "off" or a day from 1 to 730',
    ),
    ("due today", "[due_today]\nnew = 1", 'line 2: [due_today] new must be "off" or a day 0'),
    ("owner first", "[notify_owner]\nnew = 2", "line 2: notify_owner must not come before past_due"),
    (
        "cap",
        "[frequency]\nmin_days_between = 1",
        "line 2: [frequency] min_days_between must be a whole number from 3 to 60",
    ),
    ("week cap", "[frequency]\nmax_in_7_days = 3", "never more than 2 contacts in 7 days"),
    ("unknown table", "[past_deu]\nnew = 3", "line 1: past_deu is not known here; did you mean past_due?"),
    (
        "unknown key",
        "[late_fees]\n\nenable = true",
        "line 3: [late_fees] enable is not known here; did you mean enabled?",
    ),
    ("unknown segment", "[past_due]\nknown = 3", "line 2: [past_due] known is not known here"),
    ("unknown size", "[past_due]\nnew = { huge = 3 }", "line 2: [past_due.new] huge is not known here"),
    ("not a switch", "[late_fees]\nenabled = 1", "line 2: [late_fees] enabled must be true or false, not 1"),
    ("approval", '[late_fees]\napproval = "nobody"', 'must be "person" or "automatic", not "nobody"'),
    ("date in quotes", '[late_fees]\nterms_agreed_on = "2026-01-31"', "a date like 2026-01-31, without quotes"),
    ("date with a time", "[late_fees]\nterms_agreed_on = 2026-01-31T10:00:00Z", "a date like 2026-01-31"),
    (
        "flat without sums",
        '[late_fees]\nenabled = true\nkind = "flat"',
        'line 3: [late_fees] kind is "flat", so amounts',
    ),
    ("currency", "[minimum_balance]\neuro = 5", "line 2: [minimum_balance] euro is not a currency"),
    ("negative sum", "[minimum_balance]\nEUR = -5", "line 2: [minimum_balance] EUR must be a number from 0"),
    ("infinite sum", "[minimum_balance]\nEUR = inf", "line 2: [minimum_balance] EUR must be a number from 0"),
    ("floors", "[sizes.floors]\nEUR = { large = 5, medium = 50 }", "medium the smaller one"),
    ("send_window", '[send_window]\nopens = "18:30"', "line 2: [send_window] opens must be earlier than closes"),
    ("time", '[send_window]\nopens = "8"', 'a time like "08:00"'),
    ("weekday", '[send_window]\nweekdays = ["monday"]', "a list out of mon, tue"),
    ("closing day", '[send_window]\nclosing_days = ["24.12."]', 'a list of days like "12-24" (every year)'),
    ("no weekday", "[send_window]\nweekdays = []", "must name at least one day"),
    ("tone", 'tone = "rude"', 'line 1: tone must be "gentle" or "standard" or "firm", not "rude"'),
    ("tone no word", "tone = [1]", "line 1: tone must be"),
    ("no table", "past_due = 3", "line 1: [past_due] must be a table"),
    ("origin", '[past_due]\nfrom = "issue"', 'line 2: [past_due] from must be "due", not "issue"'),
    ("kind", '[call]\nkind = "email"', 'line 2: [call] kind must be "call", not "email"'),
    (
        "stale",
        "[data_freshness]\nstale_after_hours = 0",
        "line 2: [data_freshness] stale_after_hours must be a whole number",
    ),
    ("percentiles", "[sizes]\nmedium_percentile = 95", "must be below large_percentile"),
    ("thanks", "[thank_you]\nmin_days_between = 7", "at most one thank-you in 30 days"),
]


@pytest.mark.parametrize(("document", "words"), [case[1:] for case in BREACHES], ids=[case[0] for case in BREACHES])
def test_a_problem_is_reported_in_plain_words_with_its_line(document: str, words: str) -> None:
    found = problems(document)
    assert any(words in problem for problem in found), found
    assert all(problem.startswith("line ") for problem in found), found


def test_all_problems_are_reported_at_once_in_the_order_of_the_document() -> None:
    document = '[late_fees]\nenabled = "yes"\n\n[before_due]\nnew = 7\n[windw]\n'
    assert [problem.split(":")[0] for problem in problems(document)] == ["line 2", "line 5", "line 6"]


@pytest.mark.parametrize(("document", "line"), [("a = ", 1), ("[past_due]\nnew = 3\nnew = 4\n", 3), ("[a]\n[a]\n", 2)])
def test_text_that_is_not_toml_is_reported_with_its_line(document: str, line: int) -> None:
    (problem,) = problems(document)
    assert problem.startswith(f"line {line}: this is not TOML")


def test_line_numbers_are_found_in_tables_dotted_keys_and_after_multiline_strings() -> None:
    text = '[a]\nb = { c = 1 }\nd.e = 2\n# f = 3\ng = """\n[h]\nx = 1\n"""\n["i j".k]\nl = 4\n'
    found = line_numbers(text)
    expected = {("a", "b"): 2, ("a", "d", "e"): 3, ("a", "g"): 5, ("i j", "k", "l"): 10}
    assert {path: found[path] for path in expected} == expected
    assert ("h",) not in found


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60))
def test_any_text_gives_a_policy_or_its_problems(text: str) -> None:
    try:
        ReminderPolicy.from_toml(text)
    except PolicyError as error:
        assert error.problems  # noqa: PT017 - either outcome is right


@settings(max_examples=60, deadline=None)
@given(
    step=st.sampled_from(["past_due", "second_notice", "call", "final_notice", "late_fee", "propose_suspension"]),
    segment=st.sampled_from([each.value for each in Segment]),
    size=st.sampled_from([each.value for each in Size]),
    day=st.integers(-20, 120) | st.just("off"),
)
def test_a_valid_schedule_keeps_its_gaps(step: str, segment: str, size: str, day: int | str) -> None:
    value = f'"{day}"' if isinstance(day, str) else day
    try:
        policy = ReminderPolicy.from_toml(f"[{step}]\n{segment} = {{ {size} = {value} }}")
    except PolicyError as error:
        assert all(problem.line == 2 for problem in error.problems)  # noqa: PT017 - either outcome is right
        return
    schedule = policy.schedules[Segment(segment), Size(size)]
    days = [level.day for level in schedule.levels]
    assert all(two - one >= 3 for one, two in pairwise(days))
    if schedule.late_fee is not None:
        assert schedule.late_fee >= schedule.levels[0].day + 7


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (f"# {'x' * LENGTH_MAX}", "a policy has at most 200,000 characters"),
        ("\na.b.c.d.e.f.g.h.i = 1", "line 2: a key has at most 8 parts"),
        ('["a".b . c.d.e.f.g.h.i]', "line 1: a key has at most 8 parts"),
        ("\n\na = [[[[[[[[[1]]]]]]]]]", "line 3: there are more than 8 brackets inside each other"),
        ("a = [1, [2, [3, [4, [5, [6, [7, [8, [9]]]]]]]]]", "line 1: there are more than 8 brackets inside each other"),
        ("".join(f"[policies.p{n}]\n" for n in range(201)), "there are 201 customer policies, and 200 at most"),
    ],
)
def test_what_is_larger_or_deeper_than_any_policy_is_refused_before_it_is_parsed(document: str, said: str) -> None:
    assert problems(document)[0].startswith(said)


def test_brackets_in_texts_and_comments_do_not_count() -> None:
    with_brackets = '[late_fees]  # [[[[[[[[[[\nwords = "[[[[[[[[[[{{{{"\n'
    assert problems(with_brackets) == ["line 2: [late_fees] words is not known here"]


def test_of_many_problems_the_first_hundred_are_told() -> None:
    told = problems("".join(f"k{number} = 1\n" for number in range(1000)))
    assert len(told) == 101
    assert "and there are 900 more problems like these" in told


def test_closed_brackets_do_not_count() -> None:
    deepest = "[" * DEPTH_MAX + "]" * DEPTH_MAX
    with pytest.raises(PolicyError) as raised:
        ReminderPolicy.from_toml(f"one = []\ntwo = {deepest}")
    assert "brackets inside each other" not in str(raised.value)


def test_a_number_of_thousands_of_digits_is_a_problem_of_the_whole_document() -> None:
    with pytest.raises(PolicyError) as raised:
        ReminderPolicy.from_toml(f"[minimum_balance]\nEUR = {'9' * 5000}")
    assert [problem.line for problem in raised.value.problems] == [0]


@pytest.mark.parametrize(("amount", "is_refused"), [("1000000000000", False), ("1000000000001", True)])
def test_an_amount_has_a_limit(amount: str, *, is_refused: bool) -> None:
    document = f'[late_fees]\nkind = "flat"\namounts = {{ EUR = {amount} }}'
    if is_refused:
        with pytest.raises(PolicyError):
            ReminderPolicy.from_toml(document)
    else:
        assert ReminderPolicy.from_toml(document).late_fees.amounts["EUR"] == int(amount)
