"""The kinds of entries in the sync log."""

from __future__ import annotations

from enum import StrEnum


class LogKind(StrEnum):
    """What an entry of the sync log records."""

    # The run itself, and what it read
    RUN_STARTED = "run_started"
    RUN_ENDED = "run_ended"
    ORGANISATION = "organisation"
    PULLED = "pulled"
    RECONCILED = "reconciled"
    DRIFT = "drift"
    MALFORMED = "malformed"
    WEBHOOK = "webhook"
    WARNING = "warning"
    ERROR = "error"
    # What was decided
    DECIDED = "decided"
    PLANNED = "planned"
    CANCELLED = "cancelled"
    DRY_RUN = "dry_run"
    EXCEPTION = "exception"
    EXCEPTION_RESOLVED = "exception_resolved"
    # What was sent, and what became of it
    SENDING = "sending"
    EMAILED = "emailed"
    OWNER_NOTIFIED = "owner_notified"
    NOTED = "noted"
    CHARGED = "charged"
    WAIVER_REQUESTED = "waiver_requested"
    WAIVED = "waived"
    PROVIDER_REJECTED = "provider_rejected"
    UNCONFIRMED = "unconfirmed"
    UNDELIVERED = "undelivered"
    SUPPRESSED = "suppressed"
    # What people and customers did
    APPROVAL_REQUESTED = "approval_requested"
    APPROVED = "approved"
    REJECTED = "rejected"
    RESOLVED = "resolved"
    EMAIL_EDITED = "email_edited"
    TASK = "task"
    TASK_ASSIGNED = "task_assigned"
    TASK_OUTCOME = "task_outcome"
    TASK_REOPENED = "task_reopened"
    AGREEMENT = "agreement"
    CUSTOMER_UPDATED = "customer_updated"
    INVOICE_UPDATED = "invoice_updated"
    REPLY = "reply"
    AUTO_REPLY = "auto_reply"
    PORTAL_LINK = "portal_link"
    # How companies and the installation are set up
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    AUTHORIZATION_EXPIRED = "authorization_expired"
    MODE = "mode"
    PAUSED = "paused"
    RESUMED = "resumed"
    DEFAULT_OWNER = "default_owner"
    FEE_POSTING = "fee_posting"
    POLICY_SET = "policy_set"
    BACKUP = "backup"
    RESTORED = "restored"
    KEYS_ROTATED = "keys_rotated"
    WEBHOOK_CREATED = "webhook_created"
    WEBHOOK_REMOVED = "webhook_removed"
    WEBHOOK_STOPPED = "webhook_stopped"
    WEBHOOK_TESTED = "webhook_tested"
    # Users and programs
    USER_ADDED = "user_added"
    USER_CHANGED = "user_changed"
    USER_DISABLED = "user_disabled"
    USER_RESET = "user_reset"
    PASSWORD_SET = "password_set"  # noqa: S105 - a kind of log entry
    PASSKEY_ADDED = "passkey_added"
    PASSKEY_REMOVED = "passkey_removed"
    PASSKEY_REQUIREMENT = "passkey_requirement"
    SIGNED_OUT = "signed_out"
    TOKEN_CREATED = "token_created"  # noqa: S105
    TOKEN_REVOKED = "token_revoked"  # noqa: S105
    # Personal data
    ERASED = "erased"
    ERASURE_UNDONE = "erasure_undone"
    ERASED_CUSTOMER_SEEN = "erased_customer_seen"
    EXPORTED = "exported"
    RETENTION = "retention"
    PRUNED = "pruned"
