"""The inbox of the ledgers' webhooks: received events are stored, start a sync early, and may save reads.

An event is never taken at its word: it says that something changed, and the run reads what. Only who was merged into
whom is taken from QuickBooks' events, which nothing else of it says (``mirror/merges.py``). Events save reads once the
webhook has proved that it reports *every* change: from then on a run reads nothing while nothing has been reported.
Each reading, the nightly one at the latest, checks this again: after one change that was not reported, every run reads
as it did without webhooks. Whatever is about to be sent is read again in any case.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.db.engine import writing
from connector.db.tables import Connection, KeyValue, WebhookEvent
from connector.runtime.run_context import RunContext
from connector.vocabulary import ConnectionHealth, LogKind
from policies.receivables import CreditKind
from providers.capabilities import ChangeNotification, WebhookProvider
from providers.ledger import ChangePage

RUN_DELAY = timedelta(seconds=20)  # a bookkeeper's one action causes several events, which one run handles
MIN_RUN_SPACING = timedelta(minutes=10)  # a busy bookkeeper must not use up a day's calls
MAX_EVENT_DELAY = timedelta(minutes=10)  # how late an event may arrive
RETENTION = timedelta(days=7)  # providers repeat no event after that long
MAX_READ_INTERVAL = timedelta(hours=26)  # until the nightly comparison, and two hours for a late start
_CLOCK_TOLERANCE = timedelta(minutes=10)  # between the two clocks, and between one pull and the next


def signing_key(app: AppContext, provider_name: str) -> str:
    """Return the signing key of a provider's webhook, "" where it has none or none is set."""
    provider = app.providers[provider_name]
    if not isinstance(provider, WebhookProvider):
        return ""
    return str(getattr(app.settings, provider.webhook_key_setting().lower(), ""))


def receive_events(app: AppContext, provider: str, events: Iterable[ChangeNotification]) -> None:
    """Store each event once and bring the runs of its company forward; events of other companies are only counted."""
    now = app.now()
    with writing(app.engine) as session:
        rows = session.scalars(select(Connection).where(col(Connection.provider) == provider))
        connections = {row.external_id: row for row in rows if row.health != ConnectionHealth.DISCONNECTED}
        counts = {"accepted": 0, "duplicate": 0, "other_company": 0}
        for event in events:
            row = connections.get(event.company_id)
            if row is None:
                counts["other_company"] += 1
            elif session.get(WebhookEvent, event.id) is not None:
                counts["duplicate"] += 1
            else:
                counts["accepted"] += 1
                key = f"{WebhookEvent.CUSTOMER_PREFIX if event.is_customer else ''}{event.external_id}"
                session.add(
                    WebhookEvent(
                        id=event.id,
                        connection_id=row.id or 0,
                        external_id=key,
                        merged_id=event.merged_id,
                        received_at=now,
                    )
                )
                session.flush()
                _bring_run_forward(app, row, now)
        _add_counts(session, provider, counts, now)


def count_events(session: Session) -> dict[str, dict[str, int]]:
    """Count the events of each provider: ``accepted``, ``duplicate``, and of an ``other_company``."""
    prefix = "webhooks:"
    query = select(KeyValue).where(col(KeyValue.connection_id) == 0, col(KeyValue.name).startswith(prefix))
    return {row.name.removeprefix(prefix): dict(row.value) for row in session.scalars(query)}


def can_skip_reading(ctx: RunContext, connection: Connection, session: Session) -> bool:
    """Return whether the ledger is known to be unchanged: its webhook reports everything, and has reported nothing."""
    now = ctx.started_at
    interval = timedelta(minutes=ctx.app.settings.duewell_interval_minutes)
    if not signing_key(ctx.app, connection.provider) or connection.webhooks_complete_since_at is None:
        return False
    if connection.last_read_at is None or connection.last_run_at is None or connection.health != ConnectionHealth.OK:
        return False
    was_reachable = now - connection.last_run_at <= 2 * interval + MAX_EVENT_DELAY  # else events may have been missed
    if not was_reachable or now - connection.last_read_at > MAX_READ_INTERVAL:
        return False
    if ctx.restore_gap is not None and connection.last_read_at <= ctx.restore_gap.to_at:
        return False
    return not _events_since(session, ctx.connection_id, connection.last_read_at)


