"""Passkeys in a real browser with a virtual authenticator: added, used to sign in, used to confirm."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from connector.auth.sign_in import create_first_link, create_link
from connector.auth.users import add_user
from connector.db.engine import writing

pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
PASSWORD = "correct horse battery staple"  # gitleaks:allow
AUTHENTICATOR = {
    "protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
    "isUserVerified": True, "automaticPresenceSimulation": True,
}  # fmt: skip


def check_page(page: Any, folder: Any, name: str) -> None:
    """Take screenshots in desktop and phone size, in light and dark, and check accessibility and width."""
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415

    page.wait_for_load_state()  # a click returns before the next page has its text and style
    for width, scheme in ((1280, "light"), (390, "dark")):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        page.screenshot(path=folder / f"{name}-{scheme}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), name
        found = Axe().run(page, options={"resultTypes": ["violations"]})
        assert found.violations_count == 0, f"{name}: {found.generate_report()}"


def is_own_error(site: Any, said: Any) -> bool:
    """Return whether a console message is an error of our own pages, not of the simulated services."""
    return said.type in {"error", "warning"} and bool(said.location.get("url", "").startswith(site.base))


def open_with_authenticator(site: Any, chromium: Any, complaints: list[str]) -> Any:
    """Open a page in its own browser context with a virtual authenticator."""
    context = chromium.new_context()
    page = context.new_page()
    page.set_default_timeout(30_000)
    page.on("console", lambda said: complaints.append(said.text) if is_own_error(site, said) else None)
    page.on("pageerror", lambda problem: complaints.append(str(problem)))
    session = context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    session.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
    return page


def add_first_passkey(site: Any, chromium: Any, page: Any, folder: Any) -> None:
    """Accept an invitation where passkeys are required, and add the first passkey by keyboard."""
    with writing(site.app.engine) as session:
        bob = add_user(session, "bob@example.com", "viewer", by="a test", at=site.app.now())
        link = create_link(session, bob, site.app.now())
    page.goto(f"{site.base}/welcome/{link}")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Repeat password").fill(PASSWORD)
    page.get_by_role("button", name="Create account").click()
    page.get_by_role("heading", name="Passkey required").wait_for()
    check_page(page, folder, "owed")
    plain = chromium.new_context(java_script_enabled=False).new_page()
    plain.context.add_cookies(page.context.cookies())
    plain.goto(f"{site.base}/outbox")
    plain.get_by_role("heading", name="Passkey required").wait_for()
    assert not plain.get_by_role("button", name="Add passkey").is_visible()
    page.goto(f"{site.base}/outbox")
    page.get_by_label("Name, for the list").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_text("Passkey added.").wait_for()
    page.get_by_role("link", name="bob@example.com · Viewer").click()
    page.get_by_text("Your only passkey").wait_for()
    check_page(page, folder, "account-demanded")


def test_a_passkey_is_added_and_used_to_sign_in_and_to_confirm(
    site: Any, chromium: Any, request: pytest.FixtureRequest
) -> None:
    folder = request.config.rootpath / "test-output" / "passkeys"
    folder.mkdir(parents=True, exist_ok=True)
    complaints: list[str] = []
    page = open_with_authenticator(site, chromium, complaints)
    page.goto(f"{site.base}/welcome/{create_first_link(site.app)}")
    page.get_by_label("Email address").fill("ann@example.com")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Repeat password").fill(PASSWORD)
    page.get_by_role("button", name="Create account").click()
    page.get_by_role("link", name="ann@example.com · Owner").click()
    check_page(page, folder, "account")
    page.get_by_label("Name, for the list").fill("My phone")
    page.get_by_role("button", name="Add passkey").click()
    page.get_by_text("Passkey added.").wait_for()
    page.get_by_role("button", name="Sign out", exact=True).first.click()
    page.goto(f"{site.base}/sign-in?next=/companies")
    check_page(page, folder, "sign-in")
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.wait_for_url(f"{site.base}/companies")
    page.goto(f"{site.base}/settings/users")
    check_page(page, folder, "users-choose")
    page.get_by_role("button", name="Require passkeys").click()
    page.get_by_text("All users now need a passkey.").wait_for()
    check_page(page, folder, "users-demanded")
    add_first_passkey(site, chromium, open_with_authenticator(site, chromium, complaints), folder)
    page.goto(f"{site.base}/companies")
    site.sandbox.clock.advance(timedelta(minutes=31))
    page.get_by_role("button", name="Connect Xero").click()
    page.get_by_role("heading", name="Confirm your identity").wait_for()
    check_page(page, folder, "confirm")
    page.get_by_role("button", name="Use a passkey").click()
    page.wait_for_url(lambda url: not url.startswith(site.base))
    assert [said for said in complaints if "403" not in said] == []
