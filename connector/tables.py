"""The tables of the one file: SQLModel classes, private to ``connector``.

Money columns end in ``_e4`` and hold whole ten-thousandths of the currency unit (12.50 EUR = 125000), so that sums in
SQL are exact on SQLite and PostgreSQL alike; ``connector/money.py`` converts. ``_at`` columns hold UTC instants,
``_on`` columns calendar dates. Ledger rows are keyed by (connection, the ledger's own id): ids collide across
companies.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any, ClassVar

from sqlalchemy import JSON, BigInteger, Column, DateTime, Index, LargeBinary, Text, UniqueConstraint, text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator
from sqlmodel import Field, SQLModel


class Instant(TypeDecorator[datetime]):
    """An aware UTC instant: a timestamptz on PostgreSQL, ISO text with whole or fractional seconds in UTC on SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive datetimes, and store UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            message = f"a naive datetime cannot be stored: {value!r}"
            raise ValueError(message)
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give back aware UTC, also where the database keeps none."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _instant(*, nullable: bool = True, index: bool = False) -> Any:
    return Field(default=None, sa_type=Instant, nullable=nullable, index=index)


def _money(default: int | None = 0) -> Any:
    return Field(default=default, sa_type=BigInteger, nullable=default is None)


def _text(default: str = "") -> Any:
    return Field(default=default, sa_type=Text)


class Grant(SQLModel, table=True):
    """One consent of one person at one vendor; its token is encrypted and bound to this row."""

    __tablename__: ClassVar[Any] = "grant_token"
    id: int | None = Field(default=None, primary_key=True)
    provider: str
    subject: str
    token: bytes = Field(default=b"", sa_type=LargeBinary)
    token_expires_at: datetime | None = _instant()
    refresh_started_at: datetime | None = _instant()
    dead_why: str = _text()
    created_at: datetime = _instant(nullable=False)
    refreshed_at: datetime | None = _instant()


class Connection(SQLModel, table=True):
    """One company's books: how it is connected, how it may act, when it runs next and who runs it now."""

    id: int | None = Field(default=None, primary_key=True)
    short_name: str = Field(unique=True)
    provider: str
    external_id: str
    remote_connection_id: str = ""
    grant_id: int | None = Field(default=None, foreign_key="grant_token.id")
    name: str
    mode: str = "observe"  # observe | approve | live
    paused_why: str = _text()  # "" runs; else the reason a person gave
    paused_until_on: date | None = None  # the day on which the pause ends by itself
    owner: str = ""  # who minds the customers that have no owner of their own: "Ann Lee <ann@example.com>"
    health: str = "new"  # new | ok | reconnect | failing | limited | disconnected
    health_why: str = _text()
    base_currency: str = ""
    country: str = ""
    time_zone: str = "UTC"
    lock_on: date | None = None
    own_reminders: bool = False
    plan: str = ""
    facts_read_at: datetime | None = _instant()
    cursor: str = _text()
    first_pull_done_at: datetime | None = _instant()
    pulled_at: datetime | None = _instant()  # the mirror is as the books were then
    read_at: datetime | None = _instant()  # and they were last read then; a quiet hour with webhooks reads nothing
    reconciled_at: datetime | None = _instant()  # when all open documents were last compared
    drift: int = 0  # how many of them differed, ever
    announced_since_at: datetime | None = _instant()  # webhooks have told of every change since; NULL: not proven
    mirror_version: int = 0  # counts pages that changed something; what a decision was made on
    decided_on: str = _text()  # fingerprint of the facts of the last decision: unchanged facts are not decided twice
    live_since_at: datetime | None = _instant()
    created_at: datetime = _instant(nullable=False)
    last_run_at: datetime | None = _instant()
    next_run_at: datetime | None = _instant(index=True)
    lease_until_at: datetime | None = _instant()
    lease_owner: str = ""
    fence: int = 0
    __table_args__ = (UniqueConstraint("provider", "external_id"),)


