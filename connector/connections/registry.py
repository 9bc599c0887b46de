"""The connections: finding one, opening its ledger, switching its mode, pausing and ending it."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import select
from sqlmodel import Session, col

from connector.app_context import AppContext, UncountedCalls
from connector.audit import sync_log
from connector.connections.consent import ConsentError, begin_consent, consent_outcome, finish_consent
from connector.connections.tokens import fresh_token, list_grant_connections, reconnect_hint, token_source
from connector.db.engine import reading, writing
from connector.db.tables import Connection, Grant
from connector.geo import is_reached
from connector.results import Result
from connector.vocabulary import ConnectionHealth, ConnectionMode, LogKind
from policies.formatting import format_date
from providers.calls import CallObserver
from providers.errors import AuthorizationExpired, ProviderError
from providers.ledger import CompanyRef, Ledger

__all__ = [
    "MODES",
    "NO_CONNECTIONS",
    "ConnectionItem",
    "ConsentError",
    "DisconnectedError",
    "UnknownConnectionError",
    "as_item",
    "begin_consent",
    "consent_outcome",
    "disconnect",
    "find_connection",
    "finish_consent",
    "list_connected",
    "list_connections",
    "open_ledger",
    "pause",
    "resume",
    "run_soon",
    "set_mode",
]

MODES = {
    "observe": "it reads, plans and logs; nothing leaves",
    "approve": "everything that would leave waits for a person",
    "live": "mails, notes and fees leave by themselves",
}
DISCONNECTED = ConnectionHealth.DISCONNECTED
NO_CONNECTIONS = "No company is connected yet. Connect one with: duewell connect xero (or quickbooks)"


class UnknownConnectionError(Exception):
    """There is no such connection; ``str()`` lists those there are."""


class DisconnectedError(Exception):
    """The company is not connected any more; ``str()`` says how to connect it again."""


class ConnectionItem(Result):
    """A connected company: how it is connected, what its connection may do, and how it is doing."""

    id: int
    short_name: str
    provider: str
    name: str
    mode: ConnectionMode
    health: ConnectionHealth
    health_reason: str
    pause_reason: str
    paused_until_on: date | None
    external_id: str


class PauseInPastError(Exception):
    """A pause that would end before it began; ``str()`` says what to name instead."""


def find_connection(session: Session, name_or_id: str | int) -> Connection:
    """Find a connection by id or short name, or say which there are."""
    rows = list(session.scalars(select(Connection).order_by(col(Connection.id))))
    if not rows:
        raise UnknownConnectionError(NO_CONNECTIONS)
    wanted = str(name_or_id).strip()
    for row in rows:
        if wanted in {str(row.id), row.short_name}:
            return row
    known = ", ".join(f"{row.short_name} ({row.id})" for row in rows)
    message = f"There is no connection {wanted!r}. Known: {known}."
    raise UnknownConnectionError(message)


def list_connected(session: Session) -> list[Connection]:
    """List the connections that are not disconnected."""
    query = select(Connection).where(col(Connection.health) != DISCONNECTED).order_by(col(Connection.id))
    return list(session.scalars(query))


def list_connections(session: Session) -> list[ConnectionItem]:
    """List every connection, those of disconnected companies too."""
    return [as_item(row) for row in session.scalars(select(Connection).order_by(col(Connection.id)))]


def as_item(row: Connection) -> ConnectionItem:
    """Return a connection as the API and the command line show it."""
    return ConnectionItem(
        id=row.id or 0,
        short_name=row.short_name,
        provider=row.provider,
        name=row.name,
        mode=row.mode,
        health=row.health,
        health_reason=row.health_reason,
        pause_reason=row.pause_reason,
        paused_until_on=row.paused_until_on,
        external_id=row.external_id,
    )


def open_ledger(app: AppContext, connection_id: int, calls: CallObserver) -> Ledger:
    """Open a company's books. Nothing is called or written yet: a dead grant shows at the first call."""
    with reading(app.engine) as session:
        row = session.get_one(Connection, connection_id)
    return app.providers[row.provider].open_ledger(
        app.settings,
        _company_ref(row),
        token_source(app, row.grant_id or 0, calls),
        app.stop_aware(calls),
    )


def set_mode(app: AppContext, connection_id: int, mode: str, *, by: str = "") -> Connection:
    """Switch between observe, approve and live. Since when mails may leave is remembered for good."""
    if mode not in MODES:
        message = f"There is no mode {mode!r}; there are {', '.join(MODES)}."
        raise ValueError(message)
    with writing(app.engine) as session:
        row = session.get_one(Connection, connection_id)
        if mode != "observe":
            _refuse_if_disconnected(row)
        before, row.mode = row.mode, ConnectionMode(mode)
        row.decision_fingerprint = ""  # plans wait for a person or not by the mode: they are remade at the next run
        if mode != "observe" and row.live_since_at is None:  # what a person approves leaves as well
            row.live_since_at = app.now()
        words = f"Mode of {row.name} changed from {before} to {mode}{_by_actor(by)}: {MODES[mode]}."
        _log(app, session, row, LogKind.MODE, words)
        return row


