"""The companies: their status, connecting one, changing its mode, pausing, syncing now and disconnecting."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import select
from sqlmodel import Session, col
from starlette.responses import Response

from connector.auth.sessions import session_hash
from connector.connections import registry
from connector.connections.tokens import find_grant_end
from connector.db.engine import reading
from connector.db.tables import Budget, Connection, SyncRun
from connector.errors import InvalidField, NotFound, NotPossible
from connector.geo import today_in
from connector.services import mode_change
from connector.services.lists.engine import ListQuery
from connector.services.pending_work import load_pending_work
from connector.services.review_queue import find_position
from connector.vocabulary import ConnectionHealth, ConnectionMode, Role
from connector.web.agreement_forms import form_date
from connector.web.page_request import PageRequest
from connector.web.routes import Route

_RUNS_SHOWN = 5
_PAUSED = "paused"
# From what needs somebody to what does not
_STATUSES = (
    ConnectionHealth.AUTHORIZATION_EXPIRED,
    ConnectionHealth.ACTION_REQUIRED,
    ConnectionHealth.FAILING,
    ConnectionHealth.LIMITED,
    ConnectionHealth.NEW,
    _PAUSED,
    ConnectionHealth.OK,
    ConnectionHealth.DISCONNECTED,
)
_SORTS: Mapping[str, tuple[str, Callable[[Connection], Any]]] = {  # what is shown, and a key
    "": ("Company", lambda row: row.name.casefold()),
    "status": ("Status, problems first", lambda row: _STATUSES.index(_status(row))),
    "mode": ("Mode", lambda row: row.mode),
    "synced": ("Last sync, oldest first", lambda row: (row.last_run_at is not None, row.last_run_at)),
}
_FIELDS = ("reason", "confirmed", "pause_reason", "paused_until")


def list_companies(request: PageRequest) -> Response:
    """Show the user's companies, and to an owner the accounting systems that can be connected."""
    with reading(request.app.engine) as session:
        companies = request.companies(session)
    asked = {name: request.query.get(name, "") for name in ("q", "status", "sort")}
    text = asked["q"].strip().casefold()
    shown = [
        row
        for row in companies
        if text in f"{row.name} {row.short_name}".casefold() and asked["status"] in {"", _status(row), row.mode}
    ]
    return request.render(
        "companies.html",
        companies=sorted(shown, key=_SORTS.get(asked["sort"], _SORTS[""])[1]),
        total=len(companies),
        asked=asked,
        statuses=sorted({_status(row) for row in companies}, key=_STATUSES.index),
        modes=sorted({row.mode for row in companies}),
        sorts={name: title for name, (title, _key) in _SORTS.items()},
        provider_titles=_provider_titles(request),
    )


def _status(row: Connection) -> str:
    return _PAUSED if row.pause_reason else row.health


def reconnect_ledger(request: PageRequest) -> Response:
    """Show the page for the "Reconnect URL" of an app: one button that starts a new consent."""
    name = str(request.path_params["ledger"])
    if name not in request.app.providers:
        raise NotFound
    with reading(request.app.engine) as session:
        companies = [row for row in request.companies(session) if row.provider == name]
    return request.render("reconnect.html", ledger=name, title=_provider_titles(request)[name], companies=companies)


def connect_ledger(request: PageRequest) -> Response:
    """Start a consent in this browser, and continue to the accounting system."""
    name = request.form_value("ledger")
    if name not in request.app.providers:
        raise NotFound
    consent = registry.begin_consent(request.app, name, session_hash=session_hash(request.token))
    # A page that redirects, because a form must not redirect to another host (form-action).
    return request.render(
        "continue_to.html",
        url=consent.url,
        title=_provider_titles(request)[name],
        text="Sign in there and choose the companies within 15 minutes. You will be returned to duewell automatically.",
    )


def show_company(request: PageRequest) -> Response:
    """Show the status of one company."""
    return _render_company(request, {})


def _render_company(request: PageRequest, problems: Mapping[str, str]) -> Response:
    """Show the company; ``problems`` are what is wrong with a form on it, whose values stay."""
    with reading(request.app.engine) as session:
        row = _get_company(request, session)
        runs = select(SyncRun).where(col(SyncRun.connection_id) == row.id).order_by(col(SyncRun.id).desc())
        budgets = select(Budget).where(col(Budget.connection_id) == row.id).order_by(col(Budget.limit_name))
        return request.render(
            "company.html",
            422 if problems else 200,
            company=row,
            pending=load_pending_work(session, row.id or 0) if request.actor.has_role(Role.OWNER) else None,
            problems=problems,
            values={name: request.form_value(name, 300) for name in _FIELDS},
            runs=list(session.scalars(runs.limit(_RUNS_SHOWN))),
            budgets=list(session.scalars(budgets)),
            counts=mode_change.count_mirrored(session, row),
            preview=mode_change.preview_mode_change(session, row, today_in(row.time_zone, request.now)),
            has_sent=mode_change.has_sent(session, row),
            is_running=row.lease_until_at is not None and row.lease_until_at > request.now,
            modes=registry.MODES,
            provider_title=_provider_titles(request).get(row.provider, row.provider),
            grant_ends_on=find_grant_end(session, row, request.now),
        )


