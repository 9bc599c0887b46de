"""Before something dangerous is done, a browser that was left open is asked who sits there."""

from __future__ import annotations

import re
from typing import Any

from connector.access.passwords import hash_password
from connector.access.users import find_user
from connector.database import reading, writing
from connector.tables import Connection
from connector.web.app import ROUTES

Office = Any
PASSWORD = "correct horse battery staple"  # gitleaks:allow
# What a bookkeeper does all morning: it can be taken back, or stops something. Everything else must ask.
EVERYDAY = re.compile(
    r"/(outbox|fees|tasks|exceptions|customers|invoices|sign-out|settings/health)(/(?!.*(export|erase)).*)?"
    r"|.*/letter\.html"  # shows what a mail would look like
    r"|/companies/\{company:int\}/(pause|resume|run|customers|invoices)(/(?!.*(export|erase)).*)?"
)


def left_open(office: Office, role: str) -> Any:
    browser = office.signed_in(role)
    with writing(office.installation.engine) as session:
        find_user(session, f"{role}@example.com").password_hash = hash_password(PASSWORD)
    office.clock.advance(minutes=31)
    return browser


def mode_of(office: Office, company: int) -> str:
    with reading(office.installation.engine) as session:
        return session.get_one(Connection, company).mode


def test_a_browser_left_open_is_asked_and_what_was_filled_in_is_kept(office: Office) -> None:
    company = office.company("North Ltd", mode="observe")
    browser = left_open(office, "bookkeeper")
    action = f"/companies/{company}/mode"
    browser.get(f"{action}?to=live")
    browser.send(action, {"looked": "yes"})
    assert (browser.page.status_code, "Is it you?" in browser.text) == (403, True)
    browser.send(action, {"confirm_password": "not the one that it is"})
    assert (browser.page.status_code, mode_of(office, company)) == (403, "observe")
    before = dict(browser.http.cookies)
    browser.send(action, {"confirm_password": PASSWORD})
    assert (browser.page.status_code, mode_of(office, company)) == (200, "live")
    left_behind = office.browser()
    left_behind.http.cookies.update(before)  # whoever had the session's token before has nothing any more
    assert "/sign-in" in left_behind.get("/").url
    browser.get(f"{action}?to=approve")
    browser.send(action, {"looked": "yes"})
    assert mode_of(office, company) == "approve"
    office.clock.advance(minutes=31)
    browser.get(f"{action}?to=live")
    browser.send(action, {"looked": "yes"})
    assert (browser.page.status_code, mode_of(office, company)) == (403, "approve")


def test_who_has_just_signed_in_is_not_asked(office: Office) -> None:
    company = office.company("North Ltd", mode="observe")
    browser = office.signed_in("bookkeeper")
    browser.get(f"/companies/{company}/mode?to=approve")
    browser.send(f"/companies/{company}/mode", {"looked": "yes"})
    assert mode_of(office, company) == "approve"


def test_who_has_shown_it_stays_signed_in_also_where_it_cannot_be_done(office: Office) -> None:
    company = office.company("North Ltd", mode="observe")
    browser, action = left_open(office, "bookkeeper"), f"/companies/{company}/mode"
    browser.get(f"{action}?to=live")
    browser.send(action)
    browser.send(action, {"confirm_password": PASSWORD})
    assert (browser.page.status_code, "Look at what would leave" in browser.text) == (409, True)
    assert "bookkeeper@example.com · bookkeeper" in browser.get("/").text


def test_guessing_there_is_limited_as_at_the_door(office: Office) -> None:
    company = office.company("North Ltd", mode="observe")
    browser, action = left_open(office, "bookkeeper"), f"/companies/{company}/mode"
    browser.get(f"{action}?to=live")
    browser.send(action, {"looked": "yes"})
    for _ in range(10):
        browser.send(action, {"confirm_password": "x" * 300})
    browser.send(action, {"confirm_password": PASSWORD})
    assert (browser.page.status_code, mode_of(office, company)) == (429, "observe")


def test_every_form_is_either_an_everyday_one_or_asks() -> None:
    posts = {route.path for route in ROUTES if route.method == "POST" and route.needs != "nobody"}
    asking = {route.path for route in ROUTES if route.dangerous}
    assert asking >= {"/companies/connect", "/companies/{company:int}/mode", "/companies/{company:int}/disconnect"}
    assert {path for path in posts - asking if not EVERYDAY.fullmatch(path)} == set()
    taking_out = {route.path for route in ROUTES if re.search("export|erase|backup|download", route.path)}
    assert taking_out - asking == set()
