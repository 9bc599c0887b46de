"""The first schema: every table, the triggers that protect the sync log, and the views for people.

The tables are a copy: later changes of ``connector/db/tables/`` come as further revisions.
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

revision = "0001"
down_revision = None

_INSTANT = DateTime(timezone=True)
_tables = MetaData()

# --- tables
Table(
    "customer_setting",
    _tables,
    Column("connection_id", Integer, ForeignKey("connection.id"), primary_key=True),
    Column("customer_id", String, primary_key=True),
    Column("segment", String),
    Column("hold_until_on", Date),
    Column("no_reminders", Boolean, nullable=False),
    Column("no_fees", Boolean, nullable=False),
    Column("fees_agreed_on", Date),
    Column("emails", Text, nullable=False),
    Column("stopped_emails", Text, nullable=False),
    Column("contact_name", String, nullable=False),
    Column("phone", String, nullable=False),
    Column("language", String, nullable=False),
    Column("owner", String, nullable=False),
    Column("sales_rep", String, nullable=False),
    Column("second_contact", String, nullable=False),
    Column("tags", Text, nullable=False),
    Column("withholding_percent", String, nullable=False),
    Column("suppression_reason", Text, nullable=False),
    Column("set_at", _INSTANT, nullable=False),
)
Table(
    "erased_customer",
    _tables,
    Column("connection_id", Integer, ForeignKey("connection.id"), primary_key=True),
    Column("customer_id", String, primary_key=True),
    Column("erased_at", _INSTANT, nullable=False),
    Column("erased_by", String, nullable=False),
    Column("ledger_updated_at", _INSTANT),
)
Table(
    "invoice_setting",
    _tables,
    Column("connection_id", Integer, ForeignKey("connection.id"), primary_key=True),
    Column("invoice_id", String, primary_key=True),
    Column("disputed_on", Date),
    Column("dispute_reason", Text, nullable=False),
    Column("promised_on", Date),
    Column("promised_e4", BigInteger),
    Column("paused", Boolean, nullable=False),
    Column("paused_until_on", Date),
    Column("set_at", _INSTANT, nullable=False),
)
Table(
    "agreement",
    _tables,
    Column("id", Integer, primary_key=True),
    Column("connection_id", Integer, ForeignKey("connection.id"), nullable=False),
    Column("kind", String, nullable=False),
    Column("invoice_id", String, nullable=False),
    Column("customer_id", String, nullable=False),
    Column("since_on", Date, nullable=False),
    Column("until_on", Date),
    Column("amount_e4", BigInteger, nullable=False),
    Column("paid_before_e4", BigInteger),
    Column("invoice_total_e4", BigInteger),
    Column("currency", String, nullable=False),
    Column("instalments", JSON),
    Column("reason", Text, nullable=False),
    Column("recorded_by", String, nullable=False),
    Column("recorded_at", _INSTANT, nullable=False),
    Column("state", String, nullable=False),
    Column("ended_at", _INSTANT),
    Column("ended_by", String, nullable=False),
    Column("outcome", Text, nullable=False),
    Index("ix_agreement_customer", "connection_id", "customer_id"),
    Index("ix_agreement_invoice", "connection_id", "invoice_id"),
)
Table(
    "policy_version",
    _tables,
    Column("id", Integer, primary_key=True),
    Column("connection_id", Integer, ForeignKey("connection.id"), index=True),
    Column("document", Text, nullable=False),
    Column("rates", Text, nullable=False),
    Column("set_by", String, nullable=False),
    Column("set_at", _INSTANT, nullable=False),
)
Table(
    "app_user",
    _tables,
    Column("id", Integer, primary_key=True),
    Column("email", String, nullable=False, unique=True),
    Column("name", String, nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("role", String, nullable=False),
    Column("all_companies", Boolean, nullable=False),
    Column("disabled_at", _INSTANT),
    Column("created_at", _INSTANT, nullable=False),
    Column("signed_in_at", _INSTANT),
    Column("passkey_only", Boolean, nullable=False),
    Column("oidc_subject", String, nullable=False),
    Column("time_zone", String, nullable=False),
    Column("digest_at", String, nullable=False),
    Column("digest_off", Boolean, nullable=False),
)
Table(
    "daily_digest",
    _tables,
    Column("recipient_key", String, primary_key=True),
    Column("slot", String, primary_key=True),
    Column("outbox_id", Integer, ForeignKey("outbox.id"), nullable=False, index=True),
    Column("included", JSON, nullable=False),
)
Table(
    "user_company",
    _tables,
    Column("user_id", Integer, ForeignKey("app_user.id"), primary_key=True),
    Column("connection_id", Integer, ForeignKey("connection.id"), primary_key=True),
)
Table(
    "web_session",
    _tables,
    Column("token_hash", String, primary_key=True),
    Column("user_id", Integer, ForeignKey("app_user.id"), nullable=False, index=True),
    Column("started_at", _INSTANT, nullable=False),
    Column("seen_at", _INSTANT, nullable=False),
    Column("reauthenticated_at", _INSTANT),
    Column("ip_address", String, nullable=False),
    Column("browser", String, nullable=False),
)
Table(
    "passkey",
    _tables,
    Column("id", String, primary_key=True),
    Column("user_id", Integer, ForeignKey("app_user.id"), nullable=False, index=True),
    Column("public_key", LargeBinary, nullable=False),
    Column("sign_count", Integer, nullable=False),
    Column("name", String, nullable=False),
    Column("created_at", _INSTANT, nullable=False),
    Column("used_at", _INSTANT),
)
Table(
    "used_challenge",
    _tables,
    Column("challenge_hash", String, primary_key=True),
    Column("used_at", _INSTANT, nullable=False, index=True),
)
Table(
    "sign_in_link",
    _tables,
    Column("token_hash", String, primary_key=True),
    Column("user_id", Integer, ForeignKey("app_user.id")),
    Column("created_at", _INSTANT, nullable=False),
    Column("expires_at", _INSTANT, nullable=False),
    Column("used_at", _INSTANT),
    Column("signs_in_directly", Boolean, nullable=False),
)
Table(
    "sign_in_attempt",
    _tables,
    Column("id", Integer, primary_key=True),
    Column("at", _INSTANT, nullable=False, index=True),
    Column("ip_address", String, nullable=False),
    Column("email", String, nullable=False),
)
Table(
    "api_token",
    _tables,
    Column("id", Integer, primary_key=True),
    Column("name", String, nullable=False),
    Column("token_hash", String, nullable=False, unique=True),
    Column("prefix", String, nullable=False),
    Column("scopes", String, nullable=False),
    Column("companies", JSON),
    Column("expires_at", _INSTANT),
    Column("created_by", String, nullable=False),
    Column("created_at", _INSTANT, nullable=False),
    Column("used_at", _INSTANT),
    Column("revoked_at", _INSTANT),
)
Table(
    "api_request",
    _tables,
    Column("token_id", Integer, ForeignKey("api_token.id"), primary_key=True),
    Column("key", String, primary_key=True),
    Column("fingerprint", String, nullable=False),
    Column("status", Integer, nullable=False),
    Column("response", Text, nullable=False),
    Column("started_at", _INSTANT, nullable=False, index=True),
)
Table(
    "webhook_endpoint",
    _tables,
    Column("id", Integer, primary_key=True),
    Column("url", LargeBinary, nullable=False),
    Column("secret", LargeBinary, nullable=False),
    Column("events", JSON),
    Column("companies", JSON),
    Column("last_seen_log_id", Integer, nullable=False),
    Column("stop_reason", Text, nullable=False),
    Column("created_by", String, nullable=False),
    Column("created_at", _INSTANT, nullable=False),
)
Table(
    "webhook_delivery",
    _tables,
    Column("id", Integer, primary_key=True),
    Column("endpoint_id", Integer, ForeignKey("webhook_endpoint.id"), nullable=False),
    Column("log_id", Integer, ForeignKey("sync_log.id"), nullable=False),
    Column("event", String, nullable=False),
    Column("state", String, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at", _INSTANT),
    Column("status", Integer),
    Column("reason", Text, nullable=False),
    Column("created_at", _INSTANT, nullable=False),
    Column("ended_at", _INSTANT),
    UniqueConstraint("endpoint_id", "log_id"),
    Index("ix_delivery_next", "state", "next_attempt_at"),
)
Table(
    "grant_token",
    _tables,
    Column("id", Integer, primary_key=True),
    Column("provider", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("token", LargeBinary, nullable=False),
    Column("token_expires_at", _INSTANT),
    Column("refresh_started_at", _INSTANT),
    Column("invalid_reason", Text, nullable=False),
    Column("created_at", _INSTANT, nullable=False),
    Column("refreshed_at", _INSTANT),
    Column("ends_at", _INSTANT),
)
Table(
    "connection",
    _tables,
    Column("id", Integer, primary_key=True),
    Column("short_name", String, nullable=False, unique=True),
    Column("provider", String, nullable=False),
    Column("external_id", String, nullable=False),
    Column("remote_connection_id", String, nullable=False),
    Column("grant_id", Integer, ForeignKey("grant_token.id")),
    Column("name", String, nullable=False),
    Column("mode", String, nullable=False),
    Column("pause_reason", Text, nullable=False),
    Column("paused_until_on", Date),
    Column("owner", String, nullable=False),
    Column("health", String, nullable=False),
    Column("health_reason", Text, nullable=False),
    Column("base_currency", String, nullable=False),
    Column("country", String, nullable=False),
    Column("holiday_region", String, nullable=False),
    Column("time_zone", String, nullable=False),
    Column("lock_on", Date),
    Column("ledger_reminders", Boolean, nullable=False),
    Column("subscription_plan", String, nullable=False),
    Column("company_info_read_at", _INSTANT),
    Column("cursor", Text, nullable=False),
    Column("first_pull_done_at", _INSTANT),
    Column("synced_at", _INSTANT),
    Column("last_read_at", _INSTANT),
    Column("reconciled_at", _INSTANT),
    Column("drift", Integer, nullable=False),
    Column("webhooks_complete_since_at", _INSTANT),
    Column("mirror_version", Integer, nullable=False),
    Column("bank_matched_version", Integer, nullable=False),
    Column("decision_fingerprint", Text, nullable=False),
    Column("decided_at", _INSTANT),
    Column("decided_until_at", _INSTANT),
    Column("decided_log_id", Integer, nullable=False),
    Column("decided_mirror_version", Integer, nullable=False),
    Column("decided_facts", Text, nullable=False),
    Column("live_since_at", _INSTANT),
    Column("created_at", _INSTANT, nullable=False),
    Column("last_run_at", _INSTANT),
    Column("next_run_at", _INSTANT, index=True),
    Column("lease_until_at", _INSTANT),
    Column("lease_owner", String, nullable=False),
    Column("fence", Integer, nullable=False),
    UniqueConstraint("provider", "external_id"),
)
Table(
    "connected_mailbox",
    _tables,
    Column("id", Integer, primary_key=True),
    Column("provider", String, nullable=False, unique=True),
    Column("grant_id", Integer, ForeignKey("grant_token.id"), nullable=False),
    Column("address", String, nullable=False),
    Column("cursor", Text, nullable=False),
    Column("read_at", _INSTANT),
    Column("reading_until_at", _INSTANT),
    Column("connected_at", _INSTANT, nullable=False),
)
Table(
    "pending_consent",
    _tables,
    Column("state_hash", String, primary_key=True),
    Column("provider", String, nullable=False),
    Column("redirect_uri", String, nullable=False),
    Column("encrypted_state", LargeBinary, nullable=False),
    Column("session_hash", String, nullable=False),
    Column("started_at", _INSTANT, nullable=False),
    Column("finished_at", _INSTANT),
    Column("outcome", JSON),
)
Table(
    "sync_run",
    _tables,
    Column("id", Integer, primary_key=True),
    Column("connection_id", Integer, ForeignKey("connection.id"), nullable=False),
    Column("started_at", _INSTANT, nullable=False),
    Column("ended_at", _INSTANT),
    Column("outcome", String),
    Column("reason", Text, nullable=False),
    Column("dry_run", Boolean, nullable=False),
    Column("counts", JSON),
    Column("progress", String, nullable=False),
    Column("records_read", Integer, nullable=False),
    Column("records_expected", Integer),
    UniqueConstraint("connection_id", "id"),
)
Table(
    "sync_log",
    _tables,
    Column("id", Integer, primary_key=True),
    Column("connection_id", Integer, ForeignKey("connection.id")),
    Column("run_id", Integer),
    Column("at", _INSTANT, nullable=False),
    Column("kind", String, nullable=False),
    Column("customer_id", String, nullable=False),
    Column("invoice_id", String, nullable=False),
    Column("text", Text, nullable=False),
    Column("facts", Text, nullable=False),
    Column("salt", String, nullable=False),
    Column("digest", String, nullable=False),
    Column("previous_hash", String, nullable=False),
    Column("hash", String, nullable=False),
    ForeignKeyConstraint(["connection_id", "run_id"], ["sync_run.connection_id", "sync_run.id"]),
    Index("ix_log_connection", "connection_id", "id"),
    Index("ix_log_customer", "connection_id", "customer_id", "id"),
    Index("ix_log_invoice", "connection_id", "invoice_id", "id"),
    Index("ix_log_run", "run_id", "id"),
)
Table(
    "budget",
    _tables,
    Column("connection_id", Integer, ForeignKey("connection.id"), primary_key=True),
    Column("limit_name", String, primary_key=True),
    Column("used", Integer, nullable=False),
    Column("remaining", Integer),
    Column("window_started_at", _INSTANT),
    Column("blocked_until_at", _INSTANT),
)
Table(
    "webhook_event",
    _tables,
    Column("id", String, primary_key=True),
    Column("connection_id", Integer, ForeignKey("connection.id"), nullable=False),
    Column("external_id", String, nullable=False),
    Column("merged_id", String, nullable=False),
    Column("received_at", _INSTANT, nullable=False),
    Index("ix_webhook_event_connection", "connection_id", "received_at"),
)
Table(
    "key_value",
    _tables,
    Column("connection_id", Integer, primary_key=True),
    Column("name", String, primary_key=True),
    Column("value", JSON),
    Column("stored_at", _INSTANT, nullable=False),
)
Table(
    "invoice_decision",
    _tables,
    Column("connection_id", Integer, ForeignKey("connection.id"), primary_key=True),
    Column("invoice_id", String, primary_key=True),
    Column("customer_id", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("code", String, nullable=False),
    Column("reason", Text, nullable=False),
    Column("next_step", String),
    Column("next_on", Date),
    Column("policy_version", Integer),
    Column("run_id", Integer, nullable=False),
    Column("since_at", _INSTANT, nullable=False),
    Column("held_since_on", Date),
    Column("segment", String),
    Index("ix_invoice_decision_next", "connection_id", "next_on"),
    Index("ix_invoice_decision_customer", "connection_id", "customer_id"),
)
Table(
    "decision_record",
    _tables,
    Column("id", Integer, primary_key=True),
    Column("connection_id", Integer, ForeignKey("connection.id"), nullable=False),
    Column("customer_id", String, nullable=False),
    Column("run_id", Integer, nullable=False),
    Column("decided_at", _INSTANT, nullable=False),
    Column("policy_version", Integer),
    Column("snapshot", LargeBinary, nullable=False),
    Index("ix_decision_record_customer", "connection_id", "customer_id"),
)
Table(
    "outbox",
    _tables,
    Column("id", Integer, primary_key=True),
    Column("connection_id", Integer, ForeignKey("connection.id"), nullable=False),
    Column("key", String, nullable=False, unique=True),
    Column("kind", String, nullable=False),
    Column("state", String, nullable=False),
    Column("customer_id", String, nullable=False),
    Column("invoice_id", String, nullable=False),
    Column("currency", String, nullable=False),
    Column("amount_e4", BigInteger),
    Column("step", String, nullable=False),
    Column("payload", JSON, nullable=False),
    Column("content_hash", String, nullable=False),
    Column("custom_text", JSON),
    Column("changed_at", _INSTANT),
    Column("changed_by", String, nullable=False),
    Column("reason", Text, nullable=False),
    Column("send_after", _INSTANT),
    Column("approved_at", _INSTANT),
    Column("approved_by", String, nullable=False),
    Column("resolved_by", String, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("dispatched_at", _INSTANT),
    Column("ended_at", _INSTANT),
    Column("reference", String, nullable=False),
    Column("message_id_part", String, nullable=False),
    Column("given_message_id", String, nullable=False),
    Column("delivery_status", String, nullable=False),
    Column("refusal", String, nullable=False),
    Column("response", Text, nullable=False),
    Column("parent_id", Integer),
    Column("policy_version", Integer),
    Column("run_id", Integer),
    Column("planned_at", _INSTANT, nullable=False),
    UniqueConstraint("connection_id", "id"),
    ForeignKeyConstraint(["connection_id", "parent_id"], ["outbox.connection_id", "outbox.id"]),
    Index("ix_outbox_customer", "connection_id", "customer_id", "state"),
    Index("ix_outbox_invoice", "connection_id", "invoice_id"),
    Index("ix_outbox_kind", "connection_id", "kind"),
    Index("ix_outbox_message_id_part", "message_id_part"),
    Index("ix_outbox_parent", "parent_id"),
    Index("ix_outbox_state", "connection_id", "state", "ended_at"),
)
Table(
    "sent_email",
    _tables,
    Column("connection_id", Integer, ForeignKey("connection.id"), primary_key=True),
    Column("outbox_id", Integer, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("stored_at", _INSTANT, nullable=False),
    Column("content", LargeBinary, nullable=False),
    ForeignKeyConstraint(["connection_id", "outbox_id"], ["outbox.connection_id", "outbox.id"], ondelete="CASCADE"),
)
Table(
    "portal_response",
    _tables,
    Column("id", Integer, primary_key=True),
    Column("key", String, nullable=False, unique=True),
    Column("connection_id", Integer, ForeignKey("connection.id"), nullable=False),
    Column("customer_id", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("state", String, nullable=False),
    Column("response", JSON, nullable=False),
    Column("created_at", _INSTANT, nullable=False),
    Column("responded_at", _INSTANT),
    Column("recorded_by", String, nullable=False),
    Column("result", String, nullable=False),
    Column("task_code", String),
    Column("undone_at", _INSTANT),
    Index("ix_portal_response_customer", "connection_id", "customer_id", "state"),
)
Table(
    "portal_file",
    _tables,
    Column("id", Integer, primary_key=True),
    Column("connection_id", Integer, ForeignKey("connection.id"), nullable=False),
    Column("customer_id", String, nullable=False),
    Column("response_key", String, nullable=False),
    Column("filename", String, nullable=False),
    Column("content_type", String, nullable=False),
    Column("size_bytes", Integer, nullable=False),
    Column("stored_at", _INSTANT, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Index("ix_portal_file_customer", "connection_id", "customer_id"),
    Index("ix_portal_file_response", "response_key"),
)
Table(
    "completed_step",
    _tables,
    Column("connection_id", Integer, ForeignKey("connection.id"), primary_key=True),
    Column("invoice_id", String, primary_key=True),
    Column("step", String, primary_key=True),
    Column("recurrence_key", String, primary_key=True),
    Column("customer_id", String, nullable=False),
    Column("currency", String, nullable=False),
    Column("outbox_id", Integer, index=True),
    Column("task_id", Integer),
    Column("completed_at", _INSTANT, nullable=False),
    Column("completed_on", Date, nullable=False),
    Column("acknowledged_e4", BigInteger),
    Column("announced_fee", Boolean, nullable=False),
    Column("fee_terms", String, nullable=False),
    ForeignKeyConstraint(["connection_id", "outbox_id"], ["outbox.connection_id", "outbox.id"]),
    ForeignKeyConstraint(["connection_id", "task_id"], ["task.connection_id", "task.id"]),
    Index("ix_completed_step_customer", "connection_id", "customer_id"),
)
Table(
    "task",
    _tables,
    Column("id", Integer, primary_key=True),
    Column("connection_id", Integer, ForeignKey("connection.id"), nullable=False),
    Column("key", String, nullable=False, unique=True),
    Column("code", String, nullable=False),
    Column("step", String, nullable=False),
    Column("customer_id", String, nullable=False),
    Column("invoice_ids", JSON, nullable=False),
    Column("due_on", Date, nullable=False),
    Column("reason", Text, nullable=False),
    Column("owner", String, nullable=False),
    Column("state", String, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("created_at", _INSTANT, nullable=False),
    Column("ended_at", _INSTANT),
    Column("ended_by", String, nullable=False),
    UniqueConstraint("connection_id", "id"),
)
Table(
    "exception",
    _tables,
    Column("connection_id", Integer, ForeignKey("connection.id"), primary_key=True),
    Column("customer_id", String, primary_key=True),
    Column("code", String, primary_key=True),
    Column("invoice_id", String, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("since_at", _INSTANT, nullable=False),
    Column("resolved_at", _INSTANT),
    Column("resolved_by", String, nullable=False),
)
Table(
    "suppressed_address",
    _tables,
    Column("address", String, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("since_at", _INSTANT, nullable=False),
)
Table(
    "contact_token",
    _tables,
    Column("token_hash", String, primary_key=True),
    Column("connection_id", Integer, ForeignKey("connection.id"), nullable=False),
    Column("customer_id", String, nullable=False),
    Column("purpose", String, nullable=False),
    Column("salt", String, nullable=False),
    Column("outbox_key", String, nullable=False),
    Column("recipient", String, nullable=False),
    Column("created_at", _INSTANT, nullable=False),
    Column("expires_at", _INSTANT),
    Column("revoked_at", _INSTANT),
)
Table(
    "email_event",
    _tables,
    Column("id", String, primary_key=True),
    Column("key", String, nullable=False, index=True),
    Column("kind", String, nullable=False),
    Column("address", String, nullable=False),
    Column("reference", String, nullable=False),
    Column("refusal", String, nullable=False),
    Column("at", _INSTANT, nullable=False),
    Column("received_at", _INSTANT, nullable=False),
)
Table(
    "received_reply",
    _tables,
    Column("id", String, primary_key=True),
    Column("connection_id", Integer, ForeignKey("connection.id"), nullable=False),
    Column("customer_id", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("pattern", Text, nullable=False),
    Column("received_at", _INSTANT, nullable=False),
)
Table(
    "bank_details",
    _tables,
    Column("id", Integer, primary_key=True),
    Column("connection_id", Integer, ForeignKey("connection.id"), nullable=False),
    Column("currency", String, nullable=False),
    Column("payee", String, nullable=False),
    Column("scheme", String, nullable=False),
    Column("account", String, nullable=False),
    Column("bank_code", String, nullable=False),
    Column("bic", String, nullable=False),
    Column("street", String, nullable=False),
    Column("building_number", String, nullable=False),
    Column("postcode", String, nullable=False),
    Column("town", String, nullable=False),
    Column("country", String, nullable=False),
    Column("use_creditor_reference", Boolean, nullable=False),
    Column("set_by", String, nullable=False),
    Column("set_at", _INSTANT, nullable=False),
    Column("applies_at", _INSTANT, nullable=False),
    Column("cancelled_at", _INSTANT),
    Column("decided_by", String, nullable=False),
    Index("ix_bank_details_connection", "connection_id", "currency", "id"),
)
Table(
    "email_template",
    _tables,
    Column("id", Integer, primary_key=True),
    Column("connection_id", Integer, ForeignKey("connection.id")),
    Column("step", String, nullable=False),
    Column("language", String, nullable=False),
    Column("document", Text, nullable=False),
    Column("set_by", String, nullable=False),
    Column("set_at", _INSTANT, nullable=False),
)
Table(
    "brand",
    _tables,
    Column("connection_id", Integer, ForeignKey("connection.id"), primary_key=True),
    Column("accent_colour", String, nullable=False),
    Column("logo", LargeBinary),
    Column("logo_width", Integer, nullable=False),
    Column("logo_height", Integer, nullable=False),
    Column("portrait", LargeBinary),
    Column("signer_name", String, nullable=False),
    Column("signature", Text, nullable=False),
    Column("legal_footer", Text, nullable=False),
    Column("links", JSON, nullable=False),
    Column("set_by", String, nullable=False),
    Column("set_at", _INSTANT, nullable=False),
)
Table(
    "customer",
    _tables,
    Column("connection_id", Integer, ForeignKey("connection.id"), primary_key=True),
    Column("external_id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("contact_name", String, nullable=False),
    Column("emails", Text, nullable=False),
    Column("country", String, nullable=False),
    Column("region", String, nullable=False),
    Column("language", String, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("merged_into", String),
    Column("deleted", Boolean, nullable=False),
    Column("updated_at", _INSTANT),
    Column("groups", Text, nullable=False),
    Column("parent_id", String),
    Column("bill_with_parent", Boolean, nullable=False),
    Column("balance_e4", BigInteger),
    Column("family_balance_e4", BigInteger),
    Column("balance_currency", String, nullable=False),
    Column("phones", Text, nullable=False),
    Column("contacts", Text, nullable=False),
    Column("balance_at", _INSTANT),
    Index(
        "ix_customer_parent",
        "connection_id",
        "parent_id",
        sqlite_where=text("parent_id IS NOT NULL"),
        postgresql_where=text("parent_id IS NOT NULL"),
    ),
)
Table(
    "invoice",
    _tables,
    Column("connection_id", Integer, ForeignKey("connection.id"), primary_key=True),
    Column("external_id", String, primary_key=True),
    Column("number", String, nullable=False),
    Column("customer_id", String, nullable=False),
    Column("currency", String, nullable=False),
    Column("issued_on", Date, nullable=False),
    Column("due_on", Date),
    Column("total_e4", BigInteger, nullable=False),
    Column("due_e4", BigInteger, nullable=False),
    Column("status", String, nullable=False),
    Column("is_open", Boolean, nullable=False),
    Column("sent_to_customer", Boolean, nullable=False),
    Column("closed_on", Date),
    Column("promised_on", Date),
    Column("discount_e4", BigInteger),
    Column("discount_until_on", Date),
    Column("reference", String, nullable=False),
    Column("ledger_fee", Boolean, nullable=False),
    Column("version", String, nullable=False),
    Column("lines", Text, nullable=False),
    Column("emails", Text, nullable=False),
    Column("cc_emails", Text, nullable=False),
    Column("bcc_emails", Text, nullable=False),
    Column("updated_at", _INSTANT),
    Column("known_at", _INSTANT),
    Column("sent_at", _INSTANT),
    Column("earliest_due_on", Date),
    Column("due_changed_at", _INSTANT),
    Column("raised_at", _INSTANT),
    Column("former_total_e4", BigInteger),
    Index("ix_invoice_customer", "connection_id", "customer_id"),
    Index(
        "ix_invoice_open",
        *("connection_id", "customer_id", "currency", "due_on", "due_e4", "total_e4", "external_id", "is_open"),
        sqlite_where=text("is_open = 1"),
        postgresql_where=text("is_open"),
    ),
)
Table(
    "payment",
    _tables,
    Column("connection_id", Integer, ForeignKey("connection.id"), primary_key=True),
    Column("external_id", String, primary_key=True),
    Column("customer_id", String, nullable=False),
    Column("currency", String, nullable=False),
    Column("paid_on", Date, nullable=False),
    Column("total_e4", BigInteger, nullable=False),
    Column("unapplied_e4", BigInteger, nullable=False),
    Column("updated_at", _INSTANT),
    Index(
        "ix_payment_unapplied",
        "connection_id",
        "customer_id",
        sqlite_where=text("unapplied_e4 > 0"),
        postgresql_where=text("unapplied_e4 > 0"),
    ),
)
Table(
    "credit",
    _tables,
    Column("connection_id", Integer, ForeignKey("connection.id"), primary_key=True),
    Column("kind", String, primary_key=True),
    Column("external_id", String, primary_key=True),
    Column("number", String, nullable=False),
    Column("customer_id", String, nullable=False),
    Column("currency", String, nullable=False),
    Column("dated_on", Date, nullable=False),
    Column("total_e4", BigInteger, nullable=False),
    Column("remaining_e4", BigInteger, nullable=False),
    Column("updated_at", _INSTANT),
    Index("ix_credit_customer", "connection_id", "customer_id"),
)
Table(
    "application",
    _tables,
    Column("connection_id", Integer, ForeignKey("connection.id"), primary_key=True),
    Column("source_kind", String, primary_key=True),
    Column("source_id", String, primary_key=True),
    Column("invoice_id", String, primary_key=True),
    Column("applied_on", Date, nullable=False),
    Column("amount_e4", BigInteger, nullable=False),
    Column("credited_e4", BigInteger, nullable=False),
    Column("adjusted_e4", BigInteger, nullable=False),
    Index("ix_application_invoice", "connection_id", "invoice_id"),
)
Table(
    "bank_file",
    _tables,
    Column("id", Integer, primary_key=True),
    Column("connection_id", Integer, ForeignKey("connection.id"), nullable=False),
    Column("name", String, nullable=False),
    Column("format", String, nullable=False),
    Column("sha256", String, nullable=False),
    Column("line_count", Integer, nullable=False),
    Column("received_count", Integer, nullable=False),
    Column("new_count", Integer, nullable=False),
    Column("first_on", Date),
    Column("last_on", Date),
    Column("warnings", Text, nullable=False),
    Column("imported_at", _INSTANT, nullable=False),
    Column("imported_by", String, nullable=False),
    UniqueConstraint("connection_id", "sha256"),
)
Table(
    "bank_receipt",
    _tables,
    Column("id", Integer, primary_key=True),
    Column("connection_id", Integer, ForeignKey("connection.id"), nullable=False),
    Column("file_id", Integer, nullable=False),
    Column("format", String, nullable=False),
    Column("line", Integer, nullable=False),
    Column("account", String, nullable=False),
    Column("currency", String, nullable=False),
    Column("amount_e4", BigInteger, nullable=False),
    Column("charges_e4", BigInteger, nullable=False),
    Column("batch_e4", BigInteger),
    Column("is_batch", Boolean, nullable=False),
    Column("booked_on", Date, nullable=False),
    Column("value_on", Date),
    Column("status", String, nullable=False),
    Column("state", String, nullable=False),
    Column("payer", Text, nullable=False),
    Column("payer_account", String, nullable=False),
    Column("reference", String, nullable=False),
    Column("text", Text, nullable=False),
    Column("bank_reference", String, nullable=False),
    Column("customer_id", String, nullable=False),
    Column("ledger_payment", String, nullable=False),
    Column("seen_at", _INSTANT, nullable=False),
    Column("decided_by", String, nullable=False),
    Index("ix_bank_receipt_amount", "connection_id", "currency", "amount_e4"),
    Index("ix_bank_receipt_state", "connection_id", "state"),
    Index("ix_bank_receipt_booked", "connection_id", "booked_on"),
)
Table(
    "bank_match",
    _tables,
    Column("id", Integer, primary_key=True),
    Column("connection_id", Integer, ForeignKey("connection.id"), nullable=False),
    Column("receipt_id", Integer, nullable=False),
    Column("invoice_id", String, nullable=False),
    Column("customer_id", String, nullable=False),
    Column("currency", String, nullable=False),
    Column("amount_e4", BigInteger, nullable=False),
    Column("settles", Boolean, nullable=False),
    Column("certainty", String, nullable=False),
    Column("score", Integer, nullable=False),
    Column("parts", JSON, nullable=False),
    Column("state", String, nullable=False),
    Column("received_on", Date, nullable=False),
    Column("payer", Text, nullable=False),
    Column("created_at", _INSTANT, nullable=False),
    Column("changed_at", _INSTANT, nullable=False),
    Column("decided_by", String, nullable=False),
    UniqueConstraint("connection_id", "receipt_id", "invoice_id"),
    Index("ix_bank_match_customer", "connection_id", "customer_id"),
    Index("ix_bank_match_changed", "connection_id", "changed_at"),
)
Table(
    "bank_payer",
    _tables,
    Column("connection_id", Integer, ForeignKey("connection.id"), primary_key=True),
    Column("payer_key", String, primary_key=True),
    Column("customer_id", String, primary_key=True),
    Column("pays", Boolean, nullable=False),
    Column("set_by", String, nullable=False),
    Column("set_at", _INSTANT, nullable=False),
)
Table(
    "bank_csv_mapping",
    _tables,
    Column("connection_id", Integer, ForeignKey("connection.id"), primary_key=True),
    Column("signature", String, primary_key=True),
    Column("mapping", JSON, nullable=False),
    Column("set_by", String, nullable=False),
    Column("set_at", _INSTANT, nullable=False),
)
Table(
    "write_off",
    _tables,
    Column("connection_id", Integer, ForeignKey("connection.id"), primary_key=True),
    Column("payment_id", String, primary_key=True),
)
Table(
    "former_applications",
    _tables,
    Column("id", Integer, primary_key=True),
    Column("connection_id", Integer, ForeignKey("connection.id"), nullable=False),
    Column("invoice_id", String, nullable=False),
    Column("until_at", _INSTANT, nullable=False),
    Column("applied", JSON, nullable=False),
    Index("ix_former_applications_invoice", "connection_id", "invoice_id"),
)
Table(
    "malformed_record",
    _tables,
    Column("connection_id", Integer, ForeignKey("connection.id"), primary_key=True),
    Column("kind", String, primary_key=True),
    Column("external_id", String, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("raw", LargeBinary, nullable=False),
    Column("seen_at", _INSTANT, nullable=False),
    Column("customer_id", String, nullable=False),
)
Table(
    "invoice_pdf",
    _tables,
    Column("connection_id", Integer, ForeignKey("connection.id"), primary_key=True),
    Column("invoice_id", String, primary_key=True),
    Column("version", String, nullable=False),
    Column("content", LargeBinary),
    Column("stored_at", _INSTANT, nullable=False),
)
Table(
    "unseen_record",
    _tables,
    Column("connection_id", Integer, ForeignKey("connection.id"), primary_key=True),
    Column("kind", String, primary_key=True),
    Column("external_id", String, primary_key=True),
)
# --- end of tables

# The only allowed change: a text is erased together with its salt, and the rest of the entry stays.
_KEPT = [each.name for each in _tables.tables["sync_log"].columns if each.name not in {"text", "salt"}]
_ONLY_ERASED = " AND ".join(
    ["new.text = '(erased)'", "new.salt = ''", *(f"new.{name} IS old.{name}" for name in _KEPT)]
)
_SEAL_SQLITE = [
    f"CREATE TRIGGER sync_log_refuses_{verb.lower()} BEFORE {verb} ON sync_log {condition}"
    " BEGIN SELECT RAISE(ABORT, 'the sync log is never changed'); END"
    for verb, condition in (("UPDATE", f"WHEN NOT ({_ONLY_ERASED})"), ("DELETE", ""))
]
_SEAL_POSTGRESQL = """
CREATE FUNCTION refuse_change_of_sync_log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' THEN
    IF NEW.text = '(erased)' AND NEW.salt = '' THEN
      OLD.text := NEW.text;
      OLD.salt := NEW.salt;
      IF OLD IS NOT DISTINCT FROM NEW THEN RETURN NEW; END IF;
    END IF;
  END IF;
  RAISE EXCEPTION 'the sync log is never changed';
