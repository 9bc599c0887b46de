"""Draws the plots of reports as inline SVG: no script and no inline style, colours from the style sheet by class.

A plot is 360 units wide, so that its text is legible on a phone; light, dark and print colours follow by the classes.
Labels are given the room that their text takes: where there is none, every other one is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count, pairwise
from math import floor, log10

from markupsafe import Markup

from connector.reports.formatting import format_short
from connector.reports.report import Drill, Plot, PlotKind, Span

_WIDTH = 360
_CHAR_WIDTH, _BOLD_WIDTH = 7.2, 8.2  # of an average character, a little more than the widest usual font needs
_SIDE_LABEL_MAX = 13  # characters; longer labels stand above their bars
_ROW_HEIGHT, _BAR_HEIGHT = 28, 18
_HEIGHT, _TOP, _LEFT, _BOTTOM = 190, 14, 46, 24
_LABEL_GAP = 8
_ids = count(1)

Link = Callable[[Drill], str]
Shapes = list[Markup]


def draw(plot: Plot, link: Link | None = None) -> Markup:
    """Return a plot as SVG, with its title and description for screen readers.

    With ``link`` its bars are links to the invoices behind them; the table beside the plot has them for the keyboard.
    """
    body, height = _RENDERERS[plot.kind](plot, link)
    name = f"plot-{next(_ids)}"
    has_links = any("<a " in shape for shape in body)  # an image must have none
    opening = Markup(
        '<svg class="plot" role="{5}" aria-labelledby="{0}-t {0}-d" viewBox="0 0 {1} {2}">'
        '<title id="{0}-t">{3}</title><desc id="{0}-d">{4}</desc>'
    ).format(name, _WIDTH, height, plot.title, plot.alt_text, "group" if has_links else "img")
    return opening + Markup().join(body) + Markup("</svg>")


def _bars(plot: Plot, link: Link | None) -> tuple[Shapes, int]:
    """Draw horizontal bars, each with its figure at the end."""
    maximum = max([bar.value for bar in plot.bars] + [0.0]) or 1.0
    longest = max([len(bar.label) for bar in plot.bars] + [0])
    is_stacked = longest > _SIDE_LABEL_MAX
    left = 0.0 if is_stacked else longest * _CHAR_WIDTH + _LABEL_GAP
    figure_width = max([len(bar.text) * _BOLD_WIDTH for bar in plot.bars] + [0]) + 8
    row_height = _ROW_HEIGHT + (14 if is_stacked else 0)
    shapes: Shapes = []
    for index, bar in enumerate(plot.bars):
        top = index * row_height + (16 if is_stacked else 5)
        length = (_WIDTH - left - figure_width) * max(bar.value, 0) / maximum
        label = _text(0, top - 4, bar.label, "start") if is_stacked else _text(0, top + 13, bar.label, "start")
        drawn = [
            _rect(left, top, max(length, 1), _BAR_HEIGHT, f"bar {bar.severity}".strip()),
            _text(left + length + 6, top + 13, bar.text, "start", "figure"),
        ]
        shapes += [label, _linked(drawn, bar.drill, link, f"{bar.label}: {bar.text}")]
    return shapes, max(1, len(plot.bars)) * row_height + 4


def _ranges(plot: Plot, _link: Link | None) -> tuple[Shapes, int]:
    """Draw horizontal ranges, each with a mark at its median."""
    maximum = max([span.high or span.value or 0 for span in plot.spans] + [0]) or 1
    left = max([_text_width(span.label) for span in plot.spans] + [0]) + 36
    width = _WIDTH - left - 34
    shapes: Shapes = []
    for index, span in enumerate(plot.spans):
        top = index * (_ROW_HEIGHT + 14)
        low, middle, high = (left + width * (each or 0) / maximum for each in (span.low, span.value, span.high))
        shapes += [
            _text(0, top + 30, span.label, "start"),
            _rect(low, top + 17, max(high - low, 1), _BAR_HEIGHT, "bar range"),
            _rect(middle - 1.5, top + 14, 3, _BAR_HEIGHT + 6, "mark"),
            _text(middle, top + 11, f"{span.value:.0f}", "middle", "figure"),
            _text(low - 4, top + 30, f"{span.low:.0f}", "end", "quiet"),
            _text(high + 4, top + 30, f"{span.high:.0f}", "start", "quiet"),
        ]
    bottom = len(plot.spans) * (_ROW_HEIGHT + 14)
    shapes.append(_text(_WIDTH - 2, bottom + 12, plot.unit, "end", "quiet"))
    return shapes, bottom + 18


def _columns(plot: Plot, link: Link | None) -> tuple[Shapes, int]:
    """Draw columns, each with its interval as a whisker, with a part of it marked, or with a second one beside it."""
    spans = plot.spans
    tops = [max(span.value or 0, span.high or 0, span.secondary or 0) for span in spans]
    maximum = _round_up(max([*tops, 0]) or 1.0)
    step = (_WIDTH - _LEFT) / max(1, len(spans))
    shapes = _scale(maximum)
    for index, span in enumerate(spans):
        left = _LEFT + index * step
        drawn = [
            _rect(left, _TOP, step, _HEIGHT - _TOP - _BOTTOM, "hit"),
            *_column(span, left + step * 0.15, step * 0.7, maximum),
        ]
        shapes.append(_linked(drawn, span.drill, link, f"{span.label}: {format_short(span.value or 0)}"))
    shapes += _labels(spans, step)
    return [*shapes, *_legend(plot)], _HEIGHT + (18 if plot.legend else 0)


def _column(span: Span, left: float, width: float, maximum: float) -> Iterable[Markup]:
    top, foot = _y(span.value or 0, maximum), _y(0, maximum)
    if span.secondary is not None:
        yield _rect(left, top, width / 2, foot - top, "bar")
        upper = _y(span.secondary, maximum)
        yield _rect(left + width / 2, upper, width / 2, foot - upper, "bar second")
        return
    yield _rect(left, top, width, foot - top, "bar" if span.part is None else "bar rest")
    if span.part is not None:
        upper = _y(span.part, maximum)
        yield _rect(left, upper, width, foot - upper, "bar")
    if span.low is not None and span.high is not None:
        middle, low, high = left + width / 2, _y(span.low, maximum), _y(span.high, maximum)
        path = f"M{middle:.1f} {low:.1f}V{high:.1f}M{middle - 4:.1f} {low:.1f}h8M{middle - 4:.1f} {high:.1f}h8"
        yield Markup('<path class="whisker" d="{}"/>').format(path)


def _line(plot: Plot, _link: Link | None) -> tuple[Shapes, int]:
    """Draw a line through the known values."""
    spans = plot.spans
    maximum = _round_up(max([span.value or 0 for span in spans] + [0]) or 1.0)
    step = (_WIDTH - _LEFT - 20) / max(1, len(spans) - 1)
    known = [
        (_LEFT + index * step, _y(span.value, maximum)) for index, span in enumerate(spans) if span.value is not None
    ]
    shapes = _scale(maximum)
    if known:
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in known)
        shapes.append(Markup('<path class="line" d="{}"/>').format(path))
        shapes += [Markup('<circle class="dot" cx="{:.1f}" cy="{:.1f}" r="3"/>').format(x, y) for x, y in known]
    return [*shapes, *_labels(spans, step, centred=False)], _HEIGHT


def _scale(maximum: float) -> Shapes:
    """Draw the base line and two lines above it, with their values; only one where the half of it is not whole."""
    shapes: Shapes = []
    for fraction in (0, 1) if maximum / 2 % 1 else (0, 0.5, 1):
        y = _y(maximum * fraction, maximum)
        shapes.append(Markup('<path class="grid" d="M{} {:.1f}H{}"/>').format(_LEFT, y, _WIDTH))
        text = format_short(maximum * fraction).replace(".0k", "k")  # a round value
        shapes.append(_text(_LEFT - 6, y + 4, text, "end", "quiet"))
    return shapes


def _labels(spans: Sequence[Span], step: float, *, centred: bool = True) -> Shapes:
    """Draw every label below, or every second, third … so that none touches another; always the last."""
    start = _LEFT + (step / 2 if centred else 0)
    places: list[tuple[float, str]] = []
    for every in range(1, len(spans) + 1):
        places = [(start + index * step, spans[index].label) for index in range(len(spans) - 1, -1, -every)]
        places[0] = (min(places[0][0], _WIDTH - _text_width(places[0][1]) / 2), places[0][1])  # the last stays inside
        if all(x - _text_width(text) / 2 >= 0 for x, text in places) and all(
            left + _text_width(text) / 2 + _LABEL_GAP <= right - _text_width(other) / 2
            for (right, other), (left, text) in pairwise(places)
        ):
            break
    return [_text(x, _HEIGHT - 6, text, "middle", "quiet") for x, text in places]


def _legend(plot: Plot) -> Iterator[Markup]:
    """Draw the legend below the plot."""
    if not plot.legend:
        return
    has_second, has_part = (
        any(getattr(span, name) is not None for span in plot.spans) for name in ("secondary", "part")
    )
    boxes = ("bar", "bar second") if has_second else ("bar rest", "bar") if has_part else ("bar", "whisker-box")
    x = float(_LEFT)
    for text, box in zip(plot.legend, boxes, strict=True):
        yield _rect(x, _HEIGHT + 4, 10, 10, box)
        yield _text(x + 15, _HEIGHT + 13, text, "start")
        x += 15 + _text_width(text) + 2 * _LABEL_GAP


def _linked(shapes: Iterable[Markup], drill: Drill | None, link: Link | None, name: str) -> Markup:
    """Return shapes as a link to the invoices behind them."""
    body = Markup().join(shapes)
    if drill is None or link is None:
        return body
    return Markup('<a href="{}" aria-label="{}" tabindex="-1">{}</a>').format(link(drill), name, body)


def _y(value: float, maximum: float) -> float:
    return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - max(value, 0) / maximum)


def _round_up(value: float) -> float:
    """Return the next round value: 1, 2, 4, 5, 8 or 10 times a power of ten."""
    power = 10.0 ** floor(log10(value))
    return next(each * power for each in (1, 2, 4, 5, 8, 10) if each * power >= value)


def _text_width(text: str) -> float:
    return len(text) * _CHAR_WIDTH


def _rect(x: float, y: float, width: float, height: float, css_class: str) -> Markup:
    return Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
        css_class, x, y, width, max(height, 0)
    )


def _text(x: float, y: float, text: str, anchor: str, css_class: str = "") -> Markup:
    room = floor(_WIDTH / _CHAR_WIDTH)
    cut = text if len(text) <= room else f"{text[: room - 1]}…"
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(
        css_class, x, y, anchor, cut
    )


_RENDERERS: dict[PlotKind, Callable[[Plot, Link | None], tuple[Shapes, int]]] = {
    PlotKind.BARS: _bars,
    PlotKind.COLUMNS: _columns,
    PlotKind.LINE: _line,
    PlotKind.RANGES: _ranges,
}
