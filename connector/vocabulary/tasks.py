"""The work that is left to people."""

from __future__ import annotations

from enum import StrEnum


class TaskState(StrEnum):
    """Where a task stands."""

    OPEN = "open"
    DONE = "done"
    CANCELLED = "cancelled"  # nothing is due any more


class TaskCode(StrEnum):
    """Why a task was created."""

    # Steps of the reminder schedule that people take
    CALL = "call"
    ESCALATION_CALL = "escalation_call"
    PROPOSE_SUSPENSION = "propose_suspension"
    HAND_OFF_REVIEW = "hand_off_review"
    # A reminder that cannot be emailed
    NO_EMAIL_ADDRESS = "no_email_address"
    SUPPRESSED = "suppressed"
    OPTED_OUT = "opted_out"
    # Agreements
    DISPUTE_RAISED = "dispute_raised"
    DISPUTE_REVIEW = "dispute_review"
    PROMISE_BROKEN = "promise_broken"
    PLAN_BROKEN = "plan_broken"
    # What customers and email systems report
    REPLY = "reply"
    REMINDERS_STOPPED = "reminders_stopped"
    PAYMENT_REPORTED = "payment_reported"
    PROMISE_RECEIVED = "promise_received"
    DISPUTE_RECEIVED = "dispute_received"
    CONTACT_CHANGE = "contact_change"
    UNDELIVERED = "undelivered"
    # What went wrong
    REJECTED = "rejected"
    UNREADABLE_DATA = "unreadable_data"
