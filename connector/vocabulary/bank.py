"""Bank statements: their formats, what an entry on one is, and how sure a match with an invoice is."""

from __future__ import annotations

from enum import StrEnum


class StatementFormat(StrEnum):
    """The formats of bank statements that can be read, and where else money is seen."""

    CAMT = "camt"
    MT940 = "mt940"
    OFX = "ofx"
    BAI2 = "bai2"
    CSV = "csv"
    LEDGER = "ledger"  # no statement: a deposit in the accounting system that is on no payment


class LineStatus(StrEnum):
    """What an entry on a statement is: money that moved, money announced, or an earlier entry taken back."""

    BOOKED = "booked"
    PENDING = "pending"
    REVERSAL = "reversal"


class ReceiptState(StrEnum):
    """Where money that came in stands."""

    UNMATCHED = "unmatched"
    MATCHED = "matched"
    IN_LEDGER = "in_ledger"  # the accounting system shows the payment
    REVERSED = "reversed"  # it was taken back
    SET_ASIDE = "set_aside"  # a person said that it is no payment of a customer


class MatchCertainty(StrEnum):
    """How sure it is that money is for an invoice: only what is sure holds reminders."""

    SURE = "sure"
    PROBABLE = "probable"


class MatchState(StrEnum):
    """Where a match of money with an invoice stands."""

    OPEN = "open"
    CONFIRMED = "confirmed"
    REJECTED = "rejected"
    IN_LEDGER = "in_ledger"
    ENDED = "ended"  # the money was taken back, or the invoice is no longer open
