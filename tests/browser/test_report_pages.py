"""The reports in a real browser: labels apart, no sideways scrolling, by keyboard from a figure to its invoices."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.full_year import NOW, DataSize, fill_company
from connector.db.engine import writing
from tests.connector.site import Site, _clean_environment, settings, site  # noqa: F401

pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
WIDTHS = {1280: "light", 740: "dark", 360: "light"}
PATHS = ("/reports", "/reports/cash-collected", "/reports/ageing-by-customer")
# The texts of a chart that lie on each other, or beyond its edge
COLLISIONS = """() => [...document.querySelectorAll("svg.plot")].flatMap(plot => {
  const edge = plot.getBoundingClientRect(), boxes = [...plot.querySelectorAll("text")].map(text => [text.textContent,
    text.getBoundingClientRect()]);
  return boxes.flatMap(([text, box], place) => [
    ...(box.left < edge.left - 1 || box.right > edge.right + 1 ? [text + " leaves the chart"] : []),
    ...boxes.slice(place + 1).filter(([, other]) => box.left < other.right && other.left < box.right
      && box.top < other.bottom - 3 && other.top < box.bottom - 3).map(([other]) => text + " on " + other)]);
})"""


def test_reports_are_legible_on_every_screen_and_lead_to_their_invoices(site: Site, chromium: Any) -> None:  # noqa: F811
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415

    site.clock.at = NOW
    company = site.add_company("Long-Established Trading Company of the North Ltd", first_pull_done_at=NOW)
    with writing(site.app.engine) as session:
        fill_company(session, DataSize(invoices=160, runs=2), company)
    cookies = [
        {"name": each.name, "value": each.value, "url": site.base} for each in site.sign_in("viewer").http.cookies
    ]
    for width, scheme in WIDTHS.items():
        context = chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        context.add_cookies(cookies)
        page = context.new_page()
        for path in PATHS:
            page.goto(site.base + path)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (path, width)
            assert page.evaluate(COLLISIONS) == [], (path, width)
            if path == PATHS[0] or width == min(WIDTHS):
                result = Axe().run(page, options={"resultTypes": ["violations"]})
                assert result.violations_count == 0, (path, width, result.generate_report())
        if width != max(WIDTHS):
            context.close()
            continue
        page.goto(f"{site.base}/reports")
        summary = page.locator("section[aria-labelledby=ageing] summary")
        summary.focus()
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        figure = page.evaluate("document.activeElement.textContent")
        page.keyboard.press("Enter")
        page.wait_for_url("**/invoices?*")
        assert figure in page.inner_text("tfoot")
        page.goto(f"{site.base}/reports")
        page.emulate_media(media="print")
        assert page.locator("section[aria-labelledby=ageing] table").is_visible()  # closed on the screen
        assert not page.locator("form.filter").first.is_visible()
        context.close()
