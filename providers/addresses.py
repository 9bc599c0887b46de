"""Email addresses as people write them into a ledger: names, comments, links and every kind of separator.

What is left of each is what an email service accepts: ASCII, without a name. What is no address is returned as such, so
that somebody can be asked about it.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final, NamedTuple

import idna

ADDRESS_LENGTH_MAX: Final = 254
_LOCAL_PART_LENGTH_MAX = 64
_PLAIN = re.compile(r"[a-z0-9]+(?:[._+-][a-z0-9]+)*@[a-z0-9]+(?:[.-][a-z0-9]+)*\.[a-z]{2,}")  # most fields
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL_PART = re.compile(rf'(?!/){_ATOM}(?:\.{_ATOM})*|"(?:[^"\\\x00-\x1f\x7f]|\\.)+"')
_DOMAIN_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_ENTITY = re.compile(r"&(?:lt|gt|amp|quot|nbsp|#\d{1,4}|#x[0-9a-fA-F]{1,4});")  # a program escaped it for a page
_LINE_TAG = re.compile(r"</?(?:br|p|div)\s*/?>", re.IGNORECASE)  # copied out of a page
_COMMENT = re.compile(r"\([^()]*\)")
_ANGLES = re.compile(r"<([^<>]*)>")
_SPACED_AT = re.compile(r"\s*@\s*")
_SEPARATORS = frozenset(",;|\n\r\t\v\f\x85\u2028\u2029\u00b7\u2022\u3001")
_TRIMMED = " .,;:\\|<>()[]{}'\"\u2018\u2019\u201c\u201d\u00ab\u00bb"


class ParsedAddresses(NamedTuple):
    """The addresses of a field, each once in upper or lower case, and the parts that are none."""

    valid: tuple[str, ...] = ()
    invalid: tuple[str, ...] = ()

    @property
    def joined(self) -> str:
        """All of it, comma-separated: what a mirror stores, and what reads back the same."""
        return ",".join([*self.valid, *self.invalid])


def parse_fields(fields: Iterable[str | None]) -> ParsedAddresses:
    """Parse several fields as one list, in their order."""
    return parse_addresses("\n".join(filter(None, fields)))


@lru_cache(maxsize=16_384)
def parse_addresses(text: str | None) -> ParsedAddresses:
    """Parse a field that may hold several addresses.

    >>> parse_addresses('"Lee, Ann" <ann@example.com>; mailto:bo@example.com. | (billing) c@ex_ample').valid
    ('ann@example.com', 'bo@example.com')
    """
    if not text or not text.strip():
        return ParsedAddresses()
    if len(text) <= _LOCAL_PART_LENGTH_MAX and _PLAIN.fullmatch(text):
        return ParsedAddresses((text,))
    valid: dict[str, str] = {}
    invalid: dict[str, None] = {}
    for part in _split(_cleaned(text)):
        for candidate in _candidates(part):
            address = _normalised(candidate)
            if address:
                valid.setdefault(address.casefold(), address)
            elif "@" in candidate:  # else it is a remark, such as "see notes"
                invalid[" ".join(candidate.replace(",", " ").split())] = None
    return ParsedAddresses(tuple(valid.values()), tuple(invalid))


def _cleaned(text: str) -> str:
    """Return the text without invisible characters, full-width forms as plain ones, and without comments."""
    text = _LINE_TAG.sub("\n", html.unescape(text) if _ENTITY.search(text) else text)
    plain = unicodedata.normalize("NFKC", text)
    plain = "".join(
        char
        if char in _SEPARATORS
        else " "
        if char.isspace()
        else ""
        if unicodedata.category(char) in {"Cc", "Cf", "Co", "Cs", "Cn"}
        else char
        for char in plain
    )
    before = ""
    while plain != before:  # comments may be nested
        before, plain = plain, _COMMENT.sub(" ", plain)
    return plain


def _split(text: str) -> Iterator[str]:
    """Split at separators, except inside quotes that are closed."""
    part, quoted = "", False
    for position, char in enumerate(text):
        if char == '"' and (quoted or '"' in text[position + 1 :]):
            quoted = not quoted
        if char in _SEPARATORS and not quoted:
            yield part
            part = ""
        else:
            part += char
    yield part


def _candidates(part: str) -> Iterator[str]:
    """Return what may be an address in a part: what is in angle brackets, else every word with an at sign."""
    in_angles = [found for found in _ANGLES.findall(part) if found.strip()]
    if in_angles and any("@" in each for each in in_angles):
        yield from in_angles
        outside = _ANGLES.sub(" ", part)
        yield from (word for word in outside.split() if _normalised(word))  # "a@x <b@x>": some write both
        return
    if part.strip().startswith('"') and '"@' in part:
        yield part.strip()  # a quoted local part
        return
    joined = _SPACED_AT.sub("@", part)
    if joined.count("@") > 1:
        joined = joined.replace(":", " ")  # "a@x:b@x"
    words = [word for word in re.split(r"[\s/]+" if joined.count("@") > 1 else r"\s+", joined) if "@" in word]
    if words:
        yield from words
    elif part.strip(_TRIMMED):
        yield part


def _normalised(candidate: str) -> str:
    """Return an address as email services accept it, "" for what is none."""
    text = candidate.strip().strip("<>").strip()
    if not text.startswith('"') or text.endswith('"'):
        text = text.strip(_TRIMMED).rpartition(":")[2].partition("?")[0]  # of "mailto:", "Email:" or a group's name
    local, at, domain = text.strip().rpartition("@")
    domain = _ascii_domain(domain.strip(" ."))
    is_local = len(local) <= _LOCAL_PART_LENGTH_MAX and _LOCAL_PART.fullmatch(local) is not None
    address = f"{local}@{domain}"
    return address if at and domain and is_local and len(address) <= ADDRESS_LENGTH_MAX else ""


def _ascii_domain(domain: str) -> str:
    """Return the domain in lower-case ASCII, "" where it is none: one label, an IP number, underscores."""
    try:
        ascii_domain = domain.lower() if domain.isascii() else idna.encode(domain, uts46=True).decode()
    except idna.IDNAError:
        return ""
    labels = ascii_domain.split(".")
    is_domain = len(labels) > 1 and all(map(_DOMAIN_LABEL.fullmatch, labels)) and not labels[-1].isdecimal()
    return ascii_domain if is_domain else ""
