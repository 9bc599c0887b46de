"""A person's own account: another password, and where he is signed in."""

from __future__ import annotations

from typing import Any

Office = Any
PASSWORD = "correct horse battery staple"  # gitleaks:allow


def test_another_password_ends_every_other_session(office: Office) -> None:
    browser, elsewhere = office.signed_in("viewer"), office.browser()
    for again, words in (("another one altogether", "not the same"), (PASSWORD, "Your password was changed")):
        browser.get("/account")
        browser.send("/account/password", {"password": PASSWORD, "again": again})
        assert words in browser.text
    elsewhere.get("/sign-in")
    elsewhere.send("/sign-in", {"email": "viewer@example.com", "password": PASSWORD})
    assert "viewer@example.com · viewer" in elsewhere.text
    browser.get("/account")
    browser.send("/account/password", {"password": "short", "again": "short"})
    assert (browser.page.status_code, "12 to 256 characters" in browser.text) == (409, True)
    assert elsewhere.get("/account").url.endswith("/account")
    browser.get("/account")
    browser.send("/account/password", {"password": PASSWORD + "2", "again": PASSWORD + "2"})
    assert "/sign-in" in elsewhere.get("/account").url
    assert browser.get("/account").url.endswith("/account")


def test_a_person_sees_where_he_is_signed_in_and_ends_it_there(office: Office) -> None:
    browser = office.signed_in("owner")
    browser.get("/account")
    browser.send("/account/password", {"password": PASSWORD, "again": PASSWORD})
    others = [office.browser() for _ in range(3)]
    for number, other in enumerate(others):
        other.http.headers["User-Agent"] = f"Browser {number} <script>"
        other.get("/sign-in")
        other.send("/sign-in", {"email": "owner@example.com", "password": PASSWORD})
    page = browser.get("/account").text
    assert "Browser 2 &lt;script&gt;" in page
    assert page.count("Sign out</button>") == 4
    ended = page.partition('name="session" value="')[2].partition('"')[0]
    browser.send("/account/sessions", {"session": ended})
    gone = [other for other in others if "/sign-in" in other.get("/account").url]
    assert len(gone) == 1
    assert "&lt;script&gt;" not in office.signed_in("viewer").get("/account").text
    browser.get("/account")
    browser.send("/account/sessions")
    assert all("/sign-in" in other.get("/account").url for other in others)
    assert browser.get("/account").url.endswith("/account")


def test_nobody_ends_another_ones_session(office: Office) -> None:
    owner, viewer = office.signed_in("owner"), office.signed_in("viewer")
    from connector.access.sessions import session_hash  # noqa: PLC0415
    from connector.web.routes import cookie_name  # noqa: PLC0415
    from connector.web.visit import form_token  # noqa: PLC0415

    token = form_token(viewer.http.cookies[cookie_name(office.installation)], "/account/sessions")
    target = session_hash(owner.http.cookies[cookie_name(office.installation)])[:16]
    assert viewer.post("/account/sessions", {"csrf": token, "session": target}).status_code == 404
    assert owner.get("/account").url.endswith("/account")
