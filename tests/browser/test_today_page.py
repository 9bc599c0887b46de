"""Today in a real browser: on one screen at a desk, within two scrolls on a phone, however many companies there are."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.full_year import DataSize, fill_company
from connector.db.engine import writing
from connector.db.tables import OutboxEntry
from connector.vocabulary import OutboxKind, OutboxState
from tests.connector.site import Site, _clean_environment, settings, site  # noqa: F401

pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
DESK, TABLET, PHONE = {"width": 1280, "height": 800}, {"width": 740, "height": 900}, {"width": 390, "height": 844}


def add_companies(site: Site, numbers: range) -> None:  # noqa: F811
    for number in numbers:
        name = f"Long-Established Trading Company of the North {number} Ltd"
        company = site.add_company(name, first_pull_done_at=site.clock.at, time_zone="Europe/London")
        with writing(site.app.engine) as session:
            fill_company(session, DataSize(invoices=60, runs=3), company)
            session.add_all(
                OutboxEntry(
                    connection_id=company,
                    key=f"{company}:{each}",
                    kind=OutboxKind.EMAIL,
                    state=OutboxState.AWAITING_APPROVAL,
                    step="second_notice",
                    customer_id=f"c{each}",
                    payload={"to": [], "completed": [], "listed": []},
                    planned_at=site.clock.at,
                )
                for each in range(6)
            )


def test_today_fits_one_screen_and_is_as_long_for_twenty_companies_as_for_two(
    site: Site,  # noqa: F811
    chromium: Any,
) -> None:
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415

    cookies = [
        {"name": each.name, "value": each.value, "url": site.base} for each in site.sign_in("owner").http.cookies
    ]
    heights: list[list[int]] = []
    for more in (range(2), range(2, 20)):
        add_companies(site, more)
        heights.append([])
        for size in (DESK, TABLET, PHONE):
            context = chromium.new_context(viewport=size, color_scheme="dark" if size is TABLET else "light")
            context.add_cookies(cookies)
            page = context.new_page()
            page.goto(site.base)
            heights[-1].append(page.evaluate("document.documentElement.scrollHeight"))
            assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
            assert len(more) > 2 or Axe().run(page, options={"iframes": False}).violations_count == 0
            if len(more) == 2 and size is PHONE:
                for path in ("/setup", "/account", "/attention"):
                    page.goto(site.base + path)
                    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
                    assert Axe().run(page, options={"iframes": False}).violations_count == 0, path
            context.close()
    two, twenty = heights
    assert twenty[0] <= DESK["height"]
    assert twenty[2] <= 3 * PHONE["height"]
    assert all(abs(many - few) <= 60 for few, many in zip(two, twenty, strict=True)), heights
