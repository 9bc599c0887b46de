"""Data retention: the periods that users set, and the daily deletion of older data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple, cast

from sqlalchemy import CursorResult, Delete, Update, delete, or_, select, update
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.audit import sync_log
from connector.db.engine import reading, writing
from connector.db.tables import (
    BankMatch,
    BankReceipt,
    DecisionRecord,
    EmailEvent,
    KeyValue,
    MalformedRow,
    OutboxEntry,
    PendingConsent,
    PortalFile,
    PortalResponse,
    SentEmail,
    SignInAttempt,
    SignInLink,
    SyncLogEntry,
    Task,
    WebSession,
)
from connector.vocabulary import LogKind, MatchState, OutboxState, ReceiptState, ResponseState, TaskState
from connector.vocabulary.labels import in_sentence, label

REMOVED = "(deleted after its retention period)"
_ADDRESSES = frozenset({"to", "cc", "bcc"})  # of an email's payload
DAYS_MAX = 36_500
_BOUNDS_ERROR = f"{{}}: enter 1 to {DAYS_MAX} days, or off to keep it forever."
_SETTING, _PRUNED = "retention", "pruned"
_INTERVAL = timedelta(hours=20)
_BATCH_SIZE = 20_000
_STANDING = (MatchState.OPEN, MatchState.CONFIRMED)
_STRANGERS = (ReceiptState.UNMATCHED, ReceiptState.SET_ASIDE)
_DRAFT_KEPT_FOR = timedelta(days=1)


class RetentionError(Exception):
    """An unknown kind of data or an invalid number of days; ``str()`` says what is allowed."""


class RetentionRule(NamedTuple):
    """The default retention period of a kind of data in days (0: forever), and the function that deletes it."""

    days: int
    description: str
    prune: Callable[[Session, datetime, datetime], int]


def retention_days(session: Session) -> dict[str, int]:
    """Return the retention period of each kind in days; 0 means forever."""
    row = session.get(KeyValue, (0, _SETTING))
    return {name: kept.days for name, kept in KINDS.items()} | (row.value if row is not None else {})


def last_pruned_at(session: Session) -> datetime | None:
    """Return when old data was last deleted, or None."""
    row = session.get(KeyValue, (0, _PRUNED))
    return row.stored_at if row is not None else None


def parse_days(name: str, text: str) -> int:
    """Parse a retention period; ``off`` returns 0, forever. Raises ``RetentionError``."""
    count = text.strip().lower()
    if count in {"off", "never"}:
        return 0
    if not count.isdecimal() or not 0 < int(count) <= DAYS_MAX:  # 0 days would not be understood as forever
        raise RetentionError(_BOUNDS_ERROR.format(name))
    return int(count)


def set_retention(app: AppContext, changes: Mapping[str, int], *, by: str) -> dict[str, int]:
    """Set retention periods. Raises ``RetentionError``."""
    for name, count in changes.items():
        if name not in KINDS:
            raise RetentionError(f"There is no kind of data {name!r}. Choose one of {', '.join(KINDS)}.")
        if not 0 <= count <= DAYS_MAX:
            raise RetentionError(_BOUNDS_ERROR.format(name))
    with writing(app.engine) as session:
        now, value = app.now(), {**retention_days(session), **changes}
        session.merge(KeyValue(connection_id=0, name=_SETTING, value=value, stored_at=now))
        periods = ", ".join(
            f"{in_sentence(label(name, 'retention_kind'))} {f'{count} days' if count else 'forever'}"
            for name, count in changes.items()
        )
        sync_log.write(session, at=now, kind=LogKind.RETENTION, text=f"{by} set retention periods: {periods}.")
        return value


def prune(app: AppContext) -> dict[str, int]:
    """Delete data past its retention period, log it, and return how much of each kind was deleted."""
    with writing(app.engine) as session:
        now = app.now()
        session.merge(KeyValue(connection_id=0, name=_PRUNED, value={}, stored_at=now))
        kept = retention_days(session)
        counts = {
            name: kind.prune(session, now - timedelta(days=kept[name]), now) if kept[name] else 0
            for name, kind in KINDS.items()
        }
        deleted = ", ".join(
            f"{count} {in_sentence(label(name, 'retention_kind'))}" for name, count in counts.items() if count
        )
        if deleted:
            sync_log.write(
                session, at=now, kind=LogKind.PRUNED, text=f"Data past its retention period was deleted: {deleted}."
            )
        return counts


def prune_daily(app: AppContext) -> None:
    """Delete old data, unless that was done within the last day."""
    with reading(app.engine) as session:
        last = last_pruned_at(session)
        if last is not None and timedelta(0) <= app.now() - last < _INTERVAL:
            return
    prune(app)


def _execute(session: Session, statement: Delete | Update) -> int:
    return int(cast("CursorResult[Any]", session.execute(statement)).rowcount)


def _prune_malformed(session: Session, before: datetime, _now: datetime) -> int:
    old = col(MalformedRow.seen_at) < before, col(MalformedRow.raw) != b""
    return _execute(session, update(MalformedRow).where(*old).values(raw=b""))


def _prune_decisions(session: Session, before: datetime, _now: datetime) -> int:
    return _execute(session, delete(DecisionRecord).where(col(DecisionRecord.decided_at) < before))


def _prune_emails(session: Session, before: datetime, _now: datetime) -> int:
    """Remove addresses and texts of finished entries; keys, steps and amounts stay, so that nothing is sent twice."""
    query = select(OutboxEntry).where(
        col(OutboxEntry.state).in_([OutboxState.DONE, OutboxState.REJECTED]),
        col(OutboxEntry.ended_at) < before,
        col(OutboxEntry.reason) != REMOVED,
    )
    rows = session.scalars(query).all()
    for row in rows:
        row.payload = {name: [REMOVED] if name in _ADDRESSES else value for name, value in row.payload.items()}
        row.reason, row.response, row.custom_text = REMOVED, "", None
    session.execute(delete(SentEmail).where(col(SentEmail.stored_at) < before))  # also of what was never confirmed
    old = col(EmailEvent.received_at) < before, col(EmailEvent.address) != ""
    return len(rows) + _execute(session, update(EmailEvent).where(*old).values(address=""))


def _prune_tasks(session: Session, before: datetime, _now: datetime) -> int:
    old = col(Task.state) != TaskState.OPEN, col(Task.ended_at) < before, col(Task.reason) != REMOVED
    return _execute(session, update(Task).where(*old).values(reason=REMOVED, outcome=""))


def _prune_bank(session: Session, before: datetime, _now: datetime) -> int:
    """Delete money that matches no customer, and what is said about money that is settled; its amount and day stay."""
    old = col(BankReceipt.seen_at) < before
    strangers = delete(BankReceipt).where(old, col(BankReceipt.state).in_(_STRANGERS), col(BankReceipt.amount_e4) > 0)
    settled = (
        col(BankReceipt.state).in_([ReceiptState.IN_LEDGER, ReceiptState.REVERSED]),
        or_(*(each != "" for each in (col(BankReceipt.text), col(BankReceipt.payer), col(BankReceipt.reference)))),
    )
    texts = update(BankReceipt).where(old, *settled).values(text="", reference="", payer="")
    over = col(BankMatch.changed_at) < before, col(BankMatch.state).not_in(_STANDING), col(BankMatch.payer) != ""
    _execute(session, update(BankMatch).where(*over).values(payer=""))
    return _execute(session, strangers) + _execute(session, texts)


def _prune_portal(session: Session, before: datetime, now: datetime) -> int:
    """Delete old responses and files; a draft that nobody sent goes after a day, with its file."""
    drafts = col(PortalResponse.state) == ResponseState.DRAFT, col(PortalResponse.created_at) < now - _DRAFT_KEPT_FOR
    unsent = select(col(PortalResponse.key)).where(*drafts)
    _execute(session, delete(PortalFile).where(col(PortalFile.response_key).in_(unsent)))
    _execute(session, delete(PortalResponse).where(*drafts))
    return _execute(session, delete(PortalFile).where(col(PortalFile.stored_at) < before)) + _execute(
        session, delete(PortalResponse).where(col(PortalResponse.created_at) < before)
    )


def _prune_sign_ins(session: Session, before: datetime, _now: datetime) -> int:
    return sum(
        _execute(session, statement)
        for statement in (
            delete(WebSession).where(col(WebSession.started_at) < before),
            delete(SignInLink).where(col(SignInLink.expires_at) < before),
            delete(SignInAttempt).where(col(SignInAttempt.at) < before),
            delete(PendingConsent).where(col(PendingConsent.started_at) < before),
        )
    )


def _prune_log(session: Session, before: datetime, now: datetime) -> int:
    query = select(col(SyncLogEntry.id)).where(
        col(SyncLogEntry.at) < before, col(SyncLogEntry.salt) != "", col(SyncLogEntry.kind) != LogKind.ERASED
    )
    ids = session.scalars(query.order_by(col(SyncLogEntry.id)).limit(_BATCH_SIZE)).all()
    text = "The texts of these entries were deleted at the end of their retention period."
    return sync_log.erase_texts(session, [each or 0 for each in ids], at=now, text=text, connection_id=None)


KINDS = {
    "raw": RetentionRule(90, "records of the accounting system that could not be read", _prune_malformed),
    "decisions": RetentionRule(
        400, "the facts on which decisions were based, as explanations show them", _prune_decisions
    ),
    "emails": RetentionRule(
        1095,
        "sent emails as they were sent, their addresses and reasons, and their delivery status",
        _prune_emails,
    ),
    "tasks": RetentionRule(1095, "the texts of closed tasks, including customers' replies", _prune_tasks),
    "bank-lines": RetentionRule(
        30, "money on bank statements for which no invoice was found; payers and texts of what is booked", _prune_bank
    ),
    "portal": RetentionRule(400, "what customers reported in the portal, and the files they sent", _prune_portal),
    "sign-ins": RetentionRule(90, "sessions, sign-in links and attempts, and consents", _prune_sign_ins),
    "log": RetentionRule(0, "the texts of the sync log; its entries and hash chain are kept", _prune_log),
}
