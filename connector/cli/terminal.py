"""What all commands share: data on stdout, messages on stderr, no tracebacks, and the exit codes 0, 1 and 2."""

from __future__ import annotations

import getpass
import json
import logging
import os
import shutil
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from connector.cli.help_texts import CommandSet
from connector.json_format import json_default
from connector.plain_text import strip_control_characters

if TYPE_CHECKING:
    from sqlmodel import Session

    from connector.app_context import AppContext
    from connector.db.tables import Connection

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
WideOption = Annotated[bool, typer.Option("--wide", help="Print all columns in full, even in a terminal.")]
_LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class CommandError(Exception):
    """A command failed; the message says what happened and what to do."""


def echo_err(text: str) -> None:
    """Print a message on stderr."""
    line = f"{strip_control_characters(text)}\n"  # one write: companies run side by side
    print(line, end="", file=sys.stderr, flush=True)  # noqa: T201


def echo_note(text: str) -> None:
    """Print what is to be read below a table on stderr, in lines that fit the terminal."""
    from connector.cli.tables import wrap_text

    width = terminal_width()
    for line in [text] if width is None else wrap_text(strip_control_characters(text), width):
        echo_err(line)


def echo(text: str) -> None:
    """Print a line of data on stdout."""
    _print(strip_control_characters(text))


def echo_json(document: object) -> None:
    """Print one JSON document on stdout."""
    print(json.dumps(document, default=json_default, ensure_ascii=False, indent=2), flush=True)  # noqa: T201


def terminal_width() -> int | None:
    """Return how many columns the terminal has, or None where stdout is no terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def echo_table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, wide: bool = False) -> None:
    """Print a table on stdout: fitted to the terminal, in full with ``wide``, tab-separated where it is piped."""
    from connector.cli import tables

    cells = [[_format_cell(cell) for cell in row] for row in rows]
    width = terminal_width()
    if width is None and not wide:
        for line in tables.tabbed_lines(headings, cells):
            echo(line)
        return
    fitted = (
        tables.wide_lines(headings, cells) if wide or width is None else tables.fitted_lines(headings, cells, width)
    )
    for line in fitted.heading:
        _print(f"\033[1m{strip_control_characters(line)}\033[0m" if shows_styles() else line)
    for line in fitted.lines:
        echo(line)
    if fitted.left_out:
        echo_note(f"Left out in {width} columns: {', '.join(fitted.left_out)}. Add --wide to see everything.")


def shows_styles() -> bool:
    """Return whether stdout is a terminal that shows bold text, and the user did not ask for plain text."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb" and not os.environ.get("NO_COLOR")


def echo_indented(start: str, text: str) -> None:
    """Print a text on stdout after a short start; lines that a terminal has no room for continue below the text."""
    from connector.cli.tables import wrap_text

    width = terminal_width()
    if width is None or len(start) * 2 > width:
        echo(start + text)
        return
    first, *more = wrap_text(strip_control_characters(text), width - len(start))
    for line in (start + first, *(" " * len(start) + line for line in more)):
        echo(line)


def money(amount: str | Decimal, currency: str) -> str:
    """Return an amount for a table: ``EUR 1,234.50``, with as many decimals as it has."""
    return f"{currency} {Decimal(amount):,f}"


T = TypeVar("T")
Columns = dict[str, Callable[[T], object]]  # by heading, what a row shows under it


def echo_results(
    rows: Sequence[T],
    columns: Columns[T],
    empty_message: str,
    *,
    as_json: bool,
    wide: bool = False,
    limit: int | None = None,
) -> None:
    """Print results on stdout as JSON or as a table, or a message on stderr where there are none.

    Only the first ``limit`` rows are printed, and how many more there are is said on stderr.
    """
    shown = rows[:limit]
    if as_json:
        echo_json(shown)
    elif rows:
        echo_table(list(columns), [[cell(row) for cell in columns.values()] for row in shown], wide=wide)
    else:
        echo_err(empty_message)
    echo_rest(len(rows) - len(shown))


def echo_rest(count: int) -> None:
    """Print on stderr how many rows were not printed, if any."""
    if count > 0:
        echo_note(f"{count:,} more. Add --limit N or --all to see them.")


