"""A user's journey through the web app in a real browser: by keyboard, on a phone, in light and dark."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from typing import Any

import pytest

from connector import policy_store
from connector.auth.sign_in import create_first_link
from connector.db.engine import writing
from connector.reports import catalogue
from sandbox.faults import Rule

pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
Site = Any
OUTPUT = "test-output"
FEES = '[late_fees]\nenabled = true\nterms_agreed_on = 2025-01-01\napproval = "automatic"\n'
PASSWORD = "correct horse battery staple"  # gitleaks:allow
CONTRAST_ONLY = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}  # no other rule sees colours
# How many elements that take the focus come after the one that has it, and before this one.
TAB_STOPS_BEFORE = """node => {
    const stops = [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex]")]
        .filter(each => each.tabIndex >= 0 && !each.disabled && each.getClientRects().length)
    return stops.indexOf(node) - stops.indexOf(document.activeElement)
}"""
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
REPORTS = tuple(f"/reports/{name}" for name in catalogue.TITLES)
SETTINGS = tuple(
    f"/settings/{name}" for name in ("sender", "calendar", "users", "tokens", "webhooks", "privacy", "backup")
)


def become_owner(site: Site, page: Any) -> None:
    """Follow the one-time link, using only the keyboard."""
    page.goto(f"{site.base}/welcome/{create_first_link(site.app)}")
    page.locator("input[name=name]:focus").wait_for()
    for words in ("Ann Lee", "ann@example.com", PASSWORD, PASSWORD):
        page.keyboard.type(words)
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{site.base}/")


def activate(page: Any, target: Any, key: str = "Enter") -> None:
    """Activate an element: by tapping on a phone, on a desktop by keyboard, pressing Tab until it has the focus."""
    if page.viewport_size["width"] < WIDE["width"]:
        target.click()
        return
    for _step in range(target.evaluate(TAB_STOPS_BEFORE) - 5):  # most of the way without looking
        page.keyboard.press("Tab")
    for _step in range(300):
        if target.evaluate("node => node === document.activeElement"):
            page.keyboard.press(key)
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{target} cannot be reached by keyboard")


def connect(site: Site, page: Any) -> None:
    """Connect the small company through the simulated consent page."""
    page.goto(f"{site.base}/companies")
    activate(page, page.get_by_role("button", name="Connect Xero"))
    grant_consent(site, page)


def grant_consent(site: Site, page: Any, name: str = "Small Works Ltd") -> None:
    """Grant the consent, and continue to the company."""
    page.wait_for_url(lambda url: not url.startswith(site.base))
    for box in page.locator("input[type=checkbox][name=organisation]").all():
        box.set_checked(box.get_attribute("value") == site.organisation)
    page.locator("button.allow").click()
    page.get_by_role("heading", name="Connected").wait_for()
    activate(page, page.get_by_role("link", name="Continue"))
    page.get_by_role("heading", name=name).wait_for()


def switch_to_approve(site: Site, page: Any) -> None:
    """Sync once, review the plan, and switch to approve."""
    assert site.sync() == "ok"
    page.goto(f"{site.base}/companies/1")
    page.get_by_text("Nothing has been sent.").wait_for()
    activate(page, page.get_by_role("link", name="Switch to approve"))
    page.get_by_role("button", name="Switch to approve").wait_for()
    assert "GBP 1,280.50" in page.inner_text("main")
    activate(page, page.get_by_label("I have reviewed"), "Space")
    activate(page, page.get_by_role("button", name="Switch to approve"))
    page.get_by_text("Mode changed.").wait_for()
    assert site.sync() == "ok"


@pytest.mark.parametrize(("size", "scheme"), [(WIDE, "light"), (PHONE, "dark")], ids=["desktop-light", "phone-dark"])
def test_from_first_start_to_an_approved_email_in_the_log(
    site: Site, chromium: Any, size: Any, scheme: Any, request: pytest.FixtureRequest
) -> None:
    page = chromium.new_context(viewport=size, color_scheme=scheme).new_page()
    page.set_default_timeout(30_000)
    complaints: list[str] = []
    page.on(
        "console", lambda said: complaints.append(f"{said.text} {said.location}") if is_own_error(site, said) else None
    )
    shots = screenshots(request, page)
    page.goto(site.base)
    shots("sign-in")
    become_owner(site, page)
    shots("first-today")
    connect(site, page)
    shots("first-pull")
    with writing(site.app.engine) as session:
        policy_store.set_policy(session, FEES, by="Ann Lee", at=site.app.now())
    switch_to_approve(site, page)
    page.goto(site.base)
    shots("today")
    activate(page, page.get_by_role("link", name="3 to approve"))
    page.get_by_role("row", name="Miller & Sons").wait_for()
    shots("outbox")
    activate(page, page.get_by_role("row", name="Miller & Sons").get_by_role("link").first)
    letter = page.frame_locator("iframe").locator("body")
    assert "1,200.00" in letter.inner_text()
    activate(page, page.get_by_text("Edit text"))
    shots("email")
    page.get_by_label("Subject").fill("A word about your order")
    activate(page, page.get_by_role("button", name="Save text"))
    page.get_by_text("Text saved. The email still needs approval.").wait_for()
    activate(page, page.get_by_role("button", name="Approve"))
    page.get_by_text("Approved. It will be sent with the next sync.").wait_for()
    assert site.sync() == "ok"
    own = site.app.settings.mail_from
    assert [list(m.to) for m in site.sandbox.sendgrid.emails() if own not in m.to] == [["ap@miller.example"]]
    assert "A word about your order" in {mail.subject for mail in site.sandbox.sendgrid.emails()}
    record_promise(page, shots)
    page.goto(f"{site.base}/log?customer=Miller")
    assert "Email sent" in page.inner_text("tbody")
    shots("log")
    page.goto(site.base)
    assert re.search(r"1 × (Reminder|Email)\b", page.inner_text("main"))
    for path in (
        "/companies",
        "/customers",
        "/tasks",
        "/exceptions",
        "/companies/1",
        "/companies/1/bank-details",
        "/companies/1/mode?mode=live",
        "/fees",
        "/runs",
        "/runs/1",
        "/log/1",
        "/log/chain",
        *(SETTINGS if size is PHONE else ()),
        "/policy",
        "/policy/document",
        "/policy/versions",
        "/reports",
        *(REPORTS if size is PHONE else ()),
    ):
        page.goto(site.base + path)
        shots(path.partition("?")[0].strip("/").replace("/", "-"))
    page.goto(f"{site.base}/policy/emails/past_due?language=en")
    page.get_by_label("Subject").fill("A word about {{ invoices }}")
    page.get_by_role("button", name="Preview").click()
    page.frame_locator("iframe").get_by_text("A word about invoice").wait_for()
    shots("words")
    page.get_by_role("button", name="Sign out").click()
    page.get_by_text("You are signed out.").wait_for()
    continue_later(site, page, shots)
    assert complaints == []


def continue_later(site: Site, page: Any, shots: Any) -> None:
    """Come back, switch to live, and handle what comes up from time to time."""
    sign_in(site, page)
    switch_to_live(site, page)
    resolve_unconfirmed(site, page, shots)
    waive_a_fee(site, page, shots)
    reconnect(site, page, shots)
    connect_second_ledger(site, page, shots)


def sign_in(site: Site, page: Any) -> None:
    """Sign in with email address and password."""
    page.goto(f"{site.base}/sign-in")
    page.get_by_label("Email address").fill("ann@example.com")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").first.click()
    page.wait_for_url(f"{site.base}/")


def switch_to_live(site: Site, page: Any) -> None:
    """Switch to live after reviewing the totals."""
    page.goto(f"{site.base}/companies/1")
    activate(page, page.get_by_role("link", name="Switch to live"))
    page.get_by_role("button", name="Switch to live").wait_for()
    assert "80.50" in page.inner_text("main")
    activate(page, page.get_by_label("I have reviewed"), "Space")
    activate(page, page.get_by_role("button", name="Switch to live"))
    page.get_by_text("Mode changed.").wait_for()


def resolve_unconfirmed(site: Site, page: Any, shots: Any) -> None:
    """Mark an email as sent whose response was lost."""
    site.sandbox.faults.add(Rule("drop_after", service="sendgrid", kind="email"))
    assert site.sync() == "ok"
    page.goto(site.base)
    page.get_by_role("link", name="1 unconfirmed").click()
    page.get_by_role("link", name="email").first.click()
    shots("unconfirmed")
    activate(page, page.get_by_role("button", name="Mark as sent"))
    page.get_by_text("Marked as sent.").wait_for()


def waive_a_fee(site: Site, page: Any, shots: Any) -> None:
    """Waive a late fee that was already posted."""
    for _run in range(4):
        site.sandbox.clock.advance(timedelta(days=5))
        assert site.sync() == "ok"
    sign_in(site, page)
    page.get_by_role("link", name="Fees").click()
    page.get_by_role("row", name="posted").get_by_role("link").first.click()
    shots("fee")
    page.get_by_label("Reason").fill("A good customer")
    activate(page, page.get_by_role("button", name="Waive fee"))
    page.get_by_text("Waived. If the fee is already in your accounting system, the next sync will void it.").wait_for()
    assert site.sync() == "ok"
    page.goto(f"{site.base}/fees")
    page.get_by_role("row", name="waived").wait_for()


def reconnect(site: Site, page: Any, shots: Any) -> None:
    """Reconnect a company whose authorisation has expired."""
    site.sandbox.xero.sign_in.revoke_all()
    assert site.sync() == "action_required"
    page.goto(site.base)
    page.get_by_role("link", name="Small Works Ltd").click()
    page.get_by_role("alert").wait_for()
    shots("dead-grant")
    activate(page, page.get_by_role("button", name="Reconnect Xero"))
    grant_consent(site, page)
    assert page.get_by_role("alert").count() == 0
    assert site.sync() == "ok"


def connect_second_ledger(site: Site, page: Any, shots: Any) -> None:
    """Connect a second company at QuickBooks."""
    page.goto(f"{site.base}/companies")
    activate(page, page.get_by_role("button", name="Connect QuickBooks"))
    grant_consent(site, page, "Larkspur Field Services LLC")
    page.goto(f"{site.base}/companies")
    assert [page.get_by_role("row", name=name).count() for name in ("Small Works Ltd", "Larkspur")] == [1, 1]
    shots("two-companies")


def record_promise(page: Any, shots: Any) -> None:
    """Open a customer and their invoice, and record a promise to pay."""
    page.get_by_role("link", name="Customers").click()
    page.get_by_role("link", name="Miller & Sons").click()
    page.get_by_text("Promise to pay").click()
    page.get_by_label("Payment promised for").fill("2026-06-19")
    shots("customer")
    page.get_by_role("button", name="Save promise").click()
    page.get_by_text("Promised for 19 Jun 2026.").first.wait_for()
    activate(page, page.get_by_role("link", name="Erase data"))
    page.get_by_role("heading", name="Erase Miller & Sons?").wait_for()
    shots("erase")
    activate(page, page.get_by_role("link", name="Cancel"))
    page.get_by_role("row", name="promised for").get_by_role("link").click()
    page.get_by_role("button", name="Withdraw promise").wait_for()
    shots("invoice")


def is_own_error(site: Site, said: Any) -> bool:
    """Return whether a console message is an error of our own pages, not of the simulated services."""
    return bool(said.type == "error" and said.location.get("url", "").startswith(site.base))


def screenshots(request: pytest.FixtureRequest, page: Any) -> Any:
    """Return a function that takes a screenshot and checks accessibility and width."""
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415

    # The script of half a megabyte is sent to a page once.
    checks, folder = (Axe(), Axe(axe_script="null")), request.config.rootpath / OUTPUT / request.node.callspec.id
    folder.mkdir(parents=True, exist_ok=True)
    first, second = ("dark", "light") if page.viewport_size == PHONE else ("light", "")

    def shot(name: str) -> None:
        page.wait_for_load_state()  # a click returns before the next page has its text and style
        if "SCREENSHOTS" in os.environ:  # for people to look at
            page.screenshot(path=folder / f"{name}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), name
        for axe, scheme in zip(checks, filter(None, (second, first)), strict=False):
            page.emulate_media(color_scheme=scheme)
            rules = CONTRAST_ONLY if scheme == second else {}
            found = axe.run(page, options={"resultTypes": ["violations"], "iframes": False, **rules})
            assert found.violations_count == 0, f"{name}, {scheme}: {found.generate_report()}"

    return shot
