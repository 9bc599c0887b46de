"""The email of an outbox entry: as it was sent, or as it would be composed now; and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import select
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.branding.brand import load_brand
from connector.db.engine import reading
from connector.db.tables import EmailEvent, OutboxEntry
from connector.emails.outbound import digest_slots, sent_emails
from connector.emails.outbound.email_look import content_id
from connector.emails.outbound.sent_emails import EmailContent, KeptEmail
from connector.outbox.entries import EMAIL_KINDS, UNSENT_STATES
from connector.outbox.payloads import EmailPayload, load_payload
from connector.results import Result, optional
from connector.services import email_preview
from connector.services.invoice_recipients import RecipientItem
from connector.vocabulary import OutboxState
from connector.vocabulary.labels import in_sentence, label
from policies.formatting import format_datetime

_EVENTS_MAX = 200
_NOT_KEPT = "This email is not kept any more: its retention period is over, or its customer was erased."
_DIGEST_NOT_KEPT = "A sent digest is not kept: it is about all companies of its reader, which others do not all see."
_NEVER_SENT = "This email was not sent."
_NO_KEY = "This email cannot be read: the key it was encrypted with is not one of this installation's keys."


class AttachmentItem(Result):
    """A file attached to an email."""

    filename: str
    content_type: str
    size_bytes: int


class EmailEventItem(Result):
    """What the email service reported about an email, and for which recipient; ``kind`` is its own word."""

    kind: str
    address: str
    at: datetime


class EntryEmail(Result):
    """An email as it was sent (``sent_at`` is when), or as it would be sent now; ``attempts`` are those that are kept.

    A planned email has neither payment links nor invoice PDFs yet, unless they are known from an earlier one: the
    accounting system is asked for them when it is sent.
    """

    sender: str
    sender_name: str
    reply_to: str
    to: list[str]
    cc: list[str]
    bcc: list[str]
    subject: str
    text: str
    html: str
    attachments: list[AttachmentItem]
    sent_at: datetime | None = None
    attempt: int | None = None
    was_rejected: bool = False  # by the email service: this attempt reached nobody
    attempts: list[int] = optional([])
    events: list[EmailEventItem] = optional([])
    recipients: list[RecipientItem] = optional([])  # of an email to a customer

    def reason_for(self, address: str) -> str:
        """Return why an address gets it, "" where that is not known."""
        return next((each.reason for each in self.recipients if each.address == address), "")


def load_email(app: AppContext, entry: OutboxEntry, *, attempt: int | None = None) -> EntryEmail:
    """Return an entry's email: what was sent, by the last attempt or a certain one; else what would be sent.

    Raises ``PreviewError`` where there is neither.
    """
    kept, events = _read(app, entry)
    if entry.state in UNSENT_STATES and attempt is None:
        content, shown = sent_emails.content_of(email_preview.preview_email(app, entry)), None
    elif kept:
        shown = next((each for each in kept if each.attempt == attempt), None) if attempt else kept[0]
        content = _content_of(shown)
    elif entry.state == OutboxState.UNCONFIRMED:
        content, shown = sent_emails.content_of(email_preview.preview_email(app, entry)), None
    else:
        raise email_preview.PreviewError(_why_not_kept(entry))
    item = _as_item(_with_pictures(app, entry, content), shown, [each.attempt for each in reversed(kept)], events)
    email = _with_recipients(item, entry)
    was_rejected = entry.state == OutboxState.REJECTED and shown is kept[0]
    return email.model_copy(update={"was_rejected": was_rejected})


def load_editable_email(app: AppContext, entry: OutboxEntry) -> tuple[EntryEmail, dict[str, str]]:
    """Return an unsent email to a customer, and the lines of it that a user may edit. Raises ``PreviewError``."""
    kept, events = _read(app, entry)
    email, lines = email_preview.preview_editable_email(app, entry)
    content = _with_pictures(app, entry, sent_emails.content_of(email))
    item = _as_item(content, None, [each.attempt for each in reversed(kept)], events)
    return _with_recipients(item, entry), lines


def find_email(app: AppContext, entry: OutboxEntry, *, attempt: int | None = None) -> tuple[EntryEmail | None, str]:
    """Return an entry's email, or None and why there is none to show; that is "" for what is no email."""
    if entry.kind not in EMAIL_KINDS:
        return None, ""
    try:
        return load_email(app, entry, attempt=attempt), ""
    except email_preview.PreviewError as error:
        return None, str(error)


