"""Labels: tasks for people."""

from __future__ import annotations

from collections.abc import Mapping

from connector.vocabulary import TaskCode, TaskState
from connector.vocabulary.labels.steps import STEPS
from policies.agreements import AgreementTask
from policies.decisions import MoneyTask
from policies.fee_reviews import FeeTask

TASK_STATES: dict[str, str] = {
    TaskState.OPEN: "Open",
    TaskState.DONE: "Completed",
    TaskState.CANCELLED: "Cancelled",
}
TASK_CODES: dict[str, str] = {
    **{TaskCode(step): text for step, text in STEPS.items()},
    TaskCode.NO_EMAIL_ADDRESS: "Missing email address",
    TaskCode.SUPPRESSED: "Undeliverable email address",
    TaskCode.OPTED_OUT: "Customer opted out of emails",
    TaskCode.DISPUTE_RAISED: "Dispute raised",
    TaskCode.DISPUTE_REVIEW: "Dispute review",
    TaskCode.PROMISE_BROKEN: "Broken promise to pay",
    TaskCode.PAYMENT_RETURNED: "Returned payment",
    TaskCode.PROPOSE_WAIVER: "Proposed late fee waiver",
    TaskCode.UNPAID_FEE: "Unpaid late fee",
    TaskCode.PLAN_BROKEN: "Broken payment plan",
    TaskCode.APPLY_CREDIT: "Apply credit",
    TaskCode.BOOK_PAYMENT: "Book a payment",
    TaskCode.PAYMENT_NOT_BOOKED: "Payment not booked for days",
    TaskCode.PAYMENT_TAKEN_BACK: "Payment taken back by the bank",
    TaskCode.AUTO_REPLY: "Automatic reply",
    TaskCode.REPLY: "Customer reply",
    TaskCode.REMINDERS_STOPPED: "Customer stopped reminders",
    TaskCode.PAYMENT_REPORTED: "Payment reported",
    TaskCode.PROMISE_RECEIVED: "Promise to pay received",
    TaskCode.PLAN_REQUESTED: "Payment plan requested",
    TaskCode.DISPUTE_RECEIVED: "Dispute received",
    TaskCode.CONTACT_CHANGE: "Change of contact",
    TaskCode.FILE_RECEIVED: "File received",
    TaskCode.UNDELIVERED: "Email not delivered",
    TaskCode.REJECTED: "Rejected by a connected service",
    TaskCode.UNREADABLE_DATA: "Unreadable customer data",
}
AGREEMENT_TASKS: dict[str, str] = {code: TASK_CODES[code] for code in AgreementTask}
FEE_TASKS: dict[str, str] = {code: TASK_CODES[code] for code in FeeTask}
MONEY_TASKS: dict[str, str] = {code: TASK_CODES[code] for code in MoneyTask}
VOCABULARIES: dict[str, Mapping[str, str]] = {
    "agreement_task": AGREEMENT_TASKS,
    "fee_task": FEE_TASKS,
    "money_task": MONEY_TASKS,
    "task_state": TASK_STATES,
}
