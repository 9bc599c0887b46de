"""The Prometheus metrics: their values, and that all of them are documented."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import requests
from prometheus_client.parser import text_string_to_metric_families

from connector.db.tables import Budget, OutboxEntry, SyncRun, WebhookDelivery, WebhookEndpoint
from connector.sync import webhook_inbox
from connector.vocabulary import LimitWindow, LogKind, OutboxKind, OutboxState, RunOutcome
from providers.capabilities import ChangeNotification

Site = Any
OPERATIONS_DOC = (Path(__file__).parents[3] / "docs/operations.md").read_text()


def test_metrics_match_the_database_and_are_documented(site: Site) -> None:
    now = site.clock.at
    north = site.add_company("North Ltd", last_run_at=now - timedelta(minutes=5))
    paused = site.add_company("South Ltd", pause_reason="year end")
    for hours, outcome in ((3, RunOutcome.OK), (2, RunOutcome.OK), (1, RunOutcome.FAILED), (0, None)):
        at = now - timedelta(hours=hours)
        site.add_rows(SyncRun(connection_id=north, started_at=at, ended_at=at if outcome else None, outcome=outcome))
    entry = {"connection_id": north, "customer_id": "c", "payload": {}, "planned_at": now}
    site.add_rows(
        *(OutboxEntry(key=f"m{number}", kind=OutboxKind.EMAIL, state=OutboxState.DONE, **entry) for number in range(2)),
        OutboxEntry(
            key="d", kind=OutboxKind.EMAIL, state=OutboxState.UNCONFIRMED, ended_at=now - timedelta(days=1), **entry
        ),
        Budget(connection_id=north, limit_name=LimitWindow.DAY, used=900, remaining=100),
        Budget(connection_id=north, limit_name=LimitWindow.MINUTE, blocked_until_at=now + timedelta(seconds=9)),
        WebhookEndpoint(created_by="Ann", created_at=now, stop_reason="gone"),
    )
    webhook_inbox.receive_events(site.app, "xero", [ChangeNotification("1", "a company not ours", "i7")])
    line = write_log_line(site)
    site.add_rows(WebhookDelivery(endpoint_id=1, log_id=line, event="test", created_at=now - timedelta(minutes=2)))
    numbers = scrape(site)
    assert numbers["duewell_runs_total"] == {(str(north), "ok"): 2, (str(north), "failed"): 1}
    assert numbers["duewell_last_success_age_seconds"] == {(str(north),): 7200}
    assert str(paused) not in {label for (label,) in numbers["duewell_last_success_age_seconds"]}
    assert numbers["duewell_outbox_entries"] == {("email", "done"): 2, ("email", "unconfirmed"): 1}
    assert numbers["duewell_oldest_unconfirmed_age_seconds"] == {(): 86_400}
    assert numbers["duewell_budget_left"] == {(str(north), "day"): 100}
    assert numbers["duewell_budget_blocked"] == {(str(north), "day"): 0, (str(north), "minute"): 1}
    assert numbers["duewell_webhook_deliveries"] == {("pending",): 1}
    assert numbers["duewell_oldest_webhook_age_seconds"] == {(): 120}
    assert numbers["duewell_webhooks_stopped"] == {(): 1}
    assert numbers["duewell_ledger_events_total"][("xero", "other_company")] == 1
    assert numbers["duewell_ledger_webhook_trusted"][(str(north),)] == 0
    assert numbers["duewell_scheduler_up"] == {(): 1}
    documented = set(re.findall(r"^\| `(duewell_\w+)` \|", OPERATIONS_DOC, re.MULTILINE))
    elsewhere = {"duewell_ledger_reads_this_month", "duewell_queue_jobs"}  # nothing to count here; on PostgreSQL alone
    assert documented == set(numbers) | elsewhere
    alerts = re.findall(r"expr: (.+)", OPERATIONS_DOC)
    assert len(alerts) >= 3
    assert {name for alert in alerts for name in re.findall(r"duewell_\w+", alert)} <= documented


def write_log_line(site: Site) -> int:
    from connector.audit import sync_log  # noqa: PLC0415
    from connector.db.engine import writing  # noqa: PLC0415

    with writing(site.app.engine) as session:
        sync_log.write(session, at=site.clock.at, kind=LogKind.WEBHOOK_TESTED, text="Try it.")
        return sync_log.list_entries(session)[-1].id or 0


def scrape(site: Site) -> dict[str, dict[tuple[str, ...], float]]:
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(requests.get(f"{site.base}/metrics", timeout=20).text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found
