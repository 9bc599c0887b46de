"""Payments of the ledger that money on statements was recognised as: those that are gone, and those of an invoice."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlmodel import Session, col

from connector.bank.load_facts import is_standing
from connector.db.batches import batched_ids
from connector.db.tables import ApplicationRow, BankMatch, BankReceipt, CreditRow, InvoiceRow, PaymentRow, Task
from connector.vocabulary import MatchState, ReceiptState, TaskCode, TaskState
from policies.receivables import CreditKind

REMOVED_IN_LEDGER = "the accounting system no longer shows the payment"
_CREDIT_KINDS = frozenset(CreditKind) - {CreditKind.PAYMENT}
_DELETED_WITHIN = timedelta(days=400)  # a direct debit can come back after 13 months


def reopen_lost(session: Session, connection_id: int, at: datetime) -> None:
    """Match money again whose payment in the ledger was deleted; what a person had confirmed is confirmed again."""
    rows = session.scalars(
        select(BankReceipt).where(
            col(BankReceipt.connection_id) == connection_id,
            col(BankReceipt.state) == ReceiptState.IN_LEDGER,
            col(BankReceipt.ledger_payment) != "",
            col(BankReceipt.booked_on) >= at.date() - _DELETED_WITHIN,
        )
    ).all()
    wanted = {key for row in rows for key in row.ledger_payment.split(",")}
    known = _standing_payments(session, connection_id, wanted)
    lost = [row for row in rows if not known.issuperset(row.ledger_payment.split(","))]
    for row in lost:
        row.state, row.ledger_payment = ReceiptState.UNMATCHED, ""
        _confirm_again(session, row, at)


def end_taken_back(session: Session, connection_id: int, at: datetime) -> None:
    """Cancel the tasks to remove payments that the bank took back, where the ledger no longer shows them."""
    query = select(Task).where(
        col(Task.connection_id) == connection_id,
        col(Task.code) == TaskCode.PAYMENT_TAKEN_BACK,
        col(Task.state) == TaskState.OPEN,
    )
    for task in session.scalars(query).all():
        receipt = session.get(BankReceipt, int(task.key.rpartition(" ")[2]))
        if receipt is None or not _standing_payments(session, connection_id, receipt.ledger_payment.split(",")):
            task.state, task.outcome, task.ended_at = TaskState.CANCELLED, REMOVED_IN_LEDGER, at


def describe_owner(session: Session, receipt: BankReceipt) -> tuple[str, list[str]]:
    """Return whose payment of the ledger some money was recognised as, and the invoices that it pays.

    Money that was recognised by its amount alone says itself nothing of a customer.
    """
    payments = receipt.ledger_payment.split(",")
    of_company = col(ApplicationRow.connection_id) == receipt.connection_id
    rows = session.execute(
        select(col(ApplicationRow.source_kind), col(ApplicationRow.source_id), col(ApplicationRow.invoice_id)).where(
            of_company, col(ApplicationRow.source_id).in_([each.rpartition(":")[2] for each in payments])
        )
    )
    invoice_ids = [invoice_id for kind, source_id, invoice_id in rows if _key(kind, source_id) in payments]
    customer_id = receipt.customer_id or session.scalar(
        select(col(PaymentRow.customer_id)).where(
            col(PaymentRow.connection_id) == receipt.connection_id, col(PaymentRow.external_id).in_(payments)
        )
    )
    return customer_id or "", sorted(set(invoice_ids))


def find_payments_of(
    session: Session, connection_id: int, invoice_ids: Collection[str], free: Collection[str]
) -> list[str]:
    """Return the payments on these invoices that no other money was recognised as."""
    query = select(col(ApplicationRow.source_kind), col(ApplicationRow.source_id)).where(
        col(ApplicationRow.connection_id) == connection_id, col(ApplicationRow.invoice_id).in_(list(invoice_ids))
    )
    return sorted({_key(kind, source_id) for kind, source_id in session.execute(query)}.intersection(free))


def _confirm_again(session: Session, receipt: BankReceipt, at: datetime) -> None:
    query = (
        select(BankMatch)
        .join(
            InvoiceRow,
            (col(InvoiceRow.connection_id) == col(BankMatch.connection_id))
            & (col(InvoiceRow.external_id) == col(BankMatch.invoice_id)),
        )
        .where(
            col(BankMatch.connection_id) == receipt.connection_id,
            col(BankMatch.receipt_id) == receipt.id,
            col(BankMatch.state) == MatchState.IN_LEDGER,
            col(BankMatch.decided_by) != "",
            col(InvoiceRow.is_open),
        )
    )
    for row in session.scalars(query):
        row.state, row.changed_at = MatchState.CONFIRMED, at
        receipt.state, receipt.customer_id = ReceiptState.MATCHED, row.customer_id


def _standing_payments(session: Session, connection_id: int, wanted: Iterable[str]) -> set[str]:
    """Return those of the wanted payments and credits that the ledger still shows."""
    found: set[str] = set()
    credit_ids: list[str] = []
    payment_ids: list[str] = []
    for key in wanted:
        kind, _colon, credit_id = key.partition(":")
        (credit_ids if kind in _CREDIT_KINDS else payment_ids).append(credit_id if kind in _CREDIT_KINDS else key)
    for ids in batched_ids(payment_ids):
        payments = select(col(PaymentRow.external_id)).where(
            col(PaymentRow.connection_id) == connection_id, col(PaymentRow.external_id).in_(ids), is_standing()
        )
        found.update(session.scalars(payments))
    for ids in batched_ids(credit_ids):
        credits = select(col(CreditRow.kind), col(CreditRow.external_id)).where(
            col(CreditRow.connection_id) == connection_id, col(CreditRow.external_id).in_(ids)
        )
        found.update(_key(kind, external_id) for kind, external_id in session.execute(credits))
    return found


def _key(kind: str, external_id: str) -> str:
    """Return how money in the ledger is called by ``ledger_payment``: a payment by its id, a credit with its kind."""
    return external_id if kind == CreditKind.PAYMENT else f"{kind}:{external_id}"