class PendingConsent(SQLModel, table=True):
    """A consent under way: its state (hashed) and what must be kept until the person comes back, encrypted."""

    __tablename__: ClassVar[Any] = "pending_consent"
    state_hash: str = Field(primary_key=True)
    provider: str
    redirect_uri: str
    kept: bytes = Field(sa_type=LargeBinary)
    begun_in: str = ""  # hash of the browser session it was begun in; "" at a terminal
    started_at: datetime = _instant(nullable=False)
    finished_at: datetime | None = _instant()
    outcome: Any = Field(default=None, sa_column=Column(JSON))  # {"connections": [id…]} or {"error": "…"}


class CustomerRow(SQLModel, table=True):
    """The mirror of a customer."""

    __tablename__: ClassVar[Any] = "customer"
    connection_id: int = Field(primary_key=True, foreign_key="connection.id")
    external_id: str = Field(primary_key=True)
    name: str
    contact_name: str = ""
    emails: str = _text()
    country: str = ""
    region: str = ""
    language: str = ""
    active: bool = True
    merged_into: str | None = None
    deleted: bool = False
    updated_at: datetime | None = _instant()
    groups: str = _text()  # of the ledger, one a line


class CustomerSetting(SQLModel, table=True):
    """What a person set for a customer; it survives every pull."""

    __tablename__: ClassVar[Any] = "customer_setting"
    connection_id: int = Field(primary_key=True, foreign_key="connection.id")
    customer_id: str = Field(primary_key=True)
    segment: str | None = None
    hold_until_on: date | None = None
    no_reminders: bool = False
    no_fees: bool = False
    fees_agreed_on: date | None = None
    emails: str = _text()
    contact_name: str = ""
    language: str = ""
    owner: str = ""  # who minds this customer: "Ann Lee <ann@example.com>"
    sales_rep: str = ""
    tags: str = _text()  # comma-joined; a policy may be for a tag
    suppressed_why: str = _text()
    set_at: datetime = _instant(nullable=False)


class ErasedCustomer(SQLModel, table=True):
    """A customer whose personal data were erased on request: he is not chased, and no pull brings the data back."""

    __tablename__: ClassVar[Any] = "erased_customer"
    connection_id: int = Field(primary_key=True, foreign_key="connection.id")
    customer_id: str = Field(primary_key=True)
    erased_at: datetime = _instant(nullable=False)
    erased_by: str = ""
    told_at: datetime | None = _instant()  # of the newest version of him that the ledger sent, and that was left out


class InvoiceRow(SQLModel, table=True):
    """The mirror of a sales invoice. ``is_open`` is what the hot queries ask: authorised and something is due."""

    __tablename__: ClassVar[Any] = "invoice"
    connection_id: int = Field(primary_key=True, foreign_key="connection.id")
    external_id: str = Field(primary_key=True)
    number: str
    customer_id: str
    currency: str
    issued_on: date
    due_on: date | None = None
    total_e4: int = _money()
    due_e4: int = _money()
    status: str
    is_open: bool
    sent_to_customer: bool = True
    settled_on: date | None = None
    promised_on: date | None = None
    discount_e4: int | None = _money(None)
    discount_until_on: date | None = None
    reference: str = ""
    ledger_fee: bool = False
    version: str = ""
    lines: str = _text("[]")
    updated_at: datetime | None = _instant()
    # One index: each costs a first load a fifth of its time, and a look at all of a company's invoices takes 50 ms.
    __table_args__ = (Index("ix_invoice_customer", "connection_id", "customer_id"),)


class InvoiceSetting(SQLModel, table=True):
    """What a person said about an invoice: a dispute, a promise, a pause."""

    __tablename__: ClassVar[Any] = "invoice_setting"
    connection_id: int = Field(primary_key=True, foreign_key="connection.id")
    invoice_id: str = Field(primary_key=True)
    disputed_on: date | None = None
    dispute_why: str = _text()
    promised_on: date | None = None
    paused: bool = False
    paused_until_on: date | None = None
    set_at: datetime = _instant(nullable=False)


