"""The connections: finding one, opening its ledger, switching its mode, pausing and ending it."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import select
from sqlmodel import Session, col

from connector import sync_log
from connector.access.consent import ConsentError, begin_consent, consent_outcome, finish_consent
from connector.access.tokens import connect_again, fresh_token, living_connections, token_source
from connector.database import reading, writing
from connector.installation import Installation, Uncounted
from connector.mirror.places import has_come
from connector.tables import Connection, Grant
from policies.wording import day
from providers.errors import ProviderError, Reconnect
from providers.ledger import Calls, CompanyRef, Ledger

__all__ = [
    "MODES",
    "NONE_YET",
    "ConsentError",
    "DisconnectedError",
    "UnknownConnectionError",
    "begin_consent",
    "connected",
    "consent_outcome",
    "disconnect",
    "find_connection",
    "finish_consent",
    "listing",
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
DISCONNECTED = "disconnected"
NONE_YET = "No company is connected yet. Connect one with: duewell connect xero (or quickbooks)"


class UnknownConnectionError(Exception):
    """There is no such connection; ``str()`` lists those there are."""


class DisconnectedError(Exception):
    """The company is not connected any more; ``str()`` says how to connect it again."""


class PauseOverError(Exception):
    """A pause that would end before it began; ``str()`` says what to name instead."""


def find_connection(session: Session, name_or_id: str | int) -> Connection:
    """Find a connection by id or short name, or say which there are."""
    rows = list(session.scalars(select(Connection).order_by(col(Connection.id))))
    if not rows:
        raise UnknownConnectionError(NONE_YET)
    wanted = str(name_or_id).strip()
    for row in rows:
        if wanted in {str(row.id), row.short_name}:
            return row
    known = ", ".join(f"{row.short_name} ({row.id})" for row in rows)
    message = f"There is no connection {wanted!r}. Known: {known}."
    raise UnknownConnectionError(message)


def connected(session: Session) -> list[Connection]:
    """List the connections that are not disconnected."""
    query = select(Connection).where(col(Connection.health) != DISCONNECTED).order_by(col(Connection.id))
    return list(session.scalars(query))


def listing(session: Session) -> list[dict[str, Any]]:
    """List all connections with what a person or a script wants to know of each."""
    return [describe(row) for row in session.scalars(select(Connection).order_by(col(Connection.id)))]


def describe(row: Connection) -> dict[str, Any]:
    """Say what a connection is and how it is."""
    return {
        "id": row.id,
        "short_name": row.short_name,
        "provider": row.provider,
        "name": row.name,
        "mode": row.mode,
        "health": row.health,
        "health_why": row.health_why,
        "paused": row.paused_why,
        "paused_until_on": row.paused_until_on,
        "external_id": row.external_id,
    }


def open_ledger(installation: Installation, connection_id: int, calls: Calls) -> Ledger:
    """Open a company's books. Nothing is called or written yet: a dead grant shows at the first call."""
    with reading(installation.engine) as session:
        row = session.get_one(Connection, connection_id)
    return installation.providers[row.provider].ledger(
        installation.settings,
        _company(row),
        token_source(installation, row.grant_id or 0, calls),
        installation.watched(calls),
    )


def set_mode(installation: Installation, connection_id: int, mode: str, *, by: str = "") -> Connection:
    """Switch between observe, approve and live. Since when mails may leave is remembered for good."""
    if mode not in MODES:
        message = f"There is no mode {mode!r}; there are {', '.join(MODES)}."
        raise ValueError(message)
    with writing(installation.engine) as session:
        row = session.get_one(Connection, connection_id)
        if mode != "observe":
            _refuse_if_disconnected(row)
        before, row.mode = row.mode, mode
        row.decided_on = ""  # plans wait for a person or not by the mode: they are remade at the next run
        if mode != "observe" and row.live_since_at is None:  # what a person approves leaves as well
            row.live_since_at = installation.now()
        words = f"Mode of {row.name} changed from {before} to {mode}{_by(by)}: {MODES[mode]}."
        _log(installation, session, row, "mode", words)
        return row


