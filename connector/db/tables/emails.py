"""What mails leave behind: links and tokens, events, replies, suppressed addresses, people's own words."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from sqlmodel import Field, SQLModel

from connector.db.tables.columns import enum_column, instant_column, text_column
from connector.vocabulary import ReplyKind, TokenPurpose


class SuppressedAddress(SQLModel, table=True):
    """An address that gets no mail, in any company: the mail system drops it, it bounced, or its owner said no."""

    __tablename__: ClassVar[Any] = "suppressed_address"
    address: str = Field(primary_key=True)  # in lower case
    reason: str = text_column()
    since_at: datetime = instant_column(nullable=False)


class ContactToken(SQLModel, table=True):
    """What a mail carries so that its reader can answer: the unguessable part of a link or of the reply address."""

    __tablename__: ClassVar[Any] = "contact_token"
    token: str = Field(primary_key=True)
    connection_id: int = Field(foreign_key="connection.id")
    customer_id: str
    purpose: TokenPurpose = enum_column(TokenPurpose)
    created_at: datetime = instant_column(nullable=False)
    expires_at: datetime | None = instant_column()  # of the customer's own page; the others stay good
    revoked_at: datetime | None = instant_column()


class EmailEvent(SQLModel, table=True):
    """What the mail system told of a mail, once per event, whatever the order and however late."""

    __tablename__: ClassVar[Any] = "email_event"
    id: str = Field(primary_key=True)  # the mail system's own
    key: str = Field(default="", index=True)  # the outbox key; "" where the event names none
    kind: str
    address: str = ""
    reference: str = ""
    at: datetime = instant_column(nullable=False)
    received_at: datetime = instant_column(nullable=False)


class ReceivedReply(SQLModel, table=True):
    """A mail that came back from a customer: it counts once, however often it is handed to us."""

    __tablename__: ClassVar[Any] = "received_reply"
    id: str = Field(primary_key=True)  # fingerprint of its Message-ID, and of the token it came to
    connection_id: int = Field(foreign_key="connection.id")
    customer_id: str
    kind: ReplyKind = enum_column(ReplyKind)
    received_at: datetime = instant_column(nullable=False)


class EmailTemplate(SQLModel, table=True):
    """A step's own words of this installation or of one connection; the newest row counts, an empty one is none."""

    __tablename__: ClassVar[Any] = "email_template"
    id: int | None = Field(default=None, primary_key=True)
    connection_id: int | None = Field(default=None, foreign_key="connection.id")
    step: str
    language: str = ""  # "": every language
    document: str = text_column()
    set_by: str = ""
    set_at: datetime = instant_column(nullable=False)
