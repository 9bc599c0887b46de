"""The outbox for people: read what would leave, approve, reject, settle doubts, waive fees."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

from sqlmodel import Session
from starlette.responses import HTMLResponse, Response

from connector.db.engine import reading, writing
from connector.db.ids import parse_id
from connector.db.tables import Connection
from connector.emails.outbound.email_templates import LINE_NAMES
from connector.errors import NotFound, NotPossible
from connector.outbox import approvals
from connector.services import email_editing, email_preview, outbox_search
from connector.services import fees as late_fees
from connector.services.outbox_search import EntryView
from connector.vocabulary import Role
from connector.web.page_request import PageRequest
from connector.web.routes import Route

TABS = {
    "awaiting_approval": ("To approve", ("awaiting_approval",)),
    "unconfirmed": ("In doubt", ("unconfirmed",)),
    "planned": ("Planned", ("planned", "sending")),
    "done": ("Left", ("done",)),
    "rejected": ("Refused", ("rejected",)),
}
EMAIL_PREVIEW_CSP = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; base-uri 'none';"
    " frame-ancestors 'self'"
)
PREVIEW_FRAME_CSP = (
    "default-src 'none'; style-src 'self'; img-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'"
)
_PREVIEWABLE_STATES = (
    "planned",
    "awaiting_approval",
    "unconfirmed",
)  # what has left is told by the log; it is not written anew


def list_entries(request: PageRequest) -> Response:
    """Show the entries of one state."""
    tab = request.query.get("state", "awaiting_approval")
    states = TABS.get(tab, TABS["awaiting_approval"])[1]
    with reading(request.app.engine) as session:
        companies, chosen, ids = selected_companies(request, session)
        found = outbox_search.find_entry_page(session, ids, states=states, before_id=_before_id(request))
        counts = outbox_search.count_needing_attention(session, ids)
    return request.render(
        "outbox.html", found=found, tabs=TABS, tab=tab, counts=counts, companies=companies, chosen=chosen, at=_url
    )


def list_fees(request: PageRequest) -> Response:
    """Show the late fees."""
    with reading(request.app.engine) as session:
        companies, chosen, ids = selected_companies(request, session)
        found = outbox_search.find_entry_page(session, ids, kinds=("late_fee",), before_id=_before_id(request))
    return request.render("fees.html", found=found, companies=companies, chosen=chosen, at=_url)


def show_entry(request: PageRequest) -> Response:
    """Show one entry: what it does and why, and its mail as the customer will read it."""
    with reading(request.app.engine) as session:
        found = _get_entry(request, session, request.path_id("entry"))
        invoices = outbox_search.list_entry_invoices(session, found)
    letter, problem = None, ""
    lines: dict[str, str] = {}
    if found.entry.kind in {"email", "owner_email"} and found.entry.state in _PREVIEWABLE_STATES:
        try:
            if request.actor.has_role(Role.BOOKKEEPER) and found.can_edit_text:
                letter, lines = email_preview.preview_editable_email(request.app, found.entry)
            else:
                letter = email_preview.preview_email(request.app, found.entry)
        except email_preview.PreviewError as no:
            problem = str(no)
    answer = request.render("entry.html", shown=found, invoices=invoices, letter=letter, problem=problem, lines=lines)
    if letter is not None:
        answer.headers["Content-Security-Policy"] = PREVIEW_FRAME_CSP
    return answer


def show_email(request: PageRequest) -> Response:
    """Give the mail's own page, in a sandbox: nothing in it runs, loads or sends anything."""
    with reading(request.app.engine) as session:
        found = _get_entry(request, session, request.path_id("entry"))
    if found.entry.kind not in {"email", "owner_email"} or found.entry.state not in _PREVIEWABLE_STATES:
        raise NotFound
    try:
        html = email_preview.preview_email(request.app, found.entry).html
    except email_preview.PreviewError:
        raise NotFound from None
    headers = {"Content-Security-Policy": EMAIL_PREVIEW_CSP, "X-Frame-Options": "SAMEORIGIN"}
    return HTMLResponse(html, headers=headers)


def resolve_selected(request: PageRequest) -> Response:
    """Approve or reject what was chosen on the list."""
    act = request.form_value("do")
    chosen = request.form.get("all_ids" if act == "approve_all" else "id", ())
    if not chosen:
        message = "Nothing was chosen."
        raise NotPossible(message)
    act = act.removesuffix("_all")
    if act not in {"approve", "reject"}:
        raise NotFound
    with writing(request.app.engine) as session:
        ids = [_get_unchanged_id(request, session, each) for each in chosen]
        _approve_or_reject(request, session, ids, act)
    return request.redirect("/outbox", notice=f"{act.removesuffix('e')}ed", **_company_query(request))


