"""The balance that bears late fees: what the customer was held to owe, day by day.

Nobody is charged for a part that they were right to dispute, for days under a payment plan, or for days on which the
accounting system said that they had paid. What a late invoice was raised by bears nothing before that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal

from policies.interest import balance_on
from policies.receivables import BalanceChange, Invoice, SettlementKind


def bearing_invoice(invoice: Invoice, today: date) -> Invoice:
    """Return an invoice with the history of the balance that bears fees instead of its own.

    Its days count from when what it was for before was late, whatever it was raised by: it is no raised one any more.
    """
    if not (invoice.disputes or invoice.plan_spans or invoice.former_histories or invoice.raised_on):
        return invoice
    changes = tuple(sorted((_as_undisputed(each, invoice) for each in invoice.balance_changes), key=_changed_on))
    own = replace(invoice, balance_changes=changes)
    plans = [(span.from_on, min(span.until_on or today, today)) for span in invoice.plan_spans]
    opening = balance_on(own, date.min)
    dates = {each.on for each in changes} | {on for plan in plans for on in plan}
    dates |= {invoice.issued_on, invoice.raised_on} if invoice.raised_on else set()
    for history in invoice.former_histories:
        dates |= {min(history.until_on, today), *(each.on for each in history.changes if each.on < history.until_on)}
    bearing, found = opening, []
    for on in sorted(dates):
        balance = _bearing_balance(own, on, opening, plans)
        found += [BalanceChange(on, balance - bearing)] if balance != bearing else []
        bearing = balance
    known_on = own.known_before_raise_on if own.raised_on is not None else own.known_on
    return replace(own, balance_changes=tuple(found), known_on=known_on, raised_on=None)


def _as_undisputed(change: BalanceChange, invoice: Invoice) -> BalanceChange:
    """Return a credit that was given in a dispute as one of the day the invoice was issued: that part was never due."""
    if change.kind is not SettlementKind.CREDIT or change.on <= invoice.issued_on:
        return change
    is_won = any(each.from_on <= change.on <= (each.until_on or change.on) for each in invoice.disputes)
    return replace(change, on=invoice.issued_on) if is_won else change


def _bearing_balance(own: Invoice, on: date, opening: Decimal, plans: Sequence[tuple[date, date]]) -> Decimal:
    """Return what bears fees at the end of a day: no more than the ledger said at the time."""
    if any(from_on <= on < until_on for from_on, until_on in plans):
        return Decimal(0)
    balance = balance_on(own, on)
    for history in own.former_histories:
        if on < history.until_on:
            said = opening + sum((each.amount for each in history.changes if each.on <= on), Decimal(0))
            balance = min(balance, max(said, Decimal(0)))
    if own.raised_on is not None and own.former_total is not None and on < own.raised_on:
        return max(balance - max(own.total - own.former_total, Decimal(0)), Decimal(0))
    return balance


def _changed_on(change: BalanceChange) -> date:
    return change.on
