"""What belongs to emails: suppressed addresses, link tokens, events, replies, emails as sent, custom texts."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import JSON, Column, ForeignKeyConstraint, LargeBinary
from sqlmodel import Field

from connector.db.tables.columns import TableModel, enum_column, instant_column, text_column
from connector.vocabulary import ReplyKind, TokenPurpose


class SuppressedAddress(TableModel, table=True):
    """An address that no company emails: it bounced, the email service drops it, or its owner unsubscribed."""

    __tablename__: ClassVar[Any] = "suppressed_address"
    address: str = Field(primary_key=True)  # in lower case
    reason: str = text_column()
    since_at: datetime = instant_column(nullable=False)


class ContactToken(TableModel, table=True):
    """The unguessable part of a link in an email, or of a customer's reply address; only its hash is stored."""

    __tablename__: ClassVar[Any] = "contact_token"
    token_hash: str = Field(primary_key=True)
    connection_id: int = Field(foreign_key="connection.id")
    customer_id: str
    purpose: TokenPurpose = enum_column(TokenPurpose)
    salt: str = ""  # of a portal link: what the signature covers, so that each link of a customer is another one
    outbox_key: str = ""  # of a link that stops one email: which one
    recipient: str = ""  # and in whose digest the link is
    created_at: datetime = instant_column(nullable=False)
    expires_at: datetime | None = instant_column()  # of a portal link; the others do not expire
    revoked_at: datetime | None = instant_column()


class EmailEvent(TableModel, table=True):
    """An event of the email service, stored once, in whatever order and however late it arrives."""

    __tablename__: ClassVar[Any] = "email_event"
    id: str = Field(primary_key=True)  # the email service's
    key: str = Field(default="", index=True)  # the outbox key; "" where the event names none
    kind: str
    address: str = ""
    reference: str = ""
    refusal: str = ""  # of a failed delivery: what it is about, see RefusalCause
    at: datetime = instant_column(nullable=False)
    received_at: datetime = instant_column(nullable=False)


class ReceivedReply(TableModel, table=True):
    """An email from a customer, stored once however often it is delivered."""

    __tablename__: ClassVar[Any] = "received_reply"
    id: str = Field(primary_key=True)  # hash of its Message-ID and of the token it was sent to
    connection_id: int = Field(foreign_key="connection.id")
    customer_id: str
    kind: ReplyKind = enum_column(ReplyKind)
    pattern: str = text_column()  # its text without words with digits: an acknowledgement is known by it
    received_at: datetime = instant_column(nullable=False)


class SentEmail(TableModel, table=True):
    """An attempt to send an email, as it was sent: kept in the commit that marks its entry as being sent.

    ``content`` is compressed and encrypted, because an email holds its customer's links; see ``sent_emails.py``.
    """

    __tablename__: ClassVar[Any] = "sent_email"
    connection_id: int = Field(primary_key=True, foreign_key="connection.id")
    outbox_id: int = Field(primary_key=True)
    attempt: int = Field(primary_key=True)
    stored_at: datetime = instant_column(nullable=False)
    content: bytes = Field(sa_type=LargeBinary)
    __table_args__ = (
        ForeignKeyConstraint(["connection_id", "outbox_id"], ["outbox.connection_id", "outbox.id"], ondelete="CASCADE"),
    )


class EmailTemplate(TableModel, table=True):
    """The custom text of a step, for the installation or one connection; the newest row applies, "" resets it."""

    __tablename__: ClassVar[Any] = "email_template"
    id: int | None = Field(default=None, primary_key=True)
    connection_id: int | None = Field(default=None, foreign_key="connection.id")
    step: str
    language: str = ""  # "": every language
    document: str = text_column()
    set_by: str = ""
    set_at: datetime = instant_column(nullable=False)


class Brand(TableModel, table=True):
    """How one company looks in emails, statements and the portal; see ``connector.branding``.

    ``logo`` is a PNG and ``portrait`` a JPEG, both drawn by us; ``links`` are pairs of a text and an address.
    """

    __tablename__: ClassVar[Any] = "brand"
    connection_id: int = Field(primary_key=True, foreign_key="connection.id")
    accent_colour: str
    logo: bytes | None = Field(default=None, sa_type=LargeBinary)
    logo_width: int = 0
    logo_height: int = 0
    portrait: bytes | None = Field(default=None, sa_type=LargeBinary)
    signer_name: str = ""
    signature: str = text_column()
    legal_footer: str = text_column()
    links: list[list[str]] = Field(default=None, sa_column=Column(JSON, nullable=False))
    set_by: str = ""
    set_at: datetime = instant_column(nullable=False)


class DailyDigest(TableModel, table=True):
    """The one digest of a person on a day, over all their companies: the primary key refuses a second.

    ``outbox_id`` is the entry of the company whose sync sends it; ``included`` are the other companies that it speaks
    for, by id, each with a fingerprint of its alerts.
    """

    __tablename__: ClassVar[Any] = "daily_digest"
    recipient_key: str = Field(primary_key=True)  # of the address
    slot: str = Field(primary_key=True)  # the day, and its part of the world unless the person has chosen a time zone
    outbox_id: int = Field(foreign_key="outbox.id", index=True)
    included: dict[str, str] = Field(default=None, sa_column=Column(JSON, nullable=False))
