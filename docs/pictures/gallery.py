"""Retakes the gallery: every email in every language, at phone and desk, light and dark, one sheet for each step."""  # noqa: INP001 - a script, no package

from __future__ import annotations

import io
import os
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from connector.emails.outbound.render import EMAIL_STEPS, compose_email
from connector.emails.outbound.sent_emails import embed_images
from connector.languages import LANGUAGES
from policies.receivables import Step
from tests.connector.emails.outbound.accounts import EUROS
from tests.connector.emails.outbound.conftest import facts_for  # the facts of the approved texts

FOLDER = Path(__file__).parent / "gallery"
VIEWS = (("light", 390), ("dark", 390), ("light", 640), ("dark", 640))  # a row of the sheet each
CELL, GAP = 150, 8  # pixels: the width of an email in the sheet, and what is between two
QUALITY = 30  # of WebP: a sheet of 28 emails is read, not printed


def main() -> None:
    """Write a sheet for each step, or for those that are named."""
    FOLDER.mkdir(exist_ok=True)
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        for step in [step for step in EMAIL_STEPS if step in sys.argv[1:]] or EMAIL_STEPS:
            draw_sheet(browser, step).save(FOLDER / f"{step.replace('_', '-')}.webp", quality=QUALITY, method=6)
        browser.close()


def draw_sheet(browser: Browser, step: Step) -> Image.Image:
    """Return the emails of a step, a column for each language and a row for each view."""
    rows = []
    for scheme, width in VIEWS:
        page = browser.new_page(
            viewport={"width": width, "height": 500}, color_scheme="dark" if scheme == "dark" else "light"
        )
        row = []
        for language in LANGUAGES:
            email = compose_email(facts_for(step, language=language, bank_details=EUROS))
            page.set_content(embed_images(email.html, email.inline))
            picture = Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB")
            row.append(picture.resize((CELL, round(picture.height * CELL / width)), Image.Resampling.LANCZOS))
        rows.append(row)
        page.close()
    heights = [max(picture.height for picture in row) for row in rows]
    sheet = Image.new("RGB", (len(LANGUAGES) * (CELL + GAP) + GAP, sum(heights) + (len(rows) + 1) * GAP), "#8a94a0")
    top = GAP
    for row, height in zip(rows, heights, strict=True):
        for column, picture in enumerate(row):
            sheet.paste(picture, (GAP + column * (CELL + GAP), top))
        top += height + GAP
    return sheet


if __name__ == "__main__":
    main()
