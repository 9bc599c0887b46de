"""Emails in a real browser: nothing is cut off on a small phone, and all text has enough contrast in both schemes."""

import io
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
import zxingcpp
from PIL import Image
from playwright.sync_api import Browser, Page

from connector.emails.outbound.render import EMAIL_STEPS, EmailFacts, InvoiceLine, compose_email
from connector.emails.outbound.sent_emails import embed_images
from connector.emails.outbound.statement_pdf import draw_statement
from connector.languages import LANGUAGES
from policies.receivables import Step
from tests.connector.emails.outbound.accounts import EUROS, FRANCS

WIDTH = 320
WIDER = (1280, 600)  # a desk, and the width of the layout itself
ALL_IN_TWO = [(step, language) for step in EMAIL_STEPS for language in ("en", "de")]
ALL_IN_GERMAN = [(step, "de") for step in EMAIL_STEPS]  # no words are longer; dark ones are no wider
CONTRAST_MIN = 4.5

# For every element with text of its own: the contrast between them and the nearest painted background.
MEASURE_CONTRAST = """() => {
  const parts = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = node => {
    for (; node; node = node.parentElement) {
      const colour = parts(getComputedStyle(node).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  return [...document.body.querySelectorAll('*')]
    .filter(node => node.getClientRects().length && [...node.childNodes].some(c => c.nodeType === 3 && c.data.trim()))
    .map(node => {
      const [a, b] = [light(parts(getComputedStyle(node).color)), light(behind(node))].sort((x, y) => y - x);
      return [(a + 0.05) / (b + 0.05), node.textContent.trim().slice(0, 40)];
    });
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_email_fits_a_small_phone_and_has_enough_contrast(
    scheme: str, chromium: Browser, facts_for: Callable[..., EmailFacts]
) -> None:
    page = chromium.new_page(
        viewport={"width": WIDTH, "height": 640}, color_scheme="dark" if scheme == "dark" else "light"
    )
    try:
        for step, language in ALL_IN_TWO if scheme == "light" else ALL_IN_GERMAN:
            email = compose_email(facts_for(step, language=language, bank_details=EUROS))
            page.set_content(embed_images(email.html, email.inline))
            assert page.evaluate("document.documentElement.scrollWidth") <= WIDTH, (step, language)
            weak = [found for found in page.evaluate(MEASURE_CONTRAST) if found[0] < CONTRAST_MIN]
            assert weak == [], (step, language)
    finally:
        page.close()


def test_no_language_and_no_width_scrolls_sideways(chromium: Browser, facts_for: Callable[..., EmailFacts]) -> None:
    page = chromium.new_page(viewport={"width": WIDTH, "height": 640})
    try:
        for language in LANGUAGES:
            for step in (Step.SECOND_NOTICE, Step.PLAN_OFFER):  # the longest ones
                email = compose_email(facts_for(step, language=language, bank_details=FRANCS, currency="CHF"))
                page.set_content(embed_images(email.html, email.inline))
                for width in (*WIDER, WIDTH):
                    page.set_viewport_size({"width": width, "height": 640})
                    assert page.evaluate("document.documentElement.scrollWidth") <= width, (step, language, width)
    finally:
        page.close()


def test_a_very_long_number_and_amount_still_fit(chromium: Browser, facts_for: Callable[..., EmailFacts]) -> None:
    line = facts_for(EMAIL_STEPS[4]).invoices[0]
    wide = InvoiceLine(
        "INVOICE/2026/000000000000000001042-A",
        line.issued_on,
        line.due_on,
        line.total * 10_000,
        line.total * 9_999,
        400,
    )
    page = chromium.new_page(viewport={"width": WIDTH, "height": 640})
    try:
        page.set_content(compose_email(facts_for(EMAIL_STEPS[4], invoices=(wide, line), about=(), currency="CHF")).html)
        assert page.evaluate("document.documentElement.scrollWidth") <= WIDTH
    finally:
        page.close()


def test_a_phone_reads_the_payment_codes_of_the_email_and_of_its_statement(
    chromium: Browser, facts_for: Callable[..., EmailFacts], tmp_path: Path
) -> None:
    page = chromium.new_page(
        viewport={"width": 1000, "height": 1200}, color_scheme="dark"
    )  # a code keeps its white edge
    try:
        for currency, account in (("EUR", EUROS), ("CHF", FRANCS)):
            facts = facts_for(Step.SECOND_NOTICE, bank_details=account, currency=currency)
            email = compose_email(facts)
            page.set_content(embed_images(email.html, email.inline))
            [code] = _read_codes(page.screenshot(full_page=True))
            [image] = email.inline
            assert [code] == _read_codes(image.content)
            assert "1150.00" in code
        statement = tmp_path / "statement.pdf"
        statement.write_bytes(draw_statement(facts, date(2026, 11, 21)).content)
        page.goto(statement.as_uri())
        assert _when_shown(page) == [code]
    finally:
        page.close()


def _read_codes(picture: bytes) -> list[str]:
    return sorted({code.text for code in zxingcpp.read_barcodes(Image.open(io.BytesIO(picture)))})


def _when_shown(page: Page) -> list[str]:
    """Return the codes of a PDF: the browser draws it in its own time."""
    for _ in range(60):
        found = _read_codes(page.screenshot())
        if found:
            return found
        page.wait_for_timeout(100)
    return []
