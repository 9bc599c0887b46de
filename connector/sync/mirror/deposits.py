"""Deposits of the ledger on no payment, stored as money in the bank: what they may be for is a person's to say."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session
from sqlmodel import col

from connector.db.money import to_e4
from connector.db.tables import BankMatch, BankReceipt
from connector.plain_text import one_line
from connector.vocabulary import LineStatus, MatchState, ReceiptState, StatementFormat
from providers.ledger import ChangePage, DepositRecord

_AGE_MAX = timedelta(days=60)  # an older one is changed when it is reconciled, and is nobody's open money
_UNDECIDED = (ReceiptState.UNMATCHED, ReceiptState.MATCHED)
_STANDING = (MatchState.OPEN, MatchState.CONFIRMED)
_TEXT_MAX = 500


def store(session: Session, connection_id: int, page: ChangePage, at: datetime) -> int:
    """Store the deposits of a page and end what is gone of them; return how many lines changed."""
    if not page.replaced_deposits:
        return 0
    known = _load(session, connection_id, set(page.replaced_deposits))
    changed = 0
    for record in page.deposits:
        row = known.pop((record.external_id, record.line), None)
        if row is None and record.received_on < at.date() - _AGE_MAX:
            continue
        values = _values(record)
        if row is None:
            changed += 1
            session.add(
                BankReceipt(
                    connection_id=connection_id,
                    file_id=0,
                    format=StatementFormat.LEDGER,
                    status=LineStatus.BOOKED,
                    state=ReceiptState.UNMATCHED,
                    seen_at=at,
                    **values,
                )
            )
        elif row.state in _UNDECIDED and any(getattr(row, name) != each for name, each in values.items()):
            changed += 1
            for name, each in values.items():
                setattr(row, name, each)
    gone = [row for row in known.values() if row.state in _UNDECIDED]
    for row in gone:
        row.state = ReceiptState.REVERSED
    ended = (
        update(BankMatch)
        .where(
            col(BankMatch.connection_id) == connection_id,
            col(BankMatch.receipt_id).in_([row.id for row in gone]),
            col(BankMatch.state).in_(_STANDING),
        )
        .values(state=MatchState.ENDED, changed_at=at)
    )
    if gone:
        session.execute(ended)
    return changed + len(gone)


def _load(session: Session, connection_id: int, ids: Collection[str]) -> dict[tuple[str, int], BankReceipt]:
    """Return what is stored of these deposits."""
    query = select(BankReceipt).where(
        col(BankReceipt.connection_id) == connection_id, col(BankReceipt.format) == StatementFormat.LEDGER
    )
    rows = session.scalars(query)
    return {(row.bank_reference, row.line): row for row in rows if row.bank_reference in ids}


def _values(record: DepositRecord) -> dict[str, Any]:
    return {
        "bank_reference": record.external_id,
        "line": record.line,
        "currency": record.currency,
        "amount_e4": to_e4(record.amount),
        "booked_on": record.received_on,
        "payer": one_line(record.payer, _TEXT_MAX),
        "text": one_line(record.text, _TEXT_MAX),
    }
