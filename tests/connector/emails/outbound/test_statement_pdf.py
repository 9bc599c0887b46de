"""The statement as PDF: what it lists and adds up, in the customer's language and whatever the names are."""

import io
import re
import struct
import unicodedata
import zlib
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
import segno
import zxingcpp
from PIL import Image

from connector.emails.outbound.render import EmailFacts, InvoiceLine
from connector.emails.outbound.statement_pdf import draw_statement
from connector.fonts import pdf_fonts
from connector.languages import LANGUAGES
from policies.receivables import Step
from tests.connector.emails.outbound.accounts import EUROS, FRANCS

TODAY = date(2026, 11, 21)
FactsFor = Callable[..., EmailFacts]


def extract_text(content: bytes) -> str:
    """Return the text of a PDF drawn with the standard fonts."""
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", content, re.DOTALL)
    contents = b"\n".join(zlib.decompress(stream) for stream in streams if stream[:1] == b"x")
    pieces = re.findall(rb"\(((?:\\.|[^\\()])*)\) Tj", contents)
    return " ".join(re.sub(rb"\\(.)", rb"\1", piece).decode("windows-1252") for piece in pieces)


def extract_embedded_text(content: bytes) -> str:
    """Return the text of a PDF with embedded fonts: each piece as each of them has it."""
    found = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", content, re.DOTALL)
    streams = [zlib.decompress(each) if each[:1] == b"x" else each for each in found]
    pieces = re.findall(rb"\(((?:\\.|[^\\()])*)\) Tj", b"\n".join(streams), re.DOTALL)
    plain = [re.sub(rb"\\(.)", lambda each: each[1].replace(b"r", b"\r"), piece, flags=re.DOTALL) for piece in pieces]
    lines = []
    for each in streams:
        if b"beginbfchar" in each:
            pairs = re.findall(rb"<(\w{4})> <(\w{4})>", each)
            letters = {bytes.fromhex(code.decode()): chr(int(text, 16)) for code, text in pairs}
            lines += ["".join(letters.get(piece[at : at + 2], "") for at in range(0, len(piece), 2)) for piece in plain]
    return "\n".join(lines)


def test_it_lists_every_invoice_and_adds_up_in_one_currency(facts_for: FactsFor) -> None:
    text = extract_text(draw_statement(facts_for(Step.SECOND_NOTICE), TODAY).content)
    for part in (
        "Harbour Lights Ltd",
        "Blue & Sons",
        "INV-1042",
        "INV-1050",
        "€1,200.00",
        "€1,150.00",
        "€300.50",
        "21 November 2026",
    ):
        assert part in text
    assert "Total overdue: €1,150.00" in text
    assert "Total outstanding: €1,450.50" in text
    assert "Unapplied credit, already deducted: €50.00" in text


def test_it_is_in_the_language_of_the_email(facts_for: FactsFor) -> None:
    texts = {
        language: extract_text(draw_statement(facts_for(Step.SECOND_NOTICE, language=language), TODAY).content)
        for language in LANGUAGES
    }
    assert "Kontoauszug der offenen Posten" in texts["de"]
    assert "1.450,50 €" in texts["de"]
    assert "Relevé des factures non réglées" in texts["fr"]
    assert "Extracto de facturas pendientes" in texts["es"]
    assert "Overzicht van openstaande facturen" in texts["nl"]
    assert "Estratto conto delle partite aperte" in texts["it"]
    assert "Extrato de faturas em aberto" in texts["pt"]


NAMES = (
    "Żółć Łódź sp. z o.o.",
    "Gıda İşletmeleri Şti",  # noqa: RUF001
    "Příliš žluťoučký kůň",
    "Őrült Űrhajó Kft",
    "Αθήνα Α.Ε.",  # noqa: RUF001
    "ООО «Ромашка» Київ",  # noqa: RUF001
    "საქართველო",
)


@pytest.mark.parametrize("name", NAMES)
def test_names_keep_the_letters_of_their_language(facts_for: FactsFor, name: str) -> None:
    content = draw_statement(facts_for(Step.SECOND_NOTICE, customer_name=f"{name} 株\r\n(Evil) \\ Tj"), TODAY).content
    assert f"For {name} ? (Evil) \\ Tj" in extract_embedded_text(content)
    assert len(content) < 30_000  # only what is used is embedded


