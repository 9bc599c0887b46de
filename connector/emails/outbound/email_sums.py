"""Every sum of one email: subject, opening, button, table, totals and statement have theirs from one object."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from connector.emails.outbound.email_facts import EmailFacts, InvoiceLine
from policies.receivables import Step

BEFORE_DUE_STEPS = frozenset({Step.RECEIPT_CHECK, Step.DISCOUNT_ENDING, Step.BEFORE_DUE})


@dataclass(frozen=True, slots=True)
class EmailSums:
    """The open invoices of one statement by their place in an email; each is in one of the three.

    ``asked`` are those that the sentences and the button are about, ``listed`` those that the table has beside them,
    ``unlisted`` those that only the statement has. All are in order, the most overdue first.
    """

    asked: Sequence[InvoiceLine] = ()
    listed: Sequence[InvoiceLine] = ()
    unlisted: Sequence[InvoiceLine] = ()

    @property
    def every(self) -> Sequence[InvoiceLine]:
        """Every open invoice."""
        return [*self.asked, *self.listed, *self.unlisted]

    @property
    def asked_amount(self) -> Decimal:
        """What the email asks for."""
        return sum_to_pay(self.asked)

    @property
    def table_amount(self) -> Decimal:
        """What the table lists; less than what is outstanding where invoices are unlisted."""
        return sum_to_pay([*self.asked, *self.listed])

    @property
    def outstanding(self) -> Decimal:
        """All that the customer owes in the currency, less their unapplied credit."""
        return sum_to_pay(self.every)

    @property
    def is_exact(self) -> bool:
        """Whether a payment page of the ledger asks for the same: it knows nothing of credit that is not applied."""
        return not any(line.covered for line in self.asked)


def sums_of(facts: EmailFacts) -> EmailSums:
    """Return the sums of an email; a thank-you email asks for nothing."""
    if facts.step is Step.THANK_YOU:
        return EmailSums()
    asked = _asked_lines(facts)
    keys = {line.key for line in asked}
    return EmailSums(
        asked=in_order(asked),
        listed=in_order(line for line in facts.invoices if line.key not in keys),
        unlisted=in_order(facts.unlisted),
    )


def in_order(lines: Iterable[InvoiceLine]) -> list[InvoiceLine]:
    """Return invoices in the order of an email's table, the most overdue first."""
    return sorted(lines, key=lambda line: (-line.days_late, line.number, line.issued_on))


def sum_to_pay(lines: Iterable[InvoiceLine]) -> Decimal:
    """Return what is to be paid for these invoices."""
    return sum((line.to_pay for line in lines), Decimal(0))


def sum_covered(lines: Iterable[InvoiceLine]) -> Decimal:
    """Return how much of these invoices unapplied credit covers: what was deducted from what is to be paid."""
    return sum((line.covered for line in lines), Decimal(0))


def sum_overdue(lines: Iterable[InvoiceLine]) -> Decimal:
    """Return what is to be paid for those of these invoices that are overdue."""
    return sum_to_pay(line for line in lines if line.days_late > 0)


def _asked_lines(facts: EmailFacts) -> list[InvoiceLine]:
    """Return the invoices the sentences are about: an email about overdue invoices never counts those not due yet."""
    listed = list(facts.invoices)
    about = [line for line in listed if line.key in facts.about] or listed
    if facts.step in BEFORE_DUE_STEPS:
        return about
    least = 0 if facts.step is Step.DUE_TODAY else 1
    return [line for line in about if line.days_late >= least] or about
