"""Stores the last decision about each invoice and since when it stands; every change is a line of the log."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import NamedTuple

from sqlalchemy import Row, delete, insert, or_, select, update
from sqlmodel import Session, col

from connector.audit import sync_log
from connector.db.tables import InvoiceDecisionRow
from connector.evaluation import decision_records
from connector.runtime.run_context import RunContext
from connector.vocabulary import LogKind
from policies.decisions import DecisionKind, InvoiceDecision
from policies.receivables import Segment

CustomerInvoice = tuple[str, InvoiceDecision]  # the customer's id and the decision about one of their invoices
RowValues = dict[str, object]


class AppliedPolicy(NamedTuple):
    """The version of the policy documents that a decision comes from, and the name of the policy in it."""

    version: int | None
    name: str


def store_decisions(
    ctx: RunContext,
    session: Session,
    decisions: Sequence[CustomerInvoice],
    applied_policies: Mapping[str, AppliedPolicy],
    customer_ids: Collection[str] | None,
    *,
    default_version: int | None,
    segments: Mapping[str, Segment],
) -> None:
    """Store the decisions about some customers, or with None about all, and delete those of other invoices of theirs.

    ``applied_policies`` and ``segments`` are by customer; all others are under ``default_version``.
    """
    known = _load_known(ctx, session, decisions, customer_ids)
    today = ctx.today(ctx.connection(session))
    inserted: list[RowValues] = []
    updated: list[RowValues] = []
    rephrased: list[RowValues] = []
    lines: list[sync_log.LogEntry] = []
    default = AppliedPolicy(default_version, "")
    for customer_id, decision in decisions:
        row = known.pop(decision.invoice_id, None)
        if row is not None and decision_records.signature(row) == decision_records.signature(decision):
            segment = segments.get(customer_id)
            shown = {"customer_id": customer_id, "reason": decision.reason, "segment": segment}
            if (row.customer_id, row.reason, row.segment) != tuple(shown.values()):  # "6 days overdue" is no news
                rephrased.append({**_primary_key(ctx, decision), **shown})
            continue
        applied = applied_policies.get(customer_id, default)
        held_since_on = ((row.held_since_on if row is not None else None) or today) if is_held(decision) else None
        values = {**_row_values(ctx, customer_id, decision, applied.version), "held_since_on": held_since_on}
        values["segment"] = segments.get(customer_id)
        (inserted if row is None else updated).append(values)
        facts = {"kind": decision.kind, "code": decision.code, "policy": applied.version}
        facts |= {"policy_name": applied.name} if applied.name else {}
        lines.append(sync_log.LogEntry(LogKind.DECIDED, decision.reason, customer_id, decision.invoice_id, facts))
    _write_rows(session, inserted, updated, rephrased)
    ctx.log_all(session, lines)
    if known:
        is_obsolete = col(InvoiceDecisionRow.invoice_id).in_(list(known))
        session.execute(
            delete(InvoiceDecisionRow).where(col(InvoiceDecisionRow.connection_id) == ctx.connection_id, is_obsolete)
        )


def is_held(decision: InvoiceDecision) -> bool:
    """Return whether an invoice is on hold for a reason, and does not only wait for its next step."""
    return decision.kind is DecisionKind.HOLD


def failed_decision(invoice_id: str, error: Exception) -> InvoiceDecision:
    """Return the decision about an invoice about which none was possible."""
    reason = f"No decision was possible ({type(error).__name__}). Nothing is sent; please report this."
    return InvoiceDecision(invoice_id, DecisionKind.HOLD, "decision_failed", reason)


def rejected_decision(decision: InvoiceDecision, reason: str) -> InvoiceDecision:
    """Return the decision about an invoice whose email or fee was rejected before."""
    what = "No late fee is charged" if decision.kind is DecisionKind.FEE else "Nothing is sent"
    text = f"{what}: {reason.rstrip('.')}."
    return InvoiceDecision(
        decision.invoice_id, DecisionKind.HOLD, "rejected", text, decision.next_step, decision.next_on
    )


def _write_rows(
    session: Session, inserted: list[RowValues], updated: list[RowValues], rephrased: list[RowValues]
) -> None:
    """Write rows in bulk: a first sync writes one per invoice, and objects would take most of its time."""
    if inserted:
        session.execute(insert(InvoiceDecisionRow), inserted)
    for rows in (updated, rephrased):
        if rows:
            session.execute(update(InvoiceDecisionRow), rows)  # by their primary keys


def _load_known(
    ctx: RunContext, session: Session, decisions: Sequence[CustomerInvoice], customer_ids: Collection[str] | None
) -> dict[str, Row[tuple[str, str, str, str, str | None, date | None, date | None, Segment | None, str]]]:
    columns = (
        InvoiceDecisionRow.invoice_id,
        InvoiceDecisionRow.customer_id,
        InvoiceDecisionRow.kind,
        InvoiceDecisionRow.code,
        InvoiceDecisionRow.next_step,
        InvoiceDecisionRow.next_on,
        InvoiceDecisionRow.held_since_on,
        InvoiceDecisionRow.segment,
    )
    query = select(*map(col, columns), col(InvoiceDecisionRow.reason)).where(
        col(InvoiceDecisionRow.connection_id) == ctx.connection_id
    )
    if customer_ids is not None:
        decided = [decision.invoice_id for _customer_id, decision in decisions]  # some had another customer until now
        query = query.where(
            or_(
                col(InvoiceDecisionRow.customer_id).in_(list(customer_ids)),
                col(InvoiceDecisionRow.invoice_id).in_(decided),
            )
        )
    return {row.invoice_id: row for row in session.execute(query)}


def _primary_key(ctx: RunContext, decision: InvoiceDecision) -> RowValues:
    return {"connection_id": ctx.connection_id, "invoice_id": decision.invoice_id}


def _row_values(ctx: RunContext, customer_id: str, decision: InvoiceDecision, version: int | None) -> RowValues:
    return {
        **_primary_key(ctx, decision),
        "customer_id": customer_id,
        "kind": decision.kind,
        "code": decision.code,
        "reason": decision.reason,
        "next_step": decision.next_step,
        "next_on": decision.next_on,
        "policy_version": version,
        "run_id": ctx.run_id,
        "since_at": ctx.now(),
    }