def confirm_mode(request: PageRequest) -> Response:
    """Show what would be sent in another mode, before the mode is changed."""
    return _render_mode(request, _parse_mode(request.query.get("mode", "")), {})


def _render_mode(request: PageRequest, mode: ConnectionMode, problems: Mapping[str, str]) -> Response:
    with reading(request.app.engine) as session:
        row = _get_company(request, session)
        preview = mode_change.preview_mode_change(session, row, today_in(row.time_zone, request.now))
    return request.render(
        "mode.html",
        422 if problems else 200,
        company=row,
        mode=mode,
        description=registry.MODES[mode],
        preview=preview,
        problems=problems,
    )


def switch_mode(request: PageRequest) -> Response:
    """Change the mode; a mode that sends needs the user's confirmation that they reviewed what is planned."""
    company_id, mode = _get_connected_id(request), _parse_mode(request.form_value("mode"))
    if mode != ConnectionMode.OBSERVE and request.form_value("reviewed") != "yes":
        return _render_mode(request, mode, {"reviewed": "Review what is planned, and confirm that you have."})
    registry.set_mode(request.app, company_id, mode, by=request.actor.email)
    notice = _mode_notice(request, company_id, mode)
    return request.redirect(f"/companies/{company_id}", notice=notice)


def _mode_notice(request: PageRequest, company_id: int, mode: ConnectionMode) -> str:
    """Return the notice about a change of mode; there is nothing to read where nothing awaits approval."""
    if mode is not ConnectionMode.APPROVE:
        return "mode_changed"
    with reading(request.app.engine) as session:
        if session.get_one(Connection, company_id).first_pull_done_at is None:
            return "mode_changed"  # nobody knows yet what is due
        awaits = find_position(session, ListQuery([company_id], {})).entry_id is not None
    return "mode_approve" if awaits else "mode_approve_empty"


def pause(request: PageRequest) -> Response:
    """Pause the syncs of a company until a date, or until a user resumes them."""
    company_id, reason = _get_connected_id(request), request.form_value("pause_reason", 300)
    try:
        until_on = form_date(request, "paused_until")
        registry.pause(request.app, company_id, reason=reason, until_on=until_on, by=request.actor.email)
    except (InvalidField, registry.PauseInPastError) as error:
        return _render_company(request, {"paused_until": str(error)})
    return request.redirect(f"/companies/{company_id}", notice="paused")


def resume(request: PageRequest) -> Response:
    """Resume the syncs of a company."""
    company_id = _get_connected_id(request)
    registry.resume(request.app, company_id, by=request.actor.email)
    return request.redirect(f"/companies/{company_id}", notice="resumed")


def sync_now(request: PageRequest) -> Response:
    """Schedule a sync of a company for the scheduler's next wake-up."""
    company_id = _get_connected_id(request)
    registry.run_soon(request.app, company_id)
    return request.redirect(f"/companies/{company_id}", notice="sync_requested")


def disconnect(request: PageRequest) -> Response:
    """End the access to a company, here and in its accounting system."""
    company_id, reason = _get_connected_id(request), request.form_value("reason", 300)
    if not reason:
        return _render_company(request, {"reason": "Enter why this company is disconnected. Nothing was changed."})
    if request.form_value("confirmed") != "yes":
        message = "Confirm that you want to disconnect this company. Nothing was changed."
        return _render_company(request, {"confirmed": message})
    lines = registry.disconnect(request.app, company_id, by=request.actor.email, reason=reason)
    return request.render(
        "message.html", title="Disconnected", lines=lines[:2], link="/companies", link_text="See the other companies"
    )


def _provider_titles(request: PageRequest) -> dict[str, str]:
    return {name: provider.title for name, provider in sorted(request.app.providers.items())}


def _parse_mode(text: str) -> ConnectionMode:
    try:
        return ConnectionMode(text)
    except ValueError:
        raise NotFound from None


def _get_company(request: PageRequest, session: Session) -> Connection:
    return request.company(session, request.path_id("company"))


def _get_connected_id(request: PageRequest) -> int:
    """Return the id of the company in the path; raises where the user does not see it or it is disconnected."""
    with reading(request.app.engine) as session:
        row = _get_company(request, session)
    if row.health == registry.DISCONNECTED:
        raise NotPossible(f"{row.name} is disconnected. Reconnect it first.")
    return row.id or 0


ROUTES = (
    Route("GET", "/companies", list_companies),
    Route("POST", "/companies/connect", connect_ledger, Role.OWNER, sensitive=True),
    Route("GET", "/reconnect/{ledger}", reconnect_ledger),
    Route("GET", "/companies/{company:int}", show_company),
    Route("GET", "/companies/{company:int}/mode", confirm_mode, Role.BOOKKEEPER),
    Route("POST", "/companies/{company:int}/mode", switch_mode, Role.BOOKKEEPER, sensitive=True),
    Route("POST", "/companies/{company:int}/pause", pause, Role.BOOKKEEPER),
    Route("POST", "/companies/{company:int}/resume", resume, Role.BOOKKEEPER),
    Route("POST", "/companies/{company:int}/run", sync_now, Role.BOOKKEEPER),
    Route("POST", "/companies/{company:int}/disconnect", disconnect, Role.OWNER, sensitive=True),
)
