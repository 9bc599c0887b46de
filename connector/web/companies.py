"""The companies: connecting one, how each is, its mode switched as a deliberate step, pausing, disconnecting."""

from __future__ import annotations

from sqlalchemy import select
from sqlmodel import Session, col
from starlette.responses import Response

from connector.app_context import AppContext
from connector.auth.sessions import session_hash
from connector.connections import registry
from connector.db.engine import reading
from connector.db.tables import Budget, Connection, SyncRun
from connector.errors import NotFound, NotPossible
from connector.services import mode_change
from connector.web.page_request import PageRequest
from connector.web.routes import Route

_RUNS_SHOWN = 5


def list_companies(request: PageRequest) -> Response:
    """Show every company, and for an owner the ledgers that can be connected."""
    with reading(request.app.engine) as session:
        companies = request.companies(session)
    return request.render("companies.html", companies=companies, modes=registry.MODES, ledgers=_ledgers(request))


def connect_ledger(page_request: PageRequest) -> Response:
    """Begin a consent in this browser, and lead on to the vendor."""
    ledger = page_request.form_value("ledger")
    if ledger not in page_request.app.providers:
        raise NotFound
    request = registry.begin_consent(page_request.app, ledger, session_hash=session_hash(page_request.token))
    # Not a redirect: a form's answer may lead to no other host (form-action). The page goes on by itself.
    words = "Sign in there and choose the companies. You come back here by yourself, within 15 minutes."
    return page_request.render("continue_to.html", url=request.url, title=_ledgers(page_request)[ledger], words=words)


def show_company(request: PageRequest) -> Response:
    """Show how one company is."""
    with reading(request.app.engine) as session:
        row = _get_company(request, session)
        runs = select(SyncRun).where(col(SyncRun.connection_id) == row.id).order_by(col(SyncRun.id).desc())
        budget = select(Budget).where(col(Budget.connection_id) == row.id).order_by(col(Budget.limit_name))
        return request.render(
            "company.html",
            company=row,
            runs=list(session.scalars(runs.limit(_RUNS_SHOWN))),
            budget=list(session.scalars(budget)),
            read=mode_change.count_mirrored(session, row),
            outlook=mode_change.preview_mode_change(session, row, request.now.date()),
            sent=mode_change.has_sent(session, row),
            running=row.lease_until_at is not None and row.lease_until_at > request.now,
            modes=registry.MODES,
            ledger=_ledgers(request).get(row.provider, row.provider),
        )


def confirm_mode(request: PageRequest) -> Response:
    """Show what a switch of the mode lets out, before it is done."""
    mode = request.query.get("mode", "")
    if mode not in registry.MODES:
        raise NotFound
    with reading(request.app.engine) as session:
        row = _get_company(request, session)
        found = mode_change.preview_mode_change(session, row, request.now.date())
    return request.render("mode.html", company=row, mode=mode, words=registry.MODES[mode], outlook=found)


def switch_mode(request: PageRequest) -> Response:
    """Switch the mode; to let things out a person must have said that he looked."""
    company_id, mode = _get_connected_id(request), request.form_value("mode")
    if mode not in registry.MODES:
        raise NotFound
    if mode != "observe" and request.form_value("reviewed") != "yes":
        message = "Look at what would leave, and tick that you have."
        raise NotPossible(message)
    registry.set_mode(request.app, company_id, mode, by=request.actor.email)
    return request.redirect(f"/companies/{company_id}", notice="mode_changed")


def pause(request: PageRequest) -> Response:
    """Stop a company's runs until a person resumes them."""
    company_id = _get_connected_id(request)
    registry.pause(request.app, company_id, reason=request.form_value("reason", 300), by=request.actor.email)
    return request.redirect(f"/companies/{company_id}", notice="paused")


def resume(request: PageRequest) -> Response:
    """Run a company again."""
    company_id = _get_connected_id(request)
    registry.resume(request.app, company_id, by=request.actor.email)
    return request.redirect(f"/companies/{company_id}", notice="resumed")


def sync_now(request: PageRequest) -> Response:
    """Let the scheduler run a company as soon as it wakes."""
    company_id = _get_connected_id(request)
    registry.run_soon(request.app, company_id)
    return request.redirect(f"/companies/{company_id}", notice="sync_requested")


def disconnect(request: PageRequest) -> Response:
    """End the access to a company's books, here and at the vendor."""
    company_id = _get_connected_id(request)
    if request.form_value("confirmed") != "yes":
        message = "Tick that you are sure; nothing was changed."
        raise NotPossible(message)
    lines = registry.disconnect(request.app, company_id, by=request.actor.email)
    return request.render("message.html", title="Disconnected", lines=lines[:2], link=f"/companies/{company_id}")


def _ledgers(request: PageRequest) -> dict[str, str]:
    return _provider_titles(request.app)


def _provider_titles(app: AppContext) -> dict[str, str]:
    return {name: provider.title for name, provider in sorted(app.providers.items())}


def _get_company(request: PageRequest, session: Session) -> Connection:
    return request.company(session, request.path_id("company"))


def _get_connected_id(request: PageRequest) -> int:
    """Find the company of the path among this person's, before anything is done to it."""
    with reading(request.app.engine) as session:
        row = _get_company(request, session)
    if row.health == registry.DISCONNECTED:
        message = f"{row.name} is disconnected. Connect it again first."
        raise NotPossible(message)
    return row.id or 0


ROUTES = (
    Route("GET", "/companies", list_companies),
    Route("POST", "/companies/connect", connect_ledger, "owner", sensitive=True),
    Route("GET", "/companies/{company:int}", show_company),
    Route("GET", "/companies/{company:int}/mode", confirm_mode, "bookkeeper"),
    Route("POST", "/companies/{company:int}/mode", switch_mode, "bookkeeper", sensitive=True),
    Route("POST", "/companies/{company:int}/pause", pause, "bookkeeper"),
    Route("POST", "/companies/{company:int}/resume", resume, "bookkeeper"),
    Route("POST", "/companies/{company:int}/run", sync_now, "bookkeeper"),
    Route("POST", "/companies/{company:int}/disconnect", disconnect, "owner", sensitive=True),
)
