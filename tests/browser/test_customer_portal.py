"""The customer portal in a real browser: on a phone, by keyboard, light and dark, without accessibility violations."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
import requests

from connector.arrangements.customer_settings import find_customer
from connector.arrangements.task_list import find_tasks
from connector.connections.registry import begin_consent, finish_consent
from connector.db.engine import reading
from connector.emails import portal_links
from connector.vocabulary import RunOutcome, TaskCode, TaskState
from tests.browser.conftest import NOON, OUTPUT, Site

pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
PHONE, DESK = {"width": 360, "height": 740}, {"width": 1280, "height": 800}
PAGE_BYTES_MAX = 60_000


@pytest.fixture
def portal_link(site: Site) -> str:
    """Return the portal link of a customer with two invoices, of a company that was just connected and synced."""
    dates = {"on": NOON.date().isoformat(), "due_on": (NOON.date() + timedelta(days=20)).isoformat()}
    site.sandbox.xero.add_invoice("Miller & Sons", "80.50", sent=True, organisation=site.organisation, **dates)
    request = begin_consent(site.app, "xero")
    url = f"{request.url}&sandbox_allow=1&sandbox_organisation={site.organisation}"
    reply = requests.get(url, allow_redirects=False, timeout=30)
    [connection] = finish_consent(site.app, "xero", urljoin(request.url, reply.headers["Location"]))
    assert site.sync(connection.id or 0) == RunOutcome.OK
    with reading(site.app.engine) as session:
        customer = find_customer(session, "Miller & Sons")
    return portal_links.create_link(site.app, customer.connection_id, customer.external_id, by="a test").link


class Journey:
    """A customer's browser that checks every page it shows: no violation, no sideways scrolling, not too large."""

    def __init__(self, chromium: Any) -> None:
        from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415

        self._axe, self._chromium = Axe(), chromium
        self.complaints: list[str] = []
        self._context: Any = None

    def open(self, **context: Any) -> None:
        self._context = self._chromium.new_context(locale="en", **{"viewport": PHONE, **context})

    def tab(self, url: str) -> Any:
        page = self._context.new_page()
        page.set_default_timeout(30_000)
        page.on("console", lambda message: self.complaints.append(message.text))
        page.goto(url)
        return page

    def check(self, page: Any, name: str) -> None:
        page.wait_for_load_state()  # the text is there before the style
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), name
        assert len(page.content()) <= PAGE_BYTES_MAX, name
        result = self._axe.run(page, options={"resultTypes": ["violations"]})
        assert result.violations_count == 0, f"{name}: {result.generate_report()}"
        OUTPUT.mkdir(exist_ok=True)
        page.screenshot(path=str(Path(OUTPUT) / f"portal-{name}.png"), full_page=True)


def _promise_a_part(journey: Journey, page: Any) -> None:
    """With the keyboard alone: form, summary, sent; the back button shows that it was sent."""
    page.get_by_role("link", name="I will pay on …: invoice").first.focus()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="I will pay on").wait_for()
    journey.check(page, "promise")
    page.get_by_label("Amount").fill("500")
    page.keyboard.press("Enter")
    page.get_by_text("You are about to tell Small Works Ltd:").wait_for()
    journey.check(page, "summary")
    page.get_by_role("button", name="Send").focus()
    page.keyboard.press("Enter")
    page.get_by_text("£500.00 promised for 17 June 2026.").wait_for()
    journey.check(page, "sent")

    # The back button shows that it was sent, and offers no second time
    page.go_back()
    page.get_by_text("This was sent.").wait_for()
    assert page.get_by_role("button", name="Send").count() == 0


def _dispute_in_another_tab(journey: Journey, page: Any, link: str, proof: Path) -> None:
    """The first tab still shows the page of before, and undoes its own answer."""
    other = journey.tab(link)
    other.get_by_role("link", name="Something is wrong: invoice").last.click()
    other.get_by_role("button", name="Continue").click()
    assert other.get_by_text("You are about to tell").count() == 0  # the browser itself asks for the reason
    other.get_by_label("What is wrong?").fill("Not what we ordered")
    other.get_by_label("File").set_input_files(proof)
    other.get_by_role("button", name="Continue").click()
    other.get_by_text("You are about to tell").wait_for()
    other.get_by_role("button", name="Send").dblclick()  # a double tap
    other.get_by_text("We will look into it").wait_for()
    page.get_by_role("button", name="Undo").click()
    page.get_by_text("Undone: I will pay on").wait_for()
    page.get_by_text("In dispute since 10 June 2026.").wait_for()
    assert page.get_by_text("promised for 17 June").count() == 0
    journey.check(page, "undone")


def _report_one_payment_for_several(journey: Journey, page: Any) -> None:
    """No invoice is ticked, and a problem stands beside its field."""
    page.get_by_role("link", name="I have paid several invoices together").click()
    assert page.get_by_role("checkbox", checked=True).count() == 0
    page.get_by_role("button", name="Continue").click()
    page.get_by_text("Select the invoices this is about.").wait_for()
    journey.check(page, "several")
    page.get_by_role("checkbox").first.check()
    page.get_by_label("Payment method").select_option("bank_transfer")
    page.get_by_label("Payment reference").fill("TRF 77")
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("link", name="Change").click()  # what was entered is still there
    assert page.get_by_label("Payment reference").input_value() == "TRF 77"
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name="Send").click()
    page.get_by_text("We will look for your payment").wait_for()


def test_customers_say_what_they_mean_with_the_keyboard_alone_in_two_tabs_and_take_it_back(
    site: Site, portal_link: str, chromium: Any, tmp_path: Path
) -> None:
    journey = Journey(chromium)
    proof = tmp_path / "proof.pdf"
    proof.write_bytes(b"%PDF-1.7\nproof\n%%EOF\n")
    journey.open(color_scheme="dark", viewport=DESK)
    journey.check(journey.tab(portal_link), "desk-dark")
    journey.open(java_script_enabled=True, color_scheme="light")
    page = journey.tab(portal_link)
    journey.check(page, "phone")

    _promise_a_part(journey, page)
    _dispute_in_another_tab(journey, page, portal_link, proof)
    _report_one_payment_for_several(journey, page)

    page.get_by_role("link", name="Statement of account").click()
    page.get_by_text("Closing balance").wait_for()
    journey.check(page, "account")
    page.goto(portal_link)
    page.get_by_label("Language").select_option("de")
    page.get_by_role("button", name="Change language").click()
    page.get_by_text("Ab jetzt schreiben wir Ihnen in dieser Sprache.").wait_for()
    journey.check(page, "german")
    page.goto(portal_link[:-1])
    page.get_by_role("heading", name="This link is not valid").wait_for()
    assert [each for each in journey.complaints if "status of 4" not in each] == []
    with reading(site.app.engine) as session:
        found = [(task.code, task.state) for task in find_tasks(session, states=tuple(TaskState))]
    assert found == [
        (TaskCode.PROMISE_RECEIVED, TaskState.CANCELLED),
        (TaskCode.DISPUTE_RECEIVED, TaskState.OPEN),
        (TaskCode.PAYMENT_REPORTED, TaskState.OPEN),
    ]
