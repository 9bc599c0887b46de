"""What people say about money in the bank: it is for this invoice, it is not, or it is no customer's at all.

A yes or a no is remembered for the payer: the next payment from the same account or name is matched by it.
"""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Session

from connector.audit import sync_log
from connector.bank import matches
from connector.bank.match_writer import ACTIVE, describe
from connector.bank.names import normalise_name
from connector.db.invoice_names import title_of
from connector.db.tables import BankMatch, BankPayer, BankReceipt, Connection, CustomerRow, InvoiceRow
from connector.errors import NotPossible
from connector.vocabulary import LogKind, MatchCertainty, MatchState, ReceiptState

_SETTLED = (ReceiptState.REVERSED, ReceiptState.IN_LEDGER)


class MatchDecisionError(NotPossible):
    """A match that can no longer be decided about; the message says why."""


def confirm(session: Session, match_id: int, *, by: str, at: datetime) -> BankMatch:
    """Record that money is for the invoice it was matched with: it holds reminders, however sure the match was."""
    row, receipt = _get_active(session, match_id)
    if (left_e4 := _left_of(session, receipt, row.invoice_id)) < row.amount_e4:
        row.amount_e4, row.settles = left_e4, False
    row.state, row.changed_at, row.decided_by = MatchState.CONFIRMED, at, by
    receipt.state, receipt.customer_id = ReceiptState.MATCHED, row.customer_id
    _learn(session, receipt, row.customer_id, pays=True, by=by, at=at)
    _end_other_readings(session, receipt, at)
    session.get_one(Connection, row.connection_id).mirror_version += 1
    _log(session, row, receipt, by, at, "confirmed that {money} is for {invoice}")
    return row


def reject(session: Session, match_id: int, *, by: str, at: datetime) -> BankMatch:
    """Record that money is not for an invoice: nothing is held for it, and it is matched with others."""
    row, receipt = _get_active(session, match_id)
    row.state, row.changed_at, row.decided_by = MatchState.REJECTED, at, by
    others = [each for each in matches.list_of_receipt(session, receipt) if each.state in ACTIVE]
    if not any(each.customer_id == row.customer_id for each in others):
        _learn(session, receipt, row.customer_id, pays=False, by=by, at=at)
    if not others:
        receipt.state, receipt.customer_id = ReceiptState.UNMATCHED, ""
    _log(session, row, receipt, by, at, "said that {money} is not for {invoice}")
    connection = session.get_one(Connection, row.connection_id)
    connection.mirror_version += 1
    matches.refresh(session, connection, at=at)
    return row


def assign(session: Session, receipt: BankReceipt, invoice: InvoiceRow, *, by: str, at: datetime) -> BankMatch:
    """Record that money is for an invoice that nobody had found."""
    if receipt.connection_id != invoice.connection_id or receipt.state in _SETTLED:
        raise MatchDecisionError("This money cannot be for this invoice.")
    if receipt.currency != invoice.currency:
        raise MatchDecisionError(f"The money is in {receipt.currency}, the invoice in {invoice.currency}.")
    left_e4 = _left_of(session, receipt, invoice.external_id)
    if left_e4 <= 0:
        raise MatchDecisionError("All of this money is for other invoices. Say first which of them it is not for.")
    known = matches.list_of_receipt(session, receipt)
    for each in known:
        if each.state == MatchState.OPEN and each.invoice_id != invoice.external_id:
            each.state, each.changed_at = MatchState.ENDED, at
    row = next((each for each in known if each.invoice_id == invoice.external_id), None) or BankMatch(
        connection_id=receipt.connection_id,
        receipt_id=receipt.id or 0,
        invoice_id=invoice.external_id,
        customer_id=invoice.customer_id,
        currency=receipt.currency,
        certainty=MatchCertainty.SURE,
        score=100,
        parts=[("chosen by a person", 100)],
        state=MatchState.OPEN,
        received_on=receipt.booked_on,
        payer=receipt.payer,
        created_at=at,
        changed_at=at,
    )
    row.amount_e4, row.state = min(left_e4, invoice.due_e4), MatchState.OPEN
    session.add(row)
    session.flush()
    return confirm(session, row.id or 0, by=by, at=at)


