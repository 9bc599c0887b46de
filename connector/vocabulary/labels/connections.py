"""Labels: companies, how they are connected, and their syncs."""

from __future__ import annotations

from collections.abc import Mapping

from connector.vocabulary import CallKind, ConnectionHealth, ConnectionMode, LimitWindow, RunOutcome

RUN_OUTCOMES: dict[str, str] = {
    RunOutcome.OK: "Completed",
    RunOutcome.DEFERRED: "Deferred",
    RunOutcome.ACTION_REQUIRED: "Action required",
    RunOutcome.FAILED: "Failed",
    RunOutcome.BUSY: "Already running",
}
CALL_KINDS: dict[str, str] = {
    CallKind.READ: "Reads",
    CallKind.WRITE: "Writes",
    CallKind.EMAIL: "Emails",
    CallKind.EMAIL_READ: "Email status checks",
    CallKind.TOKEN: "Sign-in renewals",
}
CONNECTION_MODES: dict[str, str] = {
    ConnectionMode.OBSERVE: "Observe",
    ConnectionMode.APPROVE: "Approve",
    ConnectionMode.LIVE: "Live",
}
CONNECTION_HEALTHS: dict[str, str] = {
    ConnectionHealth.NEW: "New",
    ConnectionHealth.OK: "OK",
    ConnectionHealth.LIMITED: "Rate-limited",
    ConnectionHealth.ACTION_REQUIRED: "Action required",
    ConnectionHealth.FAILING: "Failing",
    ConnectionHealth.AUTHORIZATION_EXPIRED: "Reconnect needed",
    ConnectionHealth.DISCONNECTED: "Disconnected",
}
BUDGET_WINDOWS: dict[str, str] = {
    LimitWindow.MINUTE: "Per minute",
    LimitWindow.DAY: "Per day",
    LimitWindow.MONTH: "Per month",
    LimitWindow.APP: "Per minute, all companies",
    LimitWindow.CONCURRENT: "At the same time",
}
PROVIDERS = {
    "xero": "Xero",
    "quickbooks": "QuickBooks Online",
    "sendgrid": "SendGrid",
    "microsoft365": "Microsoft 365",
    "gmail": "Gmail",
    "smtp": "SMTP",
}
VOCABULARIES: dict[str, Mapping[str, str]] = {
    "budget_window": BUDGET_WINDOWS,
    "call_kind": CALL_KINDS,
    "connection_health": CONNECTION_HEALTHS,
    "connection_mode": CONNECTION_MODES,
    "provider": PROVIDERS,
    "run_outcome": RUN_OUTCOMES,
}
