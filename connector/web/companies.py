"""The companies: connecting one, how each is, its mode switched as a deliberate step, pausing, disconnecting."""

from __future__ import annotations

from sqlalchemy import select
from sqlmodel import Session, col
from starlette.responses import Response

from connector.access import connections
from connector.access.sessions import session_hash
from connector.database import reading
from connector.installation import Installation
from connector.people import switching
from connector.tables import Budget, Connection, SyncRun
from connector.web.routes import Route
from connector.web.visit import NotHere, NotPossible, Visit

_RUNS_SHOWN = 5


def listing(visit: Visit) -> Response:
    """Show every company, and for an owner the ledgers that can be connected."""
    with reading(visit.installation.engine) as session:
        companies = visit.companies(session)
    return visit.page("companies.html", companies=companies, modes=connections.MODES, ledgers=_ledgers(visit))


def connect(visit: Visit) -> Response:
    """Begin a consent in this browser, and lead on to the vendor."""
    ledger = visit.sent("ledger")
    if ledger not in visit.installation.providers:
        raise NotHere
    request = connections.begin_consent(visit.installation, ledger, begun_in=session_hash(visit.token))
    # Not a redirect: a form's answer may lead to no other host (form-action). The page goes on by itself.
    words = "Sign in there and choose the companies. You come back here by yourself, within 15 minutes."
    return visit.page("connect.html", url=request.url, title=_ledgers(visit)[ledger], words=words)


def company(visit: Visit) -> Response:
    """Show how one company is."""
    with reading(visit.installation.engine) as session:
        row = _row(visit, session)
        runs = select(SyncRun).where(col(SyncRun.connection_id) == row.id).order_by(col(SyncRun.id).desc())
        budget = select(Budget).where(col(Budget.connection_id) == row.id).order_by(col(Budget.limit_name))
        return visit.page(
            "company.html",
            company=row,
            runs=list(session.scalars(runs.limit(_RUNS_SHOWN))),
            budget=list(session.scalars(budget)),
            read=switching.read_so_far(session, row),
            outlook=switching.outlook(session, row, visit.now.date()),
            sent=switching.has_sent(session, row),
            running=row.lease_until_at is not None and row.lease_until_at > visit.now,
            modes=connections.MODES,
            ledger=_ledgers(visit).get(row.provider, row.provider),
        )


def ask_mode(visit: Visit) -> Response:
    """Show what a switch of the mode lets out, before it is done."""
    mode = visit.query.get("to", "")
    if mode not in connections.MODES:
        raise NotHere
    with reading(visit.installation.engine) as session:
        row = _row(visit, session)
        found = switching.outlook(session, row, visit.now.date())
    return visit.page("mode.html", company=row, mode=mode, words=connections.MODES[mode], outlook=found)


def switch_mode(visit: Visit) -> Response:
    """Switch the mode; to let things out a person must have said that he looked."""
    company_id, mode = _id(visit), visit.sent("mode")
    if mode not in connections.MODES:
        raise NotHere
    if mode != "observe" and visit.sent("looked") != "yes":
        message = "Look at what would leave, and tick that you have."
        raise NotPossible(message)
    connections.set_mode(visit.installation, company_id, mode, by=visit.who.email)
    return visit.go(f"/companies/{company_id}", said="mode")


def pause(visit: Visit) -> Response:
    """Stop a company's runs until a person resumes them."""
    company_id = _id(visit)
    connections.pause(visit.installation, company_id, why=visit.sent("why", 300), by=visit.who.email)
    return visit.go(f"/companies/{company_id}", said="paused")


def resume(visit: Visit) -> Response:
    """Run a company again."""
    company_id = _id(visit)
    connections.resume(visit.installation, company_id, by=visit.who.email)
    return visit.go(f"/companies/{company_id}", said="resumed")


def run_now(visit: Visit) -> Response:
    """Let the scheduler run a company as soon as it wakes."""
    company_id = _id(visit)
    connections.run_soon(visit.installation, company_id)
    return visit.go(f"/companies/{company_id}", said="soon")


def disconnect(visit: Visit) -> Response:
    """End the access to a company's books, here and at the vendor."""
    company_id = _id(visit)
    if visit.sent("sure") != "yes":
        message = "Tick that you are sure; nothing was changed."
        raise NotPossible(message)
    lines = connections.disconnect(visit.installation, company_id, by=visit.who.email)
    return visit.page("answer.html", title="Disconnected", lines=lines[:2], link=f"/companies/{company_id}")


def _ledgers(visit: Visit) -> dict[str, str]:
    return _titles(visit.installation)


def _titles(installation: Installation) -> dict[str, str]:
    return {name: provider.title for name, provider in sorted(installation.providers.items())}


def _row(visit: Visit, session: Session) -> Connection:
    return visit.company(session, visit.number("company"))


def _id(visit: Visit) -> int:
    """Find the company of the path among this person's, before anything is done to it."""
    with reading(visit.installation.engine) as session:
        row = _row(visit, session)
    if row.health == connections.DISCONNECTED:
        message = f"{row.name} is disconnected. Connect it again first."
        raise NotPossible(message)
    return row.id or 0


ROUTES = (
    Route("GET", "/companies", listing),
    Route("POST", "/companies/connect", connect, "owner", dangerous=True),
    Route("GET", "/companies/{company:int}", company),
    Route("GET", "/companies/{company:int}/mode", ask_mode, "bookkeeper"),
    Route("POST", "/companies/{company:int}/mode", switch_mode, "bookkeeper", dangerous=True),
    Route("POST", "/companies/{company:int}/pause", pause, "bookkeeper"),
    Route("POST", "/companies/{company:int}/resume", resume, "bookkeeper"),
    Route("POST", "/companies/{company:int}/run", run_now, "bookkeeper"),
    Route("POST", "/companies/{company:int}/disconnect", disconnect, "owner", dangerous=True),
)
