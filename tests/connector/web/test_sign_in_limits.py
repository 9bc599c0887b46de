"""Limits on signing in: counted first, by network and address, and never against those who are signed in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from sqlalchemy import func, select

from connector.auth import passwords, sign_in
from connector.auth.passwords import hash_password
from connector.auth.sessions import Browser
from connector.auth.users import find_user
from connector.db.engine import reading, writing
from connector.db.tables import SignInAttempt

Site = Any
PASSWORD = "correct horse battery staple"  # gitleaks:allow
OWNER = "owner@example.com"


def set_password(site: Site, email: str = OWNER) -> None:
    with writing(site.app.engine) as session:
        find_user(session, email).password_hash = hash_password(PASSWORD)


def count_attempts(site: Site, **columns: str) -> int:
    conditions = [getattr(SignInAttempt, name) == value for name, value in columns.items()]
    with reading(site.app.engine) as session:
        return session.scalar(select(func.count()).select_from(SignInAttempt).where(*conditions)) or 0


def fail_often(site: Site, network: str = "127.0.0.1", email: str = OWNER) -> None:
    """Record what a stranger's wrong guesses leave behind."""
    site.add_rows(*(SignInAttempt(at=site.clock.at, ip_address=network, email=email) for _ in range(30)))


def test_attempts_are_counted_before_the_password_is_checked(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sign_in, "PER_EMAIL_MAX", 4)
    site.add_user("owner")
    checked: list[int] = []

    def verify(_password: str, _hash: str) -> bool:
        checked.append(count_attempts(site))
        with pytest.raises(sign_in.SignInError):  # others try while this one is being checked
            sign_in.sign_in(site.app, OWNER, "guess", Browser(f"203.0.113.{len(checked)}"))
        return False

    monkeypatch.setattr(passwords, "verify_password", verify)
    with pytest.raises(sign_in.SignInError):
        sign_in.sign_in(site.app, OWNER, "guess", Browser("203.0.113.99"))
    assert checked == [1, 2, 3, 4]
    assert count_attempts(site) == 4  # a refused attempt does not prolong the limit


def test_attempts_counted_while_one_waits_for_its_turn_count_against_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.add_user("owner")
    set_password(site)

    @contextmanager
    def others_come_first() -> Iterator[None]:
        fail_often(site)
        yield

    monkeypatch.setattr(passwords, "hashing_turn", others_come_first)
    monkeypatch.setattr(passwords, "verify_password", lambda *_: pytest.fail("an attempt beyond the limit was made"))
    with pytest.raises(sign_in.TooManyAttemptsError):
        sign_in.sign_in(site.app, OWNER, PASSWORD, Browser("203.0.113.9"))


def test_a_right_password_takes_its_attempt_back(site: Site) -> None:
    site.add_user("owner")
    set_password(site)
    assert site.browser().post("/sign-in", {"email": OWNER, "password": PASSWORD}).status_code == 200
    assert count_attempts(site) == 0


def test_whoever_finds_all_places_taken_is_told_to_try_again_and_pages_are_served(site: Site) -> None:
    site.add_user("owner")
    set_password(site)
    browser = site.browser()
    with ExitStack() as taken:
        for _ in range(passwords.THREADS + passwords.WAITING_MAX):
            taken.enter_context(passwords.hashing_turn())
        busy = browser.post("/sign-in", {"email": OWNER, "password": PASSWORD})
        assert (busy.status_code, busy.headers["Retry-After"]) == (503, "5")
        assert "try again" in busy.text.lower()
        assert browser.get("/sign-in").status_code == 200
    assert count_attempts(site) == 0
    assert browser.post("/sign-in", {"email": OWNER, "password": PASSWORD}).status_code == 200


def test_a_network_of_ipv6_addresses_is_limited_as_one(site: Site) -> None:
    for number in range(3):
        with pytest.raises(sign_in.SignInError):
            sign_in.sign_in(site.app, f"{number}@example.com", "x" * 300, Browser(f"2001:db8:1:2::{number}"))
    assert count_attempts(site, ip_address="2001:db8:1:2::/64") == 3


def idle_owner(site: Site) -> Any:
    browser = site.sign_in("owner")
    set_password(site)
    site.clock.advance(minutes=31)
    return browser


def test_a_strangers_guesses_do_not_shut_out_an_owner_who_is_signed_in(site: Site) -> None:
    company = site.add_company("North Ltd", mode="observe")
    browser, action = idle_owner(site), f"/companies/{company}/mode"
    fail_often(site)
    assert browser.post("/sign-in", {"email": OWNER, "password": PASSWORD}).status_code == 429
    browser.get(f"{action}?mode=live")
    browser.submit(action, {"reviewed": "yes"})
    browser.submit(action, {"confirm_password": PASSWORD})
    assert browser.page.status_code == 200


def test_wrong_guesses_in_a_session_count_for_this_session_alone(site: Site) -> None:
    company = site.add_company("North Ltd", mode="observe")
    browser, action = idle_owner(site), f"/companies/{company}/mode"
    browser.get(f"{action}?mode=live")
    browser.submit(action, {"reviewed": "yes"})
    for _ in range(sign_in.PER_SESSION_MAX):
        browser.submit(action, {"confirm_password": "x" * 300})
    browser.submit(action, {"confirm_password": PASSWORD})
    assert browser.page.status_code == 429
    assert count_attempts(site, email=OWNER) == 0
    assert site.browser().post("/sign-in", {"email": OWNER, "password": PASSWORD}).status_code == 200
