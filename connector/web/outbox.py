"""The outbox: what is planned, awaiting approval, sent or unconfirmed; approved, rejected, resolved, edited, waived."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sqlmodel import Session
from starlette.responses import HTMLResponse, Response

from connector.db.engine import reading, writing
from connector.db.ids import parse_id
from connector.db.invoice_names import names_of
from connector.emails.outbound.email_templates import LINE_NAMES
from connector.errors import InvalidField, NotFound
from connector.outbox import approvals
from connector.outbox.approvals import OutboxError
from connector.services import email_editing, email_preview, entry_email, outbox_search
from connector.services import fees as late_fees
from connector.services.entry_email import EntryEmail
from connector.services.outbox_search import EntryView
from connector.services.sending_times import explain_sending
from connector.vocabulary import Role
from connector.web.page_request import PageRequest
from connector.web.rendering import SIGNED_IN_CSP
from connector.web.routes import Handler, Route

EMAIL_PREVIEW_CSP = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; base-uri 'none';"
    " frame-ancestors 'self'"
)
PREVIEW_FRAME_CSP = f"{SIGNED_IN_CSP}; frame-src 'self'"


def show_entry(request: PageRequest) -> Response:
    """Show one entry with its reason, and the email as the customer will read it."""
    return _render_entry(request, {})


def _render_entry(request: PageRequest, problems: Mapping[str, str], conflict: str = "") -> Response:
    """Show the entry; ``problems`` are what is wrong with the fields of a form, ``conflict`` why it was not possible.

    What was entered stays.
    """
    with reading(request.app.engine) as session:
        view = _get_entry(request, session, request.path_id("entry"))
        invoices = outbox_search.list_entry_invoices(session, view)
        names = names_of(session, view.entry.connection_id, [each.external_id for each in invoices])
        sending = explain_sending(session, view.entry, view.company, request.now)
    email, problem, lines = read_email(request, view)
    typed = typed_lines(request) if conflict else {}
    response = request.render(
        "entry.html",
        409 if conflict else 422 if problems else 200,
        conflict=conflict,
        problems=problems,
        typed=typed,
        values={name: request.form_value(name) for name in ("reason", "amount")},
        view=view,
        invoices=invoices,
        names=names,
        email=email,
        problem=problem,
        lines={**lines, **typed} if lines else {},
        sending=sending,
    )
    if email is not None:
        response.headers["Content-Security-Policy"] = PREVIEW_FRAME_CSP
    return response


def typed_lines(request: PageRequest) -> dict[str, str]:
    """Return the text of an email that a form was sent with; empty where it was about something else."""
    if request.form_value("do") != "edit_text":
        return {}
    return {name: request.form_value(name, 20_000) for name in LINE_NAMES if name in request.form}


def read_email(request: PageRequest, view: EntryView) -> tuple[EntryEmail | None, str, dict[str, str]]:
    """Return an entry's email or why there is none to show, and what the user may edit of it."""
    if request.actor.has_role(Role.BOOKKEEPER) and view.can_edit_text and not _attempt(request):
        try:
            email, lines = entry_email.load_editable_email(request.app, view.entry)
        except email_preview.PreviewError as error:
            return None, str(error), {}
        return email, "", lines
    email_or_none, problem = entry_email.find_email(request.app, view.entry, attempt=_attempt(request))
    return email_or_none, problem, {}


def show_email(request: PageRequest) -> Response:
    """Return the email itself, for the sandboxed frame: nothing in it runs, loads or submits anything."""
    with reading(request.app.engine) as session:
        view = _get_entry(request, session, request.path_id("entry"))
    email, _problem = entry_email.find_email(request.app, view.entry, attempt=_attempt(request))
    if email is None:
        raise NotFound
    headers = {"Content-Security-Policy": EMAIL_PREVIEW_CSP, "X-Frame-Options": "SAMEORIGIN"}
    return HTMLResponse(email.html, headers=headers)


