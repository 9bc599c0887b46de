"""What a customer's reply does: the chase waits for the days the policy says, and a person gets its words as a task."""

from __future__ import annotations

import hashlib
from datetime import timedelta

from sqlmodel import Session

from connector import policies_store
from connector.access import bookkeeper
from connector.database import writing
from connector.installation import Installation
from connector.letters import contact_tokens
from connector.letters.plain_text import one_line
from connector.letters.reply_reading import Reply
from connector.mirror.places import today_in
from connector.people.customers import change_settings
from connector.tables import Connection, CustomerRow, CustomerSetting, ReceivedReply
from policies.wording import day


def reply_address(installation: Installation, session: Session, connection_id: int, customer_id: str) -> str:
    """Give the address at which a customer's replies are known as his; "" where no domain brings replies to us."""
    domain = installation.settings.mail_reply_domain
    if not domain:
        return ""
    token = contact_tokens.token_for(installation, session, connection_id, customer_id, contact_tokens.REPLY)
    return f"reply+{token}@{domain}"


def receive(installation: Installation, reply: Reply) -> str:
    """Take a mail in, and say what it was: "reply", "automatic", "again" (known already) or "unknown" (to nobody)."""
    outcome = "unknown"
    with writing(installation.engine) as session:
        for token, domain in reply.to:
            if domain != installation.settings.mail_reply_domain:
                continue
            customer = contact_tokens.customer_of(session, token, contact_tokens.REPLY)
            if customer is not None:
                outcome = _take(installation, session, customer, reply)
    return outcome


def _take(installation: Installation, session: Session, customer: CustomerRow, reply: Reply) -> str:
    known_by = hashlib.sha256(f"{reply.id} {customer.connection_id} {customer.external_id}".encode()).hexdigest()
    if session.get(ReceivedReply, known_by) is not None:
        return "again"
    kind, name = "automatic" if reply.automatic else "reply", one_line(customer.name)
    row = ReceivedReply(
        id=known_by,
        connection_id=customer.connection_id,
        customer_id=customer.external_id,
        kind=kind,
        received_at=installation.now(),
    )
    session.add(row)
    if reply.automatic:
        text = f"An automatic answer came back from {name} ({reply.automatic}): the chase goes on."
    else:
        text = f"{name} replied to a mail; a person gets it as a task. {_pause(installation, session, customer)}"
        why = f"{name} ({reply.sender}) replied, “{reply.subject}”: {reply.text}"
        bookkeeper.ask(installation, session, customer, code="reply", occasion=known_by[:16], why=why)
    bookkeeper.tell(installation, session, customer, kind=kind, text=text)
    return kind


def _pause(installation: Installation, session: Session, customer: CustomerRow) -> str:
    """Leave the customer in peace for the policy's days; a longer pause that a person set stays."""
    policy, _version = policies_store.in_force(session, customer.connection_id).of(customer.external_id)
    if policy.replies.pause_days == 0:
        return "The policy lets the chase go on."
    now = installation.now()
    today = today_in(session.get_one(Connection, customer.connection_id).time_zone, now)
    until = today + timedelta(days=policy.replies.pause_days)
    setting = session.get(CustomerSetting, (customer.connection_id, customer.external_id))
    if setting is not None and setting.hold_until_on is not None and setting.hold_until_on >= until:
        return f"He is paused until {day(setting.hold_until_on)} already."
    changes, here = {"hold_until_on": until}, (customer.connection_id, customer.external_id)
    change_settings(session, *here, changes, by="A reply by mail", at=now)
    return f"The chase waits until {day(until)}."
