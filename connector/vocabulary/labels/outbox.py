"""Labels: what is to be sent, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping

from connector.vocabulary import DeliveryState, OutboxKind, OutboxState, ReplyKind, UpcomingKind

OUTBOX_KINDS: dict[str, str] = {
    OutboxKind.EMAIL: "Email",
    OutboxKind.OWNER_EMAIL: "Account-owner alert",
    OutboxKind.NOTE: "Note on the invoice",
    OutboxKind.LATE_FEE: "Late fee",
    OutboxKind.FEE_WAIVER: "Late fee waiver",
}
OUTBOX_STATES: dict[str, str] = {
    OutboxState.PLANNED: "Planned",
    OutboxState.AWAITING_APPROVAL: "Awaiting approval",
    OutboxState.SENDING: "Sending",
    OutboxState.DONE: "Sent",
    OutboxState.REJECTED: "Rejected",
    OutboxState.UNCONFIRMED: "Delivery unconfirmed",
    OutboxState.CANCELLED: "Cancelled",
}
UPCOMING_KINDS: dict[str, str] = {
    UpcomingKind.EMAIL: "Email",
    UpcomingKind.OWNER_EMAIL: "Account-owner alert",
    UpcomingKind.TASK: "Task",
    UpcomingKind.LATE_FEE: "Late fee",
}
REPLY_KINDS: dict[str, str] = {ReplyKind.REPLY: "Reply", ReplyKind.AUTO_REPLY: "Automatic reply"}
DELIVERY_STATES: dict[str, str] = {
    DeliveryState.PENDING: "Pending",
    DeliveryState.DONE: "Delivered",
    DeliveryState.ABANDONED: "Failed",
}
EMAIL_STATUSES = {
    "processed": "Accepted",
    "deferred": "Deferred",
    "delivered": "Delivered",
    "open": "Opened",
    "click": "Link clicked",
    "blocked": "Blocked",
    "bounce": "Bounced",
    "dropped": "Dropped",
    "spamreport": "Reported as spam",
    "unsubscribe": "Unsubscribed",
    "resubscribed": "Subscribed again",
}
VOCABULARIES: dict[str, Mapping[str, str]] = {
    "delivery_state": DELIVERY_STATES,
    "email_status": EMAIL_STATUSES,
    "outbox_kind": OUTBOX_KINDS,
    "outbox_state": OUTBOX_STATES,
    "reply_kind": REPLY_KINDS,
    "upcoming_kind": UPCOMING_KINDS,
}
