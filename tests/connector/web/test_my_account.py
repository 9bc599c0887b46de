"""The user's own account: password and sessions."""

from __future__ import annotations

from typing import Any

Site = Any
PASSWORD = "correct horse battery staple"  # gitleaks:allow


def test_changing_the_password_ends_all_other_sessions(site: Site) -> None:
    browser, elsewhere = site.sign_in("viewer"), site.browser()
    for again, words in (("another one altogether", "are different"), (PASSWORD, "Password changed")):
        browser.get("/account")
        browser.submit("/account/password", {"password": PASSWORD, "repeat": again})
        assert words in browser.text
    elsewhere.get("/sign-in")
    elsewhere.submit("/sign-in", {"email": "viewer@example.com", "password": PASSWORD})
    assert "viewer@example.com · Viewer" in elsewhere.text
    browser.get("/account")
    browser.submit("/account/password", {"password": "short", "repeat": "short"})
    assert (browser.page.status_code, "12 to 256 characters" in browser.text) == (409, True)
    assert elsewhere.get("/account").url.endswith("/account")
    browser.get("/account")
    browser.submit("/account/password", {"password": PASSWORD + "2", "repeat": PASSWORD + "2"})
    assert "/sign-in" in elsewhere.get("/account").url
    assert browser.get("/account").url.endswith("/account")


def test_users_see_their_sessions_and_end_them(site: Site) -> None:
    browser = site.sign_in("owner")
    browser.get("/account")
    browser.submit("/account/password", {"password": PASSWORD, "repeat": PASSWORD})
    others = [site.browser() for _ in range(3)]
    for number, other in enumerate(others):
        other.http.headers["User-Agent"] = f"Browser {number} <script>"
        other.get("/sign-in")
        other.submit("/sign-in", {"email": "owner@example.com", "password": PASSWORD})
    page = browser.get("/account").text
    assert "Browser 2 &lt;script&gt;" in page
    assert page.count("Sign out</button>") == 4
    ended = page.partition('name="session" value="')[2].partition('"')[0]
    browser.submit("/account/sessions", {"session": ended})
    gone = [other for other in others if "/sign-in" in other.get("/account").url]
    assert len(gone) == 1
    assert "&lt;script&gt;" not in site.sign_in("viewer").get("/account").text
    browser.get("/account")
    browser.submit("/account/sessions")
    assert all("/sign-in" in other.get("/account").url for other in others)
    assert browser.get("/account").url.endswith("/account")


def test_users_cannot_end_sessions_of_others(site: Site) -> None:
    owner, viewer = site.sign_in("owner"), site.sign_in("viewer")
    from connector.auth.sessions import session_hash  # noqa: PLC0415
    from connector.web.page_request import derive_csrf_token  # noqa: PLC0415
    from connector.web.routes import cookie_name  # noqa: PLC0415

    token = derive_csrf_token(viewer.http.cookies[cookie_name(site.app)], "/account/sessions")
    target = session_hash(owner.http.cookies[cookie_name(site.app)])[:16]
    assert viewer.post("/account/sessions", {"csrf": token, "session": target}).status_code == 404
    assert owner.get("/account").url.endswith("/account")
