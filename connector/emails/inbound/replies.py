"""What a customer's reply does: reminders are paused for some days, and the account owner gets it as a task.

All emails of a customer on one day stand in one task, the newest first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import timedelta
from enum import StrEnum

from sqlalchemy import func, select
from sqlmodel import Session, col

from connector import policy_store
from connector.app_context import AppContext
from connector.arrangements import review_tasks
from connector.arrangements.customer_settings import apply_settings
from connector.connections import mailboxes
from connector.db.engine import reading, writing
from connector.db.tables import Connection, CustomerRow, CustomerSetting, OutboxEntry, ReceivedReply, Task
from connector.emails import contact_tokens
from connector.emails.inbound.auto_replies import is_same_acknowledgement, pattern_of
from connector.emails.inbound.reply_parsing import Reply
from connector.geo import today_in
from connector.plain_text import one_line
from connector.vocabulary import LogKind, OutboxKind, ReplyKind, TaskCode, TaskState, TokenPurpose
from policies.formatting import format_date

# A help desk acknowledges within minutes, at length and in the same words; a person who writes "Paid" twice does not.
_INSTANT = timedelta(minutes=10)
_ACKNOWLEDGEMENT_LENGTH_MIN = 60
_COMPARED_MAX = 20
_TASK_LENGTH_MAX = 12_000  # characters of a task that holds several emails
_OMITTED = "More emails came within an hour than are read here. Ask them what else they wrote."
_UNREADABLE = "sent an email that could not be read here. Ask them what they wrote."


class ReplyOutcome(StrEnum):
    """What an email that came back turned out to be."""

    REPLY = "reply"
    AUTO_REPLY = "auto_reply"
    DUPLICATE = "duplicate"  # stored before
    UNKNOWN = "unknown"  # to no address of ours


def reply_address(app: AppContext, session: Session, connection_id: int, customer_id: str) -> str:
    """Return the customer's own reply address, or that of the mailbox where replies are read; "" without either."""
    domain = app.settings.mail_reply_domain
    if not domain:
        return mailboxes.reply_address(app, session)
    token = contact_tokens.get_token(app, session, connection_id, customer_id, TokenPurpose.REPLY)
    return f"reply+{token}@{domain}"


def known_tokens(app: AppContext, tokens: Iterable[str]) -> list[str]:
    """Return those of the tokens that belong to a customer's reply address."""
    with reading(app.engine) as session:
        return [each for each in tokens if contact_tokens.find_customer(session, each, TokenPurpose.REPLY) is not None]


def record_omitted(app: AppContext, tokens: Iterable[str]) -> None:
    """Note in the customers' tasks of today that more emails came than are read."""
    with writing(app.engine) as session:
        for token in tokens:
            customer = contact_tokens.find_customer(session, token, TokenPurpose.REPLY)
            task = _find_open_task(app, session, customer, TaskCode.REPLY) if customer is not None else None
            if task is not None and not task.reason.startswith(_OMITTED):
                task.reason = _merge_texts(_OMITTED, task.reason)
            elif task is None and customer is not None:
                _add_to_task(app, session, customer, TaskCode.REPLY, app.now().isoformat(), _OMITTED)


def receive_reply(app: AppContext, reply: Reply) -> ReplyOutcome:
    """Store an email that came back and return what it was."""
    outcome = ReplyOutcome.UNKNOWN
    with writing(app.engine) as session:
        for token, domain in reply.to:
            if domain != app.settings.mail_reply_domain:
                continue
            customer = contact_tokens.find_customer(session, token, TokenPurpose.REPLY)
            if customer is not None:
                outcome = _record_reply(app, session, customer, reply)
    return outcome


def receive_answer(app: AppContext, reply: Reply, customers: Iterable[tuple[int, str]]) -> ReplyOutcome:
    """Store an email that answers one to these customers (connection and customer id), and return what it was."""
    outcome = ReplyOutcome.UNKNOWN
    with writing(app.engine) as session:
        for connection_id, customer_id in customers:
            customer = contact_tokens.current_customer(session, connection_id, customer_id)
            if customer is not None:
                outcome = _record_reply(app, session, customer, reply)
    return outcome


