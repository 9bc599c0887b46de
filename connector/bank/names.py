"""Names of payers and customers: the same company, however a bank or a clerk writes it."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from difflib import SequenceMatcher
from typing import NamedTuple

_WORDS = re.compile(r"[A-Z0-9]+")
_LEGAL_FORMS = frozenset(
    [
        "LTD",
        "LIMITED",
        "PLC",
        "LLP",
        "LLC",
        "INC",
        "INCORPORATED",
        "CORP",
        "CORPORATION",
        "CO",
        "COMPANY",
        "GMBH",
        "MBH",
        "AG",
        "KG",
        "OHG",
        "UG",
        "EK",
        "EV",
        "GBR",
        "SE",
        "SA",
        "SARL",
        "SAS",
        "EURL",
        "SASU",
        "SNC",
        "SL",
        "SLU",
        "SRL",
        "SPA",
        "SNC",
        "BV",
        "NV",
        "VOF",
        "CV",
        "LDA",
        "UNIPESSOAL",
        "PTY",
        "PTE",
        "AB",
        "AS",
        "APS",
        "OY",
        "KGAA",
        "PARTG",
        "THE",
        "AND",
        "UND",
        "ET",
        "Y",
        "E",
        "DE",
        "HERR",
        "FRAU",
        "MR",
        "MRS",
        "MS",
        "DR",
        "FA",
        "FIRMA",
    ]
)
_ENDS = _LEGAL_FORMS - {"A", "AS", "CO", "DE", "E", "ET", "SA", "SE", "Y"}  # no beginning of another word that was cut
_SPELLINGS = str.maketrans({"ß": "ss", "Æ": "AE", "æ": "ae", "Ø": "O", "ø": "o", "Ł": "L", "ł": "l"})
_UMLAUTS = str.maketrans({"Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ä": "ae", "ö": "oe", "ü": "ue"})
_SIMILAR, _PREFIX = 0.86, 3
ONE_WORD = 0.86  # the likeness where only one word of several is the same: Hans Müller and Müller GmbH
# At which banks cut names; where that is behind a blank, one less
_CUT_LENGTHS = frozenset({length - less for length in (16, 18, 22, 27, 32, 35, 54, 70) for less in (0, 1)})
_TEXT_WORDS_MAX, _NAME_WORDS_MAX = 40, 8
_COMMON_SHARE = 40  # a word in more names than this says nothing


_INSTITUTIONS = re.compile(
    r"\b(?:TAX|REVENUE|HMRC|IRS|INLAND REVENUE|CUSTOMS|TREASURY|FINANZAMT|FINANZKASSE|BUNDESKASSE|STEUER\w*|URSSAF"
    r"|DGFIP|TRESOR PUBLIC|AGENZIA|BELASTINGDIENST|HACIENDA|AEAT|SEGURANCA SOCIAL|SEGURIDAD SOCIAL|KRANKENKASSE|AOK"
    r"|INSURANCE|VERSICHERUNG\w*|ASSURANCE\w*|LOANS?|DARLEHEN|KREDIT|PRET|PAYROLL|WAGES|GEHALT|SALARY"
    r"|STRIPE|SUMUP|PAYPAL|ADYEN|MOLLIE|WORLDPAY|SQUARE|ZETTLE|IZETTLE|KLARNA|GOCARDLESS|ELAVON|BARCLAYCARD|CONCARDIS"
    r"|PAYONE|NEXI|WORLDLINE|SHOPIFY|AMAZON PAYMENTS|INTEREST|ZINSEN|SAVINGS|UMBUCHUNG|TRANSFER FROM OWN)\b"
)


def is_institution(payer: str) -> bool:
    """Return whether a payer that no customer is called like is an authority, an insurer or a payment service."""
    return _INSTITUTIONS.search(plain_upper(payer)) is not None


class NameMatch(NamedTuple):
    """A customer whose name is like a payer's: 1.0 is the same."""

    customer: str
    likeness: float


def plain_upper(text: str) -> str:
    """Return a text in capitals, without accents; umlauts as two letters."""
    if text.isascii():
        return text.upper()
    text = unicodedata.normalize("NFC", text)  # files from a Mac have the dots of an umlaut as a letter of their own
    text = unicodedata.normalize("NFKD", text.translate(_UMLAUTS).translate(_SPELLINGS))
    return "".join(each for each in text if not unicodedata.combining(each)).upper()


