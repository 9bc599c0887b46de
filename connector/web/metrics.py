"""Numbers for Prometheus, read from the database at each scrape: nothing is counted twice or lost at a restart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import func, select
from sqlmodel import col

from connector.budget import reads_this_month
from connector.database import reading
from connector.installation import Installation
from connector.tables import Connection, OutboxEntry, Task


def metrics_text(installation: Installation, *, scheduler_alive: bool) -> bytes:
    """Write all numbers in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Numbers(installation, scheduler_alive=scheduler_alive))
    return generate_latest(registry)


class _Numbers(Collector):
    def __init__(self, installation: Installation, *, scheduler_alive: bool) -> None:
        self._installation = installation
        self._scheduler_alive = scheduler_alive

    def collect(self) -> Iterable[Metric]:
        now = self._installation.now()
        with reading(self._installation.engine) as session:
            rows = list(session.scalars(select(Connection)))
            outbox = session.execute(
                select(col(OutboxEntry.state), func.count()).group_by(col(OutboxEntry.state))
            ).all()
            reads = reads_this_month(session, now)
            tasks = session.scalar(select(func.count()).select_from(Task).where(col(Task.state) == "open"))
        connections = GaugeMetricFamily("duewell_connections", "Connections", labels=["provider", "mode", "health"])
        for labels, count in Counter((row.provider, row.mode, row.health) for row in rows).items():
            connections.add_metric(labels, count)
        age = GaugeMetricFamily("duewell_last_run_age_seconds", "Time since the last run", labels=["connection"])
        for row in rows:
            if row.last_run_at is not None:
                age.add_metric([str(row.id)], (now - row.last_run_at).total_seconds())
        entries = GaugeMetricFamily("duewell_outbox_entries", "Entries of the outbox", labels=["state"])
        for state, count in outbox:
            entries.add_metric([state], count)
        metered = GaugeMetricFamily(
            "duewell_reads_this_month",
            "Reads of books since the month began (QuickBooks meters them)",
            labels=["provider"],
        )
        for provider, count in sorted(reads.items()):
            metered.add_metric([provider], count)
        drift = GaugeMetricFamily("duewell_drift", "Documents a nightly comparison had to mend", labels=["connection"])
        for row in rows:
            drift.add_metric([str(row.id)], row.drift)
        yield from (connections, age, entries, metered, drift)
        yield GaugeMetricFamily("duewell_open_tasks", "Tasks that wait for a person", value=tasks or 0)
        yield GaugeMetricFamily("duewell_scheduler_up", "Whether the scheduler runs", value=int(self._scheduler_alive))