class Agreement(SQLModel, table=True):
    """What was said about an invoice, kept for good: a promise, a payment plan, a dispute, a pause, and its end.

    ``InvoiceSetting`` holds what counts now; here is who said it when, and what became of it.
    """

    id: int | None = Field(default=None, primary_key=True)
    connection_id: int = Field(foreign_key="connection.id")
    kind: str  # promise | plan | dispute | pause
    invoice_id: str
    customer_id: str
    since_on: date
    until_on: date | None = None  # the promised day; a plan's last; the end of a pause
    owed_e4: int = _money()  # what a plan is about
    currency: str = ""
    instalments: Any = Field(default=None, sa_column=Column(JSON))  # of a plan: [["2026-07-01", "400.00"], …]
    why: str = _text()
    said_by: str = ""
    said_at: datetime = _instant(nullable=False)
    state: str = "open"  # open | kept | broken | settled (a dispute) | replaced | withdrawn | ended (a pause)
    ended_at: datetime | None = _instant()
    ended_by: str = ""  # "" by itself
    outcome: str = _text()
    __table_args__ = (
        Index("ix_agreement_invoice", "connection_id", "invoice_id"),
        Index("ix_agreement_customer", "connection_id", "customer_id"),
    )


class PaymentRow(SQLModel, table=True):
    """The mirror of a received payment."""

    __tablename__: ClassVar[Any] = "payment"
    connection_id: int = Field(primary_key=True, foreign_key="connection.id")
    external_id: str = Field(primary_key=True)
    customer_id: str
    currency: str
    paid_on: date
    total_e4: int = _money()
    unapplied_e4: int = _money()
    updated_at: datetime | None = _instant()
    __table_args__ = (
        Index(
            "ix_payment_unapplied",
            "connection_id",
            "customer_id",
            sqlite_where=text("unapplied_e4 > 0"),
            postgresql_where=text("unapplied_e4 > 0"),
        ),
    )


class CreditRow(SQLModel, table=True):
    """The mirror of a credit note, overpayment or prepayment (``kind``)."""

    __tablename__: ClassVar[Any] = "credit"
    connection_id: int = Field(primary_key=True, foreign_key="connection.id")
    kind: str = Field(primary_key=True)
    external_id: str = Field(primary_key=True)
    number: str = ""
    customer_id: str
    currency: str
    dated_on: date
    total_e4: int = _money()
    remaining_e4: int = _money()
    updated_at: datetime | None = _instant()
    __table_args__ = (Index("ix_credit_customer", "connection_id", "customer_id"),)


class ApplicationRow(SQLModel, table=True):
    """How much of a payment or credit settles an invoice."""

    __tablename__: ClassVar[Any] = "application"
    connection_id: int = Field(primary_key=True, foreign_key="connection.id")
    source_kind: str = Field(primary_key=True)
    source_id: str = Field(primary_key=True)
    invoice_id: str = Field(primary_key=True)
    applied_on: date
    amount_e4: int = _money()
    __table_args__ = (Index("ix_application_invoice", "connection_id", "invoice_id"),)


class MalformedRow(SQLModel, table=True):
    """A record that could not be read: kept as it came, shown, and dropped when a readable version arrives."""

    __tablename__: ClassVar[Any] = "malformed_record"
    connection_id: int = Field(primary_key=True, foreign_key="connection.id")
    kind: str = Field(primary_key=True)
    external_id: str = Field(primary_key=True)
    why: str = _text()
    raw: bytes = Field(sa_type=LargeBinary)
    seen_at: datetime = _instant(nullable=False)


class UnconfirmedRow(SQLModel, table=True):
    """While a ledger is read afresh: what the mirror holds and has not been brought again yet. Else empty."""

    __tablename__: ClassVar[Any] = "unconfirmed_record"
    connection_id: int = Field(primary_key=True, foreign_key="connection.id")
    kind: str = Field(primary_key=True)
    external_id: str = Field(primary_key=True)


class PolicyVersion(SQLModel, table=True):
    """Every policy document ever in force; the newest row of a connection (or of all: NULL) is the one that is."""

    __tablename__: ClassVar[Any] = "policy_version"
    id: int | None = Field(default=None, primary_key=True)
    connection_id: int | None = Field(default=None, foreign_key="connection.id", index=True)
    document: str = _text()
    set_by: str = ""
    set_at: datetime = _instant(nullable=False)


