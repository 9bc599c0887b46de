"""An invoice as a minimal one-page PDF that readers can open and emails can attach."""

from __future__ import annotations

from collections.abc import Sequence

from sandbox.core import JsonObject


def invoice_pdf(company: str, body: JsonObject) -> bytes:
    """Return the invoice as PDF."""
    code = body.get("CurrencyRef", {}).get("value", "")
    lines = [company, f"Invoice {body.get('DocNumber', body['Id'])}", "", f"To: {body['CustomerRef']['name']}"]
    lines += [f"Date: {body['TxnDate']}", f"Due: {body.get('DueDate', '')}", ""]
    for line in body["Line"]:
        if line["DetailType"] == "SalesItemLineDetail":
            lines.append(f"{line.get('Description', 'Services')}    {line['Amount']:.2f} {code}")
    lines += ["", f"Total: {body['TotalAmt']:.2f} {code}", f"Balance due: {body['Balance']:.2f} {code}"]
    return text_pdf(lines)


def text_pdf(lines: Sequence[str]) -> bytes:
    """Return a PDF of one A4 page with these lines in Helvetica."""
    shown = " T* ".join(f"({_escaped(line)}) Tj" for line in lines)
    stream = f"BT /F1 12 Tf 56 780 Td 18 TL {shown} ET".encode("cp1252", "replace")
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources 6 0 R >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        b"<< /Font << /F1 5 0 R >> >>",
    ]
    out = bytearray(b"%PDF-1.4\n")
    offsets = []
    for number, part in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, part)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return bytes(out + b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start))


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
