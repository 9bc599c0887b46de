"""What is worth a person's eye in one customer's books: by rule, and by robust statistics against his own history."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from policies.receivables import Credit, Customer, Invoice, InvoiceStatus
from policies.wording import day, sum_of

DUPLICATE_DAYS = 7
LEAST_HISTORY = 8  # invoices in one currency, before an amount can be called unusual
UNUSUAL_SPREADS = Decimal(6)  # so many spreads (1.4826 x the median distance from the median) away ...
UNUSUAL_TIMES = 3  # ... and so many times the median
_SPREAD = Decimal("1.4826")
_REAL = frozenset({InvoiceStatus.OPEN, InvoiceStatus.PAID})


class Oddity(NamedTuple):
    """One thing to look at: its code for machines, the invoice it is about (or ""), and the sentence for people."""

    code: str
    invoice_id: str
    why: str


@dataclass(frozen=True, slots=True)
class Books:
    """What is known of one customer: every real invoice, settled or not, oldest first, and his unapplied money."""

    customer: Customer
    invoices: Sequence[Invoice]
    credits: Sequence[Credit] = ()

    @property
    def owed(self) -> list[Invoice]:
        """Give what is still owed."""
        return [each for each in self.invoices if each.status is InvoiceStatus.OPEN and each.due > 0]


def exceptions_of(customer: Customer, invoices: Iterable[Invoice], unapplied: Sequence[Credit] = ()) -> list[Oddity]:
    """List what is odd about a customer's books, the gravest rules first; late fees of our own are left out."""
    real = [each for each in invoices if each.status in _REAL and each.fee_of is None]
    books = Books(customer, sorted(real, key=lambda each: (each.issued_on, each.number, each.id)), unapplied)
    return [oddity for find in FINDERS for oddity in find(books)]


def unapplied_match(books: Books) -> Iterable[Oddity]:
    """A payment is exactly what an open invoice is about, but is not applied to it."""
    for credit in books.credits:
        for invoice in books.owed:
            if (credit.currency, credit.remaining) == (invoice.currency, invoice.due):
                amount = sum_of(credit.remaining, credit.currency)
                why = f"{amount} of {day(credit.dated_on)} is exactly what {_name(invoice)} needs, but is not applied."
                yield Oddity("unapplied_match", invoice.id, why)


def probable_duplicate(books: Books) -> Iterable[Oddity]:
    """Two invoices of the same sum within a few days."""
    alike: dict[tuple[str, Decimal], list[Invoice]] = defaultdict(list)
    for invoice in books.invoices:
        alike[invoice.currency, invoice.total].append(invoice)
    for group in alike.values():
        for one, two in pairwise(group):
            owed = two.status is InvoiceStatus.OPEN
            if owed and one.total > 0 and two.issued_on - one.issued_on < timedelta(days=DUPLICATE_DAYS):
                amount = sum_of(two.total, two.currency)
                why = f"{_name(two)} is for {amount}, as is {_name(one)} of {day(one.issued_on)}: a duplicate?"
                yield Oddity("probable_duplicate", two.id, why)


def due_before_issue(books: Books) -> Iterable[Oddity]:
    """An invoice that fell due before it was written."""
    for invoice in books.owed:
        if invoice.due_on is not None and invoice.due_on < invoice.issued_on:
            why = f"{_name(invoice)} of {day(invoice.issued_on)} is due on {day(invoice.due_on)}, before it was issued."
            yield Oddity("due_before_issue", invoice.id, why)


def missing_address(books: Books) -> Iterable[Oddity]:
    """Something is owed, and there is no address to write to."""
    if books.owed and not books.customer.erased and not any("@" in email for email in books.customer.emails):
        yield Oddity("missing_address", "", f"{books.customer.name} owes something and has no mail address.")


def unusual_amount(books: Books) -> Iterable[Oddity]:
    """An open invoice far above what this customer is usually billed."""
    for invoice in books.owed:
        others = [each.total for each in books.invoices if each.currency == invoice.currency and each.id != invoice.id]
        if len(others) < LEAST_HISTORY:
            continue
        usual = median(others)
        spread = _SPREAD * median(abs(total - usual) for total in others)
        if usual > 0 and invoice.total > usual * UNUSUAL_TIMES and invoice.total - usual > spread * UNUSUAL_SPREADS:
            amount, most = sum_of(invoice.total, invoice.currency), sum_of(usual, invoice.currency)
            yield Oddity("unusual_amount", invoice.id, f"{_name(invoice)} is for {amount}; usual here is {most}.")


def unlike_currency(books: Books) -> Iterable[Oddity]:
    """The first invoice in a currency, of a customer who was always billed in another."""
    counts = Counter(each.currency for each in books.invoices)
    if not counts:
        return
    usual, times = counts.most_common(1)[0]
    for invoice in books.owed:
        if counts[invoice.currency] == 1 and times >= LEAST_HISTORY:
            why = f"{_name(invoice)} is in {invoice.currency}; the {times} others of this customer are in {usual}."
            yield Oddity("unlike_currency", invoice.id, why)


FINDERS: tuple[Callable[[Books], Iterable[Oddity]], ...] = (
    unapplied_match,
    probable_duplicate,
    due_before_issue,
    missing_address,
    unusual_amount,
    unlike_currency,
)


def _name(invoice: Invoice) -> str:
    return invoice.number or invoice.id
