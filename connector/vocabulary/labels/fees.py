"""Labels: late fees: presets, kinds and states."""

from __future__ import annotations

from collections.abc import Mapping

from connector.vocabulary import FeeState
from policies.fee_rules import FeeApproval, FeeInvoicing, FeeKind, FeePreset, UnpaidFee, WeekendDueDate
from policies.receivables import FeeOutcome

FEE_PRESETS: dict[str, str] = {
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
FEE_KINDS: dict[str, str] = {
    FeeKind.FLAT: "Flat fee",
    FeeKind.PERCENT: "Percentage, charged once",
    FeeKind.PERCENT_PER_MONTH: "Percentage per month",
    FeeKind.ANNUAL: "Annual interest",
}
FEE_APPROVALS: dict[str, str] = {FeeApproval.PERSON: "A user", FeeApproval.AUTOMATIC: "Automatic"}
FEE_INVOICINGS: dict[str, str] = {FeeInvoicing.PER_FEE: "One invoice per fee", FeeInvoicing.MONTHLY: "Monthly invoice"}
WEEKEND_DUE_DATES: dict[str, str] = {
    WeekendDueDate.STAYS: "Due on that day",
    WeekendDueDate.NEXT_BUSINESS_DAY: "Payable on the next business day",
}
UNPAID_FEES: dict[str, str] = {UnpaidFee.TASK: "Create a task", UnpaidFee.CHASE: "Chase it like an invoice"}
FEE_OUTCOMES: dict[str, str] = {FeeOutcome.WAIVED: "Waived", FeeOutcome.PAID: "Paid"}
FEE_STATES: dict[str, str] = {
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
VOCABULARIES: dict[str, Mapping[str, str]] = {
    "fee_approval": FEE_APPROVALS,
    "fee_invoicing": FEE_INVOICINGS,
    "fee_kind": FEE_KINDS,
    "weekend_due_date": WEEKEND_DUE_DATES,
    "fee_outcome": FEE_OUTCOMES,
    "fee_preset": FEE_PRESETS,
    "fee_state": FEE_STATES,
    "unpaid_fee": UNPAID_FEES,
}