def earlier_run_at(
    session: Session, connection: Connection, scheduled_at: datetime, started_at: datetime, now: datetime
) -> datetime:
    """Return when the next run starts: soon, where a change was reported during this one, else as scheduled."""
    if not _events_since(session, connection.id or 0, started_at):
        return scheduled_at
    return min(scheduled_at, max(now + RUN_DELAY, started_at + MIN_RUN_SPACING))


class WebhookCoverage:
    """Compares the changes found by a pull with the events received before it."""

    def __init__(self, ctx: RunContext, session: Session, connection: Connection) -> None:
        """Load the events since the previous pull; without a webhook nothing is compared."""
        has_webhook = bool(signing_key(ctx.app, connection.provider))
        self._since = connection.last_read_at if has_webhook else None
        self._until = ctx.started_at - MAX_EVENT_DELAY
        self._received_at = (
            _events_since(session, ctx.connection_id, self._since - _CLOCK_TOLERANCE) if self._since else {}
        )
        self._covered = 0
        self._uncovered = 0

    def check_page(self, page: ChangePage) -> None:
        """Count which changes of a page were reported and which were not."""
        for customer in page.customers:
            self._check_record(f"{WebhookEvent.CUSTOMER_PREFIX}{customer.external_id}", customer.updated_at)
        for invoice in page.invoices:
            self._check_record(invoice.external_id, invoice.updated_at)
        for credit in page.credits:
            if credit.kind == CreditKind.CREDIT_NOTE:
                self._check_record(credit.external_id, credit.updated_at)
        for deleted in page.deleted:
            if deleted.kind == "invoice":
                self._check_record(deleted.external_id, deleted.updated_at)

    def _check_record(self, event_key: str, changed_at: datetime | None) -> None:
        if changed_at is None or self._since is None or changed_at <= self._since:
            return
        received_at = self._received_at.get(event_key)
        if received_at is not None and received_at >= changed_at - _CLOCK_TOLERANCE:
            self._covered += 1
        elif changed_at < self._until:  # else its event may still arrive
            self._uncovered += 1

    def record_result(self, ctx: RunContext, session: Session, connection: Connection) -> None:
        """Trust the webhook, or stop trusting it, in the caller's transaction."""
        if self._uncovered and connection.webhooks_complete_since_at is not None:
            connection.webhooks_complete_since_at = None
            ctx.tally["unannounced"] += self._uncovered
            text = f"Found {self._uncovered} changes that no webhook had reported: every sync reads all changes again."
            ctx.log(session, LogKind.WARNING, text, facts={"unannounced": self._uncovered})
        elif self._covered and not self._uncovered and connection.webhooks_complete_since_at is None:
            connection.webhooks_complete_since_at = ctx.started_at
            text = "The webhook reported every change: from now on a sync reads changes only after an event."
            ctx.log(session, LogKind.WEBHOOK, text, facts={"announced": self._covered})


def delete_old_events(session: Session, connection_id: int, now: datetime) -> None:
    """Delete the events that are past their retention period."""
    session.execute(
        delete(WebhookEvent).where(
            col(WebhookEvent.connection_id) == connection_id, col(WebhookEvent.received_at) < now - RETENTION
        )
    )


def _events_since(session: Session, connection_id: int, since: datetime) -> dict[str, datetime]:
    """Return when each changed record was last reported, by its key."""
    query = (
        select(col(WebhookEvent.external_id), col(WebhookEvent.received_at))
        .where(col(WebhookEvent.connection_id) == connection_id, col(WebhookEvent.received_at) >= since)
        .order_by(col(WebhookEvent.received_at))
    )
    return dict(session.execute(query).all())


def _bring_run_forward(app: AppContext, row: Connection, now: datetime) -> None:
    """Bring a company's next run forward, unless it was deferred on purpose: by a limit, or to spread a day's calls."""
    interval = timedelta(minutes=app.settings.duewell_interval_minutes)
    planned_at = row.next_run_at
    if planned_at is None or row.health == ConnectionHealth.LIMITED or planned_at > now + interval + MAX_EVENT_DELAY:
        return
    last_run_at = row.last_run_at or now - MIN_RUN_SPACING
    row.next_run_at = min(planned_at, max(now + RUN_DELAY, last_run_at + MIN_RUN_SPACING))


def _add_counts(session: Session, provider: str, counts: dict[str, int], now: datetime) -> None:
    name = f"webhooks:{provider}"
    row = session.get(KeyValue, (0, name)) or KeyValue(connection_id=0, name=name, value={}, stored_at=now)
    row.value = {each: row.value.get(each, 0) + count for each, count in counts.items()}
    row.stored_at = now
    session.add(row)
