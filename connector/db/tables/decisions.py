"""What was decided and done: invoice decisions, the outbox, completed steps, tasks, exceptions."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, ClassVar

from sqlalchemy import JSON, Column, ForeignKeyConstraint, Index, LargeBinary, String, UniqueConstraint
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlmodel import Field

from connector.db.tables.columns import TableModel, enum_column, instant_column, money_column, text_column
from connector.vocabulary import OutboxKind, OutboxState, TaskCode, TaskState
from policies.decisions import DecisionKind
from policies.receivables import Segment, Step
from providers.message import message_id_part


class InvoiceDecisionRow(TableModel, table=True):
    """The latest decision on each invoice and the run since which it stands: it answers "why was nothing sent?"."""

    __tablename__: ClassVar[Any] = "invoice_decision"
    connection_id: int = Field(primary_key=True, foreign_key="connection.id")
    invoice_id: str = Field(primary_key=True)
    customer_id: str
    kind: DecisionKind = enum_column(DecisionKind)
    code: str
    reason: str = text_column()
    next_step: Step | None = enum_column(Step, None)
    next_on: date | None = None
    policy_version: int | None = None
    run_id: int
    since_at: datetime = instant_column(nullable=False)
    held_since_on: date | None = None  # since when it has been on hold without a break, whatever the reasons
    segment: Segment | None = enum_column(Segment, None)  # of the customer, as the policy sees them
    __table_args__ = (
        Index("ix_invoice_decision_next", "connection_id", "next_on"),
        Index("ix_invoice_decision_customer", "connection_id", "customer_id"),
    )


class DecisionRecord(TableModel, table=True):
    """The facts and results of a decision on one customer, packed, wherever it changed something.

    The same policy must give the same results for these facts again.
    """

    __tablename__: ClassVar[Any] = "decision_record"
    id: int | None = Field(default=None, primary_key=True)
    connection_id: int = Field(foreign_key="connection.id")
    customer_id: str
    run_id: int
    decided_at: datetime = instant_column(nullable=False)
    policy_version: int | None = None
    snapshot: bytes = Field(sa_type=LargeBinary)
    __table_args__ = (Index("ix_decision_record_customer", "connection_id", "customer_id"),)


def _message_id_part(context: DefaultExecutionContext) -> str:
    """Return what stands before the domain in the Message-ID of a new entry; "" for one that is no email."""
    values = context.get_current_parameters()  # type: ignore[no-untyped-call]
    return message_id_part(values["key"]) if values["kind"] in {OutboxKind.EMAIL, OutboxKind.OWNER_EMAIL} else ""


class OutboxEntry(TableModel, table=True):
    """One external effect. ``key`` is derived and unique; the state ``sending`` is committed before the call.

    ``payload`` holds what is needed to do it (ids, steps, dates; amounts as text); ``content_hash`` identifies what a
    user approves: an approval is valid only for the content it was given to.
    """

    __tablename__: ClassVar[Any] = "outbox"
    id: int | None = Field(default=None, primary_key=True)
    connection_id: int = Field(foreign_key="connection.id")
    key: str = Field(unique=True)
    kind: OutboxKind = enum_column(OutboxKind)
    state: OutboxState = enum_column(OutboxState)
    customer_id: str
    invoice_id: str = ""
    currency: str = ""
    amount_e4: int | None = money_column(None)  # of an email what it asks for, of a fee or waiver the amount
    step: str = ""
    payload: dict[str, Any] = Field(default=None, sa_column=Column(JSON, nullable=False))
    content_hash: str = ""
    custom_text: dict[str, Any] | None = Field(
        default=None, sa_column=Column(JSON)
    )  # of an email: the lines a user wrote
    changed_at: datetime | None = instant_column()  # when its content or its text last changed since it was planned
    changed_by: str = ""  # the user who changed it, "" for a sync
    reason: str = text_column()
    send_after: datetime | None = instant_column()
    approved_at: datetime | None = instant_column()
    approved_by: str = ""
    resolved_by: str = ""  # the user who rejected it or resolved an unconfirmed delivery
    attempts: int = 0
    dispatched_at: datetime | None = instant_column()
    ended_at: datetime | None = instant_column()
    reference: str = ""
    message_id_part: str = Field(  # of an email: by which a reply names it
        default=None, sa_column=Column(String, nullable=False, default=_message_id_part)
    )
    given_message_id: str = ""  # of an email: the Message-ID its recipients see, where the service replaced ours
    delivery_status: str = ""  # of an email, from its events: delivered, bounce …
    refusal: str = ""  # of an email that reached none of its recipients: what that is about, see RefusalCause
    response: str = text_column()
    parent_id: int | None = None  # of the same company, like every reference between a company's rows
    policy_version: int | None = None
    run_id: int | None = None
    planned_at: datetime = instant_column(nullable=False)
    __table_args__ = (
        UniqueConstraint("connection_id", "id"),
        ForeignKeyConstraint(["connection_id", "parent_id"], ["outbox.connection_id", "outbox.id"]),
        Index("ix_outbox_state", "connection_id", "state", "ended_at"),
        Index("ix_outbox_customer", "connection_id", "customer_id", "state"),
        Index("ix_outbox_invoice", "connection_id", "invoice_id"),
        Index("ix_outbox_kind", "connection_id", "kind"),
        Index("ix_outbox_message_id_part", "message_id_part"),
        Index("ix_outbox_parent", "parent_id"),
    )


class CompletedStep(TableModel, table=True):
    """A step completed for an invoice, once: the primary key refuses a second. Deleted only if it was rejected."""

    __tablename__: ClassVar[Any] = "completed_step"
    connection_id: int = Field(primary_key=True, foreign_key="connection.id")
    invoice_id: str = Field(primary_key=True)
    step: str = Field(primary_key=True)
    recurrence_key: str = Field(
        primary_key=True, default=""
    )  # "": once per invoice; else a fee's period or a promise's date
    customer_id: str
    currency: str = ""
    outbox_id: int | None = Field(default=None, index=True)
    task_id: int | None = None
    completed_at: datetime = instant_column(nullable=False)
    completed_on: date
    acknowledged_e4: int | None = money_column(None)  # the money that the email thanked for
    announced_fee: bool = False  # the email warned of a late fee on the invoice
    fee_terms: str = ""  # and of which: see LateFees.terms_in
    __table_args__ = (
        ForeignKeyConstraint(["connection_id", "outbox_id"], ["outbox.connection_id", "outbox.id"]),
        ForeignKeyConstraint(["connection_id", "task_id"], ["task.connection_id", "task.id"]),
        Index("ix_completed_step_customer", "connection_id", "customer_id"),
    )


class Task(TableModel, table=True):
    """Work for a user: a call, a missing address, a review. ``owner`` is the assignee, "" for anyone."""

    id: int | None = Field(default=None, primary_key=True)
    connection_id: int = Field(foreign_key="connection.id")
    key: str = Field(unique=True)
    code: TaskCode = enum_column(TaskCode)
    step: str = ""
    customer_id: str
    invoice_ids: list[str] = Field(default=None, sa_column=Column(JSON, nullable=False))
    due_on: date
    reason: str = text_column()
    owner: str = ""
    state: TaskState = enum_column(TaskState, TaskState.OPEN)
    outcome: str = text_column()
    created_at: datetime = instant_column(nullable=False)
    ended_at: datetime | None = instant_column()
    ended_by: str = ""
    __table_args__ = (UniqueConstraint("connection_id", "id"),)


class ExceptionRow(TableModel, table=True):
    """Something unusual in a customer's records, until it is corrected or a user marks it as correct."""

    __tablename__: ClassVar[Any] = "exception"
    connection_id: int = Field(primary_key=True, foreign_key="connection.id")
    customer_id: str = Field(primary_key=True)
    code: str = Field(primary_key=True)
    invoice_id: str = Field(primary_key=True, default="")
    reason: str = text_column()
    since_at: datetime = instant_column(nullable=False)
    resolved_at: datetime | None = instant_column()
    resolved_by: str = ""  # the user who marked it as correct
