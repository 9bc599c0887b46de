"""A response of a customer as they submitted it: typed, and the same in the database as in the handlers."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec

from connector.vocabulary import PaymentMethod, ResponseKind
from policies.currencies import minor_units

ABOUT_INVOICES = frozenset(
    {ResponseKind.PAID, ResponseKind.PROMISE, ResponseKind.PLAN, ResponseKind.DISPUTE, ResponseKind.WITHDRAW}
)
ABOUT_ONE = frozenset({ResponseKind.PLAN, ResponseKind.DISPUTE, ResponseKind.WITHDRAW})  # each invoice has its own
TEXT_MAX = 500
REFERENCE_MAX = 60
_AMOUNT = re.compile(r"(\d{1,12}|\d{1,3}(?:[.,' ]\d{3}){1,4})(?:[.,](\d{1,4}))?", re.ASCII)


class ResponseRejected(Exception):
    """A response that cannot be stored; ``str()`` is the name of the text that explains why."""


class CustomerResponse(msgspec.Struct, frozen=True):
    """What a customer submitted; ``invoices`` are the ledger's ids, ``amount`` is None for the whole balance.

    ``balances`` are what was due on each invoice when the customer saw the summary, in ten-thousandths.
    """

    kind: ResponseKind
    invoices: tuple[str, ...] = ()
    on: date | None = None
    text: str = ""
    email: str = ""
    amount: Decimal | None = None
    currency: str = ""  # of the amount
    method: PaymentMethod = PaymentMethod.NONE
    reference: str = ""
    instalments: int = 0
    interval: str = "month"
    balances: dict[str, int] = {}

    def as_json(self) -> dict[str, Any]:
        """Return it as it is stored."""
        return dict(msgspec.to_builtins(self))


def from_json(stored: dict[str, Any]) -> CustomerResponse:
    """Read a stored response."""
    return msgspec.convert(stored, CustomerResponse)


def parse_amount(text: str, currency: str) -> Decimal | None:
    """Parse an amount as people of any country write it; None for an empty field.

    A last separator before exactly three digits groups thousands, unless the currency has three decimals: the summary
    shows what was understood before anything is sent.

    Raises:
        ResponseRejected: it is no amount of this currency.

    """
    plain = " ".join(text.replace("\u00a0", " ").replace("\u202f", " ").replace("\u2019", "'").split())
    if not plain:
        return None
    found, digits = _AMOUNT.fullmatch(plain), minor_units(currency)
    if found is None:
        raise ResponseRejected("error_amount")
    whole, decimals = re.sub(r"\D", "", found[1]), found[2] or ""
    if len(decimals) == 3 and digits != 3:
        whole, decimals = whole + decimals, ""
    amount = Decimal(f"{whole}.{decimals or '0'}")
    if len(decimals) > digits or amount <= 0:
        raise ResponseRejected("error_amount")
    return amount
