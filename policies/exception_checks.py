"""Exceptions in one customer's ledger that a person should look at, found by rules and robust statistics."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from policies.formatting import format_amount, format_date
from policies.invoice_names import at_sentence_start, invoice_name
from policies.receivables import Credit, CreditKind, Customer, Invoice, InvoiceStatus
from policies.recipients import has_recipient

DUPLICATE_DAYS = 7
MIN_HISTORY = 8  # invoices in one currency; with fewer, no amount can be called unusual
UNUSUAL_DEVIATIONS = Decimal(6)  # an amount is unusual if it is so many deviations above the median ...
UNUSUAL_FACTOR = 3  # ... and more than so many times the median
_MAD_TO_DEVIATION = Decimal("1.4826")  # the median absolute deviation times this estimates the standard deviation
_SHOWN_MAX = 3  # names or addresses in one reason
_SHOWN_LENGTH_MAX = 60
_ISSUED_STATUSES = frozenset({InvoiceStatus.OPEN, InvoiceStatus.PAID})


class ExceptionCode(StrEnum):
    """What kind of exception was found."""

    UNAPPLIED_MATCH = "unapplied_match"
    PROBABLE_DUPLICATE = "probable_duplicate"
    DUE_BEFORE_ISSUE = "due_before_issue"
    MISSING_EMAIL_ADDRESS = "missing_email_address"
    INVALID_EMAIL_ADDRESS = "invalid_email_address"
    UNUSUAL_AMOUNT = "unusual_amount"
    UNUSUAL_CURRENCY = "unusual_currency"
    LONG_HOLD = "long_hold"
    BALANCE_BELOW_INVOICES = "balance_below_invoices"
    BALANCE_ABOVE_INVOICES = "balance_above_invoices"
    UNREADABLE_RECORD = "unreadable_record"
    PROBABLE_PLACEHOLDER = "probable_placeholder"


class ExceptionItem(NamedTuple):
    """One exception: its code, the id of its invoice (or ""), and the sentence that people read."""

    code: ExceptionCode
    invoice_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class CustomerLedger:
    """One customer's ledger: every issued invoice, open or paid, oldest first, and the unapplied credit."""

    customer: Customer
    invoices: Sequence[Invoice]
    credits: Sequence[Credit] = ()

    @property
    def open_invoices(self) -> list[Invoice]:
        """The invoices with an open balance."""
        return [each for each in self.invoices if each.status is InvoiceStatus.OPEN and each.due > 0]


def find_exceptions(
    customer: Customer, invoices: Iterable[Invoice], unapplied: Sequence[Credit] = ()
) -> list[ExceptionItem]:
    """Find the exceptions in a customer's ledger, the most serious first; our own late fees are left out."""
    issued = [each for each in invoices if each.status in _ISSUED_STATUSES and each.fee_of is None]
    ordered = sorted(issued, key=lambda each: (each.issued_on, each.number, each.id))
    ledger = CustomerLedger(customer, ordered, unapplied)
    return [item for check in CHECKS for item in check(ledger)]


def unapplied_match(ledger: CustomerLedger) -> Iterable[ExceptionItem]:
    """An unapplied credit or payment is exactly the balance of an open invoice."""
    for credit in ledger.credits:
        if credit.kind is CreditKind.LEDGER_BALANCE:
            continue
        for invoice in ledger.open_invoices:
            if (credit.currency, credit.remaining) == (invoice.currency, invoice.due):
                amount = format_amount(credit.remaining, credit.currency)
                dated_on = format_date(credit.dated_on)
                reason = f"{amount} of {dated_on} is exactly the balance of {_name(invoice)}, but is not applied to it."
                yield ExceptionItem(ExceptionCode.UNAPPLIED_MATCH, invoice.id, reason)


def balance_below_invoices(ledger: CustomerLedger) -> Iterable[ExceptionItem]:
    """The ledger's own balance of the customer is below the open invoices less the credit that is known."""
    missing = [each for each in ledger.credits if each.kind is CreditKind.LEDGER_BALANCE]
    if missing and ledger.open_invoices:
        amounts = " and ".join(sorted({format_amount(each.remaining, each.currency) for each in missing}))
        is_own = all(each.customer_id == ledger.customer.id for each in missing)
        whose = ledger.customer.name if is_own else f"the family of {ledger.customer.name}"
        reason = (
            f"The accounting system's own balance of {whose} is {amounts} below the open invoices:"
            " a deposit or journal entry may not be applied to them."
        )
        yield ExceptionItem(ExceptionCode.BALANCE_BELOW_INVOICES, "", reason)


def balance_above_invoices(ledger: CustomerLedger) -> Iterable[ExceptionItem]:
    """The ledger's own balance of the customer is above the open invoices: they owe something on no invoice."""
    customer = ledger.customer
    if customer.debt_on_no_invoice > 0:
        amount = format_amount(customer.debt_on_no_invoice, customer.debt_currency)
        whose = customer.debt_holder or customer.name
        reason = (
            f"The accounting system's own balance of {whose} is {amount} above the open invoices: a journal"
            " entry, such as a chargeback, or a document that could not be read. No reminder asks for it."
        )
        yield ExceptionItem(ExceptionCode.BALANCE_ABOVE_INVOICES, "", reason)


def probable_duplicate(ledger: CustomerLedger) -> Iterable[ExceptionItem]:
    """Two invoices for the same amount within a few days, or two customers with one email address."""
    yield from _shared_mailbox(ledger)
    alike: dict[tuple[str, Decimal], list[Invoice]] = defaultdict(list)
    for invoice in ledger.invoices:
        alike[invoice.currency, invoice.total].append(invoice)
    for group in alike.values():
        for one, two in pairwise(group):
            is_open = two.status is InvoiceStatus.OPEN
            if is_open and one.total > 0 and two.issued_on - one.issued_on < timedelta(days=DUPLICATE_DAYS):
                amount = format_amount(two.total, two.currency)
                other = invoice_name(one.number, one.issued_on, is_shared=True)
                reason = f"{at_sentence_start(_name(two))} is for {amount}, like {other}: it may be a duplicate."
                yield ExceptionItem(ExceptionCode.PROBABLE_DUPLICATE, two.id, reason)


