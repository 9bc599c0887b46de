"""The payloads of outbox entries, one per kind: everything needed to send or post an entry, as stored in its row.

They are stored as JSON; amounts are text there, exact and without an exponent.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import TypeVar, cast

import msgspec

from connector.db.tables import OutboxEntry
from connector.vocabulary import BankDetailsEvent, OutboxKind
from policies.fee_basis import FeeBasis
from policies.recipients import RecipientRole

CompletedPair = tuple[str, str]  # invoice id and step


class _Payload(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What all kinds have: the steps that are completed once the entry is sent."""

    completed: tuple[CompletedPair, ...] = ()


class EmailPayload(_Payload, frozen=True, kw_only=True, omit_defaults=True):
    """An email to a customer.

    ``listed`` are the ids of the invoices in its table, ``due`` the amounts due on them, ``totals`` what they were for:
    one that is raised later has been paid more than it fell by. ``recurrence_keys`` tell
    apart the times a step recurs for an invoice (a broken promise: its date). ``paid`` is the money received for the
    invoices it is about, which it thanks for. ``announces_fee_on`` are the ids of those it warns of a late fee on;
    ``fee_terms`` stands for that fee.
    ``possible_payments`` is money in the bank that may be for its invoices: whoever approves it has to know of that.
    ``roles`` says why an address gets it, where that is neither the customer's address nor a copy the invoice names.
    ``wording`` stands for what the policy and the customer's language put into its words: an approval is for these.
    """

    to: tuple[str, ...]
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()
    listed: tuple[str, ...] = ()
    due: dict[str, Decimal] = {}
    totals: dict[str, Decimal] = {}
    suspension_on: date | None = None
    recurrence_keys: dict[str, str] = {}
    paid: dict[str, Decimal] = {}
    announces_fee_on: tuple[str, ...] = ()
    fee_terms: str = ""
    wording: str = ""
    roles: dict[str, RecipientRole] = {}
    possible_payments: tuple[str, ...] = ()

    def role_of(self, address: str) -> RecipientRole:
        """Return why an address gets it."""
        return self.roles.get(address, RecipientRole.CUSTOMER if address in self.to else RecipientRole.INVOICE_COPY)

    @property
    def recipients(self) -> tuple[str, ...]:
        """Everybody who gets the email."""
        return (*self.to, *self.cc, *self.bcc)


class DigestItem(msgspec.Struct, frozen=True, kw_only=True):
    """An overdue customer in the account owner's email."""

    customer: str
    name: str
    invoices: tuple[str, ...]
    completed: tuple[CompletedPair, ...] = ()


class OwnerEmailPayload(_Payload, frozen=True, kw_only=True, omit_defaults=True):
    """An email to an account owner. All digests of a person with the same ``slot`` are sent as one.

    ``bank_details_id`` is the entry that an email about changed bank details reports, ``bank_details_event`` what
    happened to it.
    """

    to: tuple[str, ...]
    items: tuple[DigestItem, ...] = ()
    slot: str = ""
    bank_details_id: int = 0
    bank_details_event: BankDetailsEvent = BankDetailsEvent.ENTERED


class FeeCharge(msgspec.Struct, frozen=True):
    """The part of a late fee for one period of one overdue invoice; ``basis`` is what it was calculated from."""

    invoice_id: str
    period: str
    amount: Decimal
    basis: FeeBasis | None = None


class LateFeePayload(_Payload, frozen=True, kw_only=True, omit_defaults=True):
    """A late fee, posted as a new invoice for one overdue invoice or for several.

    ``charges`` are its parts by overdue invoice and period, ``calculation`` has a line of text and an amount per part,
    ``lines`` those of the new invoice where it has several, ``annual_rate`` is in percent.
    ``dated_on`` is set when the fee is first sent, so that every retry posts the same.
    """

    number: str
    original_numbers: tuple[str, ...]
    amount: Decimal
    charges: tuple[FeeCharge, ...]
    annual_rate: Decimal
    calculation: tuple[tuple[str, Decimal], ...]
    lines: tuple[tuple[str, Decimal], ...] = ()
    text: str
    due_days: int
    dated_on: date | None = None

    @property
    def amounts(self) -> dict[str, Decimal]:
        """The amount by overdue invoice."""
        found: dict[str, Decimal] = {}
        for charge in self.charges:
            found[charge.invoice_id] = found.get(charge.invoice_id, Decimal(0)) + charge.amount
        return found


class FeeWaiverPayload(_Payload, frozen=True, kw_only=True, omit_defaults=True):
    """The waiver of a posted late fee; ``fee_id`` is the fee invoice's id in the ledger.

    ``part`` counts the waivers of parts of one fee, from 1; it is 0 where the whole fee is waived.
    """

    fee_id: str
    reason: str
    number: str
    amount: Decimal
    amounts: dict[str, Decimal]
    part: int = 0


class NotePayload(_Payload, frozen=True, kw_only=True, omit_defaults=True):
    """A note on an invoice in the ledger: about its parent entry, or with a ``text`` of its own."""

    text: str = ""


Payload = EmailPayload | OwnerEmailPayload | LateFeePayload | FeeWaiverPayload | NotePayload
_P = TypeVar("_P", bound=Payload)
_TYPES: dict[str, type[Payload]] = {
    OutboxKind.EMAIL: EmailPayload,
    OutboxKind.OWNER_EMAIL: OwnerEmailPayload,
    OutboxKind.LATE_FEE: LateFeePayload,
    OutboxKind.FEE_WAIVER: FeeWaiverPayload,
    OutboxKind.NOTE: NotePayload,
}


def load_payload(entry: OutboxEntry) -> Payload:
    """Return the payload of an entry of any kind."""
    return msgspec.convert(entry.payload, type=_TYPES[entry.kind])


def payload_as(payload_type: type[_P], entry: OutboxEntry) -> _P:
    """Return the payload of an entry whose kind is known."""
    return msgspec.convert(entry.payload, type=payload_type)


def amount_of(payload: Payload) -> Decimal | None:
    """Return what a payload is about: what an email asks for, or the amount of a fee or waiver; None for nothing."""
    if isinstance(payload, LateFeePayload | FeeWaiverPayload):
        return payload.amount
    return sum(payload.due.values(), Decimal()) if isinstance(payload, EmailPayload) and payload.due else None


def dump_payload(payload: Payload) -> dict[str, object]:
    """Return a payload as it is stored."""
    return cast("dict[str, object]", msgspec.to_builtins(payload))


def plain(amount: Decimal) -> Decimal:
    """Return the amount without an exponent, so that it is stored as people write it."""
    return Decimal(format(amount, "f"))


def invoice_ids(completed: Iterable[CompletedPair]) -> list[str]:
    """Return the ids of the invoices whose steps are completed."""
    return [invoice_id for invoice_id, _step in completed]
