"""Deposits and journal entries on no invoice: the ledger's own balance of a customer is below their open invoices.

A deposit or a journal entry on accounts receivable reduces the customer's balance and no invoice. The difference is
unapplied credit, whoever of a family it was booked on.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Row

from connector.db.money import from_e4
from policies.receivables import Credit, CreditKind, Invoice, InvoiceStatus

SqlRow = Row[Any]


def find_unexplained(
    row: SqlRow | None, invoices: Sequence[Invoice], credits: Sequence[Credit], changed_at: datetime | None
) -> Credit | None:
    """Return what one customer's balance lacks as a credit; None where it lacks nothing or cannot be compared.

    ``changed_at`` is the last change of an open invoice or credit: a balance that was read before it says nothing.
    """
    if row is None or row.balance_e4 is None or _is_outdated(row, changed_at):
        return None
    currency = row.balance_currency or _only_currency(invoices, credits)
    if not currency:
        return None
    missing = _net(invoices, credits, currency) - from_e4(row.balance_e4)
    return _as_credit(row.external_id, currency, missing, row.updated_at)


def find_unexplained_of_family(
    root: SqlRow | None, invoices: Sequence[Invoice], credits: Sequence[Credit], found: Sequence[Credit]
) -> Credit | None:
    """Return what the balance of a whole family lacks beyond what was ``found`` at its members."""
    if root is None or root.family_balance_e4 is None or not root.balance_currency:
        return None
    currency = root.balance_currency
    if ({each.currency for each in invoices} | {each.currency for each in credits}) - {currency}:
        return None  # the balance of several currencies is in none of them
    known = sum((each.remaining for each in found if each.currency == currency), Decimal(0))
    missing = _net(invoices, credits, currency) - from_e4(root.family_balance_e4) - known
    return _as_credit(f"{root.external_id} family", currency, missing, root.updated_at)


def find_debt_on_no_invoice(
    row: SqlRow | None, invoices: Sequence[Invoice], credits: Sequence[Credit], *, of_family: bool
) -> Decimal:
    """Return by how much a balance, the customer's own or their family's, is above the open invoices.

    Zero where the ledger does not report each change of a balance: a payment would leave an old one too high.
    """
    if row is None or row.balance_at is not None:
        return Decimal(0)
    balance_e4, currency = row.family_balance_e4 if of_family else row.balance_e4, row.balance_currency
    open_currencies = {each.currency for each in invoices if each.status is InvoiceStatus.OPEN}
    open_currencies |= {each.currency for each in credits}
    if balance_e4 is None or not currency or not open_currencies <= {currency}:
        return Decimal(0)
    return max(from_e4(balance_e4) - _net(invoices, credits, currency), Decimal(0))


def _net(invoices: Sequence[Invoice], credits: Sequence[Credit], currency: str) -> Decimal:
    """Return the open invoices less the unapplied credit that is known."""
    open_sum = sum(
        (each.due for each in invoices if each.status is InvoiceStatus.OPEN and each.currency == currency), Decimal(0)
    )
    return open_sum - sum((each.remaining for each in credits if each.currency == currency), Decimal(0))


def _as_credit(owner_id: str, currency: str, missing: Decimal, updated_at: datetime | None) -> Credit | None:
    if missing <= 0:
        return None
    dated_on = updated_at.date() if updated_at is not None else date.min
    credit_id = f"balance of {owner_id}: {missing}"
    return Credit(credit_id, CreditKind.LEDGER_BALANCE, owner_id.removesuffix(" family"), currency, missing, dated_on)


def _is_outdated(row: SqlRow, changed_at: datetime | None) -> bool:
    return row.balance_at is not None and changed_at is not None and row.balance_at < changed_at


def _only_currency(invoices: Sequence[Invoice], credits: Sequence[Credit]) -> str:
    """Return the one currency of a customer's open invoices and credits, "" where there are several."""
    currencies = {each.currency for each in invoices if each.status is InvoiceStatus.OPEN}
    currencies |= {each.currency for each in credits}
    return currencies.pop() if len(currencies) == 1 else ""
