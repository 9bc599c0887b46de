"""Searches of the outbox: by company, state and kind, newest first, paged by id."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlmodel import Session, col

from connector.db.tables import Connection, CustomerRow, InvoiceRow, OutboxEntry
from connector.outbox.approvals import entry_etag
from connector.outbox.drafts import short_key
from connector.outbox.entries import UNSENT_STATES
from connector.outbox.payloads import (
    EmailPayload,
    FeeWaiverPayload,
    LateFeePayload,
    OwnerEmailPayload,
    amount_of,
    invoice_ids,
    load_payload,
    payload_as,
)
from connector.results import Amount, Result
from connector.services.fee_states import FeeStanding, load_standings
from connector.vocabulary import OutboxKind, OutboxState
from connector.vocabulary.labels import label
from policies.currencies import plain_amount

PAGE_SIZE = 50
_INVOICES_MAX = 500
_WAIVABLE_STATES = (*UNSENT_STATES, OutboxState.DONE)
ATTENTION_STATES = (OutboxState.AWAITING_APPROVAL, OutboxState.UNCONFIRMED)


class EntryItem(Result):
    """An outbox entry in a list; ``etag`` stands for what it says now, and is sent back with an approval."""

    id: int
    kind: OutboxKind
    state: OutboxState
    key: str
    short_key: str
    reason: str
    connection: str
    customer: str
    customer_id: str
    invoice_id: str
    step: str
    currency: str
    to: list[str]
    invoices: list[str]
    amount: Amount | None
    annual_rate: str | None
    send_after: datetime | None
    planned_at: datetime
    ended_at: datetime | None
    attempts: int
    response: str
    reference: str
    delivery_status: str
    edited_by: str
    etag: str


@dataclass(frozen=True, slots=True)
class EntryView:
    """An outbox entry with the names that users know it by; ``standing`` is where a late fee stands."""

    entry: OutboxEntry
    company: Connection
    customer: str
    standing: FeeStanding | None = None

    @property
    def amounts(self) -> list[tuple[str, str]]:
        """The amount it is about and its currency, or nothing; amounts are never added up across currencies."""
        amount, currency = amount_of(load_payload(self.entry)), self.entry.currency
        return [] if amount is None else [(plain_amount(amount, currency), currency)]

    @property
    def etag(self) -> str:
        """The fingerprint that a form carries, so that a user decides about what they read."""
        return entry_etag(self.entry)

    @property
    def state_label(self) -> str:
        """The label of its state; that of a fee takes its waiver into account."""
        if self.standing is not None:
            return label(self.standing.state)
        return label(self.entry.state, "outbox_state")

    @property
    def can_edit_text(self) -> bool:
        """Whether a user may edit its text."""
        return self.entry.kind == OutboxKind.EMAIL and self.entry.state in UNSENT_STATES

    @property
    def can_waive(self) -> bool:
        """Whether a user may waive this fee."""
        if self.standing is None or self.entry.state not in _WAIVABLE_STATES:
            return False
        return self.standing.waived < payload_as(LateFeePayload, self.entry).amount


def get_entry(session: Session, entry_id: int) -> EntryView | None:
    """Return one entry, None where there is none."""
    views = _as_views(session, session.execute(entries_query().where(col(OutboxEntry.id) == entry_id)).all())
    return views[0] if views else None


def load_views(session: Session, query: Any) -> list[EntryView]:
    """Return the entries that a query finds, with where late fees stand."""
    return _as_views(session, session.execute(query).all())


def _as_views(session: Session, rows: Sequence[Any]) -> list[EntryView]:
    fees = [entry for entry, _company, _customer in rows if entry.kind == OutboxKind.LATE_FEE]
    standings = load_standings(session, fees)
    return [EntryView(entry, company, name or "", standings.get(entry.id)) for entry, company, name in rows]


def count_needing_attention(session: Session, company_ids: Collection[int]) -> dict[str, int]:
    """Return how many entries need a user, by state."""
    query = (
        select(col(OutboxEntry.state), func.count())
        .where(
            col(OutboxEntry.connection_id).in_(list(company_ids)),
            col(OutboxEntry.state).in_(ATTENTION_STATES),
        )
        .group_by(col(OutboxEntry.state))
    )
    return {str(state): int(count) for state, count in session.execute(query)}


def list_entry_invoices(session: Session, view: EntryView) -> list[InvoiceRow]:
    """List the invoices an entry is about: those it lists, or else those whose steps it completes."""
    payload = load_payload(view.entry)
    listed = list(payload.listed) if isinstance(payload, EmailPayload) else []
    ids = listed or invoice_ids(payload.completed) or [view.entry.invoice_id]
    query = select(InvoiceRow).where(
        col(InvoiceRow.connection_id) == view.entry.connection_id, col(InvoiceRow.external_id).in_(ids[:_INVOICES_MAX])
    )
    return list(session.scalars(query.order_by(col(InvoiceRow.due_on), col(InvoiceRow.number))))


def find_entries(
    session: Session,
    connection_id: int | None = None,
    states: Collection[str] | None = None,
    *,
    ids: Collection[int] | None = None,
    limit: int | None = None,
) -> list[EntryItem]:
    """List entries, newest first, or those with these ids."""
    query = entries_query().where(*_matches(connection_id, states)).order_by(col(OutboxEntry.id).desc()).limit(limit)
    if ids is not None:
        query = query.where(col(OutboxEntry.id).in_(list(ids)))
    return [as_item(entry, company.short_name, name or "") for entry, company, name in session.execute(query)]


def count_entries(session: Session, connection_id: int | None, states: Collection[str] | None) -> int:
    """Return how many entries ``find_entries`` lists without a limit."""
    query = select(func.count()).select_from(OutboxEntry).where(*_matches(connection_id, states))
    return session.scalar(query) or 0


def _matches(connection_id: int | None, states: Collection[str] | None) -> list[ColumnElement[bool]]:
    wanted = [] if connection_id is None else [col(OutboxEntry.connection_id) == connection_id]
    return wanted + ([col(OutboxEntry.state).in_(list(states))] if states else [])


def as_item(entry: OutboxEntry, connection: str, customer: str) -> EntryItem:
    """Return an entry as the API and the command line show it."""
    payload = load_payload(entry)
    amount = payload.amount if isinstance(payload, LateFeePayload | FeeWaiverPayload) else None
    return EntryItem(
        id=entry.id or 0,
        kind=OutboxKind(entry.kind),
        state=OutboxState(entry.state),
        key=entry.key,
        short_key=short_key(entry.key),
        reason=entry.reason,
        connection=connection,
        customer=customer,
        customer_id=entry.customer_id,
        invoice_id=entry.invoice_id,
        step=entry.step,
        currency=entry.currency,
        to=list(payload.to) if isinstance(payload, EmailPayload | OwnerEmailPayload) else [],
        invoices=invoice_ids(payload.completed),
        amount=None if amount is None else plain_amount(amount, entry.currency),
        annual_rate=str(payload.annual_rate) if isinstance(payload, LateFeePayload) else None,
        send_after=entry.send_after,
        planned_at=entry.planned_at,
        ended_at=entry.ended_at,
        attempts=entry.attempts,
        response=entry.response,
        reference=entry.reference,
        delivery_status=entry.delivery_status,
        edited_by=(entry.custom_text or {}).get("by", ""),
        etag=entry_etag(entry),
    )


def entries_query() -> Any:
    """Return the query of entries with their company and the customer's name."""
    return (
        select(OutboxEntry, Connection, col(CustomerRow.name))
        .join(Connection, col(Connection.id) == OutboxEntry.connection_id)
        .outerjoin(
            CustomerRow,
            (col(CustomerRow.connection_id) == OutboxEntry.connection_id)
            & (col(CustomerRow.external_id) == OutboxEntry.customer_id),
        )
    )
