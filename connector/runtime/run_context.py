"""What the parts of one run share: the installation, the lease, the ledger, the moment and the tally."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlmodel import Session

from connector.app_context import AppContext
from connector.audit import sync_log
from connector.db.engine import reading, writing
from connector.db.tables import Connection, OutboxEntry
from connector.outbox import entries
from connector.restore.backup import RestoreGap
from connector.runtime.budget import CallBudget
from connector.runtime.lease import Lease
from connector.vocabulary import LogKind
from providers.errors import TransientError
from providers.ledger import Ledger
from providers.mailer import Mailer


def ignore_progress(_text: str) -> None:
    """Tell nobody."""


@dataclass(slots=True)
class RunContext:
    """One run of one connection, under way."""

    app: AppContext
    lease: Lease
    connection_id: int
    run_id: int
    ledger_key: str  # names the company for good: provider and its own id there
    ledger: Ledger
    mailer: Mailer | None
    budget: CallBudget
    started_at: datetime
    dry_run: bool = False
    on_progress: Callable[[str], None] = ignore_progress
    on_records_read: Callable[[int, int | None], None] | None = None
    dispatching_id: int | None = None  # the outbox entry whose calls are being made
    restore_gap: RestoreGap | None = None  # if the database was restored
    not_before_at: datetime | None = None  # when a vendor that put us off may be asked again
    tally: Counter[str] = field(default_factory=Counter)
    consecutive_failures: Counter[str] = field(
        default_factory=Counter
    )  # by kind of effect: calls in a row that came to nothing
    last_seen_log_id: dict[str, int] = field(
        default_factory=dict
    )  # the log's newest line when a customer was last decided about
    deferred: list[str] = field(default_factory=list)  # put off by a vendor: the next run goes on
    action_required: list[str] = field(default_factory=list)  # what only a person can mend
    failures: list[str] = field(default_factory=list)  # what went wrong in ourselves

    def now(self) -> datetime:
        """Give the present instant."""
        return self.app.now()

    @contextmanager
    def writing(self, *, durable: bool = True) -> Iterator[Session]:
        """Open a transaction that only the lease's owner can commit; pages of the books need not be ``durable``."""
        with writing(self.app.engine, durable=durable) as session:
            self.lease.renew(session)
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Open a session that only looks."""
        with reading(self.app.engine) as session:
            yield session

    def authorize_call(self) -> None:
        """Ask, before every call that changes something, whether it may still be made.

        Such a call may come long after the intent that was marked: a fee is looked for, its account and item are made,
        a minute's limit is waited out. Raises ``LeaseLost`` where another machine has taken over meanwhile, and
        ``TryLater`` where a person has paused or switched the company.
        """
        with self.reading() as session:
            self.lease.check(session)
            entry = session.get(OutboxEntry, self.dispatching_id) if self.dispatching_id is not None else None
            if entry is not None and not entries.is_permitted(self.connection(session), entry):
                message = "The company was paused or switched just before this; nothing left"
                raise TransientError(message)

    @contextmanager
    def dispatching(self, entry_id: int) -> Iterator[None]:
        """Make an entry's calls: each that changes something asks first whether the entry may still leave."""
        self.dispatching_id = entry_id
        try:
            yield
        finally:
            self.dispatching_id = None

    def connection(self, session: Session) -> Connection:
        """Read this run's connection afresh: a person may have paused it meanwhile."""
        return session.get_one(Connection, self.connection_id)

    def today(self, connection: Connection) -> date:
        """Give the date where the organisation is."""
        return self.now().astimezone(ZoneInfo(connection.time_zone)).date()

    def log(
        self,
        session: Session,
        kind: LogKind,
        text: str,
        *,
        customer_id: str = "",
        invoice_id: str = "",
        facts: dict[str, Any] | None = None,
    ) -> None:
        """Write a line of this run's story."""
        self.log_all(session, [sync_log.LogEntry(kind, text, customer_id, invoice_id, facts)])

    def log_all(self, session: Session, lines: Iterable[sync_log.LogEntry]) -> None:
        """Write many lines of this run's story at once."""
        sync_log.write_all(session, lines, at=self.now(), connection_id=self.connection_id, run_id=self.run_id)
