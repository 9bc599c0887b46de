"""The labels people read for every kind, state, mode, step and code; raw identifiers reach nobody.

``label`` takes an enum member, or the name of a vocabulary and a stored value:
``label(OutboxState.DONE)`` and ``label("done", "outbox_state")`` are both "Sent". Labels are in sentence case;
``in_sentence`` puts one into running text.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from connector.vocabulary import (
    AccountScheme,
    AgreementChange,
    AgreementKind,
    AgreementState,
    BankDetailsEvent,
    BankDetailsState,
    CallKind,
    CodeKind,
    ConnectionHealth,
    ConnectionMode,
    DeliveryState,
    FeeState,
    LimitWindow,
    LineStatus,
    LogKind,
    MatchCertainty,
    MatchState,
    OutboxKind,
    OutboxState,
    PaymentMethod,
    PolicyChangeKind,
    ReceiptState,
    ReplyKind,
    ResponseKind,
    ResponseState,
    Role,
    RunOutcome,
    StatementFormat,
    TaskCode,
    TaskState,
    TemplateOrigin,
    TimelineKind,
    TokenPurpose,
    TokenScope,
    TokenState,
    UpcomingKind,
    UserState,
)
from policies.agreements import AgreementTask
from policies.decisions import DecisionKind, HoldCode, MoneyTask
from policies.exception_checks import ExceptionCode
from policies.fee_reviews import FeeTask
from policies.fee_rules import FeeApproval, FeeInvoicing, FeeKind, FeePreset, UnpaidFee, WeekendDueDate
from policies.receivables import CreditKind, FeeOutcome, InvoiceStatus, Segment, SettlementKind, Size, Step
from policies.recipients import RecipientRole
from policies.schedule import DUNNING_LEVELS, StepKind
from policies.sections import Language, PlanApproval, Tone
from policies.step_tables import Origin
from providers.phones import PhoneKind

_STEPS: dict[str, str] = {
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
_STEP_KINDS: dict[str, str] = {
    StepKind.EMAIL: "Email to the customer",
    StepKind.CALL: "Call",
    StepKind.INTERNAL: "Email to the account owner",
    StepKind.LEDGER: "Entry in your accounting system",
    StepKind.TASK: "Task",
}
_DECISION_KINDS: dict[str, str] = {
    DecisionKind.REMINDER: "Reminder",
    DecisionKind.TASK: "Task",
    DecisionKind.FEE: "Late fee",
    DecisionKind.HOLD: "On hold",
    DecisionKind.WAITING: "No step today",
}
_SEGMENTS: dict[str, str] = {
    Segment.STRATEGIC: "Strategic",
    Segment.ESTABLISHED: "Established",
    Segment.NEW: "New",
}
_SIZES: dict[str, str] = {Size.LARGE: "Large", Size.MEDIUM: "Medium", Size.SMALL: "Small"}
_INVOICE_STATUSES: dict[str, str] = {
    InvoiceStatus.DRAFT: "Draft",
    InvoiceStatus.OPEN: "Awaiting payment",
    InvoiceStatus.PAID: "Paid",
    InvoiceStatus.VOIDED: "Voided",
    InvoiceStatus.DELETED: "Deleted",
}
_CREDIT_KINDS: dict[str, str] = {
    CreditKind.CREDIT_NOTE: "Credit note",
    CreditKind.PAYMENT: "Payment",
    CreditKind.OVERPAYMENT: "Overpayment",
    CreditKind.PREPAYMENT: "Prepayment",
    CreditKind.BANK_RECEIPT: "Money in the bank",
    CreditKind.LEDGER_BALANCE: "Deposit or journal entry",
}
_SETTLEMENT_KINDS: dict[str, str] = {
    SettlementKind.PAYMENT: "Payment",
    SettlementKind.CREDIT: "Credit note",
    SettlementKind.ADJUSTMENT: "Journal entry",
}
_OUTBOX_KINDS: dict[str, str] = {
    OutboxKind.EMAIL: "Email",
    OutboxKind.OWNER_EMAIL: "Account-owner alert",
    OutboxKind.NOTE: "Note on the invoice",
    OutboxKind.LATE_FEE: "Late fee",
    OutboxKind.FEE_WAIVER: "Late fee waiver",
}
_OUTBOX_STATES: dict[str, str] = {
    OutboxState.PLANNED: "Planned",
    OutboxState.AWAITING_APPROVAL: "Awaiting approval",
    OutboxState.SENDING: "Sending",
    OutboxState.DONE: "Sent",
    OutboxState.REJECTED: "Rejected",
    OutboxState.UNCONFIRMED: "Delivery unconfirmed",
    OutboxState.CANCELLED: "Cancelled",
}
_UPCOMING_KINDS: dict[str, str] = {
    UpcomingKind.EMAIL: "Email",
    UpcomingKind.OWNER_EMAIL: "Account-owner alert",
    UpcomingKind.TASK: "Task",
    UpcomingKind.LATE_FEE: "Late fee",
}
_POLICY_CHANGES: dict[str, str] = {
    PolicyChangeKind.REMOVED: "No longer sent",
    PolicyChangeKind.ADDED: "New",
    PolicyChangeKind.ALTERED: "Changed",
}
_RUN_OUTCOMES: dict[str, str] = {
    RunOutcome.OK: "Completed",
    RunOutcome.DEFERRED: "Deferred",
    RunOutcome.ACTION_REQUIRED: "Action required",
    RunOutcome.FAILED: "Failed",
    RunOutcome.BUSY: "Already running",
}
_CALL_KINDS: dict[str, str] = {
    CallKind.READ: "Reads",
    CallKind.WRITE: "Writes",
    CallKind.EMAIL: "Emails",
    CallKind.EMAIL_READ: "Email status checks",
    CallKind.TOKEN: "Sign-in renewals",
}
_CONNECTION_MODES: dict[str, str] = {
    ConnectionMode.OBSERVE: "Observe",
    ConnectionMode.APPROVE: "Approve",
    ConnectionMode.LIVE: "Live",
}
_CONNECTION_HEALTHS: dict[str, str] = {
    ConnectionHealth.NEW: "New",
    ConnectionHealth.OK: "OK",
    ConnectionHealth.LIMITED: "Rate-limited",
    ConnectionHealth.ACTION_REQUIRED: "Action required",
    ConnectionHealth.FAILING: "Failing",
    ConnectionHealth.AUTHORIZATION_EXPIRED: "Reconnect needed",
    ConnectionHealth.DISCONNECTED: "Disconnected",
}
_BUDGET_WINDOWS: dict[str, str] = {
    LimitWindow.MINUTE: "Per minute",
    LimitWindow.DAY: "Per day",
    LimitWindow.MONTH: "Per month",
    LimitWindow.APP: "Per minute, all companies",
    LimitWindow.CONCURRENT: "At the same time",
}
_AGREEMENT_KINDS: dict[str, str] = {
    AgreementKind.PROMISE: "Promise to pay",
    AgreementKind.PAYMENT_PLAN: "Payment plan",
    AgreementKind.DISPUTE: "Dispute",
    AgreementKind.PAUSE: "Paused reminders",
}
_AGREEMENT_STATES: dict[str, str] = {
    AgreementState.OPEN: "Open",
    AgreementState.KEPT: "Kept",
    AgreementState.BROKEN: "Broken",
    AgreementState.RESOLVED: "Resolved",
    AgreementState.REPLACED: "Replaced",
    AgreementState.WITHDRAWN: "Withdrawn",
    AgreementState.ENDED: "Ended",
}
_AGREEMENT_CHANGES: dict[str, str] = {
    AgreementChange.DISPUTED: "Invoice disputed",
    AgreementChange.DISPUTE_RESOLVED: "Dispute resolved",
    AgreementChange.PROMISED: "Payment promised",
    AgreementChange.PROMISE_WITHDRAWN: "Promise withdrawn",
    AgreementChange.PAYMENT_PLAN_AGREED: "Payment plan agreed",
    AgreementChange.PAYMENT_PLAN_WITHDRAWN: "Payment plan withdrawn",
    AgreementChange.PAUSED: "Reminders paused",
    AgreementChange.RESUMED: "Reminders resumed",
}
_TASK_STATES: dict[str, str] = {
    TaskState.OPEN: "Open",
    TaskState.DONE: "Completed",
    TaskState.CANCELLED: "Cancelled",
}
_TASK_CODES: dict[str, str] = {
    **{TaskCode(step): text for step, text in _STEPS.items()},
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
_AGREEMENT_TASKS: dict[str, str] = {code: _TASK_CODES[code] for code in AgreementTask}
_FEE_TASKS: dict[str, str] = {code: _TASK_CODES[code] for code in FeeTask}
_MONEY_TASKS: dict[str, str] = {code: _TASK_CODES[code] for code in MoneyTask}
_TEMPLATE_ORIGINS: dict[str, str] = {TemplateOrigin.CUSTOM: "Custom", TemplateOrigin.DEFAULT: "Default"}
_LOG_KINDS: dict[str, str] = {
    LogKind.RUN_STARTED: "Sync started",
    LogKind.RUN_ENDED: "Sync ended",
    LogKind.ORGANISATION: "Company details read",
    LogKind.PULLED: "Changes read",
    LogKind.RECONCILED: "Compared with the accounting system",
    LogKind.DRIFT: "Differences corrected",
    LogKind.MALFORMED: "Unreadable record",
    LogKind.WEBHOOK: "Change notification received",
    LogKind.WARNING: "Warning",
    LogKind.ERROR: "Error",
    LogKind.DECIDED: "Decision",
    LogKind.PLANNED: "Planned",
    LogKind.CANCELLED: "Cancelled",
    LogKind.DRY_RUN: "Dry run",
    LogKind.EXCEPTION: "Exception found",
    LogKind.EXCEPTION_RESOLVED: "Exception marked as correct",
    LogKind.SENDING: "Sending",
    LogKind.EMAILED: "Email sent",
    LogKind.OWNER_NOTIFIED: "Account owner notified",
    LogKind.NOTED: "Note added to an invoice",
    LogKind.CHARGED: "Late fee charged",
    LogKind.WAIVER_REQUESTED: "Late fee waiver requested",
    LogKind.WAIVED: "Late fee waived",
    LogKind.PROVIDER_REJECTED: "Rejected by a connected service",
    LogKind.UNCONFIRMED: "Delivery unconfirmed",
    LogKind.UNDELIVERED: "Email not delivered",
    LogKind.SUPPRESSED: "Address suppressed",
    LogKind.APPROVAL_REQUESTED: "Approval requested",
    LogKind.APPROVED: "Approved",
    LogKind.REJECTED: "Rejected",
    LogKind.DECISION_UNDONE: "Approval or rejection undone",
    LogKind.RESOLVED: "Delivery confirmed or denied",
    LogKind.EMAIL_EDITED: "Email edited",
    LogKind.TASK: "Task created",
    LogKind.TASK_ASSIGNED: "Task assigned",
    LogKind.TASK_OUTCOME: "Task outcome",
    LogKind.TASK_REOPENED: "Task reopened",
    LogKind.AGREEMENT: "Agreement ended",
    LogKind.STATEMENT_IMPORTED: "Bank statement imported",
    LogKind.BANK_MATCH: "Money in the bank",
    LogKind.BANK_MATCH_DECIDED: "Bank match decided",
    LogKind.CUSTOMER_UPDATED: "Customer settings changed",
    LogKind.INVOICE_UPDATED: "Agreement recorded",
    LogKind.REPLY: "Customer reply",
    LogKind.AUTO_REPLY: "Automatic reply",
    LogKind.PORTAL_LINK: "Customer portal link",
    LogKind.CONNECTED: "Company connected",
    LogKind.DISCONNECTED: "Company disconnected",
    LogKind.AUTHORIZATION_EXPIRED: "Authorisation expired",
    LogKind.MAILBOX_CONNECTED: "Mailbox connected",
    LogKind.MAILBOX_DISCONNECTED: "Mailbox disconnected",
    LogKind.MAILBOX_EXPIRED: "Mailbox must be connected again",
    LogKind.MODE: "Mode changed",
    LogKind.PAUSED: "Company paused",
    LogKind.RESUMED: "Company resumed",
    LogKind.DEFAULT_OWNER: "Default account owner changed",
    LogKind.FEE_POSTING: "Late fee posting changed",
    LogKind.POLICY_SET: "Policy changed",
    LogKind.BRAND_SET: "Brand changed",
    LogKind.BANK_DETAILS: "Bank details changed",
    LogKind.BACKUP: "Backup",
    LogKind.RESTORED: "Restored or moved",
    LogKind.KEYS_ROTATED: "Encryption keys rotated",
    LogKind.WEBHOOK_CREATED: "Webhook created",
    LogKind.WEBHOOK_REMOVED: "Webhook removed",
    LogKind.WEBHOOK_STOPPED: "Webhook stopped",
    LogKind.WEBHOOK_TESTED: "Webhook tested",
    LogKind.USER_ADDED: "User added",
    LogKind.USER_CHANGED: "User changed",
    LogKind.USER_DISABLED: "User disabled",
    LogKind.USER_RESET: "User reset",
    LogKind.PASSWORD_SET: "Password set",
    LogKind.PASSKEY_ADDED: "Passkey added",
    LogKind.PASSKEY_REMOVED: "Passkey removed",
    LogKind.PASSKEY_REQUIREMENT: "Passkey requirement changed",
    LogKind.SIGNED_OUT: "Signed out",
    LogKind.TOKEN_CREATED: "API token created",
    LogKind.TOKEN_REVOKED: "API token revoked",
    LogKind.ERASED: "Personal data erased",
    LogKind.ERASURE_UNDONE: "Erasure undone",
    LogKind.ERASED_CUSTOMER_SEEN: "Update of an erased customer ignored",
    LogKind.EXPORTED: "Personal data exported",
    LogKind.RETENTION: "Retention periods changed",
    LogKind.PRUNED: "Old data deleted",
}
_REPLY_KINDS: dict[str, str] = {ReplyKind.REPLY: "Reply", ReplyKind.AUTO_REPLY: "Automatic reply"}
_TOKEN_PURPOSES: dict[str, str] = {
    TokenPurpose.STOP: "Unsubscribe link",
    TokenPurpose.EMAIL_STOP: "Link that stops one email",
    TokenPurpose.REPLY: "Reply address",
    TokenPurpose.PORTAL: "Customer portal link",
}
_DELIVERY_STATES: dict[str, str] = {
    DeliveryState.PENDING: "Pending",
    DeliveryState.DONE: "Delivered",
    DeliveryState.ABANDONED: "Failed",
}
_TIMELINE_KINDS: dict[str, str] = {
    TimelineKind.ISSUED: "Invoice",
    TimelineKind.APPLIED: "Payment or credit applied",
    TimelineKind.PAYMENT: "Payment",
    TimelineKind.CREDIT: "Credit",
    TimelineKind.CLOSED: "Closed",
    TimelineKind.DECISION: "Decision",
    TimelineKind.AGREEMENT: "Agreement",
    TimelineKind.TASK: "Task",
    TimelineKind.EMAIL: "Email",
    TimelineKind.OWNER_EMAIL: "Account-owner alert",
    TimelineKind.NOTE: "Note on the invoice",
    TimelineKind.LATE_FEE: "Late fee",
    TimelineKind.FEE_WAIVER: "Late fee waiver",
    TimelineKind.SETTINGS: "Customer settings",
    TimelineKind.PORTAL_LINK: "Customer portal link",
    TimelineKind.UNDELIVERED: "Email not delivered",
    TimelineKind.EDITED: "Email edited",
    TimelineKind.REJECTED: "Rejected",
}
_ROLES: dict[str, str] = {Role.VIEWER: "Viewer", Role.BOOKKEEPER: "Bookkeeper", Role.OWNER: "Owner"}
_TOKEN_SCOPES: dict[str, str] = {
    TokenScope.READ: "Read",
    TokenScope.WRITE: "Read and write",
    TokenScope.ADMIN: "Administer",
}
_TOKEN_STATES: dict[str, str] = {
    TokenState.ACTIVE: "Active",
    TokenState.EXPIRED: "Expired",
    TokenState.REVOKED: "Revoked",
}
_USER_STATES: dict[str, str] = {
    UserState.INVITED: "Invited",
    UserState.ACTIVE: "Active",
    UserState.DISABLED: "Disabled",
}
_HOLD_CODES: dict[str, str] = {
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
_EXCEPTION_CODES: dict[str, str] = {
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
_EMAIL_STATUSES = {
    "processed": "Accepted",
    "deferred": "Deferred",
    "delivered": "Delivered",
    "open": "Opened",
    "click": "Link clicked",
    "blocked": "Blocked",
    "bounce": "Bounced",
    "dropped": "Dropped",
    "spamreport": "Reported as spam",
    "unsubscribe": "Unsubscribed",
    "resubscribed": "Subscribed again",
}
_PHONE_KINDS: dict[str, str] = {
    PhoneKind.DIRECT: "Direct",
    PhoneKind.PHONE: "Telephone",
    PhoneKind.MOBILE: "Mobile",
    PhoneKind.OTHER: "Other telephone",
}
_FEE_PRESETS: dict[str, str] = {
    FeePreset.NONE: "None",
    FeePreset.UK: "United Kingdom",
    FeePreset.EU: "European Union",
    FeePreset.GERMANY: "Germany",
    FeePreset.FRANCE: "France",
    FeePreset.US: "United States",
    FeePreset.CANADA: "Canada",
    FeePreset.AUSTRALIA: "Australia",
    FeePreset.NEW_ZEALAND: "New Zealand",
    FeePreset.IRELAND: "Ireland",
    FeePreset.NETHERLANDS: "Netherlands",
    FeePreset.AUSTRIA: "Austria",
    FeePreset.BELGIUM: "Belgium",
    FeePreset.SPAIN: "Spain",
    FeePreset.SWITZERLAND: "Switzerland",
}
_FEE_KINDS: dict[str, str] = {
    FeeKind.FLAT: "Flat fee",
    FeeKind.PERCENT: "Percentage, charged once",
    FeeKind.PERCENT_PER_MONTH: "Percentage per month",
    FeeKind.ANNUAL: "Annual interest",
}
_FEE_APPROVALS: dict[str, str] = {FeeApproval.PERSON: "A user", FeeApproval.AUTOMATIC: "Automatic"}
_FEE_INVOICINGS: dict[str, str] = {FeeInvoicing.PER_FEE: "One invoice per fee", FeeInvoicing.MONTHLY: "Monthly invoice"}
_WEEKEND_DUE_DATES: dict[str, str] = {
    WeekendDueDate.STAYS: "Due on that day",
    WeekendDueDate.NEXT_BUSINESS_DAY: "Payable on the next business day",
}
_UNPAID_FEES: dict[str, str] = {UnpaidFee.TASK: "Create a task", UnpaidFee.CHASE: "Chase it like an invoice"}
_FEE_OUTCOMES: dict[str, str] = {FeeOutcome.WAIVED: "Waived", FeeOutcome.PAID: "Paid"}
_FEE_STATES: dict[str, str] = {
    FeeState.DRAFT: "Draft",
    FeeState.APPROVED: "Approved",
    FeeState.SENDING: "Sending",
    FeeState.POSTED: "Posted",
    FeeState.WAIVER_REQUESTED: "Waiver requested",
    FeeState.WAIVED: "Waived",
    FeeState.REJECTED: "Rejected",
    FeeState.UNCONFIRMED: "Delivery unconfirmed",
    FeeState.CANCELLED: "Cancelled",
}
_CUSTOMER_SETTINGS = {
    "segment": "Segment",
    "hold_until_on": "On hold until",
    "no_reminders": "No email reminders",
    "no_fees": "No late fees",
    "fees_agreed_on": "Late fees agreed on",
    "emails": "Email addresses",
    "stopped_emails": "No reminders to",
    "contact_name": "Contact",
    "phone": "Telephone",
    "language": "Language",
    "owner": "Account owner",
    "sales_rep": "Sales rep",
    "second_contact": "Second contact",
    "tags": "Tags",
    "withholding_percent": "Withholding tax in percent",
    "suppression_reason": "Undeliverable",
}
_TONES: dict[str, str] = {Tone.GENTLE: "Gentle", Tone.STANDARD: "Standard", Tone.FIRM: "Firm"}
_STEP_ORIGINS: dict[str, str] = {
    Origin.ISSUE: "Invoice date",
    Origin.DISCOUNT_END: "End of the discount",
    Origin.DUE: "Due date",
}
_ACCOUNT_SCHEMES: dict[str, str] = {
    AccountScheme.IBAN: "IBAN",
    AccountScheme.UK: "Sort code and account number",
    AccountScheme.US: "Routing number and account number",
    AccountScheme.AUSTRALIA: "BSB and account number",
}
_CODE_KINDS: dict[str, str] = {
    CodeKind.EPC: "EPC QR code",
    CodeKind.SWISS: "Swiss QR-bill code",
}
_BANK_DETAILS_EVENTS: dict[str, str] = {
    BankDetailsEvent.ENTERED: "Entered",
    BankDetailsEvent.CONFIRMED: "Confirmed",
    BankDetailsEvent.CANCELLED: "Cancelled",
}
_BANK_DETAILS_STATES: dict[str, str] = {
    BankDetailsState.IN_USE: "In use",
    BankDetailsState.WAITING: "Not in use yet",
}
_RECIPIENT_ROLES: dict[str, str] = {
    RecipientRole.CUSTOMER: "Customer's address",
    RecipientRole.INVOICE: "Address on the invoice",
    RecipientRole.INVOICE_COPY: "Copy on the invoice",
    RecipientRole.SECOND_CONTACT: "Second contact",
    RecipientRole.OWNER: "Account owner",
    RecipientRole.SALES_REP: "Sales rep",
}
_DIGEST_LANGUAGES: dict[str, str] = {
    Language.OF_COMPANY: "Language of the company",
    Language.ENGLISH: "English",
    Language.GERMAN: "German",
    Language.FRENCH: "French",
    Language.SPANISH: "Spanish",
    Language.DUTCH: "Dutch",
    Language.ITALIAN: "Italian",
    Language.PORTUGUESE: "Portuguese (Portugal)",
}
_PLAN_APPROVALS: dict[str, str] = {
    PlanApproval.OFF: "Not offered",
    PlanApproval.PERSON: "A user decides",
    PlanApproval.AUTOMATIC: "Automatic",
}
_POLICY_CHOICES: dict[str, str] = {
    **_TONES,
    **_FEE_PRESETS,
    **_FEE_KINDS,
    **_WEEKEND_DUE_DATES,
    **_PLAN_APPROVALS,
    **_FEE_APPROVALS,
    **_FEE_INVOICINGS,
    **_UNPAID_FEES,
    RecipientRole.OWNER: "Account owner",
    RecipientRole.SALES_REP: "Sales rep",
    "off": "Off",
    **{step: _STEPS[step] for step in DUNNING_LEVELS},
    "mon": "Monday",
    "tue": "Tuesday",
    "wed": "Wednesday",
    "thu": "Thursday",
    "fri": "Friday",
    "sat": "Saturday",
    "sun": "Sunday",
}
_RESPONSE_KINDS: dict[str, str] = {
    ResponseKind.PAID: "Payment reported",
    ResponseKind.PROMISE: "Promise to pay",
    ResponseKind.PLAN: "Payment plan request",
    ResponseKind.DISPUTE: "Dispute",
    ResponseKind.WITHDRAW: "Taken back",
    ResponseKind.FILE: "File",
    ResponseKind.CONTACT: "New contact",
    ResponseKind.LANGUAGE: "Language",
    ResponseKind.STOP: "Reminders stopped",
}
_RESPONSE_STATES: dict[str, str] = {
    ResponseState.DRAFT: "Draft",
    ResponseState.SENT: "Received",
    ResponseState.UNDONE: "Undone",
}
_PAYMENT_METHODS: dict[str, str] = {
    PaymentMethod.NONE: "Not given",
    PaymentMethod.BANK_TRANSFER: "Bank transfer",
    PaymentMethod.CARD: "Card",
    PaymentMethod.DIRECT_DEBIT: "Direct debit",
    PaymentMethod.CHEQUE: "Cheque",
    PaymentMethod.CASH: "Cash",
    PaymentMethod.OTHER: "Another way",
}
_RETENTION_KINDS = {
    "raw": "Unreadable records",
    "decisions": "Facts of decisions",
    "emails": "Emails",
    "tasks": "Tasks",
    "bank-lines": "Bank statement lines",
    "portal": "Customer portal",
    "sign-ins": "Sign-ins",
    "log": "Log texts",
}
_PROVIDERS = {
    "xero": "Xero",
    "quickbooks": "QuickBooks Online",
    "sendgrid": "SendGrid",
    "microsoft365": "Microsoft 365",
    "gmail": "Gmail",
    "smtp": "SMTP",
}

# By the names that templates and tables use: a closed set of values, and the label of each
_STATEMENT_FORMATS: dict[str, str] = {
    StatementFormat.CAMT: "ISO 20022 (camt.053, camt.054)",
    StatementFormat.MT940: "MT940",
    StatementFormat.OFX: "OFX or QFX",
    StatementFormat.BAI2: "BAI2",
    StatementFormat.CSV: "CSV",
}
_LINE_STATUSES: dict[str, str] = {
    LineStatus.BOOKED: "Booked by the bank",
    LineStatus.PENDING: "Not booked by the bank yet",
    LineStatus.REVERSAL: "Taken back by the bank",
}
_RECEIPT_STATES: dict[str, str] = {
    ReceiptState.UNMATCHED: "No invoice found",
    ReceiptState.MATCHED: "Matched with an invoice",
    ReceiptState.IN_LEDGER: "In the accounting system",
    ReceiptState.REVERSED: "Taken back by the bank",
    ReceiptState.SET_ASIDE: "Not from a customer",
}
_MATCH_CERTAINTIES: dict[str, str] = {MatchCertainty.SURE: "Sure", MatchCertainty.PROBABLE: "Probable"}
_MATCH_STATES: dict[str, str] = {
    MatchState.OPEN: "Not booked yet",
    MatchState.CONFIRMED: "Confirmed, not booked yet",
    MatchState.REJECTED: "Rejected",
    MatchState.IN_LEDGER: "In the accounting system",
    MatchState.ENDED: "Ended",
}
_VOCABULARIES: dict[str, Mapping[str, str]] = {
    "account_scheme": _ACCOUNT_SCHEMES,
    "agreement_change": _AGREEMENT_CHANGES,
    "agreement_kind": _AGREEMENT_KINDS,
    "agreement_state": _AGREEMENT_STATES,
    "agreement_task": _AGREEMENT_TASKS,
    "bank_details_event": _BANK_DETAILS_EVENTS,
    "bank_details_state": _BANK_DETAILS_STATES,
    "budget_window": _BUDGET_WINDOWS,
    "call_kind": _CALL_KINDS,
    "code_kind": _CODE_KINDS,
    "connection_health": _CONNECTION_HEALTHS,
    "connection_mode": _CONNECTION_MODES,
    "credit_kind": _CREDIT_KINDS,
    "customer_setting": _CUSTOMER_SETTINGS,
    "line_status": _LINE_STATUSES,
    "match_certainty": _MATCH_CERTAINTIES,
    "match_state": _MATCH_STATES,
    "receipt_state": _RECEIPT_STATES,
    "statement_format": _STATEMENT_FORMATS,
    "decision_kind": _DECISION_KINDS,
    "decision_code": {**_HOLD_CODES, **_TASK_CODES, **_STEPS, "decision_failed": "No decision possible"},
    "delivery_state": _DELIVERY_STATES,
    "digest_language": _DIGEST_LANGUAGES,
    "email_status": _EMAIL_STATUSES,
    "exception_code": _EXCEPTION_CODES,
    "fee_approval": _FEE_APPROVALS,
    "fee_invoicing": _FEE_INVOICINGS,
    "fee_kind": _FEE_KINDS,
    "weekend_due_date": _WEEKEND_DUE_DATES,
    "fee_outcome": _FEE_OUTCOMES,
    "fee_preset": _FEE_PRESETS,
    "fee_state": _FEE_STATES,
    "fee_task": _FEE_TASKS,
    "hold_code": _HOLD_CODES,
    "invoice_status": _INVOICE_STATUSES,
    "log_kind": _LOG_KINDS,
    "payment_method": _PAYMENT_METHODS,
    "phone_kind": _PHONE_KINDS,
    "plan_approval": _PLAN_APPROVALS,
    "money_task": _MONEY_TASKS,
    "outbox_kind": _OUTBOX_KINDS,
    "outbox_state": _OUTBOX_STATES,
    "planned_action": {**_OUTBOX_KINDS, **_TASK_CODES, **_STEPS},
    "policy_change": _POLICY_CHANGES,
    "policy_choice": _POLICY_CHOICES,
    "provider": _PROVIDERS,
    "recipient_role": _RECIPIENT_ROLES,
    "reply_kind": _REPLY_KINDS,
    "response_kind": _RESPONSE_KINDS,
    "response_state": _RESPONSE_STATES,
    "retention_kind": _RETENTION_KINDS,
    "role": _ROLES,
    "run_outcome": _RUN_OUTCOMES,
    "segment": _SEGMENTS,
    "settlement_kind": _SETTLEMENT_KINDS,
    "size": _SIZES,
    "step": _STEPS,
    "step_kind": _STEP_KINDS,
    "step_origin": _STEP_ORIGINS,
    "template_origin": _TEMPLATE_ORIGINS,
    "task_code": {**_STEPS, **_TASK_CODES},
    "task_state": _TASK_STATES,
    "timeline_kind": _TIMELINE_KINDS,
    "token_purpose": _TOKEN_PURPOSES,
    "token_scope": _TOKEN_SCOPES,
    "token_state": _TOKEN_STATES,
    "tone": _TONES,
    "user_state": _USER_STATES,
    "unpaid_fee": _UNPAID_FEES,
    "upcoming_kind": _UPCOMING_KINDS,
}
_BY_ENUM: dict[type[str], Mapping[str, str]] = {
    type(next(iter(labels))): labels
    for labels in (*_VOCABULARIES.values(), _TASK_CODES)
    if len({type(value) for value in labels}) == 1 and isinstance(next(iter(labels)), StrEnum)
}


def label(value: StrEnum | str, vocabulary: str = "") -> str:
    """Return the label of an enum member, or of a stored value of a vocabulary; "" stays "".

    Raises:
        KeyError: the value has no label. ``tests/connector/vocabulary/test_labels.py`` walks every enum.

    """
    if vocabulary:
        labels = _VOCABULARIES[vocabulary]
        return labels[value] if value or value in labels else ""
    if not isinstance(value, StrEnum):
        message = f"{value!r} is not an enum member: name its vocabulary"
        raise TypeError(message)
    return _BY_ENUM[type(value)][value]


def provider_name(name: str) -> str:
    """Return the label of a service that can be connected; of one that a plug-in adds, its own name."""
    return _VOCABULARIES["provider"].get(name, name)


def in_sentence(text: str) -> str:
    """Return a label as it stands inside a sentence: ``Late fee`` becomes ``late fee``; abbreviations stay."""
    return text if text[:2].isupper() else text[:1].lower() + text[1:]


def vocabularies() -> Mapping[str, Mapping[str, str]]:
    """Return every vocabulary by name, each with the labels of its values."""
    return _VOCABULARIES
