"""Sensitive actions ask for the password or passkey again in an idle browser."""

from __future__ import annotations

import re
from typing import Any

from connector.auth.passwords import hash_password
from connector.auth.users import find_user
from connector.db.engine import reading, writing
from connector.db.tables import Connection
from connector.web.app import ROUTES

Site = Any
PASSWORD = "correct horse battery staple"  # gitleaks:allow
# Everyday actions, which can be undone or only stop something. Everything else must ask.
NOT_SENSITIVE = re.compile(
    r"/(outbox|fees|tasks|exceptions|customers|invoices|sign-out|settings/health)(/(?!.*(export|erase)).*)?"
    r"|/account/preferences|/setup(/test-email)?"  # one's own hours; the guide, and an email to oneself
    r"|.*/email\.html|/policy"  # shows what an email would look like, or what a change would do; nothing is saved
    r"|/companies/\{company:int\}/(pause|resume|run|customers|invoices)(/(?!.*(export|erase)).*)?"
    r"|/companies/\{company:int\}/(brand|bank(/decide)?)"  # how emails look; statements only hold reminders
)


def idle_browser(site: Site, role: str) -> Any:
    browser = site.sign_in(role)
    with writing(site.app.engine) as session:
        find_user(session, f"{role}@example.com").password_hash = hash_password(PASSWORD)
    site.clock.advance(minutes=31)
    return browser


def get_mode(site: Site, company: int) -> str:
    with reading(site.app.engine) as session:
        return session.get_one(Connection, company).mode


def test_an_idle_browser_is_asked_again_and_the_form_is_kept(site: Site) -> None:
    company = site.add_company("North Ltd", mode="observe")
    browser = idle_browser(site, "bookkeeper")
    action = f"/companies/{company}/mode"
    browser.get(f"{action}?mode=live")
    browser.submit(action, {"reviewed": "yes"})
    assert (browser.page.status_code, "Confirm your identity" in browser.text) == (403, True)
    browser.submit(action, {"confirm_password": "not the one that it is"})
    assert (browser.page.status_code, get_mode(site, company)) == (403, "observe")
    before = dict(browser.http.cookies)
    browser.submit(action, {"confirm_password": PASSWORD})
    assert (browser.page.status_code, get_mode(site, company)) == (200, "live")
    left_behind = site.browser()
    left_behind.http.cookies.update(before)  # an earlier copy of the session's token is invalid now
    assert "/sign-in" in left_behind.get("/").url
    browser.get(f"{action}?mode=approve")
    browser.submit(action, {"reviewed": "yes"})
    assert get_mode(site, company) == "approve"
    site.clock.advance(minutes=31)
    browser.get(f"{action}?mode=live")
    browser.submit(action, {"reviewed": "yes"})
    assert (browser.page.status_code, get_mode(site, company)) == (403, "approve")


def test_recently_signed_in_users_are_not_asked(site: Site) -> None:
    company = site.add_company("North Ltd", mode="observe")
    browser = site.sign_in("bookkeeper")
    browser.get(f"/companies/{company}/mode?mode=approve")
    browser.submit(f"/companies/{company}/mode", {"reviewed": "yes"})
    assert get_mode(site, company) == "approve"


def test_confirming_keeps_the_session_even_if_the_action_fails(site: Site) -> None:
    company = site.add_company("North Ltd", mode="observe")
    browser, action = idle_browser(site, "bookkeeper"), f"/companies/{company}/mode"
    browser.get(f"{action}?mode=live")
    browser.submit(action)
    browser.submit(action, {"confirm_password": PASSWORD})
    assert (browser.page.status_code, "Review what is planned" in browser.text) == (422, True)
    assert "bookkeeper@example.com · Bookkeeper" in browser.get("/").text


def test_attempts_to_confirm_are_limited_like_sign_ins(site: Site) -> None:
    company = site.add_company("North Ltd", mode="observe")
    browser, action = idle_browser(site, "bookkeeper"), f"/companies/{company}/mode"
    browser.get(f"{action}?mode=live")
    browser.submit(action, {"reviewed": "yes"})
    for _ in range(10):
        browser.submit(action, {"confirm_password": "x" * 300})
    browser.submit(action, {"confirm_password": PASSWORD})
    assert (browser.page.status_code, get_mode(site, company)) == (429, "observe")


def test_every_form_is_sensitive_or_known_not_to_be() -> None:
    posts = {route.path for route in ROUTES if route.method == "POST" and route.min_role is not None}
    asking = {route.path for route in ROUTES if route.sensitive}
    assert asking >= {"/companies/connect", "/companies/{company:int}/mode", "/companies/{company:int}/disconnect"}
    assert {path for path in posts - asking if not NOT_SENSITIVE.fullmatch(path)} == set()
    taking_out = {route.path for route in ROUTES if re.search("export|erase|backup|download", route.path)}
    assert taking_out - asking == set()