END $$;
CREATE TRIGGER sync_log_refuses_change BEFORE UPDATE OR DELETE ON sync_log
  FOR EACH ROW EXECUTE FUNCTION refuse_change_of_sync_log();
CREATE TRIGGER sync_log_refuses_truncate BEFORE TRUNCATE ON sync_log
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_sync_log()
"""

# {total} and the like become amounts with decimals. Open means: authorised, with a balance due.
_OPEN_INVOICES = """
CREATE VIEW open_invoices AS
SELECT connection.short_name AS connection, customer.name AS customer, invoice.number,
       invoice.issued_on, invoice.due_on, invoice.currency, {total} AS total, {due} AS due,
       invoice_setting.disputed_on, coalesce(invoice_setting.promised_on, invoice.promised_on) AS promised_on,
       invoice_decision.reason AS last_decision_reason,
       invoice.external_id AS invoice_id, invoice.customer_id, invoice.connection_id
FROM invoice
JOIN connection ON connection.id = invoice.connection_id
LEFT JOIN customer ON customer.connection_id = invoice.connection_id AND customer.external_id = invoice.customer_id
LEFT JOIN invoice_setting
  ON invoice_setting.connection_id = invoice.connection_id AND invoice_setting.invoice_id = invoice.external_id
LEFT JOIN invoice_decision
  ON invoice_decision.connection_id = invoice.connection_id AND invoice_decision.invoice_id = invoice.external_id
