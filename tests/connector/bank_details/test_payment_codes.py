"""Payment codes, read back by the reader of another project, hold what the invoice says."""

import io
from decimal import Decimal

import pytest
import zxingcpp
from PIL import Image
from stdnum import iso11649

from connector.bank_details.accounts import BankDetails, parse_bank_details
from connector.bank_details.code_image import draw_code
from connector.bank_details.payment_codes import (
    TEXT_MAX,
    BankTransfer,
    bank_text,
    build_transfer,
    creditor_reference,
    list_numbers,
)
from connector.vocabulary import CodeKind

ADDRESS = {"street": "Bahnhofstrasse", "building_number": "1a", "postcode": "8001", "town": "Zürich", "country": "CH"}
SWISS_IBAN = "CH93 0076 2011 6238 5295 7"


def details(currency: str = "EUR", iban: str = "DE89 3704 0044 0532 0130 00", **more: str) -> BankDetails:
    return parse_bank_details({"currency": currency, "payee": "Müller & Söhne GmbH", "iban": iban, **more})


def transfer(
    of: BankDetails, amount: str = "4680", numbers: tuple[str, ...] = ("INV-1560",), payer: str = ""
) -> BankTransfer:
    built = build_transfer(of, Decimal(amount), numbers, payer)
    assert built is not None
    return built


def scan(made: BankTransfer) -> list[str]:
    """Return the lines that a phone reads; the code's error correction is the one that the standards name."""
    (code,) = zxingcpp.read_barcodes(Image.open(io.BytesIO(draw_code(made))))
    assert code.ec_level == "M"
    return code.text.split("\n")


def test_the_epc_code_holds_payee_account_amount_and_invoice() -> None:
    made = transfer(details(bic="COBADEFFXXX"))
    assert made.code_kind is CodeKind.EPC
    assert scan(made) == [
        *("BCD", "002", "1", "SCT", "COBADEFFXXX", "Müller & Söhne GmbH", "DE89370400440532013000"),
        *("EUR4680.00", "", "", "INV-1560"),
    ]


def test_the_swiss_code_holds_a_structured_address_and_no_debtor() -> None:
    made = transfer(details("CHF", SWISS_IBAN, **ADDRESS))
    assert made.code_kind is CodeKind.SWISS
    assert scan(made) == [
        *("SPC", "0200", "1", "CH9300762011623852957"),
        *("S", "Müller & Söhne GmbH", "Bahnhofstrasse", "1a", "8001", "Zürich", "CH"),
        *[""] * 7,
        *("4680.00", "CHF"),
        *[""] * 7,
        *("NON", "", "INV-1560", "EPD"),
    ]


@pytest.mark.parametrize(
    ("amount", "written"),
    [
        ("12.30", "EUR12.30"),
        ("12.345", "EUR12.35"),
        ("12.3449", "EUR12.34"),
        ("1E+3", "EUR1000.00"),
        ("0.01", "EUR0.01"),
    ],
)
def test_amounts_are_rounded_half_up_and_have_two_decimals(amount: str, written: str) -> None:
    assert scan(transfer(details(), amount))[7] == written


@pytest.mark.parametrize(("currency", "amount", "asked"), [("KWD", "12.345", "12.345"), ("JPY", "1200.00", "1200")])
def test_an_amount_has_the_decimals_of_its_currency(currency: str, amount: str, asked: str) -> None:
    made = transfer(details(currency), amount)
    assert (str(made.amount), made.code) == (asked, "")


@pytest.mark.parametrize("amount", ["0", "-5", "0.004"])
def test_nothing_to_pay_has_no_transfer(amount: str) -> None:
    assert build_transfer(details(), Decimal(amount), ["INV-1"]) is None


def test_an_amount_that_no_code_can_hold_is_still_printed() -> None:
    made = transfer(details(), "1000000000")
    assert (made.code, draw_code(made), made.amount) == ("", b"", Decimal("1000000000.00"))