def _record_reply(app: AppContext, session: Session, customer: CustomerRow, reply: Reply) -> ReplyOutcome:
    fingerprint = hashlib.sha256(f"{reply.id} {customer.connection_id} {customer.external_id}".encode()).hexdigest()
    if session.get(ReceivedReply, fingerprint) is not None:
        return ReplyOutcome.DUPLICATE
    pattern, name = pattern_of(reply.text), one_line(customer.name)
    repeated = reply.readable and _is_repeated(session, customer, pattern)
    acknowledged = (
        repeated and len(pattern) >= _ACKNOWLEDGEMENT_LENGTH_MIN and _was_emailed_lately(app, session, customer)
    )
    kind = ReplyKind.AUTO_REPLY if reply.automatic_reason or acknowledged else ReplyKind.REPLY
    session.add(
        ReceivedReply(
            id=fingerprint,
            connection_id=customer.connection_id,
            customer_id=customer.external_id,
            kind=kind,
            pattern=pattern,
            received_at=app.now(),
        )
    )
    writer = f"{name} ({reply.sender})" if reply.sender else name
    if not reply.readable:
        text = f"{name} {_UNREADABLE} {_pause_reminders(app, session, customer)}"
        task, reason = TaskCode.REPLY, f"{name} {_UNREADABLE}"
    elif kind is ReplyKind.REPLY:
        text = f"{name} replied to an email; a task was created. {_pause_reminders(app, session, customer)}"
        task, reason = TaskCode.REPLY, f"{writer} replied{_quote(reply)}"
    else:
        shown = reply.automatic_reason or "it repeats an earlier one"
        text = f"An automatic reply came from {name} ({shown}): reminders continue."
        task, reason = TaskCode.AUTO_REPLY, f"An automatic reply came from {writer}{_quote(reply)}"
    if kind is ReplyKind.REPLY or not repeated:  # a person reads every text once, also a machine's
        _add_to_task(app, session, customer, task, fingerprint[:16], reason)
    review_tasks.log_for_customer(app, session, customer, kind=LogKind(kind), text=text)
    return ReplyOutcome(kind)


def _quote(reply: Reply) -> str:
    """Return what a reply says, to follow who wrote it; what is attached is named, as it is not kept here."""
    subject = f", “{reply.subject}”" if reply.subject else ""
    attached = f"\nAttached, and not kept here: {', '.join(reply.attachments)}" if reply.attachments else ""
    return f"{subject}: {reply.text or '(no text)'}{attached}"


def _add_to_task(
    app: AppContext, session: Session, customer: CustomerRow, code: TaskCode, recurrence_key: str, reason: str
) -> None:
    """Add an email to the customer's open task of today, before those that came earlier, or create that task."""
    task = _find_open_task(app, session, customer, code)
    if task is not None:
        task.reason = _merge_texts(reason, task.reason)
        return
    review_tasks.create_review_task(app, session, customer, code=code, recurrence_key=recurrence_key, reason=reason)


def _find_open_task(app: AppContext, session: Session, customer: CustomerRow, code: TaskCode) -> Task | None:
    today = today_in(session.get_one(Connection, customer.connection_id).time_zone, app.now())
    query = select(Task).where(
        col(Task.connection_id) == customer.connection_id,
        col(Task.customer_id) == customer.external_id,
        col(Task.code) == code,
        col(Task.state) == TaskState.OPEN,
        col(Task.due_on) == today,
    )
    return session.scalars(query.order_by(col(Task.id).desc()).limit(1).with_for_update()).first()


def _merge_texts(newest: str, earlier: str) -> str:
    merged = f"{newest}\n\nBefore that: {earlier}"
    return merged if len(merged) <= _TASK_LENGTH_MAX else merged[: _TASK_LENGTH_MAX - 1] + "…"


def _is_repeated(session: Session, customer: CustomerRow, pattern: str) -> bool:
    """Whether nearly the same text came from this customer before."""
    earlier = session.scalars(
        select(col(ReceivedReply.pattern))
        .where(
            col(ReceivedReply.connection_id) == customer.connection_id,
            col(ReceivedReply.customer_id) == customer.external_id,
        )
        .order_by(col(ReceivedReply.received_at).desc())
        .limit(_COMPARED_MAX)
    )
    return any(is_same_acknowledgement(pattern, each) for each in earlier)


def _was_emailed_lately(app: AppContext, session: Session, customer: CustomerRow) -> bool:
    """Whether an email was sent to the customer so recently that no person has read and answered it yet."""
    sent_at = session.scalar(
        select(func.max(OutboxEntry.dispatched_at)).where(
            col(OutboxEntry.connection_id) == customer.connection_id,
            col(OutboxEntry.customer_id) == customer.external_id,
            col(OutboxEntry.kind) == OutboxKind.EMAIL,
        )
    )
    return sent_at is not None and app.now() - sent_at <= _INSTANT


def _pause_reminders(app: AppContext, session: Session, customer: CustomerRow) -> str:
    """Pause the customer's reminders for the days in the policy, and describe it; a longer pause stays as it is."""
    policy, _version = policy_store.get_active_policy(session, customer.connection_id).for_customer(
        customer.external_id
    )
    if policy.replies.pause_days == 0:
        return "Reminders continue, as the policy says."
    now = app.now()
    today = today_in(session.get_one(Connection, customer.connection_id).time_zone, now)
    until = today + timedelta(days=policy.replies.pause_days)
    setting = session.get(CustomerSetting, (customer.connection_id, customer.external_id))
    if setting is not None and setting.hold_until_on is not None and setting.hold_until_on >= until:
        return f"Their reminders are already paused until {format_date(setting.hold_until_on)}."
    key = (customer.connection_id, customer.external_id)
    apply_settings(session, *key, {"hold_until_on": until}, by="A reply by email", at=now)
    return f"Reminders are paused until {format_date(until)}."
