"""The engine of every list: filters, sorting by any column, pages by keyset, and totals that never cross a currency.

A page begins after the last row of the one before, by value and key, so that rows added or removed meanwhile neither
repeat nor hide others. Rows without a value in the sorted column come last, in either direction. Only keys are found
here, a page at a time; each list loads what it shows of them.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import MAXYEAR, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, or_, select, tuple_
from sqlmodel import Session

from connector.db.money import from_e4
from connector.services.lists.filters import Filter, FilterError, FilterValue, Today

PAGE_SIZE = 50
_CHUNK_SIZE = 2000
_CURSOR_MAX = 1000
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

Key = tuple[Any, ...]  # of a row: a number, or a company's id and the ledger's
Position = Sequence[str | int | None]  # of a row in a sorted list: its value in the column, then its key
Join = Callable[[Select[Any]], Select[Any]]


class ValueKind(StrEnum):
    """What a sorted column holds."""

    INTEGER = "integer"
    TEXT = "text"
    DATE = "date"
    INSTANT = "instant"


@dataclass(frozen=True, slots=True)
class Sort:
    """A column that the list can be sorted by; without an expression it is the key. ``needs`` names joins."""

    expression: Any = None
    kind: ValueKind = ValueKind.TEXT
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Listing:
    """What can be asked of a list; ``key`` is unique. ``amounts`` are money columns by name.

    ``company`` is None where rows belong to no company; ``count_max`` is where counting ends, 0 for nowhere.
    """

    name: str
    table: Any
    company: Any
    key: tuple[Any, ...]
    sorts: Mapping[str, Sort]
    filters: tuple[Filter, ...]
    default_sort: str  # "-" before a name sorts in descending order
    currency: Any = None
    amounts: Mapping[str, Any] = field(default_factory=dict)
    amounts_of: Callable[[Any], Select[Any]] | None = None  # the query of the amounts, where others have them
    joins: Mapping[str, Join] = field(default_factory=dict)
    always: Sequence[ColumnElement[bool]] = ()  # conditions of the list itself
    of_companies: Callable[[Collection[int]], ColumnElement[bool]] | None = None  # where ``company`` is no plain column
    count_max: int = 0

    def find_filter(self, name: str) -> Filter | None:
        """Return the filter of this name."""
        return next((each for each in self.filters if each.name == name), None)


def with_default(listing: Listing, name: str, value: str) -> Listing:
    """Return the list with a filter that is set where nothing is asked for."""
    return replace(
        listing,
        filters=tuple(replace(each, default=value) if each.name == name else each for each in listing.filters),
    )


@dataclass(frozen=True, slots=True)
class ListQuery:
    """What is asked of a list: of these companies, with these values of its filters, sorted like this.

    ``company_ids`` None are all companies, and what belongs to none.
    """

    company_ids: Collection[int] | None
    values: Mapping[str, str] = field(default_factory=dict)
    sort: str = ""
    dates: Sequence[tuple[date, Collection[int]]] = ()  # today in each company, the earliest first
    time_zone: str = "UTC"  # of the days of instants

    def today_of(self, listing: Listing) -> Today:
        """Return today for the filters and amounts of a list."""
        return Today(listing.company, self.dates or ((date.max, self.company_ids or ()),), self.time_zone)


@dataclass(frozen=True, slots=True)
class KeyPage:
    """The keys of a page; ``next`` and ``previous`` are positions, None at an end of the list."""

    keys: list[Key]
    next: Position | None
    previous: Position | None


@dataclass(frozen=True, slots=True)
class Totals:
    """How many rows match, and their totals by column and currency."""

    count: int
    amounts: Mapping[str, Mapping[str, Decimal]]
    has_more: bool = False  # there are more rows than were counted


def split_sort(listing: Listing, sort: str) -> tuple[str, bool]:
    """Return the column to sort by and whether it descends; a column that the list has not is an error."""
    sort = sort or listing.default_sort
    name, descending = sort.removeprefix("-"), sort.startswith("-")
    if name not in listing.sorts:
        wrong = f"This list cannot be sorted by {name!r}."
        text = f"{wrong} Choose one of {', '.join(listing.sorts)}."
        raise FilterError("sort", text, on_page=f"{wrong} Choose one of its columns.")
    return name, descending


def find_page(
    session: Session,
    listing: Listing,
    query: ListQuery,
    *,
    after: Position | None = None,
    before: Position | None = None,
    size: int = PAGE_SIZE,
) -> KeyPage:
    """Return the keys of the page that begins after a position, or ends before one."""
    name, descending = split_sort(listing, query.sort)
    sort = listing.sorts[name]
    found = _keys_query(listing, query, sort)
    position = before or after
    if position is not None:
        found = found.where(_beyond(listing, sort, position, descending=descending, backwards=before is not None))
    found = found.order_by(*_order(listing, sort, descending=descending, backwards=before is not None)).limit(size + 1)
    rows = [tuple(row) for row in session.execute(found)]
    has_more, rows = len(rows) > size, rows[:size]
    if before is not None:
        rows.reverse()
    first, last = (_position(sort, rows[0]), _position(sort, rows[-1])) if rows else (None, None)
    has_next, has_previous = (True, has_more) if before is not None else (has_more, after is not None)
    keys = [row[1:] for row in rows]
    return KeyPage(keys, last if has_next else None, first if has_previous else None)


def iter_keys(session: Session, listing: Listing, query: ListQuery, limit: int) -> Iterator[list[Key]]:
    """Yield up to ``limit`` keys in the order of the list, in chunks."""
    after: Position | None = None
    while limit > 0:
        page = find_page(session, listing, query, after=after, size=min(_CHUNK_SIZE, limit))
        if page.keys:
            yield page.keys
        limit -= len(page.keys)
        after = page.next
        if after is None:
            return


def count_totals(session: Session, listing: Listing, query: ListQuery) -> Totals:
    """Return how many rows match and what they add up to, in one query."""
    if listing.amounts_of is not None:
        return _count_totals_elsewhere(session, listing, query)
    if listing.count_max:
        some = _filtered(listing, query, select(listing.key[0]).select_from(listing.table), ())
        found = select(func.count()).select_from(some.limit(listing.count_max + 1).subquery())
        count = int(session.execute(found).scalar_one())
        return Totals(min(count, listing.count_max), {}, has_more=count > listing.count_max)
    sums = [func.sum(column) for column in listing.amounts.values()]
    of_currency = [] if listing.currency is None else [listing.currency]
    found = _filtered(listing, query, select(func.count(), *of_currency, *sums).select_from(listing.table), ())
    if of_currency:
        found = found.group_by(*of_currency).order_by(*of_currency)
    count, amounts = 0, {name: dict[str, Decimal]() for name in listing.amounts}
    for row in session.execute(found):
        count += row[0]
        for name, total in zip(listing.amounts, row[1 + len(of_currency) :], strict=True):
            if total is not None and row[1]:
                amounts[name][row[1]] = from_e4(int(total))
    return Totals(count, amounts)


def _count_totals_elsewhere(session: Session, listing: Listing, query: ListQuery) -> Totals:
    """Count the rows, and total the amounts of what belongs to them: rows of currency and amounts."""
    assert listing.amounts_of is not None  # noqa: S101 - the caller has looked
    matching = _filtered(listing, query, select(*listing.key).select_from(listing.table), ()).subquery()
    today = query.today_of(listing).as_parameters()
    count = session.execute(select(func.count()).select_from(matching).params(**today)).scalar_one()
    amounts = {name: dict[str, Decimal]() for name in listing.amounts}
    for currency, *totals in session.execute(listing.amounts_of(matching).params(**today)):
        for name, total in zip(amounts, totals, strict=True):
            if total:
                amounts[name][currency] = from_e4(int(total))
    return Totals(int(count), amounts)


def parse_values(listing: Listing, query: ListQuery) -> dict[str, FilterValue]:
    """Return the values of the filters that are set, parsed; raises ``FilterError`` for the first that is not valid."""
    found = {}
    for each in listing.filters:
        value = each.parse(query.values.get(each.name, each.default))
        if value is not None:
            found[each.name] = value
    return found


def encode_position(position: Position | None) -> str:
    """Return a position as text for an address; "" for None."""
    if position is None:
        return ""
    return base64.urlsafe_b64encode(json.dumps(list(position), separators=(",", ":")).encode()).decode().rstrip("=")


def decode_position(listing: Listing, sort: str, text: str) -> Position | None:
    """Return the position that a text stands for; None for "", and for what stands for none in this order."""
    try:
        position = json.loads(base64.b64decode(text[:_CURSOR_MAX] + "=" * (-len(text) % 4), b"-_", validate=True))
        return check_position(listing, sort, position) if text else None
    except (ValueError, binascii.Error, RecursionError):
        return None


def check_position(listing: Listing, sort: str, position: Any) -> Position:
    """Return a position if it can be one of this list in this order; raises ``ValueError``."""
    if not isinstance(position, list | tuple) or len(position) != len(listing.key) + 1:
        raise ValueError(position)
    name, _descending = split_sort(listing, sort)
    _parse_value(listing.sorts[name].kind, position[0])
    for column, value in zip(listing.key, position[1:], strict=True):
        if not isinstance(value, column.type.python_type) or not _fits(value):
            raise ValueError(position)
    return position


def _fits(value: object) -> bool:
    """Return whether every database can compare a column with a value."""
    if isinstance(value, str):
        return _UNSTORABLE.search(value) is None
    return not isinstance(value, int) or (not isinstance(value, bool) and 0 <= value < 2**31)


def _parse_integer(text: str) -> int:
    value = int(text)
    if not -(2**63) <= value < 2**63:  # more than a column holds
        raise ValueError(text)
    return value


def _keys_query(listing: Listing, query: ListQuery, sort: Sort) -> Select[Any]:
    value = sort.expression if sort.expression is not None else listing.key[0]
    columns = select(value, *listing.key).select_from(listing.table)
    return _filtered(listing, query, columns, sort.needs)


def _filtered(listing: Listing, query: ListQuery, found: Select[Any], needs: tuple[str, ...]) -> Select[Any]:
    """Add the joins and conditions that the query asks for, and no others."""
    conditions: list[ColumnElement[bool]] = [*_of_companies(listing, query.company_ids), *listing.always]
    wanted = dict.fromkeys(needs)
    for name, value in parse_values(listing, query).items():
        filter_ = listing.find_filter(name)
        assert filter_ is not None  # noqa: S101 - they come from the list's own filters
        wanted |= dict.fromkeys(filter_.needs)
        conditions.append(filter_.condition(value, query.today_of(listing)))
    for name in wanted:
        found = listing.joins[name](found)
    return found.where(*conditions).params(**query.today_of(listing).as_parameters())


def _of_companies(listing: Listing, company_ids: Collection[int] | None) -> list[ColumnElement[bool]]:
    if company_ids is None or listing.company is None:
        return []
    return [(listing.of_companies or listing.company.in_)(list(company_ids))]


def _order(listing: Listing, sort: Sort, *, descending: bool, backwards: bool) -> list[Any]:
    down = descending != backwards
    keys = [column.desc() if down else column.asc() for column in listing.key]
    if sort.expression is None:
        return keys
    empty = sort.expression.is_(None)
    value = sort.expression.desc() if down else sort.expression.asc()
    return [empty.desc() if backwards else empty, value, *keys]


def _beyond(
    listing: Listing, sort: Sort, position: Position, *, descending: bool, backwards: bool
) -> ColumnElement[bool]:
    """Return the condition "after this position", or "before it" where the list is read backwards."""
    down = descending != backwards
    row_key, last_key = tuple_(*listing.key), tuple_(*position[1:], types=[column.type for column in listing.key])
    beyond_key = row_key < last_key if down else row_key > last_key
    if sort.expression is None:
        return beyond_key
    column, value = sort.expression, _parse_value(sort.kind, position[0])
    if value is None:
        same = and_(column.is_(None), beyond_key)
        return or_(column.is_not(None), same) if backwards else same
    further = column < value if down else column > value
    found = or_(further, and_(column == value, beyond_key))
    return found if backwards else or_(found, column.is_(None))


def _position(sort: Sort, row: tuple[Any, ...]) -> Position:
    value = row[0]
    text = value.isoformat() if isinstance(value, date | datetime) else None if value is None else str(value)
    return [text if sort.expression is not None else "", *row[1:]]


def _parse_value(kind: ValueKind, text: Any) -> Any:
    """Return the value of a position; raises ``ValueError`` where it is none of this kind."""
    if text is None:
        return None
    if not isinstance(text, str) or not _fits(text):
        raise ValueError(text)
    if text == "" and kind is not ValueKind.TEXT:
        return None
    if kind is ValueKind.INTEGER:
        return _parse_integer(text)
    if kind is ValueKind.DATE:
        return date.fromisoformat(text)
    if kind is ValueKind.INSTANT:
        at = datetime.fromisoformat(text)
        if at.tzinfo is None or not 1 < at.year < MAXYEAR:  # the first and last days are not instants in each zone
            raise ValueError(text)
        return at
    return text
