"""What ledgers' webhooks tell: taken in at once, worked off by an earlier run, and trusted only as far as it is proven.

A webhook is never believed: it says that something changed, and the run reads what. It saves reads where it has proven
that it tells of *every* change: then an hour of which nothing was told reads nothing. Each reading puts that to the
test, the nightly one at the latest: one change that was not told of, and the hours read again as without webhooks.
Whatever is about to leave is re-read in any case.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import delete, select
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.connections.registry import DISCONNECTED
from connector.db.engine import writing
from connector.db.tables import Connection, KeyValue, WebhookEvent
from connector.runtime.run_context import RunContext
from connector.vocabulary import ConnectionHealth, LogKind
from policies.receivables import CreditKind
from providers.capabilities import ChangeNotification, WebhookProvider
from providers.ledger import ChangePage

RUN_DELAY = timedelta(seconds=20)  # one entry of a bookkeeper makes several events: they are worked off together
MIN_RUN_SPACING = timedelta(minutes=10)  # at least: a busy bookkeeper must not use up a day's calls
MAX_EVENT_DELAY = timedelta(minutes=10)  # how long an event may take to come
RETENTION = timedelta(days=7)
MAX_READ_INTERVAL = timedelta(hours=26)  # a night's comparison, and two hours for a late start
_CUSTOMER_PREFIX = "customer:"
_CLOCK_TOLERANCE = timedelta(minutes=10)  # of the two clocks, and of a pull with the one before


def signing_key(app: AppContext, provider_name: str) -> str:
    """Give the key of a ledger's webhook; "" where it has none, or nobody gave it."""
    provider = app.providers[provider_name]
    if not isinstance(provider, WebhookProvider):
        return ""
    return str(getattr(app.settings, provider.webhook_key_setting().lower(), ""))


def receive_events(app: AppContext, provider: str, events: Iterable[ChangeNotification]) -> None:
    """Keep what was told, once, and let the companies it is about run soon; strangers' events are only counted."""
    now = app.now()
    with writing(app.engine) as session:
        rows = session.scalars(select(Connection).where(col(Connection.provider) == provider))
        ours = {row.external_id: row for row in rows if row.health != DISCONNECTED}
        counted = {"told": 0, "duplicate": 0, "other_company": 0}
        for event in events:
            row = ours.get(event.company_id)
            if row is None:
                counted["other_company"] += 1
            elif session.get(WebhookEvent, event.id) is not None:
                counted["duplicate"] += 1
            else:
                counted["told"] += 1
                about = f"{_CUSTOMER_PREFIX if event.is_customer else ''}{event.external_id}"
                session.add(WebhookEvent(id=event.id, connection_id=row.id or 0, external_id=about, received_at=now))
                session.flush()
                _bring_run_forward(app, row, now)
        _add_counts(session, provider, counted, now)


def count_events(session: Session) -> dict[str, dict[str, int]]:
    """Count events by ledger: taken in (``told``), repeated (``again``), and of companies not ours (``foreign``)."""
    prefix = "webhooks:"
    query = select(KeyValue).where(col(KeyValue.connection_id) == 0, col(KeyValue.name).startswith(prefix))
    return {row.name.removeprefix(prefix): dict(row.value) for row in session.scalars(query)}


def can_skip_reading(ctx: RunContext, connection: Connection, session: Session) -> bool:
    """Tell whether the books are known to be as they were last read: nothing was told, by one who tells everything."""
    now = ctx.started_at
    interval = timedelta(minutes=ctx.app.settings.duewell_interval_minutes)
    if not signing_key(ctx.app, connection.provider) or connection.webhooks_complete_since_at is None:
        return False
    if connection.last_read_at is None or connection.last_run_at is None or connection.health != ConnectionHealth.OK:
        return False
    awake = now - connection.last_run_at <= 2 * interval + MAX_EVENT_DELAY  # asleep, we may have missed what was told
    if not awake or now - connection.last_read_at > MAX_READ_INTERVAL:
        return False
    if ctx.restore_gap is not None and connection.last_read_at <= ctx.restore_gap.to_at:
        return False
    return not _events_since(session, ctx.connection_id, connection.last_read_at)


