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

from policies.formatting import format_amount, format_date
from policies.receivables import Credit, Customer, Invoice, InvoiceStatus

DUPLICATE_DAYS = 7
MIN_HISTORY = 8  # invoices in one currency, before an amount can be called unusual
UNUSUAL_DEVIATIONS = Decimal(6)  # so many spreads (1.4826 x the median distance from the median) away ...
UNUSUAL_FACTOR = 3  # ... and so many times the median
_MAD_TO_DEVIATION = Decimal("1.4826")
_ISSUED_STATUSES = frozenset({InvoiceStatus.OPEN, InvoiceStatus.PAID})


class ExceptionItem(NamedTuple):
    """One thing to look at: its code for machines, the invoice it is about (or ""), and the sentence for people."""

    code: str
    invoice_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class CustomerLedger:
    """What is known of one customer: every real invoice, settled or not, oldest first, and his unapplied money."""

    customer: Customer
    invoices: Sequence[Invoice]
    credits: Sequence[Credit] = ()

    @property
    def open_invoices(self) -> list[Invoice]:
        """Give what is still owed."""
        return [each for each in self.invoices if each.status is InvoiceStatus.OPEN and each.due > 0]


def find_exceptions(
    customer: Customer, invoices: Iterable[Invoice], unapplied: Sequence[Credit] = ()
) -> list[ExceptionItem]:
    """List what is odd about a customer's books, the gravest rules first; late fees of our own are left out."""
    real = [each for each in invoices if each.status in _ISSUED_STATUSES and each.fee_of is None]
    books = CustomerLedger(customer, sorted(real, key=lambda each: (each.issued_on, each.number, each.id)), unapplied)
    return [oddity for find in CHECKS for oddity in find(books)]


def unapplied_match(books: CustomerLedger) -> Iterable[ExceptionItem]:
    """A payment is exactly what an open invoice is about, but is not applied to it."""
    for credit in books.credits:
        for invoice in books.open_invoices:
            if (credit.currency, credit.remaining) == (invoice.currency, invoice.due):
                amount = format_amount(credit.remaining, credit.currency)
                reason = f"{amount} of {format_date(credit.dated_on)} is exactly what {_name(invoice)} needs, but is not applied."
                yield ExceptionItem("unapplied_match", invoice.id, reason)


def probable_duplicate(books: CustomerLedger) -> Iterable[ExceptionItem]:
    """Two invoices of the same sum within a few days."""
    alike: dict[tuple[str, Decimal], list[Invoice]] = defaultdict(list)
    for invoice in books.invoices:
        alike[invoice.currency, invoice.total].append(invoice)
    for group in alike.values():
        for one, two in pairwise(group):
            owed = two.status is InvoiceStatus.OPEN
            if owed and one.total > 0 and two.issued_on - one.issued_on < timedelta(days=DUPLICATE_DAYS):
                amount = format_amount(two.total, two.currency)
                reason = (
                    f"{_name(two)} is for {amount}, as is {_name(one)} of {format_date(one.issued_on)}: a duplicate?"
                )
                yield ExceptionItem("probable_duplicate", two.id, reason)


def due_before_issue(books: CustomerLedger) -> Iterable[ExceptionItem]:
    """An invoice that fell due before it was written."""
    for invoice in books.open_invoices:
        if invoice.due_on is not None and invoice.due_on < invoice.issued_on:
            reason = f"{_name(invoice)} of {format_date(invoice.issued_on)} is due on {format_date(invoice.due_on)}, before it was issued."
            yield ExceptionItem("due_before_issue", invoice.id, reason)


def missing_email_address(books: CustomerLedger) -> Iterable[ExceptionItem]:
    """Something is owed, and there is no address to write to."""
    if books.open_invoices and not books.customer.erased and not any("@" in email for email in books.customer.emails):
        yield ExceptionItem(
            "missing_email_address", "", f"{books.customer.name} owes something and has no mail address."
        )


def unusual_amount(books: CustomerLedger) -> Iterable[ExceptionItem]:
    """An open invoice far above what this customer is usually billed."""
    for invoice in books.open_invoices:
        others = [each.total for each in books.invoices if each.currency == invoice.currency and each.id != invoice.id]
        if len(others) < MIN_HISTORY:
            continue
        usual = median(others)
        spread = _MAD_TO_DEVIATION * median(abs(total - usual) for total in others)
        if usual > 0 and invoice.total > usual * UNUSUAL_FACTOR and invoice.total - usual > spread * UNUSUAL_DEVIATIONS:
            amount, most = format_amount(invoice.total, invoice.currency), format_amount(usual, invoice.currency)
            yield ExceptionItem(
                "unusual_amount", invoice.id, f"{_name(invoice)} is for {amount}; usual here is {most}."
            )


def unusual_currency(books: CustomerLedger) -> Iterable[ExceptionItem]:
    """The first invoice in a currency, of a customer who was always billed in another."""
    counts = Counter(each.currency for each in books.invoices)
    if not counts:
        return
    usual, times = counts.most_common(1)[0]
    for invoice in books.open_invoices:
        if counts[invoice.currency] == 1 and times >= MIN_HISTORY:
            reason = f"{_name(invoice)} is in {invoice.currency}; the {times} others of this customer are in {usual}."
            yield ExceptionItem("unusual_currency", invoice.id, reason)


CHECKS: tuple[Callable[[CustomerLedger], Iterable[ExceptionItem]], ...] = (
    unapplied_match,
    probable_duplicate,
    due_before_issue,
    missing_email_address,
    unusual_amount,
    unusual_currency,
)


def _name(invoice: Invoice) -> str:
    return invoice.number or invoice.id
