"""The statement of account of a period: what was invoiced, credited and paid, with the balance after each entry.

The entries are taken apart in such a way that the balance of today is that of the ledger to the cent: open invoices
less unapplied payments and credits. What the ledger settled without telling how (a deposit on an invoice, a credit
paid out) is an entry of its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from itertools import accumulate
from typing import NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlmodel import Session, col

from connector.db.money import to_e4
from connector.db.tables import ApplicationRow, Connection, CreditRow, InvoiceRow, PaymentRow, WriteOff
from connector.emails.portal_links import PortalVisitor
from connector.geo import today_in
from connector.outbox.drafts import FEE_NUMBER_PREFIX
from connector.sync.mirror.families import load_families
from connector.sync.mirror.pages import load_statements
from policies.receivables import CreditKind, InvoiceStatus

_IN_MAX = 500  # ids in one query


class EntryKind(StrEnum):
    """What an entry is, in the order of one day; the names are those of the texts ``entry_…``."""

    INVOICE = "invoice"
    FEE = "fee"
    CREDIT = "credit"
    PAYMENT = "payment"
    ADJUSTMENT = "adjustment"
    REFUND = "refund"


_ORDER = {kind: position for position, kind in enumerate(EntryKind)}


class Entry(NamedTuple):
    """An entry; ``amount_e4`` is positive where it is added to what the customer owes."""

    on: date
    kind: EntryKind
    name: str
    amount_e4: int


class BalancedEntry(NamedTuple):
    """An entry, and the balance after it."""

    entry: Entry
    balance_e4: int


@dataclass(frozen=True, slots=True)
class AccountStatement:
    """The entries of a period in one currency, between the balance before the first and after the last day."""

    currency: str
    from_on: date
    until_on: date
    opening_e4: int
    entries: tuple[BalancedEntry, ...]

    @property
    def closing_e4(self) -> int:
        """The balance at the end of the last day."""
        return self.entries[-1].balance_e4 if self.entries else self.opening_e4


def build_statement(currency: str, entries: Iterable[Entry], from_on: date, until_on: date) -> AccountStatement:
    """Return the statement of a period; both days count."""
    listed = sorted(
        (each for each in entries if each.on <= until_on), key=lambda each: (each.on, _ORDER[each.kind], each.name)
    )
    opening = sum(each.amount_e4 for each in listed if each.on < from_on)
    inside = [each for each in listed if each.on >= from_on]
    balances = list(accumulate((each.amount_e4 for each in inside), initial=opening))[1:]
    return AccountStatement(currency, from_on, until_on, opening, tuple(map(BalancedEntry, inside, balances)))


def load_statements_of_account(
    session: Session, visitor: PortalVisitor, from_on: date, until_on: date, now: datetime
) -> list[AccountStatement]:
    """Return the statement of a period in each currency in which anything was ever booked for the visitor."""
    entries = load_entries(session, visitor, now)
    return [build_statement(currency, entries[currency], from_on, until_on) for currency in sorted(entries)]


def load_entries(session: Session, visitor: PortalVisitor, now: datetime) -> dict[str, list[Entry]]:
    """Return every entry of the visitor's account, by currency."""
    book = _Book(session, visitor)
    found: defaultdict[str, list[Entry]] = defaultdict(list)
    for currency in sorted({each.currency for each in (*book.invoices, *book.payments, *book.credits)}):
        found[currency] = [each for each in book.entries(currency) if each.amount_e4]
    for currency, entry in _on_no_document(session, visitor, now):
        found[currency].append(entry)
    return found


def _on_no_document(session: Session, visitor: PortalVisitor, now: datetime) -> Iterator[tuple[str, Entry]]:
    """Yield what only the ledger's own balance of the customer shows: a deposit or a journal entry in QuickBooks.

    What a relative lends is deducted in emails, and stays on the relative's account.
    """
    own = set(load_families(session, visitor.connection_id).billed_to(visitor.customer_id))
    connection = session.get_one(Connection, visitor.connection_id)
    today = today_in(connection.time_zone, now)
    for statements in load_statements(session, connection, now=now, customer_ids=[visitor.customer_id]):
        for credit in (each for statement in statements for each in statement.credits):
            if credit.kind is CreditKind.LEDGER_BALANCE and credit.customer_id in own:
                on = today if credit.dated_on == date.min else min(credit.dated_on, today)
                yield credit.currency, Entry(on, EntryKind.ADJUSTMENT, "", -to_e4(credit.remaining))


