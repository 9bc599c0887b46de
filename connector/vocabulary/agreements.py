"""What is agreed with a customer about an invoice."""

from __future__ import annotations

from enum import StrEnum


class AgreementKind(StrEnum):
    """What was agreed."""

    PROMISE = "promise"
    PAYMENT_PLAN = "payment_plan"
    DISPUTE = "dispute"
    PAUSE = "pause"


class AgreementState(StrEnum):
    """Where an agreement stands; every state but ``OPEN`` is final, unless what replaced it is undone."""

    OPEN = "open"
    KEPT = "kept"  # paid as promised or planned
    BROKEN = "broken"  # not paid in time
    RESOLVED = "resolved"  # a dispute that was resolved
    REPLACED = "replaced"  # by a newer agreement of the same kind
    WITHDRAWN = "withdrawn"
    ENDED = "ended"  # a pause that is over


class AgreementChange(StrEnum):
    """How an agreement about an invoice was changed, as the log records it."""

    DISPUTED = "disputed"
    DISPUTE_RESOLVED = "dispute_resolved"
    PROMISED = "promised"
    PROMISE_WITHDRAWN = "promise_withdrawn"
    PAYMENT_PLAN_AGREED = "payment_plan_agreed"
    PAYMENT_PLAN_WITHDRAWN = "payment_plan_withdrawn"
    PAUSED = "paused"
    RESUMED = "resumed"
