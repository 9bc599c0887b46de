"""Arguments and options that several commands share, and how their texts are parsed."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated

import typer

from connector.cli.terminal import CommandError, terminal_width
from connector.cli.wrong_values import WrongValueError

ConnectionOption = Annotated[str | None, typer.Option("--connection", help="Only this company: its id or short name.")]
CompaniesOption = Annotated[
    list[str] | None, typer.Option("--company", help="Only this company; can be repeated. Default: all.")
]
OptionalConnectionArgument = Annotated[
    str | None, typer.Argument(metavar="CONNECTION", help="The company's id or short name. Default: all.")
]
LimitOption = Annotated[
    int | None, typer.Option("--limit", min=1, help="How many rows at most. Default: 100 in a terminal, else all.")
]
AllOption = Annotated[bool, typer.Option("--all", help="Show all rows.")]
_ROWS_MAX = 100
CustomerArgument = Annotated[
    str, typer.Argument(metavar="CUSTOMER", help="The customer's name, or its id in the accounting system.")
]
_DURATION_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def chosen_connection(argument: str | None, option: str | None) -> str | None:
    """Return the company that was named, as an argument or by ``--connection``."""
    if argument is not None and option is not None and argument != option:
        message = "name one company, either as CONNECTION or by --connection"
        raise typer.BadParameter(message)
    return option if argument is None else argument


def rows_max(limit: int | None, *, show_all: bool, for_programs: bool) -> int | None:
    """Return how many rows a list shows at most, None for all.

    Programs get all that they do not limit themselves: as JSON or CSV (``for_programs``), and through a pipe.
    """
    if limit is not None and show_all:
        message = "choose either --limit or --all"
        raise typer.BadParameter(message)
    return limit if limit is not None or show_all or for_programs or terminal_width() is None else _ROWS_MAX


def parse_choice(text: str, choices: Iterable[str], label: str) -> str:
    """Return a text that must be one of ``choices``; ``label`` names it in the error."""
    names = list(choices)
    if text not in names:
        message = f"There is no {label} {text!r}; choose one of {', '.join(filter(None, names))}."
        raise WrongValueError(message, text)
    return text


def parse_instant(text: str, now: datetime) -> datetime:
    """Parse "2026-11-20", "2026-11-20T08:00", or a time ago such as "90m", "24h" or "7d"; without a zone it is UTC."""
    try:
        if text[-1:] in _DURATION_UNITS and text[:-1].isdecimal():
            return now - timedelta(**{_DURATION_UNITS[text[-1]]: int(text[:-1])})
        parsed = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        message = f"{text!r} is not a time; write 2026-11-20, 2026-11-20T08:00, 24h or 7d."
        raise WrongValueError(message, text) from None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def parse_amount(text: str) -> Decimal:
    """Parse an amount of more than zero."""
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal(0)
    if not amount.is_finite() or amount <= 0:
        raise WrongValueError(f"{text!r} is not an amount; write it like 500.00.", text)
    return amount


def parse_date(text: str) -> date | None:
    """Parse a date written as YYYY-MM-DD; "none" clears it."""
    if text.lower() == "none":
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        message = f"{text!r} is not a date; write it like 2026-12-31, or none."
        raise WrongValueError(message, text) from None


def parse_mailbox(text: str) -> str:
    """Parse a name and an email address, like 'Ann Lee <ann@example.com>'."""
    from connector.connections.account_owners import InvalidMailboxError, normalise_mailbox

    try:
        return normalise_mailbox(text)
    except InvalidMailboxError as problem:
        raise WrongValueError(str(problem), text) from None


def parse_contact(text: str) -> tuple[str, str]:
    """Parse "Ann Lee <ann@example.com>", or an address alone, into name and address; "none" clears both."""
    from connector.connections.account_owners import split_mailbox

    return ("", "") if text.strip().lower() == "none" else split_mailbox(parse_mailbox(text))


@contextmanager
def document_errors(file: Path | None, error_type: type[Exception], summary: str) -> Iterator[None]:
    """Raise ``error_type`` as a command error that names the document and says that nothing was changed."""
    try:
        yield
    except error_type as problem:
        name = "The document on stdin" if str(file) == "-" else file
        message = f"{name} {summary}; nothing was changed.\n{problem}" if file else str(problem)
        raise CommandError(message) from problem


def read_document(file: Path) -> str:
    """Read a document from a file, or from stdin for ``-``."""
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise CommandError(f"{file} is not UTF-8 text. Save the document as TOML in UTF-8.") from None
    except OSError as problem:
        raise CommandError(
            f"{file} cannot be read ({problem.strerror}). Name a TOML document, or - for stdin."
        ) from None
