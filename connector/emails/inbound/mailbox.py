"""Reads the connected mailbox for what answers our emails: replies, and reports that one could not be delivered.

It is somebody's own mailbox. A message is read only where it names one of our emails, or may be a delivery report; one
that turns out to be about something else leaves no trace here, neither in the database nor in a log. What is taken goes
the way of the replies and events that SendGrid posts, and counts once, because the Message-ID is its identity there.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlmodel import Session, col

from connector import bounded_work
from connector.app_context import AppContext
from connector.bounded_work import Work, WorkFailed
from connector.connections import mailboxes
from connector.db.engine import reading
from connector.db.tables import ConnectedMailbox, ErasedCustomer, OutboxEntry
from connector.emails import message_ids
from connector.emails.inbound import events, replies
from connector.emails.inbound.received_message import KEPT_BYTES, DeliveryReport, ReceivedMessage
from connector.emails.inbound.reply_parsing import unreadable_reply
from connector.emails.inbound.shared_domains import SHARED_DOMAINS
from connector.outbox.payloads import EmailPayload, load_payload
from connector.vocabulary import OutboxKind
from providers.calls import CallObserver
from providers.delivery_events import DeliveryEvent, EventKind, bounce_cause
from providers.errors import PermanentError, ProviderError, ReplyTooLarge
from providers.mailbox import Arrival, Mailbox

READ_EVERY = timedelta(minutes=10)  # the syncs of all companies share the mailbox
LOOK_BACK_MAX = timedelta(days=30)  # where the service no longer knows up to where it was read
_OVERLAP = timedelta(days=1)
_READING_MAX = timedelta(minutes=2)  # a full mailbox must not hold up the reminders
_CLAIM = timedelta(minutes=15)
_READING_S = 5.0
_REFERENCES_MAX = 100
_ANSWERED_WITHIN = timedelta(days=120)
_ACTIONS = {"failed": EventKind.BOUNCE, "delayed": EventKind.DEFERRED, "delivered": EventKind.DELIVERED}
log = logging.getLogger("duewell.mailbox")


def read_mailbox(app: AppContext, row: ConnectedMailbox, calls: CallObserver | None = None) -> int:
    """Read what came into a mailbox since the last time, unless that was minutes ago; return how much was taken.

    Raises:
        ProviderError: it cannot be read now; what was read is not read again.

    """
    now = app.now()
    if row.provider not in app.mailboxes or app.mailboxes[row.provider].missing_settings(app.settings):
        return 0
    if not mailboxes.claim_reading(app, row, due_before=now - READ_EVERY, until=now + _CLAIM):
        return 0
    finished_at = None
    try:
        taken, is_complete = _read_pages(app, row, mailboxes.open_mailbox(app, row, calls), now)
        finished_at = now if is_complete else None
    finally:
        mailboxes.end_reading(app, row, read_at=finished_at)
    return taken


def _read_pages(app: AppContext, row: ConnectedMailbox, mailbox: Mailbox, now: datetime) -> tuple[int, bool]:
    """Return how much was taken, and whether all was read: the sync must go on, and the next one continues."""
    since_at = max((row.read_at or row.connected_at) - _OVERLAP, now - LOOK_BACK_MAX)
    own = {row.address.lower(), app.settings.mail_from.lower()}  # a copy of ours to the mailbox itself is no answer
    taken = 0
    for page in mailbox.list_arrivals(row.cursor, since_at):
        for arrival in page.arrivals:
            if arrival.sender.lower() not in own:
                taken += _take_safely(app, mailbox, arrival)
        mailboxes.store_position(app, row, page.cursor)
        if app.now() - now > _READING_MAX:
            return taken, False
    return taken, True


def _take_safely(app: AppContext, mailbox: Mailbox, arrival: Arrival) -> bool:
    """Take in a message; an odd one on which our own code fails stops neither the others nor the sync."""
    try:
        return _take(app, mailbox, arrival)
    except (ProviderError, OperationalError):  # these concern all of them, not what somebody wrote
        raise
    except Exception as fault:  # noqa: BLE001 - logged without its text and trace, which may quote private email
        log.error("a message could not be taken in (%s); please report this", type(fault).__name__)  # noqa: TRY400
        return False


def _take(app: AppContext, mailbox: Mailbox, arrival: Arrival) -> bool:
    """Take in a message that answers one of our emails; return whether it does."""
    with reading(app.engine) as session:
        answered = find_answered(session, arrival.references, app.now())
    if not answered and not arrival.may_be_report:
        return False
    try:
        content = mailbox.read_arrival(arrival.id)
    except (PermanentError, ReplyTooLarge) as problem:  # this one message only
        log.warning("a message could not be read: %s", problem)
        return bool(answered) and _take_unreadable(app, arrival.id.encode(), answered)
    if content is None:
        return False
    try:
        request = bounded_work.Request(Work.READ_MESSAGE, content[:KEPT_BYTES], _READING_S)
        message = bounded_work.worker.run(request, ReceivedMessage)
    except WorkFailed as problem:
        log.warning("a message could not be read (%s)", problem)
        return bool(answered) and _take_unreadable(app, content, answered)
    return _receive(app, message, arrival)


def _take_unreadable(app: AppContext, identity: bytes, answered: list[OutboxEntry]) -> bool:
    """Keep that somebody answered, though not what they wrote."""
    unreadable = unreadable_reply(hashlib.sha256(identity).hexdigest(), (), "")
    return replies.receive_answer(app, unreadable, _customers(answered)) == replies.ReplyOutcome.REPLY


def _receive(app: AppContext, message: ReceivedMessage, arrival: Arrival) -> bool:
    # a service that gives our emails other Message-IDs knows from their conversation which of them is meant
    message = replace(message, references=(*message.references, *arrival.references))
    with reading(app.engine) as session:
        answered = find_answered(session, message.references, app.now())
    if message.is_report:
        reported = _events(message, answered[:1], arrival.received_at)
        events.receive_events(app, reported)
        return bool(reported)
    own_domain = app.settings.mail_from.rpartition("@")[2]
    customers = _customers(each for each in answered if _is_answer(message, each, own_domain))
    return bool(customers) and replies.receive_answer(app, message.reply, customers) != replies.ReplyOutcome.DUPLICATE


def find_answered(session: Session, references: Iterable[str], now: datetime) -> list[OutboxEntry]:
    """Return the emails of ours with these Message-IDs, in their order, whichever service sent them.

    Those to erased customers are left out: nothing they write is kept.
    """
    wanted = list(dict.fromkeys(message_ids.possible_ids(references).values()))
    if not wanted:
        return []
    sent = select(OutboxEntry).where(
        col(OutboxEntry.message_id_part).in_(wanted[:_REFERENCES_MAX]),
        col(OutboxEntry.dispatched_at) >= now - _ANSWERED_WITHIN,
    )
    found = {entry.message_id_part: entry for entry in session.scalars(sent)}
    entries = (found[part] for part in wanted if part in found)
    return [each for each in entries if session.get(ErasedCustomer, (each.connection_id, each.customer_id)) is None]


def _is_answer(message: ReceivedMessage, entry: OutboxEntry, own_domain: str) -> bool:
    """Return whether a message answers this email, and not only belongs to its conversation.

    The mailbox's owner may have sent the email on to a colleague or a lawyer, whose answer is nobody else's business.
    """
    if entry.given_message_id in message.in_reply_to:
        return True
    if message_ids.local_part(entry.key) in message_ids.possible_ids(message.in_reply_to).values():
        return True
    payload = load_payload(entry)
    recipients = [each.lower() for each in (*payload.to, *payload.cc)] if isinstance(payload, EmailPayload) else []
    domains = {domain for each in recipients if (domain := each.rpartition("@")[2]) not in SHARED_DOMAINS}
    sender = message.reply.sender.lower()
    return sender in recipients or sender.rpartition("@")[2] in domains - {own_domain.lower()}


def _customers(answered: Iterable[OutboxEntry]) -> list[tuple[int, str]]:
    """Return whom the emails went to; a thread of several customers belongs to that of the email answered."""
    of_customers = [(each.connection_id, each.customer_id) for each in answered if each.kind == OutboxKind.EMAIL]
    return of_customers[:1]


def _events(message: ReceivedMessage, answered: list[OutboxEntry], at: datetime) -> list[DeliveryEvent]:
    return [
        event
        for entry in answered
        for number, report in enumerate(message.reports)
        if (event := _event(message, entry, number, report, at)) is not None
    ]


def _event(
    message: ReceivedMessage, entry: OutboxEntry, number: int, report: DeliveryReport, at: datetime
) -> DeliveryEvent | None:
    """Return a report as an event; None for one that says neither that nor why an email arrived or not.

    A server may know the recipient by another address than the one that was written to. Anybody who got the email could
    forge a report: so it says something only about an address that the email went to.
    """
    payload = load_payload(entry)
    recipients = [each.lower() for each in payload.recipients] if isinstance(payload, EmailPayload) else []
    address = next((each for each in report.addresses if each in recipients), "")
    if not address and len(recipients) == 1:
        address = recipients[0]
    kind = _ACTIONS.get(report.action)
    if kind is None or not address:
        return None
    refusal = None
    if kind is EventKind.BOUNCE:
        lasting = not report.status.startswith("4")
        refusal = bounce_cause("bounce" if lasting else "expired", report.status, "", report.diagnostic)
        kind = EventKind.BOUNCE if lasting else EventKind.BLOCKED
    return DeliveryEvent(
        id=f"report:{message.reply.id[:40]}:{number}",
        kind=kind,
        address=address,
        at=at,
        key=entry.key,
        message_id=_message_id(message, entry),
        reason=" ".join(filter(None, [report.status, report.diagnostic])),
        suppresses_address=refusal == "address",
        refusal=refusal,
    )


def _message_id(message: ReceivedMessage, entry: OutboxEntry) -> str:
    """Return the Message-ID by which a report names an email of ours."""
    part = message_ids.local_part(entry.key)
    return next((full for full, own in message_ids.possible_ids(message.references).items() if own == part), "")
