"""The statement as PDF: what it lists, adds up and says, in the mail's language and whatever the names are."""

import re
import zlib
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal

from connector.emails.outbound.render import EmailFacts, InvoiceLine
from connector.emails.outbound.statement_pdf import draw_statement
from connector.languages import LANGUAGES
from policies.receivables import Step

TODAY = date(2026, 11, 21)
FactsFor = Callable[..., EmailFacts]


def extract_text(content: bytes) -> str:
    """The words of a PDF that was drawn with the standard fonts."""
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", content, re.DOTALL)
    drawn = b"\n".join(zlib.decompress(stream) for stream in streams if stream[:1] == b"x")
    pieces = re.findall(rb"\(((?:\\.|[^\\()])*)\) Tj", drawn)
    return " ".join(re.sub(rb"\\(.)", rb"\1", piece).decode("windows-1252") for piece in pieces)


def test_it_lists_every_invoice_and_adds_up_in_one_currency(facts_for: FactsFor) -> None:
    said = extract_text(draw_statement(facts_for(Step.SECOND_NOTICE), TODAY).content)
    for part in (
        "Harbour Lights Ltd",
        "Blue & Sons",
        "INV-1042",
        "INV-1050",
        "€1,200.00",
        "€300.50",
        "21 November 2026",
    ):
        assert part in said
    assert "Overdue: €1,200.00" in said
    assert "Open in total: €1,500.50" in said
    assert "not applied yet: €50.00" in said


def test_it_speaks_the_language_of_the_mail(facts_for: FactsFor) -> None:
    said = {
        language: extract_text(draw_statement(facts_for(Step.SECOND_NOTICE, language=language), TODAY).content)
        for language in LANGUAGES
    }
    assert "Offene Rechnungen" in said["de"]
    assert "1.500,50 €" in said["de"]
    assert "Relevé des factures dues" in said["fr"]
    assert "Extracto de facturas pendientes" in said["es"]


def test_letters_that_its_fonts_lack_cost_their_marks_never_the_statement(facts_for: FactsFor) -> None:
    facts = facts_for(Step.SECOND_NOTICE, customer_name="Żółć Łódź 株式会社\r\n(Evil) \\ Tj")
    said = extract_text(draw_statement(facts, TODAY).content)
    assert "Zólc Lódz ????" in said
    assert "(Evil) \\ Tj" in said


def test_the_same_facts_on_the_same_day_are_the_same_file(facts_for: FactsFor) -> None:
    one, two = (draw_statement(facts_for(Step.SECOND_NOTICE), TODAY) for _ in range(2))
    assert one == two
    assert one.filename == "statement-2026-11-21.pdf"
    assert one.content.startswith(b"%PDF-")


def test_three_hundred_invoices_fill_pages_and_stay_small(facts_for: FactsFor) -> None:
    facts = facts_for(Step.SECOND_NOTICE)
    line = facts.invoices[0]
    many = [replace(line, number=f"N{number:03}", due=Decimal("0.10")) for number in range(300)]
    content = draw_statement(replace(facts, invoices=many, credit=Decimal(0)), TODAY).content
    said = extract_text(content)
    assert all(f"N{number:03}" in said for number in range(300))
    assert "Open in total: €30.00" in said
    assert len(re.findall(rb"/Type /Page\b", content)) > 3
    assert len(content) < 60_000


def test_an_invoice_without_a_due_day_is_listed_too(facts_for: FactsFor) -> None:
    line = InvoiceLine("X-1", TODAY, None, Decimal(5), Decimal(5), 0)
    assert "X-1" in extract_text(
        draw_statement(facts_for(Step.SECOND_NOTICE, invoices=(line,), about=()), TODAY).content
    )


def test_what_is_disputed_says_so_in_place_of_its_days_late(facts_for: FactsFor) -> None:
    facts = facts_for(Step.SECOND_NOTICE, language="de")
    disputed = replace(facts.invoices[0], disputed=True)
    said = extract_text(draw_statement(replace(facts, invoices=[disputed], credit=Decimal(0)), TODAY).content)
    assert "in Klärung" in said
    assert "19" not in said.partition("INV-1042")[2].partition("1.200")[0].replace("2026", "")
