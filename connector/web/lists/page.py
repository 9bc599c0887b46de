"""The handlers of every list page: show a page of it, act on chosen rows, export it as CSV."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any
from urllib.parse import parse_qs

from sqlalchemy import select
from sqlmodel import Session
from starlette.responses import Response, StreamingResponse

from connector.db.engine import reading
from connector.errors import NotFound, NotPossible
from connector.reports.csv_export import csv_lines
from connector.reports.scope import Scope
from connector.services.lists import bulk, engine
from connector.services.lists.bulk import SEEN_MAX, Actor, SeenRow
from connector.services.lists.engine import ListQuery, Totals
from connector.services.lists.filters import Filter, FilterError, FilterKind
from connector.vocabulary import Role
from connector.web.lists.view import Action, Column, ListView, Row
from connector.web.page_request import CompanyFilter, PageRequest, build_url
from connector.web.rendering import format_money
from connector.web.routes import Route

EXPORT_MAX = 100_000
_PREVIEWED = 10
_NO_TOTALS = Totals(0, {})


def list_routes(view: ListView, *, export: bool = True, act: bool = True) -> tuple[Route, ...]:
    """Return the routes of a list page."""
    routes = [Route("GET", view.path, partial(show_list, view), view.min_role)]
    if act:
        routes.append(Route("POST", view.path, partial(act_on_rows, view), Role.BOOKKEEPER))
    if export:
        routes.append(Route("GET", f"{view.path}.csv", partial(export_list, view), view.export_role))
    return tuple(routes)


@dataclass(frozen=True)
class ShownList:
    """A list as it is asked for and found, for the template."""

    request: PageRequest
    view: ListView
    company_filter: CompanyFilter
    query: ListQuery
    problem: FilterError | None
    rows: Sequence[Row]
    totals: Totals
    next: str
    previous: str

    @cached_property
    def columns(self) -> list[tuple[int, Column]]:
        """The columns that are shown, with their positions in the rows."""
        with_company = len(self.company_filter.companies) > 1
        return [(place, each) for place, each in enumerate(self.view.columns) if with_company or not each.is_company]

    @cached_property
    def sort(self) -> str:
        """The sort in force."""
        try:
            engine.split_sort(self.view.listing, self.query.sort)
        except FilterError:
            return self.view.listing.default_sort
        return self.query.sort or self.view.listing.default_sort

    @cached_property
    def parameters(self) -> dict[str, object]:
        """The filters and the sort, as parameters of the address."""
        selected = self.company_filter.selected_id
        asked = {"company": selected if selected is not None else "all"} if self.company_filter.companies[1:] else {}
        values = {name: value for name, value in self.query.values.items() if value != self._default(name)}
        return {**asked, **values, **({"sort": self.query.sort} if self.query.sort else {})}

    def url(self, **changes: object) -> str:
        """Return the address of this list with other parameters."""
        return build_url(self.view.path, **{**self.parameters, **changes})

    @property
    def csv_url(self) -> str:
        """The address of the export."""
        return build_url(f"{self.view.path}.csv", **self.parameters)

    def sort_url(self, column: Column) -> str:
        """Return the address of this list sorted by a column, the other way round where it is already."""
        ascending = self.sort != column.sort
        return self.url(sort=column.sort if ascending else f"-{column.sort}")

    def aria_sort(self, column: Column) -> str:
        """Return whether the list is sorted by a column, for ``aria-sort``."""
        return {column.sort: "ascending", f"-{column.sort}": "descending"}.get(self.sort, "none")

    def value(self, filter_: Filter) -> str:
        """Return what is entered in a filter."""
        return self.query.values.get(filter_.name, filter_.default)

    @cached_property
    def prominent(self) -> list[Filter]:
        """The filters that are always in sight."""
        return [each for each in self.view.listing.filters if each.name in self.view.prominent]

    @cached_property
    def further(self) -> list[Filter]:
        """The other filters."""
        return [
            each
            for each in self.view.listing.filters
            if each.name not in self.view.prominent and each.kind is not FilterKind.ID
        ]

    @cached_property
    def kept(self) -> dict[str, str]:
        """The filters that a link has set, which the form keeps without a field."""
        found = {each.name: self.value(each) for each in self.view.listing.filters if each.kind is FilterKind.ID}
        return {name: value for name, value in found.items() if value}

    @cached_property
    def active(self) -> list[tuple[str, str]]:
        """The filters in force, in words, each with the address of the list without it."""
        found = [(f"Company: {row.name}", self.url(company="all")) for row in self.company_filter.shown if self._one()]
        for each in self.view.listing.filters:
            value = self.value(each)
            if value not in {"", each.all_value}:
                shown = ", ".join(each.choices.get(name, name) for name in value.split(",")) if each.choices else value
                text = each.label if each.kind is FilterKind.ID else f"{each.label}: {shown}"
                found.append((text, self.url(**{each.name: each.all_value})))
        return found

    @property
    def empty_text(self) -> str:
        """Why the list is empty, and "" where that is because of the filters."""
        set_by_user = {name for name, value in self.query.values.items() if value != self._default(name)}
        if set_by_user - {"state"} or self._one():
            return ""
        state = self._values.get("state", "")
        return self.view.empty_states.get(state, "" if set_by_user else self.view.empty)

    @property
    def has_further(self) -> bool:
        """Whether one of the further filters is in force."""
        return any(self.value(each) not in {"", each.all_value, each.default} for each in self.further)

    @property
    def count_text(self) -> str:
        """How many rows match: "1,240 invoices"."""
        return f"{self.totals.count:,} {self.view.singular if self.totals.count == 1 else self.view.plural}"

    def total_texts(self, column: Column) -> list[str]:
        """Return the totals of a column, one for each currency."""
        amounts = self.totals.amounts.get(column.total, {})
        return [format_money(amount, currency) for currency, amount in amounts.items()]

    @cached_property
    def actions(self) -> tuple[Action, ...]:
        """What the user may do with chosen rows."""
        return self.view.actions(self._values) if self.rows and self.request.actor.has_role(Role.BOOKKEEPER) else ()

    @property
    def _values(self) -> dict[str, str]:
        return {each.name: self.value(each) for each in self.view.listing.filters}

    @property
    def has_more_than_page(self) -> bool:
        """Whether more rows match than the page shows."""
        return self.totals.count > len(self.rows)

    @property
    def query_string(self) -> str:
        """The parameters of the address, for the form that acts on rows."""
        return self.url().partition("?")[2]

    def _one(self) -> bool:
        return self.company_filter.selected_id is not None and len(self.company_filter.companies) > 1

    def _default(self, name: str) -> str:
        found = self.view.listing.find_filter(name)
        return found.default if found is not None else ""


def show_list(view: ListView, request: PageRequest, **more: Any) -> Response:
    """Show a page of a list."""
    with reading(request.app.engine) as session:
        shown = load_list(view, request, session, request.query)
    return request.render(view.template, shown=shown, build_url=build_url, **more)


def load_list(
    view: ListView,
    request: PageRequest,
    session: Session,
    asked: Mapping[str, str],
    chosen: CompanyFilter | None = None,
) -> ShownList:
    """Find what is asked of a list; a filter that is not valid shows no rows and says why."""
    listing, company_filter = view.listing, chosen or request.company_filter(session, asked)
    query = _read_query(view, request, company_filter, asked)
    try:
        after, before = asked.get("after", ""), asked.get("before", "")
        found = engine.find_page(
            session,
            listing,
            query,
            after=engine.decode_position(listing, query.sort, after),
            before=engine.decode_position(listing, query.sort, before),
        )
        if not found.keys and (after or before):  # the rows of this page are gone: begin anew
            found = engine.find_page(session, listing, query)
        totals = engine.count_totals(session, listing, query)
    except FilterError as error:
        return ShownList(request, view, company_filter, query, error, [], _NO_TOTALS, "", "")
    rows = view.load(request, session, found.keys)
    next_, previous = engine.encode_position(found.next), engine.encode_position(found.previous)
    return ShownList(request, view, company_filter, query, None, rows, totals, next_, previous)


def export_list(view: ListView, request: PageRequest) -> Response:
    """Return all rows that match as CSV."""
    with reading(request.app.engine) as session:
        query = _read_query(view, request, request.company_filter(session), request.query)
        _check(view, query)
    return _csv_response(view, request, _all_rows(view, request, query))


def act_on_rows(view: ListView, request: PageRequest) -> Response:
    """Act on the rows that were chosen, on all of the page, or on all that match once that is confirmed.

    What is not as the user saw it any more is left as it is, and listed.
    """
    asked = {name: values[0] for name, values in parse_qs(request.form_value("query", 4000)).items()}
    name, scope = request.form_value("do"), request.form_value("scope") or "selected"
    with reading(request.app.engine) as session:
        query = _read_query(view, request, request.company_filter(session, asked), asked)
    values = {each.name: query.values.get(each.name, each.default) for each in view.listing.filters}
    action = next((each for each in view.actions(values) if each.value == name), None)
    if action is None and name != "export":
        raise NotFound
    if scope == "matching":
        return _confirm(view, request, asked, query, action)
    texts = request.form_value("seen", 200_000).split() if scope == "seen" else request.form.get(
        "all_ids" if scope == "page" else "id", ()
    )  # fmt: skip
    rows = bulk.parse_seen(texts, pairs=len(view.listing.key) > 1)
    if not rows:
        raise NotPossible("Nothing is selected.")
    if action is None:
        return _csv_response(view, request, _chosen_rows(view, request, rows))
    return _act(view, request, action, rows, asked)


def _act(
    view: ListView, request: PageRequest, action: Action, rows: Sequence[SeenRow], asked: Mapping[str, str]
) -> Response:
    result = action.apply(request, rows, Actor(request.actor.email, request.actor.companies))
    back = {name: value for name, value in asked.items() if name not in {"after", "before", "notice"}}
    if not result.left and len(rows) < SEEN_MAX:
        return request.redirect(view.path, notice=action.notice, **back)
    left = ["Left as they are:", *result.reasons] if result.left else []
    done = f"{result.done:,} of {len(rows):,} {action.done}."
    title = "Some were changed meanwhile" if result.left and result.done else "Not possible" if result.left else "Done"
    return request.render(
        "message.html",
        200 if result.done or not result.left else 409,
        title=title,
        lines=[f"{done} {left[0]}" if left else done, *left[1:]],
        link=build_url(view.path, **back),
        link_text="Review again" if left else f"Back to the {view.plural}",
    )


def _confirm(
    view: ListView, request: PageRequest, asked: Mapping[str, str], query: ListQuery, action: Action | None
) -> Response:
    """Show what "all that match" are, and ask: what is confirmed is exactly these rows, as they are now."""
    _check(view, query)
    if action is None:
        return request.redirect(f"{view.path}.csv", **asked)
    with reading(request.app.engine) as session:
        shown = load_list(view, request, session, {**asked, "after": "", "before": ""})
        rows: list[Row] = []
        for keys in engine.iter_keys(session, view.listing, query, SEEN_MAX):
            rows += view.load(request, session, keys)
    if not rows:
        raise NotPossible("Nothing matches any more.")
    seen = " ".join(bulk.format_seen(row.key, row.version) for row in rows)
    fields = {each.name: request.form_value(each.name) for each in action.fields}
    return request.render(
        "list_confirm.html", shown=shown, action=action, rows=rows, seen=seen, fields=fields, previewed=_PREVIEWED
    )


def _read_query(
    view: ListView, request: PageRequest, company_filter: CompanyFilter, asked: Mapping[str, str]
) -> ListQuery:
    names = [each.name for each in view.listing.filters]
    values = {name: asked[name].strip()[:200] for name in names if asked.get(name, "").strip()}
    dates = Scope(company_filter.shown, request.now).companies_by_date()
    return ListQuery(company_filter.ids, values, asked.get("sort", "")[:40], request.now.date(), dates)


def _check(view: ListView, query: ListQuery) -> None:
    """Raise ``NotPossible`` where a filter is not valid."""
    try:
        engine.split_sort(view.listing, query.sort)
        engine.parse_values(view.listing, query)
    except FilterError as error:
        raise NotPossible(str(error)) from error


def _all_rows(view: ListView, request: PageRequest, query: ListQuery) -> Iterator[Row]:
    with reading(request.app.engine) as session:
        for keys in engine.iter_keys(session, view.listing, query, EXPORT_MAX):
            yield from view.load(request, session, keys)


def _chosen_rows(view: ListView, request: PageRequest, chosen: Sequence[SeenRow]) -> Iterator[Row]:
    with reading(request.app.engine) as session:
        visible = {row.id for row in request.companies(session)}
        rows = view.load(request, session, [each.key for each in chosen])
        companies = dict(_companies_of(view, session, [row.key for row in rows]))
        yield from (row for row in rows if companies.get(row.key) in visible)


def _companies_of(view: ListView, session: Session, keys: Sequence[engine.Key]) -> Iterator[tuple[engine.Key, int]]:
    listing = view.listing
    if len(listing.key) > 1:  # the company is part of the key
        yield from ((key, key[0]) for key in keys)
        return
    for start in range(0, len(keys), 500):
        some = [key[0] for key in keys[start : start + 500]]
        for row_id, company in session.execute(select(listing.key[0], listing.company).where(listing.key[0].in_(some))):
            yield (row_id,), company


def _csv_response(view: ListView, request: PageRequest, rows: Iterator[Row]) -> Response:
    def lines() -> Iterator[str]:
        yield from csv_lines([view.csv_headings])
        yield from csv_lines(row.exported for row in rows)

    name = f"duewell-{view.path.strip('/').replace('/', '-')}-{request.now:%Y-%m-%d}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(lines(), media_type="text/csv; charset=utf-8", headers=headers)
