"""Draw a customer's statement as a PDF in their language: every open invoice, what is overdue, credit, the totals.

Letters that its fonts lack are replaced (see ``connector.fonts``); the email itself shows every script.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal

from connector.bank_details.code_image import draw_code
from connector.bank_details.payment_codes import BankTransfer
from connector.emails.layout import load_texts, render_line
from connector.emails.outbound.bank_transfer import email_transfer, word_transfer
from connector.emails.outbound.email_facts import EmailFacts, InvoiceLine
from connector.emails.outbound.email_sums import sum_covered, sum_overdue, sum_to_pay, sums_of
from connector.emails.outbound.swiss_payment_part import draw_payment_part
from connector.fonts.pdf_fonts import PdfFonts
from connector.languages import Language, language_of, replace_nbsp
from connector.plain_text import clean_lines, one_line
from connector.vocabulary import CodeKind
from providers.import_lock import IMPORT_LOCK
from providers.mailer import Attachment

_COLUMNS = (("invoice", 34), ("issued", 26), ("due_on", 26), ("days_overdue", 22), ("total", 34), ("amount_due", 34))
_CODE_MM = 38  # with its white edge
_RIGHT_ALIGNED = ("days_overdue", "total", "amount_due")
_TEXT_COLOUR, _MUTED_GREY = (31, 41, 51), 90
_MM_PER_PIXEL = 25.4 / 96


def draw_statement(facts: EmailFacts, today: date) -> Attachment:
    """Return the statement of all open invoices, also those that the email does not list.

    The same facts on the same day give the same bytes.
    """
    statement = _StatementPdf(facts, today)
    statement.draw_header()
    statement.draw_invoices()
    statement.draw_footer()
    return Attachment(f"statement-{today.isoformat()}.pdf", "application/pdf", bytes(statement.pdf.output()))


class _StatementPdf:
    """One statement being drawn."""

    def __init__(self, facts: EmailFacts, today: date) -> None:
        self.facts = facts
        self._beside_logo = 0.0  # the whole width
        self.lines = [*facts.invoices, *facts.unlisted]
        self.today = today
        self.language: Language = language_of(facts.language)
        texts = load_texts(self.language.code)
        self.labels, self.colon = texts.statement, texts.labels["colon"]
        with IMPORT_LOCK:
            from fpdf import FPDF  # noqa: PLC0415 - 40 MiB that only a PDF needs

        self.pdf = FPDF(format="A4")
        self._fonts = PdfFonts(self.pdf, *self._texts())
        self.pdf.set_margin(17)
        self.pdf.set_auto_page_break(auto=True, margin=17)
        self.pdf.set_lang(self.language.code)
        self.pdf.set_title(self._fonts.clean(f"{self._label('title')}: {one_line(facts.company_name)}"))
        self.pdf.set_creation_date(datetime.combine(today, time(), UTC))
        self.pdf.set_text_color(*_TEXT_COLOUR)
        self.pdf.add_page()

    def draw_header(self) -> None:
        """Draw whose statement this is, for whom, and its date."""
        self._draw_logo()
        self._draw_line(one_line(self.facts.company_name), 11, style="B")
        self.pdf.ln(6)
        self.pdf.set_text_color(self.facts.brand.accent_colour)
        self._draw_line(self._label("title"), 18, style="B")
        self.pdf.set_text_color(*_TEXT_COLOUR)
        self._draw_line(self._label("to"), 11)
        self._draw_line(self._label("as_of"), 11)
        self.pdf.ln(4)
        self._beside_logo = 0.0

    def draw_invoices(self) -> None:
        """Draw the invoices, the one due longest first, with the totals below."""
        with IMPORT_LOCK:
            from fpdf.fonts import FontFace  # noqa: PLC0415

        listed = sorted(self.lines, key=lambda line: (line.due_on or line.issued_on, line.number, line.issued_on))
        self.pdf.set_font(self._fonts.family, size=10)
        with self.pdf.table(
            borders_layout="HORIZONTAL_LINES",
            col_widths=tuple(width for _, width in _COLUMNS),
            text_align=tuple("RIGHT" if name in _RIGHT_ALIGNED else "LEFT" for name, _ in _COLUMNS),
            headings_style=FontFace(emphasis="BOLD"),
            line_height=6,
            padding=1,
        ) as table:
            table.row([self._fonts.clean(self.labels[name]) for name, _ in _COLUMNS])
            for line in listed:
                table.row([self._fonts.clean(cell) for cell in self._cells(line)])
        self.pdf.ln(4)
        for label, amount in self._totals():
            self._draw_line(
                f"{self.labels[label]}{self.colon}{self._format_money(amount)}",
                11,
                style="B" if label == "total_open" else "",
            )

    def draw_footer(self) -> None:
        """Draw how to pay and whom to ask."""
        self.pdf.ln(6)
        transfer = email_transfer(self.facts, sums_of(self.facts))
        is_swiss = transfer is not None and transfer.code_kind is CodeKind.SWISS
        if transfer is not None and not is_swiss:
            self._draw_transfer(transfer)
        self.pdf.set_text_color(_MUTED_GREY)
        if self.facts.payment_instructions:
            self._draw_line(clean_lines(self.facts.payment_instructions), 10)
            self.pdf.ln(2)
        self._draw_line(self._label("question"), 10)
        if self.facts.brand.legal_footer:
            self.pdf.ln(2)
            self._draw_line(self.facts.brand.legal_footer, 8)
        if transfer is not None and is_swiss:
            draw_payment_part(self.pdf, self._fonts, transfer, self.language)

    def _texts(self) -> Iterator[str]:
        """Yield the texts that are not ours: their letters decide about the fonts."""
        facts = self.facts
        yield from (facts.company_name, facts.customer_name, facts.payment_instructions, facts.brand.legal_footer)
        yield from (line.number for line in self.lines)
        if facts.bank_details is not None:
            yield facts.bank_details.payee

    def _draw_logo(self) -> None:
        logo = self.facts.brand.logo
        if logo is not None:
            width, height = (pixels * _MM_PER_PIXEL for pixels in logo.shown_size)
            self.pdf.image(logo.content, self.pdf.l_margin + self.pdf.epw - width, self.pdf.t_margin, width, height)
            self._beside_logo = self.pdf.epw - width - 5  # of the lines that could reach it

    def _draw_transfer(self, transfer: BankTransfer) -> None:
        """Draw how to pay by bank what is asked for, all on one page: the lines, and the code beside them."""
        text, code = word_transfer(transfer, self.language), draw_code(transfer)
        side = _CODE_MM if code else 0
        if self.pdf.will_page_break(max(side, 45)):
            self.pdf.add_page()
        top = self.pdf.get_y()
        self._draw_line(text.heading, 11, style="B")
        self.pdf.ln(1)
        for line in text.lines:
            self.pdf.set_font(self._fonts.family, "", 10)
            self.pdf.cell(40, 6, self._fonts.clean(line.label))
            self._draw_beside(self.pdf.epw - 40 - side, line.value)
        if code:
            self._draw_beside(self.pdf.epw - side, text.scan)
            left = self.pdf.w - self.pdf.r_margin - side
            self.pdf.image(io.BytesIO(code), left, top, side, side, alt_text=text.alt)
        self.pdf.set_y(max(self.pdf.get_y(), top + side) + 4)

    def _draw_beside(self, width: float, text: str) -> None:
        """Draw lines of a width, with their words as far apart as always."""
        self.pdf.multi_cell(width, 6, self._fonts.clean(text), align="L", new_x="LMARGIN", new_y="NEXT")

    def _cells(self, line: InvoiceLine) -> Iterator[str]:
        day = self.language.format_date
        yield one_line(line.number, 40) or "-"  # its date is in the next column
        yield day(line.issued_on, short=True)
        yield day(line.due_on, short=True)
        yield self.labels["in_dispute"] if line.disputed else str(line.days_late) if line.days_late > 0 else ""
        yield self._format_money(line.total)
        yield self._format_money(line.to_pay)

    def _totals(self) -> Iterator[tuple[str, Decimal]]:
        if overdue := sum_overdue(self.lines):
            yield "overdue", overdue
        yield "total_open", sum_to_pay(self.lines)
        if credit := sum_covered(self.lines):
            yield "credit_deducted", credit

    def _draw_line(self, text: str, size: int, style: str = "") -> None:
        self.pdf.set_font(self._fonts.family, style, size)
        self.pdf.multi_cell(
            self._beside_logo, size * 0.55, self._fonts.clean(text), align="L", new_x="LMARGIN", new_y="NEXT"
        )

    def _format_money(self, amount: Decimal) -> str:
        text = self.language.format_money(amount, self.facts.currency)
        if all(map(self._fonts.has, replace_nbsp(text))):
            return text
        return self.language.format_money(amount, self.facts.currency, with_code=True)

    def _customer(self) -> str:
        """Return the customer's name, or their address where the fonts have no letter of the name."""
        name, address = one_line(self.facts.customer_name), next(iter(self.facts.to), "")
        return name if any(map(str.isalnum, self._fonts.clean(name))) or not address else address

    def _label(self, name: str) -> str:
        facts = self.facts
        values = {
            "customer": self._customer(),
            "today": self.language.format_date(self.today),
            "currency": facts.currency,
            "reply_to": facts.reply_to or facts.sender,
        }
        return render_line(self.labels[name], values)
