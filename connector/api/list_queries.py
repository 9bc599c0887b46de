"""The filters and sorts of the lists as query parameters: those of the pages, generated from the same definitions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import Parameter, Signature
from typing import Annotated, Any

from fastapi import Query
from sqlmodel import Session
from starlette.responses import Response

from connector.api import problems
from connector.api.call import Call, PageQuery, encode_cursor, json_response
from connector.api.problems import ApiError
from connector.reports.scope import Scope
from connector.services.lists import engine
from connector.services.lists.engine import Key, Listing, ListQuery
from connector.services.lists.filters import Filter, FilterError, FilterKind

_VALUE_MAX = 200
_HINTS = {
    FilterKind.TEXT: "Only where this contains the text.",
    FilterKind.AMOUNT: "An amount, whatever its currency.",
    FilterKind.DATE: "A date; of an instant, its date in UTC.",
    FilterKind.ID: "The id in the accounting system.",
    FilterKind.NUMBER: "A number.",
}


@dataclass(frozen=True, slots=True)
class ListFilters:
    """The filters that a request names, and its sort ("-" before a name descends)."""

    values: Mapping[str, str] = field(default_factory=dict)
    sort: str = ""


def list_parameters(listing: Listing, *, without: Sequence[str] = ()) -> Callable[..., ListFilters]:
    """Return the dependency that parses the filters and the sort of a list."""
    offered = [each for each in listing.filters if each.name not in without]

    def parse(**given: str) -> ListFilters:
        sort = given.pop("sort")
        return ListFilters({name: value for name, value in given.items() if value.strip()}, sort)

    columns = ", ".join(listing.sorts)
    sort = f"Sort by one of: {columns}; in descending order with - before it. Rows without a value come last."
    parse.__signature__ = Signature(  # type: ignore[attr-defined]
        [*(_parameter(each.name, _describe(each)) for each in offered), _parameter("sort", sort)]
    )
    return parse


def list_query(call: Call, session: Session, connection: str, values: Mapping[str, str], sort: str) -> ListQuery:
    """Return what is asked of a list, of the named connection or of all that the client may see."""
    rows = [call.find_connection(session, connection)] if connection else call.connections(session)
    scope = Scope(rows, call.now)
    return ListQuery(scope.ids, values, sort, scope.companies_by_date())


def list_response(
    session: Session,
    listing: Listing,
    page_query: PageQuery,
    query: ListQuery,
    load: Callable[[Session, Sequence[Key]], Mapping[Key, object]],
) -> Response:
    """Return the page of a list that a request asks for; ``load`` returns items by key."""
    try:
        after = engine.check_position(listing, query.sort, list(page_query.after)) if page_query.after else None
    except FilterError as error:
        raise ApiError(problems.INVALID, f"{error.name}: {error.text}") from error
    except ValueError:
        raise ApiError(problems.INVALID, "cursor: not a cursor of this list.") from None
    try:
        page = engine.find_page(session, listing, query, after=after, size=page_query.limit)
    except FilterError as error:
        raise ApiError(problems.INVALID, f"{error.name}: {error.text}") from error
    items = load(session, page.keys)
    shown = [items[key] for key in page.keys if key in items]
    return json_response({"items": shown, "next": None if page.next is None else encode_cursor(page.next)})


def _parameter(name: str, description: str) -> Parameter:
    annotation = Annotated[str, Query(max_length=_VALUE_MAX, description=description)]
    return Parameter(name, Parameter.KEYWORD_ONLY, default="", annotation=annotation)


def _describe(each: Filter) -> str:
    if each.kind is FilterKind.CHOICE:
        return f"{each.label}: one of {', '.join(each.choices)}, or several separated by commas."
    return f"{each.label}. {_HINTS[each.kind]}"


def by_company_key(call: Call, session: Session, rows: Sequence[Any]) -> dict[Key, object]:
    """Return items that name their connection, by the company's id and their own."""
    ids = {row.short_name: row.id for row in call.connections(session)}
    return {(ids[row.connection], row.id): row for row in rows}
