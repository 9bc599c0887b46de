"""Late fees as a person sees them: draft, approved, posted, waived; approving and waiving."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from sqlalchemy import select
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.audit import sync_log
from connector.db.engine import writing
from connector.db.paging import Page, paginate
from connector.db.tables import Connection, CustomerRow, OutboxEntry
from connector.outbox import approvals
from connector.outbox import entries as outbox_entries
from connector.outbox.payloads import FeeWaiverPayload, LateFeePayload, dump_payload, payload_as
from connector.vocabulary import LogKind, OutboxKind, OutboxState

_STATES = {"planned": "approved", "awaiting_approval": "draft", "done": "posted"}


def find_fees(session: Session, connection_id: int | None = None, *, page: Page | None = None) -> list[dict[str, Any]]:
    """Every fee with its state, newest first; ``annual_rate`` is in percent, sums are exact text."""
    query = select(OutboxEntry).where(col(OutboxEntry.kind) == OutboxKind.LATE_FEE).order_by(col(OutboxEntry.id).desc())
    if connection_id is not None:
        query = query.where(col(OutboxEntry.connection_id) == connection_id)
    entries = list(
        session.scalars(paginate(query, page, col(OutboxEntry.connection_id), OutboxEntry.id, newest_first=True))
    )
    waivers = {
        row.parent_id: row
        for row in session.scalars(select(OutboxEntry).where(col(OutboxEntry.kind) == OutboxKind.FEE_WAIVER))
    }
    return [_as_dict(session, entry, waivers.get(entry.id)) for entry in entries]


def approve(session: Session, ids: Iterable[int], *, by: str, at: Any) -> list[OutboxEntry]:
    """Let draft fees be posted by the next run."""
    wanted = list(ids)
    for entry_id in wanted:
        _get_fee(session, entry_id)
    return approvals.approve(session, wanted, by=by, at=at)


def waive(app: AppContext, ids: Iterable[int], *, by: str, reason: str = "") -> list[dict[str, Any]]:
    """Waive fees: a draft is rejected; a posted one gets an entry that voids or credits it with the next run."""
    now = app.now()
    with writing(app.engine) as session:
        wanted = [_get_fee(session, entry_id) for entry_id in ids]
        for fee in wanted:
            if fee.state in outbox_entries.UNSENT_STATES:
                approvals.reject(session, [fee.id or 0], by=by, at=now, reason=reason or "waived")
            elif fee.state == "done":
                _create_waiver(session, fee, by=by, reason=reason, at=now)
            else:
                message = f"Fee {fee.id} is {fee.state}; only a draft, approved or posted fee can be waived."
                raise approvals.OutboxError(message)
        session.flush()
        ids_wanted = {fee.id for fee in wanted}
        return [fee for fee in find_fees(session) if fee["id"] in ids_wanted]


def _create_waiver(session: Session, fee: OutboxEntry, *, by: str, reason: str, at: Any) -> None:
    payload = payload_as(LateFeePayload, fee)
    key = f"{fee.key}:waive"
    said = f"{by} waived the late fee {payload.number}" + (f": {reason}" if reason else "")
    reason = f"{by} waived it" + (f": {reason}" if reason else "")
    known = session.scalar(select(OutboxEntry).where(col(OutboxEntry.key) == key))
    if known is not None:
        if known.state == "rejected":  # the person asks again: perhaps the ledger lets it now
            known.state, known.ended_at, known.reason = OutboxState.PLANNED, None, f"{said}."
            known.payload = dump_payload(msgspec.structs.replace(payload_as(FeeWaiverPayload, known), reason=reason))
        return
    session.add(
        OutboxEntry(
            connection_id=fee.connection_id,
            key=key,
            kind=OutboxKind.FEE_WAIVER,
            state=OutboxState.PLANNED,
            customer_id=fee.customer_id,
            invoice_id=fee.invoice_id,
            currency=fee.currency,
            step=fee.step,
            payload=dump_payload(
                FeeWaiverPayload(
                    fee_id=fee.reference,
                    reason=reason,
                    number=payload.number,
                    amount=payload.amount,
                    amounts=payload.amounts,
                    completed=payload.completed,
                )
            ),
            reason=f"{said}.",
            approved_at=at,
            approved_by=by,
            parent_id=fee.id,
            planned_at=at,
        )
    )
    sync_log.write(
        session,
        at=at,
        kind=LogKind.WAIVER_REQUESTED,
        text=f"{said}; the next run takes it back in the ledger.",
        connection_id=fee.connection_id,
        customer_id=fee.customer_id,
        invoice_id=fee.invoice_id,
        facts={"fee": fee.id},
    )


def _get_fee(session: Session, entry_id: int) -> OutboxEntry:
    entry = session.get(OutboxEntry, entry_id)
    if entry is None or entry.kind != OutboxKind.LATE_FEE:
        message = f"There is no late fee {entry_id}; `duewell fees list` shows those there are."
        raise approvals.OutboxError(message)
    return entry


def _as_dict(session: Session, entry: OutboxEntry, waiver: OutboxEntry | None) -> dict[str, Any]:
    customer = session.get(CustomerRow, (entry.connection_id, entry.customer_id))
    state = _STATES.get(entry.state, entry.state)
    answer = entry.response
    if waiver is not None:
        state = {"done": "waived", "rejected": "posted"}.get(waiver.state, "waiver_requested")
        answer = (
            f"It could not be waived: {waiver.response}"
            if waiver.state == OutboxState.REJECTED
            else waiver.response or answer
        )
    elif entry.state == OutboxState.REJECTED and entry.resolved_by:
        state = "waived"
    payload = payload_as(LateFeePayload, entry)
    return {
        "id": entry.id,
        "state": state,
        "invoice": ", ".join(payload.original_numbers),
        "amount": str(payload.amount),
        "currency": entry.currency,
        "annual_rate": str(payload.annual_rate),
        "number": payload.number,
        "calculation": [[text, str(amount)] for text, amount in payload.calculation],
        "connection": session.get_one(Connection, entry.connection_id).short_name,
        "customer": customer.name if customer is not None else "",
        "reason": entry.reason,
        "response": answer,
    }