@contextmanager
def open_command_app() -> Iterator[AppContext]:
    """Open the installation for one command."""
    from connector.app_context import open_app
    from connector.settings import load_settings

    app = open_app(load_settings())
    _configure_file_log(app.settings.duewell_home)
    try:
        yield app
    finally:
        app.close()


def os_user() -> str:
    """Return the name of the operating system user, for the log."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container user without a name
        return "unknown user"


def get_connection_id(app: AppContext, name: str) -> int:
    """Return the id of a connection, given by id or short name."""
    from connector.connections.registry import find_connection
    from connector.db.engine import reading

    with reading(app.engine) as session:
        return find_connection(session, name).id or 0


def find_connection_id(app: AppContext, name: str | None) -> int | None:
    """Return the id of a connection, given by id or short name; None for all connections."""
    return None if name is None else get_connection_id(app, name)


def empty_list_message(app: AppContext, message: str) -> str:
    """Return the message for an empty list, which is another one while no company is connected."""
    from connector.connections.registry import NO_CONNECTIONS, list_connections
    from connector.db.engine import reading

    with reading(app.engine) as session:
        return message if list_connections(session) else NO_CONNECTIONS


def find_connections(session: Session, names: Sequence[str]) -> list[Connection]:
    """Return the connections with these names or ids, or all that are not disconnected."""
    from connector.connections.registry import find_connection, list_connected

    return [find_connection(session, name) for name in names] or list_connected(session)


class Group(TyperGroup):
    """A group of commands with a ``default`` one."""

    default = ""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Insert the default command where none is given."""
        if self.default and self._wants_default(args):
            args = [self.default, *args]
        return super().parse_args(ctx, args)

    def _wants_default(self, args: list[str]) -> bool:
        return not args or (args[0].startswith("-") and args[0] != "--help")


class ListGroup(Group):
    """``duewell outbox`` is ``duewell outbox list``."""

    default = "list"


class ShowGroup(Group):
    """``duewell policy`` is ``duewell policy show``."""

    default = "show"


class LogGroup(Group):
    """``duewell log CONNECTION`` is ``duewell log show CONNECTION``."""

    default = "show"

    def _wants_default(self, args: list[str]) -> bool:
        return not args or (args[0] != "--help" and args[0] not in self.commands)


class RootGroup(Group):
    """The root command, which turns exceptions into messages."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; print what it raises and exit with 1."""
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, TyperException, BrokenPipeError):
            raise
        except Exception as problem:
            echo_err(f"Error: {format_error(problem)}")
            raise typer.Exit(1) from problem


def build_group(kind: type[Group], text: str) -> typer.Typer:
    """Build a group of commands."""
    return CommandSet(
        cls=kind, help=text, no_args_is_help=kind is Group, pretty_exceptions_enable=False, rich_markup_mode=None
    )


def configure_stderr_log() -> None:
    """Log to stderr, for long-running commands."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(_LOG_FORMAT))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("duewell").setLevel(logging.INFO)


def _configure_file_log(home: Path) -> None:
    """Log to a file, for commands that end: messages at the terminal come from the commands themselves."""
    from connector.secrets.private_files import private_folder

    handler = logging.FileHandler(private_folder(home / "logs") / "duewell.log", encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter(_LOG_FORMAT))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])  # has no effect where the log goes to stderr


def format_error(problem: Exception) -> str:
    """Return an error message; an internal error is saved to a file instead."""
    from sqlalchemy.exc import DBAPIError

    if isinstance(problem, DBAPIError):
        return f"The database reported an error: {str(problem.orig).strip().splitlines()[0]}. See: duewell doctor"
    if isinstance(problem, OSError):
        return f"{problem.strerror or problem}" + (f": {problem.filename}" if problem.filename else "")
    if type(problem).__module__.partition(".")[0] in {"connector", "providers", "policies"} and str(problem):
        return str(problem)
    return f"Internal error ({type(problem).__name__}). The details are in {_save_traceback(problem)}"


def _save_traceback(problem: Exception) -> Path:
    """Save a traceback to a file that only the user can read: it may contain names and amounts."""
    from connector.secrets.private_files import private_folder
    from connector.settings import load_settings

    folder = private_folder(load_settings().duewell_home / "logs")
    path = folder / f"error-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}.txt"
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write("".join(traceback.format_exception(problem)))
    return path


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201


def _format_cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return " ".join(strip_control_characters(str(value)).split())
