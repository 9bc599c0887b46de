"""The line of a schedule: each mark has its day beside it where a phone, or else a desk, has room for it."""

from __future__ import annotations

import re

from connector.services.schedule_story import describe_schedule
from connector.web.schedule_timeline import Scale, draw_timeline
from policies.policy import ReminderPolicy


def test_every_mark_of_the_default_schedule_has_its_day_on_a_desk() -> None:
    segments = describe_schedule(ReminderPolicy.default())
    scale, on_desks = Scale(segments), 0
    for segment in segments:
        for story in segment.stories:
            line = draw_timeline(story.events, scale)
            figures = re.findall(r'<text(?: class="desk")? x="([\d.]+)%" y="(12|58)"', line)
            marks = re.findall(r'<use class="\w+" href="#mark-\w+" x="([\d.]+)%" y="(22|40)"', line)
            above_or_below = {"22": "12", "40": "58"}
            assert {(x, above_or_below[y]) for x, y in marks} == set(figures), story
            on_desks += line.count('class="desk"')
    assert on_desks  # days that a phone has no room for
