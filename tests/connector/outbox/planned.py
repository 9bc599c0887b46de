"""Outbox entries for tests: drafts, planned for one company."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlmodel import Session, col, select

from connector.db.tables import Connection, OutboxEntry
from connector.outbox import replanning
from connector.outbox.drafts import Draft
from connector.outbox.payloads import EmailPayload
from connector.vocabulary import OutboxKind
from policies.receivables import Step

NOW = datetime(2026, 6, 10, 9, 0, tzinfo=UTC)


def draft(key: str, customer: str = "ann", step: Step = Step.PAST_DUE, **more: object) -> Draft:
    """Build an email to a customer about one invoice, for one step."""
    payload = EmailPayload(completed=((f"i-{key}", step),), listed=(f"i-{key}",), to=("a@example.com",), due={})
    return Draft(key, OutboxKind.EMAIL, customer, f"{key} is late.", payload, step=step, **more)  # type: ignore[arg-type]


def replan(session: Session, drafts: Sequence[Draft], customers: list[str] | None = None) -> replanning.ReplanResult:
    """Plan the first company anew, or recheck only some of its customers."""
    company = session.get_one(Connection, 1)
    scope = replanning.PlanScope(customers, is_recheck=customers is not None)
    result = replanning.replan(session, company, drafts, at=NOW, run_id=7, policy_version=3, scope=scope)
    session.flush()
    return result


def states(session: Session) -> dict[str, str]:
    """Return the state of every entry, by key."""
    return {row.key: row.state for row in session.scalars(select(OutboxEntry))}


def entry(session: Session, key: str) -> OutboxEntry:
    """Return the entry that has a key."""
    return session.scalars(select(OutboxEntry).where(col(OutboxEntry.key) == key)).one()
