"""The customer's own page in a real browser: on a phone, by keyboard, in light and dark; no accessibility fault."""

from __future__ import annotations

from typing import Any
from urllib.parse import urljoin

import pytest
import requests

from connector.arrangements import tasks
from connector.arrangements.customer_settings import find_customer
from connector.connections.registry import begin_consent, finish_consent
from connector.db.engine import reading
from connector.emails import portal_links

pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
PHONE = {"width": 390, "height": 844}


@pytest.fixture
def portal_link(site: Any) -> str:
    """The link of a customer of a company that was just connected, and whose books were read."""
    request = begin_consent(site.app, "xero")
    url = f"{request.url}&sandbox_allow=1&sandbox_organisation={site.organisation}"
    reply = requests.get(url, allow_redirects=False, timeout=30)
    [connection] = finish_consent(site.app, "xero", urljoin(request.url, reply.headers["Location"]))
    assert site.run(connection.id) == "ok"
    with reading(site.app.engine) as session:
        customer = find_customer(session, "Miller & Sons")
    return str(
        portal_links.create_link(site.app, customer.connection_id, customer.external_id, by="a test")["portal_link"]
    )


def test_a_customer_answers_on_his_phone_with_the_keyboard_alone(site: Any, portal_link: str, chromium: Any) -> None:
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415

    axe, complaints = Axe(), []

    def look(page: Any, name: str) -> None:
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), name
        found = axe.run(page, options={"resultTypes": ["violations"]})
        assert found.violations_count == 0, f"{name}: {found.generate_report()}"

    for scheme in ("light", "dark"):
        page = chromium.new_context(viewport=PHONE, color_scheme=scheme, locale="en").new_page()
        page.set_default_timeout(30_000)
        page.on("console", lambda said: complaints.append(said.text))
        page.goto(portal_link)
        look(page, scheme)
    assert page.get_by_label("Choose invoice").is_checked()  # the late one: one tap is enough
    page.get_by_role("button", name="I will pay").focus()
    page.keyboard.press("Enter")
    page.get_by_text("We count on your payment on that day.").wait_for()
    page.get_by_text("You promised to pay on 17 June 2026.").wait_for()
    page.get_by_label("Language").select_option("de")
    page.get_by_role("button", name="Change").click()
    page.get_by_text("Ab jetzt schreiben wir Ihnen in dieser Sprache.").wait_for()
    page.get_by_role("button", name="Etwas stimmt nicht").click()
    page.get_by_text("Sagen Sie in wenigen Worten, was nicht stimmt.").wait_for()
    look(page, "rejected")
    page.goto(portal_link[:-1])
    page.get_by_role("heading", name="This link is not known").wait_for()
    look(page, "unknown")
    assert [each for each in complaints if "status of 4" not in each] == []  # the two refusals, and nothing else
    with reading(site.app.engine) as session:
        assert [task.code for task in tasks.find_tasks(session)] == ["promise_received"]
