"""A person's way through the web app in a real browser: by keyboard, on a phone, in light and dark."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from connector import policies_store
from connector.access.sign_in import first_link
from connector.database import writing
from connector.reports import catalogue
from providers.sandbox.faults import Rule

pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
Place = Any
OUTPUT = "test-output"
FEES = '[late_fees]\nenabled = true\nterms_agreed_on = 2025-01-01\napproval = "automatic"\n'
PASSWORD = "correct horse battery staple"  # gitleaks:allow
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
REPORTS = tuple(f"/reports/{name}" for name in catalogue.TITLES)
SETTINGS = tuple(
    f"/settings/{name}" for name in ("sender", "calendar", "users", "tokens", "webhooks", "privacy", "backup")
)


def become_owner(place: Place, page: Any) -> None:
    """Follow the one-time link, with nothing but the keyboard."""
    page.goto(f"{place.base}/welcome/{first_link(place.installation)}")
    page.locator("input[name=name]:focus").wait_for()
    for words in ("Ann Lee", "ann@example.com", PASSWORD, PASSWORD):
        page.keyboard.type(words)
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{place.base}/")


def press(page: Any, target: Any, key: str = "Enter") -> None:
    """Act on something: with a finger on the phone; at the desk by keyboard alone, with Tab until it has the focus."""
    if page.viewport_size["width"] < WIDE["width"]:
        target.click()
        return
    for _step in range(300):
        if target.evaluate("node => node === document.activeElement"):
            page.keyboard.press(key)
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{target} cannot be reached by keyboard")


def connect(place: Place, page: Any) -> None:
    """Connect the small company: the vendor's consent page is a real one, at another address."""
    page.goto(f"{place.base}/companies")
    press(page, page.get_by_role("button", name="Connect Xero"))
    allow(place, page)


def allow(place: Place, page: Any, name: str = "Small Works Ltd") -> None:
    """Say yes on the vendor's page, and go on to the company."""
    page.wait_for_url(lambda url: not url.startswith(place.base))
    for box in page.locator("input[type=checkbox][name=organisation]").all():
        box.set_checked(box.get_attribute("value") == place.organisation)
    page.locator("button.allow").click()
    page.get_by_role("heading", name="Connected").wait_for()
    press(page, page.get_by_role("link", name="Go on"))
    page.get_by_role("heading", name=name).wait_for()


def to_approve(place: Place, page: Any) -> None:
    """Read the books once, look at the plan, and switch to approve."""
    assert place.run() == "ok"
    page.goto(f"{place.base}/companies/1")
    page.get_by_text("Nothing has been sent.").wait_for()
    press(page, page.get_by_role("link", name="Switch to approve"))
    page.get_by_role("button", name="Switch to approve").wait_for()
    assert "1,280.50 GBP" in page.inner_text("main")
    press(page, page.get_by_label("I have looked"), "Space")
    press(page, page.get_by_role("button", name="Switch to approve"))
    page.get_by_text("The mode was changed.").wait_for()
    assert place.run() == "ok"


