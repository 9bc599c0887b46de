"""The policy in a real browser: the effect of a change stands beside the form while it is made."""

from __future__ import annotations

from typing import Any

import pytest

from connector.services import policy_effect
from tests.connector.site import Site, _clean_environment, settings, site  # noqa: F401

pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
DAY = '[name="past_due.new.large"]'


def test_the_story_and_the_effect_follow_a_change_without_reloading(
    site: Site,  # noqa: F811
    chromium: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415
    from playwright.sync_api import expect  # noqa: PLC0415

    monkeypatch.setattr(policy_effect, "SECONDS_MAX", 60)
    company = site.add_company("North Ltd", live_since_at=site.clock.at)
    site.add_overdue_invoice(company)
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    cookies = site.sign_in("bookkeeper").http.cookies
    context.add_cookies([{"name": each.name, "value": each.value, "url": site.base} for each in cookies])
    page = context.new_page()
    page.goto(f"{site.base}/policy")
    page.evaluate("window.isSamePage = true")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollHeight") < 4000, "a phone sees what there is, folded"
    page.set_viewport_size({"width": 1280, "height": 800})
    page.focus(DAY)
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("4")
    page.wait_for_selector("[data-effect] table")
    assert page.locator("[data-effect] li a").count(), "the customers who are treated differently"
    assert "treated differently" in page.inner_text("[data-summary]")
    beside, table = page.locator("[data-effect]").bounding_box(), page.locator("table.schedule").first.bounding_box()
    assert beside["x"] >= table["x"] + table["width"], "it stands beside the days"
    page.click("article:nth-of-type(3) details:not(.fold) summary")
    assert "on day 4 we remind them by email" in page.inner_text("article:nth-of-type(3) details:not(.fold)")
    page.fill(DAY, "6")
    page.wait_for_selector('tr[data-error="call.new.large"]')
    assert page.get_attribute(DAY, "aria-invalid") == "true"
    assert page.input_value(DAY) == "6"
    for width, scheme in ((1280, "light"), (740, "dark"), (360, "light")):
        page.set_viewport_size({"width": width, "height": 800})
        page.emulate_media(color_scheme=scheme)
        assert Axe().run(page, options={"iframes": False}).violations_count == 0, (width, scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    folded = '[name="receipt_check.new.large"]'
    assert page.is_visible(DAY), "what is wrong is not folded"
    assert not page.is_visible(folded)
    page.click(f"tr:has({folded}) summary")
    assert page.is_visible(folded)
    page.set_viewport_size({"width": 1280, "height": 800})
    page.select_option('[name="tone"]', "gentle")
    page.fill(DAY, "3")
    expect(page.locator('[name="past_due.new.small"]')).to_have_value("8")
    assert page.locator("[data-error]").count() == 0
    page.press(DAY, "Enter")  # shows the effect and saves nothing
    expect(page.locator("[aria-busy]")).to_have_count(0)
    assert page.evaluate("window.isSamePage") is True
    context.close()
