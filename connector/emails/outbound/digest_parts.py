"""What a digest says about each company: the emails of today, what was sent, what needs attention, who is overdue."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import TypeVar

from sqlalchemy import ColumnElement, SQLColumnExpression, func, or_, select
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.db.tables import Connection, CustomerSetting, OutboxEntry, Task
from connector.emails.layout import LinkedLine
from connector.emails.outbound import digest_slots, digests
from connector.emails.outbound.digest_text import DigestText
from connector.geo import today_in
from connector.outbox.payloads import DigestItem, OwnerEmailPayload, invoice_ids, load_payload, payload_as
from connector.plain_text import one_line, safe_link
from connector.vocabulary import ConnectionHealth, ConnectionMode, TaskState

LINE_LENGTH_MAX = 400
_Subject = TypeVar("_Subject")


@dataclass(slots=True)
class DigestEvent:
    """What a line of a digest may be about; the line is written only if it is shown.

    ``weight`` is the amount times the days it is overdue, by which lines are ordered; ``entry`` is the email that the
    reader may still stop.
    """

    weight: Decimal
    write: Callable[[], LinkedLine]
    entry: OutboxEntry | None = None


@dataclass(slots=True)
class CompanyPart:
    """A company's part of a digest; ``is_own`` where the reader is its default account owner."""

    connection: Connection
    text: DigestText
    to_review: list[DigestEvent]
    overdue: list[DigestEvent]
    to_send: list[DigestEvent]
    sent: list[DigestEvent]
    is_own: bool

    @property
    def has_news(self) -> bool:
        """Whether there is anything to report."""
        return bool(self.to_send or self.sent or self.to_review or self.overdue)

    def events(self, kind: str) -> list[DigestEvent]:
        """Return the events of a kind, by the name of their field."""
        return {"to_review": self.to_review, "overdue": self.overdue, "to_send": self.to_send, "sent": self.sent}[kind]

    @property
    def weight(self) -> tuple[bool, Decimal]:
        """By which companies are ordered: first those that need the reader, the most overdue money first."""
        return bool(self.to_review), sum((each.weight for each in (*self.to_review, *self.overdue)), Decimal(0))


def collect_parts(
    app: AppContext, session: Session, entry: OutboxEntry, language: str, *, all_companies: bool
) -> list[CompanyPart]:
    """Collect the parts of the entry's company or all the reader's as things stand now, the most urgent first."""
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
    return sorted(parts, key=lambda part: part.weight, reverse=True)


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

    def events(rows: Iterable[OutboxEntry], write: Callable[[OutboxEntry], str]) -> list[DigestEvent]:
        return [
            DigestEvent(
                text.weigh(invoice_ids(load_payload(each).completed)),
                partial(_line, write, each, f"{base}/outbox/{each.id}"),
                each,
            )
            for each in rows
        ]

    pending = theirs(digests.list_entries_to_review(session, connection), owner_only=True)
    pending_ids = {each.id for each in pending}
    tasks = [
        DigestEvent(text.weigh(each.invoice_ids), partial(_line, text.task_line, each, f"{base}/tasks/{each.id}"))
        for each in digests.list_due_tasks(session, connection, today)
        if recipient in recipients.for_task(each)
    ]
    customers = f"{base}/companies/{connection.id}/customers"
    overdue = [
        DigestEvent(
            text.weigh(each.invoices), partial(_line, text.overdue_customer, each, f"{customers}/{each.customer}")
        )
        for each in items
    ]
    to_send = theirs(digests.list_unsent_emails(session, connection, today))
    return CompanyPart(
        connection,
        text,
        to_review=_order([*events(pending, text.pending_entry), *tasks]),
        overdue=_order(overdue),
        # What the reader is to approve is not sent unless they do: it is in their list above
        to_send=_order(events((each for each in to_send if each.id not in pending_ids), text.email_to_send)),
        sent=_order(events(theirs(digests.list_recently_sent(session, connection, today)), text.sent_email)),
        is_own=recipient in recipients.for_customer(""),
    )


def _order(events: Iterable[DigestEvent]) -> list[DigestEvent]:
    return sorted(events, key=lambda each: each.weight, reverse=True)


def _line(write: Callable[[_Subject], str], subject: _Subject, link: str) -> LinkedLine:
    return LinkedLine(one_line(write(subject), LINE_LENGTH_MAX), safe_link(link))
