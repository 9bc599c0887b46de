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
    """Where an agreement stands; every state but ``OPEN`` is final."""

    OPEN = "open"
    KEPT = "kept"  # paid as promised or planned
    BROKEN = "broken"  # not paid in time
    RESOLVED = "resolved"  # a dispute that was resolved
    REPLACED = "replaced"  # by a newer agreement of the same kind
    WITHDRAWN = "withdrawn"
    ENDED = "ended"  # a pause that is over
