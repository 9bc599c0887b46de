"""Emails as they were sent, kept with their outbox entries, so that what a customer received can be read again.

An email is stored in the commit that marks its entry as being sent, whatever happens after that. It holds its
customer's links, of which the database has only hashes elsewhere: it is encrypted, and so bound to its row. The files
attached to it are not kept: invoices are printed by the ledger again, and statements follow from it.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

import msgspec
from sqlalchemy import ColumnElement, delete, select
from sqlmodel import Session, col

from connector.db.tables import OutboxEntry, SentEmail
from connector.secrets.keyring import Keyring, KeyringError
from providers.mailer import Email, InlineImage

IMAGE_KEPT_BYTES_MAX = 16_000  # a QR code is kept with its email; a logo is looked up where it is still the same
_COMPRESSION_LEVEL = 6  # of zlib: an email of 30 kB takes a millisecond, and shrinks to a sixth


class AttachedFile(msgspec.Struct, frozen=True):
    """What is kept of a file that was attached to an email."""

    filename: str
    content_type: str
    size_bytes: int


class KeptImage(msgspec.Struct, frozen=True):
    """An image that the HTML shows; ``content`` is empty where it was too large to be kept with every email."""

    content_id: str
    content_type: str
    content: bytes = b""


class EmailContent(msgspec.Struct, frozen=True, kw_only=True):
    """All of an email but the content of its attachments."""

    sender: str
    sender_name: str
    reply_to: str
    to: tuple[str, ...]
    to_name: str
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()
    subject: str
    text: str
    html: str
    headers: tuple[tuple[str, str], ...] = ()
    attachments: tuple[AttachedFile, ...] = ()
    inline: tuple[KeptImage, ...] = ()


class KeptEmail(NamedTuple):
    """An attempt to send an email; ``content`` is None where no key of this installation decrypts it."""

    attempt: int
    stored_at: datetime
    content: EmailContent | None


def content_of(email: Email) -> EmailContent:
    """Return what is kept of an email."""
    return EmailContent(
        sender=email.sender,
        sender_name=email.sender_name,
        reply_to=email.reply_to,
        to=email.to,
        to_name=email.to_name,
        cc=email.cc,
        bcc=email.bcc,
        subject=email.subject,
        text=email.text,
        html=email.html,
        headers=email.headers,
        attachments=tuple(
            AttachedFile(each.filename, each.content_type, len(each.content)) for each in email.attachments
        ),
        inline=tuple(
            KeptImage(each.content_id, each.content_type, each.content)
            if len(each.content) <= IMAGE_KEPT_BYTES_MAX
            else KeptImage(each.content_id, each.content_type)
            for each in email.inline
        ),
    )


def embed_images(html: str, images: Iterable[KeptImage | InlineImage]) -> str:
    """Return the HTML with its images in it, for a page: there is no email that a ``cid:`` could be found in."""
    for image in images:
        if image.content:
            data = base64.b64encode(image.content).decode()
            html = html.replace(f"cid:{image.content_id}", f"data:{image.content_type};base64,{data}")
    return html


def keep(session: Session, keyring: Keyring, entry: OutboxEntry, email: Email, *, at: datetime) -> None:
    """Keep the email that an entry, just marked as being sent, is about to send."""
    row = SentEmail(
        connection_id=entry.connection_id, outbox_id=entry.id or 0, attempt=entry.attempts, stored_at=at, content=b""
    )
    packed = zlib.compress(msgspec.json.encode(content_of(email)), _COMPRESSION_LEVEL)
    row.content = keyring.encrypt(packed, encryption_context(row))
    session.add(row)


def forget_attempt(session: Session, entry: OutboxEntry) -> None:
    """Delete what was kept of an entry's last attempt, because nothing was sent by it."""
    session.execute(
        delete(SentEmail).where(*_of_entry(entry.connection_id, entry.id), col(SentEmail.attempt) == entry.attempts)
    )


def load_kept(session: Session, keyring: Keyring, connection_id: int, entry_id: int) -> list[KeptEmail]:
    """Return what was sent for an outbox entry, the last attempt first."""
    query = select(SentEmail).where(*_of_entry(connection_id, entry_id))
    rows = session.scalars(query.order_by(col(SentEmail.attempt).desc()))
    return [KeptEmail(row.attempt, row.stored_at, _unpack(keyring, row)) for row in rows]


def encryption_context(row: SentEmail) -> str:
    """Return what an email's encryption is bound to."""
    return f"sent_email:{row.connection_id}:{row.outbox_id}:{row.attempt}"


def _unpack(keyring: Keyring, row: SentEmail) -> EmailContent | None:
    try:
        packed = keyring.decrypt(row.content, encryption_context(row))
    except KeyringError:
        return None
    return msgspec.json.decode(zlib.decompress(packed), type=EmailContent)


def _of_entry(connection_id: int, entry_id: int | None) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return col(SentEmail.connection_id) == connection_id, col(SentEmail.outbox_id) == entry_id
