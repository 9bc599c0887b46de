"""The daily internal email for each account owner: what is sent, what was sent, what needs attention.

Each company plans its part on business days, an hour before emails may be sent or when the reader wants it, and only
where there is something to report. The parts of a person are sent as one email (``digest_slots.py``); its content is
collected when it is sent (``digest_email.py``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlmodel import Session, col

from connector import policy_store
from connector.auth.preferences import DEFAULT, load_preferences
from connector.connections import account_owners
from connector.db.tables import Connection, OutboxEntry, Task
from connector.emails.outbound import digest_slots
from connector.geo import HolidayCalendar
from connector.outbox import entries
from connector.outbox.drafts import Draft, short_key
from connector.outbox.payloads import DigestItem, OwnerEmailPayload, invoice_ids
from connector.runtime.run_context import RunContext
from connector.settings import Settings
from connector.vocabulary import ConnectionMode, OutboxKind, OutboxState, TaskState
from policies.calendar import closed_reason
from policies.decisions import NotifyOwner
from policies.receivables import Step
from policies.sections import SendWindow

SENT_STATES = (OutboxState.DONE, OutboxState.UNCONFIRMED, OutboxState.SENDING)
REVIEW_STATES = (OutboxState.AWAITING_APPROVAL, OutboxState.UNCONFIRMED)
REVIEW_KINDS = (OutboxKind.EMAIL, OutboxKind.LATE_FEE, OutboxKind.FEE_WAIVER)
_DAYS_BACK_MAX = 10


@dataclass(frozen=True, slots=True)
class Recipients:
    """Who reads about which customer: the email address of the account owner first, then of the sales rep."""

    team: account_owners.Team
    default_recipient: str

    def for_customer(self, customer_id: str) -> tuple[str, ...]:
        """Return the addresses for a customer."""
        owner = _address_of(self.team.owner_of(customer_id)) or self.default_recipient
        rep = _address_of(self.team.sales_reps.get(customer_id, ""))
        return tuple(dict.fromkeys(each for each in (owner, rep) if each))

    def for_task(self, task: Task) -> tuple[str, ...]:
        """Return the address of the assignee of a task, else of its customer's account owner."""
        assignee = _address_of(task.owner)
        return (assignee,) if assignee else self.for_customer(task.customer_id)[:1]


def default_recipient(settings: Settings) -> str:
    """Return who reads about customers without an account owner: the sender."""
    return (settings.mail_reply_to or settings.mail_from).lower()


def load_recipients(session: Session, connection: Connection, settings: Settings) -> Recipients:
    """Return who reads about which customer of a company."""
    return Recipients(account_owners.load_team(session, connection), default_recipient(settings))


def plan(
    ctx: RunContext,
    session: Session,
    connection: Connection,
    emails: Sequence[Draft | OutboxEntry],
    notifications: Sequence[NotifyOwner],
    names: Mapping[str, str],
) -> list[Draft]:
    """Draft today's digests; ``emails`` are those planned, ``names`` the customers' names by their ids.

    While a company is only observed, digests contain account-owner alerts alone.
    """
    recipients = load_recipients(session, connection, ctx.app.settings)
    today, window = ctx.today(connection), digest_window(session, connection)
    zone = ZoneInfo(connection.time_zone)
    addresses = {each for action in notifications for each in recipients.for_customer(action.customer_id)}
    if connection.mode != ConnectionMode.OBSERVE:
        to_send = [
            each for each in emails if each.kind == OutboxKind.EMAIL and sends_today(each.send_after, today, zone)
        ]
        addresses |= {each for email in to_send for each in recipients.for_customer(email.customer_id)}
        addresses |= set(_recently_sent_recipients(session, connection, recipients, today))
        addresses |= set(_review_recipients(session, connection, recipients, today))
    preferred = load_preferences(session, addresses)
    drafts: list[Draft] = []
    for address in sorted(addresses):
        preferences = preferred.get(address.lower(), DEFAULT)
        when = digest_slots.digest_time(ctx.now(), connection, window, preferences)
        draft = _draft_digest(ctx.ledger_key, address, recipients, notifications, names, when) if when else None
        # Who has switched the digest off is only noted to have been alerted
        if draft is not None and not (preferences.digest_off and not draft.payload.completed):
            drafts.append(draft)
    return drafts