def pause(
    app: AppContext, connection_id: int, *, reason: str = "", until_on: date | None = None, by: str = ""
) -> Connection:
    """Stop running a connection until a day, or until a person resumes it; nothing is forgotten."""
    with writing(app.engine) as session:
        row = session.get_one(Connection, connection_id)
        if until_on is not None and is_reached(until_on, row.time_zone, app.now()):
            message = f"A pause of {row.name} until {format_date(until_on)} would be over already: name a day to come."
            raise PauseInPastError(message)
        row.pause_reason, row.paused_until_on = reason or f"paused{_by_actor(by)}", until_on
        ends = f" until {format_date(until_on)}" if until_on else ""
        _log(app, session, row, LogKind.PAUSED, f"{row.name} was paused{ends}{_by_actor(by)}: {row.pause_reason}.")
        return row


def is_paused(row: Connection, now: datetime) -> bool:
    """Tell whether a connection is paused at this moment: a pause with an end is over on its day, by its own clock."""
    return bool(row.pause_reason) and not is_reached(row.paused_until_on, row.time_zone, now)


def end_expired_pause(app: AppContext, session: Session, row: Connection) -> None:
    """Forget a pause that is over, in the caller's transaction."""
    if row.pause_reason and not is_paused(row, app.now()):
        _log(app, session, row, LogKind.RESUMED, f"The pause of {row.name} is over: {row.pause_reason}.")
        row.pause_reason, row.paused_until_on = "", None


def resume(app: AppContext, connection_id: int, *, by: str = "") -> Connection:
    """Run a paused connection again, from now on."""
    with writing(app.engine) as session:
        row = session.get_one(Connection, connection_id)
        _refuse_if_disconnected(row)
        row.pause_reason, row.paused_until_on, row.next_run_at = "", None, app.now()
        _log(app, session, row, LogKind.RESUMED, f"{row.name} was resumed{_by_actor(by)}.")
        return row


def run_soon(app: AppContext, connection_id: int) -> Connection:
    """Let the scheduler run a connection as soon as it wakes."""
    with writing(app.engine) as session:
        row = session.get_one(Connection, connection_id)
        _refuse_if_disconnected(row)
        row.next_run_at = app.now()
        return row


def disconnect(app: AppContext, connection_id: int, *, by: str = "") -> list[str]:
    """End the access to a company at the vendor and here. Returns sentences: what was ended, what is kept."""
    with reading(app.engine) as session:
        row = session.get_one(Connection, connection_id)
    title = app.providers[row.provider].title
    problem = _revoke(app, row)
    with writing(app.engine) as session:
        row = session.get_one(Connection, connection_id)
        grant_id, row.grant_id = row.grant_id, None
        row.health, row.health_reason, row.mode = DISCONNECTED, "a person disconnected it", ConnectionMode.OBSERVE
        session.flush()
        if grant_id is not None and not list_grant_connections(session, grant_id):
            session.delete(session.get_one(Grant, grant_id))
        ended = f"{row.name} is disconnected{_by_actor(by)}: duewell no longer has access to it."
        if problem:
            ended += (
                f" {title} could not be told ({problem.rstrip('.')}); remove duewell in its list of apps there too."
            )
        _log(app, session, row, LogKind.DISCONNECTED, ended)
    kept = "Kept here: the mirror of its books, what was sent, and the sync log. They go with the database file."
    return [ended, kept, f"Connecting it again goes on where it was, in mode observe: duewell connect {row.provider}"]


def _revoke(app: AppContext, row: Connection) -> str:
    """Tell the vendor; returns why that failed, or "". Our own access ends either way."""
    if row.grant_id is None or row.health == DISCONNECTED:
        return ""
    with reading(app.engine) as session:
        last = len(list_grant_connections(session, row.grant_id)) == 1
    calls = app.stop_aware(UncountedCalls())
    try:
        token = fresh_token(app, row.grant_id, calls)
        app.providers[row.provider].revoke(app.settings, token, _company_ref(row), whole_grant=last, calls=calls)
    except AuthorizationExpired:
        return ""  # the grant was dead already
    except ProviderError as problem:
        return str(problem)
    return ""


def _refuse_if_disconnected(row: Connection) -> None:
    if row.health == DISCONNECTED:
        message = f"{row.name} is disconnected. {reconnect_hint(row.provider)}"
        raise DisconnectedError(message)


def _company_ref(row: Connection) -> CompanyRef:
    return CompanyRef(row.external_id, row.name, row.remote_connection_id)


def _log(app: AppContext, session: Session, row: Connection, kind: LogKind, text: str) -> None:
    sync_log.write(session, at=app.now(), kind=kind, text=text, connection_id=row.id)


def _by_actor(by: str) -> str:
    return f" by {by}" if by else ""
