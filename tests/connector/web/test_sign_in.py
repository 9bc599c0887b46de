"""Signing in, sessions, and rejected forms."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from connector.auth.sign_in import create_first_link, create_link
from connector.auth.users import disable, find_user
from connector.cli.main import cli
from connector.db.engine import reading, writing
from connector.db.tables import SyncLogEntry, User, WebSession
from connector.quiet_log import QuietLog
from connector.web import bodies

Site = Any
PASSWORD = "correct horse battery staple"  # gitleaks:allow
NEW_PASSWORD = {"password": PASSWORD, "repeat": PASSWORD}


def create_first_owner(site: Site) -> Any:
    browser = site.browser()
    link = create_first_link(site.app)
    browser.get(f"/welcome/{link}")
    browser.submit(f"/welcome/{link}", {"email": "Ann@Example.com", "name": "Ann", **NEW_PASSWORD})
    return browser


def test_the_first_owner_signs_up_with_a_one_time_link(site: Site) -> None:
    stranger = site.browser()
    assert "prints a one-time link" in stranger.get("/").text
    link = create_first_link(site.app)
    browser = site.browser()
    assert "You are the first user" in browser.get(f"/welcome/{link}").text
    browser.submit(f"/welcome/{link}", {"email": "Ann@Example.com", "name": "Ann", **NEW_PASSWORD})
    assert (browser.page.url, "Ann · Owner" in browser.page.text) == (f"{site.base}/", True)
    assert stranger.get(f"/welcome/{link}").status_code == 404
    assert create_first_link(site.app) is None
    assert site.browser().get("/welcome/never-was-one").status_code == 404


def test_a_link_is_valid_for_a_day_and_only_the_newest(site: Site) -> None:
    older, link = create_first_link(site.app), create_first_link(site.app)
    assert site.browser().get(f"/welcome/{older}").status_code == 404
    assert site.browser().get(f"/welcome/{link}").status_code == 200
    site.clock.advance(hours=25)
    assert site.browser().get(f"/welcome/{link}").status_code == 404


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"password": "short", "repeat": "short"}, "12 to 256 characters"),
        ({"password": "aaaaaaaaaaaaaaaa", "repeat": "aaaaaaaaaaaaaaaa"}, "easily guessed"),
        ({"password": "Welcome123456!", "repeat": "Welcome123456!"}, "easily guessed"),
        ({"password": PASSWORD, "repeat": "another horse"}, "are different"),
        ({**NEW_PASSWORD, "email": "nobody"}, "not an email address"),
    ],
)
def test_an_invalid_choice_is_reported_and_the_link_stays_valid(site: Site, fields: dict[str, str], words: str) -> None:
    browser = site.browser()
    link = create_first_link(site.app)
    browser.get(f"/welcome/{link}")
    browser.submit(f"/welcome/{link}", {"email": "ann@example.com", **fields})
    assert browser.page.status_code == 422
    assert words in browser.text
    browser.submit(f"/welcome/{link}", {"email": "ann@example.com", **NEW_PASSWORD})
    assert browser.page.status_code == 200


def test_signing_in_leads_to_the_requested_page_and_signing_out_ends_the_session(site: Site) -> None:
    create_first_owner(site)
    browser = site.browser()
    browser.get("/?said=paused")
    assert "/sign-in?next=" in browser.page.url
    browser.submit("/sign-in", {"email": " ann@example.COM ", "password": PASSWORD})
    assert browser.page.url.endswith("/?said=paused")
    stolen = dict(browser.http.cookies)
    browser.submit("/sign-out")
    assert "You are signed out" in browser.text
    browser.http.cookies.update(stolen)
    assert "/sign-in" in browser.get("/").url


@pytest.mark.parametrize("wanted", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"])
def test_signing_in_never_leads_to_another_host(site: Site, wanted: str) -> None:
    create_first_owner(site)
    answer = site.browser().post(
        "/sign-in", {"email": "ann@example.com", "password": PASSWORD, "next": wanted}, allow_redirects=False
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


def test_failed_sign_ins_reveal_nothing_and_are_limited(site: Site) -> None:
    create_first_owner(site)
    browser = site.browser()
    browser.get("/sign-in")
    wrong = browser.post("/sign-in", {"email": "ann@example.com", "password": "wrong wrong wrong"})
    unknown = browser.post("/sign-in", {"email": "bob@example.com", "password": "wrong wrong wrong"})
    assert (wrong.status_code, unknown.status_code) == (401, 401)
    assert wrong.text.replace("ann@", "bob@") == unknown.text
    for _ in range(9):
        browser.post("/sign-in", {"email": "ann@example.com", "password": "x" * 300})
    limited = browser.post("/sign-in", {"email": "ann@example.com", "password": PASSWORD})
    assert (limited.status_code, "Too many failed attempts" in limited.text) == (429, True)
    site.clock.advance(hours=1, minutes=1)
    assert browser.post("/sign-in", {"email": "ann@example.com", "password": PASSWORD}).status_code == 200


def test_sessions_expire_after_twelve_idle_hours_or_a_week(site: Site) -> None:
    browser = site.sign_in("owner")
    for _ in range(15):
        site.clock.advance(hours=11)
        assert browser.get("/", allow_redirects=False).status_code == 200
    site.clock.advance(hours=11)
    assert browser.get("/", allow_redirects=False).status_code == 303
    browser = site.sign_in("viewer")
    site.clock.advance(hours=13)
    assert browser.get("/", allow_redirects=False).status_code == 303


def test_the_session_cookie_is_not_accessible_to_scripts_and_other_sites(site: Site) -> None:
    site.add_user("owner")
    with writing(site.app.engine) as session:
        link = create_link(session, find_user(session, "owner@example.com"), site.clock.at, signs_in_directly=True)
    cookie = site.browser().get(f"/welcome/{link}", allow_redirects=False).headers["set-cookie"]
    assert cookie.startswith("duewell-")
    assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(cookie.split("; "))
    with reading(site.app.engine) as session:
        kept = session.scalars(select(WebSession)).one().token_hash
    assert kept not in cookie


@pytest.mark.parametrize("settings", [{"duewell_base_url": "https://books.example"}])
def test_with_https_the_session_cookie_is_bound_to_host_and_https(site: Site) -> None:
    site.add_user("owner")
    with writing(site.app.engine) as session:
        link = create_link(session, find_user(session, "owner@example.com"), site.clock.at, signs_in_directly=True)
    cookie = site.browser().get(f"/welcome/{link}", allow_redirects=False).headers["set-cookie"]
    assert cookie.startswith("__Host-duewell=")
    assert {"Secure", "HttpOnly", "Path=/"} <= set(cookie.split("; "))
    assert "omain" not in cookie


def test_forms_from_other_sites_or_without_their_token_are_rejected(site: Site) -> None:
    browser = site.sign_in("owner")
    browser.get("/")
    page = browser.page.text
    token = page.partition('name="csrf" value="')[2].partition('"')[0]
    assert len(token) == 64
    for origin in ("https://evil.example", "null", ""):
        assert browser.post("/sign-out", {"csrf": token}, origin=origin).status_code == 403
    assert browser.post("/sign-out", {"csrf": token[:-1] + "x"}).status_code == 403
    assert browser.post("/sign-out").status_code == 403
    assert site.browser().post("/sign-in", {"email": "a@b.c"}, origin="https://evil.example").status_code == 403
    assert browser.get("/", allow_redirects=False).status_code == 200
    assert browser.post("/sign-out", {"csrf": token}).status_code == 200


def test_forms_of_another_session_are_rejected(site: Site) -> None:
    one, other = site.sign_in("owner"), site.sign_in("viewer")
    token = one.get("/").text.partition('name="csrf" value="')[2].partition('"')[0]
    assert other.post("/sign-out", {"csrf": token}).status_code == 403


def test_disabled_users_are_signed_out_at_once_and_the_only_owner_cannot_be_disabled(site: Site) -> None:
    browser = site.sign_in("bookkeeper")
    site.add_user("owner")
    with writing(site.app.engine) as session:
        disable(session, "bookkeeper@example.com", by="Ann", at=site.clock.at)
    assert browser.get("/", allow_redirects=False).status_code == 303
    with writing(site.app.engine) as session, pytest.raises(Exception, match="only owner"):
        disable(session, "owner@example.com", by="Ann", at=site.clock.at)


def test_too_large_forms_are_rejected(site: Site) -> None:
    assert site.browser().post("/sign-in", {"email": "x" * 300_000}).status_code == 413


def test_users_are_managed_on_the_command_line(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Any, capsys: Any
) -> None:
    monkeypatch.setenv("DUEWELL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DUEWELL_BASE_URL", site.base)
    north = site.add_company("North Ltd")

    def duewell(*words: str) -> str:
        result = CliRunner().invoke(cli, ["users", *words], prog_name="duewell")
        assert result.exit_code == 0, result.output
        return str(result.stdout)

    site.add_user("owner")
    link = duewell("add", "bob@example.com", "bookkeeper", "--company", "north-ltd").strip()
    assert "north-ltd" in duewell()
    browser = site.browser()
    path = link.removeprefix(site.base)
    assert "bob@example.com" in browser.get(path).text
    browser.submit(path, NEW_PASSWORD)
    assert browser.page.status_code == 200
    duewell("role", "bob@example.com", "viewer")
    assert "bob@example.com · Viewer" in browser.get("/").text
    again = duewell("reset", "bob@example.com").strip().removeprefix(site.base)
    assert "/sign-in" in browser.get("/").url
    assert browser.get(again).status_code == 200
    duewell("disable", "bob@example.com")
    assert browser.get(again).status_code == 404
    with reading(site.app.engine) as session:
        users = {user.email: user for user in session.scalars(select(User))}
        log = [line.kind for line in session.scalars(select(SyncLogEntry))]
    assert users["bob@example.com"].password_hash == ""
    assert users["bob@example.com"].role == "viewer"
    assert {"user_added", "user_changed", "user_reset", "user_disabled"} <= set(log)
    assert north


def test_signing_out_clears_the_browser(site: Site) -> None:
    browser = site.sign_in("owner")
    token = browser.get("/").text.partition('name="csrf" value="')[2].partition('"')[0]
    answer = browser.post("/sign-out", {"csrf": token}, allow_redirects=False)
    assert answer.headers["Clear-Site-Data"] == '"cache", "storage"'
    assert not browser.http.cookies


def test_sign_ins_failures_and_rejections_are_logged(
    site: Site, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "_rejections", QuietLog(logging.getLogger("duewell.web.of_this_test")))
    caplog.set_level("INFO", logger="duewell")
    create_first_owner(site)
    forged = {"X-Forwarded-For": "203.0.113.9\x1b[31m INFO user 1 signed in by password", "Origin": site.base}
    fields = {"email": "ann@example.com\nINFO user 1 signed in", "password": "wrong wrong wrong"}
    site.browser().http.post(f"{site.base}/sign-in", data=fields, headers=forged, timeout=20)
    viewer = site.sign_in("viewer")
    viewer.post("/companies/connect", {"ledger": "xero"})
    viewer.post("/sign-out", {"csrf": "x"}, origin="https://evil.example")
    said = [record.getMessage() for record in caplog.records if record.name.startswith("duewell.")]
    assert said == [
        "user 1 signed in by a link, from 127.0.0.1",
        "sign-in failed, from unknown",
        "user 2 signed in by a link, from 127.0.0.1",
        "user 2 may not POST /companies/connect",
        "rejected a form: from another site or session at /sign-out, last from 127.0.0.1",
    ]