def earlier_run_at(
    session: Session, connection: Connection, scheduled_at: datetime, started_at: datetime, now: datetime
) -> datetime:
    """Give a run's next turn: soon, if a change was told of while it was under way, else as planned."""
    told = _events_since(session, connection.id or 0, started_at)
    return min(scheduled_at, max(now + RUN_DELAY, started_at + MIN_RUN_SPACING)) if told else scheduled_at


class WebhookCoverage:
    """Compares what one reading finds with what was told before it."""

    def __init__(self, ctx: RunContext, session: Session, connection: Connection) -> None:
        """Remember what was told since the reading before; nothing is judged where there is no webhook."""
        watched = bool(signing_key(ctx.app, connection.provider))
        self._since = connection.last_read_at if watched else None
        self._until = ctx.started_at - MAX_EVENT_DELAY
        self._received_at = (
            _events_since(session, ctx.connection_id, self._since - _CLOCK_TOLERANCE) if self._since else {}
        )
        self._covered = 0
        self._uncovered = 0

    def check_page(self, page: ChangePage) -> None:
        """Look at what changed since the reading before: was it told of?"""
        if self._since is None:
            return
        notes = [one for one in page.credits if one.kind == CreditKind.CREDIT_NOTE]
        gone = [one for one in page.deleted if one.kind == "invoice"]
        for prefix, records in ((_CUSTOMER_PREFIX, page.customers), ("", page.invoices), ("", notes), ("", gone)):
            for record in cast("list[Any]", records):
                self._check_record(f"{prefix}{record.external_id}", record.updated_at)

    def _check_record(self, event_key: str, changed_at: datetime | None) -> None:
        if changed_at is None or self._since is None or changed_at <= self._since:
            return
        told_at = self._received_at.get(event_key)
        if told_at is not None and told_at >= changed_at - _CLOCK_TOLERANCE:
            self._covered += 1
        elif changed_at < self._until:  # else its event may be on its way
            self._uncovered += 1

    def record_result(self, ctx: RunContext, session: Session, connection: Connection) -> None:
        """Trust the webhook, or stop trusting it, in the caller's transaction."""
        if self._uncovered and connection.webhooks_complete_since_at is not None:
            connection.webhooks_complete_since_at = None
            ctx.tally["unannounced"] += self._uncovered
            text = f"{self._uncovered} changes were found that no webhook had told of: every run reads the books again."
            ctx.log(session, LogKind.WARNING, text, facts={"unannounced": self._uncovered})
        elif self._covered and not self._uncovered and connection.webhooks_complete_since_at is None:
            connection.webhooks_complete_since_at = ctx.started_at
            text = "The ledger's webhook told of every change: from now on a run reads the books when it tells of one."
            ctx.log(session, LogKind.WEBHOOK, text, facts={"told": self._covered})


def delete_old_events(session: Session, connection_id: int, now: datetime) -> None:
    """Drop what was worked off long ago; the vendors send nothing again after days."""
    session.execute(
        delete(WebhookEvent).where(
            col(WebhookEvent.connection_id) == connection_id, col(WebhookEvent.received_at) < now - RETENTION
        )
    )


def _events_since(session: Session, connection_id: int, since: datetime) -> dict[str, datetime]:
    """Find what was told since then, and when it was told last."""
    query = (
        select(col(WebhookEvent.external_id), col(WebhookEvent.received_at))
        .where(col(WebhookEvent.connection_id) == connection_id, col(WebhookEvent.received_at) >= since)
        .order_by(col(WebhookEvent.received_at))
    )
    return dict(session.execute(query).all())


def _bring_run_forward(app: AppContext, row: Connection, now: datetime) -> None:
    """Bring a company's next run forward, unless it was put off on purpose: by a vendor's limit, or a short day."""
    interval = timedelta(minutes=app.settings.duewell_interval_minutes)
    planned = row.next_run_at
    if planned is None or row.health == ConnectionHealth.LIMITED or planned > now + interval + MAX_EVENT_DELAY:
        return
    row.next_run_at = min(planned, max(now + RUN_DELAY, (row.last_run_at or now - MIN_RUN_SPACING) + MIN_RUN_SPACING))


def _add_counts(session: Session, provider: str, counts: dict[str, int], now: datetime) -> None:
    name = f"webhooks:{provider}"
    row = session.get(KeyValue, (0, name)) or KeyValue(connection_id=0, name=name, value={}, stored_at=now)
    row.value = {each: row.value.get(each, 0) + count for each, count in counts.items()}
    row.stored_at = now
    session.add(row)
