"""What is still open of the invoices while money is matched, and how an amount fits it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from connector.bank.facts import MatchFacts, OpenInvoice, Receipt, Share

EXACT, DISCOUNT, CHARGES, CENTS, PART, OVER = 30, 27, 24, 26, 8, 6  # points for how an amount fits
TOGETHER = 4  # how many invoices are tried together
SAME_AMOUNT_MAX = 40  # invoices of one amount whose numbers are compared with a text
_AMOUNTS_MAX = 40  # amounts that are tried
_CHARGE_MAX, _CHARGE_SHARE = Decimal(45), Decimal("0.05")
_CENTS_MAX = Decimal("0.05")
_EXCHANGE_SHARE = Decimal("0.03")  # what is lost where a bank exchanges the money
_DISCOUNT_GRACE_DAYS = 5
_AHEAD_DAYS_MAX = 90  # money that is older than an invoice by more was for something else
_ZERO = Decimal(0)


class AmountFit(NamedTuple):
    """How an amount fits invoices."""

    points: int
    reason: str
    settles: bool


class OpenItems:
    """The open invoices, by who owes them and by amount; ``due`` is what earlier matches leave of each."""

    def __init__(self, facts: MatchFacts) -> None:
        """Build from what is open, less what people confirmed."""
        self.invoices = {each.id: each for each in facts.invoices}
        self.due = {each.id: each.due for each in facts.invoices}
        self._rejected = facts.rejected
        for share in facts.confirmed:
            if share.invoice_id in self.due:
                self.take(share)
        self._by_family: defaultdict[tuple[str, str], list[OpenInvoice]] = defaultdict(list)
        self._by_amount: defaultdict[tuple[str, Decimal], list[OpenInvoice]] = defaultdict(list)
        for each in sorted(facts.invoices, key=lambda one: (one.due_on or one.issued_on, one.id)):
            self._by_family[each.family, each.currency].append(each)
            self._by_amount[each.currency, each.due].append(each)
            if each.discount:
                self._by_amount[each.currency, each.due - each.discount].append(each)
        self._amounts: defaultdict[str, list[Decimal]] = defaultdict(list)
        for currency, amount in sorted(self._by_amount):
            self._amounts[currency].append(amount)
        self._sums: defaultdict[tuple[str, Decimal], list[tuple[OpenInvoice, ...]]] = defaultdict(list)

    def take(self, share: Share) -> None:
        """Deduct what a receipt pays of an invoice."""
        left = self.due[share.invoice_id] - share.amount
        self.due[share.invoice_id] = _ZERO if share.settles else max(left, _ZERO)

    def of_family(self, family: str, currency: str, receipt: Receipt) -> list[OpenInvoice]:
        """Return what a family owes that a receipt may be for, the oldest first."""
        return [each for each in self._by_family.get((family, currency), ()) if self.is_payable(each, receipt)]

    def is_payable(self, invoice: OpenInvoice, receipt: Receipt) -> bool:
        """Return whether a receipt may be for an invoice."""
        if (receipt.id, invoice.id) in self._rejected or invoice.currency != receipt.currency:
            return False
        return self.due[invoice.id] > 0 and (invoice.issued_on - receipt.booked_on).days <= _AHEAD_DAYS_MAX

    def of_about(self, receipt: Receipt) -> list[OpenInvoice]:
        """Return the invoices of an amount, and of little more, which a bank's charge may have taken."""
        amounts = self._amounts[receipt.currency]
        first = bisect_left(amounts, receipt.amount)
        last = bisect_right(amounts, receipt.amount + min(_CHARGE_MAX, receipt.amount * _CHARGE_SHARE))
        places = range(first, min(last, first + _AMOUNTS_MAX))
        several = [self._by_amount[receipt.currency, amounts[place]] for place in places]
        return [each for some in several for each in some[:SAME_AMOUNT_MAX] if self.is_payable(each, receipt)]

    def runs_of(self, receipt: Receipt) -> list[tuple[OpenInvoice, ...]]:
        """Return the invoices of one customer, due one after another, that make an amount together."""
        if not self._sums:
            for (_family, currency), owed in self._by_family.items():
                for count in range(2, min(TOGETHER, len(owed)) + 1):
                    for place in range(len(owed) - count + 1):
                        some = tuple(owed[place : place + count])
                        self._sums[currency, sum((each.due for each in some), _ZERO)].append(some)
        return self._sums.get((receipt.currency, receipt.amount), [])

    def total(self, invoices: Iterable[OpenInvoice]) -> Decimal:
        """Return what is open of some invoices together."""
        return sum((self.due[each.id] for each in invoices), _ZERO)

    def fit(self, receipt: Receipt, invoices: Sequence[OpenInvoice]) -> AmountFit:
        """Return how an amount fits the balance of some invoices."""
        total, paid = self.total(invoices), receipt.amount
        short = total - paid
        what = "amount of the invoice" if len(invoices) == 1 else f"sum of {len(invoices)} invoices"
        if short == 0:
            return AmountFit(EXACT, f"{what} exactly", settles=True)
        if receipt.charges and short == receipt.charges:
            return AmountFit(EXACT - 2, f"{what} less the charges that the bank names", settles=True)
        if short == self._discounts(invoices, receipt.booked_on) and short > 0:
            return AmountFit(DISCOUNT, f"{what} less the early payment discount", settles=True)
        if abs(short) <= _CENTS_MAX:
            return AmountFit(CENTS, f"{what} but for {abs(short)}", settles=True)
        if 0 < short <= _CHARGE_MAX and short <= total * _CHARGE_SHARE:
            return AmountFit(CHARGES, f"{what} less {short}, maybe a bank's charge", settles=True)
        if 0 < short <= total * _EXCHANGE_SHARE:  # no reason to ask for the rest before somebody has looked
            return AmountFit(PART, f"{what} less {short}, maybe charges or an exchange", settles=True)
        if short > 0:
            return AmountFit(PART, f"a part of the {what}", settles=False)
        return AmountFit(OVER, f"more than the {what}", settles=True)

    def _discounts(self, invoices: Iterable[OpenInvoice], on: date) -> Decimal:
        found = _ZERO
        for each in invoices:
            until = each.discount_until_on
            if each.discount and until and (on - until).days <= _DISCOUNT_GRACE_DAYS:
                found += each.discount
        return found


def is_after_issue(receipt: Receipt, invoice: OpenInvoice) -> bool:
    """Return whether money came after its invoice, but for a few days."""
    return (invoice.issued_on - receipt.booked_on).days <= 3
