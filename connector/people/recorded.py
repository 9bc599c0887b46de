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

from connector import policies_store
from connector.mirror.places import HolidayCalendar
from connector.tables import AnswerRow, DecisionRow, InvoiceRow
from policies.decide import decide
from policies.decisions import Answer, Decision
from policies.policy import ReminderPolicy
from policies.receivables import Statement

_TABLE = SQLModel.metadata.tables["decision"]
_FAST = 1  # zlib: the facts of a customer take a tenth of a millisecond, and a seventh of their size
_MOST_SHOWN = 30

Told = tuple[str, str, Any, Any]


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a decision depends on besides the policy, and what it answered. ``shipped`` names the shipped policy."""

    now: datetime
    statements: tuple[Statement, ...]
    answers: tuple[Answer, ...]
    shipped: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """A decision worth keeping, packed."""

    customer_id: str
    version: int | None
    packed: bytes


def told(answer: Answer | Row[Any]) -> Told:
    """Give what makes an answer another one; the wording may change from day to day ("6 days late")."""
    return (str(answer.kind), answer.code, answer.next_step, answer.next_on)


def answers_known(session: Session, connection_id: int, customer_ids: Collection[str] | None) -> dict[str, Told]:
    """Read what each invoice was answered last."""
    query = select(AnswerRow.invoice_id, AnswerRow.kind, AnswerRow.code, AnswerRow.next_step, AnswerRow.next_on)  # type: ignore[call-overload]
    query = query.where(col(AnswerRow.connection_id) == connection_id)
    if customer_ids is not None:
        query = query.where(col(AnswerRow.customer_id).in_(list(customer_ids)))
    return {row[0]: tuple(row[1:]) for row in session.execute(query)}


def record(
    decision: Decision, statements: Sequence[Statement], now: datetime, version: int | None, known: Mapping[str, Told]
) -> Record | None:
    """Pack a decision that brought something new."""
    if not any(_is_new(answer, known.get(answer.invoice_id)) for answer in decision.answers):
        return None
    facts = Facts(now, tuple(statements), decision.answers, "" if version else _shipped())
    return Record(decision.customer_id, version, zlib.compress(msgspec.json.encode(facts), _FAST))


def keep(session: Session, connection_id: int, run_id: int, at: datetime, records: Sequence[Record]) -> None:
    """Store records, in the caller's transaction."""
    if records:
        rows = [
            {
                "connection_id": connection_id,
                "customer_id": each.customer_id,
                "run_id": run_id,
                "decided_at": at,
                "policy_version": each.version,
                "recorded": each.packed,
            }
            for each in records
        ]
        session.execute(insert(_TABLE), rows)


def facts_of(row: DecisionRow) -> Facts:
    """Unpack the facts of a recorded decision."""
    return msgspec.json.decode(zlib.decompress(row.recorded), type=Facts)


def replay(session: Session, row: DecisionRow) -> tuple[Facts, tuple[Answer, ...]]:
    """Make a recorded decision again: the facts as they were, under the policy as it was."""
    facts = facts_of(row)
    again = decide(facts.statements, _policy(session, row.policy_version), facts.now, HolidayCalendar())
    return facts, again.answers


def of_invoice(session: Session, invoice: InvoiceRow) -> list[dict[str, Any]]:
    """List the recorded decisions about an invoice, oldest first, and whether each comes out the same again."""
    query = (
        select(DecisionRow)
        .where(
            col(DecisionRow.connection_id) == invoice.connection_id,
            col(DecisionRow.customer_id) == invoice.customer_id,
        )
        .order_by(col(DecisionRow.id).desc())
        .limit(_MOST_SHOWN)
    )
    shown = [_shown(session, row, invoice.external_id) for row in session.scalars(query)]
    return [each for each in reversed(shown) if each]


def _shown(session: Session, row: DecisionRow, invoice_id: str) -> dict[str, Any]:
    facts, again = replay(session, row)
    before = next((each for each in facts.answers if each.invoice_id == invoice_id), None)
    after = next((each for each in again if each.invoice_id == invoice_id), None)
    if before is None:
        return {}
    note = "" if before == after else f"it would now say: {after.why}" if after else "it would now say nothing"
    if note and facts.shipped and facts.shipped != _shipped():
        note += " (the policy that comes with duewell was another one then)"
    return {
        "id": row.id,
        "at": row.decided_at,
        "run_id": row.run_id,
        "policy_version": row.policy_version,
        "kind": before.kind.value,
        "code": before.code,
        "why": before.why,
        "same_again": before == after,
        "note": note,
    }


def _is_new(answer: Answer, known: Told | None) -> bool:
    """Tell whether an answer is news; one whose effect the world refused before is none."""
    return known is None or (known != told(answer) and known[1] != "refused")


def _policy(session: Session, version: int | None) -> ReminderPolicy:
    if version is None:
        return ReminderPolicy.default()
    return ReminderPolicy.from_toml(policies_store.document_of(session, version))


@cache
def _shipped() -> str:
    return hashlib.sha256(ReminderPolicy.default().to_toml().encode()).hexdigest()[:16]
