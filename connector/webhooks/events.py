"""The events that webhooks receive; each is an entry of the sync log, so that none is invented and none forgotten."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Final

from connector.audit import log_search
from connector.db.tables import Connection, SyncLogEntry, WebhookEndpoint
from connector.json_format import json_default
from connector.vocabulary import AgreementChange, LogKind


class Event(StrEnum):
    """What a webhook can subscribe to."""

    EMAIL_SENT = "email.sent"
    EMAIL_UNDELIVERED = "email.undelivered"
    FEE_POSTED = "fee.posted"
    FEE_WAIVED = "fee.waived"
    OUTBOX_PLANNED = "outbox.planned"
    OUTBOX_APPROVED = "outbox.approved"
    OUTBOX_REJECTED = "outbox.rejected"
    OUTBOX_REFUSED = "outbox.refused"
    OUTBOX_UNCONFIRMED = "outbox.unconfirmed"
    INVOICE_PROMISED = "invoice.promised"
    INVOICE_PAYMENT_PLAN_AGREED = "invoice.payment_plan_agreed"
    INVOICE_DISPUTED = "invoice.disputed"
    INVOICE_DISPUTE_RESOLVED = "invoice.dispute_resolved"
    AGREEMENT_ENDED = "agreement.ended"
    TASK_CREATED = "task.created"
    TASK_ENDED = "task.ended"
    TASK_REOPENED = "task.reopened"
    CONNECTION_CREATED = "connection.created"
    CONNECTION_AUTHORIZATION_EXPIRED = "connection.authorization_expired"
    CONNECTION_DISCONNECTED = "connection.disconnected"
    CONNECTION_MODE_CHANGED = "connection.mode_changed"
    POLICY_UPDATED = "policy.updated"
    TEST = "test"


EVENTS: Final[dict[str, str]] = {
    Event.EMAIL_SENT: "an email was sent and accepted for delivery",
    Event.EMAIL_UNDELIVERED: "an email was not delivered: a bounce, a block or a spam report",
    Event.FEE_POSTED: "a late fee was posted in the accounting system",
    Event.FEE_WAIVED: "a late fee was waived in the accounting system",
    Event.OUTBOX_PLANNED: "an outbox entry was planned; it needs approval where the mode or the policy says so",
    Event.OUTBOX_APPROVED: "a user approved an outbox entry",
    Event.OUTBOX_REJECTED: "a user rejected an outbox entry",
    Event.OUTBOX_REFUSED: "a connected service refused an outbox entry",
    Event.OUTBOX_UNCONFIRMED: "it is unknown whether an outbox entry was delivered: a user has to confirm it",
    Event.INVOICE_PROMISED: "a promise to pay was recorded, by a user or by the customer",
    Event.INVOICE_PAYMENT_PLAN_AGREED: "a payment plan was agreed",
    Event.INVOICE_DISPUTED: "an invoice was disputed",
    Event.INVOICE_DISPUTE_RESOLVED: "a dispute was resolved",
    Event.AGREEMENT_ENDED: "a promise, payment plan or pause ended: kept, broken or over",
    Event.TASK_CREATED: "a task was created",
    Event.TASK_ENDED: "a task was completed, or cancelled because nothing is due any more",
    Event.TASK_REOPENED: "a cancelled task is open again: what closed it was undone",
    Event.CONNECTION_CREATED: "a company was connected",
    Event.CONNECTION_AUTHORIZATION_EXPIRED: "the authorisation of a company expired: it must be reconnected",
    Event.CONNECTION_DISCONNECTED: "a company was disconnected",
    Event.CONNECTION_MODE_CHANGED: "the mode of a company was changed",
    Event.POLICY_UPDATED: "a policy was changed",
    Event.TEST: "a user asked for a test event",
}
_EVENT_BY_KIND: Final[dict[str, Event]] = {
    LogKind.EMAILED: Event.EMAIL_SENT,
    LogKind.UNDELIVERED: Event.EMAIL_UNDELIVERED,
    LogKind.CHARGED: Event.FEE_POSTED,
    LogKind.WAIVED: Event.FEE_WAIVED,
    LogKind.PLANNED: Event.OUTBOX_PLANNED,
    LogKind.APPROVED: Event.OUTBOX_APPROVED,
    LogKind.REJECTED: Event.OUTBOX_REJECTED,
    LogKind.PROVIDER_REJECTED: Event.OUTBOX_REFUSED,
    LogKind.UNCONFIRMED: Event.OUTBOX_UNCONFIRMED,
    LogKind.AGREEMENT: Event.AGREEMENT_ENDED,
    LogKind.TASK: Event.TASK_CREATED,
    LogKind.TASK_OUTCOME: Event.TASK_ENDED,
    LogKind.TASK_REOPENED: Event.TASK_REOPENED,
    LogKind.CONNECTED: Event.CONNECTION_CREATED,
    LogKind.AUTHORIZATION_EXPIRED: Event.CONNECTION_AUTHORIZATION_EXPIRED,
    LogKind.DISCONNECTED: Event.CONNECTION_DISCONNECTED,
    LogKind.MODE: Event.CONNECTION_MODE_CHANGED,
    LogKind.POLICY_SET: Event.POLICY_UPDATED,
    LogKind.WEBHOOK_TESTED: Event.TEST,
}
_EVENT_BY_CHANGE: Final[dict[str, Event]] = {
    AgreementChange.PROMISED: Event.INVOICE_PROMISED,
    AgreementChange.PAYMENT_PLAN_AGREED: Event.INVOICE_PAYMENT_PLAN_AGREED,
    AgreementChange.DISPUTED: Event.INVOICE_DISPUTED,
    AgreementChange.DISPUTE_RESOLVED: Event.INVOICE_DISPUTE_RESOLVED,
}
LOG_KINDS: Final = (*_EVENT_BY_KIND, LogKind.INVOICE_UPDATED)


def find_event(entry: SyncLogEntry) -> Event | None:
    """Return the event of a log entry, or None if it has none."""
    if entry.kind == LogKind.INVOICE_UPDATED:
        return _EVENT_BY_CHANGE.get(str(json.loads(entry.facts).get("change", "")))
    return _EVENT_BY_KIND.get(entry.kind)


def is_subscribed(endpoint: WebhookEndpoint, entry: SyncLogEntry, event: Event | None) -> bool:
    """Return whether an endpoint receives the event of a log entry."""
    if event is None:
        return False
    if event is Event.TEST:
        return bool(json.loads(entry.facts).get("endpoint") == endpoint.id)
    if endpoint.companies is not None and entry.connection_id not in endpoint.companies:
        return False
    return endpoint.events is None or event in endpoint.events


def message_id(entry: SyncLogEntry) -> str:
    """Return the id of a message: the same for every attempt, so that a receiver can count it once."""
    return f"msg_{entry.hash[:32]}"


def build_body(entry: SyncLogEntry, event: str, company: Connection | None) -> bytes:
    """Return the body of a message; ``data`` is the log entry as ``/api/v1/log`` shows it."""
    data = log_search.as_item(entry, company.short_name if company else "")
    message = {"type": event, "timestamp": entry.at, "data": data}
    return json.dumps(message, default=json_default, ensure_ascii=False, separators=(",", ":")).encode()
