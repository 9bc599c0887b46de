"""The lines that earlier files have brought, as they are compared with those of a new one."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select
from sqlmodel import Session, col

from connector.bank.formats.bank_line import StatementFile
from connector.bank.known_lines import KnownLine, Span
from connector.db.money import from_e4
from connector.db.tables import BankFile, BankReceipt
from connector.vocabulary import LineStatus, ReceiptState, StatementFormat

_KNOWN_DAYS = timedelta(days=15)  # around a file, for what it overlaps with


def load_known(session: Session, connection_id: int, span: Span, file: StatementFile) -> list[KnownLine]:
    """Return the stored lines around the days of a file; where it has reversals, all of the last year."""
    has_reversals = any(line.status is LineStatus.REVERSAL for line in file.lines)
    since_on = span.first_on - (timedelta(days=400) if has_reversals else _KNOWN_DAYS)
    query = (
        select(BankReceipt, col(BankFile.first_on), col(BankFile.last_on))
        .join(BankFile, col(BankFile.id) == col(BankReceipt.file_id))
        .where(
            col(BankReceipt.connection_id) == connection_id,
            col(BankReceipt.booked_on) >= since_on,
            col(BankReceipt.booked_on) <= span.last_on + _KNOWN_DAYS,
        )
    )
    return [known_line(receipt, Span(first_on, last_on)) for receipt, first_on, last_on in session.execute(query)]


def known_line(receipt: BankReceipt, span: Span) -> KnownLine:
    """Return a stored line as it is compared; ``span`` are the days of its file."""
    return KnownLine(
        id=receipt.id or 0,
        format=StatementFormat(receipt.format),
        account=receipt.account,
        currency=receipt.currency,
        amount=from_e4(receipt.amount_e4),
        booked_on=receipt.booked_on,
        value_on=receipt.value_on,
        status=LineStatus(receipt.status),
        payer=receipt.payer,
        text=f"{receipt.text} {receipt.reference}".strip() if receipt.reference not in receipt.text else receipt.text,
        bank_reference=receipt.bank_reference,
        batch_amount=None if receipt.batch_e4 is None else from_e4(receipt.batch_e4),
        is_batch=receipt.is_batch,
        span=span,
        is_reversed=receipt.state == ReceiptState.REVERSED,
    )
