"""Bank details are checked before they are stored: a wrong account is a payment that never comes."""

import pytest

from connector.bank_details.accounts import (
    BankDetailsError,
    format_account,
    format_bank_code,
    parse_bank_details,
)
from connector.vocabulary import AccountScheme

ADDRESS = {
    "street": "Bahnhofstrasse",
    "building_number": "1",
    "postcode": "8001",
    "town": "Zürich",
    "country": "Schweiz",
}
GOOD = {
    "german": {"currency": "eur", "payee": "Müller GmbH", "iban": "de89 3704 0044 0532 0130 00", "bic": "COBADEFF"},
    "swiss": {"currency": "CHF", "payee": "Bäckerei AG", "iban": "CH93 0076 2011 6238 5295 7", **ADDRESS},
    "liechtenstein": {"currency": "CHF", "payee": "Ab AG", "iban": "LI21 0881 0000 2324 013A A", **ADDRESS},
    "british": {"currency": "GBP", "payee": "Acme Ltd", "bank_code": "12-34-56", "account_number": "0123 4567"},
    "american": {"currency": "USD", "payee": "Acme Inc.", "bank_code": "021000021", "account_number": "000123456"},
    "australian": {"currency": "AUD", "payee": "Acme Pty", "bank_code": "062-000", "account_number": "12345678"},
}


@pytest.mark.parametrize(
    ("name", "account", "bank_code"),
    [
        ("german", "DE89 3704 0044 0532 0130 00", ""),
        ("swiss", "CH93 0076 2011 6238 5295 7", ""),
        ("liechtenstein", "LI21 0881 0000 2324 013A A", ""),
        ("british", "01234567", "12-34-56"),
        ("american", "000123456", "021000021"),
        ("australian", "12345678", "062-000"),
    ],
)
def test_an_account_is_kept_without_spaces_and_shown_as_its_country_writes_it(
    name: str, account: str, bank_code: str
) -> None:
    details = parse_bank_details(GOOD[name])
    assert (format_account(details), format_bank_code(details)) == (account, bank_code)
    assert " " not in details.account + details.bank_code
    assert details.currency == GOOD[name]["currency"].upper()


@pytest.mark.parametrize(
    ("name", "change", "field"),
    [
        ("german", {"iban": "DE89370400440532013001"}, "iban"),  # one digit wrong
        ("german", {"iban": "DE8937040044053201300"}, "iban"),  # one digit lost
        ("german", {"iban": ""}, "iban"),
        ("german", {"account_number": "12345678"}, "iban"),  # both kinds at once
        ("german", {"bic": "COBADE"}, "bic"),
        ("german", {"bic": "BNPAFRPP"}, "bic"),  # of a bank in another country
        ("german", {"payee": ""}, "payee"),
        ("german", {"payee": "x" * 71}, "payee"),
        ("german", {"payee": "𠀀" * 70}, "payee"),  # more bytes than an EPC code has room for
        ("german", {"currency": "Euro"}, "currency"),
        ("german", {"currency": "ERU"}, "currency"),  # there is none
        ("swiss", {"payee": "Ελλάς"}, "payee"),  # the Swiss code has Latin letters only
        ("swiss", {"town": "東京"}, "town"),
        ("swiss", {"iban": "CH44 3199 9123 0008 8901 2"}, "iban"),  # a QR-IBAN
        ("swiss", {"town": "", "street": "", "building_number": "", "postcode": "", "country": ""}, "town"),
        ("swiss", {"postcode": ""}, "postcode"),
        ("swiss", {"country": "Nowhere"}, "country"),
        ("swiss", {"street": "x" * 71}, "street"),
        ("british", {"bank_code": "12-34-5"}, "bank_code"),
        ("british", {"bank_code": "١٢٣٤٥٦"}, "bank_code"),  # digits of another script
        ("british", {"account_number": "1234567"}, "account_number"),
        ("british", {"currency": "NZD"}, "iban"),  # no sort codes there
        ("american", {"bank_code": "021000022"}, "bank_code"),  # its check digit is wrong
        ("american", {"bank_code": "000000000"}, "bank_code"),
        ("american", {"account_number": "123"}, "account_number"),
        ("australian", {"bank_code": "000-000"}, "bank_code"),
        ("australian", {"account_number": "1234"}, "account_number"),
    ],
)
def test_wrong_details_are_refused_with_the_field_that_is_wrong(name: str, change: dict[str, str], field: str) -> None:
    with pytest.raises(BankDetailsError) as refused:
        parse_bank_details(GOOD[name] | change)
    assert list(refused.value.fields) == [field]


def test_a_line_break_in_the_payee_becomes_a_blank() -> None:
    details = parse_bank_details(GOOD["german"] | {"payee": "Müller\r\nDE02120300000000202051"})
    assert details.payee == "Müller DE02120300000000202051"


def test_an_account_number_is_read_in_the_country_of_its_currency() -> None:
    schemes = {name: parse_bank_details(values).scheme for name, values in GOOD.items()}
    assert schemes["british"] is AccountScheme.UK
    assert schemes["american"] is AccountScheme.US
    assert schemes["australian"] is AccountScheme.AUSTRALIA
    assert schemes["german"] is AccountScheme.IBAN


@pytest.mark.parametrize(
    "iban", ["DE\uff18\uff19 3704 0044 0532 0130 00", "\u202aDE89\u200b3704\xa00044\u20090532\u20110130\ufeff00\u202c"]
)
def test_what_comes_along_when_an_account_is_pasted_is_left_out(iban: str) -> None:
    assert parse_bank_details(GOOD["german"] | {"iban": iban}).account == "DE89370400440532013000"