def pause(
    installation: Installation, connection_id: int, *, why: str = "", until: date | None = None, by: str = ""
) -> Connection:
    """Stop running a connection until a day, or until a person resumes it; nothing is forgotten."""
    with writing(installation.engine) as session:
        row = session.get_one(Connection, connection_id)
        if until is not None and has_come(until, row.time_zone, installation.now()):
            message = f"A pause of {row.name} until {day(until)} would be over already: name a day to come."
            raise PauseOverError(message)
        row.paused_why, row.paused_until_on = why or f"paused{_by(by)}", until
        ends = f" until {day(until)}" if until else ""
        _log(installation, session, row, "paused", f"{row.name} was paused{ends}{_by(by)}: {row.paused_why}.")
        return row


def is_paused(row: Connection, now: datetime) -> bool:
    """Tell whether a connection is paused at this moment: a pause with an end is over on its day, by its own clock."""
    return bool(row.paused_why) and not has_come(row.paused_until_on, row.time_zone, now)


def end_pause(installation: Installation, session: Session, row: Connection) -> None:
    """Forget a pause that is over, in the caller's transaction."""
    if row.paused_why and not is_paused(row, installation.now()):
        _log(installation, session, row, "resumed", f"The pause of {row.name} is over: {row.paused_why}.")
        row.paused_why, row.paused_until_on = "", None


def resume(installation: Installation, connection_id: int, *, by: str = "") -> Connection:
    """Run a paused connection again, from now on."""
    with writing(installation.engine) as session:
        row = session.get_one(Connection, connection_id)
        _refuse_if_disconnected(row)
        row.paused_why, row.paused_until_on, row.next_run_at = "", None, installation.now()
        _log(installation, session, row, "resumed", f"{row.name} was resumed{_by(by)}.")
        return row


def run_soon(installation: Installation, connection_id: int) -> Connection:
    """Let the scheduler run a connection as soon as it wakes."""
    with writing(installation.engine) as session:
        row = session.get_one(Connection, connection_id)
        _refuse_if_disconnected(row)
        row.next_run_at = installation.now()
        return row


def disconnect(installation: Installation, connection_id: int, *, by: str = "") -> list[str]:
    """End the access to a company at the vendor and here. Returns sentences: what was ended, what is kept."""
    with reading(installation.engine) as session:
        row = session.get_one(Connection, connection_id)
    title = installation.providers[row.provider].title
    problem = _revoke(installation, row)
    with writing(installation.engine) as session:
        row = session.get_one(Connection, connection_id)
        grant_id, row.grant_id = row.grant_id, None
        row.health, row.health_why, row.mode = DISCONNECTED, "a person disconnected it", "observe"
        session.flush()
        if grant_id is not None and not living_connections(session, grant_id):
            session.delete(session.get_one(Grant, grant_id))
        ended = f"{row.name} is disconnected{_by(by)}: duewell no longer has access to it."
        if problem:
            ended += (
                f" {title} could not be told ({problem.rstrip('.')}); remove duewell in its list of apps there too."
            )
        _log(installation, session, row, DISCONNECTED, ended)
    kept = "Kept here: the mirror of its books, what was sent, and the sync log. They go with the database file."
    return [ended, kept, f"Connecting it again goes on where it was, in mode observe: duewell connect {row.provider}"]


def _revoke(installation: Installation, row: Connection) -> str:
    """Tell the vendor; returns why that failed, or "". Our own access ends either way."""
    if row.grant_id is None or row.health == DISCONNECTED:
        return ""
    with reading(installation.engine) as session:
        last = len(living_connections(session, row.grant_id)) == 1
    calls = installation.watched(Uncounted())
    try:
        token = fresh_token(installation, row.grant_id, calls)
        installation.providers[row.provider].revoke(installation.settings, token, _company(row), last=last, calls=calls)
    except Reconnect:
        return ""  # the grant was dead already
    except ProviderError as problem:
        return str(problem)
    return ""


def _refuse_if_disconnected(row: Connection) -> None:
    if row.health == DISCONNECTED:
        message = f"{row.name} is disconnected. {connect_again(row.provider)}"
        raise DisconnectedError(message)


def _company(row: Connection) -> CompanyRef:
    return CompanyRef(row.external_id, row.name, row.remote_connection_id)


def _log(installation: Installation, session: Session, row: Connection, kind: str, text: str) -> None:
    sync_log.write(session, at=installation.now(), kind=kind, text=text, connection_id=row.id)


def _by(by: str) -> str:
    return f" by {by}" if by else ""