class AnswerRow(SQLModel, table=True):
    """The answer each invoice got last, and since which run it stands: "why was nothing sent?" is answered here."""

    __tablename__: ClassVar[Any] = "answer"
    connection_id: int = Field(primary_key=True, foreign_key="connection.id")
    invoice_id: str = Field(primary_key=True)
    customer_id: str
    kind: str
    code: str
    why: str = _text()
    next_step: str | None = None
    next_on: date | None = None
    policy_version: int | None = None
    run_id: int
    since_at: datetime = _instant(nullable=False)
    __table_args__ = (Index("ix_answer_next", "connection_id", "next_on"),)


class DecisionRow(SQLModel, table=True):
    """The facts a decision about one customer was made on and its answers, packed, wherever it brought something new.

    Asked again with these facts, under the same policy, the policy must give the same answers.
    """

    __tablename__: ClassVar[Any] = "decision"
    id: int | None = Field(default=None, primary_key=True)
    connection_id: int = Field(foreign_key="connection.id")
    customer_id: str
    run_id: int
    decided_at: datetime = _instant(nullable=False)
    policy_version: int | None = None
    recorded: bytes = Field(sa_type=LargeBinary)
    __table_args__ = (Index("ix_decision_customer", "connection_id", "customer_id"),)


class OutboxEntry(SQLModel, table=True):
    """One effect outside. ``key`` is derived and unique; ``calling`` is committed before the call leaves.

    ``payload`` holds what is needed to do it (ids, steps, dates; amounts as text); ``content`` is a fingerprint of what
    a person approves: an approval holds only for the content it was given to.
    """

    __tablename__: ClassVar[Any] = "outbox"
    id: int | None = Field(default=None, primary_key=True)
    connection_id: int = Field(foreign_key="connection.id")
    key: str = Field(unique=True)
    kind: str  # mail | owner_mail | note | late_fee | waive_fee
    state: str  # planned | waiting | calling | done | refused | doubt
    customer_id: str
    invoice_id: str = ""
    currency: str = ""
    step: str = ""
    payload: Any = Field(default=None, sa_column=Column(JSON, nullable=False))
    content: str = ""
    own_words: Any = Field(default=None, sa_column=Column(JSON))  # of a mail: the lines as a person wrote them
    why: str = _text()
    leaves_from_at: datetime | None = _instant()
    approved_at: datetime | None = _instant()
    approved_by: str = ""
    settled_by: str = ""  # the person who rejected it or settled its doubt
    attempts: int = 0
    called_at: datetime | None = _instant()
    ended_at: datetime | None = _instant()
    reference: str = ""
    delivery: str = ""  # what became of a mail, as its events tell: delivered, bounce …
    answer: str = _text()
    parent_id: int | None = Field(default=None, foreign_key="outbox.id")
    policy_version: int | None = None
    run_id: int | None = None
    planned_at: datetime = _instant(nullable=False)
    __table_args__ = (
        Index("ix_outbox_state", "connection_id", "state", "ended_at"),
        Index("ix_outbox_customer", "connection_id", "customer_id", "state"),
        Index("ix_outbox_invoice", "connection_id", "invoice_id"),
        Index("ix_outbox_kind", "connection_id", "kind"),
        Index("ix_outbox_parent", "parent_id"),
    )


class TakenStep(SQLModel, table=True):
    """A step taken for an invoice: the database itself refuses a second one. It goes only if the effect was refused."""

    __tablename__: ClassVar[Any] = "taken_step"
    connection_id: int = Field(primary_key=True, foreign_key="connection.id")
    invoice_id: str = Field(primary_key=True)
    step: str = Field(primary_key=True)
    occasion: str = Field(primary_key=True, default="")  # "" once per invoice; a fee's period; a promise's day
    customer_id: str
    currency: str = ""
    outbox_id: int | None = Field(default=None, foreign_key="outbox.id", index=True)
    task_id: int | None = Field(default=None, foreign_key="task.id")
    taken_at: datetime = _instant(nullable=False)
    taken_on: date
    __table_args__ = (Index("ix_taken_customer", "connection_id", "customer_id"),)


