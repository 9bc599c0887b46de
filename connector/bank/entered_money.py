"""Deposits of the ledger that a bank statement has as well: the statement knows more, so they count there, once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlmodel import Session, col

from connector.bank.match_writer import ACTIVE
from connector.bank.names import name_words
from connector.db.tables import BankMatch, BankReceipt
from connector.vocabulary import MatchState, ReceiptState, StatementFormat

_NEAR = timedelta(days=7)  # a deposit's date is when somebody entered it, or the bank's
_UNDECIDED = (ReceiptState.UNMATCHED, ReceiptState.MATCHED)


def settle_deposits(session: Session, connection_id: int, at: datetime) -> int:
    """End what deposits may be for whose money is on a statement; return how many are settled by that.

    What a person confirmed of such a deposit goes over to the money on the statement.
    """
    deposits = _load(session, connection_id, col(BankReceipt.format) == StatementFormat.LEDGER)
    deposits = [each for each in deposits if each.state in _UNDECIDED or not each.ledger_payment]
    if not any(each.state in _UNDECIDED for each in deposits):
        return 0
    first_on = min(each.booked_on for each in deposits) - _NEAR
    lines = _load(
        session,
        connection_id,
        col(BankReceipt.format) != StatementFormat.LEDGER,
        col(BankReceipt.booked_on) >= first_on,
        col(BankReceipt.amount_e4).in_({each.amount_e4 for each in deposits}),
    )
    settled = 0
    for deposit in sorted(deposits, key=lambda each: (each.state in _UNDECIDED, each.booked_on, each.id)):
        words = set(name_words(deposit.payer))
        near = [each for each in lines if _is_same_money(deposit, each)]
        if not near:
            continue
        line = min(
            near, key=lambda each: (not _names_payer(each, words), abs(each.booked_on - deposit.booked_on), each.id)
        )
        lines.remove(line)
        if deposit.state in _UNDECIDED:
            _settle(session, deposit, line, at)
            settled += 1
    return settled


def _load(session: Session, connection_id: int, *conditions: object) -> list[BankReceipt]:
    query = select(BankReceipt).where(col(BankReceipt.connection_id) == connection_id, *conditions)  # type: ignore[arg-type]
    return list(session.scalars(query.where(col(BankReceipt.state) != ReceiptState.REVERSED)))


def _is_same_money(deposit: BankReceipt, line: BankReceipt) -> bool:
    is_same = (deposit.currency, deposit.amount_e4) == (line.currency, line.amount_e4)
    return is_same and abs(line.booked_on - deposit.booked_on) <= _NEAR


def _names_payer(line: BankReceipt, words: set[str]) -> bool:
    """Return whether a line has a word of the payer's name: two customers may pay the same amount on one day."""
    return not words.isdisjoint(name_words(f"{line.payer} {line.text}"))


def _settle(session: Session, deposit: BankReceipt, line: BankReceipt, at: datetime) -> None:
    known = _matches(session, deposit)
    of_line = {each.invoice_id: each for each in _matches(session, line)}
    takes_over = line.state in _UNDECIDED and not any(each.state == MatchState.CONFIRMED for each in of_line.values())
    for row in known:
        if row.state not in ACTIVE:
            continue
        if row.state == MatchState.CONFIRMED and takes_over:
            if (same := of_line.get(row.invoice_id)) is not None:
                session.delete(same)
                session.flush()
            row.receipt_id, row.received_on, row.changed_at = line.id or 0, line.booked_on, at
            line.state, line.customer_id = ReceiptState.MATCHED, row.customer_id
        else:
            row.state, row.changed_at = MatchState.ENDED, at
    deposit.state = ReceiptState.IN_LEDGER


def _matches(session: Session, receipt: BankReceipt) -> Sequence[BankMatch]:
    query = select(BankMatch).where(
        col(BankMatch.connection_id) == receipt.connection_id, col(BankMatch.receipt_id) == receipt.id
    )
    return session.scalars(query.order_by(col(BankMatch.id))).all()
