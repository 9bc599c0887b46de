"""The handlers of every list page: show a page of it, act on chosen rows, export it as CSV."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import parse_qs

from sqlalchemy import select
from sqlmodel import Session
from starlette.responses import Response, StreamingResponse

from connector.arrangements.agreements import AgreementError, Attribution
from connector.arrangements.undone_acts import RecentAct, find_act, undo_act
from connector.db.engine import reading, writing
from connector.errors import NotFound, NotPossible
from connector.reports.csv_export import csv_lines
from connector.services.lists import bulk, engine
from connector.services.lists.bulk import SEEN_MAX, Actor, SeenRow
from connector.services.lists.engine import ListQuery
from connector.services.lists.filters import FilterError
from connector.vocabulary import Role
from connector.web.lists.shown import load_list, read_query, render_list
from connector.web.lists.view import Action, ListView, Row
from connector.web.page_request import PageRequest, build_url
from connector.web.routes import Handler, Route

EXPORT_MAX = 100_000
_PREVIEWED = 10


def list_routes(
    view: ListView, *, export: bool = True, act: bool = True, show: Handler | bool = True
) -> tuple[Route, ...]:
    """Return the routes of a list page; ``show`` is its handler where it is not the plain one, False for no page."""
    shown = partial(show_list, view) if show is True else show
    routes = [Route("GET", view.path, shown, view.min_role)] if shown else []
    if act:
        routes.append(Route("POST", view.path, partial(act_on_rows, view), Role.BOOKKEEPER))
    if export:
        routes.append(Route("GET", f"{view.path}.csv", partial(export_list, view), view.export_role))
    return tuple(routes)


def show_list(view: ListView, request: PageRequest, **more: Any) -> Response:
    """Show a page of a list."""
    with reading(request.app.engine) as session:
        shown = load_list(view, request, session, request.query)
        undo = _find_act(request, session, request.query.get("undo", ""))
    return render_list(shown, undo=undo, **more)


def _find_act(request: PageRequest, session: Session, at_text: str) -> RecentAct | None:
    """Return what the user has just done to rows of a list, and can undo."""
    try:
        at = datetime.fromisoformat(at_text) if at_text else None
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        return None
    act = find_act(session, by=request.actor.email, at=at, now=request.now)
    if act is None or not all(map(request.actor.can_see, act.companies)):
        return None
    return act


def export_list(view: ListView, request: PageRequest) -> Response:
    """Return all rows that match as CSV."""
    with reading(request.app.engine) as session:
        query = read_query(view, request, request.company_filter(session), request.query)
        _check(view, query)
    return _csv_response(view, request, _all_rows(view, request, query))


def act_on_rows(view: ListView, request: PageRequest) -> Response:
    """Act on the rows that were chosen, on all of the page, or on all that match once that is confirmed.

    What is not as the user saw it any more is left as it is, and listed.
    """
    asked = {name: values[0] for name, values in parse_qs(request.form_value("query", 4000)).items()}
    name, scope = request.form_value("do"), request.form_value("scope") or "selected"
    if name == "undo":
        return _undo(view, request, asked)
    with reading(request.app.engine) as session:
        query = read_query(view, request, request.company_filter(session, asked), asked)
    values = {each.name: query.values.get(each.name, each.default) for each in view.listing.filters}
    action = next((each for each in view.actions(values) if each.value == name), None)
    if action is None and name != "export":
        raise NotFound
    if scope == "matching":
        return _confirm(view, request, asked, query, action)
    together = {"seen": "seen", "page": "shown"}.get(scope)
    texts = request.form_value(together, 200_000).split() if together else request.form.get("id", ())
    rows = bulk.parse_seen(texts, pairs=len(view.listing.key) > 1)
    if not rows:
        raise NotPossible("Nothing is selected.")
    if action is None:
        return _csv_response(view, request, _chosen_rows(view, request, rows))
    return _act(view, request, action, rows, asked)


def _undo(view: ListView, request: PageRequest, asked: Mapping[str, str]) -> Response:
    """Undo what the user has just done to rows of the list: all of it, or nothing."""
    try:
        with writing(request.app.engine) as session:
            act = _find_act(request, session, request.form_value("at"))
            if act is None:
                raise NotPossible("This was undone or changed already, or is too long ago. Nothing was changed.")
            undo_act(session, act, Attribution(request.actor.email, request.now))
    except AgreementError as error:
        raise NotPossible(str(error)) from error
    return request.redirect(view.path, **{**_kept(asked), "notice": "agreement_undone"})


def _kept(asked: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters of a list that stay after an act."""
    return {name: value for name, value in asked.items() if name not in {"after", "before", "notice", "undo"}}


def _act(
    view: ListView, request: PageRequest, action: Action, rows: Sequence[SeenRow], asked: Mapping[str, str]
) -> Response:
    result = action.apply(request, rows, Actor(request.actor.email, request.actor.companies))
    back = _kept(asked)
    if not result.left and len(rows) < SEEN_MAX:
        undo = {"undo": result.undo_at.isoformat()} if action.can_undo and result.undo_at is not None else {}
        return request.redirect(view.path, notice=action.notice, **undo, **back)
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


def _check(view: ListView, query: ListQuery) -> None:
    """Raise ``NotPossible`` where a filter is not valid."""
    try:
        engine.split_sort(view.listing, query.sort)
        engine.parse_values(view.listing, query)
    except FilterError as error:
        raise NotPossible(error.on_page) from error


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