def sends_today(send_after: datetime | None, today: date, zone: ZoneInfo) -> bool:
    """Return whether an email that may be sent after an instant may be sent today."""
    return send_after is None or send_after.astimezone(zone).date() <= today


def last_business_day_start(session: Session, connection: Connection, today: date) -> datetime:
    """Return when the last business day before today began: what was sent since then has not been reported yet."""
    window, calendar = digest_window(session, connection), HolidayCalendar()
    before = [today - timedelta(days=back) for back in range(1, _DAYS_BACK_MAX)]
    day = next((on for on in before if not closed_reason(on, connection.country, window, calendar)), before[-1])
    return datetime.combine(day, time(), ZoneInfo(connection.time_zone)).astimezone(UTC)


def list_recently_sent(session: Session, connection: Connection, today: date) -> list[OutboxEntry]:
    """Return the emails to customers sent since the last business day, and before today."""
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
    """Return what awaits approval, and what has an unconfirmed delivery."""
    return _list_entries(session, connection, REVIEW_STATES, REVIEW_KINDS)


def list_due_tasks(session: Session, connection: Connection, today: date) -> list[Task]:
    """Return the open tasks that are due."""
    query = select(Task).where(
        col(Task.connection_id) == connection.id, col(Task.state) == TaskState.OPEN, col(Task.due_on) <= today
    )
    return list(session.scalars(query.order_by(col(Task.due_on), col(Task.id))))


def list_unsent_emails(session: Session, connection: Connection, today: date) -> list[OutboxEntry]:
    """Return the emails to customers that are, or may be, sent today."""
    zone = ZoneInfo(connection.time_zone)
    found = _list_entries(session, connection, entries.UNSENT_STATES, (OutboxKind.EMAIL,))
    return [entry for entry in found if sends_today(entry.send_after, today, zone)]


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
    names: Mapping[str, str],
    when: digest_slots.DigestTime,
) -> Draft:
    """Draft one digest. The owner's completes the alerts' steps; the sales rep's only reports them."""
    items: list[DigestItem] = []
    for action in sorted(notifications, key=lambda action: (names[action.customer_id], action.currency)):
        readers = recipients.for_customer(action.customer_id)
        if recipient in readers:
            items.append(
                DigestItem(
                    customer=action.customer_id,
                    name=names[action.customer_id],
                    invoices=tuple(invoice_ids(action.completed)),
                    completed=action.completed if recipient == readers[0] else (),
                )
            )
    suffix = "" if recipient == recipients.default_recipient else f":{short_key(recipient)}"
    return Draft(
        key=f"{ledger_key}:{OutboxKind.OWNER_EMAIL}:{when.on.isoformat()}{suffix}",
        kind=OutboxKind.OWNER_EMAIL,
        customer_id="",
        step=Step.NOTIFY_OWNER.value,
        reason=_draft_reason(items, recipient),
        send_after=when.send_after,
        payload=OwnerEmailPayload(
            to=(recipient,),
            items=tuple(items),
            slot=when.slot,
            completed=tuple(pair for item in items for pair in item.completed),
        ),
    )


def _draft_reason(items: Sequence[DigestItem], recipient: str) -> str:
    if len(items) == 1:
        return f"{items[0].name} is overdue: account-owner alert."
    if items:
        return f"{len(items)} customers are overdue: account-owner alert."
    return f"Daily digest for {recipient}."


def digest_window(session: Session, connection: Connection) -> SendWindow:
    """Return the policy's send window an hour earlier, so that readers can still stop an email."""
    window = policy_store.get_policy(session, connection.id)[0].send_window
    return window.model_copy(update={"opens": window.opens.replace(hour=max(window.opens.hour - 1, 0))})


def _address_of(mailbox: str) -> str:
    """Return the address in lower case: in every company, and however somebody wrote it, a person gets one digest."""
    return account_owners.split_mailbox(mailbox)[1].lower() if mailbox else ""
