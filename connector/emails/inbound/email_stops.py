"""The link in a digest by which a customer's owner stops one mail before it leaves."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import select
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.db.engine import reading, writing
from connector.db.tables import Connection, CustomerRow, OutboxEntry
from connector.emails import recipient_language
from connector.emails.layout import load_texts, render_line
from connector.languages import language_of
from connector.outbox import approvals, entries
from connector.plain_text import one_line
from connector.secrets.keyring import KeyringError
from connector.vocabulary import OutboxState

_SEAL_CONTEXT = "link that stops one mail"
_TOKEN_MAX = 2000


class EmailStop(NamedTuple):
    """Which mail a link is about; why it cannot be stopped (any more), "" while it can; its readers' language."""

    company: str
    customer: str
    reason: str
    too_late_reason: str
    language: str


def email_stop_link(app: AppContext, key: str, recipient: str) -> str:
    """Make the link for one outbox entry and one reader; it carries both, sealed, and needs no record."""
    sealed = app.keyring.encrypt(json.dumps([key, recipient]).encode(), _SEAL_CONTEXT)
    return f"{app.settings.duewell_base_url}/stop-mail/{base64.urlsafe_b64encode(sealed).decode().rstrip('=')}"


def find_stop(app: AppContext, token: str) -> EmailStop | None:
    """Tell which mail it is, and change nothing; None for a link that is not ours."""
    with reading(app.engine) as session:
        found = _find_entry(app, session, token)
        return found and _build_stop(session, found[0])


def stop_email(app: AppContext, token: str) -> EmailStop | None:
    """Keep the mail from ever leaving; the next step of its timetable comes in its time."""
    with writing(app.engine) as session:
        found = _find_entry(app, session, token)
        if found is None:
            return None
        entry, reader = found
        about = _build_stop(session, entry)
        if not about.too_late_reason:
            by = f"{reader} (by the link in the digest)"
            approvals.reject(session, [entry.id or 0], by=by, at=app.now())
        return about


def _find_entry(app: AppContext, session: Session, token: str) -> tuple[OutboxEntry, str] | None:
    try:
        sealed = base64.urlsafe_b64decode(token[:_TOKEN_MAX] + "=" * (-len(token) % 4))
        key, reader = json.loads(app.keyring.decrypt(sealed, _SEAL_CONTEXT))
    except (KeyringError, binascii.Error, ValueError):
        return None
    entry = session.scalars(select(OutboxEntry).where(col(OutboxEntry.key) == key)).first()
    return (entry, str(reader)) if entry is not None else None


def _build_stop(session: Session, entry: OutboxEntry) -> EmailStop:
    customer = session.get(CustomerRow, (entry.connection_id, entry.customer_id))
    connection = session.get_one(Connection, entry.connection_id)
    language, name = (
        recipient_language.company_language(session, connection),
        one_line(customer.name if customer else ""),
    )
    too_late = _too_late_reason(entry, load_texts(language_of(language).code)["stop"])
    return EmailStop(one_line(connection.name), name, one_line(entry.reason, 400), too_late, language)


def _too_late_reason(entry: OutboxEntry, texts: Mapping[str, str]) -> str:
    if entry.state in entries.UNSENT_STATES:
        return ""
    return (
        render_line(texts["email_rejected"], {"reason": entry.response})
        if entry.state == OutboxState.REJECTED
        else texts["email_already_sent"]
    )
