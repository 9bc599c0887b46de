"""The stored matches: made equal to what matching finds, ended when the ledger shows the payment, decided by people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import func, select
from sqlmodel import Session, col

from connector.bank.entered_money import settle_deposits
from connector.bank.load_facts import build_receipt, load_facts
from connector.bank.lost_payments import end_taken_back, find_payments_of, reopen_lost
from connector.bank.match_writer import ACTIVE, MatchWriter, describe
from connector.bank.matching import match_receipts
from connector.db.money import from_e4
from connector.db.tables import BankFile, BankMatch, BankReceipt, Connection
from connector.vocabulary import LineStatus, MatchCertainty, MatchState, ReceiptState
from policies.formatting import format_date

_UNDECIDED = (ReceiptState.UNMATCHED, ReceiptState.MATCHED)
_MOST = Decimal("0.9")  # of a confirmed amount: the rest is a charge or a discount
_REFRESHED_MAX = 20_000  # receipts that are matched at once: a year of a large company


class FileCounts(NamedTuple):
    """How much of the money in a file is surely, probably and not for an invoice."""

    sure: int
    probable: int
    unmatched: int


def refresh(session: Session, connection: Connection, *, at: datetime, run_id: int | None = None) -> int:
    """Match money again that nothing has settled yet, and return how many matches changed.

    What was decided by a person stays. Money whose payment the ledger shows is done; where that payment is gone again,
    or a confirmed invoice was closed by something else, it is matched again. Of very much money, what came last.
    """
    connection_id = connection.id or 0
    writer = MatchWriter(session, connection_id, at, run_id)
    reopen_lost(session, connection_id, at)
    end_taken_back(session, connection_id, at)
    writer.changes += settle_deposits(session, connection_id, at)
    while rows := _undecided(session, connection_id):
        if not _match_again(session, connection_id, rows, writer):
            break
    if writer.changes:
        connection.mirror_version += 1  # forecasts and decisions depend on it
    connection.bank_matched_version = connection.mirror_version
    return writer.changes


def refresh_changed(session: Session, connection: Connection, *, at: datetime, run_id: int | None = None) -> int:
    """Match money again, unless neither the ledger nor what people said has changed since the last time."""
    return 0 if is_current(session, connection) else refresh(session, connection, at=at, run_id=run_id)


def is_current(session: Session, connection: Connection) -> bool:
    """Return whether all money was matched with the ledger as it is; also where no statement was ever imported."""
    is_unchanged = connection.bank_matched_version == connection.mirror_version
    return is_unchanged or not _has_receipts(session, connection.id or 0)


def _undecided(session: Session, connection_id: int) -> list[BankReceipt]:
    query = select(BankReceipt).where(
        col(BankReceipt.connection_id) == connection_id,
        col(BankReceipt.state).in_(_UNDECIDED),
        col(BankReceipt.status) != LineStatus.REVERSAL,
    )
    is_unmatched = col(BankReceipt.state) == ReceiptState.UNMATCHED
    newest = query.order_by(is_unmatched, col(BankReceipt.booked_on).desc(), col(BankReceipt.id).desc())
    return sorted(session.scalars(newest.limit(_REFRESHED_MAX)), key=lambda row: row.id or 0)


def _match_again(session: Session, connection_id: int, rows: Sequence[BankReceipt], writer: MatchWriter) -> bool:
    """Match these rows; return whether a confirmed match ended, so that its money has to be matched once more."""
    facts = load_facts(session, connection_id, rows)
    by_receipt = writer.load_matches(rows)
    decided = {row.id for row in rows if any(each.state == MatchState.CONFIRMED for each in by_receipt[row.id or 0])}
    result = match_receipts([build_receipt(row) for row in rows], facts)
    found = {each.receipt_id: each for each in result.matches if each.receipt_id not in decided}
    payments = {each.id: each for each in facts.payments}
    open_ids = {each.id for each in facts.invoices}
    taken = {key for ids in result.in_ledger.values() for key in ids.split(",")}
    free = {key: each.amount for key, each in payments.items() if key not in taken}
    has_ended = False
    for row in rows:
        known = by_receipt[row.id or 0]
        if (ids := result.in_ledger.get(row.id or 0)) is not None:
            payment = payments.get(ids.split(",")[0]) if row.id in result.recognised else None
            writer.mark_in_ledger(row, known, ids, payment)
        elif row.id in decided:
            confirmed = [each for each in known if each.state == MatchState.CONFIRMED]
            closed = [each for each in confirmed if each.invoice_id not in open_ids]
            if len(closed) < len(confirmed):
                continue
            # Closed by a payment of another amount, less charges say: it is this money. Else the money is free again.
            paid_by = find_payments_of(session, connection_id, [each.invoice_id for each in closed], free)
            paid = sum((free[key] for key in paid_by), Decimal(0))
            if paid >= _MOST * from_e4(sum(each.amount_e4 for each in closed)):
                for key in paid_by:
                    del free[key]
                writer.mark_in_ledger(row, known, ",".join(paid_by), None)
            else:
                writer.end_confirmed(row, closed)
                has_ended = True
        else:
            writer.store(row, known, found.get(row.id or 0))
    session.flush()
    return has_ended


def reverse(session: Session, receipt: BankReceipt, *, on: date, at: datetime) -> None:
    """Record that the bank took money back: nothing is held for it any more."""
    receipt.state = ReceiptState.REVERSED
    writer = MatchWriter(session, receipt.connection_id, at, None)
    session.get_one(Connection, receipt.connection_id).mirror_version += 1
    for row in list_of_receipt(session, receipt):
        if row.state in ACTIVE:
            row.state, row.changed_at = MatchState.ENDED, at
            text = f"{describe(receipt)} was taken back by the bank on {format_date(on)}: nothing is held for it."
            writer.log(row, text)


def list_of_receipt(session: Session, receipt: BankReceipt) -> list[BankMatch]:
    """Return all matches of money, whatever became of them."""
    query = select(BankMatch).where(
        col(BankMatch.connection_id) == receipt.connection_id, col(BankMatch.receipt_id) == receipt.id
    )
    return list(session.scalars(query.order_by(col(BankMatch.id))))


def count_of_file(session: Session, row: BankFile) -> FileCounts:
    """Return how the money in a file is matched, that of earlier files included that it repeats."""
    of_file = select(col(BankReceipt.id)).where(
        col(BankReceipt.connection_id) == row.connection_id, col(BankReceipt.file_id) == row.id
    )
    query = (
        select(col(BankMatch.certainty), func.count(func.distinct(col(BankMatch.receipt_id))))
        .where(
            col(BankMatch.connection_id) == row.connection_id,
            col(BankMatch.receipt_id).in_(of_file),
            col(BankMatch.state).in_(ACTIVE),
        )
        .group_by(col(BankMatch.certainty))
    )
    counts = {str(certainty): count for certainty, count in session.execute(query)}
    unmatched = session.scalar(
        select(func.count())
        .select_from(BankReceipt)
        .where(
            col(BankReceipt.connection_id) == row.connection_id,
            col(BankReceipt.file_id) == row.id,
            col(BankReceipt.state) == ReceiptState.UNMATCHED,
        )
    )
    return FileCounts(counts.get(MatchCertainty.SURE, 0), counts.get(MatchCertainty.PROBABLE, 0), unmatched or 0)


def _has_receipts(session: Session, connection_id: int) -> bool:
    """Return whether any statement of a company was ever imported."""
    query = select(col(BankReceipt.id)).where(col(BankReceipt.connection_id) == connection_id).limit(1)
    return session.scalar(query) is not None
