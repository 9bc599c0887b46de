"""Users with their sessions and passkeys, API tokens, and webhook endpoints."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import JSON, Column, Index, LargeBinary, UniqueConstraint
from sqlmodel import Field

from connector.db.tables.columns import TableModel, enum_column, instant_column, text_column
from connector.vocabulary import DeliveryState, Role


class User(TableModel, table=True):
    """A person who signs in. An owner may do everything; others do what their role and companies allow."""

    __tablename__: ClassVar[Any] = "app_user"
    id: int | None = Field(default=None, primary_key=True)
    email: str = Field(unique=True)  # in lower case
    name: str = ""
    password_hash: str = text_column()  # "" until the user has chosen one
    role: Role = enum_column(Role)
    all_companies: bool = True
    disabled_at: datetime | None = instant_column()
    created_at: datetime = instant_column(nullable=False)
    signed_in_at: datetime | None = instant_column()
    passkey_only: bool = False  # the password alone is not accepted
    oidc_subject: str = ""  # the user's id at the single sign-on service, after the first sign-in through it
    time_zone: str = ""  # in which pages and the digest show times; "": each company's own
    digest_at: str = ""  # when the morning digest is sent, as 07:30; "": an hour before emails may be sent
    digest_off: bool = False


class UserCompany(TableModel, table=True):
    """A company that a user without ``all_companies`` may see."""

    __tablename__: ClassVar[Any] = "user_company"
    user_id: int = Field(primary_key=True, foreign_key="app_user.id")
    connection_id: int = Field(primary_key=True, foreign_key="connection.id")


class WebSession(TableModel, table=True):
    """A browser that is signed in; only a hash of the cookie's token is stored."""

    __tablename__: ClassVar[Any] = "web_session"
    token_hash: str = Field(primary_key=True)
    user_id: int = Field(foreign_key="app_user.id", index=True)
    started_at: datetime = instant_column(nullable=False)
    seen_at: datetime = instant_column(nullable=False)
    reauthenticated_at: datetime | None = instant_column()  # dangerous actions ask for the password or passkey again
    ip_address: str = ""  # where the session started, so that the user recognises it
    browser: str = ""


class Passkey(TableModel, table=True):
    """The public half of a key on a user's device that replaces the password."""

    id: str = Field(primary_key=True)  # the credential's id, URL-safe base64
    user_id: int = Field(foreign_key="app_user.id", index=True)
    public_key: bytes = Field(sa_type=LargeBinary)
    sign_count: int = 0
    name: str = ""
    created_at: datetime = instant_column(nullable=False)
    used_at: datetime | None = instant_column()


class UsedChallenge(TableModel, table=True):
    """A challenge or state of a sign-in that was used: it is valid once. Deleted when it would have expired anyway."""

    __tablename__: ClassVar[Any] = "used_challenge"
    challenge_hash: str = Field(primary_key=True)
    used_at: datetime = instant_column(nullable=False, index=True)


class SignInLink(TableModel, table=True):
    """A single-use link to choose a password: for the first owner, a new user or a forgotten password.

    The demo's link ``signs_in_directly``, without a password.
    """

    __tablename__: ClassVar[Any] = "sign_in_link"
    token_hash: str = Field(primary_key=True)
    user_id: int | None = Field(default=None, foreign_key="app_user.id")  # NULL: creates the first owner
    created_at: datetime = instant_column(nullable=False)
    expires_at: datetime = instant_column(nullable=False)
    used_at: datetime | None = instant_column()
    signs_in_directly: bool = False


class SignInAttempt(TableModel, table=True):
    """A failed sign-in, for the attempt limits; deleted after a day."""

    __tablename__: ClassVar[Any] = "sign_in_attempt"
    id: int | None = Field(default=None, primary_key=True)
    at: datetime = instant_column(nullable=False, index=True)
    ip_address: str  # where it came from
    email: str


class ApiToken(TableModel, table=True):
    """A token for ``/api/v1``; only its hash is stored."""

    __tablename__: ClassVar[Any] = "api_token"
    id: int | None = Field(default=None, primary_key=True)
    name: str
    token_hash: str = Field(unique=True)
    prefix: str  # its first characters, so that a user recognises it
    scopes: str  # members of TokenScope, separated by spaces
    companies: list[int] | None = Field(default=None, sa_column=Column(JSON))  # ids it is limited to; NULL: all
    expires_at: datetime | None = instant_column()
    created_by: str
    created_at: datetime = instant_column(nullable=False)
    used_at: datetime | None = instant_column()
    revoked_at: datetime | None = instant_column()


class ApiRequest(TableModel, table=True):
    """A change requested under an ``Idempotency-Key``: repeated, it gets the same response."""

    __tablename__: ClassVar[Any] = "api_request"
    token_id: int = Field(primary_key=True, foreign_key="api_token.id")
    key: str = Field(primary_key=True)
    fingerprint: str
    status: int = 0  # 0: under way
    response: str = text_column()
    started_at: datetime = instant_column(nullable=False, index=True)


class WebhookEndpoint(TableModel, table=True):
    """A URL that receives events; ``last_seen_log_id`` is the last log entry that was considered for it.

    ``secret`` signs what is sent. It and the URL, whose path is often a secret itself, are encrypted and bound to this
    row.
    """

    __tablename__: ClassVar[Any] = "webhook_endpoint"
    id: int | None = Field(default=None, primary_key=True)
    url: bytes = Field(default=b"", sa_type=LargeBinary)
    secret: bytes = Field(default=b"", sa_type=LargeBinary)
    events: list[str] | None = Field(default=None, sa_column=Column(JSON))  # names; NULL: all
    companies: list[int] | None = Field(default=None, sa_column=Column(JSON))  # ids; NULL: all
    last_seen_log_id: int = 0
    stop_reason: str = text_column()  # "" while it receives events
    created_by: str
    created_at: datetime = instant_column(nullable=False)


class WebhookDelivery(TableModel, table=True):
    """One event for one endpoint, until it is accepted or abandoned; its content is the log entry itself."""

    __tablename__: ClassVar[Any] = "webhook_delivery"
    id: int | None = Field(default=None, primary_key=True)
    endpoint_id: int = Field(foreign_key="webhook_endpoint.id")
    log_id: int = Field(foreign_key="sync_log.id")
    event: str
    state: DeliveryState = enum_column(DeliveryState, DeliveryState.PENDING)
    attempts: int = 0
    next_attempt_at: datetime | None = instant_column()
    status: int | None = None  # HTTP status of the last response
    reason: str = text_column()  # why the last attempt failed
    created_at: datetime = instant_column(nullable=False)
    ended_at: datetime | None = instant_column()
    __table_args__ = (
        UniqueConstraint("endpoint_id", "log_id"),
        Index("ix_delivery_next", "state", "next_attempt_at"),
    )
