"""The settings pages: users, tokens, webhooks, backup, sender, calendar and health."""

from __future__ import annotations

import re
import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from connector.audit import sync_log
from connector.db.engine import reading
from connector.db.tables import EmailEvent, OutboxEntry
from connector.webhooks import delivery
from connector.webhooks.safe_post import PostResult

Site = Any
PASSWORD = "correct horse battery staple"  # gitleaks:allow


@pytest.fixture
def settings() -> dict[str, Any]:
    return {
        "duewell_webhooks": "public",
        "mail_from": "billing@gmail.com",
        "sendgrid_api_key": "SG.key",
        "sendgrid_api_url": "http://127.0.0.1:1",
        "sendgrid_webhook_public_key": "key",
    }


@pytest.fixture
def owner(site: Site) -> Any:
    """The browser of an owner who has just signed in."""
    return site.sign_in("owner")


def log_texts(site: Site) -> list[str]:
    with reading(site.app.engine) as session:
        return [line.text for line in sync_log.list_entries(session)]


def shown_secret(browser: Any) -> str:
    found = re.search(r'<code class="secret">([^<]+)</code>', browser.page.text)
    assert found
    return found[1]


def test_a_user_is_invited_for_one_company_promoted_and_removed(site: Site, owner: Any) -> None:
    north, south = site.add_company("North Ltd"), site.add_company("South Ltd")
    owner.get("/settings/users")
    invitation = {"email": "bob@example.com", "name": "Bob", "role": "viewer"}
    owner.submit("/settings/users", {**invitation, "company_access": "selected", "company": str(north)})
    bob = site.browser()
    path = shown_secret(owner).removeprefix(site.base)
    bob.get(path)
    bob.submit(path, {"password": PASSWORD, "repeat": PASSWORD})
    assert ("North Ltd" in bob.get("/companies").text, "South Ltd" in bob.text) == (True, False)
    assert bob.get(f"/companies/{south}").status_code == 404
    assert bob.get("/settings/users").status_code == 403
    assert "Settings" not in bob.get("/").text
    owner.get("/settings/users/2")
    owner.submit("/settings/users/2", {"do": "role", "role": "bookkeeper", "company_access": "all"})
    assert "South Ltd" in bob.get("/companies").text
    assert bob.get("/settings/calendar").status_code == 200
    owner.get("/settings/users/2")
    owner.submit("/settings/users/2", {"do": "remove"})
    assert bob.get("/", allow_redirects=False).status_code == 303
    assert "Disabled" in owner.get("/settings/users").text
    owner.get("/settings/users/1")
    assert 'id="access-problem">owner@example.com is the only owner' in (
        owner.submit("/settings/users/1", {"do": "remove"}).text
    )
    page = owner.submit("/settings/users/1", {"do": "role", "role": "viewer", "company_access": "all"}).text
    assert 'id="role-problem">owner@example.com is the only owner' in page
    assert 'value="viewer" checked' in page
    owner.get("/settings/users")
    again = {**invitation, "name": "Bobby", "company_access": "selected", "company": str(south)}
    page = owner.submit("/settings/users", again).text
    assert 'id="email-problem">bob@example.com is already a user.' in page
    assert 'value="Bobby"' in page
    page = owner.submit("/settings/users", {**again, "email": "owner@example.com"}).text
    assert 'id="email-problem">owner@example.com is already a user.' in page
    assert f'name="company" value="{south}" checked' in page


def test_users_are_sorted_filtered_and_exported_by_owners_only(site: Site, owner: Any) -> None:
    north, south = site.add_company("North Ltd"), site.add_company("South Ltd")
    site.add_user("viewer", north, email="zoe@example.com")
    site.add_user("bookkeeper", south, email="ann@example.com")

    def found(query: str) -> list[str]:
        page = owner.get(f"/settings/users?{query}").text
        return re.findall(r'scope="row" data-label="User"[^>]*><a [^>]*>(\w+)@', page)

    assert found("") == ["ann", "owner", "zoe"]
    assert found("sort=-name") == ["zoe", "owner", "ann"]
    assert found("role=viewer,bookkeeper&sort=role") == ["ann", "zoe"]
    assert found("sees=south") == ["ann", "owner"]
    assert found("search=ZOE") == ["zoe"]
    assert found("state=disabled") == []
    assert len(owner.get("/settings/users.csv?role=viewer").text.splitlines()) == 2
    other = site.sign_in("bookkeeper", north, email="ben@example.com")
    assert [other.get(path).status_code for path in ("/settings/users", "/settings/users.csv")] == [403, 403]