@pytest.mark.parametrize(
    ("of", "payer", "kind"),
    [
        (details("EUR", SWISS_IBAN, bic="UBSWCHZH80A", **ADDRESS), "DE", CodeKind.EPC),
        (details("EUR", SWISS_IBAN, bic="UBSWCHZH80A", **ADDRESS), "CH", CodeKind.SWISS),
        (details("EUR", SWISS_IBAN, bic="UBSWCHZH80A", **ADDRESS), "", CodeKind.SWISS),
        (details("EUR", SWISS_IBAN, **ADDRESS), "DE", CodeKind.SWISS),  # outside the EEA a BIC is needed
        (details("EUR", "LI21 0881 0000 2324 013A A", **ADDRESS), "DE", CodeKind.EPC),
        (details("EUR", "GB29 NWBK 6016 1331 9268 19"), "", None),
        (details("EUR", "GB29 NWBK 6016 1331 9268 19", bic="NWBKGB2L"), "", CodeKind.EPC),
        (details("CHF"), "CH", None),  # francs to a German account
        (details("EUR", "AE07 0331 2345 6789 0123 456"), "", None),  # not in the SEPA area
    ],
)
def test_the_code_is_the_one_that_the_payers_bank_reads(of: BankDetails, payer: str, kind: CodeKind | None) -> None:
    assert transfer(of, payer=payer).code_kind == kind


def test_several_invoices_are_listed_whole_within_the_text() -> None:
    numbers = tuple(f"INV-{number}" for number in range(1500, 1530))
    text = scan(transfer(details(), numbers=numbers))[10]
    named, _, rest = text.rpartition(" +")
    assert named.split(", ") == list(numbers[: 30 - int(rest)])
    assert len(text) <= TEXT_MAX
    assert list_numbers(["INV-1", "INV-2", "INV-1"]) == "INV-1, INV-2"


def test_a_payee_name_of_wide_letters_leaves_less_room_for_the_text() -> None:
    wide = parse_bank_details({"currency": "EUR", "payee": "商" * 70, "iban": "MT84MALT011000012345MTLCAST001S"})
    lines = scan(transfer(wide, numbers=tuple(f"INV-{number}" for number in range(1500, 1530))))
    assert lines[5] == "商" * 70
    assert len("\n".join(lines).encode()) <= 331
    assert lines[10].startswith("INV-1500, INV-1501")


@pytest.mark.parametrize(
    ("number", "written"),
    [
        ("RE_2026/17", "RE-2026/17"),
        ("Ré 12", "Re 12"),
        ("INV#12\nEUR1", "INV 12 EUR1"),
        ("№ 🎉", "No"),
        ("A&B-1", "A+B-1"),
    ],
)
def test_a_number_is_written_in_characters_that_every_bank_passes_on(number: str, written: str) -> None:
    lines = scan(transfer(details(), numbers=(number,)))
    assert lines[10:] == [written]


@pytest.mark.parametrize("number", ["INV-1560", "7", "2026/000123", "ABCDEFGHIJKLMNOPQRSTU"])
def test_a_creditor_reference_has_right_check_digits(number: str) -> None:
    reference = creditor_reference([number])
    assert iso11649.is_valid(reference)
    assert reference.endswith(number.replace("-", "").replace("/", ""))


def test_a_creditor_reference_stands_instead_of_the_text_and_only_for_one_invoice() -> None:
    structured = details(use_creditor_reference="yes")
    assert scan(transfer(structured))[9:] == ["RF45INV1560"]
    assert scan(transfer(structured, numbers=("INV-1", "INV-2")))[9:] == ["", "INV-1, INV-2"]
    assert creditor_reference(["x" * 22]) == ""
    swiss = details("CHF", SWISS_IBAN, use_creditor_reference="yes", **ADDRESS)
    assert scan(transfer(swiss))[27:] == ["SCOR", "RF45INV1560", "INV-1560", "EPD"]


@pytest.mark.parametrize(
    ("number", "expected"), [("FV/12/ŁÓDŹ", "FV/12/LODZ"), ("Straße–7 & Søn_1", "Strasse-7 + Son-1")]
)
def test_letters_that_banks_do_not_pass_on_become_plain_ones(number: str, expected: str) -> None:
    assert bank_text(number) == expected
