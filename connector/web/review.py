"""Approval by reading: one waiting entry after the other, each with its email, decided by a key or a button."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlmodel import Session
from starlette.responses import Response

from connector.db.engine import reading, writing
from connector.db.ids import parse_id
from connector.emails.outbound.email_templates import LINE_NAMES
from connector.errors import NotFound
from connector.outbox import approvals
from connector.outbox.approvals import OutboxError
from connector.services import email_editing, outbox_search
from connector.services.outbox_search import EntryView
from connector.services.review_queue import find_position
from connector.services.sending_times import explain_sending
from connector.vocabulary import Role
from connector.web.outbox import PREVIEW_FRAME_CSP, read_email
from connector.web.page_request import PageRequest, build_url
from connector.web.routes import Route

PATH = "/outbox/review"
_NO_REASON = "Enter why it is not sent."
_DECIDED_MAX = 100_000


@dataclass(frozen=True, slots=True)
class _Progress:
    """What a page knows of those before it: how many were decided about, and the last, which can be undone."""

    company: str = ""
    decided: int = 0
    last_id: int | None = None

    def url(self, **query: object) -> str:
        """Return the address of the review with what it knows."""
        return build_url(PATH, company=self.company, decided=self.decided or "", last=self.last_id, **query)


def show_review(request: PageRequest) -> Response:
    """Show the first entry that awaits approval, or a certain one."""
    return _render(request, _progress(request.query), parse_id(request.query.get("entry", "")))


def decide(request: PageRequest) -> Response:
    """Approve, reject or edit the entry, or undo the last decision; what has changed meanwhile stays, and says so."""
    values = {name: request.form_value(name) for name in ("company", "decided", "last", "entry")}
    progress, action, entry_id = _progress(values), request.form_value("do"), parse_id(values["entry"])
    if entry_id is None or action not in {"approve", "reject", "edit_text", "reset_text", "undo"}:
        raise NotFound
    if action == "reject" and not request.form_value("reason"):
        return _render(request, progress, entry_id, reason_problem=_NO_REASON)
    try:
        next_id, notice = _decide(request, progress, entry_id, action)
    except OutboxError as error:
        return _render(request, progress, entry_id, problem=str(error))
    step = {"approve": 1, "reject": 1, "undo": -1}.get(action, 0)
    after = _Progress(progress.company, max(0, progress.decided + step), entry_id if step > 0 else None)
    return request.redirect(after.url(entry=next_id, notice=notice))


def _decide(request: PageRequest, progress: _Progress, entry_id: int, action: str) -> tuple[int | None, str]:
    """Carry out a decision; returns the entry to read next, and the notice about what was done."""
    by, seen = request.actor.email, {entry_id: request.form_value("fingerprint")}
    with reading(request.app.engine) as session:
        _get_entry(request, session, entry_id)
        position = find_position(session, _company_ids(request, session, progress.company), entry_id)
    if action in {"edit_text", "reset_text"}:
        lines = {name: request.form_value(name, 20_000) for name in LINE_NAMES if name in request.form}
        given = lines if action == "edit_text" else {}
        email_editing.edit_email(request.app, entry_id, given, by=by, etag=seen[entry_id])
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
        ids = _company_ids(request, session, progress.company)
        position = find_position(session, ids, entry_id)
        view = outbox_search.get_entry(session, position.entry_id) if position.entry_id else None
        if problem and entry_id is not None:  # it stays on the page, also where it awaits approval no more
            view = _get_entry(request, session, entry_id)
        last = outbox_search.get_entry(session, progress.last_id) if progress.last_id else None
        if last is not None and last.entry.connection_id not in ids:
            raise NotFound
        sending = explain_sending(session, view.entry, view.company, request.now) if view else None
    email, email_problem, lines = read_email(request, view) if view else (None, "", {})
    response = request.render(
        "review.html",
        409 if problem else 422 if reason_problem else 200,
        view=view,
        email=email,
        email_problem=email_problem,
        lines=lines,
        position=position,
        progress=progress,
        last=last,
        sending=sending,
        problem=problem,
        reason_problem=reason_problem,
    )
    response.headers["Content-Security-Policy"] = PREVIEW_FRAME_CSP
    return response


def _progress(values: Mapping[str, str]) -> _Progress:
    company, decided = values.get("company", ""), parse_id(values.get("decided", "")) or 0
    return _Progress(
        company if company.isdecimal() else "", min(decided, _DECIDED_MAX), parse_id(values.get("last", ""))
    )


def _company_ids(request: PageRequest, session: Session, company: str) -> list[int]:
    if company:
        return [request.company(session, parse_id(company)).id or 0]
    return [row.id or 0 for row in request.companies(session)]


def _get_entry(request: PageRequest, session: Session, entry_id: int) -> EntryView:
    view = outbox_search.get_entry(session, entry_id)
    if view is None or not request.actor.can_see(view.entry.connection_id):
        raise NotFound
    return view


ROUTES = (
    Route("GET", PATH, show_review, Role.BOOKKEEPER),
    Route("POST", PATH, decide, Role.BOOKKEEPER),
)