def test_a_letter_that_is_written_apart_from_its_accent_keeps_it(facts_for: FactsFor) -> None:
    western, polish = (unicodedata.normalize("NFD", name) for name in ("Café Ltd", NAMES[0]))
    assert "For Café Ltd" in extract_text(
        draw_statement(facts_for(Step.SECOND_NOTICE, customer_name=western), TODAY).content
    )
    content = draw_statement(facts_for(Step.SECOND_NOTICE, customer_name=polish), TODAY).content
    assert f"For {NAMES[0]}" in extract_embedded_text(content)


def test_the_fonts_are_kept_for_the_next_process_so_that_a_killed_one_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(pdf_fonts, "user_cache_path", lambda name: tmp_path / name)
    monkeypatch.setattr(pdf_fonts, "TemporaryDirectory", None)
    pdf_fonts._font_folder.cache_clear()
    kept = pdf_fonts._font_file("B")
    assert kept.is_relative_to(tmp_path)
    kept.write_bytes(b"of an earlier version")
    (written,) = {each.stat().st_mtime_ns for each in kept.parent.iterdir() if each != kept}
    pdf_fonts._font_folder.cache_clear()
    assert pdf_fonts._font_file("B").read_bytes() == pdf_fonts._font("B")
    assert {each.stat().st_mtime_ns for each in kept.parent.iterdir() if each != kept} == {written}
    pdf_fonts._font_folder.cache_clear()


def test_where_there_is_no_home_the_fonts_are_temporary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(pdf_fonts, "user_cache_path", lambda name: tmp_path / "file" / name)
    pdf_fonts._font_folder.cache_clear()
    assert pdf_fonts._font_file("").is_file()
    pdf_fonts._font_folder.cache_clear()


def test_hebrew_is_drawn_from_right_to_left(facts_for: FactsFor) -> None:
    content = draw_statement(facts_for(Step.SECOND_NOTICE, customer_name="שלום Ltd"), TODAY).content
    assert f"For {'שלום'[::-1]} Ltd" in extract_embedded_text(content)


def test_emoji_are_left_out_of_names(facts_for: FactsFor) -> None:
    family = "\N{WOMAN}\N{ZERO WIDTH JOINER}\N{GIRL}"
    facts = facts_for(Step.SECOND_NOTICE, customer_name=f"{family}Söhne\N{BLACK HEART SUIT}\ufe0f™ №\u202f1")
    assert "For Söhne™ No 1" in extract_text(draw_statement(facts, TODAY).content)


def test_a_name_without_a_letter_that_its_fonts_have_becomes_the_address(facts_for: FactsFor) -> None:
    facts = facts_for(Step.SECOND_NOTICE, customer_name="شركة النور")
    assert "For maria@blue.example" in extract_text(draw_statement(facts, TODAY).content)
    assert "For ????" in extract_text(draw_statement(replace(facts, to=()), TODAY).content)


def test_the_words_beside_the_code_stand_as_close_as_elsewhere(facts_for: FactsFor) -> None:
    facts = facts_for(Step.SECOND_NOTICE, bank_details=EUROS)
    many = [replace(facts.invoices[0], number=f"INV-{number}") for number in range(1000, 1013)]
    content = draw_statement(replace(facts, invoices=many, about=()), TODAY).content
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", content, re.DOTALL)
    drawn = b"\n".join(zlib.decompress(stream) for stream in streams if stream[:1] == b"x")
    assert b"INV-1000, INV-1001" in drawn
    assert b" Tw" not in drawn, "space between words is the mark of justified lines"


def test_the_same_facts_on_the_same_day_are_the_same_file(facts_for: FactsFor) -> None:
    one, two = (draw_statement(facts_for(Step.SECOND_NOTICE), TODAY) for _ in range(2))
    assert one == two
    assert one.filename == "statement-2026-11-21.pdf"
    assert one.content.startswith(b"%PDF-")


def test_three_hundred_invoices_fill_pages_and_stay_small(facts_for: FactsFor) -> None:
    facts = facts_for(Step.SECOND_NOTICE)
    line = facts.invoices[0]
    many = [replace(line, number=f"N{number:03}", due=Decimal("0.10"), covered=Decimal(0)) for number in range(300)]
    content = draw_statement(replace(facts, invoices=many), TODAY).content
    text = extract_text(content)
    assert all(f"N{number:03}" in text for number in range(300))
    assert "Total outstanding: €30.00" in text
    assert len(re.findall(rb"/Type /Page\b", content)) > 3
    assert len(content) < 60_000


def test_an_invoice_without_a_due_date_is_listed_too(facts_for: FactsFor) -> None:
    line = InvoiceLine("X-1", TODAY, None, Decimal(5), Decimal(5), 0)
    assert "X-1" in extract_text(
        draw_statement(facts_for(Step.SECOND_NOTICE, invoices=(line,), about=()), TODAY).content
    )


