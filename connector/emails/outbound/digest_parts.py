"""What a digest says about each company: the emails of today, what was sent, what needs attention, who is overdue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, SQLColumnExpression, func, or_, select
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.db.tables import Connection, CustomerSetting, OutboxEntry, Task
from connector.emails.layout import LinkedLine
from connector.emails.outbound import digest_slots, digests
from connector.emails.outbound.digest_text import DigestText
from connector.geo import today_in
from connector.outbox.payloads import DigestItem, OwnerEmailPayload, payload_as
from connector.plain_text import one_line, safe_link
from connector.vocabulary import ConnectionHealth, ConnectionMode, TaskState

LINE_LENGTH_MAX = 400


@dataclass(slots=True)
class CompanyPart:
    """A company's part of a digest; ``is_own`` where the reader is its default account owner."""

    connection: Connection
    text: DigestText
    to_send: list[OutboxEntry]
    sent: list[LinkedLine]
    to_review: list[LinkedLine]
    overdue: list[LinkedLine]
    is_own: bool

    @property
    def has_news(self) -> bool:
        """Whether there is anything to report."""
        return bool(self.to_send or self.sent or self.to_review or self.overdue)


def collect_parts(
    app: AppContext, session: Session, entry: OutboxEntry, language: str, *, all_companies: bool
) -> list[CompanyPart]:
    """Collect the parts of the entry's company or all the reader's as things stand now, the entry's first."""
    payload = payload_as(OwnerEmailPayload, entry)
    [recipient] = payload.to
    items = {entry.connection_id: payload.items}
    for connection, row in digest_slots.find_peers(session, entry) if all_companies else ():
        items[connection.id or 0] = payload_as(OwnerEmailPayload, row).items
    companies = {
        each.id: each
        for each in (_list_companies(app, session, recipient) if all_companies else ())
        if digest_slots.belongs_to(each, payload.slot)
    }
    wanted = [entry.connection_id, *(each for each in {*items, *companies} if each != entry.connection_id)]
    found = [companies.get(each) or session.get_one(Connection, each) for each in wanted]
    parts = [_collect(app, session, each, recipient, items.get(each.id or 0, ()), language) for each in found]
    return [parts[0], *sorted(parts[1:], key=lambda part: part.connection.name)]


def _list_companies(app: AppContext, session: Session, recipient: str) -> list[Connection]:
    """List the acting companies in which somebody reads about customers or has tasks."""

    def contains(column: SQLColumnExpression[str]) -> ColumnElement[bool]:
        return column.icontains(recipient, autoescape=True)

    named = select(col(CustomerSetting.connection_id)).where(
        or_(contains(col(CustomerSetting.owner)), contains(col(CustomerSetting.sales_rep)))
    )
    assigned = select(col(Task.connection_id)).where(col(Task.state) == TaskState.OPEN, contains(col(Task.owner)))
    is_default = recipient == digests.default_recipient(app.settings)
    is_theirs = [contains(col(Connection.owner)), *([col(Connection.owner) == ""] if is_default else [])]
    query = select(Connection).where(
        or_(*is_theirs, col(Connection.id).in_(named), col(Connection.id).in_(assigned)),
        col(Connection.mode) != ConnectionMode.OBSERVE,
        col(Connection.health) != ConnectionHealth.DISCONNECTED,
        col(Connection.pause_reason) == "",
    )
    return list(session.scalars(query.order_by(func.lower(col(Connection.name)), col(Connection.id))))


def _collect(
    app: AppContext,
    session: Session,
    connection: Connection,
    recipient: str,
    items: Sequence[DigestItem],
    language: str,
) -> CompanyPart:
    now: datetime = app.now()
    today, base = today_in(connection.time_zone, now), app.settings.duewell_base_url
    recipients = digests.load_recipients(session, connection, app.settings)
    text = DigestText(session, connection, language, today)

    def theirs(entries: Sequence[OutboxEntry], *, owner_only: bool = False) -> list[OutboxEntry]:
        last = 1 if owner_only else None
        return [each for each in entries if recipient in recipients.for_customer(each.customer_id)[:last]]

    def lines(rows: Sequence[OutboxEntry], write: Callable[[OutboxEntry], str]) -> list[LinkedLine]:
        return [_line(write(each), f"{base}/outbox/{each.id}") for each in rows]

    to_review = lines(theirs(digests.list_entries_to_review(session, connection), owner_only=True), text.pending_entry)
    tasks = digests.list_due_tasks(session, connection, today)
    to_review += [
        _line(text.task_line(each), f"{base}/tasks/{each.id}")
        for each in tasks
        if recipient in recipients.for_task(each)
    ]
    return CompanyPart(
        connection,
        text,
        to_send=theirs(digests.list_unsent_emails(session, connection, today)),
        sent=lines(theirs(digests.list_recently_sent(session, connection, today)), text.sent_email),
        to_review=to_review,
        overdue=[
            _line(text.overdue_customer(each), f"{base}/companies/{connection.id}/customers/{each.customer}")
            for each in items
        ],
        is_own=recipient in recipients.for_customer(""),
    )


def _line(text: str, link: str) -> LinkedLine:
    return LinkedLine(one_line(text, LINE_LENGTH_MAX), safe_link(link))
