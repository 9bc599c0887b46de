"""Labels: what was agreed with customers, and what they report in the portal."""

from __future__ import annotations

from collections.abc import Mapping

from connector.vocabulary import (
    AgreementChange,
    AgreementKind,
    AgreementState,
    PaymentMethod,
    ResponseKind,
    ResponseState,
)

AGREEMENT_KINDS: dict[str, str] = {
    AgreementKind.PROMISE: "Promise to pay",
    AgreementKind.PAYMENT_PLAN: "Payment plan",
    AgreementKind.DISPUTE: "Dispute",
    AgreementKind.PAUSE: "Paused reminders",
}
AGREEMENT_STATES: dict[str, str] = {
    AgreementState.OPEN: "Open",
    AgreementState.KEPT: "Kept",
    AgreementState.BROKEN: "Broken",
    AgreementState.RESOLVED: "Resolved",
    AgreementState.REPLACED: "Replaced",
    AgreementState.WITHDRAWN: "Withdrawn",
    AgreementState.ENDED: "Ended",
}
AGREEMENT_CHANGES: dict[str, str] = {
    AgreementChange.DISPUTED: "Invoice disputed",
    AgreementChange.DISPUTE_RESOLVED: "Dispute resolved",
    AgreementChange.PROMISED: "Payment promised",
    AgreementChange.PROMISE_WITHDRAWN: "Promise withdrawn",
    AgreementChange.PAYMENT_PLAN_AGREED: "Payment plan agreed",
    AgreementChange.PAYMENT_PLAN_WITHDRAWN: "Payment plan withdrawn",
    AgreementChange.PAUSED: "Reminders paused",
    AgreementChange.RESUMED: "Reminders resumed",
}
RESPONSE_KINDS: dict[str, str] = {
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
RESPONSE_STATES: dict[str, str] = {
    ResponseState.DRAFT: "Draft",
    ResponseState.SENT: "Received",
    ResponseState.UNDONE: "Undone",
}
PAYMENT_METHODS: dict[str, str] = {
    PaymentMethod.NONE: "Not given",
    PaymentMethod.BANK_TRANSFER: "Bank transfer",
    PaymentMethod.CARD: "Card",
    PaymentMethod.DIRECT_DEBIT: "Direct debit",
    PaymentMethod.CHEQUE: "Cheque",
    PaymentMethod.CASH: "Cash",
    PaymentMethod.OTHER: "Another way",
}
VOCABULARIES: dict[str, Mapping[str, str]] = {
    "agreement_change": AGREEMENT_CHANGES,
    "agreement_kind": AGREEMENT_KINDS,
    "agreement_state": AGREEMENT_STATES,
    "payment_method": PAYMENT_METHODS,
    "response_kind": RESPONSE_KINDS,
    "response_state": RESPONSE_STATES,
}
