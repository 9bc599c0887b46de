"""The list of the lines of the sync log."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import aliased
from sqlmodel import Session, col

from connector.audit import log_search
from connector.db.tables import Connection, CustomerRow, InvoiceRow, SyncLogEntry
from connector.services.lists import joins
from connector.services.lists.engine import Key, Listing, Sort
from connector.services.lists.filters import Condition, Filter, FilterKind, spellings
from connector.vocabulary import LogKind
from connector.vocabulary.labels import vocabularies

_COMPANY, _ID = col(SyncLogEntry.connection_id), col(SyncLogEntry.id)
_NAMES = vocabularies()
_about_line: Any = aliased(SyncLogEntry)


def _of_companies(ids: Collection[int]) -> ColumnElement[bool]:
    """Return the condition "of these companies" so that a year of lines is never sorted for one page."""
    return log_search.in_companies(_COMPANY, ids)


def _about(table: Any, name: Any, own: Any) -> Condition:
    """Return the condition that a line is about a record of this id, or with a name that contains the text.

    The lines are found from the records, by an index, and not by reading a year of lines: "+ 0" sees to that.
    """

    def condition(value: object, _when: object) -> ColumnElement[bool]:
        text = str(value)
        is_named = [name.icontains(each, autoescape=True) for each in spellings(text)]
        found = select(_about_line.id).join(
            table, and_(_about_line.connection_id == table.connection_id + 0, table.external_id == own)
        )
        return _ID.in_(found.where(or_(table.external_id == text, *is_named)))

    return condition


LISTING = Listing(
    name="log",
    table=SyncLogEntry,
    company=_COMPANY,
    key=(_ID,),
    sorts={
        "id": Sort(),
        "kind": Sort(col(SyncLogEntry.kind)),
        "company": Sort(joins.COMPANY_NAME, needs=(joins.COMPANY,)),
    },
    default_sort="-id",
    filters=(
        Filter(
            "customer", "Customer", FilterKind.TEXT,
            _about(CustomerRow, col(CustomerRow.name), _about_line.customer_id),
        ),
        Filter(
            "invoice", "Invoice", FilterKind.TEXT,
            _about(InvoiceRow, col(InvoiceRow.number), _about_line.invoice_id),
        ),
        Filter(
            "kind", "Kind", FilterKind.CHOICE, joins.equals(col(SyncLogEntry.kind), LogKind),
            {each.value: _NAMES["log_kind"][each] for each in LogKind},
        ),
        Filter("text", "Text", FilterKind.TEXT, joins.contains(col(SyncLogEntry.text))),
        *joins.instant_filters(col(SyncLogEntry.at), "Time", ("since", "until")),
        Filter("run", "Sync", FilterKind.NUMBER, lambda value, _when: col(SyncLogEntry.run_id) == value),
    ),
    joins={joins.COMPANY: lambda found: found.outerjoin(Connection, col(Connection.id) == _COMPANY)},
    of_companies=_of_companies,
    count_max=10_000,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line as the list shows it; ``company`` is None where it belongs to none."""

    row: SyncLogEntry
    company: Connection | None
    customer: str
    number: str


def load_lines(session: Session, keys: Sequence[Key]) -> list[LogLine]:
    """Return the lines with these keys, in their order."""
    ids = [key[0] for key in keys]
    query: Any = select(SyncLogEntry, Connection).where(_ID.in_(ids))
    found = {row.id: (row, company) for row, company in session.execute(LISTING.joins[joins.COMPANY](query))}
    names = log_search.names_of(session, [row for row, _company in found.values()])
    return [LogLine(*found[each], *names[each]) for each in ids if each in found]
