"""Whether a line of a statement is known already: from an overlapping file, or in another format.

Formats write one payment differently, and some banks give it a new reference with each download. So a line is known
where account, currency, amount and date agree and nothing contradicts; each known line stands for one new line only,
because two equal payments on one day are two.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import NamedTuple

from connector.bank.formats.bank_line import BankLine
from connector.bank.names import plain_upper
from connector.vocabulary import LineStatus, StatementFormat

_WORDS = re.compile(r"[A-Z0-9]{3,}")
_SAME_SHARE = 0.5  # of the words of the shorter text
_LATE = timedelta(days=10)  # so long a pending payment takes to be booked
_REVERSED_WITHIN = timedelta(days=400)  # a direct debit can come back after 13 months
_ACCOUNT_DIGITS_MIN = 4
_ANY = 0.01  # a single word in common
_RETURN_FEE_MAX = Decimal(25)  # banks take it together with what they take back


class Span(NamedTuple):
    """The days of a file, both included."""

    first_on: date
    last_on: date

    def is_inside(self, on: date) -> bool:
        """Return whether a day is neither the first nor the last: the file has all of it."""
        return self.first_on < on < self.last_on


@dataclass(slots=True, eq=False)
class KnownLine:
    """A stored line, as far as it is compared."""

    id: int
    format: StatementFormat
    account: str
    currency: str
    amount: Decimal
    booked_on: date
    value_on: date | None
    status: LineStatus
    payer: str
    text: str
    bank_reference: str
    batch_amount: Decimal | None
    is_batch: bool
    span: Span
    is_reversed: bool = False


class KnownLines:
    """The stored lines of a company, of which each is recognised once in a file."""

    def __init__(self, lines: Iterable[KnownLine]) -> None:
        """Build from all stored lines around the days of a file."""
        self._by_amount: defaultdict[tuple[str, Decimal], list[KnownLine]] = defaultdict(list)
        self._amounts: list[tuple[str, Decimal]] = []
        self._recognised: set[int] = set()
        self._words: dict[int, set[str]] = {}
        self._batches: defaultdict[tuple[str, Decimal, date], list[KnownLine]] = defaultdict(list)
        for each in lines:
            self._by_amount[each.currency, each.amount].append(each)
            if each.batch_amount is not None:
                self._batches[each.currency, each.batch_amount, each.booked_on].append(each)

    def recognise(self, line: BankLine, file_format: StatementFormat, span: Span) -> KnownLine | None:
        """Return the stored line that a line of a file is."""
        found = [
            each
            for each in self._by_amount.get((line.currency, line.amount), ())
            if each.id not in self._recognised and self._is_same(each, line, file_format, span)
        ]
        if not found:
            return None
        best = max(found, key=lambda each: (_same_reference(each, line), self._likeness(each, line), -each.id))
        self._recognised.add(best.id)
        return best

    def has_parts_of(self, line: BankLine) -> bool:
        """Return whether the payments of a batch are stored one by one, from a file that tells them apart."""
        parts = self._batches.get((line.currency, line.amount, line.booked_on), ())
        return line.batch and any(is_same_account(each.account, line.account) for each in parts)

    def whole_of(self, line: BankLine) -> KnownLine | None:
        """Return the stored batch whose payments a file now tells apart."""
        if line.batch_amount is None:
            return None
        for each in self._by_amount.get((line.currency, line.batch_amount), ()):
            if each.is_batch and each.booked_on == line.booked_on and is_same_account(each.account, line.account):
                return each
        return None

    def find_reversed(self, line: BankLine) -> KnownLine | None:
        """Return the payment that a reversal takes back: of the same amount before it, with the likest text."""
        equal = self._by_amount.get((line.currency, -line.amount), ())
        found = [each for each in equal if self._may_be_reversed(each, line)]
        likeness_min = _SAME_SHARE if not found else 0 if len(found) == 1 else _ANY
        found = found or [each for each in self._with_fee(line) if self._may_be_reversed(each, line)]
        best = max(found, key=lambda each: (self._likeness(each, line), each.booked_on, each.id), default=None)
        if best is None or self._likeness(best, line) < likeness_min:
            return None
        best.is_reversed = True
        return best

    def _with_fee(self, line: BankLine) -> list[KnownLine]:
        """Return what a reversal takes back together with the bank's fee for it."""
        if not self._amounts:  # all lines are known by now: reversals come last
            self._amounts = sorted(self._by_amount)
        least, most = -line.amount - _RETURN_FEE_MAX, -line.amount
        places = range(
            bisect_left(self._amounts, (line.currency, least)), bisect_left(self._amounts, (line.currency, most))
        )
        return [each for place in places for each in self._by_amount[self._amounts[place]]]

    def _may_be_reversed(self, known: KnownLine, line: BankLine) -> bool:
        return (
            not known.is_reversed
            and known.amount > 0
            and known.status is not LineStatus.REVERSAL
            and line.booked_on - _REVERSED_WITHIN <= known.booked_on <= line.booked_on
            and is_same_account(known.account, line.account)
        )

    def add(self, line: KnownLine) -> None:
        """Add a line that was just stored, for the reversals of the same file."""
        self._by_amount[line.currency, line.amount].append(line)
        self._amounts = []

    def forget(self, ids: Collection[int]) -> None:
        """Leave out lines that are stored no more."""
        for lines in self._by_amount.values():
            lines[:] = [each for each in lines if each.id not in ids]

    def _is_same(self, known: KnownLine, line: BankLine, file_format: StatementFormat, span: Span) -> bool:
        if (known.status is LineStatus.REVERSAL) != (line.status is LineStatus.REVERSAL):
            return False
        if not is_same_account(known.account, line.account) or not _is_same_day(known, line):
            return False
        if known.format is file_format and known.bank_reference and line.bank_reference:
            if known.bank_reference == line.bank_reference:
                return True
            is_whole_day = known.span.is_inside(line.booked_on) and span.is_inside(line.booked_on)
            return is_whole_day and (known.payer, known.text) == (line.payer, line.text)
        mine, other = self._known_words(known), _words(line.payer, line.text, line.reference)
        return not mine or not other or self._likeness(known, line) >= _SAME_SHARE

    def _likeness(self, known: KnownLine, line: BankLine) -> float:
        mine, other = self._known_words(known), _words(line.payer, line.text, line.reference)
        return len(mine & other) / min(len(mine), len(other)) if mine and other else 0.0

    def _known_words(self, known: KnownLine) -> set[str]:
        if known.id not in self._words:
            self._words[known.id] = _words(known.payer, known.text)
        return self._words[known.id]


