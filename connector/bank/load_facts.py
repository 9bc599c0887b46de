"""Reads what matching needs from the mirror: what customers owe, their names, and the payments of late."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, timedelta

from sqlalchemy import ColumnElement, exists, or_, select
from sqlmodel import Session, col

from connector.bank.facts import LedgerPayment, MatchFacts, OpenInvoice, Receipt, Share
from connector.bank.ledger_payments import AFTER
from connector.db.money import from_e4
from connector.db.tables import (
    ApplicationRow,
    BankMatch,
    BankPayer,
    BankReceipt,
    CreditRow,
    CustomerRow,
    InvoiceRow,
    PaymentRow,
    WriteOff,
)
from connector.sync.mirror.families import Families, load_families
from connector.vocabulary import LineStatus, MatchCertainty, MatchState, ReceiptState, StatementFormat
from policies.receivables import CreditKind

_CLOSED_DAYS, _PAYMENT_DAYS = timedelta(days=120), timedelta(days=10)


def build_receipt(row: BankReceipt) -> Receipt:
    """Return stored money as matching takes it."""
    return Receipt(
        id=row.id or 0,
        currency=row.currency,
        amount=from_e4(row.amount_e4),
        booked_on=row.booked_on,
        payer=row.payer,
        payer_account=row.payer_account,
        reference=row.reference,
        text=row.text,
        charges=from_e4(row.charges_e4),
        is_pending=row.status == LineStatus.PENDING,
        is_batch=row.is_batch,
        is_entered=row.format == StatementFormat.LEDGER,
    )


def load_facts(session: Session, connection_id: int, receipts: Sequence[BankReceipt]) -> MatchFacts:
    """Load what is known about a company, for money of these days."""
    families = load_families(session, connection_id)
    since_on = min(each.booked_on for each in receipts)
    decided = select(BankMatch).where(
        col(BankMatch.connection_id) == connection_id,
        col(BankMatch.state).in_([MatchState.REJECTED, MatchState.CONFIRMED]),
    )
    matches = list(session.scalars(decided))
    sure = select(col(BankMatch.receipt_id), col(BankMatch.invoice_id)).where(
        col(BankMatch.connection_id) == connection_id,
        col(BankMatch.certainty) == MatchCertainty.SURE,
        col(BankMatch.state) != MatchState.REJECTED,
    )
    were_sure: defaultdict[int, frozenset[str]] = defaultdict(frozenset)
    for receipt_id, invoice_id in session.execute(sure):
        were_sure[receipt_id] |= {invoice_id}
    payers, not_payers = _payers(session, connection_id, families)
    return MatchFacts(
        invoices=_open_invoices(session, connection_id, families),
        names=_names(session, connection_id, families),
        closed=_closed(session, connection_id, families, since_on - _CLOSED_DAYS),
        payments=_payments(session, connection_id, families, since_on - _PAYMENT_DAYS),
        payers=payers,
        not_payers=not_payers,
        rejected=frozenset((each.receipt_id, each.invoice_id) for each in matches if each.state == MatchState.REJECTED),
        confirmed=tuple(
            Share(each.invoice_id, each.customer_id, from_e4(each.amount_e4), each.settles)
            for each in matches
            if each.state == MatchState.CONFIRMED
        ),
        were_sure=were_sure,
    )


def is_standing() -> ColumnElement[bool]:
    """Return the condition for payments that stand: Xero's deleted ones keep their record, applied to nothing."""
    applied = exists().where(
        col(ApplicationRow.connection_id) == col(PaymentRow.connection_id),
        col(ApplicationRow.source_kind) == CreditKind.PAYMENT,
        col(ApplicationRow.source_id) == col(PaymentRow.external_id),
    )
    return or_(col(PaymentRow.unapplied_e4) > 0, applied)


def _open_invoices(session: Session, connection_id: int, families: Families) -> tuple[OpenInvoice, ...]:
    query = select(InvoiceRow).where(col(InvoiceRow.connection_id) == connection_id, col(InvoiceRow.is_open))
    return tuple(
        OpenInvoice(
            id=row.external_id,
            number=row.number,
            customer_id=row.customer_id,
            family=families.root(row.customer_id),
            currency=row.currency,
            due=from_e4(row.due_e4),
            issued_on=row.issued_on,
            due_on=row.due_on,
            discount=None if row.discount_e4 is None else from_e4(row.discount_e4),
            discount_until_on=row.discount_until_on,
        )
        for row in session.scalars(query)
    )


