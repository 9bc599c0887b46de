"""What was said between a customer and the company: what they reported in the portal, and the emails they got."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.db.tables import OutboxEntry, PortalResponse
from connector.emails.outbound import sent_emails
from connector.emails.portal_links import PortalVisitor
from connector.portal.response_context import own_customer_ids
from connector.portal.responses import REPEATED, StoredResponse, describe
from connector.vocabulary import OutboxKind, OutboxState, ResponseState

SHOWN_MAX = 20


class HistoryItem(NamedTuple):
    """One thing that was said: a response of the customer, or the subject of an email to them."""

    at: datetime
    response: StoredResponse | None = None
    subject: str = ""


def load_responses(app: AppContext, session: Session, visitor: PortalVisitor) -> list[StoredResponse]:
    """Return what the customer reported, the newest first; what they took back included."""
    query = (
        select(PortalResponse)
        .where(
            col(PortalResponse.connection_id) == visitor.connection_id,
            col(PortalResponse.customer_id).in_(own_customer_ids(session, visitor)),
            col(PortalResponse.state).in_([ResponseState.SENT, ResponseState.UNDONE]),
            col(PortalResponse.result) != REPEATED,
        )
        .order_by(col(PortalResponse.responded_at).desc(), col(PortalResponse.id).desc())
        .limit(SHOWN_MAX)
    )
    now = app.now()
    return [describe(row, now) for row in session.scalars(query)]


def load_history(app: AppContext, session: Session, visitor: PortalVisitor) -> list[HistoryItem]:
    """Return the last things that were said, the newest first."""
    said = [HistoryItem(each.responded_at, each) for each in load_responses(app, session, visitor) if each.responded_at]
    query = (
        select(OutboxEntry)
        .where(
            col(OutboxEntry.connection_id) == visitor.connection_id,
            col(OutboxEntry.customer_id).in_(own_customer_ids(session, visitor)),
            col(OutboxEntry.kind) == OutboxKind.EMAIL,
            col(OutboxEntry.state) == OutboxState.DONE,
        )
        .order_by(col(OutboxEntry.ended_at).desc())
        .limit(SHOWN_MAX)
    )
    emails = [
        HistoryItem(entry.ended_at, subject=_subject(app, session, entry))
        for entry in session.scalars(query)
        if entry.ended_at is not None
    ]
    items = [each for each in (*said, *emails) if each.response is not None or each.subject]
    return sorted(items, key=lambda each: each.at, reverse=True)[:SHOWN_MAX]


def _subject(app: AppContext, session: Session, entry: OutboxEntry) -> str:
    """Return the subject that the customer read; "" where the email is no longer kept."""
    kept = sent_emails.load_kept(session, app.keyring, entry.connection_id, entry.id or 0)
    return next((each.content.subject for each in kept if each.content is not None), "")
