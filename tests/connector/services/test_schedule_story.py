"""The reminder schedule as a story, in sentences."""

from __future__ import annotations

import pytest

from connector.services.schedule_story import SegmentStory, SizeStory, contact_limits, describe_schedule
from policies.policy import ReminderPolicy
from policies.receivables import Segment, Size
from policies.schedule_rules import SCHEDULED_STEPS


def story(document: str, segment: Segment = Segment.NEW, size: Size = Size.LARGE) -> SizeStory:
    [of_segment] = [each for each in describe_schedule(ReminderPolicy.from_toml(document)) if each.id is segment]
    [of_size] = [each for each in of_segment.stories if size in each.sizes]
    return of_size


def test_each_segment_is_described_from_the_invoice_to_the_write_off() -> None:
    text = story("[late_fees]\nenabled = true\n").text
    assert text == (
        "7 days after the invoice date we ask by email whether the invoice arrived; 2 days before a discount ends"
        " we remind them by email of the discount; 7 days before the due date we remind them by email of the amount"
        " and due date; on the due date we say by email that it is due. After the due date: on day 3 we remind them"
        " by email, politely; on day 7 their account owner is alerted by email; on day 7 a task asks you to call"
        " them; on day 12 the second notice follows by email, with the statement; from day 14 a late fee may be"
        " charged, once somebody approves it; on day 17 we offer a payment plan by email; on day 21 a task asks for"
        " an escalation call; on day 25 the final notice follows by email and names day 35; on day 35 a task"
        " proposes to suspend the account; on day 60 a task asks you to choose collections or a write-off."
    )


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ('tone = "gentle"', "we remind them by email, gently"),
        ('tone = "firm"', "we remind them by email, firmly"),
        ('[past_due]\nby_call = ["new large"]', "on day 3 we remind them by phone (a task)"),
        ("[discount_ending]\nnew = { large = -1 }", "1 day before a discount ends we remind"),
        ("[discount_ending]\nnew = { large = 0 }", "on the last day of a discount we remind"),
        ('[late_fees]\nenabled = true\napproval = "automatic"', "from day 14 a late fee may be charged;"),
    ],
)
def test_a_setting_changes_its_sentence(document: str, sentence: str) -> None:
    assert sentence in story(document).text


def test_what_is_off_is_not_told() -> None:
    assert "late fee" not in story("").text
    off = "".join(f'[{step}]\nnew = "off"\n' for step in SCHEDULED_STEPS)
    assert story(off).text == "They hear nothing from us."
    assert story(off).title == "All invoices"


def test_sizes_with_the_same_days_share_one_description() -> None:
    segments: list[SegmentStory] = describe_schedule(ReminderPolicy.from_toml('tone = "standard"\n'))
    assert [each.title for each in segments[0].stories] == ["Large invoices", "Medium invoices", "Small invoices"]
    alike = "".join(
        f"[{step}]\nnew = {{ small = {day} }}\n"
        for step, days in ReminderPolicy.default().step_tables.items()
        if (day := days.days[Segment.NEW, Size.MEDIUM]) is not None
    )
    assert story(alike, size=Size.SMALL).title == "Medium and small invoices"


def test_what_holds_for_everybody_is_told_once() -> None:
    text = contact_limits(ReminderPolicy.from_toml('[send_window]\nopens = "09:30"\n[thank_you]\nenabled = false\n'))
    assert "Monday to Friday, from 09:30 to 18:00 in the customer's time zone, not on public holidays." in text
    assert "thanked" not in text


@pytest.mark.parametrize(
    ("days", "found"),
    [
        ('"mon", "tue", "wed", "thu", "fri", "sat", "sun"', "sent every day, from"),
        ('"mon", "tue", "thu"', "sent on Monday, Tuesday and Thursday, from"),
        ('"wed"', "sent on Wednesdays, from"),
    ],
)
def test_the_weekdays_of_the_send_window_are_told(days: str, found: str) -> None:
    window = f'[send_window]\nweekdays = [{days}]\nclosing_days = ["12-24"]\n'
    text = contact_limits(ReminderPolicy.from_toml(window))
    assert found in text
    assert "not on public holidays or your closing days" in text
