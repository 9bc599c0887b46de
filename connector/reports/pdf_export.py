"""Reports as PDF: the question, the chart and the figures of each, on as many A4 pages as they need.

The fonts are those of the customers' statements: letters that they lack are replaced.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time

from connector.fonts.pdf_fonts import PdfFonts
from connector.reports.report import Plot, PlotKind, Report, ReportRow, Severity, format_cell
from providers.import_lock import IMPORT_LOCK

ROWS_MAX = 500  # of one report: they take two seconds to draw, and more is no document for people; the CSV has all
_MARGIN = 15
_TEXT, _MUTED, _ACCENT, _SECOND = (31, 41, 51), (90, 90, 90), (11, 93, 87), (170, 205, 202)
_LINE = (190, 190, 186)
_COLOURS = {Severity.NORMAL: _ACCENT, Severity.WARN: (125, 75, 0), Severity.BAD: (163, 35, 31)}
_PLOT_WIDTH, _PLOT_HEIGHT, _BAR = 240.0, 38.0, 4.0
_LABEL_WIDTH = 45.0


def draw_reports(reports: Sequence[Report[ReportRow]], *, about: str, on: date) -> bytes:
    """Return the reports as PDF; ``about`` says of which companies and as of when they are."""
    document = _Document(on, about, *_texts(reports))
    for report in reports:
        document.draw(report, about)
    if not reports:
        document.pdf.add_page()
        document.line("No company connected yet.", 11)
    return bytes(document.pdf.output())


def _texts(reports: Sequence[Report[ReportRow]]) -> Iterator[str]:
    """Yield the texts whose letters decide about the fonts: names of companies, customers and people."""
    for report in reports:
        yield from (format_cell(row, column) for row in report.rows[:ROWS_MAX] for column in report.columns)
        yield from (bar.label for plot in report.plots for bar in plot.bars)


class _Document:
    """A PDF being drawn."""

    def __init__(self, on: date, *texts: str) -> None:
        with IMPORT_LOCK:
            from fpdf import FPDF  # noqa: PLC0415 - 40 MiB that only a PDF needs

        self.pdf = FPDF(orientation="landscape", format="A4")
        self._fonts = PdfFonts(self.pdf, *texts)
        self.pdf.set_margin(_MARGIN)
        self.pdf.set_auto_page_break(auto=True, margin=_MARGIN)
        self.pdf.set_lang("en")
        self.pdf.set_title("duewell reports")
        self.pdf.set_creation_date(datetime.combine(on, time(), UTC))

    def draw(self, report: Report[ReportRow], about: str) -> None:
        """Draw a report on pages of its own."""
        self.pdf.add_page()
        self.line(report.title, 16, style="B")
        self.line(about, 9, colour=_MUTED)
        self.line(report.question, 11)
        self.pdf.ln(3)
        for plot in report.plots:
            self._plot(plot)
        if report.rows:
            self._table(report)
        else:
            self.line(report.empty, 11)
        for text in (*report.notes, report.formula):
            self.pdf.ln(2)
            self.line(text, 9, colour=_MUTED)

    def line(self, text: str, size: int, style: str = "", colour: tuple[int, int, int] = _TEXT) -> None:
        """Write a paragraph."""
        self.pdf.set_text_color(*colour)
        self.pdf.set_font(self._fonts.family, style, size)
        self.pdf.multi_cell(0, size * 0.5, self._fonts.clean(text), align="L", new_x="LMARGIN", new_y="NEXT")

    def _table(self, report: Report[ReportRow]) -> None:
        with IMPORT_LOCK:
            from fpdf.fonts import FontFace  # noqa: PLC0415

        self.pdf.set_text_color(*_TEXT)
        self.pdf.set_font(self._fonts.family, size=8)
        rows = report.rows[:ROWS_MAX]
        self.pdf.set_fill_color(0)  # the default: with any other, fpdf2 fills each cell of a table with it
        self.pdf.set_draw_color(*_LINE)
        self.pdf.set_line_width(0.1)
        with self.pdf.table(
            borders_layout="HORIZONTAL_LINES",
            text_align=tuple("RIGHT" if column.is_figure else "LEFT" for column in report.columns),
            headings_style=FontFace(emphasis="BOLD"),
            line_height=4.5,
            padding=0.8,
        ) as table:
            table.row([self._fonts.clean(column.heading) for column in report.columns])
            for row in rows:
                table.row([self._fonts.clean(format_cell(row, column)) for column in report.columns])
            if report.total:
                empty = [""] * (len(report.columns) - 2)
                table.row(["Total", *empty, report.total], style=FontFace(emphasis="BOLD"))
        self.pdf.set_draw_color(*_TEXT)
        self.pdf.set_line_width(0.2)
        if len(report.rows) > len(rows):
            self.line(f"The first {ROWS_MAX:,} of {len(report.rows):,} rows; the CSV file has all.", 9, colour=_MUTED)
        self.pdf.ln(2)

    def _plot(self, plot: Plot) -> None:
        height = len(plot.bars) * (_BAR + 2) if plot.kind is PlotKind.BARS else _PLOT_HEIGHT
        if plot.kind is PlotKind.RANGES:
            return
        if self.pdf.will_page_break(height + 16):
            self.pdf.add_page()
        self.line(plot.title, 10, style="B")
        self.pdf.ln(1)
        top = self.pdf.get_y()
        self.pdf.set_font(self._fonts.family, size=7)
        if plot.kind is PlotKind.BARS:
            self._bars(plot, top)
        else:
            self._columns(plot, top)
        self.pdf.set_y(top + height + (0 if plot.kind is PlotKind.BARS else 9 if plot.legend else 5))
        self.pdf.ln(3)

    def _bars(self, plot: Plot, top: float) -> None:
        maximum = max([bar.value for bar in plot.bars] + [0.0]) or 1.0
        for place, bar in enumerate(plot.bars):
            y = top + place * (_BAR + 2)
            width = (_PLOT_WIDTH - _LABEL_WIDTH) * max(bar.value, 0) / maximum
            self.pdf.set_fill_color(*_COLOURS[bar.severity])
            self.pdf.rect(_MARGIN + _LABEL_WIDTH, y, max(width, 0.2), _BAR, style="F")
            self.pdf.text(_MARGIN, y + 3, self._fonts.clean(bar.label))
            self.pdf.text(_MARGIN + _LABEL_WIDTH + width + 1.5, y + 3, self._fonts.clean(bar.text))

    def _columns(self, plot: Plot, top: float) -> None:
        """Draw columns, and a line as columns, too: each with its label where there is room."""
        spans = plot.spans
        maximum = max([max(each.value or 0, each.high or 0, each.secondary or 0) for each in spans] + [0.0]) or 1.0
        step = _PLOT_WIDTH / max(1, len(spans))
        foot = top + _PLOT_HEIGHT
        taken_until = 0.0
        for place, span in enumerate(spans):
            left, width = _MARGIN + place * step, step * 0.7
            if span.secondary is not None:
                half = width / 2
                bars = [(left, half, span.value or 0, _ACCENT), (left + half, half, span.secondary, _SECOND)]
            elif span.part is not None:
                bars = [(left, width, span.value or 0, _SECOND), (left, width, span.part, _ACCENT)]
            else:
                bars = [(left, width, span.value or 0, _ACCENT)]
            for x, wide, value, colour in bars:
                height = _PLOT_HEIGHT * max(value, 0) / maximum
                self.pdf.set_fill_color(*colour)
                self.pdf.rect(x, foot - height, wide, height, style="F")
            if span.low is not None and span.high is not None:
                low, high = (foot - _PLOT_HEIGHT * each / maximum for each in (span.low, span.high))
                self.pdf.line(left + width / 2, low, left + width / 2, high)
            label = self._fonts.clean(span.label)
            if left >= taken_until:
                self.pdf.text(left, foot + 3.5, label)
                taken_until = left + float(self.pdf.get_string_width(label)) + 2
        self._legend(plot, foot + 5)

    def _legend(self, plot: Plot, top: float) -> None:
        """Draw what the colours of columns mean."""
        has_part = any(span.part is not None for span in plot.spans)
        has_range = any(span.high is not None for span in plot.spans)
        colours = (_SECOND, _ACCENT) if has_part else (_ACCENT, _TEXT if has_range else _SECOND)
        x = float(_MARGIN)
        for text, colour in zip(map(self._fonts.clean, plot.legend), colours, strict=False):
            self.pdf.set_fill_color(*colour)
            self.pdf.rect(x, top, 2.5, 2.5, style="F")
            self.pdf.text(x + 3.5, top + 2.2, text)
            x += 3.5 + float(self.pdf.get_string_width(text)) + 5
