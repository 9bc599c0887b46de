"""The accounts that customers pay into, and the codes that banking apps read."""

from __future__ import annotations

from enum import StrEnum


class AccountScheme(StrEnum):
    """How an account is numbered."""

    IBAN = "iban"
    UK = "uk"
    US = "us"
    AUSTRALIA = "australia"


class BankDetailsEvent(StrEnum):
    """What happened to an account, which every owner is emailed of."""

    ENTERED = "entered"  # or removed
    CONFIRMED = "confirmed"
    CANCELLED = "cancelled"


class CodeKind(StrEnum):
    """Which payment code a banking app reads."""

    EPC = "epc"
    SWISS = "swiss"


class BankDetailsState(StrEnum):
    """Whether customers are given an account."""

    IN_USE = "in_use"
    WAITING = "waiting"  # entered, and not in use before its time
