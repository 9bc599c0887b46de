"""The link in a digest with which an account owner stops one email before it is sent."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.db.engine import reading, writing
from connector.db.tables import Connection, ContactToken, CustomerRow, OutboxEntry
from connector.emails import contact_tokens, recipient_language
from connector.emails.layout import Lines, load_texts, render_line
from connector.languages import language_of
from connector.outbox import approvals, entries
from connector.plain_text import one_line
from connector.vocabulary import OutboxState, TokenPurpose


class EmailStop(NamedTuple):
    """The email a link is about; ``too_late_reason`` is why it can no longer be stopped, "" while it can.

    ``language`` is that of the digest's readers.
    """

    company: str
    customer: str
    reason: str
    too_late_reason: str
    language: str


class EmailStopLink(NamedTuple):
    """A link in a digest, and what it stands for; it works once its token is stored."""

    link: str
    token: ContactToken


def email_stop_link(app: AppContext, entry: OutboxEntry, recipient: str) -> EmailStopLink:
    """Return the link for one outbox entry and one reader of digests; it is the same in each digest."""
    token = contact_tokens.sign_token(app, f"{TokenPurpose.EMAIL_STOP}:{entry.key}:{recipient}")
    row = contact_tokens.build_row(app, token, entry.connection_id, entry.customer_id, TokenPurpose.EMAIL_STOP)
    row.outbox_key, row.recipient = entry.key, recipient
    return EmailStopLink(f"{app.settings.duewell_base_url}/stop-mail/{token}", row)


def store_links(session: Session, links: Iterable[EmailStopLink]) -> None:
    """Store the tokens of links before they are sent, so that they work whatever becomes of the key.

    A digest is about all companies of its reader: the run of another one may be storing the same at this moment.
    """
    for _link, token in links:
        if session.get(ContactToken, token.token_hash) is None:
            with suppress(IntegrityError), session.begin_nested():
                session.add(token)


def find_stop(app: AppContext, token: str) -> EmailStop | None:
    """Return the email a link is about; None for an unknown link. Changes nothing."""
    with reading(app.engine) as session:
        found = _find_entry(session, token)
        return _build_stop(session, found[0]) if found is not None else None


def stop_email(app: AppContext, token: str) -> EmailStop | None:
    """Reject the email so that it is never sent; the customer's next step is not affected."""
    with writing(app.engine) as session:
        found = _find_entry(session, token)
        if found is None:
            return None
        entry, recipient = found
        stop = _build_stop(session, entry)
        if not stop.too_late_reason:
            approvals.reject(session, [entry.id or 0], by=f"{recipient} (link in the digest)", at=app.now())
        return stop


def _find_entry(session: Session, token: str) -> tuple[OutboxEntry, str] | None:
    row = contact_tokens.find_row(session, token, TokenPurpose.EMAIL_STOP)
    if row is None or row.revoked_at is not None:
        return None
    entry = session.scalars(select(OutboxEntry).where(col(OutboxEntry.key) == row.outbox_key)).first()
    return (entry, row.recipient) if entry is not None else None


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
