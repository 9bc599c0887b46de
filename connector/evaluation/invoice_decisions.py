"""Keeps the answer that each invoice got last and since when it stands; every new one is a line of the log."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Any

from sqlalchemy import Row, delete, insert, or_, select, update
from sqlmodel import Session, col

from connector.audit import sync_log
from connector.db.tables import InvoiceDecisionRow
from connector.evaluation import decision_records
from connector.runtime.run_context import RunContext
from connector.vocabulary import LogKind
from policies.decisions import DecisionKind, InvoiceDecision

DecisionPairs = Sequence[tuple[str, InvoiceDecision]]  # with the customer's id
RowValues = dict[str, Any]
AppliedPolicy = tuple[int | None, str]  # the version and the name of the policy that an answer comes from


def store_decisions(
    ctx: RunContext,
    session: Session,
    decisions: DecisionPairs,
    applied_policies: Mapping[str, AppliedPolicy],
    customer_ids: Collection[str] | None,
    *,
    default_version: int | None,
) -> None:
    """Keep the answers given about some customers, or with ``None`` about all; what nobody answers any more goes.

    ``followed`` names each customer's policy; whoever it does not name got the version ``otherwise``.
    """
    known = _load_known(ctx, session, decisions, customer_ids)
    fresh: list[RowValues] = []
    moved: list[RowValues] = []
    reworded: list[RowValues] = []
    lines: list[sync_log.LogEntry] = []
    for customer_id, answer in decisions:
        row = known.pop(answer.invoice_id, None)
        if row is not None and decision_records.signature(row) == decision_records.signature(answer):
            if row.reason != answer.reason:  # the same answer in today's words ("6 days late"): no news for the log
                reworded.append({**_primary_key(ctx, answer), "reason": answer.reason})
            continue
        version, name = applied_policies.get(customer_id, (default_version, ""))
        (fresh if row is None else moved).append(_row_values(ctx, customer_id, answer, version))
        facts = {"kind": answer.kind.value, "code": answer.code, "policy": version}
        facts |= {"policy_name": name} if name else {}
        lines.append(sync_log.LogEntry(LogKind.DECIDED, answer.reason, customer_id, answer.invoice_id, facts))
    _write_rows(session, fresh, moved, reworded)
    ctx.log_all(session, lines)
    if known:
        here = col(InvoiceDecisionRow.connection_id) == ctx.connection_id
        session.execute(delete(InvoiceDecisionRow).where(here, col(InvoiceDecisionRow.invoice_id).in_(list(known))))


def _write_rows(
    session: Session, inserted: list[RowValues], updated: list[RowValues], rephrased: list[RowValues]
) -> None:
    """Store rows by columns: a first decision makes one for each invoice, and objects would cost most of its time."""
    if inserted:
        session.execute(insert(InvoiceDecisionRow), inserted)
    for changed in (updated, rephrased):
        if changed:
            session.execute(update(InvoiceDecisionRow), changed)  # by their primary keys


def failed_decision(invoice_id: str, error: Exception) -> InvoiceDecision:
    """Answer that no decision could be made."""
    reason = f"No decision could be made ({type(error).__name__}). Nothing is sent; please report this."
    return InvoiceDecision(invoice_id, DecisionKind.HOLD, "decision_failed", reason)


def rejected_decision(answer: InvoiceDecision, reason: str) -> InvoiceDecision:
    """Answer that what was decided was refused before."""
    words = f"Nothing is sent: {reason}."
    return InvoiceDecision(answer.invoice_id, DecisionKind.HOLD, "rejected", words, answer.next_step, answer.next_on)


def _load_known(
    ctx: RunContext, session: Session, decisions: DecisionPairs, customer_ids: Collection[str] | None
) -> dict[str, Row[tuple[str, str, str, str | None, date | None, str]]]:
    columns = (
        InvoiceDecisionRow.invoice_id,
        InvoiceDecisionRow.kind,
        InvoiceDecisionRow.code,
        InvoiceDecisionRow.next_step,
        InvoiceDecisionRow.next_on,
    )
    query = select(*map(col, columns), col(InvoiceDecisionRow.reason)).where(
        col(InvoiceDecisionRow.connection_id) == ctx.connection_id
    )
    if customer_ids is not None:
        ours = [answer.invoice_id for _customer, answer in decisions]  # some were another customer's until now
        query = query.where(
            or_(
                col(InvoiceDecisionRow.customer_id).in_(list(customer_ids)),
                col(InvoiceDecisionRow.invoice_id).in_(ours),
            )
        )
    return {row.invoice_id: row for row in session.execute(query)}


def _primary_key(ctx: RunContext, answer: InvoiceDecision) -> RowValues:
    return {"connection_id": ctx.connection_id, "invoice_id": answer.invoice_id}


def _row_values(ctx: RunContext, customer_id: str, answer: InvoiceDecision, version: int | None) -> RowValues:
    return {
        **_primary_key(ctx, answer),
        "customer_id": customer_id,
        "kind": answer.kind.value,
        "code": answer.code,
        "reason": answer.reason,
        "next_step": answer.next_step,
        "next_on": answer.next_on,
        "policy_version": version,
        "run_id": ctx.run_id,
        "since_at": ctx.now(),
    }
