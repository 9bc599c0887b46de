"""What stands in the timeline of an invoice or a customer."""

from __future__ import annotations

from enum import StrEnum


class TimelineKind(StrEnum):
    """What happened."""

    # In the ledger
    ISSUED = "issued"
    APPLIED = "applied"  # a payment or credit, to an invoice
    PAYMENT = "payment"
    CREDIT = "credit"
    CLOSED = "closed"
    # What was decided, agreed and done
    DECISION = "decision"
    AGREEMENT = "agreement"
    TASK = "task"
    EMAIL = "email"
    OWNER_EMAIL = "owner_email"
    NOTE = "note"
    LATE_FEE = "late_fee"
    FEE_WAIVER = "fee_waiver"
    # What only the log records
    SETTINGS = "settings"
    PORTAL_LINK = "portal_link"
    UNDELIVERED = "undelivered"
    EDITED = "edited"
    REJECTED = "rejected"