def due_before_issue(ledger: CustomerLedger) -> Iterable[ExceptionItem]:
    """An invoice that was due before its invoice date."""
    for invoice in ledger.open_invoices:
        if invoice.due_on is not None and invoice.due_on < invoice.issued_on:
            due_on = format_date(invoice.due_on)
            reason = f"{at_sentence_start(_dated_name(invoice))} was due on {due_on}, before it was issued."
            yield ExceptionItem(ExceptionCode.DUE_BEFORE_ISSUE, invoice.id, reason)


def missing_email_address(ledger: CustomerLedger) -> Iterable[ExceptionItem]:
    """A customer with an open balance and no email address."""
    customer = ledger.customer
    unreachable = [each for each in ledger.open_invoices if not has_recipient(customer, each)]
    if unreachable and not customer.erased and not customer.invalid_emails:
        reason = f"{customer.name} has an open balance and no email address."
        yield ExceptionItem(ExceptionCode.MISSING_EMAIL_ADDRESS, "", reason)


def invalid_email_address(ledger: CustomerLedger) -> Iterable[ExceptionItem]:
    """An entry in an address field is not a valid email address."""
    customer = ledger.customer
    for invoice in ledger.open_invoices:
        if invoice.invalid_emails:
            listed = ", ".join(repr(each[:_SHOWN_LENGTH_MAX]) for each in invoice.invalid_emails[:_SHOWN_MAX])
            reached = "emails go to the others" if has_recipient(customer, invoice) else "no email is sent"
            reason = f"{listed} on {_name(invoice)} is not a valid email address; {reached}."
            yield ExceptionItem(ExceptionCode.INVALID_EMAIL_ADDRESS, invoice.id, reason)
    if not ledger.open_invoices or not customer.invalid_emails:
        return
    listed = ", ".join(repr(each[:_SHOWN_LENGTH_MAX]) for each in customer.invalid_emails[:_SHOWN_MAX])
    reached = f"emails go to {', '.join(customer.emails[:_SHOWN_MAX])} only" if customer.emails else "no email is sent"
    reason = f"{customer.name}: {listed} is not a valid email address; {reached}."
    yield ExceptionItem(ExceptionCode.INVALID_EMAIL_ADDRESS, "", reason)


def unusual_amount(ledger: CustomerLedger) -> Iterable[ExceptionItem]:
    """An open invoice far above the customer's usual amount."""
    for invoice in ledger.open_invoices:
        same_currency = (each for each in ledger.invoices if each.currency == invoice.currency)
        others = [each.total for each in same_currency if each.id != invoice.id]
        if len(others) < MIN_HISTORY:
            continue
        usual = median(others)
        deviation = _MAD_TO_DEVIATION * median(abs(total - usual) for total in others)
        is_many_times = usual > 0 and invoice.total > usual * UNUSUAL_FACTOR
        if is_many_times and invoice.total - usual > deviation * UNUSUAL_DEVIATIONS:
            amount, usually = format_amount(invoice.total, invoice.currency), format_amount(usual, invoice.currency)
            name = at_sentence_start(_name(invoice))
            reason = f"{name} is for {amount}; this customer's invoices are usually for {usually}."
            yield ExceptionItem(ExceptionCode.UNUSUAL_AMOUNT, invoice.id, reason)


def unusual_currency(ledger: CustomerLedger) -> Iterable[ExceptionItem]:
    """The first invoice in a currency, of a customer who was always invoiced in another."""
    counts = Counter(each.currency for each in ledger.invoices)
    if not counts:
        return
    usual, times = counts.most_common(1)[0]
    for invoice in ledger.open_invoices:
        if counts[invoice.currency] == 1 and times >= MIN_HISTORY:
            others = f"the {times} others of this customer are in {usual}"
            reason = f"{at_sentence_start(_name(invoice))} is in {invoice.currency}; {others}."
            yield ExceptionItem(ExceptionCode.UNUSUAL_CURRENCY, invoice.id, reason)


CHECKS: tuple[Callable[[CustomerLedger], Iterable[ExceptionItem]], ...] = (
    unapplied_match,
    balance_below_invoices,
    balance_above_invoices,
    probable_duplicate,
    due_before_issue,
    missing_email_address,
    invalid_email_address,
    unusual_amount,
    unusual_currency,
)


def _shared_mailbox(ledger: CustomerLedger) -> Iterable[ExceptionItem]:
    """Another customer has the same email address: probably one customer, entered twice."""
    customer = ledger.customer
    if ledger.open_invoices and customer.shares_mailbox_with and not customer.erased:
        others = ", ".join(customer.shares_mailbox_with[:_SHOWN_MAX])
        more = len(customer.shares_mailbox_with) - _SHOWN_MAX
        others += f" and {more} more" if more > 0 else ""
        reason = (
            f"{customer.name} has the same email address as {others}: they may be one customer, entered twice."
            " One address gets one email at a time, and a stop or a pause of one applies to all."
        )
        yield ExceptionItem(ExceptionCode.PROBABLE_DUPLICATE, "", reason)


def _dated_name(invoice: Invoice) -> str:
    return invoice_name(invoice.number, invoice.issued_on, is_shared=True)


def _name(invoice: Invoice) -> str:
    return invoice_name(invoice.number, invoice.issued_on, is_shared=invoice.shares_number)
