"""Bank accounts in free text: such a text is no place for them, as nobody checks it and nobody hears of a change."""

from __future__ import annotations

import re

WHERE_TO_ENTER = (
    "Enter it as the company's bank details, where it is checked, every owner is emailed of a change, and a changed"
    " account waits for a day"
)
_IBAN = re.compile(r"(?<![A-Z0-9])[A-Z]{2}[0-9]{2}(?:[ .\-/\u00a0\u202f]{0,2}[A-Z0-9]){11,30}", re.IGNORECASE)
_BY_LENGTH = {
    15: "NO",
    16: "BE",
    18: "DKFIFKFOGLNLSD",
    19: "MKSI",
    20: "ATBAEEKZLTLUMNXK",
    21: "CHHRLILV",
    22: "BGBHCRDEGBGEIEMERSVA",
    23: "AEGIILIQOMSOTL",
    24: "ADCZESMDPKROSASESKTNVG",
    25: "LYPTST",
    26: "ISTR",
    27: "BIDJFRGRITMCMRSM",
    28: "ALAZBYCYDOGTHNHULBNIPLSV",
    29: "BREGPSQAUA",
    30: "JOKWMUYE",
    31: "MTSC",
    32: "LC",
    33: "RU",
}  # the IBAN registry: the countries whose IBANs have so many characters
_LENGTHS = {country: length for length, each in _BY_LENGTH.items() for country in re.findall("..", each)}
# Not where one more pair of digits stands beside it: that is a phone number
_PAIR_BEFORE = r"(?<!(?<!\d)\d\d[-\u2010-\u2013. ])"
_PAIR_AFTER = r"(?![-\u2010-\u2013. ]\d\d(?!\d))"
_SORT_CODE = re.compile(
    rf"{_PAIR_BEFORE}(?<!\d)\d{{2}}[-\u2010-\u2013. ]\d{{2}}[-\u2010-\u2013. ]\d{{2}}(?!\d){_PAIR_AFTER}"
)
_UK_ACCOUNT = re.compile(r"(?<!\d)\d{8}(?!\d)")
_LABELLED = re.compile(
    r"(?:routing|\bABA\b|\bBSB\b|\bIFSC\b|account (?:no|number|#)|a/c no|kontonummer|kontonr)\D{0,20}\d[\d -]{5,}",
    re.IGNORECASE,
)
_INVISIBLE = re.compile(r"[\u00ad\u200b-\u200f\u2060\ufeff]")


def find_bank_account(text: str) -> str:
    """Return what is a bank account in a text: an IBAN with right check digits, or numbers that say what they are."""
    plain = _INVISIBLE.sub("", text)
    for found in _IBAN.finditer(plain):
        if iban := _valid_start(re.sub(r"[^A-Za-z0-9]", "", found[0]).upper()):
            return iban
    if (sort_code := _SORT_CODE.search(plain)) and _UK_ACCOUNT.search(plain):
        return sort_code[0]
    labelled = _LABELLED.search(plain)
    return labelled[0].strip() if labelled else ""


def _valid_start(text: str) -> str:
    """Return the IBAN that a run of letters and digits begins with: a word can follow it without a mark."""
    iban = text[: _LENGTHS.get(text[:2], 0)]
    if len(iban) < _LENGTHS.get(text[:2], 1):
        return ""
    number = int("".join(str(int(char, 36)) for char in iban[4:] + iban[:4]))
    return iban if number % 97 == 1 else ""
