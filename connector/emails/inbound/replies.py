"""What a customer's reply does: the chase waits for the days the policy says, and a person gets its words as a task."""

from __future__ import annotations

import hashlib
from datetime import timedelta

from sqlmodel import Session

from connector import policy_store
from connector.app_context import AppContext
from connector.arrangements import review_tasks
from connector.arrangements.customer_settings import apply_settings
from connector.db.engine import writing
from connector.db.tables import Connection, CustomerRow, CustomerSetting, ReceivedReply
from connector.emails import contact_tokens
from connector.emails.inbound.reply_parsing import Reply
from connector.geo import today_in
from connector.plain_text import one_line
from connector.vocabulary import LogKind, ReplyKind, TaskCode, TokenPurpose
from policies.formatting import format_date


def reply_address(app: AppContext, session: Session, connection_id: int, customer_id: str) -> str:
    """Give the address at which a customer's replies are known as his; "" where no domain brings replies to us."""
    domain = app.settings.mail_reply_domain
    if not domain:
        return ""
    token = contact_tokens.get_token(app, session, connection_id, customer_id, TokenPurpose.REPLY)
    return f"reply+{token}@{domain}"


def receive_reply(app: AppContext, reply: Reply) -> str:
    """Record an incoming email and return what it was: "reply", "auto_reply", "duplicate" or "unknown" (no recipient)."""
    outcome = "unknown"
    with writing(app.engine) as session:
        for token, domain in reply.to:
            if domain != app.settings.mail_reply_domain:
                continue
            customer = contact_tokens.find_customer(session, token, TokenPurpose.REPLY)
            if customer is not None:
                outcome = _record_reply(app, session, customer, reply)
    return outcome


def _record_reply(app: AppContext, session: Session, customer: CustomerRow, reply: Reply) -> str:
    known_by = hashlib.sha256(f"{reply.id} {customer.connection_id} {customer.external_id}".encode()).hexdigest()
    if session.get(ReceivedReply, known_by) is not None:
        return "duplicate"
    kind, name = ReplyKind.AUTO_REPLY if reply.automatic_reason else ReplyKind.REPLY, one_line(customer.name)
    row = ReceivedReply(
        id=known_by,
        connection_id=customer.connection_id,
        customer_id=customer.external_id,
        kind=kind,
        received_at=app.now(),
    )
    session.add(row)
    if reply.automatic_reason:
        text = f"An automatic answer came back from {name} ({reply.automatic_reason}): the chase goes on."
    else:
        text = f"{name} replied to a mail; a person gets it as a task. {_pause_reminders(app, session, customer)}"
        reason = f"{name} ({reply.sender}) replied, “{reply.subject}”: {reply.text}"
        review_tasks.create_review_task(
            app, session, customer, code=TaskCode.REPLY, recurrence_key=known_by[:16], reason=reason
        )
    review_tasks.log_for_customer(app, session, customer, kind=LogKind(kind), text=text)
    return kind


def _pause_reminders(app: AppContext, session: Session, customer: CustomerRow) -> str:
    """Leave the customer in peace for the policy's days; a longer pause that a person set stays."""
    policy, _version = policy_store.get_active_policy(session, customer.connection_id).for_customer(
        customer.external_id
    )
    if policy.replies.pause_days == 0:
        return "The policy lets the chase go on."
    now = app.now()
    today = today_in(session.get_one(Connection, customer.connection_id).time_zone, now)
    until = today + timedelta(days=policy.replies.pause_days)
    setting = session.get(CustomerSetting, (customer.connection_id, customer.external_id))
    if setting is not None and setting.hold_until_on is not None and setting.hold_until_on >= until:
        return f"He is paused until {format_date(setting.hold_until_on)} already."
    here = (customer.connection_id, customer.external_id)
    apply_settings(session, *here, {"hold_until_on": until}, by="A reply by mail", at=now)
    return f"The chase waits until {format_date(until)}."
