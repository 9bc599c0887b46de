"""The queue of what awaits approval, filtered as the outbox is: which entry is next, and where it stands."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlmodel import Session

from connector.services.lists import engine
from connector.services.lists.engine import ListQuery
from connector.services.lists.outbox import OUTBOX
from connector.vocabulary import OutboxState

_QUEUE_MAX = 100_000
DEFAULT_SORT = "id"  # the oldest first, in the list and when it is read one by one
# The filters of the queue: those of the outbox that make a difference to what awaits approval
QUEUE_FILTERS = tuple(each for each in OUTBOX.filters if each.name not in {"state", "ended_from", "ended_to"})


@dataclass(frozen=True, slots=True)
class ReviewPosition:
    """An entry in the queue; ``number`` counts those in front of it from 1, ``remaining`` all that await approval."""

    entry_id: int | None
    number: int = 0
    remaining: int = 0
    previous_id: int | None = None
    next_id: int | None = None


def find_position(session: Session, query: ListQuery, entry_id: int | None = None) -> ReviewPosition:
    """Return where an entry stands in the queue, in the order of the list that it was opened from.

    Without an entry it is the first; of one that left the queue, that which follows, where the queue is in its usual
    order, and else the first. Raises ``FilterError`` for a filter or a sort that is not valid.
    """
    values, sort = {**query.values, "state": OutboxState.AWAITING_APPROVAL.value}, query.sort or DEFAULT_SORT
    chunks = engine.iter_keys(session, OUTBOX, replace(query, values=values, sort=sort), _QUEUE_MAX)
    ids: list[int] = [key[0] for keys in chunks for key in keys]
    if not ids:
        return ReviewPosition(None)
    index = ids.index(entry_id) if entry_id in ids else _following(ids, entry_id or 0) if sort == DEFAULT_SORT else 0
    return ReviewPosition(
        entry_id=ids[index],
        number=index + 1,
        remaining=len(ids),
        previous_id=ids[index - 1] if index else None,
        next_id=ids[index + 1] if index + 1 < len(ids) else None,
    )


def _following(ids: list[int], entry_id: int) -> int:
    return next((index for index, each in enumerate(ids) if each >= entry_id), 0)