class _Book:
    """The rows of one customer's account, those of the sub-customers that are billed with them included."""

    def __init__(self, session: Session, visitor: PortalVisitor) -> None:
        self._session, self._connection_id = session, visitor.connection_id
        ids = load_families(session, visitor.connection_id).billed_to(visitor.customer_id)
        self._zone = ZoneInfo(session.get_one(Connection, visitor.connection_id).time_zone)
        not_owed = (InvoiceStatus.DRAFT, InvoiceStatus.VOIDED, InvoiceStatus.DELETED)
        self.invoices = [each for each in self._rows(InvoiceRow, ids) if each.status not in not_owed]
        self.payments = self._rows(PaymentRow, ids)
        self.credits = self._rows(CreditRow, ids)
        self._applications: defaultdict[str, list[ApplicationRow]] = defaultdict(list)
        for each in self._load_applications([invoice.external_id for invoice in self.invoices]):
            self._applications[each.invoice_id].append(each)
        write_offs = select(col(WriteOff.payment_id)).where(col(WriteOff.connection_id) == visitor.connection_id)
        self._written_off = set(session.scalars(write_offs))

    def entries(self, currency: str) -> Iterator[Entry]:
        """Yield the entries in one currency."""
        invoices = [each for each in self.invoices if each.currency == currency]
        payments = [each for each in self.payments if each.currency == currency]
        credits_ = [each for each in self.credits if each.currency == currency]
        paid: defaultdict[str, list[ApplicationRow]] = defaultdict(list)
        used: defaultdict[tuple[CreditKind, str], list[ApplicationRow]] = defaultdict(list)
        credited = 0
        for invoice in invoices:
            is_fee = invoice.number.startswith(FEE_NUMBER_PREFIX)
            kind = EntryKind.FEE if is_fee else EntryKind.INVOICE
            yield Entry(invoice.issued_on, kind, invoice.number, invoice.total_e4)
            settled = 0
            for applied in self._applications[invoice.external_id]:
                settled += applied.amount_e4
                if applied.source_kind == CreditKind.PAYMENT:
                    paid[applied.source_id].append(applied)
                    credited += applied.credited_e4
                    yield Entry(applied.applied_on, EntryKind.ADJUSTMENT, invoice.number, -applied.adjusted_e4)
                else:
                    used[CreditKind(applied.source_kind), applied.source_id].append(applied)
            rest = invoice.total_e4 - invoice.due_e4 - settled
            yield Entry(invoice.closed_on or invoice.issued_on, EntryKind.ADJUSTMENT, invoice.number, -rest)
        yield from self._payment_entries(payments, paid)
        yield from self._credit_entries(credits_, used, credited)

    def _payment_entries(
        self, payments: Sequence[PaymentRow], paid: dict[str, list[ApplicationRow]]
    ) -> Iterator[Entry]:
        """Yield each payment with the part of it that is this customer's: one can be for several customers."""
        known = {each.external_id: each for each in payments}
        for payment_id in sorted({*known, *paid}):
            payment, parts = known.get(payment_id), paid.get(payment_id, [])
            amount = sum(each.amount_e4 - each.credited_e4 - each.adjusted_e4 for each in parts)
            kind = EntryKind.ADJUSTMENT if payment_id in self._written_off else EntryKind.PAYMENT
            on = payment.paid_on if payment is not None else parts[0].applied_on
            yield Entry(on, kind, "", -amount - (payment.unapplied_e4 if payment is not None else 0))

    def _credit_entries(
        self,
        credits_: Sequence[CreditRow],
        used: dict[tuple[CreditKind, str], list[ApplicationRow]],
        credited_e4: int,
    ) -> Iterator[Entry]:
        """Yield each credit, and what of the credits is on no invoice and not left: paid out, most often.

        ``credited_e4`` was used through payments, which name no credit. A credit that is used up can be known by its
        applications alone.
        """
        known, last_on, rest = set[tuple[CreditKind, str]](), list[date](), -credited_e4
        for credit in credits_:
            key = (CreditKind(credit.kind), credit.external_id)
            known.add(key)
            yield Entry(credit.dated_on, _credit_entry_kind(key[0]), credit.number, -credit.total_e4)
            rest += credit.total_e4 - credit.remaining_e4 - sum(each.amount_e4 for each in used.get(key, ()))
            if credit.remaining_e4 < credit.total_e4:
                changed = credit.updated_at.astimezone(self._zone).date() if credit.updated_at else credit.dated_on
                last_on.append(max(changed, credit.dated_on))
        for key, parts in used.items():
            if key not in known:
                for each in parts:
                    yield Entry(each.applied_on, _credit_entry_kind(key[0]), "", -each.amount_e4)
        on = max(last_on, default=max((each.issued_on for each in self.invoices), default=None))
        if rest and on is not None:
            yield Entry(on, EntryKind.REFUND if rest > 0 else EntryKind.CREDIT, "", rest)

    def _rows(self, table: type[InvoiceRow | PaymentRow | CreditRow], ids: Sequence[str]) -> list:  # type: ignore[type-arg]
        query = select(table).where(col(table.connection_id) == self._connection_id, col(table.customer_id).in_(ids))
        return list(self._session.scalars(query))

    def _load_applications(self, invoice_ids: Sequence[str]) -> Iterator[ApplicationRow]:
        for start in range(0, len(invoice_ids), _IN_MAX):
            query = select(ApplicationRow).where(
                col(ApplicationRow.connection_id) == self._connection_id,
                col(ApplicationRow.invoice_id).in_(invoice_ids[start : start + _IN_MAX]),
            )
            yield from self._session.scalars(query)


def _credit_entry_kind(kind: CreditKind) -> EntryKind:
    """Return what a credit is on the statement: over- and prepayments are money."""
    return EntryKind.CREDIT if kind is CreditKind.CREDIT_NOTE else EntryKind.PAYMENT
