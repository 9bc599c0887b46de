"""The brand of a company: what it consists of, how it is checked, loaded and saved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlmodel import Session

from connector.audit import sync_log
from connector.branding import colours
from connector.branding.pictures import PORTRAIT_SIDE, Picture, PictureError, prepare_logo, prepare_portrait
from connector.db.tables import Brand as BrandRow
from connector.db.tables import Connection
from connector.plain_text import one_line, safe_link
from connector.vocabulary import LogKind
from policies.bank_numbers import WHERE_TO_ENTER, find_bank_account

NAME_MAX, LINE_LENGTH_MAX, LINES_MAX, FOOTER_LINES_MAX, LINKS_MAX = 80, 200, 4, 6, 5
NAMES: Final = ("accent_colour", "signer_name", "signature", "legal_footer", "links")  # the texts of a brand


class BrandError(Exception):
    """A field that cannot be saved; ``field`` is its name, ``str()`` says what is wrong and what would do."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field


@dataclass(frozen=True, slots=True)
class BrandLink:
    """A link in the footer of emails."""

    text: str
    address: str


@dataclass(frozen=True, slots=True)
class Brand:
    """How a company looks. ``accent_colour`` is ``#rrggbb``, ``signature`` and ``legal_footer`` are lines of text.

    ``portrait`` is the picture of ``signer_name``: it stands beside no other name.
    """

    accent_colour: str = colours.DEFAULT_ACCENT
    logo: Picture | None = None
    signer_name: str = ""
    portrait: Picture | None = None
    signature: str = ""
    legal_footer: str = ""
    links: tuple[BrandLink, ...] = ()

    def texts(self) -> dict[str, str]:
        """Return the texts as a form has them."""
        return {
            "accent_colour": self.accent_colour,
            "signer_name": self.signer_name,
            "signature": self.signature,
            "legal_footer": self.legal_footer,
            "links": "\n".join(f"{each.text} {each.address}" for each in self.links),
        }


@dataclass(frozen=True, slots=True)
class BrandChange:
    """What a user entered: texts by the names in ``NAMES``, uploaded files, and which pictures to remove.

    What is not named stays as it is.
    """

    texts: Mapping[str, str]
    logo: bytes = b""
    portrait: bytes = b""
    remove_logo: bool = False
    remove_portrait: bool = False


def load_brand(session: Session, connection_id: int) -> Brand:
    """Return a company's brand; where none is set, the colour that all emails have."""
    row = session.get(BrandRow, connection_id)
    return Brand() if row is None else _from_row(row)


def brand_version(session: Session, connection_id: int) -> str:
    """Return what changes with each save, "" before the first."""
    row = session.get(BrandRow, connection_id)
    return row.set_at.isoformat() if row is not None else ""


def apply_change(brand: Brand, change: BrandChange) -> Brand:
    """Return the brand after a change. Raises ``BrandError``."""
    texts = {**brand.texts(), **{name: text for name, text in change.texts.items() if name in NAMES}}
    return Brand(
        accent_colour=_check_accent(texts["accent_colour"]),
        signer_name=_check_line("signer_name", texts["signer_name"], NAME_MAX),
        signature=_check_lines("signature", texts["signature"], LINES_MAX),
        legal_footer=_check_lines("legal_footer", texts["legal_footer"], FOOTER_LINES_MAX),
        links=_check_links(texts["links"]),
        logo=_check_logo(change) or (None if change.remove_logo else brand.logo),
        portrait=_check_portrait(change) or (None if change.remove_portrait else brand.portrait),
    )


def save_brand(session: Session, connection: Connection, change: BrandChange, *, by: str, at: datetime) -> Brand:
    """Save a change of a company's brand, and log it; what changes nothing is not logged. Raises ``BrandError``."""
    connection_id = connection.id or 0
    before = load_brand(session, connection_id)
    brand = apply_change(before, change)
    if brand == before:
        return brand
    logo, portrait = brand.logo, brand.portrait
    session.merge(
        BrandRow(
            connection_id=connection_id,
            accent_colour=brand.accent_colour,
            logo=logo.content if logo else None,
            logo_width=logo.width if logo else 0,
            logo_height=logo.height if logo else 0,
            portrait=portrait.content if portrait else None,
            signer_name=brand.signer_name,
            signature=brand.signature,
            legal_footer=brand.legal_footer,
            links=[[each.text, each.address] for each in brand.links],
            set_by=by,
            set_at=at,
        )
    )
    text = f"{by} changed how emails, statements and the portal of {connection.name} look."
    sync_log.write(session, at=at, kind=LogKind.BRAND_SET, text=text, connection_id=connection_id)
    return brand


def _from_row(row: BrandRow) -> Brand:
    return Brand(
        accent_colour=row.accent_colour,
        logo=Picture(row.logo, "image/png", row.logo_width, row.logo_height) if row.logo else None,
        signer_name=row.signer_name,
        portrait=Picture(row.portrait, "image/jpeg", PORTRAIT_SIDE, PORTRAIT_SIDE) if row.portrait else None,
        signature=row.signature,
        legal_footer=row.legal_footer,
        links=tuple(BrandLink(text, address) for text, address in row.links),
    )


def _check_accent(text: str) -> str:
    if not text.strip():
        return colours.DEFAULT_ACCENT
    colour = colours.parse_colour(text)
    if not colour:
        raise BrandError("accent_colour", "Enter a colour as six digits, such as #0b5fa5.")
    readable = colours.readable_accent(colour)
    if readable != colour:
        ratio = colours.contrast(colour, colours.WHITE)
        raise BrandError(
            "accent_colour",
            f"White text on {colour} is hard to read (contrast {ratio:.1f}, at least 4.5 is needed)."
            f" The nearest colour that can be read is {readable}.",
        )
    return colour


def _check_lines(field: str, text: str, lines_max: int) -> str:
    lines = [_check_line(field, line, LINE_LENGTH_MAX) for line in text.strip().splitlines()]
    if len(lines) > lines_max:
        raise BrandError(field, f"At most {lines_max} lines.")
    if account := find_bank_account("\n".join(lines)):
        raise BrandError(field, f"“{account}” is a bank account. {WHERE_TO_ENTER}: emails then name it.")
    return "\n".join(lines)


def _check_line(field: str, text: str, length_max: int) -> str:
    """Return a line as it is shown; a long one is refused, not cut: what a law demands has to be there."""
    line = one_line(text, len(text))
    if len(line) > length_max:
        raise BrandError(field, f"“{line[:30]}…” has {len(line)} characters; a line has at most {length_max}.")
    return line


def _check_links(text: str) -> tuple[BrandLink, ...]:
    found = []
    for line in filter(None, (one_line(each, 500) for each in text.splitlines())):
        name, _, address = line.rpartition(" ")
        if not name or not address.startswith("https://") or not safe_link(address):
            raise BrandError(
                "links", f"“{line}” is not a text and an https address, such as: Terms https://example.com"
            )
        found.append(BrandLink(_check_line("links", name, NAME_MAX), address))
    if len(found) > LINKS_MAX:
        raise BrandError("links", f"At most {LINKS_MAX} links.")
    return tuple(found)


def _check_logo(change: BrandChange) -> Picture | None:
    try:
        return prepare_logo(change.logo) if change.logo else None
    except PictureError as error:
        raise BrandError("logo", str(error)) from error


def _check_portrait(change: BrandChange) -> Picture | None:
    try:
        return prepare_portrait(change.portrait) if change.portrait else None
    except PictureError as error:
        raise BrandError("portrait", str(error)) from error