def test_a_disputed_invoice_shows_its_dispute_instead_of_days_overdue(facts_for: FactsFor) -> None:
    facts = facts_for(Step.SECOND_NOTICE, language="de")
    disputed = replace(facts.invoices[0], disputed=True, covered=Decimal(0))
    text = extract_text(draw_statement(replace(facts, invoices=[disputed]), TODAY).content)
    assert "in Klärung" in text
    assert "19" not in text.partition("INV-1042")[2].partition("1.200")[0].replace("2026", "")


def test_it_has_the_payment_code_of_what_is_asked_for_and_never_of_a_disputed_invoice(facts_for: FactsFor) -> None:
    content = draw_statement(facts_for(Step.SECOND_NOTICE, bank_details=EUROS), TODAY).content
    text = extract_text(content)
    for part in ("Pay by bank transfer", "Harbour Lights GmbH", "DE89 3704 0044 0532 0130 00", "INV-1042"):
        assert part in text
    assert read_code(content)[7:] == ["EUR1150.00", "", "", "INV-1042"]
    overdue, upcoming = facts_for(Step.SECOND_NOTICE).invoices
    disputed = facts_for(Step.SECOND_NOTICE, bank_details=EUROS, invoices=(replace(overdue, disputed=True), upcoming))
    assert b"/Subtype /Image" not in draw_statement(disputed, TODAY).content


@pytest.mark.parametrize(
    ("language", "headings"),
    [
        ("de", ("Zahlteil", "Empfangsschein", "Konto / Zahlbar an", "Zahlbar durch", "Annahmestelle")),
        ("es", ("Payment part", "Receipt", "Account / Payable to", "Payable by", "Acceptance point")),
    ],
)
@pytest.mark.parametrize("structured", [True, False])
def test_francs_are_paid_with_the_payment_part_of_a_swiss_bill(
    facts_for: FactsFor, language: str, headings: tuple[str, ...], structured: bool
) -> None:
    account = replace(FRANCS, use_creditor_reference=structured)
    facts = facts_for(Step.SECOND_NOTICE, language=language, currency="CHF", bank_details=account)
    content = draw_statement(facts, TODAY).content
    text = extract_text(content)
    for part in (*headings, "CH93 0076 2011 6238 5295 7", "Bahnhofstrasse 1", "8001 Zürich", "1 150.00"):
        assert part in text
    lines = read_code(content)
    assert lines[:4] == ["SPC", "0200", "1", "CH9300762011623852957"]
    assert lines[4] == "S"  # a structured address: the combined type is no longer accepted
    assert lines[18:20] == ["1150.00", "CHF"]
    assert lines[27] == ("SCOR" if structured else "NON")
    assert lines[28] == ("RF63INV1042" if structured else "")
    placed = re.search(rb"q ([\d.]+) 0 0 ([\d.]+) ([\d.]+) ([\d.]+) cm /I\d+ Do Q", page_content(content))
    assert placed is not None
    side, _height, left, bottom = (float(each) / 72 * 25.4 for each in placed.groups())
    modules = len(segno.make_qr("\n".join(lines).encode(), error="m", mode="byte", boost_error=False).matrix)
    edge = 4 * side / (modules + 8)
    assert side - 2 * edge == pytest.approx(46, abs=0.1)  # where SIX's guidelines have it
    assert (left + edge, bottom + edge) == pytest.approx((67, 42), abs=0.1)


def page_content(content: bytes) -> bytes:
    streams = re.findall(rb"stream\r?\n(x.*?)\r?\nendstream", content, re.DOTALL)
    return b"\n".join(zlib.decompress(each) for each in streams)


def read_code(content: bytes) -> list[str]:
    """Return the lines of the payment code in a PDF, which holds its image as a fax would."""
    [(head, data)] = re.findall(
        rb"<<((?:[^<]|<<[^>]*>>)*/Subtype /Image.*?)>>\s*stream\r?\n(.*?)\r?\nendstream", content, re.DOTALL
    )
    width, height = (int(head.partition(b"/" + name + b" ")[2].split()[0]) for name in (b"Width", b"Height"))
    fields = {256: width, 257: height, 258: 1, 259: 4, 262: 0, 273: 8, 278: height, 279: len(data)}
    table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in fields.items())
    picture = struct.pack("<2sHI", b"II", 42, 8 + len(data)) + data + struct.pack("<H", len(fields)) + table + bytes(4)
    [code] = zxingcpp.read_barcodes(Image.open(io.BytesIO(picture)).convert("L"))
    return code.text.split("\n")
