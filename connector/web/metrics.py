"""Metrics for Prometheus, read from the database at each scrape: a restart neither loses nor repeats a count."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import func, select
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.connections.registry import DISCONNECTED, is_paused
from connector.db.engine import reading
from connector.db.tables import Budget, Connection, OutboxEntry, SyncRun, Task, WebhookDelivery, WebhookEndpoint
from connector.runtime.budget import count_month_reads
from connector.runtime.lease import list_due
from connector.runtime.queued_jobs import count_jobs
from connector.sync import webhook_inbox
from connector.vocabulary import DeliveryState, OutboxState, TaskState


def metrics_text(app: AppContext, *, scheduler_alive: bool | None) -> bytes:
    """Return all metrics in Prometheus' text format; ``scheduler_alive`` is None where this process syncs nothing."""
    registry = CollectorRegistry()
    registry.register(_DatabaseCollector(app, scheduler_alive=scheduler_alive))
    return generate_latest(registry)


class _DatabaseCollector(Collector):
    def __init__(self, app: AppContext, *, scheduler_alive: bool | None) -> None:
        self._app = app
        self._scheduler_alive = scheduler_alive

    def collect(self) -> Iterable[Metric]:
        now = self._app.now()
        if self._scheduler_alive is not None:
            text = "Whether the scheduler runs"
            yield GaugeMetricFamily("duewell_scheduler_up", text, value=int(self._scheduler_alive))
        with reading(self._app.engine) as session:
            rows = list(session.scalars(select(Connection).order_by(col(Connection.id))))
            yield from _connections(rows, now)
            yield from _due(session, now, self._app.settings.duewell_home)
            yield from _runs(session, rows, now)
            yield from _outbox_entries(session, now)
            yield from _budgets(session, rows, now)
            yield from _webhooks(session, now)
            yield from _ledger_events(session, rows)
            tasks = session.scalar(select(func.count()).select_from(Task).where(col(Task.state) == TaskState.OPEN))
        yield GaugeMetricFamily("duewell_open_tasks", "Open tasks", value=tasks or 0)


def _connections(rows: Sequence[Connection], now: datetime) -> Iterator[Metric]:
    connections = GaugeMetricFamily("duewell_connections", "Connections", labels=["provider", "mode", "health"])
    for labels, count in Counter((row.provider, row.mode, row.health) for row in rows).items():
        connections.add_metric(labels, count)
    age = GaugeMetricFamily("duewell_last_run_age_seconds", "Time since the last sync run", labels=["connection"])
    drift = GaugeMetricFamily(
        "duewell_reconciliation_repairs", "Records that the nightly comparison had to correct", labels=["connection"]
    )
    for row in rows:
        drift.add_metric([str(row.id)], row.drift)
        if row.last_run_at is not None:
            age.add_metric([str(row.id)], (now - row.last_run_at).total_seconds())
    yield from (connections, age, drift)


def _due(session: Session, now: datetime, home: Path) -> Iterator[Metric]:
    """Yield how many companies wait for a sync and for how long, and on PostgreSQL what is in the queue."""
    ids = list_due(session, now, sys.maxsize, home=home)
    oldest_at = session.scalar(select(func.min(Connection.next_run_at)).where(col(Connection.id).in_(ids[:1])))
    yield GaugeMetricFamily("duewell_due_connections", "Companies that are due and not being synced", value=len(ids))
    text = "Since the company that waits longest was due"
    yield GaugeMetricFamily("duewell_oldest_due_age_seconds", text, value=_seconds_since(oldest_at, now))
    jobs = GaugeMetricFamily("duewell_queue_jobs", "Jobs in the queue: todo, doing, stalled", labels=["state"])
    for state, count in count_jobs(session).items():
        jobs.add_metric([state], count)
    yield jobs


def _runs(session: Session, rows: Sequence[Connection], now: datetime) -> Iterator[Metric]:
    """Yield the runs by outcome, and how long ago each company that should sync last completed a run."""
    runs = CounterMetricFamily("duewell_runs", "Sync runs that ended", labels=["connection", "outcome"])
    key = (col(SyncRun.connection_id), col(SyncRun.outcome))
    ended_at: dict[int, datetime] = {}
    query = (
        select(*key, func.count(), func.max(SyncRun.ended_at)).where(col(SyncRun.outcome).is_not(None)).group_by(*key)
    )
    for connection_id, outcome, count, last_at in session.execute(query):
        runs.add_metric([str(connection_id), outcome], count)
        if outcome == "ok" and last_at is not None:
            ended_at[connection_id] = last_at
    yield runs
    age = GaugeMetricFamily(
        "duewell_last_success_age_seconds",
        "Time since a run was completed, or since the company was connected; without paused and disconnected ones",
        labels=["connection"],
    )
    for row in rows:
        if row.health != DISCONNECTED and not is_paused(row, now):
            since = ended_at.get(row.id or 0, row.created_at)
            age.add_metric([str(row.id)], (now - since).total_seconds())
    yield age


