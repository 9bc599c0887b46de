"""Records the facts that a decision was made on, so that it can be audited: made again and compared.

A decision is recorded only where it differs from the one before: so a customer about whom nothing changes for a month
costs one row, not seven hundred. The facts are the policy's own objects as compressed JSON; a field that a later
version adds is read with its default, and one that it drops is ignored.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from typing import Any, NamedTuple

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
_COMPRESSION_LEVEL = 1  # of zlib: a customer's facts take a tenth of a millisecond, and shrink to a seventh
_MAX_LISTED = 30


class DecisionSignature(NamedTuple):
    """What makes a decision another one; its reason may change from day to day ("6 days overdue")."""

    kind: str
    code: str
    next_step: str | None
    next_on: date | None


@dataclass(frozen=True, slots=True)
class DecisionSnapshot:
    """The facts of a decision besides the policy, and its result; the hash names the default policy of the time."""

    now: datetime
    statements: tuple[Statement, ...]
    invoice_decisions: tuple[InvoiceDecision, ...]
    default_policy_hash: str = ""


@dataclass(frozen=True, slots=True)
class PackedDecision:
    """A decision to record, compressed."""

    customer_id: str
    version: int | None
    packed: bytes


@dataclass(frozen=True, slots=True)
class AuditedDecision:
    """A recorded decision about an invoice, and whether it is the same when it is made again; if not, ``note``."""

    id: int | None
    at: datetime
    run_id: int
    policy_version: int | None
    kind: str
    code: str
    reason: str
    reproduced: bool
    note: str


def signature(decision: InvoiceDecision | Row[Any]) -> DecisionSignature:
    """Return the signature of a decision, or of the row of one."""
    return DecisionSignature(str(decision.kind), decision.code, decision.next_step, decision.next_on)


def load_signatures(
    session: Session, connection_id: int, customer_ids: Collection[str] | None
) -> dict[str, DecisionSignature]:
    """Return the signature of the last decision about each invoice, by its id."""
    columns = (
        InvoiceDecisionRow.invoice_id,
        InvoiceDecisionRow.kind,
        InvoiceDecisionRow.code,
        InvoiceDecisionRow.next_step,
        InvoiceDecisionRow.next_on,
    )
    query = select(*map(col, columns)).where(col(InvoiceDecisionRow.connection_id) == connection_id)
    if customer_ids is not None:
        query = query.where(col(InvoiceDecisionRow.customer_id).in_(list(customer_ids)))
    return {row.invoice_id: signature(row) for row in session.execute(query)}


def pack_decision(
    decision: CustomerDecision,
    statements: Sequence[Statement],
    now: datetime,
    version: int | None,
    known: Mapping[str, DecisionSignature],
) -> PackedDecision | None:
    """Pack a decision for recording; None where nothing has changed."""
    if not any(_has_changed(each, known.get(each.invoice_id)) for each in decision.invoice_decisions):
        return None
    default_hash = "" if version else _default_policy_hash()
    snapshot = DecisionSnapshot(now, tuple(statements), decision.invoice_decisions, default_hash)
    packed = zlib.compress(msgspec.json.encode(snapshot), _COMPRESSION_LEVEL)
    return PackedDecision(decision.customer_id, version, packed)


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
    """Return the facts and the result of a recorded decision."""
    return msgspec.json.decode(zlib.decompress(row.snapshot), type=DecisionSnapshot)


def replay(session: Session, row: DecisionRecord) -> tuple[DecisionSnapshot, tuple[InvoiceDecision, ...]]:
    """Make a recorded decision again, from the facts and under the policy of the time."""
    snapshot = unpack(row)
    policy = _load_policy(session, row.policy_version)
    replayed = decide(snapshot.statements, policy, snapshot.now, HolidayCalendar())
    return snapshot, replayed.invoice_decisions


def audit_invoice(session: Session, invoice: InvoiceRow) -> list[AuditedDecision]:
    """Make the latest recorded decisions about an invoice again, oldest first."""
    query = (
        select(DecisionRecord)
        .where(
            col(DecisionRecord.connection_id) == invoice.connection_id,
            col(DecisionRecord.customer_id) == invoice.customer_id,
        )
        .order_by(col(DecisionRecord.id).desc())
        .limit(_MAX_LISTED)
    )
    audited = [_audit(session, row, invoice.external_id) for row in session.scalars(query)]
    return [each for each in reversed(audited) if each is not None]


def _audit(session: Session, row: DecisionRecord, invoice_id: str) -> AuditedDecision | None:
    snapshot, replayed = replay(session, row)
    before = next((each for each in snapshot.invoice_decisions if each.invoice_id == invoice_id), None)
    after = next((each for each in replayed if each.invoice_id == invoice_id), None)
    if before is None:
        return None
    return AuditedDecision(
        id=row.id,
        at=row.decided_at,
        run_id=row.run_id,
        policy_version=row.policy_version,
        kind=before.kind,
        code=before.code,
        reason=before.reason,
        reproduced=before == after,
        note="" if before == after else _describe_change(snapshot, after),
    )


def _describe_change(snapshot: DecisionSnapshot, after: InvoiceDecision | None) -> str:
    note = f"it would now be: {after.reason}" if after else "there would now be no decision"
    if snapshot.default_policy_hash and snapshot.default_policy_hash != _default_policy_hash():
        note += " (the default policy has changed since)"
    return note


def _has_changed(decision: InvoiceDecision, known: DecisionSignature | None) -> bool:
    """Return whether a decision is news; one whose email or fee was rejected before is not."""
    return known is None or (known != signature(decision) and known.code != "rejected")


def _load_policy(session: Session, version: int | None) -> ReminderPolicy:
    if version is None:
        return ReminderPolicy.default()
    return policy_store.get_version_policy(session, version)


@cache
def _default_policy_hash() -> str:
    return hashlib.sha256(ReminderPolicy.default().to_toml().encode()).hexdigest()[:16]
