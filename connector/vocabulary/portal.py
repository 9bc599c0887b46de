"""What customers report in their portal."""

from __future__ import annotations

from enum import StrEnum


class ResponseKind(StrEnum):
    """What a customer can report; the addresses of the portal's forms have these values."""

    PAID = "paid"
    PROMISE = "promise"
    PLAN = "plan"
    DISPUTE = "dispute"
    WITHDRAW = "withdraw"
    FILE = "file"
    CONTACT = "contact"
    LANGUAGE = "language"
    STOP = "stop"


class ResponseState(StrEnum):
    """Where a response stands."""

    DRAFT = "draft"  # shown to the customer as a summary, and not sent
    SENT = "sent"
    UNDONE = "undone"  # by the customer, within an hour


class PaymentMethod(StrEnum):
    """How a customer says they paid; "" where they did not say."""

    NONE = ""
    BANK_TRANSFER = "bank_transfer"
    CARD = "card"
    DIRECT_DEBIT = "direct_debit"
    CHEQUE = "cheque"
    CASH = "cash"
    OTHER = "other"
