"""How to pay by bank: the transfer that an email asks for, as lines to copy and as a code for banking apps."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from connector.bank_details.accounts import format_account, format_bank_code
from connector.bank_details.payment_codes import BankTransfer, bank_text, build_transfer
from connector.emails.layout import TransferLine, TransferText, load_texts, render_line
from connector.emails.outbound.email_facts import EmailFacts, InvoiceLine
from connector.emails.outbound.email_sums import EmailSums, sum_to_pay
from connector.languages import Language
from connector.vocabulary import AccountScheme
from policies.receivables import Step

NOT_ASKED_STEPS = frozenset({Step.NOTIFY_OWNER, Step.THANK_YOU, Step.WITHHOLDING_CERTIFICATE, Step.RECEIPT_CHECK})
_BANK_CODE_LABELS = {
    AccountScheme.UK: "sort_code",
    AccountScheme.US: "routing_number",
    AccountScheme.AUSTRALIA: "bsb",
}


def email_transfer(facts: EmailFacts, sums: EmailSums) -> BankTransfer | None:
    """Return the transfer that an email asks for: what its first sentence says, less a discount that still applies.

    None where it asks for no money, or the company has no account for the currency. An invoice in dispute, which only
    a statement lists beside the others, is not to be paid.
    """
    if facts.bank_details is None or facts.step in NOT_ASKED_STEPS:
        return None
    asked = [line for line in sums.asked if not line.disputed]
    amount = sum_to_pay(asked)
    if facts.step is Step.DISCOUNT_ENDING and facts.discount is not None:
        amount -= facts.discount.amount
    return transfer_for(facts, asked, amount)


def transfer_for(facts: EmailFacts, lines: Sequence[InvoiceLine], amount: Decimal | None = None) -> BankTransfer | None:
    """Return the transfer that pays these invoices; None where nothing is to pay, or there is no account."""
    if facts.bank_details is None:
        return None
    amount = sum_to_pay(lines) if amount is None else amount
    return build_transfer(facts.bank_details, amount, names_of(lines), facts.payer_country)


def names_of(lines: Sequence[InvoiceLine]) -> list[str]:
    """Return what a payment names the invoices: their numbers, their dates where they have none that banks pass on."""
    return [
        line.number if any(map(str.isalnum, bank_text(line.number))) else line.issued_on.isoformat() for line in lines
    ]


def word_transfer(transfer: BankTransfer, language: Language) -> TransferText:
    """Return a transfer in a language."""
    texts, details = load_texts(language.code).bank, transfer.details
    reference = transfer.creditor_reference or transfer.reference
    amount = language.format_money(transfer.amount, details.currency)
    values = {
        "payee": details.payee,
        "iban": format_account(details) if details.scheme is AccountScheme.IBAN else "",
        _BANK_CODE_LABELS.get(details.scheme, ""): format_bank_code(details),
        "account_number": details.account if details.scheme is not AccountScheme.IBAN else "",
        "bic": details.bic,
        "amount": amount,
        "reference": reference,
    }
    lines = [TransferLine(texts[name], value) for name, value in values.items() if value]
    if not transfer.code:
        return TransferText(texts["heading"], lines)
    said = {"amount": amount, "payee": details.payee, "reference": reference}
    return TransferText(texts["heading"], lines, texts["scan"], render_line(texts["alt"], said))
