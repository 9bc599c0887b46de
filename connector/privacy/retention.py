"""How long what is held is kept: the days a person sets, and the daily pruning of what is older."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple, cast

from sqlalchemy import CursorResult, Delete, Update, delete, select, update
from sqlmodel import Session, col

from connector import sync_log
from connector.database import reading, writing
from connector.installation import Installation
from connector.tables import (
    DecisionRow,
    MailEvent,
    MalformedRow,
    OutboxEntry,
    PendingConsent,
    SignInAttempt,
    SignInLink,
    Stored,
    SyncLogEntry,
    Task,
    WebSession,
)

REMOVED = "(removed by age)"
DAYS_MAX = 36_500
_BOUNDS = f"{{}}: from 1 to {DAYS_MAX} days, or off: for good."
_SETTING, _PRUNED = "retention", "pruned"
_EVERY = timedelta(hours=20)
_LINES_A_TIME = 20_000


class RetentionError(Exception):
    """There is no such kind, or no such number of days; ``str()`` says what there is."""


class Kept(NamedTuple):
    """How one kind of thing is pruned: the days it is kept unless a person says otherwise (0: for good), and how."""

    days: int
    what: str
    prune: Callable[[Session, datetime, datetime], int]


def days(session: Session) -> dict[str, int]:
    """Tell how many days each kind is kept; 0 for good."""
    row = session.get(Stored, (0, _SETTING))
    return {name: kept.days for name, kept in KINDS.items()} | (row.value if row is not None else {})


def pruned_at(session: Session) -> datetime | None:
    """Tell when what was too old went last; None where that never was."""
    row = session.get(Stored, (0, _PRUNED))
    return row.stored_at if row is not None else None


def days_said(name: str, text: str) -> int:
    """Read for how many days a person wants a kind kept, ``off`` for good; raises ``RetentionError``."""
    count = text.strip().lower()
    if count in {"off", "never"}:
        return 0
    if not count.isdecimal() or not 0 < int(count) <= DAYS_MAX:  # nobody who writes 0 days means for good
        raise RetentionError(_BOUNDS.format(name))
    return int(count)


def keep(installation: Installation, wanted: Mapping[str, int], *, by: str) -> dict[str, int]:
    """Set how many days kinds are kept from now on; raises ``RetentionError``."""
    for name, count in wanted.items():
        if name not in KINDS:
            raise RetentionError(f"There is nothing called {name!r} to keep; there are: {', '.join(KINDS)}.")
        if not 0 <= count <= DAYS_MAX:
            raise RetentionError(_BOUNDS.format(name))
    with writing(installation.engine) as session:
        now, value = installation.now(), {**days(session), **wanted}
        session.merge(Stored(connection_id=0, name=_SETTING, value=value, stored_at=now))
        said = ", ".join(f"{name} {count or 'for good'}" for name, count in wanted.items())
        sync_log.write(session, at=now, kind="retention", text=f"{by} set how many days are kept: {said}.")
        return value


def prune(installation: Installation) -> dict[str, int]:
    """Take away what is older than it is kept; returns how many of each kind, and tells it in the log."""
    with writing(installation.engine) as session:
        now = installation.now()
        session.merge(Stored(connection_id=0, name=_PRUNED, value={}, stored_at=now))
        kept = days(session)
        counts = {
            name: kind.prune(session, now - timedelta(days=kept[name]), now) if kept[name] else 0
            for name, kind in KINDS.items()
        }
        gone = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        if gone:
            sync_log.write(session, at=now, kind="pruned", text=f"Older than it is kept, and taken away: {gone}.")
        return counts


def work(installation: Installation) -> None:
    """Prune once a day; asked again and again, it does nothing meanwhile."""
    with reading(installation.engine) as session:
        last = pruned_at(session)
        if last is not None and timedelta(0) <= installation.now() - last < _EVERY:
            return
    prune(installation)


def _run(session: Session, statement: Delete | Update) -> int:
    return int(cast("CursorResult[Any]", session.execute(statement)).rowcount)


def _raw(session: Session, before: datetime, _now: datetime) -> int:
    old = col(MalformedRow.seen_at) < before, col(MalformedRow.raw) != b""
    return _run(session, update(MalformedRow).where(*old).values(raw=b""))


def _decisions(session: Session, before: datetime, _now: datetime) -> int:
    return _run(session, delete(DecisionRow).where(col(DecisionRow.decided_at) < before))


def _mails(session: Session, before: datetime, _now: datetime) -> int:
    """Take addresses and words from effects that have their end; keys, steps and sums stay: nothing happens twice."""
    query = select(OutboxEntry).where(
        col(OutboxEntry.state).in_(["done", "refused"]),
        col(OutboxEntry.ended_at) < before,
        col(OutboxEntry.why) != REMOVED,
    )
    rows = session.scalars(query).all()
    for row in rows:
        row.payload = {name: [REMOVED] if name == "to" else value for name, value in row.payload.items()}
        row.why, row.answer, row.own_words = REMOVED, "", None
    old = col(MailEvent.received_at) < before, col(MailEvent.address) != ""
    return len(rows) + _run(session, update(MailEvent).where(*old).values(address=""))


def _tasks(session: Session, before: datetime, _now: datetime) -> int:
    old = col(Task.state) != "open", col(Task.ended_at) < before, col(Task.why) != REMOVED
    return _run(session, update(Task).where(*old).values(why=REMOVED, outcome=""))


def _sign_ins(session: Session, before: datetime, _now: datetime) -> int:
    return sum(
        _run(session, statement)
        for statement in (
            delete(WebSession).where(col(WebSession.started_at) < before),
            delete(SignInLink).where(col(SignInLink.expires_at) < before),
            delete(SignInAttempt).where(col(SignInAttempt.at) < before),
            delete(PendingConsent).where(col(PendingConsent.started_at) < before),
        )
    )


def _log(session: Session, before: datetime, now: datetime) -> int:
    query = select(col(SyncLogEntry.id)).where(
        col(SyncLogEntry.at) < before, col(SyncLogEntry.salt) != "", col(SyncLogEntry.kind) != sync_log.ERASURE
    )
    ids = session.scalars(query.order_by(col(SyncLogEntry.id)).limit(_LINES_A_TIME)).all()
    text = "The texts of these lines were taken away: they are older than texts of the log are kept."
    return sync_log.erase(session, [each or 0 for each in ids], at=now, text=text, connection_id=None)


KINDS = {
    "raw": Kept(90, "records of the ledger that could not be read, as they came", _raw),
    "decisions": Kept(400, "the facts that decisions were made on; explain shows them", _decisions),
    "mails": Kept(
        1095, "addresses, reasons and a person's own words of mails that left, and of what became of them", _mails
    ),
    "tasks": Kept(1095, "the words of tasks that have ended, customers' replies among them", _tasks),
    "sign-ins": Kept(90, "sessions, links and attempts to sign in, consents", _sign_ins),
    "log": Kept(0, "the texts of the sync log; its lines and their proof stay", _log),
}