def set_aside(session: Session, receipt: BankReceipt, *, by: str, at: datetime) -> None:
    """Record that money is no customer's payment: a loan, a refund, the owner's own."""
    if receipt.state in _SETTLED:
        raise MatchDecisionError("This money is settled already.")
    receipt.state, receipt.customer_id, receipt.decided_by = ReceiptState.SET_ASIDE, "", by
    session.get_one(Connection, receipt.connection_id).mirror_version += 1
    for row in matches.list_of_receipt(session, receipt):
        if row.state in ACTIVE:
            row.state, row.changed_at, row.decided_by = MatchState.REJECTED, at, by
            _learn(session, receipt, row.customer_id, pays=False, by=by, at=at)
            _log(session, row, receipt, by, at, "said that {money} is no customer's payment, and not for {invoice}")


def _get_active(session: Session, match_id: int) -> tuple[BankMatch, BankReceipt]:
    row = session.get(BankMatch, match_id)
    if row is None:
        raise MatchDecisionError(f"There is no match {match_id}. List them: duewell bank matches")
    receipt = session.get(BankReceipt, row.receipt_id)
    if row.state not in ACTIVE or receipt is None:
        raise MatchDecisionError(f"Match {match_id} is settled already.")
    return row, receipt


def _left_of(session: Session, receipt: BankReceipt, invoice_id: str) -> int:
    """Return what of some money is not confirmed for other invoices than this one: it pays for each of them once."""
    confirmed = (each for each in matches.list_of_receipt(session, receipt) if each.state == MatchState.CONFIRMED)
    return receipt.amount_e4 - sum(each.amount_e4 for each in confirmed if each.invoice_id != invoice_id)


def _end_other_readings(session: Session, receipt: BankReceipt, at: datetime) -> None:
    """End what else money may have been for, once all of it is for confirmed invoices."""
    known = matches.list_of_receipt(session, receipt)
    confirmed_e4 = sum(each.amount_e4 for each in known if each.state == MatchState.CONFIRMED)
    for each in known if confirmed_e4 >= receipt.amount_e4 else ():
        if each.state == MatchState.OPEN:
            each.state, each.changed_at = MatchState.ENDED, at


def _learn(session: Session, receipt: BankReceipt, customer_id: str, *, pays: bool, by: str, at: datetime) -> None:
    if not pays and _is_own_name(session, receipt, customer_id):
        return  # "not for this invoice" does not make them somebody else: their next payment is theirs again
    for key in filter(None, (receipt.payer_account, normalise_name(receipt.payer))):
        session.merge(
            BankPayer(
                connection_id=receipt.connection_id,
                payer_key=key,
                customer_id=customer_id,
                pays=pays,
                set_by=by,
                set_at=at,
            )
        )


def _is_own_name(session: Session, receipt: BankReceipt, customer_id: str) -> bool:
    customer = session.get(CustomerRow, (receipt.connection_id, customer_id))
    return customer is not None and normalise_name(receipt.payer) == normalise_name(customer.name) != ""


def _log(session: Session, row: BankMatch, receipt: BankReceipt, by: str, at: datetime, what: str) -> None:
    invoice = session.get(InvoiceRow, (row.connection_id, row.invoice_id))
    title = title_of(session, invoice) if invoice is not None else "an invoice"
    text = f"{by} {what.format(money=describe(receipt), invoice=title)}."
    sync_log.write(
        session,
        at=at,
        kind=LogKind.BANK_MATCH_DECIDED,
        text=text,
        connection_id=row.connection_id,
        customer_id=row.customer_id,
        invoice_id=row.invoice_id,
        facts={"receipt": row.receipt_id},
    )