def _words(*texts: str) -> set[str]:
    return set(_WORDS.findall(plain_upper(" ".join(texts))))


def _same_reference(known: KnownLine, line: BankLine) -> bool:
    return bool(known.bank_reference) and known.bank_reference == line.bank_reference


def _is_same_day(known: KnownLine, line: BankLine) -> bool:
    if known.status is LineStatus.PENDING and line.status is LineStatus.BOOKED:
        return known.booked_on - timedelta(days=1) <= line.booked_on <= known.booked_on + _LATE
    if known.status is LineStatus.BOOKED and line.status is LineStatus.PENDING:
        return line.booked_on - timedelta(days=1) <= known.booked_on <= line.booked_on + _LATE
    return known.booked_on == line.booked_on or (known.value_on is not None and known.value_on == line.value_on)


def is_same_account(first: str, second: str) -> bool:
    """Return whether two accounts are one: an IBAN, its national number, or only the last digits; "" is any."""
    if not first or not second or first == second:
        return True
    keys = sorted((_account_digits(first), _account_digits(second)), key=len)
    return len(keys[0]) >= _ACCOUNT_DIGITS_MIN and keys[1].endswith(keys[0])


def _account_digits(account: str) -> str:
    last = account.rsplit("/", 1)[-1]
    return re.sub(r"\D", "", last).lstrip("0")
