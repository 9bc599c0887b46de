"""What is to be sent or written, and how far it has come."""

from __future__ import annotations

from enum import StrEnum


class OutboxKind(StrEnum):
    """What an outbox entry does."""

    EMAIL = "email"
    OWNER_EMAIL = "owner_email"
    NOTE = "note"  # on an invoice in the ledger
    LATE_FEE = "late_fee"  # a new invoice in the ledger
    FEE_WAIVER = "fee_waiver"


BANK_DETAILS_STEP = "bank_details"  # of an email to an owner about changed bank details: no plan takes it back
APPROVED_KINDS = (OutboxKind.EMAIL, OutboxKind.LATE_FEE)  # wait for approval in the mode ``approve``


class OutboxState(StrEnum):
    """How far an outbox entry has come."""

    PLANNED = "planned"
    AWAITING_APPROVAL = "awaiting_approval"
    SENDING = "sending"  # committed before the call is made
    DONE = "done"
    REJECTED = "rejected"  # by a user or by the provider
    UNCONFIRMED = "unconfirmed"  # the provider's answer was lost
    CANCELLED = "cancelled"


class FeeState(StrEnum):
    """Where a late fee stands, from its outbox entry and that of its waiver."""

    DRAFT = "draft"  # awaits approval
    APPROVED = "approved"
    SENDING = "sending"
    POSTED = "posted"  # in the ledger
    WAIVER_REQUESTED = "waiver_requested"
    WAIVED = "waived"
    REJECTED = "rejected"
    UNCONFIRMED = "unconfirmed"
    CANCELLED = "cancelled"


class UpcomingKind(StrEnum):
    """What an upcoming action is."""

    EMAIL = "email"
    OWNER_EMAIL = "owner_email"
    TASK = "task"
    LATE_FEE = "late_fee"


class PolicyChangeKind(StrEnum):
    """What another policy would do to an upcoming action."""

    REMOVED = "-"
    ADDED = "+"
    ALTERED = "~"
