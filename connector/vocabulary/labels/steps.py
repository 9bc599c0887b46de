"""Labels: steps, decisions and what holds them back."""

from __future__ import annotations

from collections.abc import Mapping

from policies.decisions import DecisionKind, HoldCode
from policies.exception_checks import ExceptionCode
from policies.receivables import Step
from policies.schedule import StepKind
from policies.step_tables import Origin

STEPS: dict[str, str] = {
    Step.THANK_YOU: "Thank-you email",
    Step.WITHHOLDING_CERTIFICATE: "Request for the withholding tax certificate",
    Step.RECEIPT_CHECK: "Receipt check",
    Step.DISCOUNT_ENDING: "Early payment discount reminder",
    Step.BEFORE_DUE: "Reminder before the due date",
    Step.DUE_TODAY: "Reminder on the due date",
    Step.PAST_DUE: "First reminder",
    Step.NOTIFY_OWNER: "Account-owner alert",
    Step.CALL: "Call",
    Step.SECOND_NOTICE: "Second notice",
    Step.PLAN_OFFER: "Payment plan offer",
    Step.LATE_FEE: "Late fee",
    Step.ESCALATION_CALL: "Escalation call",
    Step.FINAL_NOTICE: "Final notice",
    Step.PROPOSE_SUSPENSION: "Proposed account suspension",
    Step.HAND_OFF_REVIEW: "Collections or write-off review",
    Step.DISPUTE_RAISED: "Dispute review",
    Step.PROMISE_BROKEN: "Broken promise follow-up",
    Step.PAYMENT_RETURNED: "Returned payment notice",
}
STEP_KINDS: dict[str, str] = {
    StepKind.EMAIL: "Email to the customer",
    StepKind.CALL: "Call",
    StepKind.INTERNAL: "Email to the account owner",
    StepKind.LEDGER: "Entry in your accounting system",
    StepKind.TASK: "Task",
}
DECISION_KINDS: dict[str, str] = {
    DecisionKind.REMINDER: "Reminder",
    DecisionKind.TASK: "Task",
    DecisionKind.FEE: "Late fee",
    DecisionKind.HOLD: "On hold",
    DecisionKind.WAITING: "No step today",
}
HOLD_CODES: dict[str, str] = {
    HoldCode.NOTHING_OWED: "Nothing due",
    HoldCode.ERASED: "Customer data erased",
    HoldCode.STALE_DATA: "Accounting data out of date",
    HoldCode.PAID_AT_BANK: "Money in the bank, not booked yet",
    HoldCode.UNAPPLIED_CREDIT: "Unapplied credit",
    HoldCode.DISPUTED: "Disputed",
    HoldCode.PROMISED: "Promise to pay",
    HoldCode.PAYMENT_PLAN: "Payment plan",
    HoldCode.PAYMENT_RETURNED: "Returned payment",
    HoldCode.PAUSED: "Reminders paused",
    HoldCode.OPTED_OUT: "Customer opted out of emails",
    HoldCode.LEDGER_REMINDERS: "Accounting system sends reminders",
    HoldCode.SUPPRESSED: "Undeliverable email address",
    HoldCode.NO_EMAIL_ADDRESS: "No email address",
    HoldCode.FEE_INVOICE: "Late fee, chased with its invoice",
    HoldCode.BELOW_MINIMUM: "Below the minimum balance",
    HoldCode.WITHHELD: "Withholding tax",
    HoldCode.DRAFT: "Draft",
    HoldCode.NEVER_SENT: "Invoice not sent to the customer",
    HoldCode.NO_DUE_DATE: "No due date",
    HoldCode.FREQUENCY_CAP: "Contact limit reached",
    HoldCode.ALL_STEPS_COMPLETED: "All steps completed",
    HoldCode.NOT_DUE_YET: "Next step not due yet",
}
EXCEPTION_CODES: dict[str, str] = {
    ExceptionCode.UNAPPLIED_MATCH: "Unapplied payment matches an invoice",
    ExceptionCode.PROBABLE_DUPLICATE: "Possible duplicate invoice",
    ExceptionCode.DUE_BEFORE_ISSUE: "Due date before invoice date",
    ExceptionCode.MISSING_EMAIL_ADDRESS: "Missing email address",
    ExceptionCode.INVALID_EMAIL_ADDRESS: "Invalid email address",
    ExceptionCode.UNUSUAL_AMOUNT: "Unusual amount",
    ExceptionCode.UNUSUAL_CURRENCY: "Unusual currency",
    ExceptionCode.LONG_HOLD: "On hold for a long time",
    ExceptionCode.BALANCE_BELOW_INVOICES: "Balance below the open invoices",
    ExceptionCode.BALANCE_ABOVE_INVOICES: "Balance above the open invoices",
    ExceptionCode.UNREADABLE_RECORD: "Unreadable record",
    ExceptionCode.PROBABLE_PLACEHOLDER: "Probable placeholder address",
}
STEP_ORIGINS: dict[str, str] = {
    Origin.ISSUE: "Invoice date",
    Origin.DISCOUNT_END: "End of the discount",
    Origin.DUE: "Due date",
}
VOCABULARIES: dict[str, Mapping[str, str]] = {
    "decision_kind": DECISION_KINDS,
    "exception_code": EXCEPTION_CODES,
    "hold_code": HOLD_CODES,
    "step": STEPS,
    "step_kind": STEP_KINDS,
    "step_origin": STEP_ORIGINS,
}
