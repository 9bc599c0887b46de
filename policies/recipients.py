"""To whom an email about some invoices goes: the invoices' own addresses before the customer's, each address once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from policies.receivables import Customer, Invoice

RECIPIENTS_MAX: Final = 50  # mail servers limit them, some at 100; nobody's invoice goes to more people than this


class Recipients(NamedTuple):
    """The recipients of an email; no address is in two of the lists."""

    to: tuple[str, ...] = ()
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()


def has_recipient(customer: Customer, invoice: Invoice) -> bool:
    """Return whether an email about this invoice can go to anybody."""
    return any("@" in address for address in invoice.emails or customer.emails)


def recipients_of(customer: Customer, invoices: Sequence[Invoice]) -> Recipients:
    """Return the recipients of an email about these invoices.

    An invoice that names no address of its own goes to the customer's. Beyond ``RECIPIENTS_MAX`` the last are left out,
    copies first.
    """
    seen: set[str] = set()

    def each_once(addresses: Iterable[str]) -> tuple[str, ...]:
        found: list[str] = []
        for address in addresses:
            if address.casefold() not in seen and len(seen) < RECIPIENTS_MAX:
                seen.add(address.casefold())
                found.append(address)
        return tuple(found)

    return Recipients(
        to=each_once(address for invoice in invoices for address in invoice.emails or customer.emails),
        cc=each_once(address for invoice in invoices for address in invoice.cc_emails),
        bcc=each_once(address for invoice in invoices for address in invoice.bcc_emails),
    )
