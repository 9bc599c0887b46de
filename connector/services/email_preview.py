"""Writes a planned mail as it would be written now, for a person to read; no vendor is asked, nothing leaves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from sqlmodel import Session

from connector.app_context import AppContext
from connector.db.engine import reading, writing
from connector.db.tables import OutboxEntry
from connector.emails.outbound import compose as letters
from connector.emails.outbound.render import EmailError
from connector.runtime.budget import CallBudget
from connector.runtime.lease import Lease
from connector.runtime.run_context import RunContext
from providers.errors import PermanentError
from providers.ledger import Ledger
from providers.mailer import Email


class PreviewError(Exception):
    """The mail cannot be written now; ``str()`` says why."""


def preview_email(app: AppContext, entry: OutboxEntry) -> Email:
    """Write the mail of an un-sent entry, without what only the ledger has: links to pay, and PDFs."""
    try:
        return letters.compose_entry(_preview_context(app, entry), entry.id or 0)
    except (letters.CannotCompose, EmailError) as problem:
        raise PreviewError(str(problem)) from problem


def preview_editable_email(app: AppContext, entry: OutboxEntry) -> tuple[Email, dict[str, str]]:
    """Write the mail of an un-sent entry to a customer, and the lines of it that a person may change."""
    try:
        return letters.compose_entry_with_lines(_preview_context(app, entry), entry.id or 0)
    except (letters.CannotCompose, EmailError) as problem:
        raise PreviewError(str(problem)) from problem


class _PreviewContext(RunContext):
    """What writing a mail needs of an hour, outside of any: it holds no lease and moves none."""

    @contextmanager
    def writing(self, *, durable: bool = True) -> Iterator[Session]:
        with writing(self.app.engine, durable=durable) as session:
            yield session


class _UnavailableLedger:
    """A ledger that is not asked."""

    def __getattr__(self, name: str) -> Any:
        def refuse(*_arguments: object) -> None:
            message = f"{name} is asked when the mail leaves"
            raise PermanentError(message)

        return refuse


def _preview_context(app: AppContext, entry: OutboxEntry) -> RunContext:
    with reading(app.engine) as session:
        calls = CallBudget(session, entry.connection_id, app.now)
    return _PreviewContext(
        app=app,
        lease=Lease(app, entry.connection_id, fence=-1),
        connection_id=entry.connection_id,
        run_id=0,
        ledger_key="",
        ledger=cast("Ledger", _UnavailableLedger()),
        mailer=None,
        budget=calls,
        started_at=app.now(),
    )
