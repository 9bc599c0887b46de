"""What payments and deposits settle: how much of which invoice, and which part of that is not money."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from policies.receivables import CreditKind
from providers.ledger import ApplicationRecord
from providers.quickbooks.schemas import Invoice, Payment

_ZERO = Decimal(0)


def map_applications(record: Payment) -> list[ApplicationRecord]:
    """Return what a payment is applied to, and which part of it is not money.

    QuickBooks also links credit memos and journal entries to invoices by a payment, alone (its total is 0) or beside
    money: the invoices then get more than the payment's own amount, and the difference comes from what else it links.
    """
    sums: dict[str, Decimal] = {}
    credit_memos: list[Decimal] = []
    for line in record.line:
        for linked in line.linked_txn:
            if linked.txn_type == "Invoice":
                sums[linked.txn_id] = sums.get(linked.txn_id, _ZERO) + line.amount
                break
            if linked.txn_type == "CreditMemo":
                credit_memos.append(line.amount)
                break
    money = record.total_amt - (record.unapplied_amt or _ZERO)
    not_money = max(sum(sums.values(), _ZERO) - money, _ZERO)
    credited = _spread(credit_memos, sums, not_money)
    rest = not_money - sum(credited.values(), _ZERO)
    adjusted = _spread([rest], {to: amount - credited.get(to, _ZERO) for to, amount in sums.items()}, rest)
    return [
        ApplicationRecord(
            CreditKind.PAYMENT,
            record.id,
            to,
            record.txn_date,
            amount,
            credited.get(to, _ZERO),
            adjusted.get(to, _ZERO),
        )
        for to, amount in sums.items()
    ]


def _spread(parts: list[Decimal], amounts: Mapping[str, Decimal], limit: Decimal) -> dict[str, Decimal]:
    """Return how much of each invoice these parts settle: each goes to an invoice of its amount, else to the first."""
    found: dict[str, Decimal] = {}
    for part in parts:
        left = min(part, limit)
        open_ones = {to: amount - found.get(to, _ZERO) for to, amount in amounts.items()}
        for to, amount in sorted(open_ones.items(), key=lambda each: each[1] != left):
            taken = max(min(left, amount), _ZERO)
            if taken:
                found[to] = found.get(to, _ZERO) + taken
                left, limit = left - taken, limit - taken
    return found


def map_deposit(record: Invoice) -> list[ApplicationRecord]:
    """Return the deposit that an invoice itself records: money that came with no payment of its own."""
    if not record.deposit or record.deposit < 0 or not record.total_amt:
        return []
    return [ApplicationRecord(CreditKind.PAYMENT, deposit_id(record), record.id, record.txn_date, record.deposit)]


def deposit_id(record: Invoice) -> str:
    """Return the id under which an invoice's own deposit is kept."""
    return f"{record.id}:deposit"
