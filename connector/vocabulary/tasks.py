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

    # Steps of the reminder schedule; a policy can turn each email into a call
    THANK_YOU = "thank_you"
    WITHHOLDING_CERTIFICATE = "withholding_certificate"
    RECEIPT_CHECK = "receipt_check"
    DISCOUNT_ENDING = "discount_ending"
    BEFORE_DUE = "before_due"
    DUE_TODAY = "due_today"
    PAST_DUE = "past_due"
    NOTIFY_OWNER = "notify_owner"
    CALL = "call"
    SECOND_NOTICE = "second_notice"
    PLAN_OFFER = "plan_offer"
    LATE_FEE = "late_fee"
    ESCALATION_CALL = "escalation_call"
    FINAL_NOTICE = "final_notice"
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
    # Money
    APPLY_CREDIT = "apply_credit"
    BOOK_PAYMENT = "book_payment"
    PAYMENT_NOT_BOOKED = "payment_not_booked"
    PAYMENT_TAKEN_BACK = "payment_taken_back"
    PAYMENT_RETURNED = "payment_returned"
    PROPOSE_WAIVER = "propose_waiver"
    UNPAID_FEE = "unpaid_fee"
    # What customers and email systems report
    REPLY = "reply"
    AUTO_REPLY = "auto_reply"
    REMINDERS_STOPPED = "reminders_stopped"
    PAYMENT_REPORTED = "payment_reported"
    PROMISE_RECEIVED = "promise_received"
    PLAN_REQUESTED = "plan_requested"
    DISPUTE_RECEIVED = "dispute_received"
    CONTACT_CHANGE = "contact_change"
    FILE_RECEIVED = "file_received"
    UNDELIVERED = "undelivered"
    # What went wrong
    REJECTED = "rejected"
    UNREADABLE_DATA = "unreadable_data"


# A customer has one call task, whatever it is about
CALL_CODES = (TaskCode.CALL, TaskCode.ESCALATION_CALL)
# In place of an email, for want of a working address; once there is one, the email is due again.
UNREACHABLE_CODES = (TaskCode.NO_EMAIL_ADDRESS, TaskCode.SUPPRESSED)
