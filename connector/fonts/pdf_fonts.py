"""Letters in a PDF: Western European ones by the fonts that every reader has, others by an embedded font.

A document whose texts are all Western stays at some eight kilobytes. Where one has a letter more (Greek, Cyrillic,
Polish, Turkish, Czech, Hungarian, Hebrew …), the whole document is set in FiraGO of the package ``pymupdf-fonts``, of
which only what it uses is embedded. What neither has becomes "?", so that a reader sees that something is missing;
emoji are left out. So do the letters of scripts that must be shaped (Arabic, Thai, those of India): FiraGO has them,
but each would stand alone.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from io import BytesIO
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import TYPE_CHECKING

from platformdirs import user_cache_path

from connector.languages import replace_nbsp
from providers.import_lock import IMPORT_LOCK

if TYPE_CHECKING:
    from fpdf import FPDF

ENCODING = "windows-1252"
_FONTS = {"": "figo", "B": "figbo"}  # by style: their names in pymupdf-fonts
_UNSHAPED_BLOCKS = (range(0x600), range(0x10A0, 0x1100), range(0x1C90, 0x1CC0), range(0x1E00, 0x2C00))
_SYMBOLS_AND_MARKS = {"So", "Sk", "Mn", "Cf"}  # of which emoji consist
_STROKED_LETTERS = str.maketrans("łŁđĐħĦıŧŦ", "lLdDhHitT")  # whose stroke is no combining mark
_FROM_RIGHT_TO_LEFT = {"R", "AL"}


class PdfFonts:
    """The fonts of one PDF; ``family`` is the one to set, ``texts`` are those of its data."""

    def __init__(self, pdf: FPDF, *texts: str) -> None:
        pdf.core_fonts_encoding = ENCODING
        self.family, self._letters = "helvetica", frozenset[str]()
        further = {char for text in texts for char in _composed(text) if not _is_western(char)}
        if any(map(str.isalpha, further & _embedded_letters())):
            self.family, self._letters = "firago", _embedded_letters()
            for style in _FONTS:
                pdf.add_font(self.family, style, _font_file(style))

    def clean(self, text: str) -> str:
        """Return what the fonts can draw, in the order in which it is drawn."""
        drawn = "".join(char if self.has(char) else self._replace(char) for char in _composed(text))
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


def _composed(text: str) -> str:
    """Return a text whose letters and accents are one character each, as some programs write them as two."""
    return unicodedata.normalize("NFC", replace_nbsp(text))


def _is_western(char: str) -> bool:
    try:
        char.encode(ENCODING)
    except UnicodeEncodeError:
        return False
    return True


def _font(style: str) -> bytes:
    with IMPORT_LOCK:
        from pymupdf_fonts import myfont  # noqa: PLC0415 - only a PDF needs it

    font: bytes = myfont(_FONTS[style])
    return font


def _font_file(style: str) -> Path:
    with IMPORT_LOCK:  # or two threads would each write the files
        return _font_folder() / f"{_FONTS[style]}.ttf"


@cache
def _font_folder() -> Path:
    """Return a folder with the fonts as files, since fpdf2 reads nothing else: it is kept, so that nothing piles up.

    Temporary files would stay behind with every process that is killed.
    """
    folder = user_cache_path("duewell") / "fonts"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_fonts(folder)
    except OSError:  # a container without a home, say
        folder = Path(_temporary_folder().name)
        _write_fonts(folder)
    return folder


@cache
def _temporary_folder() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="duewell-fonts-")


def _write_fonts(folder: Path) -> None:
    """Write those that are missing or of another version, each at once: another process may be reading."""
    for style, name in _FONTS.items():
        path, font = folder / f"{name}.ttf", _font(style)
        if not path.is_file() or path.read_bytes() != font:
            with NamedTemporaryFile(dir=folder, delete=False) as file:
                file.write(font)
            Path(file.name).replace(path)


@cache
def _embedded_letters() -> frozenset[str]:
    with IMPORT_LOCK:
        from fontTools.ttLib import TTFont  # noqa: PLC0415 - only a PDF needs it

    with TTFont(BytesIO(_font(""))) as font:
        return frozenset(chr(code) for code in font.getBestCmap() if any(code in block for block in _UNSHAPED_BLOCKS))


def _in_order_of_drawing(line: str) -> str:
    with IMPORT_LOCK:
        from fpdf.bidi import BidiParagraph  # noqa: PLC0415
        from fpdf.enums import TextDirection  # noqa: PLC0415

    characters = BidiParagraph(line, TextDirection.LTR).get_reordered_characters()
    return "".join(each.character for each in characters)
