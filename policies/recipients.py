"""To whom an email about some invoices goes, in which field, and why: each address once.

The customer's accounts payable come first: the invoices' own addresses before the customer's. The policy adds copies to
the company's own people, and the customer's second contact from a step on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from policies.receivables import Customer, Invoice, Step
from policies.schedule import DUNNING_LEVELS, SEVERITY

RECIPIENTS_MAX: Final = 50  # mail servers limit them, some at 100; nobody's invoice goes to more people than this
ESCALATED_STEPS: Final = (*DUNNING_LEVELS, Step.PROMISE_BROKEN)  # whose emails a second contact can get


class RecipientRole(StrEnum):
    """Why an address gets an email."""

    CUSTOMER = "customer"  # the customer's address
    INVOICE = "invoice"  # an address of the invoice itself
    INVOICE_COPY = "invoice_copy"  # a copy that the invoice names
    SECOND_CONTACT = "second_contact"
    OWNER = "owner"
    SALES_REP = "sales_rep"


OWN_PEOPLE: Final = (RecipientRole.OWNER, RecipientRole.SALES_REP)


@dataclass(frozen=True, slots=True)
class CopyRules:
    """Who gets copies beside the customer: your own people, and a second contact from ``second_contact_from`` on."""

    cc: frozenset[RecipientRole] = frozenset()
    bcc: frozenset[RecipientRole] = frozenset()
    second_contact_from: Step | None = None

    def includes_second_contact(self, step: Step) -> bool:
        """Return whether an email of a step goes to the second contact, too."""
        first = self.second_contact_from
        return first is not None and step in ESCALATED_STEPS and SEVERITY[step] >= SEVERITY[first]


class Recipients(NamedTuple):
    """The recipients of an email; no address is in two of the lists. ``roles`` says why each gets it."""

    to: tuple[str, ...] = ()
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()
    roles: tuple[tuple[str, RecipientRole], ...] = ()


def has_recipient(customer: Customer, invoice: Invoice) -> bool:
    """Return whether an email about this invoice can go to anybody."""
    return any("@" in address for address in invoice.emails or customer.emails)


def recipients_of(
    customer: Customer, invoices: Sequence[Invoice], step: Step | None = None, rules: CopyRules | None = None
) -> Recipients:
    """Return the recipients of an email about these invoices.

    An invoice that names no address of its own goes to the customer's. Beyond ``RECIPIENTS_MAX`` the last are left out,
    copies first.
    """
    rules, seen = rules or CopyRules(), dict[str, tuple[str, RecipientRole]]()

    def each_once(named: Iterable[tuple[str, RecipientRole]]) -> tuple[str, ...]:
        found: list[str] = []
        for address, role in named:
            if "@" in address and address.casefold() not in seen and len(seen) < RECIPIENTS_MAX:
                seen[address.casefold()] = (address, role)
                found.append(address)
        return tuple(found)

    own = {RecipientRole.OWNER: customer.owner_email, RecipientRole.SALES_REP: customer.sales_rep_email}
    second = customer.second_contact if step is not None and rules.includes_second_contact(step) else ""
    to = each_once(address for invoice in invoices for address in _addressees(customer, invoice))
    cc = each_once(
        [
            *((address, RecipientRole.INVOICE_COPY) for invoice in invoices for address in invoice.cc_emails),
            (second, RecipientRole.SECOND_CONTACT),
            *((own[role], role) for role in OWN_PEOPLE if role in rules.cc),
        ]
    )
    bcc = each_once(
        [
            *((address, RecipientRole.INVOICE_COPY) for invoice in invoices for address in invoice.bcc_emails),
            *((own[role], role) for role in OWN_PEOPLE if role in rules.bcc),
        ]
    )
    return Recipients(to, cc, bcc, tuple(seen.values()))


def _addressees(customer: Customer, invoice: Invoice) -> Iterable[tuple[str, RecipientRole]]:
    if invoice.emails:
        return ((address, RecipientRole.INVOICE) for address in invoice.emails)
    return ((address, RecipientRole.CUSTOMER) for address in customer.emails)
