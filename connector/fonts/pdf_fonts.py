"""Letters in a PDF: Western European ones by the fonts that every reader has, others by an embedded font.

A document whose texts are all Western stays at some eight kilobytes. Where one has a letter more (Greek, Cyrillic,
Polish, Turkish, Czech, Hungarian, Hebrew …), the whole document is set in DejaVu Sans Condensed, of which only what it
uses is embedded. What neither has becomes "?", so that a reader sees that something is missing; emoji are left out.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from connector.languages import replace_nbsp
from providers.import_lock import IMPORT_LOCK

if TYPE_CHECKING:
    from fpdf import FPDF

ENCODING = "windows-1252"
_FILES = {"": "DejaVuSansCondensed.ttf", "B": "DejaVuSansCondensed-Bold.ttf"}
_FOLDER = Path(__file__).parent
_SYMBOLS_AND_MARKS = {"So", "Sk", "Mn", "Cf"}  # of which emoji consist
_STROKED_LETTERS = str.maketrans("łŁđĐħĦıŧŦ", "lLdDhHitT")  # whose stroke is no combining mark
_FROM_RIGHT_TO_LEFT = {"R", "AL"}


class PdfFonts:
    """The fonts of one PDF; ``family`` is the one to set, ``texts`` are those of its data."""

    def __init__(self, pdf: FPDF, *texts: str) -> None:
        pdf.core_fonts_encoding = ENCODING
        self.family, self._letters = "helvetica", frozenset[str]()
        further = {char for text in texts for char in replace_nbsp(text) if not _is_western(char)}
        if any(map(str.isalpha, further & _embedded_letters())):
            self.family, self._letters = "dejavu", _embedded_letters()
            for style, name in _FILES.items():
                pdf.add_font(self.family, style, _FOLDER / name)

    def clean(self, text: str) -> str:
        """Return what the fonts can draw, in the order in which it is drawn."""
        drawn = "".join(char if self.has(char) else self._replace(char) for char in replace_nbsp(text))
        if any(unicodedata.bidirectional(char) in _FROM_RIGHT_TO_LEFT for char in drawn):
            return "\n".join(map(_in_order_of_drawing, drawn.split("\n")))
        return drawn

    def has(self, char: str) -> bool:
        """Return whether there is a letter for a character."""
        return char in self._letters or char == "\n" if self._letters else _is_western(char)

    def _replace(self, char: str) -> str:
        parts = unicodedata.normalize("NFKD", char.translate(_STROKED_LETTERS))
        kept = "".join(part for part in parts if not unicodedata.combining(part))
        if kept and all(map(self.has, kept)):
            return kept
        return "" if unicodedata.category(char) in _SYMBOLS_AND_MARKS else "?"


def _is_western(char: str) -> bool:
    try:
        char.encode(ENCODING)
    except UnicodeEncodeError:
        return False
    return True


@cache
def _embedded_letters() -> frozenset[str]:
    with IMPORT_LOCK:
        from fontTools.ttLib import TTFont  # noqa: PLC0415 - only a PDF needs it

    with TTFont(_FOLDER / _FILES[""]) as font:
        return frozenset(map(chr, font.getBestCmap()))


def _in_order_of_drawing(line: str) -> str:
    with IMPORT_LOCK:
        from fpdf.bidi import BidiParagraph  # noqa: PLC0415
        from fpdf.enums import TextDirection  # noqa: PLC0415

    characters = BidiParagraph(line, TextDirection.LTR).get_reordered_characters()
    return "".join(each.character for each in characters)
