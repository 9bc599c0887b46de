"""Field 86 of MT940: subfields of German banks, coded words of Dutch and other banks, or plain text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from connector.bank.formats.bank_line import RAW_LENGTH_MAX
from connector.bank.formats.values import clean

_SUBFIELDS = re.compile(r"^(?P<code>\d{3})(?P<mark>[^\w\s/])(?=\d{2})")
_KEYWORDS = re.compile(r"\b(EREF|KREF|MREF|CRED|DEBT|COAM|OAMT|SVWZ|ABWA|ABWE|IBAN|BIC|PURP)[+:]")
_SLASHED = re.compile(
    r"/(TRTP|TRCD|IBAN|BIC|NAME|REMI|EREF|CSID|MARF|ORDP|BENM|CNTP|ISDT|PREF|ACCT|ULTD|ULTB|PURP|RTRN|SVCL|EXCH)/"
)
_LINE_WIDTH = 27  # of a subfield of the purpose
_RETURN_CODES = frozenset({"108", "109", "159"})  # returned direct debits and transfers
_NOTHING = frozenset({"", "NOTPROVIDED", "NONREF"})
_ISO_REFERENCE = re.compile(r"\bRF\d{2}[ ]?[0-9A-Z][0-9A-Z ]{0,24}")
_IBAN = re.compile(r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}")


@dataclass(frozen=True, slots=True)
class Purpose:
    """What field 86 says."""

    text: str = ""
    payer: str = ""
    payer_account: str = ""
    reference: str = ""
    is_return: bool = False
    charges: Decimal = Decimal(0)


def read_purpose(raw: str) -> Purpose:
    """Read field 86, whose lines the bank has cut wherever they were full."""
    raw = raw[:RAW_LENGTH_MAX]
    joined = "".join(raw.split("\n"))
    if (found := _SUBFIELDS.match(joined)) is not None:
        return _from_subfields(joined, found["code"], found["mark"])
    if _SLASHED.search(joined):
        return _from_coded_words(joined)
    text = clean(raw.replace("\n", " "))
    if _KEYWORDS.search(text):
        return _from_keywords(text, "", "")
    return Purpose(text=text, reference=_find_reference(text))


def _from_subfields(joined: str, code: str, mark: str) -> Purpose:
    parts: dict[str, str] = {}
    for piece in joined[3:].split(mark)[1:]:
        number, value = piece[:2], piece[2:]
        if number.isdecimal():
            parts[number] = parts.get(number, "") + value
        elif parts:  # the mark inside a text
            last = next(reversed(parts))
            parts[last] += mark + piece
    lines = [parts[key] for key in sorted(parts) if "20" <= key <= "29"]
    lines += [parts[key] for key in sorted(parts) if "60" <= key <= "63"]
    purpose = "".join(each if len(each) >= _LINE_WIDTH else f"{each} " for each in lines)
    payer = clean(parts.get("32", "") + parts.get("33", ""), 140)
    found = _from_keywords(purpose, payer, clean(parts.get("31", ""), 64).replace(" ", ""))
    return Purpose(
        text=found.text or clean(parts.get("00", "")),
        payer=found.payer,
        payer_account=found.payer_account,
        reference=found.reference,
        is_return=code in _RETURN_CODES or (bool(parts.get("34", "").strip()) and parts["34"].strip()[:1] == "9"),
        charges=found.charges,
    )


def _from_keywords(purpose: str, payer: str, account: str) -> Purpose:
    """Read the words of SEPA such as EREF+ and SVWZ+; without any the whole text is the purpose."""
    pieces = _KEYWORDS.split(purpose)
    words = {pieces[place]: clean(pieces[place + 1]) for place in range(1, len(pieces) - 1, 2)}
    before = clean(pieces[0])
    text = clean(" ".join(filter(None, (before, words.get("SVWZ", ""), _said(words.get("EREF", ""))))))
    if words.get("ABWA"):
        text = clean(f"{text} {words['ABWA']}")
    return Purpose(
        text=text,
        payer=payer,
        payer_account=account or words.get("IBAN", "").replace(" ", ""),
        reference=_find_reference(text),
        charges=_charges(words.get("COAM", "")),
    )


def _from_coded_words(joined: str) -> Purpose:
    """Read words between slashes, as in /NAME/Ashdown/REMI/INV-7."""
    pieces = _SLASHED.split(joined)
    words: dict[str, str] = {}
    for place in range(1, len(pieces) - 1, 2):
        value = clean(pieces[place + 1].strip("/"))
        words[pieces[place]] = clean(f"{words.get(pieces[place], '')} {value}")
    party = [each for each in words.get("CNTP", "").split("/") if each]  # account, BIC, name, place
    account = words.get("IBAN", "") or next((each for each in party if _IBAN.fullmatch(each)), "")
    name = words.get("NAME", "") or words.get("ORDP", "").replace("NAME/", "")
    purpose = words.get("REMI", "").replace("USTD//", "").replace("STRD/CUR/", "").replace("/", " ")
    if not name and len(party) > 2:
        name = party[2]
    eref = _said(words.get("EREF", "").strip("/"))
    text = clean(" ".join(filter(None, (purpose, eref, pieces[0]))))
    return Purpose(
        text=text,
        payer=clean(name, 140),
        payer_account=account.replace(" ", ""),
        reference=_find_reference(text),
        is_return="RTRN" in words,
    )


def _find_reference(text: str) -> str:
    found = _ISO_REFERENCE.search(text)
    return clean(found[0].replace(" ", ""), 25) if found else ""


def _said(text: str) -> str:
    return "" if text.upper() in _NOTHING else text


def _charges(text: str) -> Decimal:
    found = re.search(r"\d+[.,]\d{2}", text)
    try:
        return Decimal(found[0].replace(",", ".")) if found else Decimal(0)
    except InvalidOperation:
        return Decimal(0)
