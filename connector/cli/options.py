"""What several commands are given alike: their common arguments and options, and how a text becomes a value."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from connector.cli.terminal import CommandError

ConnectionOption = Annotated[
    str | None, typer.Option("--connection", help="Only this connection: its id or short name.")
]
CompaniesOption = Annotated[
    list[str] | None, typer.Option("--company", help="Only this connection; may be repeated. Default: all.")
]
OptionalConnectionArgument = Annotated[
    str | None, typer.Argument(metavar="CONNECTION", help="Its id or short name; default: all.")
]
CustomerArgument = Annotated[str, typer.Argument(metavar="CUSTOMER", help="Its name, or the ledger's id.")]
_DURATION_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_choice(text: str, choices: Iterable[str], label: str) -> str:
    """Take a text that must be one of a few; any other is bad use, and the words name those there are."""
    names = list(choices)
    if text not in names:
        message = f"There is no {label} {text!r}; there are: {', '.join(filter(None, names))}."
        raise typer.BadParameter(message)
    return text


def parse_instant(text: str, now: datetime) -> datetime:
    """Read "2026-11-20", "2026-11-20T08:00", "90m", "24h" or "7d" (ago) as an instant; local dates count as UTC."""
    try:
        if text[-1:] in _DURATION_UNITS and text[:-1].isdecimal():
            return now - timedelta(**{_DURATION_UNITS[text[-1]]: int(text[:-1])})
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        message = f"{text!r} is not a time; write 2026-11-20, 2026-11-20T08:00, 24h or 7d."
        raise typer.BadParameter(message) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def parse_date(text: str) -> date | None:
    """Read a day as YYYY-MM-DD; "none" takes it back."""
    if text.lower() == "none":
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        message = f"{text!r} is not a day; write it like 2026-12-31, or none."
        raise typer.BadParameter(message) from None


def parse_mailbox(text: str) -> str:
    """Read somebody of the team, like 'Ann Lee <ann@example.com>'."""
    from connector.connections.account_owners import InvalidMailboxError, normalise_mailbox

    try:
        return normalise_mailbox(text)
    except InvalidMailboxError as problem:
        raise typer.BadParameter(str(problem)) from None


def parse_contact(text: str) -> tuple[str, str]:
    """Read "Ann Lee <ann@example.com>", or an address alone, as name and address; "none" takes both back."""
    from connector.connections.account_owners import split_mailbox

    return ("", "") if text.strip().lower() == "none" else split_mailbox(parse_mailbox(text))


@contextmanager
def document_errors(file: Path | None, error_type: type[Exception], summary: str) -> Iterator[None]:
    """Name the document in which a fault was found, and say that nothing came of it."""
    try:
        yield
    except error_type as problem:
        name = "What stdin says" if str(file) == "-" else file
        told = f"{name} {summary}; nothing was changed.\n{problem}" if file else str(problem)
        raise CommandError(told) from problem


def read_document(file: Path) -> str:
    """Read a document from a file, or from stdin for ``-``."""
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise CommandError(f"{file} is not text in UTF-8. A document is TOML; save it as UTF-8.") from None
    except OSError as problem:
        raise CommandError(
            f"{file} cannot be read ({problem.strerror}). Name a TOML document, or - for stdin."
        ) from None
