"""The events that are told, each a line of the sync log: so none is told that did not happen, and none is forgotten."""

from __future__ import annotations

import json
from typing import Any

from connector.audit import log_search
from connector.db.tables import Connection, SyncLogEntry, WebhookEndpoint

EVENTS = {
    "email.sent": "a mail left, and the mail system took it",
    "email.undelivered": "a mail did not arrive: a bounce, a complaint",
    "fee.posted": "a late fee stands in the ledger",
    "fee.waived": "a late fee was taken back in the ledger",
    "outbox.planned": "something is to leave; where the mode or the fee asks for it, a person must approve it",
    "outbox.approved": "a person let it leave",
    "outbox.rejected": "a person keeps it from leaving",
    "outbox.refused": "a vendor refused it",
    "outbox.unconfirmed": "nobody knows whether it happened: a person has to settle it",
    "invoice.promised": "a promise to pay was made, by a person here or by the customer",
    "invoice.payment_plan_agreed": "a payment plan was agreed on",
    "invoice.disputed": "an invoice is disputed",
    "invoice.dispute_resolved": "a dispute was settled",
    "agreement.ended": "a promise, plan or pause ended: kept, broken or over",
    "task.created": "there is work for a person",
    "task.ended": "somebody said what came of a task, or it has no object any more",
    "connection.created": "a company was connected",
    "connection.authorization_expired": "a company's consent ended: it must be connected again",
    "connection.disconnected": "a company was disconnected",
    "connection.mode_changed": "how a company may act was changed",
    "policy.updated": "another policy is in force",
    "test": "you asked for it",
}
TEST_KIND = "webhook_tested"
_EVENT_BY_KIND = {
    "emailed": "email.sent",
    "undelivered": "email.undelivered",
    "charged": "fee.posted",
    "waived": "fee.waived",
    "planned": "outbox.planned",
    "approved": "outbox.approved",
    "rejected": "outbox.rejected",
    "provider_rejected": "outbox.refused",
    "unconfirmed": "outbox.unconfirmed",
    "agreement": "agreement.ended",
    "task": "task.created",
    "task_outcome": "task.ended",
    "connected": "connection.created",
    "authorization_expired": "connection.authorization_expired",
    "disconnected": "connection.disconnected",
    "mode": "connection.mode_changed",
    "policy_set": "policy.updated",
    TEST_KIND: "test",
}
_EVENT_BY_CHANGE = {
    "promise": "invoice.promised",
    "payment_plan": "invoice.payment_plan_agreed",
    "dispute": "invoice.disputed",
    "undispute": "invoice.dispute_resolved",
}
LOG_KINDS = (*_EVENT_BY_KIND, "invoice_updated")


def event_name(line: SyncLogEntry) -> str:
    """Name the event that a line of the log is, "" for none."""
    if line.kind == "invoice_updated":
        return _EVENT_BY_CHANGE.get(str(json.loads(line.facts).get("change", "")), "")
    return _EVENT_BY_KIND.get(line.kind, "")


def is_subscribed(endpoint: WebhookEndpoint, line: SyncLogEntry, event: str) -> bool:
    """Tell whether an endpoint wants to hear of a line."""
    if event == "test":
        return bool(json.loads(line.facts).get("endpoint") == endpoint.id)
    if endpoint.companies is not None and line.connection_id not in endpoint.companies:
        return False
    return bool(event) and (endpoint.events is None or event in endpoint.events)


def message_id(line: SyncLogEntry) -> str:
    """Name the message: the same however often it is sent, so that a receiver counts it once."""
    return f"msg_{line.hash[:32]}"


def build_body(line: SyncLogEntry, event: str, company: Connection | None) -> bytes:
    """Write what is sent: ``data`` is the line as ``/api/v1/log`` shows it."""
    data: dict[str, Any] = log_search.as_dict(line, company.short_name if company else "")
    said = {"type": event, "timestamp": line.at.isoformat(), "data": {**data, "at": line.at.isoformat()}}
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()
