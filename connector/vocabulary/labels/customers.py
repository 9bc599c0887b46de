"""Labels: customers: what is known of them and set for them, and their invoices and payments."""

from __future__ import annotations

from collections.abc import Mapping

from policies.receivables import CreditKind, InvoiceStatus, Segment, SettlementKind, Size
from policies.recipients import RecipientRole
from providers.phones import PhoneKind

SEGMENTS: dict[str, str] = {
    Segment.STRATEGIC: "Strategic",
    Segment.ESTABLISHED: "Established",
    Segment.NEW: "New",
}
SIZES: dict[str, str] = {Size.LARGE: "Large", Size.MEDIUM: "Medium", Size.SMALL: "Small"}
INVOICE_STATUSES: dict[str, str] = {
    InvoiceStatus.DRAFT: "Draft",
    InvoiceStatus.OPEN: "Awaiting payment",
    InvoiceStatus.PAID: "Paid",
    InvoiceStatus.VOIDED: "Voided",
    InvoiceStatus.DELETED: "Deleted",
}
CREDIT_KINDS: dict[str, str] = {
    CreditKind.CREDIT_NOTE: "Credit note",
    CreditKind.PAYMENT: "Payment",
    CreditKind.OVERPAYMENT: "Overpayment",
    CreditKind.PREPAYMENT: "Prepayment",
    CreditKind.BANK_RECEIPT: "Money in the bank",
    CreditKind.LEDGER_BALANCE: "Deposit or journal entry",
}
SETTLEMENT_KINDS: dict[str, str] = {
    SettlementKind.PAYMENT: "Payment",
    SettlementKind.CREDIT: "Credit note",
    SettlementKind.ADJUSTMENT: "Journal entry",
}
PHONE_KINDS: dict[str, str] = {
    PhoneKind.DIRECT: "Direct",
    PhoneKind.PHONE: "Telephone",
    PhoneKind.MOBILE: "Mobile",
    PhoneKind.OTHER: "Other telephone",
}
CUSTOMER_SETTINGS = {
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
RECIPIENT_ROLES: dict[str, str] = {
    RecipientRole.CUSTOMER: "Customer's address",
    RecipientRole.INVOICE: "Address on the invoice",
    RecipientRole.INVOICE_COPY: "Copy on the invoice",
    RecipientRole.SECOND_CONTACT: "Second contact",
    RecipientRole.OWNER: "Account owner",
    RecipientRole.SALES_REP: "Sales rep",
}
RETENTION_KINDS = {
    "raw": "Unreadable records",
    "decisions": "Facts of decisions",
    "emails": "Emails",
    "tasks": "Tasks",
    "bank-lines": "Bank statement lines",
    "portal": "Customer portal",
    "sign-ins": "Sign-ins",
    "log": "Log texts",
}
VOCABULARIES: dict[str, Mapping[str, str]] = {
    "credit_kind": CREDIT_KINDS,
    "customer_setting": CUSTOMER_SETTINGS,
    "invoice_status": INVOICE_STATUSES,
    "phone_kind": PHONE_KINDS,
    "recipient_role": RECIPIENT_ROLES,
    "retention_kind": RETENTION_KINDS,
    "segment": SEGMENTS,
    "settlement_kind": SETTLEMENT_KINDS,
    "size": SIZES,
}
