"""Finds outbox entries for a person: by company, state and kind, newest first, paged by id."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import func, select
from sqlmodel import Session, col

from connector.db.paging import Page, paginate
from connector.db.tables import Connection, CustomerRow, InvoiceRow, OutboxEntry
from connector.outbox.approvals import entry_etag
from connector.outbox.drafts import short_key
from connector.outbox.entries import UNSENT_STATES
from connector.vocabulary import OutboxKind, OutboxState

PAGE_SIZE = 50


@dataclass(frozen=True, slots=True)
class EntryView:
    """An entry with the names a person knows it by; ``waiver`` is what takes a fee back."""

    entry: OutboxEntry
    company: Connection
    customer: str
    waiver: OutboxEntry | None = None

    @property
    def amounts(self) -> list[tuple[str, str]]:
        """What it is about in money, with its currency: never added up across currencies."""
        payload = self.entry.payload
        if "amount" in payload:
            return [(payload["amount"], self.entry.currency)]
        due = payload.get("due") or {}
        return [(str(sum((Decimal(each) for each in due.values()), Decimal())), self.entry.currency)] if due else []

    @property
    def etag(self) -> str:
        """What a form about it carries, so that only what was looked at is settled."""
        return entry_etag(self.entry)

    @property
    def state_label(self) -> str:
        """Where it stands, in a person's words."""
        entry = self.entry
        if entry.kind != OutboxKind.LATE_FEE:
            return {"awaiting_approval": "awaiting approval", "unconfirmed": "unconfirmed", "sending": "sending"}.get(
                entry.state, entry.state
            )
        if self.waiver is not None:
            return {"done": "waived", "rejected": "posted"}.get(self.waiver.state, "being waived")
        if entry.state == OutboxState.REJECTED and entry.resolved_by:
            return "waived"
        return {"awaiting_approval": "draft", "planned": "approved", "done": "posted"}.get(entry.state, entry.state)

    @property
    def can_edit_text(self) -> bool:
        """Tell whether a person may give it his own words."""
        return self.entry.kind == "email" and self.entry.state in UNSENT_STATES

    @property
    def can_waive(self) -> bool:
        """Tell whether a person may take this fee back."""
        open_waiver = self.waiver is not None and self.waiver.state != "rejected"
        return (
            self.entry.kind == "late_fee"
            and self.entry.state in {"planned", "awaiting_approval", "done"}
            and not open_waiver
        )


@dataclass(frozen=True, slots=True)
class EntryPage:
    """A page of entries; ``older`` is the id to go on from, None at the end."""

    rows: Sequence[EntryView]
    older_id: int | None


def find_entry_page(
    session: Session,
    company_ids: Collection[int],
    *,
    states: Collection[str] = (),
    kinds: Collection[str] = (),
    before_id: int | None = None,
    size: int = PAGE_SIZE,
) -> EntryPage:
    """Find a page of entries."""
    company = col(OutboxEntry.connection_id)
    # What waits is little and found by its index; what has left is much: there the newest is gone through and filtered.
    by_index = not set(states) & {"done", "rejected"} and (states or len(company_ids) == 1)
    query = _entries_query().where((company if by_index else company + 0).in_(list(company_ids)))
    if states:
        query = query.where(col(OutboxEntry.state).in_(list(states)))
    if kinds:
        query = query.where(col(OutboxEntry.kind).in_(list(kinds)))
    if before_id is not None:
        query = query.where(col(OutboxEntry.id) < before_id)
    rows = session.execute(query.order_by(col(OutboxEntry.id).desc()).limit(size + 1)).all()
    waivers = _waivers(
        session, [entry.id for entry, _company, _customer in rows[:size] if entry.kind == OutboxKind.LATE_FEE]
    )
    shown = [EntryView(entry, company, name or "", waivers.get(entry.id)) for entry, company, name in rows[:size]]
    return EntryPage(shown, shown[-1].entry.id if len(rows) > size else None)


def get_entry(session: Session, entry_id: int) -> EntryView | None:
    """Find one entry."""
    row = session.execute(_entries_query().where(col(OutboxEntry.id) == entry_id)).first()
    return EntryView(row[0], row[1], row[2] or "", _waivers(session, [entry_id]).get(entry_id)) if row else None


