"""The customer portal in a real browser: on a phone, by keyboard, light and dark, without accessibility violations."""

from __future__ import annotations

from typing import Any
from urllib.parse import urljoin

import pytest
import requests

from connector.arrangements.customer_settings import find_customer
from connector.arrangements.task_list import find_tasks
from connector.connections.registry import begin_consent, finish_consent
from connector.db.engine import reading
from connector.emails import portal_links
from connector.vocabulary import RunOutcome, TaskCode
from tests.browser.conftest import Site

pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
PHONE = {"width": 390, "height": 844}


@pytest.fixture
def portal_link(site: Site) -> str:
    """Return the portal link of a customer of a company that was just connected and synced."""
    request = begin_consent(site.app, "xero")
    url = f"{request.url}&sandbox_allow=1&sandbox_organisation={site.organisation}"
    reply = requests.get(url, allow_redirects=False, timeout=30)
    [connection] = finish_consent(site.app, "xero", urljoin(request.url, reply.headers["Location"]))
    assert site.sync(connection.id or 0) == RunOutcome.OK
    with reading(site.app.engine) as session:
        customer = find_customer(session, "Miller & Sons")
    return portal_links.create_link(site.app, customer.connection_id, customer.external_id, by="a test").link


def test_a_customer_responds_on_a_phone_with_the_keyboard_alone(site: Site, portal_link: str, chromium: Any) -> None:
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415

    axe, complaints = Axe(), []

    def check_page(page: Any, name: str) -> None:
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), name
        result = axe.run(page, options={"resultTypes": ["violations"]})
        assert result.violations_count == 0, f"{name}: {result.generate_report()}"

    for scheme in ("light", "dark"):
        page = chromium.new_context(viewport=PHONE, color_scheme=scheme, locale="en").new_page()
        page.set_default_timeout(30_000)
        page.on("console", lambda message: complaints.append(message.text))
        page.goto(portal_link)
        check_page(page, scheme)
    assert page.get_by_label("Select invoice").is_checked()  # the only one: one tap is enough
    page.get_by_role("button", name="Promise payment").focus()
    page.keyboard.press("Enter")
    page.get_by_text("We have noted the date and expect your payment by then.").wait_for()
    page.get_by_text("Payment promised for 17 June 2026.").wait_for()
    page.get_by_label("Language").select_option("de")
    page.get_by_role("button", name="Change language").click()
    page.get_by_text("Ab jetzt schreiben wir Ihnen in dieser Sprache.").wait_for()
    page.get_by_role("button", name="Rechnung beanstanden").click()
    page.get_by_text("Bitte beschreiben Sie kurz, was nicht in Ordnung ist.").wait_for()
    check_page(page, "rejected")
    page.goto(portal_link[:-1])
    page.get_by_role("heading", name="This link is not valid").wait_for()
    check_page(page, "unknown")
    assert [each for each in complaints if "status of 4" not in each] == []  # the two rejections, and nothing else
    with reading(site.app.engine) as session:
        assert [task.code for task in find_tasks(session)] == [TaskCode.PROMISE_RECEIVED]
