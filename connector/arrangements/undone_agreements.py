"""Undoing a promise, a pause or a dispute right after it was recorded: what it replaced applies again."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select
from sqlmodel import Session, col

from connector.arrangements import agreements
from connector.arrangements.agreement_list import format_agreement
from connector.arrangements.agreements import AgreementError, Attribution
from connector.audit import sync_log
from connector.db.invoice_names import title_of
from connector.db.tables import Agreement, Connection, InvoiceRow, InvoiceSetting
from connector.vocabulary import AgreementChange, AgreementKind, AgreementState, LogKind

UNDO_WITHIN: Final = timedelta(hours=1)
UNDOABLE: Final = {
    AgreementKind.PROMISE: (AgreementState.WITHDRAWN, AgreementChange.PROMISED),
    AgreementKind.PAUSE: (AgreementState.ENDED, AgreementChange.PAUSED),
    AgreementKind.DISPUTE: (AgreementState.RESOLVED, AgreementChange.DISPUTED),
}
_OUTCOME = "undone"


def find_undoable(session: Session, ids: Collection[int], *, by: str, now: datetime) -> list[Agreement]:
    """Return those of the agreements that their own recorder can still undo."""
    query = select(Agreement).where(
        col(Agreement.id).in_(ids),
        col(Agreement.kind).in_(list(UNDOABLE)),
        col(Agreement.state) == AgreementState.OPEN,
        col(Agreement.recorded_by) == by,
        col(Agreement.recorded_at) >= now - UNDO_WITHIN,
    )
    return list(session.scalars(query.order_by(col(Agreement.id))))


def undo_agreement(session: Session, invoice: InvoiceRow, agreement_id: int, attribution: Attribution) -> None:
    """Undo an agreement about an invoice.

    Raises:
        AgreementError: it was changed or has ended since, or was recorded by somebody else or too long ago.

    """
    found = find_undoable(session, [agreement_id], by=attribution.by, now=attribution.at)
    if not found or (found[0].connection_id, found[0].invoice_id) != (invoice.connection_id, invoice.external_id):
        raise AgreementError("This was changed since, or recorded too long ago. Nothing was undone.")
    kind = AgreementKind(found[0].kind)
    if (before := _find_replaced(session, found[0])) is None:
        _end(session, invoice, kind, attribution)
        return
    state, change = UNDOABLE[kind]
    agreements.end_agreement(session, invoice, kind, state, attribution, _OUTCOME)
    before.state, before.ended_at, before.ended_by, before.outcome = AgreementState.OPEN, None, "", ""
    _apply(session.get_one(InvoiceSetting, (invoice.connection_id, invoice.external_id)), before, attribution.at)
    session.get_one(Connection, invoice.connection_id).decision_fingerprint = ""
    said = format_agreement(before)
    sync_log.write(
        session,
        at=attribution.at,
        kind=LogKind.INVOICE_UPDATED,
        text=f"{attribution.by} undid what was just recorded about {title_of(session, invoice)}; this applies: {said}.",
        connection_id=invoice.connection_id,
        customer_id=invoice.customer_id,
        invoice_id=invoice.external_id,
        facts={"change": change},
    )


def undo_replaced(session: Session, agreement: Agreement, attribution: Attribution) -> None:
    """Undo an agreement that another one has replaced since: undoing that one does not bring this one back."""
    if (before := _find_replaced(session, agreement)) is not None:
        before.ended_at = agreement.ended_at  # the other one takes its place now
    agreement.state, _change = UNDOABLE[AgreementKind(agreement.kind)]
    agreement.ended_at, agreement.ended_by, agreement.outcome = attribution.at, attribution.by, _OUTCOME


def _find_replaced(session: Session, agreement: Agreement) -> Agreement | None:
    """Return the agreement that ended when this one took its place."""
    query = select(Agreement).where(
        col(Agreement.connection_id) == agreement.connection_id,
        col(Agreement.invoice_id) == agreement.invoice_id,
        col(Agreement.kind) == agreement.kind,
        col(Agreement.state) == AgreementState.REPLACED,
        col(Agreement.ended_at) == agreement.recorded_at,
        col(Agreement.id) < agreement.id,
    )
    return session.scalars(query.order_by(col(Agreement.id).desc()).limit(1)).first()


def _end(session: Session, invoice: InvoiceRow, kind: AgreementKind, attribution: Attribution) -> None:
    if kind is AgreementKind.PROMISE:
        agreements.set_promise(session, invoice, attribution, on=None)
    elif kind is AgreementKind.PAUSE:
        agreements.resume_reminders(session, invoice, attribution)
    else:
        agreements.resolve_dispute(session, invoice, attribution, outcome=_OUTCOME)


def _apply(row: InvoiceSetting, agreement: Agreement, at: datetime) -> None:
    row.set_at = at
    if agreement.kind == AgreementKind.PROMISE:
        row.promised_on, row.promised_e4 = agreement.until_on, agreement.amount_e4 or None
    elif agreement.kind == AgreementKind.PAUSE:
        row.paused, row.paused_until_on = True, agreement.until_on
    else:
        row.disputed_on, row.dispute_reason = agreement.since_on, agreement.reason
