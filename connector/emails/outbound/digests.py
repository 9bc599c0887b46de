"""The one internal mail of a day: for each person who minds customers of a company, what leaves, left, and waits.

It is planned on business days, an hour before mails may leave, and only where there is something to say. What it says
is gathered at the moment it leaves (``digest_mail.py``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlmodel import Session, col

from connector import policy_store
from connector.connections import account_owners
from connector.db.tables import Connection, OutboxEntry, Task
from connector.geo import HolidayCalendar
from connector.outbox import entries
from connector.outbox.drafts import Draft, short_key
from connector.outbox.payloads import DigestItem, OwnerEmailPayload, invoice_ids
from connector.runtime.run_context import RunContext
from connector.settings import Settings
from connector.vocabulary import ConnectionMode, OutboxKind, TaskState
from policies.calendar import closed_reason, find_send_slot
from policies.decisions import NotifyOwner
from policies.receivables import Step
from policies.sections import SendWindow

KIND = OutboxKind.OWNER_EMAIL
SENT_STATES = ("done", "unconfirmed", "sending")
_DAYS_BACK_MAX = 10


@dataclass(frozen=True, slots=True)
class Recipients:
    """Who reads about whom: mail addresses, the owner of a customer first, then his sales rep."""

    team: account_owners.Team
    default_recipient: str

    def for_customer(self, customer_id: str) -> tuple[str, ...]:
        """Give the readers of a customer."""
        owner = _address_of(self.team.owner_of(customer_id)) or self.default_recipient
        rep = _address_of(self.team.sales_reps.get(customer_id, ""))
        return tuple(dict.fromkeys(each for each in (owner, rep) if each))

    def for_task(self, task: Task) -> tuple[str, ...]:
        """Give who is to do a task: the one it was given to, else the owner of its customer."""
        given = _address_of(task.owner)
        return (given,) if given else self.for_customer(task.customer_id)[:1]


def load_recipients(session: Session, connection: Connection, settings: Settings) -> Recipients:
    """Read who reads about whom in a company; who has no owner is the sender's."""
    return Recipients(account_owners.load_team(session, connection), settings.mail_reply_to or settings.mail_from)


def plan(
    ctx: RunContext,
    session: Session,
    connection: Connection,
    drafts: Sequence[Draft],
    notifications: Sequence[NotifyOwner],
    names: Any,
) -> list[Draft]:
    """Draft today's digests; while a company is only observed, there is nothing but what its owner is to be told."""
    readers = load_recipients(session, connection, ctx.app.settings)
    today, window = ctx.today(connection), _digest_window(session, connection)
    calendar, here = HolidayCalendar(), ZoneInfo(connection.time_zone)
    opens = find_send_slot(ctx.now(), here, connection.country, window, calendar)
    if opens.at is not None and opens.at.astimezone(here).date() != today:
        return []
    news = {reader for action in notifications for reader in readers.for_customer(action.customer_id)}
    if connection.mode != ConnectionMode.OBSERVE:
        leaving = [
            draft for draft in drafts if draft.kind == OutboxKind.EMAIL and sends_today(draft.send_after, today, here)
        ]
        news |= {reader for draft in leaving for reader in readers.for_customer(draft.customer_id)}
        news |= set(_recently_sent_recipients(session, connection, readers, today)) | set(
            _review_recipients(session, connection, readers, today)
        )
    made = [_draft_digest(ctx.ledger_key, reader, readers, notifications, names, today) for reader in sorted(news)]
    return [replace(draft, send_after=opens.at) for draft in made]


def sends_today(send_after: datetime | None, today: date, zone: ZoneInfo) -> bool:
    """Tell whether what may leave from an instant on may leave today."""
    return send_after is None or send_after.astimezone(zone).date() <= today


def last_business_day_start(session: Session, connection: Connection, today: date) -> datetime:
    """Give the beginning of the last business day before today: what left since then has not been told yet."""
    window, calendar = _digest_window(session, connection), HolidayCalendar()
    before = [today - timedelta(days=back) for back in range(1, _DAYS_BACK_MAX)]
    day = next((on for on in before if not closed_reason(on, connection.country, window, calendar)), before[-1])
    return datetime.combine(day, time(), ZoneInfo(connection.time_zone)).astimezone(UTC)


