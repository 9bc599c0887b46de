"""How events reach the webhooks of other programs."""

from __future__ import annotations

from enum import StrEnum


class DeliveryState(StrEnum):
    """How far the delivery of an event to a webhook has come."""

    PENDING = "pending"
    DONE = "done"
    ABANDONED = "abandoned"  # after the last attempt
