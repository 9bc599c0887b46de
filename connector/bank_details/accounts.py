"""The bank account that customers pay into, checked: what it is called in its country, and who holds it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from babel.core import Locale
from stdnum import bic as bics
from stdnum import iban as ibans
from stdnum.exceptions import InvalidChecksum, ValidationError
from stdnum.us import rtn

from connector.plain_text import one_line
from connector.vocabulary import AccountScheme
from providers.geo import country_code

PAYEE_MAX = 70  # characters, in an EPC code as in a Swiss one
_PAYEE_BYTES_MAX = 3 * PAYEE_MAX  # any letters but the rarest; the EPC code has no room for more
_SWISS = ("CH", "LI")
_QR_IBAN_CLEARING = range(30_000, 32_000)  # the clearing numbers that only take payments with a 27-digit reference
# Countries whose accounts take euro credit transfers; BICs may be left out where they are in the EEA.
_EEA = frozenset(re.findall("..", "ATBEBGCYCZDEDKEEESFIFRGRHRHUIEISITLILTLULVMTNLNOPLPTROSESISK"))
_SEPA = _EEA | frozenset(re.findall("..", "ADALCHGBGIMCMDMEMKRSSMVA"))


DOMESTIC_CURRENCIES = {AccountScheme.UK: "GBP", AccountScheme.US: "USD", AccountScheme.AUSTRALIA: "AUD"}
ADDRESS_FIELDS = ("street", "building_number", "postcode", "town", "country")
_FIELDS_MAX = {"street": 70, "building_number": 16, "postcode": 16, "town": 35}


class BankDetailsError(Exception):
    """Bank details that are wrong; ``fields`` says what is wrong with each field."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__(" ".join(fields.values()))
        self.fields = dict(fields)


@dataclass(frozen=True, slots=True)
class BankDetails:
    """The account for payments in one currency.

    ``payee`` is the account's name as the bank knows it: banks compare it with what the payer enters. ``account`` is
    an IBAN without spaces, or an account number; ``bank_code`` is the sort code, routing number or BSB beside a number.
    The payee's address is needed for the Swiss code only. ``use_creditor_reference`` gives a single invoice an ISO
    11649 reference (RF…), for companies whose bank reports those.
    """

    currency: str
    payee: str
    scheme: AccountScheme
    account: str
    bank_code: str = ""
    bic: str = ""
    street: str = ""
    building_number: str = ""
    postcode: str = ""
    town: str = ""
    country: str = ""
    use_creditor_reference: bool = False

    @property
    def account_country(self) -> str:
        """The country of an IBAN, "" for others."""
        return self.account[:2] if self.scheme is AccountScheme.IBAN else ""

    @property
    def takes_swiss_code(self) -> bool:
        """Whether a Swiss QR-bill can be made: an account there, and the payee's structured address."""
        address = self.postcode and self.town and self.country
        return bool(self.account_country in _SWISS and self.currency in {"CHF", "EUR"} and address)

    @property
    def takes_epc_code(self) -> bool:
        """Whether an EPC code can be made: euros to a SEPA account, with a BIC where its country is not in the EEA."""
        country = self.account_country
        return self.currency == "EUR" and (country in _EEA or (country in _SEPA and bool(self.bic)))

    @property
    def masked_account(self) -> str:
        """The account as logs and alerts name it: its last four characters."""
        return f"…{self.account[-4:]}"


def format_account(details: BankDetails) -> str:
    """Return the account as people read it: an IBAN in groups of four."""
    return ibans.format(details.account) if details.scheme is AccountScheme.IBAN else details.account


def format_bank_code(details: BankDetails) -> str:
    """Return the bank code as its country writes it: 12-34-56, 123-456, or nine digits."""
    code = details.bank_code
    if details.scheme is AccountScheme.UK:
        return f"{code[:2]}-{code[2:4]}-{code[4:]}"
    return f"{code[:3]}-{code[3:]}" if details.scheme is AccountScheme.AUSTRALIA else code


def parse_bank_details(values: Mapping[str, str]) -> BankDetails:
    """Check what a person entered and return it in its stored form. Raises ``BankDetailsError``."""
    problems: dict[str, str] = {}
    currency = values.get("currency", "").strip().upper()
    if not re.fullmatch("[A-Z]{3}", currency) or currency not in Locale("en").currencies:
        problems["currency"] = "Enter the currency's three letters, for example EUR."
    payee = one_line(values.get("payee", ""), 500)
    if not 0 < len(payee) <= PAYEE_MAX or len(payee.encode()) > _PAYEE_BYTES_MAX:
        problems["payee"] = f"Enter the account's name as your bank has it, at most {PAYEE_MAX} characters."
    iban = _compact(values.get("iban", ""))
    account, bank_code = _compact(values.get("account_number", "")), _compact(values.get("bank_code", ""))
    bic = _compact(values.get("bic", ""))
    scheme = AccountScheme.IBAN
    if iban and (account or bank_code):
        problems["iban"] = "Enter an IBAN, or a bank code with an account number, not both."
    elif iban or not (account or bank_code):
        problems |= _iban_problems(iban)
    else:
        scheme, wrong = _check_domestic(currency, bank_code, account)
        problems |= wrong
    if bic and not bics.is_valid(bic):
        problems["bic"] = "This is not a BIC: it has 8 or 11 characters, for example COBADEFFXXX."
    elif bic and iban and bic[4:6] != iban[:2]:
        problems["bic"] = f"This BIC is of a bank in {bic[4:6]}, the IBAN of one in {iban[:2]}."
    address, wrong = _parse_address(values)
    problems |= wrong
    if iban[:2] in _SWISS and currency in {"CHF", "EUR"} and "iban" not in problems:
        problems = _swiss_problems({"payee": payee, **address}) | problems
    if problems:
        raise BankDetailsError(problems)
    return BankDetails(
        currency=currency,
        payee=payee,
        scheme=scheme,
        account=iban or account,
        bank_code=bank_code,
        bic=bic,
        use_creditor_reference=values.get("use_creditor_reference", "") in {"yes", "true"},
        **address,
    )


