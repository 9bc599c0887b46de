"""Connections to companies: finding, opening, pausing and disconnecting them, and changing their mode."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, cast

from sqlalchemy import CursorResult, select, update
from sqlmodel import Session, col

from connector.app_context import AppContext, UncountedCalls
from connector.audit import sync_log
from connector.connections.consent import ConsentError, begin_consent, consent_outcome, finish_consent
from connector.connections.pacing import VISITOR_PATIENCE, PacedCalls, Pacer
from connector.connections.tokens import fresh_token, list_grant_connections, reconnect_hint, token_source
from connector.db.engine import reading, writing
from connector.db.tables import BankDetailsRow, Connection, Grant, OutboxEntry
from connector.geo import is_reached
from connector.results import Result
from connector.vocabulary import ConnectionHealth, ConnectionMode, LogKind, OutboxState
from connector.vocabulary.outbox import APPROVED_KINDS
from policies.formatting import format_date
from providers.calls import CallObserver
from providers.errors import AuthorizationExpired, ProviderError
from providers.ledger import CompanyRef, Ledger

__all__ = [
    "MODES",
    "NO_CONNECTIONS",
    "ConsentError",
    "DisconnectedError",
    "UnknownConnectionError",
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
    ConnectionMode.OBSERVE: "reads, plans and logs, but sends nothing",
    ConnectionMode.APPROVE: "everything waits for approval before it is sent",
    ConnectionMode.LIVE: "emails, notes and late fees are sent automatically",
}
DISCONNECTED = ConnectionHealth.DISCONNECTED
NO_CONNECTIONS = "No company is connected yet. Connect one with: duewell connect xero (or quickbooks)"


class UnknownConnectionError(Exception):
    """There is no such connection; the message lists those there are."""


class DisconnectedError(Exception):
    """The company is disconnected; the message says how to reconnect it."""


class PauseInPastError(Exception):
    """A pause would end before it starts; the message says what to do."""


class ConnectionItem(Result):
    """A connection to a company."""

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


def find_connection(session: Session, name_or_id: str | int) -> Connection:
    """Find a connection by id or short name.

    Raises:
        UnknownConnectionError: there is no such connection.

    """
    rows = list(session.scalars(select(Connection).order_by(col(Connection.id))))
    if not rows:
        raise UnknownConnectionError(NO_CONNECTIONS)
    wanted = str(name_or_id).strip()
    for row in rows:
        if wanted in {str(row.id), row.short_name}:
            return row
    known = ", ".join(f"{row.short_name} ({row.id})" for row in rows)
    message = f"There is no connection {wanted!r}. There are: {known}."
    raise UnknownConnectionError(message)


def list_connected(session: Session) -> list[Connection]:
    """Return the connections that are not disconnected."""
    query = select(Connection).where(col(Connection.health) != DISCONNECTED).order_by(col(Connection.id))
    return list(session.scalars(query))


def list_connections(session: Session) -> list[ConnectionItem]:
    """Return all connections as lists show them."""
    return [as_item(row) for row in session.scalars(select(Connection).order_by(col(Connection.id)))]


def as_item(row: Connection) -> ConnectionItem:
    """Return a connection as lists show it."""
    return ConnectionItem.model_validate(row)


def open_ledger(
    app: AppContext,
    connection_id: int,
    calls: CallObserver,
    pacer: Pacer | None = None,
    *,
    row: Connection | None = None,
) -> Ledger:
    """Open a company's ledger. Nothing is called yet: an expired authorisation shows at the first call.

    ``pacer`` lets each call wait for its turn; without one, somebody waits for a page, which a call holds up little.
    ``row`` is the company, where it has been read already.
    """
    if row is None:
        with reading(app.engine) as session:
            row = session.get_one(Connection, connection_id)
    return app.providers[row.provider].open_ledger(
        app.settings,
        _company_ref(row),
        token_source(app, row.grant_id or 0, calls),
        PacedCalls(app.stop_aware(calls), pacer or Pacer(app, connection_id, row.provider, VISITOR_PATIENCE)),
    )


def set_mode(app: AppContext, connection_id: int, mode: str, *, by: str = "") -> Connection:
    """Change the mode of a connection; the first time it may send is kept for good."""
    if mode not in MODES:
        message = f"There is no mode {mode!r}; choose one of {', '.join(MODES)}."
        raise ValueError(message)
    with writing(app.engine) as session:
        row = session.get_one(Connection, connection_id)
        if mode != ConnectionMode.OBSERVE:
            _refuse_if_disconnected(row)
        before, row.mode = row.mode, ConnectionMode(mode)
        if mode == ConnectionMode.OBSERVE:
            _cancel_waiting_account(app, session, row)
        row.decision_fingerprint = ""  # what waits for approval depends on the mode: plan again at the next run
        if mode != ConnectionMode.OBSERVE and row.live_since_at is None:  # in mode approve, too, something can be sent
            row.live_since_at = app.now()
        if mode == ConnectionMode.APPROVE:
            _queue_for_approval(session, row)
            row.next_run_at = app.now()  # what is planned may be an hour old
        change = f"The mode of {row.name} was changed from {before} to {mode}{_by_actor(by)}"
        text = f"{change}: {MODES[row.mode]}."
        _log(app, session, row, LogKind.MODE, text)
        return row


def _cancel_waiting_account(app: AppContext, session: Session, row: Connection) -> None:
    """Cancel changed bank details that wait: the email that tells every owner of them may not be sent any more."""
    waiting = (
        col(BankDetailsRow.connection_id) == row.id,
        col(BankDetailsRow.applies_at) > app.now(),
        col(BankDetailsRow.cancelled_at).is_(None),
    )
    cancelled = session.execute(update(BankDetailsRow).where(*waiting).values(cancelled_at=app.now()))
    if cast("CursorResult[Any]", cancelled).rowcount:
        text = f"The account for payments to {row.name} that was waiting to be used was cancelled: nothing is sent now."
        _log(app, session, row, LogKind.BANK_DETAILS, text)


def _queue_for_approval(session: Session, row: Connection) -> None:
    """Move what is planned to what awaits approval, so that a user can read it before the next run."""
    planned = (
        col(OutboxEntry.connection_id) == row.id,
        col(OutboxEntry.state) == OutboxState.PLANNED,
        col(OutboxEntry.kind).in_(APPROVED_KINDS),
        col(OutboxEntry.approved_at).is_(None),
    )
    session.execute(update(OutboxEntry).where(*planned).values(state=OutboxState.AWAITING_APPROVAL))


def pause(
    app: AppContext, connection_id: int, *, reason: str = "", until_on: date | None = None, by: str = ""
) -> Connection:
    """Pause a connection until a date, or until it is resumed; nothing is lost."""
    with writing(app.engine) as session:
        row = session.get_one(Connection, connection_id)
        _refuse_if_disconnected(row)
        if until_on is not None and is_reached(until_on, row.time_zone, app.now()):
            message = (
                f"{format_date(until_on)} is not in the future: choose a later date, or none to pause until you resume."
            )
            raise PauseInPastError(message)
        row.pause_reason, row.paused_until_on = reason or f"paused{_by_actor(by)}", until_on
        _cancel_waiting_account(app, session, row)
        ends = f" until {format_date(until_on)}" if until_on else ""
        _log(app, session, row, LogKind.PAUSED, f"{row.name} was paused{ends}{_by_actor(by)}: {row.pause_reason}.")
        return row


def is_paused(row: Connection, now: datetime) -> bool:
    """Return whether a connection is paused; a pause ends on its last date in the company's time zone."""
    return bool(row.pause_reason) and not is_reached(row.paused_until_on, row.time_zone, now)


