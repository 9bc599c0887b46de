"""What takes how many actions in a real browser: approving twenty emails by reading them."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from urllib.parse import urljoin

import pytest
import requests
from sqlalchemy import select
from sqlmodel import col

from connector.auth.sign_in import create_link
from connector.auth.users import add_user, find_user
from connector.connections.registry import begin_consent, finish_consent, set_mode
from connector.db.engine import writing
from connector.db.tables import CustomerRow, InvoiceRow, Task
from connector.vocabulary import TaskCode

pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
Site = Any
EMAILS = 20
SIZES = ((1280, 800, "light"), (740, 900, "dark"), (390, 844, "light"))


def add_overdue_customers(site: Site, count: int) -> None:
    today = site.app.now().date()
    for number in range(count):
        name = f"Customer {number:02} Ltd"
        site.sandbox.xero.add_contact(
            name, email=f"ap@c{number}.example", country="United Kingdom", organisation=site.organisation
        )
        due_on = today - timedelta(days=9)
        dates = {"on": (due_on - timedelta(days=30)).isoformat(), "due_on": due_on.isoformat()}
        site.sandbox.xero.add_invoice(name, f"{100 + number}.00", sent=True, organisation=site.organisation, **dates)


def connect(site: Site) -> None:
    request = begin_consent(site.app, "xero")
    url = f"{request.url}&sandbox_allow=1&sandbox_organisation={site.organisation}"
    reply = requests.get(url, allow_redirects=False, timeout=10)
    finish_consent(site.app, "xero", urljoin(request.url, reply.headers["Location"]))
    assert site.sync() == "ok"


def sign_in(site: Site, page: Any) -> None:
    with writing(site.app.engine) as session:
        add_user(session, "ann@example.com", "bookkeeper", companies=None, by="a test", at=site.app.now())
        user = find_user(session, "ann@example.com")
        link = create_link(session, user, site.app.now(), signs_in_directly=True)
    page.goto(f"{site.base}/welcome/{link}")


class Actions:
    """Counts what a user does: clicks, and keys they press."""

    def __init__(self, page: Any) -> None:
        self.page, self.count = page, 0

    def press(self, key: str) -> None:
        self.count += 1
        with self.page.expect_navigation():
            self.page.keyboard.press(key)

    def click(self, target: Any) -> None:
        self.count += 1
        target.click()


def check_sizes(site: Site, page: Any, request: pytest.FixtureRequest, name: str) -> None:
    """Take a screenshot at each size, and check accessibility and width there."""
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415

    folder = request.config.rootpath / "test-output" / "reading"
    folder.mkdir(parents=True, exist_ok=True)
    page.wait_for_load_state()  # a click returns before the next page has its text and style
    for width, height, scheme in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme=scheme)
        page.screenshot(path=folder / f"{name}-{width}-{scheme}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), width
        found = Axe().run(page, options={"resultTypes": ["violations"], "iframes": False})
        assert found.violations_count == 0, f"{name}, {width}: {found.generate_report()}"
    page.set_viewport_size({"width": SIZES[0][0], "height": SIZES[0][1]})


def test_twenty_emails_are_approved_by_reading_in_as_many_actions_and_one(
    site: Site, chromium: Any, request: pytest.FixtureRequest
) -> None:
    add_overdue_customers(site, EMAILS - 3)  # three await approval already
    connect(site)
    set_mode(site.app, 1, "approve", by="ann")
    page = chromium.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.set_default_timeout(30_000)
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    sign_in(site, page)
    page.goto(f"{site.base}/outbox")
    actions = Actions(page)
    actions.click(page.get_by_role("link", name="Review one by one"))
    page.get_by_text(f"1 of {EMAILS}").wait_for()
    check_sizes(site, page, request, "review")
    for number in range(EMAILS):
        page.get_by_text(f"{number + 1} of {EMAILS}").wait_for()
        if number == 3:  # reading needs no action; keys in a field are text
            page.keyboard.press("r")
            page.keyboard.type("a nap")
            check_sizes(site, page, request, "reject")
            assert page.get_by_label("Reason").input_value() == "a nap"
            page.keyboard.press("Escape")
        actions.press("a")
    page.get_by_text(f"You have decided about {EMAILS} entries.").wait_for()
    assert actions.count <= EMAILS + 1
    check_sizes(site, page, request, "reviewed")
    assert site.sync() == "ok"
    own = site.app.settings.mail_from
    assert len([email for email in site.sandbox.sendgrid.emails() if own not in email.to]) == EMAILS
    page.goto(f"{site.base}/outbox?state=done")
    page.get_by_role("row", name=re.compile("Email.*Customer 07 Ltd")).get_by_role("link").first.click()
    page.get_by_role("heading", name="Email as sent").wait_for()
    assert "107.00" in page.frame_locator("iframe").locator("body").inner_text()
    check_sizes(site, page, request, "sent")
    record_promise_on_a_task(site, page, request)
    assert complaints == []


def record_promise_on_a_task(site: Site, page: Any, request: pytest.FixtureRequest) -> None:
    """Open a call from the list of tasks, and record what was promised."""
    with writing(site.app.engine) as session:
        invoice = session.scalars(select(InvoiceRow).where(col(InvoiceRow.total_e4) == 107_0000)).one()
        session.get_one(CustomerRow, (1, invoice.customer_id)).phones = "phone 020 7946 0018\nmobile 07700 900123"
        session.add(
            Task(
                connection_id=1, key="t", code=TaskCode.CALL, step="call", customer_id=invoice.customer_id,
                invoice_ids=[invoice.external_id], due_on=site.app.now().date() - timedelta(days=1),
                reason="Call about GBP 107.00, 9 days overdue.", created_at=site.app.now(),
            )
        )  # fmt: skip
    page.goto(f"{site.base}/tasks")
    actions = Actions(page)
    actions.click(page.get_by_role("row", name="Customer 07 Ltd").get_by_role("link", name="Call").first)
    page.get_by_role("link", name="020 7946 0018").wait_for()
    check_sizes(site, page, request, "task")
    actions.count += 1
    page.get_by_label("Payment promised for").fill("2026-06-19")
    actions.click(page.get_by_role("button", name="Save promise"))
    page.get_by_text("Task closed.").wait_for()
    assert actions.count <= 4
