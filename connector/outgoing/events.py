"""The events that are told, each a line of the sync log: so none is told that did not happen, and none is forgotten."""

from __future__ import annotations

import json
from typing import Any

from connector.people import log_search
from connector.tables import Connection, SyncLogEntry, WebhookEndpoint

EVENTS = {
    "mail.sent": "a mail left, and the mail system took it",
    "mail.undelivered": "a mail did not arrive: a bounce, a complaint",
    "fee.posted": "a late fee stands in the ledger",
    "fee.waived": "a late fee was taken back in the ledger",
    "effect.planned": "something is to leave; where the mode or the fee asks for it, a person must approve it",
    "effect.approved": "a person let it leave",
    "effect.rejected": "a person keeps it from leaving",
    "effect.refused": "a vendor refused it",
    "effect.in_doubt": "nobody knows whether it happened: a person has to settle it",
    "invoice.promised": "a promise to pay was made, by a person here or by the customer",
    "invoice.plan_agreed": "a payment plan was agreed on",
    "invoice.disputed": "an invoice is disputed",
    "invoice.undisputed": "a dispute was settled",
    "agreement.ended": "a promise, plan or pause ended: kept, broken or over",
    "task.made": "there is work for a person",
    "task.ended": "somebody said what came of a task, or it has no object any more",
    "connection.made": "a company was connected",
    "connection.died": "a company's consent ended: it must be connected again",
    "connection.ended": "a company was disconnected",
    "connection.mode": "how a company may act was changed",
    "policy.set": "another policy is in force",
    "test": "you asked for it",
}
TEST_KIND = "webhook_tested"
_OF_KIND = {
    "mailed": "mail.sent",
    "undelivered": "mail.undelivered",
    "charged": "fee.posted",
    "waived": "fee.waived",
    "planned": "effect.planned",
    "approved": "effect.approved",
    "rejected": "effect.rejected",
    "refused": "effect.refused",
    "doubt": "effect.in_doubt",
    "agreement": "agreement.ended",
    "task": "task.made",
    "task_outcome": "task.ended",
    "connected": "connection.made",
    "reconnect": "connection.died",
    "disconnected": "connection.ended",
    "mode": "connection.mode",
    "policy_set": "policy.set",
    TEST_KIND: "test",
}
_OF_WORD = {
    "promise": "invoice.promised",
    "plan": "invoice.plan_agreed",
    "dispute": "invoice.disputed",
    "undispute": "invoice.undisputed",
}
KINDS = (*_OF_KIND, "invoice_set")


def event_of(line: SyncLogEntry) -> str:
    """Name the event that a line of the log is, "" for none."""
    if line.kind == "invoice_set":
        return _OF_WORD.get(str(json.loads(line.facts).get("said", "")), "")
    return _OF_KIND.get(line.kind, "")


def is_for(endpoint: WebhookEndpoint, line: SyncLogEntry, event: str) -> bool:
    """Tell whether an endpoint wants to hear of a line."""
    if event == "test":
        return bool(json.loads(line.facts).get("endpoint") == endpoint.id)
    if endpoint.companies is not None and line.connection_id not in endpoint.companies:
        return False
    return bool(event) and (endpoint.events is None or event in endpoint.events)


def message_id(line: SyncLogEntry) -> str:
    """Name the message: the same however often it is sent, so that a receiver counts it once."""
    return f"msg_{line.hash[:32]}"


def body_of(line: SyncLogEntry, event: str, company: Connection | None) -> bytes:
    """Write what is sent: ``data`` is the line as ``/api/v1/log`` shows it."""
    data: dict[str, Any] = log_search.as_dict(line, company.short_name if company else "")
    said = {"type": event, "timestamp": line.at.isoformat(), "data": {**data, "at": line.at.isoformat()}}
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()