def test_a_token_is_shown_once_works_and_is_revoked(site: Site, owner: Any) -> None:
    site.add_company("North Ltd")
    owner.get("/settings/tokens")
    owner.submit("/settings/tokens", {"name": "dashboard", "scope": "read", "company_access": "all", "days": "30"})
    token = shown_secret(owner)
    asked: dict[str, Any] = {
        "url": f"{site.base}/api/v1/connections",
        "headers": {"Authorization": f"Bearer {token}"},
        "timeout": 20,
    }
    assert requests.get(**asked).json()["items"][0]["short_name"] == "north-ltd"
    page = owner.get("/settings/tokens").text
    assert token not in page
    assert "created by owner@example.com" in owner.text
    assert "10 Jul 2026" in owner.text
    owner.submit("/settings/tokens/1")
    assert "Revoked" in owner.text
    assert requests.get(**asked).status_code == 401
    owner.get("/settings/tokens")
    page = owner.submit("/settings/tokens", {"name": "", "scope": "write", "days": "40"})
    assert (page.status_code, 'id="name-problem">Name the token' in page.text) == (422, True)
    assert 'value="write" checked' in page.text
    assert 'id="days-problem"' in owner.submit("/settings/tokens", {"name": "x", "scope": "read", "days": "0"}).text
    assert all(token not in line for line in log_texts(site))


def test_a_webhook_is_added_tested_and_removed(site: Site, owner: Any) -> None:
    north = site.add_company("North Ltd")
    owner.get("/settings/webhooks")
    bad = owner.submit("/settings/webhooks", {"url": "http://127.0.0.1/", "events": "all", "company_access": "all"})
    assert (bad.status_code, 'id="url-problem">' in bad.text) == (422, True)
    assert 'value="http://127.0.0.1/"' in bad.text
    chosen = {"url": "https://h.example/", "events": "selected", "company_access": "selected", "company": str(north)}
    bad = owner.submit("/settings/webhooks", chosen)
    assert 'id="event-problem">Select at least one event.' in bad.text
    assert f'name="company" value="{north}" checked' in bad.text
    owner.get("/settings/webhooks")
    chosen = {"url": "https://hooks.example/a?key=1", "events": "selected", "event": "email.sent"}
    owner.submit("/settings/webhooks", {**chosen, "company_access": "selected", "company": str(north)})
    assert shown_secret(owner).startswith("whsec_")
    owner.get("/settings/webhooks")
    owner.submit("/settings/webhooks/1", {"do": "test"})
    delivery.deliver_pending(site.app, send=lambda *_: PostResult(None, "it did not respond in time"))
    assert "it did not respond in time; next attempt" in owner.get("/settings/webhooks").text
    assert "email.sent; North Ltd; added by owner@example.com" in owner.text
    owner.submit("/settings/webhooks/1", {"do": "remove"})
    assert "No webhooks yet" in owner.text
    assert all("key=1" not in line for line in log_texts(site))


def test_an_owner_downloads_a_backup_and_no_copy_stays(site: Site, owner: Any, tmp_path: Path) -> None:
    site.add_company("North Ltd")
    owner.get("/settings/backup")
    answer = owner.submit("/settings/backup")
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="duewell-2026-06-10')
    assert answer.headers["Cache-Control"] == "no-cache, no-store"
    copy = tmp_path / "copy.db"
    copy.write_bytes(answer.content)
    with sqlite3.connect(copy) as database:
        assert database.execute("SELECT name FROM connection").fetchall() == [("North Ltd",)]
    assert list((site.app.settings.duewell_home / "downloads").iterdir()) == []
    assert log_texts(site)[-1] == "owner@example.com downloaded a backup."


def test_sender_calendar_and_health_pages(site: Site, owner: Any) -> None:
    company = site.add_company("North Ltd", country="GB", time_zone="Europe/London")
    page = owner.get("/settings/sender").text
    assert "Email from gmail.com sent by another service looks forged." in page
    assert "Signed events are received. Last event: never" in owner.text
    left_at = site.clock.at - timedelta(days=3)
    mail: dict[str, Any] = {"key": "m", "kind": "email", "state": "done", "customer_id": "c", "payload": {}}
    site.add_rows(OutboxEntry(connection_id=company, planned_at=left_at, ended_at=left_at, **mail))
    assert "No event came for an email sent on 7 Jun 2026." in owner.get("/settings/sender").text
    site.add_rows(EmailEvent(id="e", kind="delivered", at=site.clock.at, received_at=site.clock.at))
    assert "No event came" not in owner.get("/settings/sender").text
    owner.get("/settings/calendar")
    assert "08:00 to 18:00" in owner.text
    assert "Europe/London" in owner.text
    owner.get("/settings/health")
    assert "OK" not in owner.text
    owner.submit("/settings/health")
    assert "The sync log is intact" in owner.text
    assert owner.get("/settings").status_code == 200
    bookkeeper = site.sign_in("bookkeeper")
    for path in ("users", "tokens", "webhooks", "backup", "health"):
        assert bookkeeper.get(f"/settings/{path}").status_code == 403
