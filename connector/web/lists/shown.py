"""A list as it is asked for and found: what the templates of the list pages show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlmodel import Session
from starlette.responses import Response

from connector.reports.scope import Scope
from connector.services.lists import bulk, engine
from connector.services.lists.engine import ListQuery, Totals
from connector.services.lists.filters import Filter, FilterError, FilterKind
from connector.vocabulary import Role
from connector.web.lists.view import Action, Column, ListView, Row
from connector.web.page_request import CompanyFilter, PageRequest, build_url
from connector.web.rendering import format_money

_NO_TOTALS = Totals(0, {})


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
        with_company = len(self.company_filter.shown) > 1
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
        asked = {"company": selected if selected is not None else "all"} if self.has_company_choice else {}
        values = {name: value for name, value in self.query.values.items() if value != self._default(name)}
        usual = self.view.sorts_by_state.get(self._values.get("state", ""), "")
        return {**asked, **values, **({"sort": self.query.sort} if self.query.sort not in {"", usual} else {})}

    @property
    def review_parameters(self) -> dict[str, object]:
        """The parameters of the address with which the same rows are read one by one."""
        return {name: value for name, value in self.parameters.items() if name != "state"}

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
        return any(
            self.value(each) not in {"", each.all_value, each.default}
            for each in self.further
            if each.name not in self.view.tabbed
        )

    @property
    def count_text(self) -> str:
        """How many rows match: "1,240 invoices"."""
        count = f"{'More than ' if self.totals.has_more else ''}{self.totals.count:,}"
        return f"{count} {self.view.singular if self.totals.count == 1 else self.view.plural}"

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
    def seen(self) -> str:
        """The rows of the page as they are shown, for the form that acts on all of them."""
        return " ".join(bulk.format_seen(row.key, row.version) for row in self.rows)

    @property
    def query_string(self) -> str:
        """The parameters of the address, for the form that acts on rows."""
        return self.url().partition("?")[2]

    @property
    def has_company_choice(self) -> bool:
        """Whether the list can be limited to one of several companies."""
        return self.view.listing.company is not None and len(self.company_filter.companies) > 1

    def _one(self) -> bool:
        return self.has_company_choice and self.company_filter.selected_id is not None

    def _default(self, name: str) -> str:
        found = self.view.listing.find_filter(name)
        return found.default if found is not None else ""


def render_list(shown: ShownList, **more: Any) -> Response:
    """Return the page of a list, with its times in the zone that its filters speak of."""
    return shown.request.render(
        shown.view.template, shown=shown, time_zone=shown.query.time_zone, build_url=build_url, **more
    )


def load_list(
    view: ListView,
    request: PageRequest,
    session: Session,
    asked: Mapping[str, str],
    chosen: CompanyFilter | None = None,
) -> ShownList:
    """Find what is asked of a list; a filter that is not valid shows no rows and says why."""
    listing, company_filter = view.listing, chosen or request.company_filter(session, asked)
    query = read_query(view, request, company_filter, asked)
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


def read_query(
    view: ListView, request: PageRequest, company_filter: CompanyFilter, asked: Mapping[str, str]
) -> ListQuery:
    """Return what a request asks of a list: of which companies, filtered, sorted, in which time zone."""
    names = [each.name for each in view.listing.filters]
    values = {name: asked[name].strip()[:200] for name in names if asked.get(name, "").strip()}
    sees_all = view.with_general and request.actor.companies is None and company_filter.selected_id is None
    time_zone = request.time_zone or company_filter.time_zone
    state = view.listing.find_filter("state")
    in_state = values.get("state", state.default if state is not None else "")
    return ListQuery(
        None if sees_all else company_filter.ids,
        values,
        asked.get("sort", "")[:40] or view.sorts_by_state.get(in_state, ""),
        Scope(company_filter.shown, request.now).companies_by_date(),
        time_zone,
    )
