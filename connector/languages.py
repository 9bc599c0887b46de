"""The languages emails and the customer portal are written in: money, numbers, dates and lists, formatted by Babel.

Babel follows CLDR, which is about habits, not accounting: it drops the minor units of HUF or IDR and rounds what does
not fit. So every amount is formatted with the ISO 4217 minor units from ``policies.currencies`` and never rounded.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from babel import Locale
from babel.dates import format_date, format_skeleton
from babel.lists import format_list
from babel.numbers import format_currency, format_decimal, get_currency_symbol

from policies.currencies import minor_units

NBSP = "\u00a0"
NARROW_NBSP = "\u202f"


@dataclass(frozen=True, slots=True)
class Language:
    """How one language writes amounts, numbers, dates and lists."""

    code: str
    locale: Locale
    money_locale: Locale  # its currency symbols and their place
    first_of_month: str = "1"  # French writes "1er août", which CLDR's patterns do not
    group_from: int = 1_000  # Spanish and Portuguese group digits from 10 000 on, which Babel does not know
    short_date: str = ""  # CLDR shortens dates in Portugal to digits alone: "3/12/2026"

    @property
    def name(self) -> str:
        """The language's name for itself, capitalised for a list of choices."""
        return str(self.locale.languages[self.code]).capitalize()

    def format_money(self, amount: Decimal, currency: str, *, with_code: bool = False) -> str:
        """Format an amount with its currency, exactly: digits beyond the currency's own are kept.

        ``with_code`` uses the ISO code instead of the symbol.
        """
        amount = amount or Decimal(0)  # without the sign of a negative zero
        symbol = currency if with_code else get_currency_symbol(currency, locale=self.money_locale)
        pattern = self.money_locale.currency_formats["standard"].pattern
        if symbol[-1:].isalpha():  # CLDR's spacing rule, which Babel leaves out: "CHF 12.00", but "€12.00"
            pattern = pattern.replace("¤#", f"¤{NBSP}#")
        if with_code:
            pattern = pattern.replace("¤", "¤¤")
        return format_currency(
            amount,
            currency,
            format=pattern.replace("0.00", _decimals(_digits(amount, minor_units(currency)))),
            locale=self.money_locale,
            currency_digits=False,
            group_separator=abs(amount) >= self.group_from,
        )

    def format_number(self, number: Decimal) -> str:
        """Format a number with the digits it has."""
        pattern = f"#,##{_decimals(_digits(number, 0))}"
        return format_decimal(
            number, format=pattern, locale=self.locale, group_separator=abs(number) >= self.group_from
        )

    def format_percent(self, percent: Decimal) -> str:
        """Format a percentage with the digits it has: "1.5%", "1,5 %"."""
        return str(self.locale.percent_formats[None].pattern).replace("#,##0", self.format_number(percent))

    def format_date(self, on: date | None, *, short: bool = False) -> str:
        """Format a date with its month in letters, because 3/12 is two different days in two countries."""
        if on is None:
            return "–"
        if short and self.short_date:
            text = format_date(on, self.short_date, locale=self.locale)
        elif short:
            text = format_skeleton("yMMMd", on, locale=self.locale)
        else:
            text = format_date(on, "long", locale=self.locale)
        if on.day == 1:
            text = text.replace("1", self.first_of_month, 1)
        return text.replace(" ", NBSP)

    def join_items(self, items: Sequence[str]) -> str:
        """Return "a, b and c"."""
        text = format_list(items, locale=self.locale)
        if self.code == "es" and len(items) > 1 and items[-1][:1] in "iI":  # a rule that CLDR does not have
            text = f"{text.removesuffix(f' y {items[-1]}')} e {items[-1]}"
        return text


ENGLISH = Language("en", Locale("en", "GB"), Locale("en"))  # British dates, but "$" and not "US$" for dollars
GERMAN = Language("de", Locale("de"), Locale("de"))
FRENCH = Language("fr", Locale("fr"), Locale("fr"), first_of_month="1er")
SPANISH = Language("es", Locale("es"), Locale("es"), group_from=10_000)
DUTCH = Language("nl", Locale("nl"), Locale("nl"))
ITALIAN = Language("it", Locale("it"), Locale("it"), first_of_month="1º")
PORTUGUESE = Language("pt", Locale("pt", "PT"), Locale("pt", "PT"), group_from=10_000, short_date="d MMM y")  # European

LANGUAGES = {each.code: each for each in (ENGLISH, GERMAN, FRENCH, SPANISH, DUTCH, ITALIAN, PORTUGUESE)}

# "il 8 novembre": before days that are spoken with a vowel, Italian elides the article.
_UNELIDED = re.compile(
    rf"\b(il|del|al|dal|nel|sul) (?=(?:8|11){NBSP}(?:gen|feb|mar|apr|mag|giu|lug|ago|set|ott|nov|dic))", re.IGNORECASE
)


def elide_articles(text: str) -> str:
    """Write "l’8 novembre" and "dall’11 marzo" in Italian; no other language has its articles before its months."""
    return _UNELIDED.sub(lambda match: _elided(match[1]), text)


def _elided(article: str) -> str:
    return f"{'L' if article[0].isupper() else 'l'}’" if article.lower() == "il" else f"{article}l’"


def replace_nbsp(text: str) -> str:
    """Replace no-break spaces by ordinary ones, for subjects and plain text."""
    return text.replace(NBSP, " ").replace(NARROW_NBSP, " ")


def language_of(tag: str) -> Language:
    """Return the language of a tag like ``de-AT``; English where there are no texts in it."""
    return LANGUAGES.get(_primary(tag), ENGLISH)


def browser_language(accept_language: str) -> Language:
    """Return the first language of an Accept-Language header that there are texts in; English where there is none."""
    wanted = (_primary(part.partition(";")[0].strip()) for part in accept_language.split(","))
    return next((LANGUAGES[code] for code in wanted if code in LANGUAGES), ENGLISH)


def _primary(tag: str) -> str:
    return tag.replace("_", "-").partition("-")[0].casefold()


def _digits(number: Decimal, least: int) -> int:
    """Return how many decimals a number needs, and at least ``least``."""
    exponent = number.normalize().as_tuple().exponent
    return max(least, -exponent if isinstance(exponent, int) else 0)


def _decimals(digits: int) -> str:
    return f"0.{'0' * digits}" if digits else "0"
