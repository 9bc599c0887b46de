"""Draws a statement of account as a PDF, in the customer's language, with the fonts of the other statement."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time

from fpdf import FPDF
from fpdf.enums import TableBordersLayout
from fpdf.fonts import FontFace

from connector.db.money import from_e4
from connector.emails.layout import load_texts
from connector.fonts.pdf_fonts import PdfFonts
from connector.languages import Language
from connector.plain_text import one_line
from connector.portal.account_statement import AccountStatement
from providers.mailer import Attachment

_COLUMNS = (("entry_date", 30), ("entry", 66), ("entry_amount", 40), ("entry_balance", 40))
_TEXT_COLOUR = (31, 41, 51)


def draw_account_statement(
    statement: AccountStatement, *, company: str, customer: str, language: Language
) -> Attachment:
    """Return the statement; the same entries give the same bytes."""
    texts = load_texts(language.code)
    labels = {**texts.statement, **texts.portal}
    pdf = FPDF(format="A4")
    fonts = PdfFonts(pdf, company, customer, *(each.name for each, _balance in statement.entries))
    pdf.set_margin(17)
    pdf.set_auto_page_break(auto=True, margin=17)
    pdf.set_lang(language.code)
    pdf.set_title(fonts.clean(f"{labels['account']}: {one_line(company)}"))
    pdf.set_creation_date(datetime.combine(statement.until_on, time(), UTC))
    pdf.set_text_color(*_TEXT_COLOUR)
    pdf.add_page()
    period = f"{language.format_date(statement.from_on)} – {language.format_date(statement.until_on)}"
    lines = ((one_line(company), 11, "B"), (labels["account"], 18, "B"), (one_line(customer), 11, ""))
    for text, size, style in (*lines, (f"{period}, {statement.currency}", 11, "")):
        pdf.set_font(fonts.family, style, size)
        pdf.multi_cell(0, size * 0.6, fonts.clean(text), align="L", new_x="LMARGIN", new_y="NEXT")
    pdf.ln(4)
    pdf.set_font(fonts.family, size=10)
    with pdf.table(
        borders_layout=TableBordersLayout.HORIZONTAL_LINES,
        col_widths=tuple(width for _name, width in _COLUMNS),
        text_align=("LEFT", "LEFT", "RIGHT", "RIGHT"),
        headings_style=FontFace(emphasis="BOLD"),
        line_height=6,
        padding=1,
    ) as table:
        table.row([fonts.clean(labels[name]) for name, _width in _COLUMNS])
        for row in _rows(statement, labels, language):
            table.row([fonts.clean(cell) for cell in row])
    name = f"account-{statement.currency}-{statement.from_on.isoformat()}-{statement.until_on.isoformat()}.pdf"
    return Attachment(name, "application/pdf", bytes(pdf.output()))


def _rows(statement: AccountStatement, labels: dict[str, str], language: Language) -> Iterator[tuple[str, ...]]:
    def money(amount_e4: int) -> str:
        return language.format_money(from_e4(amount_e4), statement.currency, with_code=True)

    def day(on: object) -> str:
        return language.format_date(on, short=True)  # type: ignore[arg-type]

    yield day(statement.from_on), labels["opening_balance"], "", money(statement.opening_e4)
    for entry, balance_e4 in statement.entries:
        name = f"{labels[f'entry_{entry.kind}']} {one_line(entry.name, 40)}".strip()
        yield day(entry.on), name, money(entry.amount_e4), money(balance_e4)
    yield day(statement.until_on), labels["closing_balance"], "", money(statement.closing_e4)
