"""What the parts of a run share: the app, the lease, the ledger, the call budget and the tally."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from zoneinfo import ZoneInfo

from sqlmodel import Session

from connector.app_context import AppContext
from connector.audit import sync_log
from connector.connections.pacing import Pacer
from connector.db.engine import reading, writing
from connector.db.tables import Connection, OutboxEntry
from connector.outbox import entries
from connector.restore.restore_gap import RestoreGap
from connector.runtime.budget import CallBudget
from connector.runtime.lease import Lease
from connector.runtime.mirror_changes import MirrorChanges
from connector.vocabulary import LogKind
from providers.calls import CallKind
from providers.errors import TransientError
from providers.ledger import Ledger
from providers.mailer import Mailer


def ignore_progress(_text: str) -> None:
    """Do nothing with a line of progress."""


@dataclass(slots=True)
class RunContext:
    """A run of a connection, under way."""

    app: AppContext
    lease: Lease
    connection_id: int
    run_id: int
    ledger_key: str  # "provider:external id", the same for good, even after the company is connected anew
    ledger: Ledger
    mailer: Mailer | None
    budget: CallBudget
    started_at: datetime
    pacer: Pacer
    dry_run: bool = False
    on_progress: Callable[[str], None] = ignore_progress
    on_records_read: Callable[[int, int | None], None] | None = None
    dispatching_id: int | None = None  # the outbox entry whose calls are being made
    restore_gap: RestoreGap | None = None  # where the database was restored from a backup
    not_before_at: datetime | None = None  # when a provider that deferred the run may be called again
    mirror_changes: MirrorChanges = field(default_factory=MirrorChanges)
    tally: Counter[str] = field(default_factory=Counter)
    consecutive_failures: Counter[str] = field(default_factory=Counter)  # of calls, by kind of outbox entry
    last_seen_log_id: dict[str, int] = field(default_factory=dict)  # by customer: the log head at the last decision
    billed_to: dict[str, list[str]] = field(default_factory=dict)  # whose invoices a customer was last decided about
    rechecked_at: dict[str, datetime] = field(default_factory=dict)  # by customer: when their last reading began
    deferred: list[str] = field(default_factory=list)  # reasons why a provider made us wait
    action_required: list[str] = field(default_factory=list)  # what somebody has to fix
    failures: list[str] = field(default_factory=list)  # what failed in duewell

    def now(self) -> datetime:
        """Return the current instant."""
        return self.app.now()

    @contextmanager
    def writing(self, *, durable: bool = True, beyond_company: bool = False) -> Iterator[Session]:
        """Open a transaction that commits only while we hold the lease.

        What can be read from the ledger again does not have to be ``durable``. What other companies share, such as the
        suppressed addresses, is ``beyond_company``.
        """
        company_id = None if beyond_company else self.connection_id
        with writing(self.app.engine, durable=durable, company_id=company_id) as session:
            self.lease.renew(session)
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Open a read-only session."""
        with reading(self.app.engine) as session:
            yield session

    def authorize_call(self) -> None:
        """Check, right before a call that changes something, that it may still be made.

        Such a call may come long after its entry was marked as sending: a fee's account and item are looked up and
        created first, a minute's limit is waited out.

        Raises:
            LeaseLost: Another machine has taken over.
            TransientError: Somebody has paused the company or changed its mode.
        """
        with self.reading() as session:
            self.lease.check(session)
            entry = session.get(OutboxEntry, self.dispatching_id) if self.dispatching_id is not None else None
            if entry is not None and not entries.is_permitted(self.connection(session), entry):
                message = "The company was paused or its mode changed just before this was sent; nothing was sent"
                raise TransientError(message)

    def report_rejection(self, kind: CallKind) -> None:
        """Log, once in a run, that a service rejected a call for a limit: calls are paced so that none does."""
        self.tally["limit_rejections"] += 1
        if self.tally["limit_rejections"] > 1:
            return
        of_emails = kind in {CallKind.EMAIL, CallKind.EMAIL_READ}
        service = "The email service" if of_emails else "The accounting system"
        text = (
            f"{service} rejected a call because a limit of its calls was reached, although duewell keeps below it."
            " Does another program, or a second duewell, use the same app or key? The call is made again later."
        )
        with self.writing() as session:
            self.log(session, LogKind.WARNING, text)

    @contextmanager
    def dispatching(self, entry_id: int) -> Iterator[None]:
        """Mark the calls made inside as an entry's, for ``authorize_call``."""
        self.dispatching_id = entry_id
        try:
            yield
        finally:
            self.dispatching_id = None

    def connection(self, session: Session) -> Connection:
        """Load the connection; somebody may have paused it since the run started."""
        return session.get_one(Connection, self.connection_id)

    def today(self, connection: Connection) -> date:
        """Return the date in the company's time zone."""
        return self.now().astimezone(ZoneInfo(connection.time_zone)).date()

    def log(
        self,
        session: Session,
        kind: LogKind,
        text: str,
        *,
        customer_id: str = "",
        invoice_id: str = "",
        facts: Mapping[str, object] | None = None,
    ) -> None:
        """Write a line of the sync log for this run."""
        self.log_all(session, [sync_log.LogEntry(kind, text, customer_id, invoice_id, facts)])

    def log_all(self, session: Session, lines: Iterable[sync_log.LogEntry]) -> None:
        """Write many lines of the sync log for this run at once."""
        sync_log.write_all(session, lines, at=self.now(), connection_id=self.connection_id, run_id=self.run_id)
