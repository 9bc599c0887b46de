"""The payment part with receipt of a Swiss QR-bill, at the foot of an A4 page: measures as in SIX's guidelines (v2.3).

The debtor stays open, as a field to fill in: ledgers hold customers' addresses in free lines, and the standard takes
structured ones only. The headings are those of the guidelines, which has them in four languages; others get English.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from connector.bank_details.accounts import format_account
from connector.bank_details.code_image import QUIET_ZONE, draw_code
from connector.fonts.pdf_fonts import PdfFonts
from connector.languages import Language

if TYPE_CHECKING:
    from fpdf import FPDF

    from connector.bank_details.payment_codes import BankTransfer

HEIGHT_MM = 105.0
_MARGIN, _RECEIPT_WIDTH, _CODE_MM, _INFO_LEFT = 5.0, 62.0, 46.0, 118.0
_PAGE_WIDTH = 210.0
_MODULE_PIXELS = 6
_POINT_MM = 25.4 / 72


class _Words(NamedTuple):
    """The headings, as the guidelines have them."""

    payment_part: str
    receipt: str
    account: str
    reference: str
    information: str
    currency: str
    amount: str
    debtor: str
    acceptance_point: str
    separate: str


_ENGLISH = _Words(
    "Payment part", "Receipt", "Account / Payable to", "Reference", "Additional information", "Currency", "Amount",
    "Payable by (name/address)", "Acceptance point", "Separate before paying in",
)  # fmt: skip
_WORDS = {
    "de": _Words(
        "Zahlteil", "Empfangsschein", "Konto / Zahlbar an", "Referenz", "Zusätzliche Informationen", "Währung",
        "Betrag", "Zahlbar durch (Name/Adresse)", "Annahmestelle", "Vor der Einzahlung abzutrennen",
    ),
    "fr": _Words(
        "Section paiement", "Récépissé", "Compte / Payable à", "Référence", "Informations supplémentaires", "Monnaie",
        "Montant", "Payable par (nom/adresse)", "Point de dépôt", "A détacher avant le versement",
    ),
    "it": _Words(
        "Sezione pagamento", "Ricevuta", "Conto / Pagabile a", "Riferimento", "Informazioni supplementari", "Valuta",
        "Importo", "Pagabile da (nome/indirizzo)", "Punto di accettazione", "Da staccare prima del versamento",
    ),
}  # fmt: skip


def draw_payment_part(pdf: FPDF, fonts: PdfFonts, transfer: BankTransfer, language: Language) -> None:
    """Draw the part at the foot of the page, on another page where this one is used so far down."""
    top = pdf.h - HEIGHT_MM
    if pdf.get_y() > top - 6:
        pdf.add_page()
    with_margin, pdf.c_margin = pdf.b_margin, 0
    pdf.set_auto_page_break(auto=False)
    pdf.set_text_color(0)
    pdf.set_draw_color(0)
    part = _Part(pdf, fonts, transfer, _WORDS.get(language.code, _ENGLISH), top)
    part.draw_lines()
    part.draw_receipt()
    part.draw_code()
    part.draw_information()
    pdf.set_auto_page_break(auto=True, margin=with_margin)


class _Part:
    """One payment part being drawn; ``top`` is the upper edge of it."""

    def __init__(self, pdf: FPDF, fonts: PdfFonts, transfer: BankTransfer, words: _Words, top: float) -> None:
        self.pdf, self.fonts, self.transfer, self.words, self.top = pdf, fonts, transfer, words, top

    def draw_lines(self) -> None:
        """Draw where to cut, and say so above."""
        self.pdf.set_line_width(0.2)
        self.pdf.set_dash_pattern(dash=1, gap=1)
        self.pdf.line(0, self.top, _PAGE_WIDTH, self.top)
        self.pdf.line(_RECEIPT_WIDTH, self.top, _RECEIPT_WIDTH, self.pdf.h)
        self.pdf.set_dash_pattern()
        self.pdf.set_font(self.fonts.family, "", 7)
        self.pdf.set_xy(_RECEIPT_WIDTH, self.top - 4)
        self.pdf.cell(_PAGE_WIDTH - _RECEIPT_WIDTH - _MARGIN, 3, self.fonts.clean(self.words.separate), align="R")

    def draw_receipt(self) -> None:
        """Draw the part that stays with the payer."""
        self._write(_MARGIN, self.top + 5, self.words.receipt, 11, bold=True)
        y = self.top + 12
        for heading, lines in self._details(with_information=False):
            y = self._write_block(_MARGIN, y, heading, lines, 6, 8, _RECEIPT_WIDTH - 2 * _MARGIN)
        self._write(_MARGIN, y, self.words.debtor, 6, bold=True)
        self._draw_corners(_MARGIN, y + 3, 52, 20)
        self._write_amount(_MARGIN, 12, 6, 8)
        self.pdf.set_xy(_MARGIN, self.top + 82)
        self.pdf.set_font(self.fonts.family, "B", 6)
        self.pdf.cell(_RECEIPT_WIDTH - 2 * _MARGIN, 3, self.fonts.clean(self.words.acceptance_point), align="R")

    def draw_code(self) -> None:
        """Draw the code, 46 mm wide without its white edge, and the amount below it."""
        left = _RECEIPT_WIDTH + _MARGIN
        self._write(left, self.top + 5, self.words.payment_part, 11, bold=True)
        code = draw_code(self.transfer)
        (pixels,) = struct.unpack(">I", code[16:20])  # the width in the head of a PNG
        module = _CODE_MM / (pixels / _MODULE_PIXELS - 2 * QUIET_ZONE)
        edge, side = QUIET_ZONE * module, pixels / _MODULE_PIXELS * module
        self.pdf.image(io.BytesIO(code), left - edge, self.top + 17 - edge, side, side)
        self._write_amount(left, 15, 8, 10)

    def draw_information(self) -> None:
        """Draw the details on the right."""
        y, width = self.top + 5, _PAGE_WIDTH - _INFO_LEFT - _MARGIN
        for heading, lines in self._details(with_information=True):
            y = self._write_block(_INFO_LEFT, y, heading, lines, 8, 10, width)
        self._write(_INFO_LEFT, y, self.words.debtor, 8, bold=True)
        self._draw_corners(_INFO_LEFT, y + 4, 65, 25)

    def _details(self, *, with_information: bool) -> Iterator[tuple[str, list[str]]]:
        details = self.transfer.details
        street = f"{details.street} {details.building_number}".strip()
        town = f"{details.postcode} {details.town}".strip()
        abroad = f"{details.country} - " if details.country not in {"CH", "LI"} else ""
        payee = [format_account(details), details.payee, street, f"{abroad}{town}"]
        yield self.words.account, [each for each in payee if each]
        if reference := self.transfer.creditor_reference:
            yield self.words.reference, [" ".join(reference[at : at + 4] for at in range(0, len(reference), 4))]
        if with_information and self.transfer.reference:
            yield self.words.information, [self.transfer.reference]

    def _write_amount(self, left: float, beside: float, small: float, large: float) -> None:
        amount = f"{self.transfer.amount:,.2f}".replace(",", " ")
        for x, heading, value in (
            (left, self.words.currency, self.transfer.details.currency),
            (left + beside, self.words.amount, amount),
        ):
            self._write(x, self.top + 68, heading, small, bold=True)
            self._write(x, self.top + 68 + small * 0.5, value, large)

    def _write(self, x: float, y: float, text: str, size: float, *, bold: bool = False) -> None:
        self.pdf.set_font(self.fonts.family, "B" if bold else "", size)
        self.pdf.set_xy(x, y)
        self.pdf.cell(0, size * _POINT_MM * 1.1, self.fonts.clean(text))

    def _write_block(
        self, x: float, y: float, heading: str, lines: list[str], small: float, large: float, width: float
    ) -> float:
        """Write a heading with its lines, broken where they are too long; return where the next one begins."""
        self._write(x, y, heading, small, bold=True)
        self.pdf.set_font(self.fonts.family, "", large)
        self.pdf.set_xy(x, y + small * 0.45)
        text = self.fonts.clean("\n".join(lines))
        self.pdf.multi_cell(width, large * _POINT_MM * 1.15, text, align="L", padding=0, new_x="LEFT", new_y="NEXT")
        return self.pdf.get_y() + 3

    def _draw_corners(self, x: float, y: float, width: float, height: float) -> None:
        """Draw the corners of a field that the payer fills in."""
        self.pdf.set_line_width(0.75 * _POINT_MM)
        for corner_x, inward_x in ((x, 3), (x + width, -3)):
            for corner_y, inward_y in ((y, 2), (y + height, -2)):
                self.pdf.line(corner_x, corner_y, corner_x + inward_x, corner_y)
                self.pdf.line(corner_x, corner_y, corner_x, corner_y + inward_y)
