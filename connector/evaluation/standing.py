"""How long decisions stand: while nothing they depend on has changed, and no day or send window has begun or ended.

What can change is the mirror (its version), what people, customers and the email service do (each writes an entry of
the sync log in the same transaction), the policy, the settings, the program itself, and the time: a decision depends on
the date, on whether an email may be sent now, and on which bank account is in use. So a quiet sync decides about
nobody, a few times a day excepted.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import DateTime, bindparam, func, literal, null, select, type_coerce, union_all
from sqlmodel import Session, SQLModel

from connector.audit import sync_log
from connector.db.tables import BankDetailsRow, Connection, User
from connector.settings import Settings
from connector.vocabulary import LogKind
from policies.calendar import find_time_zone, next_window_change
from policies.receivables import Statement
from policies.sections import SendWindow

# A sync has read the ledger just before it decides. After a sync that has not, the age of the data counts as well.
_READ_AT_MOST = timedelta(minutes=15)
_DECIDING = "deciding"  # a fingerprint that nothing has
_OF_COMPANY = (
    "mode", "name", "owner", "base_currency", "country", "holiday_region", "time_zone", "lock_on",
    "ledger_reminders", "pause_reason", "paused_until_on", "first_pull_done_at", "live_since_at",
)  # fmt: skip
# Of every sync, and about nothing that counts; or what was decided or found, on which no decision depends
_ROUTINE = (
    LogKind.RUN_STARTED, LogKind.PULLED, LogKind.RECONCILED, LogKind.DECIDED, LogKind.PLANNED,
    LogKind.CANCELLED, LogKind.EXCEPTION, LogKind.RUN_ENDED,
)  # fmt: skip

_TABLES = SQLModel.metadata.tables
_OWN: Any = bindparam("connection_id")


def _summary(name: str, newest: str) -> Any:
    columns = _TABLES[name].c
    return select(literal(name), func.count(), func.max(columns[newest])).where(columns.connection_id == _OWN)


_OUTBOX = _TABLES["outbox"].c
_FACTS = union_all(  # built once: every sync asks for it
    *(
        _summary(*each)
        for each in (
            ("customer_setting", "set_at"),
            ("invoice_setting", "set_at"),
            ("completed_step", "completed_at"),
            ("bank_match", "changed_at"),
        )
    ),
    select(type_coerce(_OUTBOX.state, literal("").type), func.count(), type_coerce(null(), DateTime))
    .where(_OUTBOX.connection_id == _OWN)
    .group_by(_OUTBOX.state),
)


@dataclass(slots=True)
class DecisionTimes:
    """When the next day or send window begins or ends for anybody who is decided about."""

    now: datetime
    _seen: set[tuple[str, time, time]] = field(default_factory=set)
    next_change_at: datetime | None = None

    def add(self, time_zone: ZoneInfo, window: SendWindow) -> None:
        """Count a time zone, with the send window that applies in it."""
        key = (time_zone.key, window.opens, window.closes)
        if key not in self._seen:
            self._seen.add(key)
            change_at = next_window_change(self.now, time_zone, window)
            self.next_change_at = min(self.next_change_at or change_at, change_at)

    def add_customer(self, statement: Statement, window: SendWindow) -> None:
        """Count a customer: the date is the company's, the send window theirs."""
        company = statement.company.time_zone
        self.add(find_time_zone(company), window)
        self.add(find_time_zone(statement.customer.time_zone, company), window)

    def add_readers(self, session: Session, window: SendWindow) -> None:
        """Count the users with a time zone of their own, whose digests are planned by their date."""
        for name in session.scalars(select(_TABLES[User.__tablename__].c.time_zone).distinct()):
            if name:
                self.add(find_time_zone(name), window)

    def add_accounts(self, session: Session, connection: Connection) -> None:
        """Count when a bank account that waits comes into use: emails name it, and an approval is for one account."""
        column = _TABLES[BankDetailsRow.__tablename__].c
        is_waiting = (column.connection_id == connection.id) & (column.applies_at > self.now)
        query = select(func.min(column.applies_at)).where(is_waiting, column.cancelled_at.is_(None))
        applies_at = session.scalar(query)
        if applies_at is not None:
            self.next_change_at = min(self.next_change_at or applies_at, applies_at)


class DecisionBasis(NamedTuple):
    """What decisions knew: the newest log entry, the version of the mirror, and a hash of what they have in common."""

    log_head: int
    mirror_version: int
    facts: str


def begin(connection: Connection) -> None:
    """Record that decisions are about to be made: whatever is changed meanwhile clears it, and they do not stand."""
    connection.decision_fingerprint = _DECIDING


def still_stand(connection: Connection) -> bool:
    """Return whether the mirror is as it was, where all else is (``differ_by_mirror_only``)."""
    return connection.mirror_version == connection.decided_mirror_version


def differ_by_mirror_only(
    session: Session, connection: Connection, policy_version: int | None, settings: Settings, now: datetime
) -> bool:
    """Return whether, with the same mirror, what was decided last would be decided now."""
    decided_at, until_at, synced_at = connection.decided_at, connection.decided_until_at, connection.synced_at
    return (
        decided_at is not None
        and until_at is not None
        and synced_at is not None
        and decided_at <= now < until_at  # a clock that was wrong, too, brings new decisions
        and now - synced_at <= _READ_AT_MOST
        and not is_logged(session, connection)
        and _fingerprint(session, connection, policy_version, settings) == connection.decision_fingerprint
    )


def is_logged(session: Session, connection: Connection) -> bool:
    """Return whether something has been logged that the decisions did not know."""
    return sync_log.logged_after(session, connection.decided_log_id, connection.id or 0, ignored=_ROUTINE)


def record(
    session: Session,
    connection: Connection,
    policy_version: int | None,
    settings: Settings,
    times: DecisionTimes,
    basis: DecisionBasis,
) -> None:
    """Record what the decisions just made depend on.

    Decisions from accounting data that had not just been read stand for no other sync.
    """
    synced_at = connection.synced_at
    is_undisturbed = connection.decision_fingerprint == _DECIDING
    is_fresh = synced_at is not None and times.now - synced_at <= _READ_AT_MOST
    connection.decided_at, connection.decided_until_at = times.now, times.next_change_at
    connection.decided_log_id, connection.decided_facts = basis.log_head, basis.facts
    connection.decided_mirror_version = basis.mirror_version
    connection.decision_fingerprint = (
        _fingerprint(session, connection, policy_version, settings) if is_undisturbed and is_fresh else ""
    )


def _fingerprint(session: Session, connection: Connection, policy_version: int | None, settings: Settings) -> str:
    """Hash what decisions depend on besides time and mirror: company, policy, settings, and what has been done."""
    session.flush()
    rows = session.connection().execute(_FACTS, {"connection_id": connection.id})
    counts = sorted((name, count, str(newest)) for name, count, newest in rows)
    company = [str(getattr(connection, each)) for each in _OF_COMPANY]
    program = (repr(settings), _program_version())  # secrets are no part of the settings' representation
    facts = (company, policy_version, counts, program)
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:32]


@cache
def _program_version() -> str:
    """Return the version of this program: a newer one may decide otherwise."""
    try:
        return version("duewell")
    except PackageNotFoundError:  # run from a folder that was never installed
        return ""