WHERE invoice.is_open
"""
_CUSTOMER_BALANCES = """
CREATE VIEW customer_balances AS
SELECT connection.short_name AS connection, customer.name AS customer, sums.currency, sums.open_invoices,
       {owed} AS owed, {unapplied} AS unapplied, {balance} AS balance, sums.customer_id, sums.connection_id
FROM (
  SELECT connection_id, customer_id, currency,
         sum(invoices) AS open_invoices, sum(owed) AS owed, sum(unapplied) AS unapplied
  FROM (
    SELECT connection_id, customer_id, currency, count(*) AS invoices, sum(due_e4) AS owed, 0 AS unapplied
    FROM invoice WHERE is_open GROUP BY connection_id, customer_id, currency
    UNION ALL
    SELECT connection_id, customer_id, currency, 0, 0, sum(remaining_e4)
    FROM credit WHERE remaining_e4 <> 0 GROUP BY connection_id, customer_id, currency
    UNION ALL
    SELECT connection_id, customer_id, currency, 0, 0, sum(unapplied_e4)
    FROM payment WHERE unapplied_e4 <> 0 GROUP BY connection_id, customer_id, currency
  ) AS parts
  GROUP BY connection_id, customer_id, currency
) AS sums
JOIN connection ON connection.id = sums.connection_id
LEFT JOIN customer ON customer.connection_id = sums.connection_id AND customer.external_id = sums.customer_id
"""
_SENT_REMINDERS = """
CREATE VIEW sent_reminders AS
SELECT connection.short_name AS connection, customer.name AS customer, outbox.step, outbox.currency,
       outbox.dispatched_at AS sent_at, CASE outbox.state WHEN 'unconfirmed' THEN 'unconfirmed' ELSE 'yes' END AS sent,
       (SELECT count(*) FROM completed_step WHERE completed_step.outbox_id = outbox.id) AS invoices,
       outbox.reason, outbox.reference, outbox.id AS outbox_id, outbox.customer_id, outbox.connection_id
