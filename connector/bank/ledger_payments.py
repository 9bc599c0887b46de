"""Payments that the ledger shows: each is one entry of a statement at most, and several may be one entry."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import date, timedelta
from decimal import Decimal

from connector.bank.facts import LedgerPayment, Receipt

BEFORE, AFTER = timedelta(days=7), timedelta(days=30)  # how a payment's date may differ from the bank's


class LedgerPayments:
    """The payments of a company that no entry of a statement has taken yet."""

    def __init__(self, payments: Iterable[LedgerPayment]) -> None:
        """Build from all payments of the time in question."""
        self._by_amount: defaultdict[tuple[str, Decimal], list[LedgerPayment]] = defaultdict(list)
        self._by_day: defaultdict[tuple[str, str], dict[date, list[LedgerPayment]]] = defaultdict(dict)
        self._taken: set[str] = set()
        for each in payments:
            self._by_amount[each.currency, each.amount].append(each)
            self._by_day[each.family, each.currency].setdefault(each.paid_on, []).append(each)

    def take(self, receipt: Receipt, families: Collection[str]) -> str:
        """Return the payments (with commas) that a receipt is, and take them; "" where the ledger shows none.

        Without a family that may have paid, the same amount about that day is enough: better no hold than one for money
        that is booked.
        """
        found = [
            each
            for each in self._by_amount.get((receipt.currency, receipt.amount), ())
            if each.id not in self._taken
            and (each.family in families or not families)
            and _is_near(each.paid_on, receipt)
        ]
        if found:
            best = min(found, key=lambda each: (abs(each.paid_on - receipt.booked_on), each.id))
            self._taken.add(best.id)
            return best.id
        for family in families:
            for paid_on, payments in self._by_day.get((family, receipt.currency), {}).items():
                free = [each for each in payments if each.id not in self._taken]
                if len(free) > 1 and _is_near(paid_on, receipt) and sum(each.amount for each in free) == receipt.amount:
                    self._taken.update(each.id for each in free)
                    return ",".join(each.id for each in free)
        return ""

    def take_parts(
        self, receipt: Receipt, families: Collection[str], invoice_ids: Collection[str], due: Decimal
    ) -> list[LedgerPayment]:
        """Return what is booked of a receipt that pays several invoices, and take it.

        Args:
            receipt: money that is no payment, nor those of one day.
            families: who may have paid.
            invoice_ids: what the receipt pays, as its text says or as it was matched before.
            due: what is still open of these invoices.

        Returns:
            The payments of these invoices alone, where with them all of the receipt is booked, or all but what is due:
            else they may be other money.

        """
        found = [
            each
            for family in sorted(families)
            for paid_on, payments in self._by_day.get((family, receipt.currency), {}).items()
            if _is_near(paid_on, receipt)
            for each in payments
            if each.id not in self._taken and each.invoice_ids and each.invoice_ids <= set(invoice_ids)
        ]
        if receipt.amount - sum(each.amount for each in found) not in {due, Decimal(0)}:
            return []
        self._taken.update(each.id for each in found)
        return found


def _is_near(paid_on: date, receipt: Receipt) -> bool:
    return receipt.booked_on - BEFORE <= paid_on <= receipt.booked_on + AFTER
