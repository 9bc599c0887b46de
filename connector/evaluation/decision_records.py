"""The facts a decision was made on, kept packed beside its answers, so that it can be made again and compared.

A record is kept only where a decision brought something new: another answer, another day. So a customer about whom
nothing changes for a month costs one row, not seven hundred. Facts are the policy's own words as JSON, compressed; what
a later version adds to them is read with its default, and what it drops is left aside.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import Row, insert, select
from sqlmodel import Session, SQLModel, col

from connector import policy_store
from connector.db.tables import DecisionRecord, InvoiceDecisionRow, InvoiceRow
from connector.geo import HolidayCalendar
from policies.decide import decide
from policies.decisions import CustomerDecision, InvoiceDecision
from policies.policy import ReminderPolicy
from policies.receivables import Statement

_TABLE = SQLModel.metadata.tables["decision_record"]
_COMPRESSION_LEVEL = 1  # zlib: the facts of a customer take a tenth of a millisecond, and a seventh of their size
_MAX_LISTED = 30

DecisionSignature = tuple[str, str, Any, Any]


@dataclass(frozen=True, slots=True)
class DecisionSnapshot:
    """All that a decision depends on besides the policy, and what it answered. ``shipped`` names the shipped policy."""

    now: datetime
    statements: tuple[Statement, ...]
    answers: tuple[InvoiceDecision, ...]
    default_policy_hash: str = ""


@dataclass(frozen=True, slots=True)
class PackedDecision:
    """A decision worth keeping, packed."""

    customer_id: str
    version: int | None
    packed: bytes


def signature(answer: InvoiceDecision | Row[Any]) -> DecisionSignature:
    """Give what makes an answer another one; the wording may change from day to day ("6 days late")."""
    return (str(answer.kind), answer.code, answer.next_step, answer.next_on)


def load_signatures(
    session: Session, connection_id: int, customer_ids: Collection[str] | None
) -> dict[str, DecisionSignature]:
    """Read what each invoice was answered last."""
    query = select(
        InvoiceDecisionRow.invoice_id,
        InvoiceDecisionRow.kind,
        InvoiceDecisionRow.code,
        InvoiceDecisionRow.next_step,
        InvoiceDecisionRow.next_on,
    )  # type: ignore[call-overload]
    query = query.where(col(InvoiceDecisionRow.connection_id) == connection_id)
    if customer_ids is not None:
        query = query.where(col(InvoiceDecisionRow.customer_id).in_(list(customer_ids)))
    return {row[0]: tuple(row[1:]) for row in session.execute(query)}


def pack_decision(
    decision: CustomerDecision,
    statements: Sequence[Statement],
    now: datetime,
    version: int | None,
    known: Mapping[str, DecisionSignature],
) -> PackedDecision | None:
    """Pack a decision that brought something new."""
    if not any(_has_changed(answer, known.get(answer.invoice_id)) for answer in decision.invoice_decisions):
        return None
    facts = DecisionSnapshot(
        now, tuple(statements), decision.invoice_decisions, "" if version else _default_policy_hash()
    )
    return PackedDecision(decision.customer_id, version, zlib.compress(msgspec.json.encode(facts), _COMPRESSION_LEVEL))


def store_records(
    session: Session, connection_id: int, run_id: int, at: datetime, records: Sequence[PackedDecision]
) -> None:
    """Store records, in the caller's transaction."""
    if records:
        rows = [
            {
                "connection_id": connection_id,
                "customer_id": each.customer_id,
                "run_id": run_id,
                "decided_at": at,
                "policy_version": each.version,
                "snapshot": each.packed,
            }
            for each in records
        ]
        session.execute(insert(_TABLE), rows)


def unpack(row: DecisionRecord) -> DecisionSnapshot:
    """Unpack the facts of a recorded decision."""
    return msgspec.json.decode(zlib.decompress(row.snapshot), type=DecisionSnapshot)


def replay(session: Session, row: DecisionRecord) -> tuple[DecisionSnapshot, tuple[InvoiceDecision, ...]]:
    """Make a recorded decision again: the facts as they were, under the policy as it was."""
    facts = unpack(row)
    again = decide(facts.statements, _load_policy(session, row.policy_version), facts.now, HolidayCalendar())
    return facts, again.invoice_decisions


def list_for_invoice(session: Session, invoice: InvoiceRow) -> list[dict[str, Any]]:
    """List the recorded decisions about an invoice, oldest first, and whether each comes out the same again."""
    query = (
        select(DecisionRecord)
        .where(
            col(DecisionRecord.connection_id) == invoice.connection_id,
            col(DecisionRecord.customer_id) == invoice.customer_id,
        )
        .order_by(col(DecisionRecord.id).desc())
        .limit(_MAX_LISTED)
    )
    shown = [_describe_replay(session, row, invoice.external_id) for row in session.scalars(query)]
    return [each for each in reversed(shown) if each]


def _describe_replay(session: Session, row: DecisionRecord, invoice_id: str) -> dict[str, Any]:
    facts, again = replay(session, row)
    before = next((each for each in facts.answers if each.invoice_id == invoice_id), None)
    after = next((each for each in again if each.invoice_id == invoice_id), None)
    if before is None:
        return {}
    note = "" if before == after else f"it would now say: {after.reason}" if after else "it would now say nothing"
    if note and facts.default_policy_hash and facts.default_policy_hash != _default_policy_hash():
        note += " (the policy that comes with duewell was another one then)"
    return {
        "id": row.id,
        "at": row.decided_at,
        "run_id": row.run_id,
        "policy_version": row.policy_version,
        "kind": before.kind.value,
        "code": before.code,
        "reason": before.reason,
        "reproduced": before == after,
        "note": note,
    }


def _has_changed(answer: InvoiceDecision, known: DecisionSignature | None) -> bool:
    """Tell whether an answer is news; one whose effect the world refused before is none."""
    return known is None or (known != signature(answer) and known[1] != "rejected")


def _load_policy(session: Session, version: int | None) -> ReminderPolicy:
    if version is None:
        return ReminderPolicy.default()
    return ReminderPolicy.from_toml(policy_store.get_document(session, version))


@cache
def _default_policy_hash() -> str:
    return hashlib.sha256(ReminderPolicy.default().to_toml().encode()).hexdigest()[:16]