FROM outbox
JOIN connection ON connection.id = outbox.connection_id
LEFT JOIN customer ON customer.connection_id = outbox.connection_id AND customer.external_id = outbox.customer_id
WHERE outbox.kind = 'email' AND outbox.state IN ('done', 'unconfirmed')
"""
_AMOUNTS = {
    "total": "invoice.total_e4",
    "due": "invoice.due_e4",
    "owed": "sums.owed",
    "unapplied": "sums.unapplied",
    "balance": "sums.owed - sums.unapplied",
}
_AS_DECIMAL = {"sqlite": "round(({}) / 10000.0, 4)", "postgresql": "(({}) / 10000.0)::numeric(24, 4)"}


def upgrade() -> None:
    """Create everything on an empty database."""
    bind = op.get_bind()
    _tables.create_all(bind)
    for statement in _SEAL_SQLITE if bind.dialect.name == "sqlite" else [_SEAL_POSTGRESQL]:
        bind.exec_driver_sql(statement)
    amounts = {name: _AS_DECIMAL[bind.dialect.name].format(column) for name, column in _AMOUNTS.items()}
    for view in (_OPEN_INVOICES, _CUSTOMER_BALANCES, _SENT_REMINDERS):
        bind.exec_driver_sql(view.format(**amounts))
