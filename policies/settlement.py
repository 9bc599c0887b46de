"""How an invoice was settled: by money, by credits, by a write-off, or in a way that its records do not show."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from policies.formatting import format_amount, format_date
from policies.receivables import Invoice, SettlementKind

_IN_FULL = {
    SettlementKind.PAYMENT: "Paid{on}.",
    SettlementKind.CREDIT: "Credited in full{on}; no payment was received for it.",
    SettlementKind.ADJUSTMENT: "Written off or cleared by a journal entry{on}; no payment was received for it.",
}
_IN_PART = {
    SettlementKind.PAYMENT: "paid",
    SettlementKind.CREDIT: "credited",
    SettlementKind.ADJUSTMENT: "written off or cleared by a journal entry",
}


def describe_settlement(invoice: Invoice, today: date) -> str:
    """Return how a closed invoice was settled, as a sentence: only money that came is called a payment."""
    if invoice.closed_on is not None and invoice.closed_on > today:
        return f"Settled by what is dated {format_date(invoice.closed_on)}: nobody is thanked before."
    on = f" on {format_date(invoice.closed_on)}" if invoice.closed_on else ""
    if invoice.total <= 0:
        return f"Its total is {format_amount(invoice.total, invoice.currency)}: nothing is owed."
    parts = {kind: amount for kind in SettlementKind if (amount := invoice.settled_by(kind)) > 0}
    for kind, amount in parts.items():
        if amount >= invoice.total:
            return _IN_FULL[kind].format(on=on)
    if not parts:
        return f"Closed{on}; no payment of it is recorded."
    texts = [f"{format_amount(amount, invoice.currency)} {_IN_PART[kind]}" for kind, amount in parts.items()]
    rest = invoice.total - sum(parts.values(), Decimal(0))
    if rest > 0:
        texts.append(f"{format_amount(rest, invoice.currency)} deducted or cleared in another way")
    return f"Closed{on}: {', '.join(texts)}."


def describe_payment(invoice: Invoice, today: date) -> str:
    """Return which payment a customer is thanked for, as part of a sentence."""
    on = format_date(invoice.closed_on or today)
    if invoice.paid >= invoice.total:
        return f"paid in full on {on}"
    amounts = [format_amount(amount, invoice.currency) for amount in (invoice.paid, invoice.total)]
    return f"{amounts[0]} of {amounts[1]} was paid, and the rest was settled without a payment by {on}"


def is_worth_thanks(paid: Decimal, total: Decimal, minimum: Decimal) -> bool:
    """Return whether money that came for an invoice is named as a payment: a few cents are no part payment.

    ``minimum`` is the smallest balance that is chased; a hundredth of the ``total`` is always named.
    """
    return paid > 0 and (paid >= minimum or paid * 100 >= total)