@pytest.mark.parametrize(("size", "scheme"), [(WIDE, "light"), (PHONE, "dark")], ids=["desktop-light", "phone-dark"])
def test_from_the_first_start_to_an_approved_mail_in_the_log(
    place: Place, chromium: Any, size: Any, scheme: Any, request: pytest.FixtureRequest
) -> None:
    page = chromium.new_context(viewport=size, color_scheme=scheme).new_page()
    page.set_default_timeout(30_000)
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(f"{said.text} {said.location}") if is_ours(place, said) else None)
    shots = shots_of(request, page)
    page.goto(place.base)
    shots("sign-in")
    become_owner(place, page)
    shots("first-today")
    connect(place, page)
    shots("first-pull")
    with writing(place.installation.engine) as session:
        policies_store.set_policy(session, FEES, by="Ann Lee", at=place.installation.now())
    to_approve(place, page)
    page.goto(place.base)
    shots("today")
    press(page, page.get_by_role("link", name="3 to approve"))
    page.get_by_role("row", name="Miller & Sons").wait_for()
    shots("outbox")
    press(page, page.get_by_role("row", name="Miller & Sons").get_by_role("link").first)
    letter = page.frame_locator("iframe").locator("body")
    assert "1,200.00" in letter.inner_text()
    press(page, page.get_by_text("Change its words"))
    shots("mail")
    page.get_by_label("Subject").fill("A word about your order")
    press(page, page.get_by_role("button", name="Keep these words"))
    page.get_by_text("These are its words now").wait_for()
    press(page, page.get_by_role("button", name="Approve"))
    page.get_by_text("Approved: it leaves with the next run.").wait_for()
    assert place.run() == "ok"
    own = place.installation.settings.mail_from
    assert [list(m.to) for m in place.sandbox.sendgrid.mails() if own not in m.to] == [["ap@miller.example"]]
    assert "A word about your order" in {mail.subject for mail in place.sandbox.sendgrid.mails()}
    look_at_the_customer(page, shots)
    page.goto(f"{place.base}/log?customer=Miller")
    assert "mailed" in page.inner_text("tbody")
    shots("log")
    page.goto(place.base)
    assert "1 × mail" in page.inner_text("main").replace("1 × owner mail", "")
    for path in (
        "/companies",
        "/customers",
        "/tasks",
        "/exceptions",
        "/companies/1",
        "/companies/1/mode?to=live",
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
        page.goto(place.base + path)
        shots(path.partition("?")[0].strip("/").replace("/", "-"))
    page.goto(f"{place.base}/policy/mails/past_due?language=en")
    page.get_by_label("Subject").fill("A word about {{ what }}")
    page.get_by_role("button", name="Look at it").click()
    page.frame_locator("iframe").get_by_text("A word about invoice").wait_for()
    shots("words")
    page.get_by_role("button", name="Sign out").click()
    page.get_by_text("You are signed out.").wait_for()
    later_days(place, page, shots)
    assert complaints == []


def later_days(place: Place, page: Any, shots: Any) -> None:
    """Come back, let it act by itself, and meet what comes up now and then."""
    sign_in(place, page)
    go_live(place, page)
    settle_a_doubt(place, page, shots)
    waive_a_fee(place, page, shots)
    reconnect(place, page, shots)
    connect_the_other_ledger(place, page, shots)


def sign_in(place: Place, page: Any) -> None:
    """Come back with address and password."""
    page.goto(f"{place.base}/sign-in")
    page.get_by_label("Mail address").fill("ann@example.com")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").first.click()
    page.wait_for_url(f"{place.base}/")


def go_live(place: Place, page: Any) -> None:
    """Let the company act by itself, once its sums were looked at."""
    page.goto(f"{place.base}/companies/1")
    press(page, page.get_by_role("link", name="Switch to live"))
    page.get_by_role("button", name="Switch to live").wait_for()
    assert "80.50 GBP" in page.inner_text("main")
    press(page, page.get_by_label("I have looked"), "Space")
    press(page, page.get_by_role("button", name="Switch to live"))
    page.get_by_text("The mode was changed.").wait_for()


def settle_a_doubt(place: Place, page: Any, shots: Any) -> None:
    """Say of a mail whose answer got lost that it arrived."""
    place.sandbox.faults.add(Rule("drop_after", vendor="sendgrid", kind="mail"))
    assert place.run() == "ok"
    page.goto(place.base)
    page.get_by_role("link", name="1 in doubt").click()
    page.get_by_role("link", name="mail").first.click()
    shots("doubt")
    press(page, page.get_by_role("button", name="It arrived"))
    page.get_by_text("Settled: it arrived.").wait_for()


def waive_a_fee(place: Place, page: Any, shots: Any) -> None:
    """Take back a late fee that stands in the books already."""
    for _run in range(4):
        place.sandbox.clock.advance(timedelta(days=5))
        assert place.run() == "ok"
    sign_in(place, page)
    page.get_by_role("link", name="Fees").click()
    page.get_by_role("row", name="posted").get_by_role("link").first.click()
    shots("fee")
    page.get_by_label("Reason").fill("A good customer")
    press(page, page.get_by_role("button", name="Waive"))
    page.get_by_text("Waived; what is in the ledger is voided by the next run.").wait_for()
    assert place.run() == "ok"
    page.goto(f"{place.base}/fees")
    page.get_by_role("row", name="waived").wait_for()


def reconnect(place: Place, page: Any, shots: Any) -> None:
    """Find that the access has ended, and connect again from where it says so."""
    place.sandbox.xero.sign_in.revoke_all()
    assert place.run() == "person"
    page.goto(place.base)
    page.get_by_role("link", name="Small Works Ltd").click()
    page.get_by_role("alert").wait_for()
    shots("dead-grant")
    press(page, page.get_by_role("button", name="Connect Xero again"))
    allow(place, page)
    assert page.get_by_role("alert").count() == 0
    assert place.run() == "ok"


def connect_the_other_ledger(place: Place, page: Any, shots: Any) -> None:
    """Connect a company at QuickBooks beside it; only that one is new, and it only observes."""
    page.goto(f"{place.base}/companies")
    press(page, page.get_by_role("button", name="Connect QuickBooks"))
    allow(place, page, "Larkspur Field Services LLC")
    page.goto(f"{place.base}/companies")
    assert [page.get_by_role("row", name=name).count() for name in ("Small Works Ltd", "Larkspur")] == [1, 1]
    shots("two-companies")


def look_at_the_customer(page: Any, shots: Any) -> None:
    """Go from the list to a customer and to his invoice, and keep what he promises."""
    page.get_by_role("link", name="Customers").click()
    page.get_by_role("link", name="Miller & Sons").click()
    page.get_by_text("They promised to pay").click()
    page.get_by_label("On", exact=True).fill("2026-06-19")
    shots("customer")
    page.get_by_role("button", name="Keep the promise").click()
    page.get_by_text("promised for 19 Jun 2026", exact=True).wait_for()
    press(page, page.get_by_role("link", name="Erase this customer"))
    page.get_by_role("heading", name="Erase Miller & Sons?").wait_for()
    shots("erase")
    press(page, page.get_by_role("link", name="Leave him as he is"))
    page.get_by_role("row", name="promised for").get_by_role("link").click()
    page.get_by_role("button", name="Take the promise back").wait_for()
    shots("invoice")


def is_ours(place: Place, said: Any) -> bool:
    """Tell whether the browser complains about a page of ours (and not about the make-believe vendor's)."""
    return bool(said.type == "error" and said.location.get("url", "").startswith(place.base))


def shots_of(request: pytest.FixtureRequest, page: Any) -> Any:
    """Keep a picture of each page, and let none have an accessibility fault or be wider than the screen."""
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415

    axe, folder = Axe(), request.config.rootpath / OUTPUT / request.node.callspec.id
    folder.mkdir(parents=True, exist_ok=True)

    def shot(name: str) -> None:
        page.screenshot(path=folder / f"{name}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), name
        for scheme in ("light", "dark") if page.viewport_size == PHONE else ("light",):
            page.emulate_media(color_scheme=scheme)
            found = axe.run(page, options={"resultTypes": ["violations"], "iframes": False})
            assert found.violations_count == 0, f"{name}, {scheme}: {found.generate_report()}"

    return shot
