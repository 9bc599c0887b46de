"""The queue of what awaits approval, read one by one: which entry is next, and where it stands."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import select
from sqlmodel import Session, col

from connector.db.tables import OutboxEntry
from connector.vocabulary import OutboxState


@dataclass(frozen=True, slots=True)
class ReviewPosition:
    """An entry in the queue; ``number`` counts those in front of it from 1, ``remaining`` all that await approval."""

    entry_id: int | None
    number: int = 0
    remaining: int = 0
    previous_id: int | None = None
    next_id: int | None = None


def find_position(session: Session, company_ids: Collection[int], entry_id: int | None = None) -> ReviewPosition:
    """Return where an entry stands in the queue; without it the first, and of one that left it that which follows."""
    query = select(col(OutboxEntry.id)).where(
        col(OutboxEntry.connection_id).in_(list(company_ids)), col(OutboxEntry.state) == OutboxState.AWAITING_APPROVAL
    )
    ids = [each for each in session.scalars(query.order_by(col(OutboxEntry.id))) if each is not None]
    if not ids:
        return ReviewPosition(None)
    index = next((n for n, each in enumerate(ids) if each >= (entry_id or 0)), 0)
    return ReviewPosition(
        entry_id=ids[index],
        number=index + 1,
        remaining=len(ids),
        previous_id=ids[index - 1] if index else None,
        next_id=ids[index + 1] if index + 1 < len(ids) else None,
    )
