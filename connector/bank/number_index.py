"""Invoice numbers inside what payers write: INV-0042, inv 42, Rechnung 42, or cut in two by a bank."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from connector.bank.names import plain_upper

# How strong it is: letters and digits; digits after a word for invoice; after one that also numbers other things
# ("customer no 1042"), or read in one of two ways; digits alone.
FULL, NAMED, VAGUE, DIGITS = 50, 45, 30, 27
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
_VAGUE_WORDS = frozenset(
    ["RE", "FA", "FT", "FRA", "NR", "NO", "NUM", "NUMBER", "NUMMER", "N", "REF", "BILL", "BELEG", "BELEGNR", "KVK"]
)
_DATES = re.compile(  # "of 12.05.2026" names neither invoice 12 nor invoice 2026
    r"(?<![\d./-])(?:(?:0?[1-9]|[12]\d|3[01])([./-])(?:0?[1-9]|1[0-2])\1(?:20)?\d\d"
    r"|(?:0?[1-9]|1[0-2])/(?:0?[1-9]|[12]\d|3[01])/(?:20)?\d\d"
    r"|20\d\d([./-])(?:0[1-9]|1[0-2])\2(?:0[1-9]|[12]\d|3[01]))(?![\d./-]*\d)"
)
_DATE_DIGITS = re.compile(
    r"20\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])|(?:0[1-9]|[12]\d|3[01])(?:0[1-9]|1[0-2])(?:20)?\d\d"
    r"|\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
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
        self._separated: defaultdict[tuple[str, ...], set[str]] = defaultdict(set)  # 2026-0107
        self._split: defaultdict[str, set[str]] = defaultdict(set)
        self._tails: defaultdict[str, set[str]] = defaultdict(set)  # 12 of RE-2026-0012
        self._numbers: dict[str, str] = {}
        self._lengths: set[int] = set()
        for invoice_id, number in numbers:
            tokens = _TOKENS.findall(plain_upper(number))
            joined = "".join(tokens)
            groups = _GROUPS.findall(joined)
            if not any(each.isdecimal() for each in groups):
                continue
            self._numbers[invoice_id] = number
            if not joined.isdecimal():
                self._joined[joined].add(invoice_id)
                self._grouped[tuple(map(_bare, groups))].add(invoice_id)
                self._lengths.add(len(groups))
            elif len(tokens) > 1 and len(joined) >= _STRONG_DIGITS:
                self._separated[tuple(tokens)].add(invoice_id)
                self._split[joined].add(invoice_id)
            if tokens[-1].isdecimal() and any(each[-1].isdecimal() for each in tokens[:-1]):
                self._tails[_bare(tokens[-1])].add(invoice_id)
            digits = next(each for each in reversed(groups) if each.isdecimal()) if not joined.isdecimal() else joined
            self._digits[_bare(digits)].add(invoice_id)

    def find(self, text: str, reference: str = "", *, every: bool = False) -> list[NumberHit]:
        """Return the invoices that a purpose or a structured reference names, each with its strongest evidence.

        With ``every`` also those that share only digits with a number that stands there in full.
        """
        best: dict[str, NumberHit] = {}
        for hit in [*self._in_reference(reference), *self._in_text(text)]:
            known = best.get(hit.invoice_id)
            if known is None or hit.points > known.points:
                best[hit.invoice_id] = hit
        strongest = max((hit.points for hit in best.values()), default=0)
        # Where a number stands in full, the same digits with another prefix are no second invoice.
        return [hit for hit in best.values() if every or hit.points >= NAMED or strongest < NAMED]

    def _in_text(self, text: str) -> Iterator[NumberHit]:
        if not text:
            return
        plain = plain_upper(text)
        tokens = _TOKENS.findall(plain)[:_TOKENS_MAX]
        whole = list(self._whole_numbers(tokens))
        yield from whole
        unclear = {hit.invoice_id for hit in whole if hit.points == VAGUE}
        points = 0  # of digits, by the word before them
        for token in _TOKENS.findall(_DATES.sub(" ON ", plain))[:_TOKENS_MAX]:
            yield from (hit for hit in self._by_digits(token, points) if hit.invoice_id not in unclear)
            is_number = token.isdecimal() or token in _JOINERS  # "inv 41, 42 and 43"
            if token in _WORDS:
                points = max(points, VAGUE) if token in _VAGUE_WORDS else NAMED
            elif not is_number:
                points = 0

    def _whole_numbers(self, tokens: Sequence[str]) -> Iterator[NumberHit]:
        """Yield the numbers with letters or marks: in neighbouring words, and whatever zeros and spaces are in them."""
        found: list[str] = []
        unclear: set[str] = set()  # INV-1 12: INV-1 and twelve of something, or INV-112 that a bank has cut
        for place in range(len(tokens)):
            joined, here = "", list[str]()
            for count, token in enumerate(tokens[place : place + _JOINED_MAX], 1):
                joined += token
                here += self._joined.get(joined, ())
                if count > 1:
                    found += self._separated.get(tuple(tokens[place : place + count]), ())
                    found += self._split.get(joined, ()) if count > _TWO_PARTS else ()  # 2026-01-4 77, cut by a bank
            found += here
            unclear.update(here if len({len(self._numbers[each]) for each in here}) > 1 else ())
        bare = [_bare(group) for token in tokens for group in _GROUPS.findall(token)]
        for length in self._lengths:
            for place in range(len(bare) - length + 1):
                found += self._grouped.get(tuple(bare[place : place + length]), ())
        for each in dict.fromkeys(found):
            yield NumberHit(each, VAGUE if each in unclear else FULL, self._numbers[each])

    def _by_digits(self, token: str, points: int) -> Iterator[NumberHit]:
        """Yield the numbers of which only digits are written, behind a word for invoice or alone."""
        digits = token
        if not token.isdecimal():  # RE42: a word and digits as one
            parts = _GROUPS.findall(token)
            if len(parts) != _TWO_PARTS or parts[0] not in _WORDS:
                return
            digits, points = parts[1], VAGUE if parts[0] in _VAGUE_WORDS else NAMED
        if not digits.isdecimal():
            return
        for each in self._tails.get(_bare(digits), ()) if points else ():
            yield NumberHit(each, VAGUE, self._numbers[each])  # "invoice 12" of this year or of another
        is_long = len(_bare(digits)) >= _STRONG_DIGITS and not _DATE_DIGITS.fullmatch(digits)
        for each in self._digits.get(_bare(digits), ()):
            if points >= NAMED:
                yield NumberHit(each, points, self._numbers[each])
            elif is_long:
                yield NumberHit(each, FULL if self._numbers[each].isdecimal() else NAMED, self._numbers[each])
            elif points or len(digits) >= _SOME_DIGITS:
                yield NumberHit(each, points or DIGITS, self._numbers[each])

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
            is_strong = is_iso or is_swiss or (len(digits) >= _STRONG_DIGITS and not _DATE_DIGITS.fullmatch(digits))
            weak = VAGUE if len(digits) >= _SOME_DIGITS else DIGITS  # a column of references has payers' own, too
            for each in self._digits.get(digits, ()):
                yield NumberHit(each, _REFERENCE if is_strong else weak, self._numbers[each])


def _bare(group: str) -> str:
    return group.lstrip("0") or "0" if group.isdecimal() else group
