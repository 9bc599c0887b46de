"""Money and dates in every language; exact, unambiguous, and the same facts in each."""

import tomllib
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from connector import languages
from connector.emails.layout import render_line
from connector.languages import LANGUAGES, language_of, replace_nbsp

TEXTS_FOLDER = Path(languages.__file__).parent / "emails" / "templates" / "text"


@pytest.mark.parametrize(
    ("language", "amount", "currency", "written"),
    [
        ("en", "1234.5", "EUR", "€1,234.50"),
        ("en", "1234567.89", "USD", "$1,234,567.89"),
        ("en", "1234.5", "CAD", "CA$1,234.50"),
        ("en", "-12", "CHF", "-CHF 12.00"),
        ("en", "12.5", "HUF", "HUF 12.50"),
        ("de", "12.5", "IDR", "12,50 IDR"),
        ("fr", "1234.5", "USD", "1 234,50 $US"),
        ("en", "1000", "JPY", "¥1,000"),
        ("en", "1.5", "KWD", "KWD 1.500"),
        ("en", "0.0001", "EUR", "€0.0001"),
        ("en", "1E+3", "GBP", "£1,000.00"),
        ("en", "-0.00", "GBP", "£0.00"),
        ("de", "1234.5", "EUR", "1.234,50 €"),
        ("fr", "1234567.8", "EUR", "1 234 567,80 €"),
        ("es", "1234.5", "EUR", "1234,50 €"),
        ("es", "12345.6", "EUR", "12.345,60 €"),
        ("nl", "1234.5", "EUR", "€ 1.234,50"),
        ("nl", "-12", "GBP", "£ -12,00"),
        ("it", "1234.5", "EUR", "1.234,50 €"),
        ("pt", "1234.5", "EUR", "1234,50 €"),
        ("pt", "12345.6", "EUR", "12 345,60 €"),
    ],
)
def test_amounts_follow_the_language_and_are_not_rounded(
    language: str, amount: str, currency: str, written: str
) -> None:
    assert replace_nbsp(LANGUAGES[language].format_money(Decimal(amount), currency)) == written


@pytest.mark.parametrize(
    ("language", "on", "long", "short"),
    [
        ("en", date(2026, 12, 3), "3 December 2026", "3 Dec 2026"),
        ("de", date(2026, 3, 1), "1. März 2026", "1. März 2026"),
        ("fr", date(2026, 8, 1), "1er août 2026", "1er août 2026"),
        ("fr", date(2026, 1, 21), "21 janvier 2026", "21 janv. 2026"),
        ("es", date(2026, 9, 30), "30 de septiembre de 2026", "30 sept 2026"),
        ("nl", date(2026, 3, 8), "8 maart 2026", "8 mrt 2026"),
        ("it", date(2026, 8, 1), "1º agosto 2026", "1º ago 2026"),
        ("pt", date(2026, 11, 8), "8 de novembro de 2026", "8 nov. 2026"),
    ],
)
def test_dates_have_their_month_in_letters(language: str, on: date, long: str, short: str) -> None:
    assert replace_nbsp(LANGUAGES[language].format_date(on)) == long
    assert replace_nbsp(LANGUAGES[language].format_date(on, short=True)) == short


@pytest.mark.parametrize(
    ("tag", "code"),
    [("", "en"), ("de", "de"), ("DE_ch", "de"), ("fr-CA", "fr"), ("pt-BR", "pt"), ("sv", "en"), ("-", "en")],
)
def test_a_language_tag_finds_its_texts(tag: str, code: str) -> None:
    assert language_of(tag).code == code


@pytest.mark.parametrize(
    ("on", "written"),
    [
        (date(2026, 11, 8), "Entro l’8 novembre 2026, dall’8 novembre 2026"),
        (date(2026, 12, 11), "Entro l’11 dicembre 2026, dall’11 dicembre 2026"),
        (date(2026, 12, 18), "Entro il 18 dicembre 2026, dal 18 dicembre 2026"),
        (date(2026, 3, 1), "Entro il 1º marzo 2026, dal 1º marzo 2026"),
    ],
)
def test_italian_elides_the_article_before_a_day_spoken_with_a_vowel(on: date, written: str) -> None:
    day = LANGUAGES["it"].format_date(on)
    assert replace_nbsp(render_line("Entro il {{ day }}, dal {{ day }}", {"day": day})) == written


def test_every_language_has_the_same_texts() -> None:
    keys = {
        path.stem: {
            (table, name, tuple(sorted(text)) if isinstance(text, dict) else "")
            for table, lines in tomllib.loads(path.read_text()).items()
            for name, text in lines.items()
        }
        for path in TEXTS_FOLDER.glob("*.toml")
    }
    assert set(keys) == set(LANGUAGES)
    assert [code for code, found in keys.items() if found != keys["en"]] == []