def list_recently_sent(session: Session, connection: Connection, today: date) -> list[OutboxEntry]:
    """List the mails to customers that left since the last business day, and before today."""
    until = datetime.combine(today, time(), ZoneInfo(connection.time_zone)).astimezone(UTC)
    query = select(OutboxEntry).where(
        col(OutboxEntry.connection_id) == connection.id,
        col(OutboxEntry.kind) == OutboxKind.EMAIL,
        col(OutboxEntry.state).in_(SENT_STATES),
        col(OutboxEntry.dispatched_at) >= last_business_day_start(session, connection, today),
        col(OutboxEntry.dispatched_at) < until,
    )
    return list(session.scalars(query.order_by(col(OutboxEntry.dispatched_at))))


def list_entries_to_review(session: Session, connection: Connection) -> list[OutboxEntry]:
    """List what waits for an approval, and doubts."""
    return _list_entries(session, connection, ("awaiting_approval", "unconfirmed"), ("email", "late_fee", "fee_waiver"))


def list_due_tasks(session: Session, connection: Connection, today: date) -> list[Task]:
    """List the open tasks that are due."""
    query = select(Task).where(
        col(Task.connection_id) == connection.id, col(Task.state) == TaskState.OPEN, col(Task.due_on) <= today
    )
    return list(session.scalars(query.order_by(col(Task.due_on), col(Task.id))))


def list_unsent_emails(session: Session, connection: Connection, today: date) -> list[OutboxEntry]:
    """List the mails to customers that leave, or may leave, today."""
    here = ZoneInfo(connection.time_zone)
    found = _list_entries(session, connection, entries.UNSENT_STATES, ("email",))
    return [entry for entry in found if sends_today(entry.send_after, today, here)]


def _list_entries(
    session: Session, connection: Connection, states: Collection[str], kinds: Collection[str]
) -> list[OutboxEntry]:
    query = select(OutboxEntry).where(
        col(OutboxEntry.connection_id) == connection.id,
        col(OutboxEntry.state).in_(states),
        col(OutboxEntry.kind).in_(kinds),
    )
    return list(session.scalars(query.order_by(col(OutboxEntry.id))))


def _recently_sent_recipients(
    session: Session, connection: Connection, recipients: Recipients, today: date
) -> Iterable[str]:
    for entry in list_recently_sent(session, connection, today):
        yield from recipients.for_customer(entry.customer_id)


def _review_recipients(session: Session, connection: Connection, recipients: Recipients, today: date) -> Iterable[str]:
    for entry in list_entries_to_review(session, connection):
        yield from recipients.for_customer(entry.customer_id)[:1]
    for task in list_due_tasks(session, connection, today):
        yield from recipients.for_task(task)


def _draft_digest(
    ledger_key: str,
    recipient: str,
    recipients: Recipients,
    notifications: Sequence[NotifyOwner],
    names: Any,
    today: date,
) -> Draft:
    """Draft one digest. The steps of what is told are taken by the owner's alone: his sales rep reads them as well."""
    items: list[DigestItem] = []
    for action in sorted(notifications, key=lambda action: (names[action.customer_id], action.currency)):
        if recipient in recipients.for_customer(action.customer_id):
            owned = recipient == recipients.for_customer(action.customer_id)[0]
            items.append(
                DigestItem(
                    customer=action.customer_id,
                    name=names[action.customer_id],
                    invoices=tuple(invoice_ids(action.completed)),
                    completed=action.completed if owned else (),
                )
            )
    ours = "" if recipient == recipients.default_recipient else f":{short_key(recipient)}"
    return Draft(
        key=f"{ledger_key}:owner_email:{today.isoformat()}{ours}",
        kind=KIND,
        customer_id="",
        step=Step.NOTIFY_OWNER.value,
        reason=_draft_reason(items, recipient),
        payload=OwnerEmailPayload(
            to=(recipient,),
            items=tuple(items),
            completed=tuple(pair for item in items for pair in item.completed),
        ),
    )


def _draft_reason(items: Sequence[DigestItem], recipient: str) -> str:
    if len(items) == 1:
        return f"{items[0].name} is late enough that the owner should know."
    if items:
        return f"{len(items)} customers are late enough that their owner should know."
    return f"The digest of the day for {recipient}."


def _digest_window(session: Session, connection: Connection) -> SendWindow:
    """Take the policy's window, an hour earlier: who reads in the morning can still stop a mail."""
    window = policy_store.get_policy(session, connection.id)[0].send_window
    return window.model_copy(update={"opens": window.opens.replace(hour=max(window.opens.hour - 1, 0))})


def _address_of(person: str) -> str:
    return account_owners.split_mailbox(person)[1] if person else ""
