"""Progress of syncs on stderr: bars in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.progress import Progress as Bars

from connector.app_context import AppContext
from connector.cli.terminal import echo_err
from connector.db.engine import reading
from connector.db.tables import Connection
from connector.plain_text import strip_control_characters


class ProgressLine:
    """The progress of one run."""

    def __init__(self, name: str, bars: Bars | None) -> None:
        self.name = name
        self._bars = bars
        self._task: TaskID | None = bars.add_task(escape(strip_control_characters(name)), total=None) if bars else None

    def show(self, text: str) -> None:
        """Show the next activity of the run."""
        if self._bars is None or self._task is None:
            echo_err(f"{self.name}: {text}")
        else:
            self._bars.update(self._task, description=escape(strip_control_characters(f"{self.name}: {text}")))

    def set_count(self, done: int, expected: int | None) -> None:
        """Show how many records were read, and of how many where that is known."""
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, completed=done, total=expected)

    def end(self) -> None:
        """Stop this line's clock."""
        if self._bars is not None and self._task is not None:
            self._bars.stop_task(self._task)


@contextmanager
def customer_counter(activity: str) -> Iterator[Callable[[str, int], None]]:
    """Show in a terminal, and only there, how many customers of each company were processed."""
    if not _shows_bars():
        yield lambda _company, _customers: None
        return
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Bars(*columns, console=Console(file=sys.stderr), transient=True) as bars:
        lines: dict[str, TaskID] = {}

        def show(company: str, customers: int) -> None:
            text = escape(strip_control_characters(f"{company}: {activity}, customer {customers:,}"))
            if company in lines:
                bars.update(lines[company], description=text)
            else:
                lines[company] = bars.add_task(text, total=None)

        yield show


@contextmanager
def row_counter() -> Iterator[Callable[[str, int, int], None]]:
    """Show in a terminal, and only there, the table under way and how many of all rows are done."""
    if not _shows_bars():
        yield lambda _table, _done, _total: None
        return
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn()
    with Bars(*columns, console=Console(file=sys.stderr), transient=True) as bars:
        line = bars.add_task("", total=None)
        yield lambda table, done, total: bars.update(line, description=escape(table), completed=done, total=total)


def _shows_bars() -> bool:
    """Return whether stderr is a terminal that can move its cursor; plain lines are for all others."""
    return sys.stderr.isatty() and not Console(file=sys.stderr).is_dumb_terminal


class Progress:
    """The progress lines of all runs in progress."""

    def __init__(self) -> None:
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        self._bars = Bars(*columns, console=Console(file=sys.stderr)) if _shows_bars() else None

    def __enter__(self) -> Self:
        if self._bars:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars:
            self._bars.stop()

    def start_line(self, app: AppContext, connection_id: int) -> ProgressLine:
        """Add the line of one run."""
        with reading(app.engine) as session:
            name = session.get_one(Connection, connection_id).name
        return ProgressLine(name, self._bars)
