"""Preview the email of an outbox entry as it would be composed now; no connected service is called."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

from sqlmodel import Session

from connector.app_context import AppContext
from connector.db.engine import writing
from connector.db.tables import OutboxEntry
from connector.emails.outbound import compose
from connector.emails.outbound.ledger_documents import KnownDocuments
from providers.mailer import Email


class PreviewError(Exception):
    """The email cannot be composed now; ``str()`` says why."""


@dataclass(frozen=True, slots=True)
class _Preview:
    """Compose outside of a sync: the customer's links are created as in the email that is sent."""

    app: AppContext
    connection_id: int

    def writing(self) -> AbstractContextManager[Session]:
        return writing(self.app.engine)


def preview_email(app: AppContext, entry: OutboxEntry) -> Email:
    """Return the email of an unsent entry, without what only the ledger has: new pay links, and PDFs.

    Raises ``PreviewError``.
    """
    try:
        return compose.compose_entry(*_surroundings(app, entry), entry.id or 0)
    except (compose.CannotCompose, compose.NothingToSend) as error:
        raise PreviewError(str(error)) from error


def preview_editable_email(app: AppContext, entry: OutboxEntry) -> tuple[Email, dict[str, str]]:
    """Return the email of an unsent entry to a customer, and the lines of it that a user may edit.

    Raises ``PreviewError``.
    """
    try:
        return compose.compose_entry_with_lines(*_surroundings(app, entry), entry.id or 0)
    except compose.CannotCompose as error:
        raise PreviewError(str(error)) from error


def _surroundings(app: AppContext, entry: OutboxEntry) -> tuple[_Preview, KnownDocuments]:
    return _Preview(app, entry.connection_id), KnownDocuments(app, entry.connection_id)