def format_email(email: EntryEmail, time_zone: str = "UTC") -> list[str]:
    """Return an email as lines of text, with what became of it."""
    zone = ZoneInfo(time_zone)
    tried = "Rejected by the email service" if email.was_rejected else "Sent"
    state = f"{tried} {format_datetime(email.sent_at.astimezone(zone))}" if email.sent_at else "As it would be sent now"
    rows = [
        ("State", state),
        ("From", f"{email.sender_name} <{email.sender}>"),
        ("To", _format_recipients(email, email.to)),
        ("Cc", _format_recipients(email, email.cc)),
        ("Bcc", _format_recipients(email, email.bcc)),
        ("Reply to", email.reply_to),
        ("Subject", email.subject),
        *(("Attached", f"{each.filename} ({format_size(each.size_bytes)})") for each in email.attachments),
        *(
            (label(each.kind, "email_status"), f"{format_datetime(each.at.astimezone(zone))} {each.address}")
            for each in email.events
        ),
    ]
    return [*(f"{name + ':':<10} {value}" for name, value in rows if value), "", email.text.rstrip()]


def _format_recipients(email: EntryEmail, addresses: Sequence[str]) -> str:
    reasons = {each: in_sentence(email.reason_for(each)) for each in addresses}
    return ", ".join(f"{each} ({reasons[each]})" if reasons[each] else each for each in addresses)


def _with_recipients(email: EntryEmail, entry: OutboxEntry) -> EntryEmail:
    """Add why each address gets an email to a customer."""
    payload = load_payload(entry)
    if not isinstance(payload, EmailPayload):
        return email
    fields = {"to": email.to, "cc": email.cc, "bcc": email.bcc}
    recipients = [
        RecipientItem(address=each, field=field, reason=label(payload.role_of(each), "recipient_role"))
        for field, addresses in fields.items()
        for each in addresses
    ]
    return email.model_copy(update={"recipients": recipients})


def format_size(size_bytes: int) -> str:
    """Return a file's size as people write it: ``84 kB``."""
    return f"{size_bytes / 1_000_000:.1f} MB" if size_bytes >= 1_000_000 else f"{max(1, round(size_bytes / 1000))} kB"


def _read(app: AppContext, entry: OutboxEntry) -> tuple[list[KeptEmail], list[EmailEventItem]]:
    with reading(app.engine) as session:
        kept = sent_emails.load_kept(session, app.keyring, entry.connection_id, entry.id or 0)
        return kept, _list_events(session, entry)


def _why_not_kept(entry: OutboxEntry) -> str:
    if entry.state == OutboxState.REJECTED:
        return _NEVER_SENT
    return _DIGEST_NOT_KEPT if digest_slots.is_digest(entry) else _NOT_KEPT


def _content_of(kept: KeptEmail | None) -> EmailContent:
    if kept is None:
        raise email_preview.PreviewError(_NOT_KEPT)
    if kept.content is None:
        raise email_preview.PreviewError(_NO_KEY)
    return kept.content


def _with_pictures(app: AppContext, entry: OutboxEntry, content: EmailContent) -> EmailContent:
    """Return an email with the pictures that are not kept with it, as far as they are still those of its company."""
    if all(each.content for each in content.inline):
        return content
    with reading(app.engine) as session:
        brand = load_brand(session, entry.connection_id)
    known = {content_id(each): each.content for each in (brand.logo, brand.portrait) if each is not None}
    images = [
        msgspec.structs.replace(each, content=each.content or known.get(each.content_id, b""))
        for each in content.inline
    ]
    return msgspec.structs.replace(content, inline=tuple(images))


def _as_item(
    content: EmailContent, kept: KeptEmail | None, attempts: list[int], events: list[EmailEventItem]
) -> EntryEmail:
    return EntryEmail(
        sender=content.sender,
        sender_name=content.sender_name,
        reply_to=content.reply_to,
        to=list(content.to),
        cc=list(content.cc),
        bcc=list(content.bcc),
        subject=content.subject,
        text=content.text,
        html=sent_emails.embed_images(content.html, content.inline),
        attachments=[
            AttachmentItem(filename=each.filename, content_type=each.content_type, size_bytes=each.size_bytes)
            for each in content.attachments
        ],
        sent_at=kept.stored_at if kept else None,
        attempt=kept.attempt if kept else None,
        attempts=attempts,
        events=events,
    )


def _list_events(session: Session, entry: OutboxEntry) -> list[EmailEventItem]:
    query = select(EmailEvent).where(col(EmailEvent.key) == entry.key).order_by(col(EmailEvent.at), col(EmailEvent.id))
    rows = session.scalars(query.limit(_EVENTS_MAX))
    return [EmailEventItem(kind=row.kind, address=row.address, at=row.at) for row in rows]