class Task(SQLModel, table=True):
    """Work for a person: a call, an address to find, a review. ``owner`` is who is to do it, "" whoever looks."""

    id: int | None = Field(default=None, primary_key=True)
    connection_id: int = Field(foreign_key="connection.id", index=True)
    key: str = Field(unique=True)
    code: str
    step: str = ""
    customer_id: str
    invoice_ids: Any = Field(default=None, sa_column=Column(JSON, nullable=False))
    due_on: date
    why: str = _text()
    owner: str = ""
    state: str = "open"  # open | done | moot
    outcome: str = _text()
    made_at: datetime = _instant(nullable=False)
    ended_at: datetime | None = _instant()
    ended_by: str = ""


class ExceptionRow(SQLModel, table=True):
    """Something in a customer's books that is worth a person's eye, until it is mended or he says that it is right."""

    __tablename__: ClassVar[Any] = "exception"
    connection_id: int = Field(primary_key=True, foreign_key="connection.id")
    customer_id: str = Field(primary_key=True)
    code: str = Field(primary_key=True)
    invoice_id: str = Field(primary_key=True, default="")
    why: str = _text()
    since_at: datetime = _instant(nullable=False)
    settled_at: datetime | None = _instant()
    settled_by: str = ""  # who says that it is right as it is


class SyncRun(SQLModel, table=True):
    """One run of one connection: what it read, decided and did, in numbers."""

    __tablename__: ClassVar[Any] = "sync_run"
    id: int | None = Field(default=None, primary_key=True)
    connection_id: int = Field(foreign_key="connection.id", index=True)
    started_at: datetime = _instant(nullable=False)
    ended_at: datetime | None = _instant()
    outcome: str = ""  # "" under way | ok | later | person | failed
    why: str = _text()
    dry: bool = False
    numbers: Any = Field(default=None, sa_column=Column(JSON))


class SyncLogEntry(SQLModel, table=True):
    """One line of the story, chained: ``hash`` covers it and the hash before it. Never changed, never deleted.

    Of the text the chain covers the digest, made with a salt of the line's own: where the text names a customer who is
    to be forgotten, text and salt go, and the chain still holds.
    """

    __tablename__: ClassVar[Any] = "sync_log"
    id: int | None = Field(default=None, primary_key=True)
    connection_id: int | None = Field(default=None, foreign_key="connection.id")
    run_id: int | None = Field(default=None, foreign_key="sync_run.id")
    at: datetime = _instant(nullable=False)
    kind: str
    customer_id: str = ""
    invoice_id: str = ""
    text: str = _text()
    facts: str = _text("{}")  # canonical JSON: ids, sums, codes; no payloads
    salt: str = ""
    digest: str = ""
    previous_hash: str
    hash: str
    __table_args__ = (
        Index("ix_log_connection", "connection_id", "id"),
        Index("ix_log_run", "run_id", "id"),
        Index("ix_log_customer", "connection_id", "customer_id", "id"),
        Index("ix_log_invoice", "connection_id", "invoice_id", "id"),
    )


class Budget(SQLModel, table=True):
    """What is left of a vendor's limit for one connection, as the vendor last said; survives a restart."""

    connection_id: int = Field(primary_key=True, foreign_key="connection.id")
    limit_name: str = Field(primary_key=True)  # day | minute | month
    used: int = 0
    remaining: int | None = None
    window_started_at: datetime | None = _instant()
    blocked_until_at: datetime | None = _instant()


class Announcement(SQLModel, table=True):
    """A change that a ledger's webhook told of, once, however often it was told."""

    __tablename__: ClassVar[Any] = "announcement"
    id: str = Field(primary_key=True)
    connection_id: int = Field(foreign_key="connection.id")
    external_id: str  # of the document; with "customer:" before it, of the customer
    received_at: datetime = _instant(nullable=False)
    __table_args__ = (Index("ix_announcement_connection", "connection_id", "received_at"),)


