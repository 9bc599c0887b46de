"""What customers reported in their portal, and the files they sent."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import JSON, Column, Index, LargeBinary
from sqlmodel import Field

from connector.db.tables.columns import TableModel, enum_column, instant_column
from connector.vocabulary import ResponseKind, ResponseState, TaskCode


class PortalResponse(TableModel, table=True):
    """What a customer reported. It begins as a draft, which they see as a summary, and can be sent once.

    ``key`` is in the address of that summary, so a second tap, the back button and a second tab all find what the first
    one did. ``response`` is a ``CustomerResponse``.
    """

    __tablename__: ClassVar[Any] = "portal_response"
    id: int | None = Field(default=None, primary_key=True)
    key: str = Field(unique=True)
    connection_id: int = Field(foreign_key="connection.id")
    customer_id: str
    kind: ResponseKind = enum_column(ResponseKind)
    state: ResponseState = enum_column(ResponseState, ResponseState.DRAFT)
    response: dict[str, Any] = Field(default=None, sa_column=Column(JSON, nullable=False))
    created_at: datetime = instant_column(nullable=False)
    responded_at: datetime | None = instant_column()
    recorded_by: str = ""  # as agreements name who recorded them: by it they are found again
    result: str = ""  # the name of the text that confirmed it
    task_code: TaskCode | None = enum_column(TaskCode, None)  # of the task that it created
    undone_at: datetime | None = instant_column()
    __table_args__ = (Index("ix_portal_response_customer", "connection_id", "customer_id", "state"),)


class PortalFile(TableModel, table=True):
    """A proof of payment or remittance advice that a customer sent; ``content`` is encrypted."""

    __tablename__: ClassVar[Any] = "portal_file"
    id: int | None = Field(default=None, primary_key=True)
    connection_id: int = Field(foreign_key="connection.id")
    customer_id: str
    response_key: str
    filename: str  # ours: the customer's own name says nothing that can be trusted
    content_type: str
    size_bytes: int
    stored_at: datetime = instant_column(nullable=False)
    content: bytes = Field(sa_type=LargeBinary)
    __table_args__ = (
        Index("ix_portal_file_customer", "connection_id", "customer_id"),
        Index("ix_portal_file_response", "response_key"),
    )

    @property
    def encryption_context(self) -> str:
        """What the encryption of its content is bound to."""
        return f"portal_file:{self.connection_id}:{self.customer_id}:{self.response_key}"
