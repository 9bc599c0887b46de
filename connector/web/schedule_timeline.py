"""Draws the story of a schedule as one line: what reaches the customer above it, what stays with us below it.

Places are in percent and marks and figures in pixels, so that the line fits a phone and a desk and stays legible. All
lines of a page have the same scale. The text beside the line says the same, so it is hidden from screen readers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from markupsafe import Markup

from connector.services.schedule_story import SegmentStory, StoryEvent
from policies.schedule import StepKind
from policies.step_tables import Origin

_START, _END = 15.0, 97.0  # percent: before it is what counts from the invoice date
_EARLY = {Origin.ISSUE: 3.0, Origin.DISCOUNT_END: 9.0}
_ABOVE, _LINE, _BELOW = 22, 31, 40
_ABOVE_TEXT, _BELOW_TEXT = 12, 58
_CHARACTER, _GAP = 2.3, 1.2  # percent of a phone's width
_DESK_CHARACTER, _DESK_GAP = 0.7, 0.2  # of a desk's
_TO_CUSTOMER = frozenset({StepKind.EMAIL})
DEFINITIONS = Markup(
    '<svg class="marks" aria-hidden="true"><defs><circle id="mark-email" r="6"/><circle id="mark-internal" r="5"/>'
    '<path id="mark-call" d="M-7 0 0-7 7 0 0 7z"/><path id="mark-task" d="M-5-5H5V5H-5z"/>'
    '<path id="mark-ledger" d="M-7 5H7L0-7z"/></defs></svg>'
)


class Scale:
    """From days to places on the line, the same for all lines of a page."""

    def __init__(self, segments: Sequence[SegmentStory]) -> None:
        days = [
            event.day
            for segment in segments
            for story in segment.stories
            for event in story.events
            if event.origin is Origin.DUE
        ]
        self._first, self._last = min([*days, 0]), max([*days, 1])

    def place(self, event: StoryEvent) -> float:
        """Return the place of an event in percent."""
        return _EARLY[event.origin] if event.origin in _EARLY else self.place_of(event.day)

    def place_of(self, day: int) -> float:
        """Return the place of a day from the due date in percent."""
        return _START + (_END - _START) * (day - self._first) / (self._last - self._first)


def draw_timeline(events: Sequence[StoryEvent], scale: Scale) -> Markup:
    """Return the line of a story as SVG."""
    due = f"{scale.place_of(0):.1f}%"
    shapes = [
        Markup('<line x1="0" x2="100%" y1="{0}" y2="{0}"/><line class="due" x1="{1}" x2="{1}" y1="8" y2="62"/>').format(
            _LINE, due
        ),
        Markup('<text class="due" x="{}" y="72">due</text>').format(due),
    ]
    shapes += _marks([event for event in events if event.kind in _TO_CUSTOMER], scale, _ABOVE, _ABOVE_TEXT)
    shapes += _marks([event for event in events if event.kind not in _TO_CUSTOMER], scale, _BELOW, _BELOW_TEXT)
    return Markup('<svg class="timeline" aria-hidden="true">{}</svg>').format(Markup().join(shapes))


def _marks(events: Sequence[StoryEvent], scale: Scale, y: int, text_y: int) -> Iterator[Markup]:
    """Yield the marks on one side of the line, with their days where there is room: on a phone, or on a desk only."""
    free = desk_free = 0.0  # from here on
    for event in sorted(events, key=scale.place):
        place = scale.place(event)
        yield Markup('<use class="{0}" href="#mark-{0}" x="{1:.1f}%" y="{2}"/>').format(event.kind, place, y)
        figure = f"{event.day}".replace("-", "−") if event.origin is Origin.DUE else f"{abs(event.day)}"
        half, desk_half = len(figure) * _CHARACTER / 2, len(figure) * _DESK_CHARACTER / 2
        if place - half >= free and place + half <= 100:
            yield Markup('<text x="{:.1f}%" y="{}">{}</text>').format(place, text_y, figure)
            free = place + half + _GAP
        elif place - desk_half >= desk_free:
            yield Markup('<text class="desk" x="{:.1f}%" y="{}">{}</text>').format(place, text_y, figure)
        else:
            continue
        desk_free = place + desk_half + _DESK_GAP