def end_expired_pause(app: AppContext, session: Session, row: Connection) -> None:
    """Clear a pause that has ended, in the caller's transaction."""
    if row.pause_reason and not is_paused(row, app.now()):
        _log(app, session, row, LogKind.RESUMED, f"The pause of {row.name} has ended: {row.pause_reason}.")
        row.pause_reason, row.paused_until_on = "", None


def resume(app: AppContext, connection_id: int, *, by: str = "") -> Connection:
    """Resume a paused connection; its next run is due now."""
    with writing(app.engine) as session:
        row = session.get_one(Connection, connection_id)
        _refuse_if_disconnected(row)
        row.pause_reason, row.paused_until_on, row.next_run_at = "", None, app.now()
        _log(app, session, row, LogKind.RESUMED, f"{row.name} was resumed{_by_actor(by)}.")
        return row


def run_soon(app: AppContext, connection_id: int) -> Connection:
    """Make the next run of a connection due now, for the scheduler to start."""
    with writing(app.engine) as session:
        row = session.get_one(Connection, connection_id)
        _refuse_if_disconnected(row)
        row.next_run_at = app.now()
        return row


def disconnect(app: AppContext, connection_id: int, *, by: str = "", reason: str = "") -> list[str]:
    """Disconnect a company: revoke the access at the provider and delete it here; the ``reason`` is logged.

    Returns:
        What was done, what is kept, and how to reconnect: a sentence each.

    """
    with reading(app.engine) as session:
        row = session.get_one(Connection, connection_id)
    title = app.providers[row.provider].title
    problem = _revoke(app, row)
    with writing(app.engine) as session:
        row = session.get_one(Connection, connection_id)
        grant_id, row.grant_id = row.grant_id, None
        row.health, row.health_reason, row.mode = DISCONNECTED, "disconnected by a user", ConnectionMode.OBSERVE
        session.flush()
        if grant_id is not None and not list_grant_connections(session, grant_id):
            session.delete(session.get_one(Grant, grant_id))
        ended = f"{row.name} was disconnected{_by_actor(by)}: duewell no longer has access to it."
        ended += f" Reason: {reason.rstrip('.')}." if reason else ""
        if problem:
            ended += f" Revoking the access at {title} failed ({problem.rstrip('.')}); remove duewell there by hand."
        _log(app, session, row, LogKind.DISCONNECTED, ended)
    kept = "Kept here: the copy of its accounting data, what was sent, and the sync log."
    return [ended, kept, f"To reconnect it later, in mode observe: duewell connect {row.provider}"]


def _revoke(app: AppContext, row: Connection) -> str:
    """Revoke the access at the provider; return why that failed, or ""."""
    if row.grant_id is None or row.health == DISCONNECTED:
        return ""
    with reading(app.engine) as session:
        is_last = len(list_grant_connections(session, row.grant_id)) == 1
    calls = app.stop_aware(UncountedCalls())
    try:
        token = fresh_token(app, row.grant_id, calls)
        app.providers[row.provider].revoke(app.settings, token, _company_ref(row), whole_grant=is_last, calls=calls)
    except AuthorizationExpired:
        return ""  # it was revoked already
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
