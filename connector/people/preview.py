"""Writes a planned mail as it would be written now, for a person to read; no vendor is asked, nothing leaves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from sqlmodel import Session

from connector.budget import CallBudget
from connector.database import reading, writing
from connector.hour import Hour
from connector.installation import Installation
from connector.lease import Lease
from connector.letters import write as letters
from connector.letters.mails import MailError
from connector.tables import OutboxEntry
from providers.errors import Rejected
from providers.ledger import Ledger
from providers.mailer import Mail


class NoPreview(Exception):
    """The mail cannot be written now; ``str()`` says why."""


def letter(installation: Installation, entry: OutboxEntry) -> Mail:
    """Write the mail of an un-sent entry, without what only the ledger has: links to pay, and PDFs."""
    try:
        return letters.write(_hour(installation, entry), entry.id or 0)
    except (letters.CannotWrite, MailError) as problem:
        raise NoPreview(str(problem)) from problem


def with_lines(installation: Installation, entry: OutboxEntry) -> tuple[Mail, dict[str, str]]:
    """Write the mail of an un-sent entry to a customer, and the lines of it that a person may change."""
    try:
        return letters.write_with_lines(_hour(installation, entry), entry.id or 0)
    except (letters.CannotWrite, MailError) as problem:
        raise NoPreview(str(problem)) from problem


class _NoHour(Hour):
    """What writing a mail needs of an hour, outside of any: it holds no lease and moves none."""

    @contextmanager
    def writing(self, *, durable: bool = True) -> Iterator[Session]:
        with writing(self.installation.engine, durable=durable) as session:
            yield session


class _NoLedger:
    """A ledger that is not asked."""

    def __getattr__(self, name: str) -> Any:
        def refuse(*_arguments: object) -> None:
            message = f"{name} is asked when the mail leaves"
            raise Rejected(message)

        return refuse


def _hour(installation: Installation, entry: OutboxEntry) -> Hour:
    with reading(installation.engine) as session:
        calls = CallBudget(session, entry.connection_id, installation.now)
    return _NoHour(
        installation=installation,
        lease=Lease(installation, entry.connection_id, fence=-1),
        connection_id=entry.connection_id,
        run_id=0,
        books="",
        ledger=cast("Ledger", _NoLedger()),
        mailer=None,
        calls=calls,
        started_at=installation.now(),
    )