def _names(session: Session, connection_id: int, families: Families) -> dict[str, tuple[str, ...]]:
    """Return the names of each family: of the companies, and of contacts with a first and a last name."""
    query = select(
        col(CustomerRow.external_id), col(CustomerRow.name), col(CustomerRow.contact_name), col(CustomerRow.merged_into)
    ).where(col(CustomerRow.connection_id) == connection_id, col(CustomerRow.deleted).is_(False))
    found: defaultdict[str, list[str]] = defaultdict(list)
    for external_id, name, contact, merged_into in session.execute(query):
        family = families.root(merged_into or external_id)
        found[family] += [name, *([contact] if " " in contact.strip() else [])]
    return {family: tuple(dict.fromkeys(names)) for family, names in found.items()}


def _closed(
    session: Session, connection_id: int, families: Families, since_on: object
) -> tuple[tuple[str, str, str], ...]:
    query = select(col(InvoiceRow.external_id), col(InvoiceRow.number), col(InvoiceRow.customer_id)).where(
        col(InvoiceRow.connection_id) == connection_id,
        col(InvoiceRow.is_open).is_(False),
        col(InvoiceRow.closed_on) >= since_on,
    )
    return tuple((invoice_id, number, families.root(owner)) for invoice_id, number, owner in session.execute(query))


def _payments(session: Session, connection_id: int, families: Families, since_on: date) -> tuple[LedgerPayment, ...]:
    """Return the money that the ledger shows, without the payments that entries of statements have taken."""
    write_offs = select(col(WriteOff.payment_id)).where(col(WriteOff.connection_id) == connection_id)
    query = select(PaymentRow).where(
        col(PaymentRow.connection_id) == connection_id,
        col(PaymentRow.paid_on) >= since_on,
        col(PaymentRow.external_id).not_in(write_offs),
        is_standing(),
    )
    rows = list(session.scalars(query))
    applied = _applied(session, connection_id, since_on)
    found = [
        LedgerPayment(
            row.external_id,
            families.root(row.customer_id),
            row.currency,
            from_e4(row.total_e4),
            row.paid_on,
            frozenset(applied.get(row.external_id, ())),
        )
        for row in rows
    ]
    kinds = [CreditKind.OVERPAYMENT, CreditKind.PREPAYMENT]
    credits = select(CreditRow).where(
        col(CreditRow.connection_id) == connection_id,
        col(CreditRow.dated_on) >= since_on,
        col(CreditRow.kind).in_(kinds),
    )
    found += [
        LedgerPayment(
            f"{row.kind}:{row.external_id}",
            families.root(row.customer_id),
            row.currency,
            from_e4(row.total_e4),
            row.dated_on,
        )
        for row in session.scalars(credits)
    ]
    taken = select(col(BankReceipt.ledger_payment)).where(
        col(BankReceipt.connection_id) == connection_id,
        col(BankReceipt.state) == ReceiptState.IN_LEDGER,
        col(BankReceipt.booked_on) >= since_on - AFTER,  # earlier ones can have taken none of these payments
    )
    used = {each for text in session.scalars(taken) for each in text.split(",")}
    return tuple(each for each in found if each.id not in used)


def _applied(session: Session, connection_id: int, since_on: date) -> dict[str, set[str]]:
    """Return the invoices to which each payment of these days is applied."""
    query = (
        select(col(ApplicationRow.source_id), col(ApplicationRow.invoice_id))
        .join(
            PaymentRow,
            (col(PaymentRow.connection_id) == col(ApplicationRow.connection_id))
            & (col(PaymentRow.external_id) == col(ApplicationRow.source_id)),
        )
        .where(
            col(ApplicationRow.connection_id) == connection_id,
            col(ApplicationRow.source_kind) == CreditKind.PAYMENT,
            col(PaymentRow.paid_on) >= since_on,
        )
    )
    found: defaultdict[str, set[str]] = defaultdict(set)
    for payment_id, invoice_id in session.execute(query):
        found[payment_id].add(invoice_id)
    return found


def _payers(
    session: Session, connection_id: int, families: Families
) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """Return for which families a payer pays and for which not: as people said, and as the ledger showed by account."""
    payers: defaultdict[str, set[str]] = defaultdict(set)
    not_payers: defaultdict[str, set[str]] = defaultdict(set)
    for row in session.scalars(select(BankPayer).where(col(BankPayer.connection_id) == connection_id)):
        (payers if row.pays else not_payers)[row.payer_key].add(families.root(row.customer_id))
    seen = (
        select(col(BankReceipt.payer_account), col(BankReceipt.customer_id))
        .where(
            col(BankReceipt.connection_id) == connection_id,
            col(BankReceipt.payer_account) != "",
            col(BankReceipt.customer_id) != "",
            col(BankReceipt.state) == ReceiptState.IN_LEDGER,
        )
        .distinct()
    )
    for account, customer_id in session.execute(seen):
        if families.root(customer_id) not in not_payers.get(account, ()):
            payers[account].add(families.root(customer_id))
    return dict(payers), dict(not_payers)
