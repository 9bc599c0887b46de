"""Who may come in: people, their sessions and passkeys, programs, and whom events are told."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import JSON, Column, Index, LargeBinary, UniqueConstraint
from sqlmodel import Field, SQLModel

from connector.db.tables.columns import enum_column, instant_column, text_column
from connector.vocabulary import DeliveryState, Role


class User(SQLModel, table=True):
    """A person who signs in: an owner sees and may do everything, the others what their role and companies allow."""

    __tablename__: ClassVar[Any] = "app_user"
    id: int | None = Field(default=None, primary_key=True)
    email: str = Field(unique=True)  # in lower case
    name: str = ""
    password_hash: str = text_column()  # "" until the person has chosen one
    role: Role = enum_column(Role)
    all_companies: bool = True
    disabled_at: datetime | None = instant_column()
    created_at: datetime = instant_column(nullable=False)
    signed_in_at: datetime | None = instant_column()
    passkey_only: bool = False  # his password alone lets nobody in
    oidc_subject: str = ""  # who he is at the team's sign-in service, once he has come from there


class UserCompany(SQLModel, table=True):
    """A company that a user is limited to; without ``all_companies`` he sees these and nothing else."""

    __tablename__: ClassVar[Any] = "user_company"
    user_id: int = Field(primary_key=True, foreign_key="app_user.id")
    connection_id: int = Field(primary_key=True, foreign_key="connection.id")


class WebSession(SQLModel, table=True):
    """A browser that is signed in; the cookie's token is known here only as a hash."""

    __tablename__: ClassVar[Any] = "web_session"
    token_hash: str = Field(primary_key=True)
    user_id: int = Field(foreign_key="app_user.id", index=True)
    started_at: datetime = instant_column(nullable=False)
    seen_at: datetime = instant_column(nullable=False)
    reauthenticated_at: datetime | None = (
        instant_column()
    )  # when he last showed that it is he; dangerous acts ask for it anew
    ip_address: str = ""  # where it was begun, for its owner to recognise
    browser: str = ""


class Passkey(SQLModel, table=True):
    """A key in somebody's device with which he signs in instead of by password; only its public half is here."""

    id: str = Field(primary_key=True)  # the credential's id, URL-safe base64
    user_id: int = Field(foreign_key="app_user.id", index=True)
    public_key: bytes = Field(sa_type=LargeBinary)
    sign_count: int = 0
    name: str = ""
    created_at: datetime = instant_column(nullable=False)
    used_at: datetime | None = instant_column()


class UsedChallenge(SQLModel, table=True):
    """The proof of a sign-in that was used: it counts once. Dropped when it would be too old to count anyway."""

    __tablename__: ClassVar[Any] = "used_challenge"
    challenge_hash: str = Field(primary_key=True)
    used_at: datetime = instant_column(nullable=False, index=True)


class SignInLink(SQLModel, table=True):
    """A link that lets one person in once, to choose a password: the first owner, a new user, a forgotten password.

    The demo's link ``enters`` at once, without one.
    """

    __tablename__: ClassVar[Any] = "sign_in_link"
    token_hash: str = Field(primary_key=True)
    user_id: int | None = Field(default=None, foreign_key="app_user.id")  # NULL: makes the first owner
    created_at: datetime = instant_column(nullable=False)
    expires_at: datetime = instant_column(nullable=False)
    used_at: datetime | None = instant_column()
    signs_in_directly: bool = False


class SignInAttempt(SQLModel, table=True):
    """A sign-in that failed, for the limits; dropped after a day."""

    __tablename__: ClassVar[Any] = "sign_in_attempt"
    id: int | None = Field(default=None, primary_key=True)
    at: datetime = instant_column(nullable=False, index=True)
    ip_address: str  # where it came from
    email: str


class ApiToken(SQLModel, table=True):
    """What a program signs in with at ``/api/v1``; the token itself is known here only as a hash."""

    __tablename__: ClassVar[Any] = "api_token"
    id: int | None = Field(default=None, primary_key=True)
    name: str
    token_hash: str = Field(unique=True)
    prefix: str  # its first letters, by which a person knows it again
    scopes: str  # space-joined: read write admin
    companies: Any = Field(default=None, sa_column=Column(JSON))  # ids it is limited to; NULL: all
    expires_at: datetime | None = instant_column()
    created_by: str
    created_at: datetime = instant_column(nullable=False)
    used_at: datetime | None = instant_column()
    revoked_at: datetime | None = instant_column()


class ApiRequest(SQLModel, table=True):
    """A change that a program asked for under an ``Idempotency-Key``: asked again, it gets the same reply."""

    __tablename__: ClassVar[Any] = "api_request"
    token_id: int = Field(primary_key=True, foreign_key="api_token.id")
    key: str = Field(primary_key=True)
    fingerprint: str
    status: int = 0  # 0: under way
    response: str = text_column()
    started_at: datetime = instant_column(nullable=False, index=True)


class WebhookEndpoint(SQLModel, table=True):
    """An address of the owner's that is told what happens; ``told_to`` is the last line of the log it was asked about.

    ``secret`` signs what is sent there, and is encrypted, bound to this row.
    """

    __tablename__: ClassVar[Any] = "webhook_endpoint"
    id: int | None = Field(default=None, primary_key=True)
    url: str = text_column()
    secret: bytes = Field(default=b"", sa_type=LargeBinary)
    events: Any = Field(default=None, sa_column=Column(JSON))  # names; NULL: all
    companies: Any = Field(default=None, sa_column=Column(JSON))  # ids; NULL: all
    last_seen_log_id: int = 0
    stop_reason: str = text_column()  # "" it is told
    created_by: str
    created_at: datetime = instant_column(nullable=False)


class WebhookDelivery(SQLModel, table=True):
    """One event for one endpoint, until it was taken or given up; what it says is the line of the log itself."""

    __tablename__: ClassVar[Any] = "webhook_delivery"
    id: int | None = Field(default=None, primary_key=True)
    endpoint_id: int = Field(foreign_key="webhook_endpoint.id")
    log_id: int = Field(foreign_key="sync_log.id")
    event: str
    state: DeliveryState = enum_column(DeliveryState, DeliveryState.PENDING)
    attempts: int = 0
    next_attempt_at: datetime | None = instant_column()
    status: int | None = None  # of the last answer
    reason: str = text_column()  # the last try came to nothing
    created_at: datetime = instant_column(nullable=False)
    ended_at: datetime | None = instant_column()
    __table_args__ = (
        UniqueConstraint("endpoint_id", "log_id"),
        Index("ix_delivery_next", "state", "next_attempt_at"),
    )
