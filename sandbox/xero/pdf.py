"""A minimal but valid PDF of an invoice: one page, one font, no compression."""

from __future__ import annotations

from sandbox.xero.documents import Invoice


def invoice_pdf(company: str, invoice: Invoice) -> bytes:
    """Return a PDF with number, customer, lines and totals."""
    lines = [company, f"Invoice {invoice.number}", invoice.contact.name, f"Date {invoice.on}  Due {invoice.due_on}"]
    lines += [f"{line.quantity} x {line.description}  {line.line_amount}" for line in invoice.lines]
    lines += [f"Total {invoice.total} {invoice.currency}", f"Amount due {invoice.amount_due} {invoice.currency}"]
    return pdf_of_lines(lines)


def pdf_of_lines(lines: list[str]) -> bytes:
    """Return a PDF with lines of text from top to bottom."""
    shown = " T* ".join(f"({_escaped(line)}) Tj" for line in lines)
    text = f"BT /F1 11 Tf 16 TL 56 780 Td {shown} ET".encode("cp1252", "replace")
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        page + b" /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%b\nendstream" % (len(text), text),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    out = bytearray(b"%PDF-1.4\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n%b" % (len(objects) + 1, table)
    out += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    return bytes(out)


def _escaped(line: str) -> str:
    return line.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