def _without_accents(name: str) -> str:
    """Return a name as banks write it that drop the dots of an umlaut: Muller."""
    parts = unicodedata.normalize("NFKD", name.translate(_SPELLINGS))
    return "".join(each for each in parts if not unicodedata.combining(each))


def name_words(name: str) -> tuple[str, ...]:
    """Return the words of a name that tell companies apart; all of them where none does."""
    words = _WORDS.findall(plain_upper(name).replace(".", "").replace("'", ""))
    return tuple(each for each in words if each not in _LEGAL_FORMS) or tuple(words)


def normalise_name(name: str) -> str:
    """Return a name as it is compared and remembered."""
    return " ".join(name_words(name))


class NameIndex:
    """The names of all customers, searched by words and their beginnings."""

    def __init__(self, names: Mapping[str, Iterable[str]]) -> None:
        """Build from the names of each customer."""
        self._words: dict[str, list[tuple[str, ...]]] = {}
        self._exact: defaultdict[str, set[str]] = defaultdict(set)
        self._by_word: defaultdict[str, set[str]] = defaultdict(set)
        self._by_start: defaultdict[str, set[str]] = defaultdict(set)
        self._found: dict[str, list[NameMatch]] = {}
        for customer, several in names.items():
            for words in {name_words(each) for name in several for each in (name, _without_accents(name))}:
                if not words:
                    continue
                self._words.setdefault(customer, []).append(words)
                self._exact["".join(words)].add(customer)
                for word in words:
                    self._by_word[word].add(customer)
                    self._by_start[word[:_PREFIX]].add(customer)

    def find(self, name: str) -> list[NameMatch]:
        """Return the customers with such a name, the likest first."""
        if name not in self._found:
            if len(self._found) > 50_000:
                self._found.clear()
            self._found[name] = self._search(name)
        return self._found[name]

    def _search(self, name: str) -> list[NameMatch]:
        words = name_words(name)
        if not words:
            return []
        joined = "".join(words)
        if exact := self._exact.get(joined):
            is_whole = plain_upper(name).replace(".", "").split()[-1] in _ENDS
            longer = self._cut_off(joined) if len(name.strip()) in _CUT_LENGTHS and not is_whole else set()
            return [NameMatch(each, 1.0) for each in sorted(exact | longer)]
        candidates: set[str] = set()
        for word in words:
            known = self._by_word.get(word, set())
            candidates |= known if len(known) <= _COMMON_SHARE else set()
            started = self._by_start.get(word[:_PREFIX], set())
            candidates |= started if len(started) <= _COMMON_SHARE else set()
        found = [NameMatch(each, max(_likeness(words, own) for own in self._words[each])) for each in candidates]
        kept = [each for each in found if each.likeness >= _SIMILAR]
        return sorted(kept, key=lambda each: (-each.likeness, each.customer))[:5]

    def find_in_text(self, text: str) -> set[str]:
        """Return the customers whose whole name, of two words or more, stands in a text."""
        words = [each for each in _WORDS.findall(plain_upper(text).replace("'", "")) if each not in _LEGAL_FORMS]
        words = words[:_TEXT_WORDS_MAX]
        found: set[str] = set()
        for place in range(len(words)):
            for count in range(2, min(_NAME_WORDS_MAX, len(words) - place) + 1):
                found |= self._exact.get("".join(words[place : place + count]), set())
        return found

    def _cut_off(self, joined: str) -> set[str]:
        """Return the customers whose longer name a bank would have cut to this one."""
        started = self._by_start.get(joined[:_PREFIX], set())
        return {each for each in started if any("".join(own).startswith(joined) for own in self._words[each])}


def _likeness(words: tuple[str, ...], own: tuple[str, ...]) -> float:
    """Return how alike two names are: letters in order, or all words of the shorter in the longer."""
    first, second = "".join(words), "".join(own)
    shorter, longer = sorted((set(words), set(own)), key=len)
    if shorter <= longer and sum(map(len, shorter)) >= 5 and len(shorter) * 2 >= len(longer):
        return 0.9 if len(shorter) > 1 or len(longer) == 1 else ONE_WORD
    if min(len(first), len(second)) >= 12 and (first.startswith(second) or second.startswith(first)):
        return 0.9  # cut off by the bank
    if abs(len(first) - len(second)) > max(len(first), len(second)) * 0.3:
        return 0.0
    matcher = SequenceMatcher(None, first, second, autojunk=False)
    return matcher.ratio() if matcher.real_quick_ratio() >= _SIMILAR and matcher.quick_ratio() >= _SIMILAR else 0.0