def _attempt(request: PageRequest) -> int | None:
    return parse_id(request.query.get("attempt", ""))


def resolve_entry(request: PageRequest) -> Response:
    """Approve, reject, edit, resolve or waive one entry."""
    entry_id, action = request.path_id("entry"), request.form_value("do")
    actions: dict[str, Callable[[PageRequest, int, str], str]] = {
        "approve": _approve_or_reject_entry,
        "reject": _approve_or_reject_entry,
        "edit_text": _edit_text,
        "reset_text": _edit_text,
        "sent": _resolve_unconfirmed,
        "not_sent": _resolve_unconfirmed,
        "waive": _waive,
    }
    if action not in actions:
        raise NotFound
    try:
        notice = actions[action](request, entry_id, action)
    except InvalidField as error:
        return _render_entry(request, {error.field: str(error)})
    except OutboxError as error:
        return _render_entry(request, {}, str(error))
    return request.redirect(f"/outbox/{entry_id}", notice=notice)


def _approve_or_reject_entry(request: PageRequest, entry_id: int, action: str) -> str:
    with writing(request.app.engine) as session:
        _require_seen(request, session, entry_id)
        return _approve_or_reject(request, session, [entry_id], action)


def _edit_text(request: PageRequest, entry_id: int, _action: str) -> str:
    fingerprint = request.form_value("fingerprint")
    with reading(request.app.engine) as session:
        _require_seen(request, session, entry_id)
    email_editing.edit_email(request.app, entry_id, typed_lines(request), by=request.actor.email, etag=fingerprint)
    return "text_changed"


def _resolve_unconfirmed(request: PageRequest, entry_id: int, action: str) -> str:
    with writing(request.app.engine) as session:
        _require_seen(request, session, entry_id)
        approvals.resolve(session, entry_id, sent=action == "sent", by=request.actor.email, at=request.now)
    return action


def _waive(request: PageRequest, entry_id: int, _action: str) -> str:
    with reading(request.app.engine) as session:
        _get_entry(request, session, entry_id)
    seen, reason = {entry_id: request.form_value("fingerprint")}, request.form_value("reason")
    if not reason:
        raise InvalidField("reason", "Enter why the fee is waived. Nothing was changed.")
    try:
        amount = late_fees.parse_waived_amount(request.form_value("amount"))
        late_fees.waive(request.app, [entry_id], by=request.actor.email, reason=reason, amount=amount, seen=seen)
    except late_fees.InvalidAmountError as error:
        raise InvalidField("amount", str(error)) from error
    return "waived"


def _approve_or_reject(request: PageRequest, session: Session, ids: list[int], action: str) -> str:
    """Approve or reject entries; returns the notice for the next page."""
    if action == "approve":
        approvals.approve(session, ids, by=request.actor.email, at=request.now)
        return "approved"
    approvals.reject(session, ids, by=request.actor.email, at=request.now, reason=request.form_value("reason"))
    return "rejected"


def _require_seen(request: PageRequest, session: Session, entry_id: int) -> None:
    """Check that an entry is what the form was about; raises ``EntryChanged`` where it is not any more."""
    _get_entry(request, session, entry_id)
    approvals.require_seen(session, {entry_id: request.form_value("fingerprint")})


def _get_entry(request: PageRequest, session: Session, entry_id: int) -> EntryView:
    view = outbox_search.get_entry(session, entry_id)
    if view is None or not request.actor.can_see(view.entry.connection_id):
        raise NotFound
    return view


_PAGES: tuple[tuple[str, Handler], ...] = (
    ("/outbox/{entry:int}", show_entry),
    ("/outbox/{entry:int}/email.html", show_email),
)
ROUTES = (
    *(Route("GET", path, handler) for path, handler in _PAGES),
    Route("POST", "/outbox/{entry:int}", resolve_entry, Role.BOOKKEEPER),
)
