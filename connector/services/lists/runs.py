"""The list of syncs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlmodel import Session, col

from connector.db.tables import Connection, SyncRun
from connector.services.lists import joins
from connector.services.lists.engine import Key, Listing, Sort
from connector.services.lists.filters import Filter, FilterKind
from connector.vocabulary import RunOutcome
from connector.vocabulary.labels import label

_COMPANY, _ID = col(SyncRun.connection_id), col(SyncRun.id)
LISTING = Listing(
    name="runs",
    table=SyncRun,
    company=_COMPANY,
    key=(_ID,),
    sorts={
        "id": Sort(),
        "company": Sort(joins.COMPANY_NAME, needs=(joins.COMPANY,)),
        "outcome": Sort(col(SyncRun.outcome)),
    },
    default_sort="-id",
    filters=(
        Filter(
            "state", "Result", FilterKind.CHOICE, joins.equals(col(SyncRun.outcome), RunOutcome),
            {each.value: label(each) for each in RunOutcome},
        ),
        *joins.instant_filters(col(SyncRun.started_at), "Started", ("started_from", "started_to")),
    ),
    joins={joins.COMPANY: joins.company_join(_COMPANY)},
)  # fmt: skip


def load_lines(session: Session, keys: Sequence[Key]) -> list[tuple[SyncRun, Connection]]:
    """Return the runs with these keys, in their order, each with its company."""
    ids = [key[0] for key in keys]
    query: Any = select(SyncRun, Connection).join(Connection, col(Connection.id) == _COMPANY).where(_ID.in_(ids))
    found = {run.id: (run, company) for run, company in session.execute(query)}
    return [found[each] for each in ids if each in found]
