"""The connected companies: authorisation, mode and health, their runs, call budgets and the sync log."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, ClassVar

from sqlalchemy import JSON, Column, ForeignKeyConstraint, Index, LargeBinary, UniqueConstraint
from sqlmodel import Field

from connector.db.tables.columns import TableModel, enum_column, instant_column, text_column
from connector.vocabulary import ConnectionHealth, ConnectionMode, LimitWindow, LogKind, RunOutcome


class Grant(TableModel, table=True):
    """One authorisation by one user at one provider; its token is encrypted and bound to this row."""

    __tablename__: ClassVar[Any] = "grant_token"
    id: int | None = Field(default=None, primary_key=True)
    provider: str
    subject: str
    token: bytes = Field(default=b"", sa_type=LargeBinary)
    token_expires_at: datetime | None = instant_column()
    refresh_started_at: datetime | None = instant_column()
    invalid_reason: str = text_column()
    created_at: datetime = instant_column(nullable=False)
    refreshed_at: datetime | None = instant_column()
    ends_at: datetime | None = instant_column()  # when only a new consent helps, as far as the provider tells


class Connection(TableModel, table=True):
    """One company: how it is connected, what it may do, when it runs next and who runs it now."""

    id: int | None = Field(default=None, primary_key=True)
    short_name: str = Field(unique=True)
    provider: str
    external_id: str
    remote_connection_id: str = ""
    grant_id: int | None = Field(default=None, foreign_key="grant_token.id")
    name: str
    mode: ConnectionMode = enum_column(ConnectionMode, ConnectionMode.OBSERVE)
    pause_reason: str = text_column()  # "" while it is not paused
    paused_until_on: date | None = None  # the date on which the pause ends automatically
    owner: str = ""  # account owner of customers without one: "Ann Lee <ann@example.com>"
    health: ConnectionHealth = enum_column(ConnectionHealth, ConnectionHealth.NEW)
    health_reason: str = text_column()
    base_currency: str = ""
    country: str = ""
    holiday_region: str = ""  # the region of its address like US-NY, else the country
    time_zone: str = "UTC"
    lock_on: date | None = None
    ledger_reminders: bool = False
    subscription_plan: str = ""
    company_info_read_at: datetime | None = instant_column()
    cursor: str = text_column()
    first_pull_done_at: datetime | None = instant_column()
    synced_at: datetime | None = instant_column()  # the mirror equals the ledger at that instant
    # When the ledger was last called; a run with nothing announced by webhooks reads nothing
    last_read_at: datetime | None = instant_column()
    reconciled_at: datetime | None = instant_column()  # when all open documents were last compared with the ledger
    drift: int = 0  # how many documents ever differed
    webhooks_complete_since_at: datetime | None = instant_column()  # every change since came by webhook; NULL: unproven
    mirror_version: int = 0  # counts pages that changed something; decisions refer to it
    bank_matched_version: int = -1  # the mirror's version that money in the bank was last matched with
    # Of the facts behind the last decision: unchanged facts are not evaluated twice
    decision_fingerprint: str = text_column()
    decided_at: datetime | None = instant_column()
    decided_until_at: datetime | None = instant_column()  # when time alone brings other decisions
    decided_log_id: int = 0  # the newest entry of the sync log that the decisions knew
    decided_mirror_version: int = 0
    # Hash of what all decisions have in common; "" where a change of the mirror brings new decisions about everybody
    decided_facts: str = text_column()
    live_since_at: datetime | None = instant_column()
    created_at: datetime = instant_column(nullable=False)
    last_run_at: datetime | None = instant_column()
    next_run_at: datetime | None = instant_column(index=True)
    lease_until_at: datetime | None = instant_column()
    lease_owner: str = ""
    fence: int = 0
    __table_args__ = (UniqueConstraint("provider", "external_id"),)


class ConnectedMailbox(TableModel, table=True):
    """The mailbox that emails are sent from, one for each email system; what is in it is never stored."""

    __tablename__: ClassVar[Any] = "connected_mailbox"
    id: int | None = Field(default=None, primary_key=True)
    provider: str = Field(unique=True)
    grant_id: int = Field(foreign_key="grant_token.id")
    address: str
    cursor: str = text_column()  # up to where it was read, in the service's own words
    read_at: datetime | None = instant_column()  # when the last reading that came to its end began
    reading_until_at: datetime | None = instant_column()  # until when somebody reads it, at the longest
    connected_at: datetime = instant_column(nullable=False)


class PendingConsent(TableModel, table=True):
    """An authorisation in progress: its state (hashed), and what is needed when the user returns (encrypted)."""

    __tablename__: ClassVar[Any] = "pending_consent"
    state_hash: str = Field(primary_key=True)
    provider: str
    redirect_uri: str
    encrypted_state: bytes = Field(sa_type=LargeBinary)
    session_hash: str = ""  # of the browser session it was started in; "" at a terminal
    started_at: datetime = instant_column(nullable=False)
    finished_at: datetime | None = instant_column()
    outcome: dict[str, Any] | None = Field(
        default=None, sa_column=Column(JSON)
    )  # {"connections": [id…]} or {"error": "…"}


class SyncRun(TableModel, table=True):
    """One run of one connection, with counts of what it read, decided and sent."""

    __tablename__: ClassVar[Any] = "sync_run"
    id: int | None = Field(default=None, primary_key=True)
    connection_id: int = Field(foreign_key="connection.id")
    started_at: datetime = instant_column(nullable=False)
    ended_at: datetime | None = instant_column()
    outcome: RunOutcome | None = enum_column(RunOutcome, None)  # None while it is under way
    reason: str = text_column()
    dry_run: bool = False
    counts: dict[str, int] | None = Field(default=None, sa_column=Column(JSON))
    progress: str = ""  # while it is under way: the step, and the records read of those expected
    records_read: int = 0
    records_expected: int | None = None
    __table_args__ = (UniqueConstraint("connection_id", "id"),)


class SyncLogEntry(TableModel, table=True):
    """One entry of the sync log, chained: ``hash`` covers it and the previous hash. Never changed, never deleted.

    Of the text, the chain covers a digest with a salt of its own: when a customer's personal data are erased, text and
    salt go, and the chain still verifies.
    """

    __tablename__: ClassVar[Any] = "sync_log"
    id: int | None = Field(default=None, primary_key=True)
    connection_id: int | None = Field(default=None, foreign_key="connection.id")
    run_id: int | None = None
    at: datetime = instant_column(nullable=False)
    kind: LogKind = enum_column(LogKind)
    customer_id: str = ""
    invoice_id: str = ""
    text: str = text_column()
    facts: str = text_column("{}")  # canonical JSON: ids, amounts, codes; no payloads
    salt: str = ""
    digest: str = ""
    previous_hash: str
    hash: str
    __table_args__ = (
        ForeignKeyConstraint(["connection_id", "run_id"], ["sync_run.connection_id", "sync_run.id"]),
        Index("ix_log_connection", "connection_id", "id"),
        Index("ix_log_run", "run_id", "id"),
        Index("ix_log_customer", "connection_id", "customer_id", "id"),
        Index("ix_log_invoice", "connection_id", "invoice_id", "id"),
    )


class Budget(TableModel, table=True):
    """What is left of a provider's call limit for one connection, as last reported."""

    connection_id: int = Field(primary_key=True, foreign_key="connection.id")
    limit_name: LimitWindow = enum_column(LimitWindow, primary_key=True)
    used: int = 0
    remaining: int | None = None
    window_started_at: datetime | None = instant_column()
    blocked_until_at: datetime | None = instant_column()


class WebhookEvent(TableModel, table=True):
    """A change that a ledger's webhook announced, stored once however often it is delivered."""

    __tablename__: ClassVar[Any] = "webhook_event"
    CUSTOMER_PREFIX: ClassVar[str] = "customer:"  # a customer and a document may have the same id
    id: str = Field(primary_key=True)
    connection_id: int = Field(foreign_key="connection.id")
    external_id: str  # of the document, or "customer:" and the customer's
    merged_id: str = ""  # of the customer that was merged into this one
    received_at: datetime = instant_column(nullable=False)
    __table_args__ = (Index("ix_webhook_event_connection", "connection_id", "received_at"),)


class KeyValue(TableModel, table=True):
    """Small values by name: the installation's id, cached discovery documents, payment links, fee accounts."""

    __tablename__: ClassVar[Any] = "key_value"
    connection_id: int = Field(primary_key=True, default=0)  # 0: of the installation
    name: str = Field(primary_key=True)
    value: Any = Field(default=None, sa_column=Column(JSON))
    stored_at: datetime = instant_column(nullable=False)
