"""The link in a digest with which an account owner stops one email before it is sent."""

from __future__ import annotations

import base64
import binascii
import json
from typing import NamedTuple

from sqlalchemy import select
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.db.engine import reading, writing
from connector.db.tables import Connection, CustomerRow, OutboxEntry
from connector.emails import recipient_language
from connector.emails.layout import Lines, load_texts, render_line
from connector.languages import language_of
from connector.outbox import approvals, entries
from connector.plain_text import one_line
from connector.secrets.keyring import KeyringError
from connector.vocabulary import OutboxState

_SEAL_CONTEXT = "link that stops one email"
_TOKEN_MAX = 2000


class EmailStop(NamedTuple):
    """The email a link is about; ``too_late_reason`` is why it can no longer be stopped, "" while it can.

    ``language`` is that of the digest's readers.
    """

    company: str
    customer: str
    reason: str
    too_late_reason: str
    language: str


def email_stop_link(app: AppContext, key: str, recipient: str) -> str:
    """Return the link for one outbox entry and one reader, with both sealed into it."""
    sealed = app.keyring.encrypt(json.dumps([key, recipient]).encode(), _SEAL_CONTEXT)
    return f"{app.settings.duewell_base_url}/stop-mail/{base64.urlsafe_b64encode(sealed).decode().rstrip('=')}"


def find_stop(app: AppContext, token: str) -> EmailStop | None:
    """Return the email a link is about; None for an unknown link. Changes nothing."""
    with reading(app.engine) as session:
        found = _find_entry(app, session, token)
        return _build_stop(session, found[0]) if found is not None else None


def stop_email(app: AppContext, token: str) -> EmailStop | None:
    """Reject the email so that it is never sent; the customer's next step is not affected."""
    with writing(app.engine) as session:
        found = _find_entry(app, session, token)
        if found is None:
            return None
        entry, recipient = found
        stop = _build_stop(session, entry)
        if not stop.too_late_reason:
            approvals.reject(session, [entry.id or 0], by=f"{recipient} (link in the digest)", at=app.now())
        return stop


def _find_entry(app: AppContext, session: Session, token: str) -> tuple[OutboxEntry, str] | None:
    try:
        sealed = base64.urlsafe_b64decode(token[:_TOKEN_MAX] + "=" * (-len(token) % 4))
        key, recipient = json.loads(app.keyring.decrypt(sealed, _SEAL_CONTEXT))
    except (KeyringError, binascii.Error, ValueError):
        return None
    entry = session.scalars(select(OutboxEntry).where(col(OutboxEntry.key) == key)).first()
    return (entry, str(recipient)) if entry is not None else None


def _build_stop(session: Session, entry: OutboxEntry) -> EmailStop:
    customer = session.get(CustomerRow, (entry.connection_id, entry.customer_id))
    connection = session.get_one(Connection, entry.connection_id)
    language = recipient_language.company_language(session, connection)
    return EmailStop(
        company=one_line(connection.name),
        customer=one_line(customer.name if customer is not None else ""),
        reason=one_line(entry.reason, 400),
        too_late_reason=_too_late_reason(entry, load_texts(language_of(language).code).stop),
        language=language,
    )


def _too_late_reason(entry: OutboxEntry, texts: Lines) -> str:
    if entry.state in entries.UNSENT_STATES:
        return ""
    if entry.state == OutboxState.REJECTED:
        return render_line(texts["email_rejected"], {"reason": entry.response})
    return texts["email_already_sent"]
