"""Invoice numbers inside what payers write: INV-0042, inv 42, Rechnung 42, or cut in two by a bank."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from connector.bank.names import plain_upper

FULL, NAMED, DIGITS = 50, 45, 25  # how strong it is: letters and digits; digits after a word for invoice; digits alone
_REFERENCE = 60
_TOKENS = re.compile(r"[A-Z0-9]+")
_GROUPS = re.compile(r"[A-Z]+|\d+")
_WORDS = frozenset(
    [
        "INV",
        "INVOICE",
        "INVOICES",
        "INVNO",
        "RECHNUNG",
        "RECHNUNGSNR",
        "RECHNUNGSNUMMER",
        "RECHNR",
        "RNR",
        "RG",
        "RE",
        "RGNR",
        "RENR",
        "FACTURE",
        "FACT",
        "FAC",
        "FA",
        "FAKTUUR",
        "FACTUUR",
        "FACTUURNR",
        "FACTURA",
        "FATTURA",
        "FATT",
        "FT",
        "FRA",
        "NR",
        "NO",
        "NUM",
        "NUMBER",
        "NUMMER",
        "BILL",
        "REF",
        "BELEG",
        "BELEGNR",
        "KVK",
        "N",
    ]
)
_JOINERS = frozenset({"AND", "UND", "ET", "Y", "E", "EN"})
_TOKENS_MAX, _JOINED_MAX = 60, 4
_STRONG_DIGITS, _SOME_DIGITS = 6, 4
_TWO_PARTS, _SWISS_LENGTH = 2, 27
_ISO_REFERENCE = re.compile(r"RF\d{2}([0-9A-Z]{1,21})$")


class NumberHit(NamedTuple):
    """An invoice that a text names, and how strongly."""

    invoice_id: str
    points: int
    text: str


class NumberIndex:
    """The numbers of all invoices that may be paid or were lately."""

    def __init__(self, numbers: Iterable[tuple[str, str]]) -> None:
        """Build from (invoice id, number)."""
        self._joined: defaultdict[str, set[str]] = defaultdict(set)
        self._grouped: defaultdict[tuple[str, ...], set[str]] = defaultdict(set)
        self._digits: defaultdict[str, set[str]] = defaultdict(set)
        self._numbers: dict[str, str] = {}
        self._lengths: set[int] = set()
        for invoice_id, number in numbers:
            joined = "".join(_TOKENS.findall(plain_upper(number)))
            groups = _GROUPS.findall(joined)
            if not any(each.isdecimal() for each in groups):
                continue
            self._numbers[invoice_id] = number
            if not joined.isdecimal():
                self._joined[joined].add(invoice_id)
                self._grouped[tuple(map(_bare, groups))].add(invoice_id)
                self._lengths.add(len(groups))
            digits = next(each for each in reversed(groups) if each.isdecimal()) if not joined.isdecimal() else joined
            self._digits[_bare(digits)].add(invoice_id)

    def find(self, text: str, reference: str = "") -> list[NumberHit]:
        """Return the invoices that a purpose or a structured reference names, each with its strongest evidence."""
        best: dict[str, NumberHit] = {}
        for hit in [*self._in_reference(reference), *self._in_text(text)]:
            known = best.get(hit.invoice_id)
            if known is None or hit.points > known.points:
                best[hit.invoice_id] = hit
        strongest = max((hit.points for hit in best.values()), default=0)
        # Where a number stands in full, the same digits with another prefix are no second invoice.
        return [hit for hit in best.values() if hit.points >= NAMED or strongest < NAMED]

    def _in_text(self, text: str) -> Iterator[NumberHit]:
        tokens = _TOKENS.findall(plain_upper(text))[:_TOKENS_MAX] if text else []
        yield from self._whole_numbers(tokens)
        is_named = False
        for token in tokens:
            yield from self._by_digits(token, is_named=is_named)
            is_number = token.isdecimal() or token in _JOINERS  # "inv 41, 42 and 43"
            is_named = token in _WORDS or (is_named and is_number)

    def _whole_numbers(self, tokens: Sequence[str]) -> Iterator[NumberHit]:
        """Yield the numbers with letters: in neighbouring words, and whatever zeros and spaces are in them."""
        for place in range(len(tokens)):
            joined = ""
            for token in tokens[place : place + _JOINED_MAX]:
                joined += token
                for each in self._joined.get(joined, ()):
                    yield NumberHit(each, FULL, self._numbers[each])
        bare = [_bare(group) for token in tokens for group in _GROUPS.findall(token)]
        for length in self._lengths:
            for place in range(len(bare) - length + 1):
                for each in self._grouped.get(tuple(bare[place : place + length]), ()):
                    yield NumberHit(each, FULL, self._numbers[each])

    def _by_digits(self, token: str, *, is_named: bool) -> Iterator[NumberHit]:
        """Yield the numbers of which only digits are written, behind a word for invoice or alone."""
        digits = token
        if not token.isdecimal():  # RE42: a word and digits as one
            parts = _GROUPS.findall(token)
            if len(parts) != _TWO_PARTS or parts[0] not in _WORDS:
                return
            digits, is_named = parts[1], True
        if not digits.isdecimal():
            return
        for each in self._digits.get(_bare(digits), ()):
            if is_named:
                yield NumberHit(each, NAMED, self._numbers[each])
            elif len(_bare(digits)) >= _STRONG_DIGITS:
                yield NumberHit(each, FULL if self._numbers[each].isdecimal() else NAMED, self._numbers[each])
            elif len(digits) >= _SOME_DIGITS:
                yield NumberHit(each, DIGITS, self._numbers[each])

    def _in_reference(self, reference: str) -> Iterator[NumberHit]:
        """Find the number in a creditor reference: behind its check digits, or before the last one of a Swiss QR."""
        for word in reference.split():
            plain = "".join(_TOKENS.findall(plain_upper(word)))
            iso = _ISO_REFERENCE.fullmatch(plain)
            core = iso[1] if iso else plain
            bare = tuple(map(_bare, _GROUPS.findall(core)))
            for each in {*self._joined.get(core, ()), *self._grouped.get(bare, ())}:
                yield NumberHit(each, _REFERENCE, self._numbers[each])
            yield from self._in_digits_of(core, is_iso=iso is not None)

    def _in_digits_of(self, core: str, *, is_iso: bool) -> Iterator[NumberHit]:
        if not core.isdecimal():
            return
        is_swiss = len(core) == _SWISS_LENGTH
        for digits in {_bare(core), _bare(core[:-1] if is_swiss else core)}:
            is_strong = is_iso or is_swiss or len(digits) >= _SOME_DIGITS
            for each in self._digits.get(digits, ()):
                yield NumberHit(each, _REFERENCE if is_strong else DIGITS, self._numbers[each])


def _bare(group: str) -> str:
    return group.lstrip("0") or "0" if group.isdecimal() else group
