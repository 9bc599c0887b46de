"""Labels: bank statements, and the accounts that customers pay into."""

from __future__ import annotations

from collections.abc import Mapping

from connector.vocabulary import (
    AccountScheme,
    BankDetailsEvent,
    BankDetailsState,
    CodeKind,
    LineStatus,
    MatchCertainty,
    MatchState,
    ReceiptState,
    StatementFormat,
)

ACCOUNT_SCHEMES: dict[str, str] = {
    AccountScheme.IBAN: "IBAN",
    AccountScheme.UK: "Sort code and account number",
    AccountScheme.US: "Routing number and account number",
    AccountScheme.AUSTRALIA: "BSB and account number",
}
CODE_KINDS: dict[str, str] = {
    CodeKind.EPC: "EPC QR code",
    CodeKind.SWISS: "Swiss QR-bill code",
}
BANK_DETAILS_EVENTS: dict[str, str] = {
    BankDetailsEvent.ENTERED: "Entered",
    BankDetailsEvent.CONFIRMED: "Confirmed",
    BankDetailsEvent.CANCELLED: "Cancelled",
}
BANK_DETAILS_STATES: dict[str, str] = {
    BankDetailsState.IN_USE: "In use",
    BankDetailsState.WAITING: "Not in use yet",
}
# By the names that templates and tables use: a closed set of values, and the label of each
STATEMENT_FORMATS: dict[str, str] = {
    StatementFormat.CAMT: "ISO 20022 (camt.053, camt.054)",
    StatementFormat.MT940: "MT940",
    StatementFormat.OFX: "OFX or QFX",
    StatementFormat.BAI2: "BAI2",
    StatementFormat.CSV: "CSV",
    StatementFormat.LEDGER: "Deposit in the accounting system",
}
LINE_STATUSES: dict[str, str] = {
    LineStatus.BOOKED: "Booked by the bank",
    LineStatus.PENDING: "Not booked by the bank yet",
    LineStatus.REVERSAL: "Taken back by the bank",
}
RECEIPT_STATES: dict[str, str] = {
    ReceiptState.UNMATCHED: "No invoice found",
    ReceiptState.MATCHED: "Matched with an invoice",
    ReceiptState.IN_LEDGER: "In the accounting system",
    ReceiptState.REVERSED: "Taken back by the bank",
    ReceiptState.SET_ASIDE: "Not from a customer",
}
MATCH_CERTAINTIES: dict[str, str] = {MatchCertainty.SURE: "Sure", MatchCertainty.PROBABLE: "Probable"}
MATCH_STATES: dict[str, str] = {
    MatchState.OPEN: "Not booked yet",
    MatchState.CONFIRMED: "Confirmed, not booked yet",
    MatchState.REJECTED: "Rejected",
    MatchState.IN_LEDGER: "In the accounting system",
    MatchState.ENDED: "Ended",
}
VOCABULARIES: dict[str, Mapping[str, str]] = {
    "account_scheme": ACCOUNT_SCHEMES,
    "bank_details_event": BANK_DETAILS_EVENTS,
    "bank_details_state": BANK_DETAILS_STATES,
    "code_kind": CODE_KINDS,
    "line_status": LINE_STATUSES,
    "match_certainty": MATCH_CERTAINTIES,
    "match_state": MATCH_STATES,
    "receipt_state": RECEIPT_STATES,
    "statement_format": STATEMENT_FORMATS,
}
