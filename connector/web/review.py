"""Approval by reading: one waiting entry after the other, each with its email, decided by a key or a button."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlmodel import Session
from starlette.responses import Response

from connector.db.engine import reading, writing
from connector.db.ids import parse_id
from connector.db.tables import Connection
from connector.errors import NotFound
from connector.outbox import approvals
from connector.outbox.approvals import OutboxError
from connector.services import email_editing, outbox_search
from connector.services.lists.engine import ListQuery
from connector.services.lists.filters import Filter, FilterError
from connector.services.outbox_search import EntryView
from connector.services.review_queue import QUEUE_FILTERS, ReviewPosition, find_position
from connector.services.sending_times import explain_sending
from connector.vocabulary import Role
from connector.web.outbox import PREVIEW_FRAME_CSP, read_email, typed_lines
from connector.web.page_request import ALL_COMPANIES, PageRequest, build_url
from connector.web.routes import Route

PATH = "/outbox/review"
_NO_REASON = "Enter why it is not sent."
_DECIDED_MAX = 100_000
_KEPT = (*(each.name for each in QUEUE_FILTERS), "sort")  # of the list from which the review was opened


@dataclass(frozen=True, slots=True)
class _Progress:
    """What a page knows of those before it: the filters and the sort, how many were decided about, and the last.

    The last can be undone.
    """

    company: str = ""
    decided: int = 0
    last_id: int | None = None
    filters: Mapping[str, str] = field(default_factory=dict)

    def url(self, **query: object) -> str:
        """Return the address of the review with what it knows."""
        return build_url(
            PATH,
            **{"company": self.company, **self.filters, "decided": self.decided or "", "last": self.last_id},
            **query,
        )


@dataclass(frozen=True, slots=True)
class _QueueFilters:
    """The filters of the queue, as the macros of lists show them."""

    progress: _Progress
    companies: Sequence[Connection]
    selected_id: int | None
    problem: FilterError | None

    @property
    def active(self) -> list[tuple[str, str]]:
        """The filters in force, in words, each with the address of the review without it."""
        found = []
        for each in QUEUE_FILTERS:
            if value := self.value(each):
                shown = ", ".join(each.choices.get(name, name) for name in value.split(",")) if each.choices else value
                others = {name: text for name, text in self.progress.filters.items() if name != each.name}
                found.append((f"{each.label}: {shown}", replace(self.progress, filters=others).url()))
        return found

    @property
    def fields(self) -> Sequence[Filter]:
        """All filters."""
        return QUEUE_FILTERS

    def value(self, filter_: Filter) -> str:
        """Return what is entered in a filter."""
        return self.progress.filters.get(filter_.name, "")


def show_review(request: PageRequest) -> Response:
    """Show the first entry that awaits approval, or a certain one."""
    return _render(request, _progress(request, request.query), parse_id(request.query.get("entry", "")))


def decide(request: PageRequest) -> Response:
    """Approve, reject or edit the entry, or undo the last decision; what has changed meanwhile stays, and says so."""
    names = ("company", "decided", "last", "entry", *_KEPT)
    values = {name: request.form_value(name) for name in names}
    progress, action, entry_id = _progress(request, values), request.form_value("do"), parse_id(values["entry"])
    if entry_id is None or action not in {"approve", "reject", "edit_text", "reset_text", "undo"}:
        raise NotFound
    if action == "reject" and not request.form_value("reason"):
        return _render(request, progress, entry_id, reason_problem=_NO_REASON)
    try:
        next_id, notice = _decide(request, progress, entry_id, action)
    except OutboxError as error:
        return _render(request, progress, entry_id, problem=str(error))
    step = {"approve": 1, "reject": 1, "undo": -1}.get(action, 0)
    after = replace(progress, decided=max(0, progress.decided + step), last_id=entry_id if step > 0 else None)
    return request.redirect(after.url(entry=next_id, notice=notice))


def _decide(request: PageRequest, progress: _Progress, entry_id: int, action: str) -> tuple[int | None, str]:
    """Carry out a decision; returns the entry to read next, and the notice about what was done."""
    by, seen = request.actor.email, {entry_id: request.form_value("fingerprint")}
    with reading(request.app.engine) as session:
        _get_entry(request, session, entry_id)
        position, _filters = _find_position(request, session, progress, entry_id)
    if action in {"edit_text", "reset_text"}:
        email_editing.edit_email(request.app, entry_id, typed_lines(request), by=by, etag=seen[entry_id])
        return entry_id, "text_changed"
    with writing(request.app.engine) as session:
        if action == "undo":
            approvals.undo(session, [entry_id], by=by, at=request.now)
            return entry_id, "decision_undone"
        if action == "approve":
            approvals.approve(session, [entry_id], by=by, at=request.now, seen=seen)
            return position.next_id, ""
        reason = request.form_value("reason", 300)
        approvals.reject(session, [entry_id], by=by, at=request.now, reason=reason, seen=seen)
        return position.next_id, ""


def _render(
    request: PageRequest,
    progress: _Progress,
    entry_id: int | None,
    *,
    problem: str = "",
    reason_problem: str = "",
) -> Response:
    with reading(request.app.engine) as session:
        position, filters = _find_position(request, session, progress, entry_id)
        view = outbox_search.get_entry(session, position.entry_id) if position.entry_id else None
        if problem and entry_id is not None:  # it stays on the page, also where it awaits approval no more
            view = _get_entry(request, session, entry_id)
        last = outbox_search.get_entry(session, progress.last_id) if progress.last_id else None
        if last is not None and not request.actor.can_see(last.entry.connection_id):
            raise NotFound
        sending = explain_sending(session, view.entry, view.company, request.now) if view else None
    email, email_problem, lines = read_email(request, view) if view else (None, "", {})
    typed = typed_lines(request) if problem else {}
    response = request.render(
        "review.html",
        409 if problem else 422 if reason_problem else 200,
        filters=filters,
        view=view,
        email=email,
        email_problem=email_problem,
        lines={**lines, **typed} if lines else {},
        typed=typed,
        typed_reason=request.form_value("reason", 300) if problem else "",
        position=position,
        progress=progress,
        last=last,
        sending=sending,
        problem=problem,
        reason_problem=reason_problem,
    )
    response.headers["Content-Security-Policy"] = PREVIEW_FRAME_CSP
    return response


def _progress(request: PageRequest, values: Mapping[str, str]) -> _Progress:
    """Read what a page knows; without a company in it, the one that the user has chosen on another page."""
    kept = request.kept_company
    company, decided = values.get("company", str(kept.id) if kept else ""), parse_id(values.get("decided", "")) or 0
    filters = {name: values.get(name, "").strip()[:200] for name in _KEPT}
    return _Progress(
        company if company.isdecimal() else ALL_COMPANIES if company else "",
        min(decided, _DECIDED_MAX),
        parse_id(values.get("last", "")),
        {name: value for name, value in filters.items() if value},
    )


def _find_position(
    request: PageRequest, session: Session, progress: _Progress, entry_id: int | None
) -> tuple[ReviewPosition, _QueueFilters]:
    """Return where an entry stands among those that the filters leave; a filter that is not valid leaves none."""
    chosen = request.company_filter(session, {"company": progress.company})
    zone = request.time_zone or chosen.time_zone  # as the list that one comes from reads its days
    values = {name: text for name, text in progress.filters.items() if name != "sort"}
    query = ListQuery(chosen.ids, values, progress.filters.get("sort", ""), time_zone=zone)
    try:
        position, problem = find_position(session, query, entry_id), None
    except FilterError as error:
        position, problem = ReviewPosition(None), error
    return position, _QueueFilters(progress, chosen.companies, chosen.selected_id, problem)


def _get_entry(request: PageRequest, session: Session, entry_id: int) -> EntryView:
    view = outbox_search.get_entry(session, entry_id)
    if view is None or not request.actor.can_see(view.entry.connection_id):
        raise NotFound
    return view


ROUTES = (
    Route("GET", PATH, show_review, Role.BOOKKEEPER),
    Route("POST", PATH, decide, Role.BOOKKEEPER),
)
