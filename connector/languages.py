"""Money and dates as people of a language write them: four small tables, never rounding, never a bare sum."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

NBSP = "\u00a0"
NARROW_NBSP = "\u202f"

# Signs that say which currency is meant by themselves; every other one is written by its code.
CURRENCY_SYMBOLS = {
    "EUR": "€", "GBP": "£", "USD": "$", "AUD": "A$", "CAD": "CA$", "NZD": "NZ$", "HKD": "HK$", "INR": "₹", "ILS": "₪",
}  # fmt: skip
# Digits after the point where they are not two (ISO 4217).
CURRENCY_DIGITS = {
    **dict.fromkeys(("CLP", "ISK", "JPY", "KRW", "PYG", "UGX", "VND", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}


@dataclass(frozen=True, slots=True)
class Language:
    """How one language writes figures and days. ``date`` is a pattern of {day}, {month} and {year}."""

    code: str
    months: tuple[str, ...]
    short_months: tuple[str, ...]
    long_date: str
    thousands_separator: str
    decimal_separator: str
    symbol_first: bool
    conjunction: str
    first_of_month: str = "1"
    short_date: str = "{day} {month} {year}"
    group_from_amount: int = 1000

    def format_money(self, amount: Decimal, currency: str) -> str:
        """Write a sum with its currency, exact: more digits than usual are shown, never rounded away."""
        figure = self.format_number(amount, CURRENCY_DIGITS.get(currency, 2))
        sign = CURRENCY_SYMBOLS.get(currency, currency)
        if not self.symbol_first:
            return f"{figure}{NBSP}{sign}"
        minus = "-" if figure.startswith("-") else ""
        return f"{minus}{sign}{'' if currency in CURRENCY_SYMBOLS else NBSP}{figure.removeprefix('-')}"

    def format_number(self, amount: Decimal, digits_min: int = 0) -> str:
        """Write a number with at least ``digits_min`` digits after the point and no useless zeros beyond."""
        amount = amount.normalize() if amount else Decimal(0)
        exponent = amount.as_tuple().exponent
        digits = max(digits_min, -exponent if isinstance(exponent, int) else 0)
        text = f"{amount:,.{digits}f}" if abs(amount) >= self.group_from_amount else f"{amount:.{digits}f}"
        return text.translate({ord(","): self.thousands_separator, ord("."): self.decimal_separator})

    def format_date(self, on: date | None, *, short: bool = False) -> str:
        """Write a day with its month in words, because 3/12 is two different days in two countries."""
        if on is None:
            return "–"
        months, pattern = (self.short_months, self.short_date) if short else (self.months, self.long_date)
        day = self.first_of_month if on.day == 1 else str(on.day)
        return pattern.format(day=day, month=months[on.month - 1], year=on.year).replace(" ", NBSP)

    def join_items(self, items: list[str]) -> str:
        """Write "a, b and c"."""
        if len(items) < 2:
            return "".join(items)
        return f"{', '.join(items[:-1])} {self.conjunction} {items[-1]}"


ENGLISH = Language(
    code="en",
    months=(
        "January", "February", "March", "April", "May", "June",
        "July", "August", "September", "October", "November", "December",
    ),
    short_months=("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
    long_date="{day} {month} {year}",
    thousands_separator=",",
    decimal_separator=".",
    symbol_first=True,
    conjunction="and",
)  # fmt: skip
GERMAN = Language(
    code="de",
    months=(
        "Januar", "Februar", "März", "April", "Mai", "Juni",
        "Juli", "August", "September", "Oktober", "November", "Dezember",
    ),
    short_months=("Jan.", "Feb.", "März", "Apr.", "Mai", "Juni", "Juli", "Aug.", "Sept.", "Okt.", "Nov.", "Dez."),
    long_date="{day}. {month} {year}",
    short_date="{day}. {month} {year}",
    thousands_separator=".",
    decimal_separator=",",
    symbol_first=False,
    conjunction="und",
)  # fmt: skip
FRENCH = Language(
    code="fr",
    months=(
        "janvier", "février", "mars", "avril", "mai", "juin",
        "juillet", "août", "septembre", "octobre", "novembre", "décembre",
    ),
    short_months=(
        "janv.", "févr.", "mars", "avr.", "mai", "juin", "juil.", "août", "sept.", "oct.", "nov.", "déc.",
    ),
    long_date="{day} {month} {year}",
    thousands_separator=NARROW_NBSP,
    decimal_separator=",",
    symbol_first=False,
    conjunction="et",
    first_of_month="1er",
)  # fmt: skip
SPANISH = Language(
    code="es",
    months=(
        "enero", "febrero", "marzo", "abril", "mayo", "junio",
        "julio", "agosto", "septiembre", "octubre", "noviembre", "diciembre",
    ),
    short_months=("ene", "feb", "mar", "abr", "may", "jun", "jul", "ago", "sept", "oct", "nov", "dic"),
    long_date="{day} de {month} de {year}",
    thousands_separator=".",
    decimal_separator=",",
    symbol_first=False,
    conjunction="y",
    group_from_amount=10_000,
)  # fmt: skip

LANGUAGES = {each.code: each for each in (ENGLISH, GERMAN, FRENCH, SPANISH)}


def replace_nbsp(text: str) -> str:
    """Use ordinary spaces where no browser breaks lines: subjects and plain text."""
    return text.replace(NBSP, " ").replace(NARROW_NBSP, " ")


def language_of(tag: str) -> Language:
    """Find the language of a tag like ``de-AT``; English where there are no texts in it."""
    return LANGUAGES.get(tag.replace("_", "-").split("-")[0].casefold(), ENGLISH)


def browser_language(accept_language: str) -> Language:
    """Find the first language a browser asks for that there are texts in; English where there is none."""
    wanted = (part.partition(";")[0].strip().partition("-")[0].lower() for part in accept_language.split(","))
    return LANGUAGES[next((code for code in wanted if code in LANGUAGES), "en")]