def _outbox_entries(session: Session, now: datetime) -> Iterator[Metric]:
    entries = GaugeMetricFamily("duewell_outbox_entries", "Outbox entries", labels=["kind", "state"])
    key = (col(OutboxEntry.kind), col(OutboxEntry.state))
    for kind, state, count in session.execute(select(*key, func.count()).group_by(*key)):
        entries.add_metric([kind, state], count)
    yield entries
    oldest_at = session.scalar(
        select(func.min(OutboxEntry.ended_at)).where(col(OutboxEntry.state) == OutboxState.UNCONFIRMED)
    )
    text = "Age of the oldest entry whose delivery is unconfirmed"
    yield GaugeMetricFamily("duewell_oldest_unconfirmed_age_seconds", text, value=_seconds_since(oldest_at, now))


def _budgets(session: Session, rows: Sequence[Connection], now: datetime) -> Iterator[Metric]:
    metered = GaugeMetricFamily(
        "duewell_ledger_reads_this_month",
        "Reads of accounting data in this calendar month (QuickBooks meters them)",
        labels=["provider"],
    )
    for provider, count in sorted(count_month_reads(session, now).items()):
        metered.add_metric([provider], count)
    labels = ["connection", "limit"]
    left = GaugeMetricFamily(
        "duewell_budget_left", "Calls that the provider still allows, by its last response", labels=labels
    )
    blocked = GaugeMetricFamily(
        "duewell_budget_blocked", "Whether the provider allows no calls at present", labels=labels
    )
    connected_ids = {row.id for row in rows if row.health != DISCONNECTED}
    for each in session.scalars(select(Budget).order_by(col(Budget.connection_id), col(Budget.limit_name))):
        if each.connection_id not in connected_ids:
            continue
        names = [str(each.connection_id), each.limit_name]
        blocked.add_metric(names, int(each.blocked_until_at is not None and each.blocked_until_at > now))
        if each.remaining is not None:
            left.add_metric(names, each.remaining)
    yield from (metered, left, blocked)


def _webhooks(session: Session, now: datetime) -> Iterator[Metric]:
    queue = GaugeMetricFamily("duewell_webhook_deliveries", "Webhook deliveries of the last 30 days", labels=["state"])
    for state, count in session.execute(
        select(col(WebhookDelivery.state), func.count()).group_by(col(WebhookDelivery.state))
    ):
        queue.add_metric([state], count)
    yield queue
    oldest_pending = select(func.min(WebhookDelivery.created_at)).where(
        col(WebhookDelivery.state) == DeliveryState.PENDING
    )
    text = "Age of the oldest pending delivery"
    yield GaugeMetricFamily(
        "duewell_oldest_webhook_age_seconds", text, value=_seconds_since(session.scalar(oldest_pending), now)
    )
    stopped = select(func.count()).select_from(WebhookEndpoint).where(col(WebhookEndpoint.stop_reason) != "")
    text = "Webhooks that were stopped after repeated failures"
    yield GaugeMetricFamily("duewell_webhooks_stopped", text, value=session.scalar(stopped) or 0)


def _ledger_events(session: Session, rows: Sequence[Connection]) -> Iterator[Metric]:
    """Yield the change notifications received, and for which companies they are known to be complete."""
    text = "Change notifications of accounting systems, by result: accepted, duplicate or of another company"
    events = CounterMetricFamily("duewell_ledger_events", text, labels=["provider", "result"])
    for provider, counts in sorted(webhook_inbox.count_events(session).items()):
        for result, count in counts.items():
            events.add_metric([provider, result], count)
    text = "Whether the change notifications are known to be complete, so that a sync without any reads nothing"
    trusted = GaugeMetricFamily("duewell_ledger_webhook_trusted", text, labels=["connection"])
    for row in rows:
        trusted.add_metric([str(row.id)], int(row.webhooks_complete_since_at is not None))
    yield from (events, trusted)


def _seconds_since(since: datetime | None, now: datetime) -> float:
    return 0 if since is None else max(0.0, (now - since).total_seconds())