class Stored(SQLModel, table=True):
    """Small facts by name: the installation's id, cached discovery documents, pay links, chosen fee accounts."""

    __tablename__: ClassVar[Any] = "stored_fact"
    connection_id: int = Field(primary_key=True, default=0)  # 0: of the installation
    name: str = Field(primary_key=True)
    value: Any = Field(default=None, sa_column=Column(JSON))
    stored_at: datetime = _instant(nullable=False)


class SuppressedAddress(SQLModel, table=True):
    """An address that gets no mail, in any company: the mail system drops it, it bounced, or its owner said no."""

    __tablename__: ClassVar[Any] = "suppressed_address"
    address: str = Field(primary_key=True)  # in lower case
    why: str = _text()
    since_at: datetime = _instant(nullable=False)


class ContactToken(SQLModel, table=True):
    """What a mail carries so that its reader can answer: the unguessable part of a link or of the reply address."""

    __tablename__: ClassVar[Any] = "contact_token"
    token: str = Field(primary_key=True)
    connection_id: int = Field(foreign_key="connection.id")
    customer_id: str
    purpose: str  # stop | reply | page
    made_at: datetime = _instant(nullable=False)
    expires_at: datetime | None = _instant()  # of the customer's own page; the others stay good
    revoked_at: datetime | None = _instant()


class MailEvent(SQLModel, table=True):
    """What the mail system told of a mail, once per event, whatever the order and however late."""

    __tablename__: ClassVar[Any] = "mail_event"
    id: str = Field(primary_key=True)  # the mail system's own
    key: str = Field(default="", index=True)  # the outbox key; "" where the event names none
    kind: str
    address: str = ""
    reference: str = ""
    at: datetime = _instant(nullable=False)
    received_at: datetime = _instant(nullable=False)


class ReceivedReply(SQLModel, table=True):
    """A mail that came back from a customer: it counts once, however often it is handed to us."""

    __tablename__: ClassVar[Any] = "received_reply"
    id: str = Field(primary_key=True)  # fingerprint of its Message-ID, and of the token it came to
    connection_id: int = Field(foreign_key="connection.id")
    customer_id: str
    kind: str  # reply | automatic
    received_at: datetime = _instant(nullable=False)


class MailWords(SQLModel, table=True):
    """A step's own words of this installation or of one connection; the newest row counts, an empty one is none."""

    __tablename__: ClassVar[Any] = "mail_words"
    id: int | None = Field(default=None, primary_key=True)
    connection_id: int | None = Field(default=None, foreign_key="connection.id")
    step: str
    language: str = ""  # "": every language
    document: str = _text()
    set_by: str = ""
    set_at: datetime = _instant(nullable=False)


class User(SQLModel, table=True):
    """A person who signs in: an owner sees and may do everything, the others what their role and companies allow."""

    __tablename__: ClassVar[Any] = "app_user"
    id: int | None = Field(default=None, primary_key=True)
    email: str = Field(unique=True)  # in lower case
    name: str = ""
    password_hash: str = _text()  # "" until the person has chosen one
    role: str  # owner | bookkeeper | viewer
    all_companies: bool = True
    disabled_at: datetime | None = _instant()
    made_at: datetime = _instant(nullable=False)
    signed_in_at: datetime | None = _instant()
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
    started_at: datetime = _instant(nullable=False)
    seen_at: datetime = _instant(nullable=False)
    proved_at: datetime | None = _instant()  # when he last showed that it is he; dangerous acts ask for it anew
    address: str = ""  # where it was begun, for its owner to recognise
    browser: str = ""


class Passkey(SQLModel, table=True):
    """A key in somebody's device with which he signs in instead of by password; only its public half is here."""

    id: str = Field(primary_key=True)  # the credential's id, URL-safe base64
    user_id: int = Field(foreign_key="app_user.id", index=True)
    public_key: bytes = Field(sa_type=LargeBinary)
    sign_count: int = 0
    name: str = ""
    made_at: datetime = _instant(nullable=False)
    used_at: datetime | None = _instant()