def count_needing_attention(session: Session, company_ids: Collection[int]) -> dict[str, int]:
    """Count the entries that wait for a person, by state."""
    query = (
        select(col(OutboxEntry.state), func.count())
        .where(
            col(OutboxEntry.connection_id).in_(list(company_ids)),
            col(OutboxEntry.state).in_([OutboxState.AWAITING_APPROVAL, OutboxState.UNCONFIRMED]),
        )
        .group_by(col(OutboxEntry.state))
    )
    return {str(state): int(count) for state, count in session.execute(query)}


def list_entry_invoices(session: Session, view: EntryView) -> list[InvoiceRow]:
    """Find the invoices an entry is about: those it lists, or those of which it takes a step."""
    payload = view.entry.payload
    ids = payload.get("listed") or [pair[0] for pair in payload.get("completed", [])] or [view.entry.invoice_id]
    query = select(InvoiceRow).where(
        col(InvoiceRow.connection_id) == view.entry.connection_id, col(InvoiceRow.external_id).in_(ids[:500])
    )
    return list(session.scalars(query.order_by(col(InvoiceRow.due_on), col(InvoiceRow.number))))


def find_entries(
    session: Session,
    connection_id: int | None = None,
    states: Collection[str] | None = None,
    *,
    page: Page | None = None,
) -> list[dict[str, Any]]:
    """Entries as the JSON surface shows them, newest first."""
    query = select(OutboxEntry, col(Connection.short_name), col(CustomerRow.name)).join(
        Connection,
        col(Connection.id) == OutboxEntry.connection_id,
    )
    query = query.outerjoin(
        CustomerRow,
        (col(CustomerRow.connection_id) == OutboxEntry.connection_id)
        & (col(CustomerRow.external_id) == OutboxEntry.customer_id),
    ).order_by(col(OutboxEntry.id).desc())
    if connection_id is not None:
        query = query.where(col(OutboxEntry.connection_id) == connection_id)
    if states:
        query = query.where(col(OutboxEntry.state).in_(list(states)))
    query = paginate(query, page, col(OutboxEntry.connection_id), OutboxEntry.id, newest_first=True)
    return [as_dict(entry, name, customer or "") for entry, name, customer in session.execute(query)]


def as_dict(entry: OutboxEntry, connection: str, customer: str) -> dict[str, Any]:
    """Show an entry as the JSON surface does."""
    return {
        "id": entry.id,
        "kind": entry.kind,
        "state": entry.state,
        "key": entry.key,
        "short_key": short_key(entry.key),
        "reason": entry.reason,
        "connection": connection,
        "customer": customer,
        "customer_id": entry.customer_id,
        "invoice_id": entry.invoice_id,
        "step": entry.step,
        "currency": entry.currency,
        "to": entry.payload.get("to", []),
        "invoices": [pair[0] for pair in entry.payload.get("completed", [])],
        "amount": entry.payload.get("amount"),
        "annual_rate": entry.payload.get("annual_rate"),
        "send_after": entry.send_after.isoformat() if entry.send_after else None,
        "planned_at": entry.planned_at.isoformat(),
        "ended_at": entry.ended_at.isoformat() if entry.ended_at else None,
        "attempts": entry.attempts,
        "response": entry.response,
        "reference": entry.reference,
        "delivery_status": entry.delivery_status,
        "edited_by": (entry.custom_text or {}).get("by", ""),
        "etag": entry_etag(entry),
    }


def _entries_query() -> Any:
    return (
        select(OutboxEntry, Connection, col(CustomerRow.name))
        .join(Connection, col(Connection.id) == OutboxEntry.connection_id)
        .outerjoin(
            CustomerRow,
            (col(CustomerRow.connection_id) == OutboxEntry.connection_id)
            & (col(CustomerRow.external_id) == OutboxEntry.customer_id),
        )
    )


def _waivers(session: Session, ids: Sequence[int | None]) -> dict[int | None, OutboxEntry]:
    if not ids:
        return {}
    query = select(OutboxEntry).where(col(OutboxEntry.key).in_(_waiver_keys(session, ids)))
    return {row.parent_id: row for row in session.scalars(query)}


def _waiver_keys(session: Session, ids: Sequence[int | None]) -> list[str]:
    return [f"{key}:waive" for key in session.scalars(select(col(OutboxEntry.key)).where(col(OutboxEntry.id).in_(ids)))]
