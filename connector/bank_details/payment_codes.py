"""What a banking app reads from a payment code: the EPC code for euros, and the code of a Swiss QR-bill.

Both are lines of text, and a line too many moves all that follow, so every field is one line by the time it stands
here. Amounts are written by us with two decimals: of the helpers there are, one rounds half to even and drops zeros.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from stdnum import iso11649

from connector.bank_details.accounts import BankDetails, swiss_text
from connector.plain_text import one_line
from connector.vocabulary import CodeKind
from policies.currencies import round_amount

TEXT_MAX = 140  # characters of remittance text, in both codes
AMOUNT_MAX = Decimal("999999999.99")
_EPC_BYTES_MAX = 331
_CREDITOR_REFERENCE_MAX = 21  # characters after RF and the two check digits
# What every bank in the SEPA area passes on unchanged, see EPC217-08; anything else may arrive as a dot or a blank.
_SEPA_CHARACTERS = re.compile(r"[^A-Za-z0-9/?:().,'+ -]+")

_PLAIN = str.maketrans("łŁđĐøØıħĦŧŦðÐ_–—&", "lLdDoOihHtTdD---+") | str.maketrans(
    {"ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "þ": "th", "Þ": "TH"}
)


@dataclass(frozen=True, slots=True)
class BankTransfer:
    """A transfer that a customer is asked for: into which account, how much, and what the payment says.

    ``reference`` names the invoices as people read them; ``creditor_reference`` is their ISO 11649 form, if any.
    ``code`` is what a banking app reads, "" where there is no such code for the account and currency.
    """

    details: BankDetails
    amount: Decimal
    reference: str
    creditor_reference: str = ""
    code_kind: CodeKind | None = None
    code: str = ""


def build_transfer(
    details: BankDetails, amount: Decimal, numbers: Sequence[str], payer_country: str = ""
) -> BankTransfer | None:
    """Return the transfer that pays ``amount`` for the invoices with these numbers; None where nothing is to pay.

    Euros to a Swiss account can be paid by both codes: the payer's country decides which one their bank reads.
    """
    amount = round_amount(amount, details.currency)
    if amount <= 0:
        return None
    reference = list_numbers(numbers, min(TEXT_MAX, _EPC_BYTES_MAX - _bytes_before_text(details)))
    structured = creditor_reference(numbers) if details.use_creditor_reference else ""
    transfer = BankTransfer(details, amount, reference, structured)
    if amount > AMOUNT_MAX:
        return transfer
    is_swiss = details.takes_swiss_code and (
        details.currency == "CHF" or not details.takes_epc_code or payer_country in {"", "CH", "LI"}
    )
    if is_swiss:
        return BankTransfer(details, amount, reference, structured, CodeKind.SWISS, _swiss_payload(transfer))
    if details.takes_epc_code:
        return BankTransfer(details, amount, reference, structured, CodeKind.EPC, _epc_payload(transfer))
    return transfer


def list_numbers(numbers: Sequence[str], length_max: int = TEXT_MAX) -> str:
    """Return the invoice numbers as one reference: as many as fit, and how many more there are.

    Whoever books the payment looks for the numbers, so each stands whole or not at all.
    """
    names = list(dict.fromkeys(filter(None, map(bank_text, numbers))))
    for count in range(len(names), 0, -1):
        rest = len(names) - count
        text = ", ".join(names[:count]) + (f" +{rest}" if rest else "")
        if len(text) <= length_max:
            return text
    return names[0][:length_max].rstrip() if names else ""


def creditor_reference(numbers: Sequence[str]) -> str:
    """Return the ISO 11649 reference of a single invoice, "" where its number cannot be one, or there are several."""
    if len(numbers) != 1:
        return ""
    number = re.sub("[^A-Z0-9]", "", bank_text(numbers[0]).upper())
    if not 0 < len(number) <= _CREDITOR_REFERENCE_MAX:
        return ""
    # The check digits make number + "RF00" leave 98 - remainder, as in an IBAN
    digits = "".join(str(int(char, 36)) for char in f"{number}RF00")
    return iso11649.validate(f"RF{98 - int(digits) % 97:02d}{number}")


def bank_text(text: str) -> str:
    """Return ``text`` in the characters that every bank passes on."""
    plain = "".join(
        char for char in unicodedata.normalize("NFKD", one_line(text, 60)) if not unicodedata.combining(char)
    )
    return " ".join(_SEPA_CHARACTERS.sub(" ", plain.translate(_PLAIN)).split())


def _epc_payload(transfer: BankTransfer) -> str:
    """Return the lines of an EPC code (EPC069-12, version 002, UTF-8); a reference is structured or text, never both.

    A payee name in letters of several bytes leaves less room for the text; banks compare the name, so that one stays.
    """
    details = transfer.details
    amount = f"EUR{transfer.amount:.2f}"
    lines = [
        "BCD",
        "002",
        "1",
        "SCT",
        details.bic,
        details.payee,
        details.account,
        amount,
        "",
        transfer.creditor_reference,
    ]
    return "\n".join(lines if transfer.creditor_reference else [*lines, transfer.reference])


def _bytes_before_text(details: BankDetails) -> int:
    """Return how much of an EPC code stands before its text, with the largest amount."""
    longest = BankTransfer(details, AMOUNT_MAX, "")
    return len(_epc_payload(longest).encode())


def _swiss_payload(transfer: BankTransfer) -> str:
    """Return the lines of a Swiss QR-bill (version 2.3): structured address, no debtor, whom the payer's bank knows.

    Ledgers hold customers' addresses in free lines; taking them apart would be guessing, and a wrong debtor is worse
    than none.
    """
    details = transfer.details
    payee = [details.payee, details.street, details.building_number, details.postcode, details.town, details.country]
    is_structured = bool(transfer.creditor_reference)
    lines = [
        *("SPC", "0200", "1", details.account),
        *("S", *map(swiss_text, payee)),
        *[""] * 7,  # ultimate creditor: for future use
        *(f"{transfer.amount:.2f}", details.currency),
        *[""] * 7,  # debtor
        "SCOR" if is_structured else "NON",
        transfer.creditor_reference,
        transfer.reference,
        "EPD",
    ]
    return "\n".join(lines)
