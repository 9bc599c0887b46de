"""What every reader returns: the lines of a statement, and the error for a file that cannot be read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from connector.vocabulary import LineStatus, StatementFormat

BYTES_MAX = 64 * 2**20
LINES_MAX = 250_000
TEXT_LENGTH_MAX = 1000  # of a payment's purpose; a bank's own limit is 140 to 420 characters
RAW_LENGTH_MAX = 4000  # of what is taken apart to find it
_REASON_LENGTH_MAX = 300  # it may quote the file


class StatementError(Exception):
    """A statement that cannot be read. ``line`` is where, counted from 1; 0 where no line can be named."""

    def __init__(self, reason: str, line: int = 0) -> None:
        """Build from the reason, and the line of the file."""
        short = reason if len(reason) <= _REASON_LENGTH_MAX else f"{reason[:_REASON_LENGTH_MAX]}…"
        super().__init__(f"Line {line}: {short}" if line else short)
        self.reason = short
        self.line = line


@dataclass(frozen=True, slots=True)
class BankLine:
    """One entry of an account.

    ``amount`` is positive for money that came in; ``line`` is where it begins in the file. ``reference`` is structured,
    ``text`` whatever the payer wrote; ``bank_reference`` is the bank's own, unique only at some banks. ``charges``
    is what banks kept of the payment. A ``batch`` stands for several payments that the file does not tell apart.
    """

    line: int
    account: str
    currency: str
    amount: Decimal
    booked_on: date
    value_on: date | None = None
    status: LineStatus = LineStatus.BOOKED
    payer: str = ""
    payer_account: str = ""
    reference: str = ""
    text: str = ""
    bank_reference: str = ""
    charges: Decimal = Decimal(0)
    batch: bool = False
    batch_amount: Decimal | None = None  # of the entry that this payment is a part of


@dataclass(frozen=True, slots=True)
class StatementFile:
    """A statement as read: its lines in the order of the file, and what a person should know about it."""

    format: StatementFormat
    lines: tuple[BankLine, ...]
    warnings: tuple[str, ...] = ()