def resolve_entry(request: PageRequest) -> Response:
    """Approve, reject, settle or waive the one entry that was looked at."""
    entry_id, act = request.path_id("entry"), request.form_value("do")
    here = f"/outbox/{entry_id}"
    if act in {"approve", "reject"}:
        with writing(request.app.engine) as session:
            _approve_or_reject(
                request,
                session,
                [_get_unchanged_id(request, session, f"{entry_id}:{request.form_value('fingerprint')}")],
                act,
            )
        return request.redirect(here, notice=f"{act.removesuffix('e')}ed")
    if act in {"edit_text", "reset_text"}:
        lines = (
            {name: request.form_value(name, 20_000) for name in LINE_NAMES if name in request.form}
            if act == "edit_text"
            else {}
        )
        with reading(request.app.engine) as session:
            _get_unchanged_id(request, session, f"{entry_id}:{request.form_value('fingerprint')}")
        email_editing.edit_email(
            request.app, entry_id, lines, by=request.actor.email, etag=request.form_value("fingerprint")
        )
        return request.redirect(here, notice="text_changed")
    if act in {"sent", "not_sent"}:
        with writing(request.app.engine) as session:
            _get_entry(request, session, entry_id)
            approvals.resolve(session, entry_id, sent=act == "sent", by=request.actor.email, at=request.now)
        return request.redirect(here, notice=act)
    with reading(request.app.engine) as session:
        _get_entry(request, session, entry_id)
    if act != "waive":
        raise NotFound
    late_fees.waive(request.app, [entry_id], by=request.actor.email, reason=request.form_value("reason"))
    return request.redirect(here, notice="waived")


def _approve_or_reject(request: PageRequest, session: Session, ids: list[int], action: str) -> None:
    if action == "approve":
        approvals.approve(session, ids, by=request.actor.email, at=request.now)
    else:
        approvals.reject(session, ids, by=request.actor.email, at=request.now, reason=request.form_value("reason"))


def _get_unchanged_id(request: PageRequest, session: Session, selected: str) -> int:
    """Read ``id:content`` off a form: what is settled must be what was looked at."""
    number, _, content = selected.partition(":")
    entry_id = parse_id(number)
    if entry_id is None:
        raise NotFound
    found = _get_entry(request, session, entry_id)
    if found.etag != content:
        message = f"What was planned for {found.customer or 'this customer'} has changed meanwhile. Look at it again."
        raise NotPossible(message)
    return entry_id


def _get_entry(request: PageRequest, session: Session, entry_id: int) -> EntryView:
    found = outbox_search.get_entry(session, entry_id)
    if found is None or not request.actor.can_see(found.entry.connection_id):
        raise NotFound
    return found


def selected_companies(request: PageRequest, session: Session) -> tuple[list[Connection], int | None, list[int]]:
    """Read which of a person's companies a page is about: all of them, the chosen one, and the ids it comes to."""
    companies = request.companies(session)
    asked = request.query.get("company", "")
    chosen = parse_id(asked)
    if asked:
        request.company(session, chosen)
    return companies, chosen, [row.id or 0 for row in companies] if chosen is None else [chosen]


def _before_id(request: PageRequest) -> int | None:
    return parse_id(request.query.get("before", ""))


def _company_query(request: PageRequest) -> dict[str, str]:
    return {"company": request.form_value("company")} if request.form_value("company").isdecimal() else {}


def _url(path: str, **query: object) -> str:
    given = {name: str(value) for name, value in query.items() if value not in {None, ""}}
    return path + (f"?{urlencode(given)}" if given else "")


_PAGES: tuple[tuple[str, Callable[[PageRequest], Response]], ...] = (
    ("/outbox", list_entries),
    ("/outbox/{entry:int}", show_entry),
    ("/outbox/{entry:int}/email.html", show_email),
    ("/fees", list_fees),
)
ROUTES = (
    *(Route("GET", path, handler) for path, handler in _PAGES),
    Route("POST", "/outbox", resolve_selected, "bookkeeper"),
    Route("POST", "/outbox/{entry:int}", resolve_entry, "bookkeeper"),
)
