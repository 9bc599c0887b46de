"""Deposits of the ledger on no payment, stored as money in the bank: what they may be for is a person's to say."""

from __future__ import annotations

from collections.abc import Collection, Mapping
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
_REPLACED = (*_UNDECIDED, ReceiptState.REVERSED)
_MONEY = ("bank_reference", "currency", "amount_e4", "payer")
_STANDING = (MatchState.OPEN, MatchState.CONFIRMED)
_TEXT_MAX = 500


def store(session: Session, connection_id: int, page: ChangePage, at: datetime) -> int:
    """Store the deposits of a page and end what is gone of them; return how many lines changed."""
    if not page.replaced_deposits:
        return 0
    known = _load(session, connection_id, set(page.replaced_deposits))
    changed = 0
    for record in page.deposits:
        values = _values(record)
        row = _take(known, values)
        if row is None:
            if record.received_on >= at.date() - _AGE_MAX:
                changed += 1
                session.add(_build_row(connection_id, values, at))
        elif row.state in _REPLACED and any(getattr(row, name) != each for name, each in values.items()):
            changed += 1
            for name, each in values.items():
                setattr(row, name, each)
        if row is not None and row.state == ReceiptState.REVERSED:  # its payment was removed again
            changed += 1
            row.state = ReceiptState.UNMATCHED
    gone = [row for row in known if row.state in _UNDECIDED]
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


def _load(session: Session, connection_id: int, ids: Collection[str]) -> list[BankReceipt]:
    """Return what is stored of these deposits."""
    query = select(BankReceipt).where(
        col(BankReceipt.connection_id) == connection_id, col(BankReceipt.format) == StatementFormat.LEDGER
    )
    return [row for row in session.scalars(query) if row.bank_reference in ids]


def _take(known: list[BankReceipt], values: Mapping[str, Any]) -> BankReceipt | None:
    """Remove and return the row of the same money: lines move up when one before them is removed.

    What has another amount or payer now is other money, about which nobody has said anything yet.
    """
    same = [row for row in known if all(getattr(row, name) == values[name] for name in _MONEY)]
    if not same:
        return None
    found = min(same, key=lambda row: (row.state == ReceiptState.REVERSED, row.line != values["line"]))
    known.remove(found)
    return found


def _build_row(connection_id: int, values: Mapping[str, Any], at: datetime) -> BankReceipt:
    return BankReceipt(
        connection_id=connection_id,
        file_id=0,
        format=StatementFormat.LEDGER,
        status=LineStatus.BOOKED,
        state=ReceiptState.UNMATCHED,
        seen_at=at,
        **values,
    )


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
