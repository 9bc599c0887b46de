"""What a customer's reply does: reminders are paused for some days, and the account owner gets it as a task."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from enum import StrEnum

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


class ReplyOutcome(StrEnum):
    """What an email that came back turned out to be."""

    REPLY = "reply"
    AUTO_REPLY = "auto_reply"
    DUPLICATE = "duplicate"  # stored before
    UNKNOWN = "unknown"  # to no address of ours


def reply_address(app: AppContext, session: Session, connection_id: int, customer_id: str) -> str:
    """Return the customer's own reply address; "" where no domain is set up to receive replies."""
    domain = app.settings.mail_reply_domain
    if not domain:
        return ""
    token = contact_tokens.get_token(app, session, connection_id, customer_id, TokenPurpose.REPLY)
    return f"reply+{token}@{domain}"


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


def _record_reply(app: AppContext, session: Session, customer: CustomerRow, reply: Reply) -> ReplyOutcome:
    fingerprint = hashlib.sha256(f"{reply.id} {customer.connection_id} {customer.external_id}".encode()).hexdigest()
    if session.get(ReceivedReply, fingerprint) is not None:
        return ReplyOutcome.DUPLICATE
    kind = ReplyKind.AUTO_REPLY if reply.automatic_reason else ReplyKind.REPLY
    name = one_line(customer.name)
    row = ReceivedReply(
        id=fingerprint,
        connection_id=customer.connection_id,
        customer_id=customer.external_id,
        kind=kind,
        received_at=app.now(),
    )
    session.add(row)
    if reply.automatic_reason:
        text = f"An automatic reply came from {name} ({reply.automatic_reason}): reminders continue."
    else:
        text = f"{name} replied to an email; a task was created. {_pause_reminders(app, session, customer)}"
        reason = f"{name} ({reply.sender}) replied, “{reply.subject}”: {reply.text}"
        review_tasks.create_review_task(
            app, session, customer, code=TaskCode.REPLY, recurrence_key=fingerprint[:16], reason=reason
        )
    review_tasks.log_for_customer(app, session, customer, kind=LogKind(kind), text=text)
    return ReplyOutcome(kind)


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
