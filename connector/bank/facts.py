"""What matching is about: money that came in, what customers owe, and what the ledger already shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from connector.vocabulary import MatchCertainty


@dataclass(frozen=True, slots=True)
class Receipt:
    """Money that came in.

    ``is_pending`` money is announced and not there yet; of money that ``is_entered`` nothing but a deposit in the
    accounting system tells, which may as well be a cash sale.
    """

    id: int
    currency: str
    amount: Decimal
    booked_on: date
    payer: str = ""
    payer_account: str = ""
    reference: str = ""
    text: str = ""
    charges: Decimal = Decimal(0)
    is_pending: bool = False
    is_batch: bool = False
    is_entered: bool = False


@dataclass(frozen=True, slots=True)
class OpenInvoice:
    """An invoice with a balance. ``family`` stands for the customer and their relatives, who pay for each other."""

    id: str
    number: str
    customer_id: str
    family: str
    currency: str
    due: Decimal
    issued_on: date
    due_on: date | None = None
    discount: Decimal | None = None
    discount_until_on: date | None = None


@dataclass(frozen=True, slots=True)
class LedgerPayment:
    """A payment that the ledger shows; ``invoice_ids`` are those it is applied to."""

    id: str
    family: str
    currency: str
    amount: Decimal
    paid_on: date
    invoice_ids: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Share:
    """What a payment pays of an invoice; ``settles`` where the rest is a discount or a charge."""

    invoice_id: str
    customer_id: str
    amount: Decimal
    settles: bool


@dataclass(frozen=True, slots=True)
class Match:
    """Which invoices money is for, how sure, and the parts of the score as text and points."""

    receipt_id: int
    certainty: MatchCertainty
    score: int
    parts: tuple[tuple[str, int], ...]
    shares: tuple[Share, ...]


@dataclass(frozen=True, slots=True)
class MatchFacts:
    """Everything that matching knows about a company.

    ``names`` are those of each family, ``closed`` the numbers of invoices closed lately with their family.
    ``payers`` says which families a payer pays for, ``not_payers`` for which not, by account or name.
    ``rejected`` are (receipt, invoice) pairs that a person said no to; ``confirmed`` are shares that stand.
    ``were_sure`` are the invoices that a receipt surely paid when it was matched before.
    """

    invoices: tuple[OpenInvoice, ...] = ()
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    closed: tuple[tuple[str, str, str], ...] = ()  # invoice id, number, family
    payments: tuple[LedgerPayment, ...] = ()
    payers: dict[str, set[str]] = field(default_factory=dict)
    not_payers: dict[str, set[str]] = field(default_factory=dict)
    rejected: frozenset[tuple[int, str]] = frozenset()
    confirmed: tuple[Share, ...] = ()
    were_sure: Mapping[int, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MatchResult:
    """What matching found: matches, and by receipt the payment in the ledger that it is already.

    ``recognised`` are those of ``in_ledger`` whose payer or text says whose they are, too.
    """

    matches: tuple[Match, ...]
    in_ledger: dict[int, str]
    recognised: frozenset[int] = frozenset()