def swiss_text(text: str) -> str:
    """Return ``text`` in the characters of the Swiss code: Latin letters with their accents, as in the guidelines."""
    kept = "".join(char if _is_swiss(char) else " " for char in unicodedata.normalize("NFC", text))
    return " ".join(kept.split())[:PAYEE_MAX]


def _is_swiss(char: str) -> bool:
    return "\x20" <= char <= "\x7e" or "\xa0" <= char <= "\u017f" or char in "\u0218\u0219\u021a\u021b\u20ac"


def _swiss_problems(fields: Mapping[str, str]) -> dict[str, str]:
    """Return what a Swiss code cannot be made of: no address, or a name that would lose its letters."""
    problems = {
        name: "Enter this in Latin letters: the Swiss payment code takes no others."
        for name, text in fields.items()
        if any(char.isalnum() and not _is_swiss(char) for char in unicodedata.normalize("NFC", text))
    }
    if not fields["town"]:
        problems["town"] = "Enter your address: the Swiss payment code needs it in separate fields."
    return problems


def _compact(text: str) -> str:
    """Return a number without what people put between its groups, or what comes along from a PDF or a chat."""
    plain = unicodedata.normalize("NFKC", one_line(text))
    return re.sub(r"[\s.\-\u2010-\u2014]", "", plain).upper()


def _iban_problems(iban: str) -> dict[str, str]:
    if not iban:
        return {"iban": "Enter the IBAN, or a bank code and an account number."}
    try:
        ibans.validate(iban)
    except InvalidChecksum:
        return {"iban": "This IBAN's check digits do not match: one of its characters is wrong."}
    except ValidationError:
        return {"iban": "This is not an IBAN: its length or form is not that of its country."}
    if iban[:2] in _SWISS and int(iban[4:9]) in _QR_IBAN_CLEARING:
        return {
            "iban": "This is a QR-IBAN, which only takes payments with the 27-digit reference of the original bill."
            " Enter the ordinary IBAN of the same account."
        }
    return {}


def _check_domestic(currency: str, bank_code: str, account: str) -> tuple[AccountScheme, dict[str, str]]:
    """Return how an account number with a bank code is read in the country of the currency, and what is wrong."""
    scheme = next((key for key, code in DOMESTIC_CURRENCIES.items() if code == currency), None)
    if scheme is None:
        return AccountScheme.IBAN, {"iban": f"For {currency or 'this currency'} enter an IBAN."}
    problems = {}
    if scheme is AccountScheme.US:
        if not rtn.is_valid(bank_code) or not bank_code.strip("0"):
            problems["bank_code"] = "This is not a routing number: it has nine digits, the last of which checks them."
        if not re.fullmatch("[0-9]{4,17}", account):
            problems["account_number"] = "A US account number has 4 to 17 digits."
        return scheme, problems
    name = "sort code" if scheme is AccountScheme.UK else "BSB"
    if not re.fullmatch("[0-9]{6}", bank_code) or not bank_code.strip("0"):
        problems["bank_code"] = f"A {name} has six digits."
    shortest, longest = (8, 8) if scheme is AccountScheme.UK else (5, 10)
    if not (account.isascii() and account.isdigit() and shortest <= len(account) <= longest):
        digits = "8" if shortest == longest else f"{shortest} to {longest}"
        problems["account_number"] = f"This account number has {digits} digits, with leading zeros."
    return scheme, problems


def _parse_address(values: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the payee's address, and what is wrong with it; it is complete or empty."""
    address = {name: one_line(values.get(name, ""), 500) for name in ADDRESS_FIELDS}
    if not any(address.values()):
        return address, {}
    problems = {
        name: f"Enter at most {longest} characters."
        for name, longest in _FIELDS_MAX.items()
        if len(address[name]) > longest
    }
    problems |= {
        name: "Enter your postcode." if name == "postcode" else "Enter your town."
        for name in ("postcode", "town")
        if not address[name]
    }
    address["country"] = country_code(address["country"]) if address["country"] else ""
    if not address["country"]:
        problems["country"] = "Enter your country, for example CH."
    return address, problems