class SpentChallenge(SQLModel, table=True):
    """The proof of a sign-in that was used: it counts once. Dropped when it would be too old to count anyway."""

    __tablename__: ClassVar[Any] = "spent_challenge"
    challenge_hash: str = Field(primary_key=True)
    spent_at: datetime = _instant(nullable=False, index=True)


class SignInLink(SQLModel, table=True):
    """A link that lets one person in once, to choose a password: the first owner, a new user, a forgotten password.

    The demo's link ``enters`` at once, without one.
    """

    __tablename__: ClassVar[Any] = "sign_in_link"
    token_hash: str = Field(primary_key=True)
    user_id: int | None = Field(default=None, foreign_key="app_user.id")  # NULL: makes the first owner
    made_at: datetime = _instant(nullable=False)
    expires_at: datetime = _instant(nullable=False)
    used_at: datetime | None = _instant()
    enters: bool = False


class SignInAttempt(SQLModel, table=True):
    """A sign-in that failed, for the limits; dropped after a day."""

    __tablename__: ClassVar[Any] = "sign_in_attempt"
    id: int | None = Field(default=None, primary_key=True)
    at: datetime = _instant(nullable=False, index=True)
    address: str  # where it came from
    email: str


class ApiToken(SQLModel, table=True):
    """What a program signs in with at ``/api/v1``; the token itself is known here only as a hash."""

    __tablename__: ClassVar[Any] = "api_token"
    id: int | None = Field(default=None, primary_key=True)
    name: str
    token_hash: str = Field(unique=True)
    begins: str  # its first letters, by which a person knows it again
    scopes: str  # space-joined: read act admin
    companies: Any = Field(default=None, sa_column=Column(JSON))  # ids it is limited to; NULL: all
    expires_at: datetime | None = _instant()
    made_by: str
    made_at: datetime = _instant(nullable=False)
    used_at: datetime | None = _instant()
    revoked_at: datetime | None = _instant()


class ApiRequest(SQLModel, table=True):
    """A change that a program asked for under an ``Idempotency-Key``: asked again, it gets the same reply."""

    __tablename__: ClassVar[Any] = "api_request"
    token_id: int = Field(primary_key=True, foreign_key="api_token.id")
    key: str = Field(primary_key=True)
    fingerprint: str
    status: int = 0  # 0: under way
    reply: str = _text()
    begun_at: datetime = _instant(nullable=False, index=True)


class WebhookEndpoint(SQLModel, table=True):
    """An address of the owner's that is told what happens; ``told_to`` is the last line of the log it was asked about.

    ``secret`` signs what is sent there, and is encrypted, bound to this row.
    """

    __tablename__: ClassVar[Any] = "webhook_endpoint"
    id: int | None = Field(default=None, primary_key=True)
    url: str = _text()
    secret: bytes = Field(default=b"", sa_type=LargeBinary)
    events: Any = Field(default=None, sa_column=Column(JSON))  # names; NULL: all
    companies: Any = Field(default=None, sa_column=Column(JSON))  # ids; NULL: all
    told_to: int = 0
    stopped_why: str = _text()  # "" it is told
    made_by: str
    made_at: datetime = _instant(nullable=False)


class WebhookDelivery(SQLModel, table=True):
    """One event for one endpoint, until it was taken or given up; what it says is the line of the log itself."""

    __tablename__: ClassVar[Any] = "webhook_delivery"
    id: int | None = Field(default=None, primary_key=True)
    endpoint_id: int = Field(foreign_key="webhook_endpoint.id")
    line_id: int = Field(foreign_key="sync_log.id")
    event: str
    state: str = "waiting"  # waiting | done | given_up
    attempts: int = 0
    next_at: datetime | None = _instant()
    status: int | None = None  # of the last answer
    why: str = _text()  # the last try came to nothing
    made_at: datetime = _instant(nullable=False)
    ended_at: datetime | None = _instant()
    __table_args__ = (
        UniqueConstraint("endpoint_id", "line_id"),
        Index("ix_delivery_next", "state", "next_at"),
    )
