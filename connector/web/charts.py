"""Draws the plots of reports as inline SVG: no script and no inline style, colours from the style sheet by class.

A plot is 400 units wide, so that its text is legible on a phone; light, dark and print colours follow by the classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import count
from math import ceil, floor, log10

from markupsafe import Markup

from connector.reports.formatting import format_short
from connector.reports.report import Plot, Span

_WIDTH = 400
_LABEL_WIDTH = 118  # where horizontal bars begin
_ROW_HEIGHT, _BAR_HEIGHT = 26, 16
_HEIGHT, _TOP, _LEFT, _BOTTOM = 190, 14, 44, 24
_LABEL_CHARS = 18
_ids = count(1)


def draw(plot: Plot) -> Markup:
    """Return a plot as SVG, with its title and description for screen readers."""
    body, height = _RENDERERS[plot.kind](plot)
    name = f"plot-{next(_ids)}"
    opening = Markup(
        '<svg class="plot" role="img" aria-labelledby="{0}-t {0}-d" viewBox="0 0 {1} {2}">'
        '<title id="{0}-t">{3}</title><desc id="{0}-d">{4}</desc>'
    ).format(name, _WIDTH, height, plot.title, plot.alt_text)
    return opening + Markup().join(body) + Markup("</svg>")


def _bars(plot: Plot) -> tuple[list[Markup], int]:
    """Draw horizontal bars, each with its figure at the end."""
    maximum = max([bar.value for bar in plot.bars] + [0.0]) or 1.0
    width = _WIDTH - _LABEL_WIDTH - 78
    shapes = []
    for index, bar in enumerate(plot.bars):
        top, length = index * _ROW_HEIGHT, width * max(bar.value, 0) / maximum
        shapes += [
            _text(_LABEL_WIDTH - 8, top + 17, bar.label, "end"),
            _rect(_LABEL_WIDTH, top + 5, max(length, 1), _BAR_HEIGHT, f"bar {bar.severity}".strip()),
            _text(_LABEL_WIDTH + length + 6, top + 17, bar.text, "start", "figure"),
        ]
    return shapes, max(1, len(plot.bars)) * _ROW_HEIGHT + 4


def _ranges(plot: Plot) -> tuple[list[Markup], int]:
    """Draw horizontal ranges, each with a mark at its median."""
    maximum = max([span.high or span.value or 0 for span in plot.spans] + [0]) or 1
    width = _WIDTH - _LABEL_WIDTH - 30
    shapes = []
    for index, span in enumerate(plot.spans):
        top = index * (_ROW_HEIGHT + 14)
        low, middle, high = (_LABEL_WIDTH + width * (each or 0) / maximum for each in (span.low, span.value, span.high))
        shapes += [
            _text(_LABEL_WIDTH - 8, top + 29, span.label, "end"),
            _rect(low, top + 17, max(high - low, 1), _BAR_HEIGHT, "bar range"),
            _rect(middle - 1.5, top + 14, 3, _BAR_HEIGHT + 6, "mark"),
            _text(middle, top + 11, f"{span.value:.0f}", "middle", "figure"),
            _text(low - 4, top + 29, f"{span.low:.0f}", "end", "quiet"),
            _text(high + 4, top + 29, f"{span.high:.0f}", "start", "quiet"),
        ]
    shapes.append(_text(_WIDTH - 4, len(plot.spans) * (_ROW_HEIGHT + 14) + 12, plot.unit, "end", "quiet"))
    return shapes, len(plot.spans) * (_ROW_HEIGHT + 14) + 18


def _columns(plot: Plot) -> tuple[list[Markup], int]:
    """Draw columns, each with its interval as a whisker, or with a second column beside it."""
    spans = plot.spans
    tops = [max(span.value or 0, span.high or 0, span.secondary or 0) for span in spans]
    maximum = _round_up(max([*tops, 0]) or 1.0)
    step = (_WIDTH - _LEFT) / max(1, len(spans))
    shapes = _scale(maximum)
    for index, span in enumerate(spans):
        left = _LEFT + index * step + step * 0.15
        shapes += _column(span, left, step * 0.7, maximum)
    shapes += _labels(spans, step)
    return [*shapes, *_legend(plot)], _HEIGHT + (16 if plot.legend else 0)


def _column(span: Span, left: float, width: float, maximum: float) -> Iterable[Markup]:
    top, foot = _y(span.value or 0, maximum), _y(0, maximum)
    if span.secondary is not None:
        yield _rect(left, top, width / 2, foot - top, "bar")
        upper = _y(span.secondary, maximum)
        yield _rect(left + width / 2, upper, width / 2, foot - upper, "bar second")
        return
    yield _rect(left, top, width, foot - top, "bar")
    if span.low is not None and span.high is not None:
        middle, low, high = left + width / 2, _y(span.low, maximum), _y(span.high, maximum)
        path = f"M{middle:.1f} {low:.1f}V{high:.1f}M{middle - 4:.1f} {low:.1f}h8M{middle - 4:.1f} {high:.1f}h8"
        yield Markup('<path class="whisker" d="{}"/>').format(path)


def _line(plot: Plot) -> tuple[list[Markup], int]:
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


def _scale(maximum: float) -> list[Markup]:
    """Draw the base line and two lines above it, with their values."""
    shapes = []
    for fraction in (0, 0.5, 1):
        y = _y(maximum * fraction, maximum)
        shapes.append(Markup('<path class="grid" d="M{} {:.1f}H{}"/>').format(_LEFT, y, _WIDTH))
        shapes.append(_text(_LEFT - 6, y + 4, format_short(maximum * fraction), "end", "quiet"))
    return shapes


def _labels(spans: Sequence[Span], step: float, *, centred: bool = True) -> list[Markup]:
    """Draw as many labels below as there is room for, and always the last."""
    every = max(1, ceil(54 / step))
    start = _LEFT + (step / 2 if centred else 0)
    return [
        _text(min(start + index * step, _WIDTH - 24), _HEIGHT - 6, span.label, "middle", "quiet")
        for index, span in enumerate(spans)
        if (len(spans) - 1 - index) % every == 0
    ]


def _legend(plot: Plot) -> list[Markup]:
    """Draw the legend below the plot."""
    if not plot.legend:
        return []
    first, second = plot.legend
    other = "bar second" if any(span.secondary is not None for span in plot.spans) else "whisker-box"
    shapes = [_rect(_LEFT, _HEIGHT + 3, 10, 10, "bar"), _text(_LEFT + 15, _HEIGHT + 12, first, "start")]
    return [*shapes, _rect(_LEFT + 110, _HEIGHT + 3, 10, 10, other), _text(_LEFT + 125, _HEIGHT + 12, second, "start")]


def _y(value: float, maximum: float) -> float:
    return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - max(value, 0) / maximum)


def _round_up(value: float) -> float:
    """Return the next round value: 1, 2, 4, 5, 8 or 10 times a power of ten."""
    power = 10.0 ** floor(log10(value))
    return next(each * power for each in (1, 2, 4, 5, 8, 10) if each * power >= value)


def _rect(x: float, y: float, width: float, height: float, css_class: str) -> Markup:
    return Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
        css_class, x, y, width, max(height, 0)
    )


def _text(x: float, y: float, text: str, anchor: str, css_class: str = "") -> Markup:
    cut = text if len(text) <= _LABEL_CHARS + 6 else f"{text[: _LABEL_CHARS + 5]}…"
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(
        css_class, x, y, anchor, cut
    )


_RENDERERS: dict[str, Callable[[Plot], tuple[list[Markup], int]]] = {
    "bars": _bars,
    "columns": _columns,
    "line": _line,
    "ranges": _ranges,
}
