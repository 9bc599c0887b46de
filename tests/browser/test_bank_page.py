"""A statement is dropped in a real browser: its money is confirmed, the email is held, and all closes on its own."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urljoin

import pytest
import requests

from connector.auth.sign_in import create_first_link
from connector.connections.registry import begin_consent, finish_consent, set_mode
from connector.vocabulary import ConnectionMode

pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
Site = Any
PASSWORD = "correct horse battery staple"  # gitleaks:allow
STATEMENT = b"Date;Name;Description;Amount;Currency\n2026-06-09;R Sandhu;thank you;1200.00;GBP\n"


def connect(site: Site) -> None:
    request = begin_consent(site.app, "xero")
    url = f"{request.url}&sandbox_allow=1&sandbox_organisation={site.organisation}"
    reply = requests.get(url, allow_redirects=False, timeout=10)
    finish_consent(site.app, "xero", urljoin(request.url, reply.headers["Location"]))
    assert site.sync() == "ok"
    set_mode(site.app, 1, ConnectionMode.APPROVE)
    assert site.sync() == "ok"


def test_money_is_dropped_confirmed_held_and_closed_once_it_is_booked(site: Site, chromium: Any) -> None:
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415

    connect(site)
    page = chromium.new_context(viewport={"width": 390, "height": 844}).new_page()
    page.set_default_timeout(60_000)
    page.goto(f"{site.base}/welcome/{create_first_link(site.app)}")
    for label, text in (("Name", "Ann Lee"), ("Email address", "ann@example.com")):
        page.get_by_label(label).first.fill(text)
    for each in page.locator("input[type=password]").all():
        each.fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{site.base}/")
    page.goto(f"{site.base}/outbox")
    assert "Miller & Sons" in page.inner_text("main")

    page.goto(f"{site.base}/companies/1/bank")
    page.set_input_files("input[type=file]", {"name": "june.csv", "mimeType": "text/csv", "buffer": STATEMENT})
    page.get_by_role("button", name="Import").click()
    page.get_by_text("june.csv: 1 entry").wait_for()
    assert "R Sandhu" in page.inner_text("main")
    page.wait_for_load_state()  # the text is there before the style
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert Axe().run(page, options={"iframes": False}).violations_count == 0
    page.get_by_role("button", name="Yes").click()
    page.get_by_text("Confirmed, and remembered for this payer").wait_for()
    assert site.sync() == "ok"
    page.goto(f"{site.base}/outbox")
    assert "Miller & Sons" not in page.inner_text("main")
    page.goto(f"{site.base}/companies/1/bank")
    page.get_by_role("link", name="AUTO-").first.click()
    page.get_by_text("from R Sandhu arrived on").first.wait_for()

    number = next(each.number for each in site.sandbox.xero.invoices(site.organisation) if each.total == 1200)
    site.sandbox.xero.pay(number, "", "2026-06-09", organisation=site.organisation)
    site.sandbox.clock.advance(timedelta(hours=1))
    assert site.sync() == "ok"
    page.goto(f"{site.base}/companies/1/bank")
    assert "Nothing is waiting to be booked." in page.inner_text("main")
