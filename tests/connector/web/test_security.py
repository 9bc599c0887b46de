"""What applies to every response: hosts, methods, headers, sizes, and client addresses."""

from __future__ import annotations

import http.client
import re
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from sqlalchemy import select
from sqlalchemy.exc import DataError

from connector.db.engine import reading
from connector.db.tables import SignInAttempt

Site = Any
PATHS = ("/sign-in", "/nothing/here", "/healthz", "/static/style.css", "/api/v1/status", "/webhooks/xero", "/c/x")


def send_raw(site: Site, method: str, path: str, **headers: str) -> Any:
    """Send a request as no browser would."""
    line = http.client.HTTPConnection(urlsplit(site.base).netloc, timeout=20)
    line.request(method, path, headers=headers)
    answer = line.getresponse()
    body = answer.read().decode("utf-8", "replace")
    line.close()
    return answer, body


def test_unused_methods_are_rejected_without_echoing_the_request(site: Site) -> None:
    for method in ("TRACE", "TRACK", "CONNECT", "OPTIONS", "DELETE", "PUT", "PATCH", "DEBUG"):
        answer, body = send_raw(site, method, "/sign-in", **{"X-Canary": "tweet", "Cookie": "duewell=tweet"})
        assert answer.status in {400, 405}, method
        assert "tweet" not in body + str(answer.headers), method


def test_every_response_has_the_security_headers_and_no_version(site: Site) -> None:
    for path in PATHS:
        origin = {"Origin": "https://evil.example"}
        headers = requests.get(site.base + path, headers=origin, timeout=20, allow_redirects=False).headers
        assert re.search(r"; charset=utf-8$|^application/(problem\+)?json$", headers["Content-Type"]), path
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"], path
        assert "no-store" in headers["Cache-Control"], path
        assert headers["X-Content-Type-Options"] == "nosniff", path
        assert "Strict-Transport-Security" not in headers, path
        assert not {"X-Powered-By", "Access-Control-Allow-Origin"} & set(headers), path


@pytest.mark.parametrize("settings", [{"duewell_base_url": "https://books.example"}])
def test_with_https_browsers_are_told_to_use_only_https(site: Site) -> None:
    port = urlsplit(site.base).port
    answer = requests.get(f"http://127.0.0.1:{port}/sign-in", timeout=20)
    assert "max-age=31536000" in answer.headers["Strict-Transport-Security"]


def test_other_host_names_are_rejected(site: Site) -> None:
    for host in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "[::1", ""):
        answer, body = send_raw(site, "GET", "/sign-in", Host=host)
        assert (answer.status, "Password" in body) in {(421, False), (400, False)}, host


def test_bodies_are_limited_before_sign_in(site: Site) -> None:
    stranger = site.browser()
    much = "x" * 300_000
    assert stranger.post("/sign-in", {"email": much}).status_code == 413
    assert stranger.post("/companies/1/mode", {"to": much}).status_code in {401, 413}
    assert requests.post(f"{site.base}/api/v1/outbox/approve", data="x" * 2_000_000, timeout=20).status_code == 401
    assert requests.post(f"{site.base}/webhooks/xero", data="x" * 3_000_000, timeout=20).status_code in {404, 413}
    assert requests.post(f"{site.base}/c/x/tell/paid", data=much, timeout=20).status_code in {404, 413}


def test_a_forged_forwarded_address_is_not_trusted(site: Site) -> None:
    """A local proxy appends the address it saw; whatever precedes it may be forged."""
    claimed = {"X-Forwarded-For": "203.0.113.9, 198.51.100.7"}
    site.browser().http.post(
        f"{site.base}/sign-in", data={"email": "a@b.c", "password": "x"}, headers={"Origin": site.base, **claimed},
        timeout=20,
    )  # fmt: skip
    with reading(site.app.engine) as session:
        assert [row.ip_address for row in session.scalars(select(SignInAttempt))] == ["198.51.100.7"]


def test_accounting_data_is_escaped(site: Site) -> None:
    bad = "<script>alert(1)</script>{{ 7*7 }}\" onmouseover='x' \u202e"
    company = site.add_company(bad, health_reason=bad)
    owner = site.sign_in("owner")
    for path in ("/", "/companies", f"/companies/{company}", "/log", "/reports", "/customers"):
        page = owner.get(path).text
        assert "<script>alert" not in page, path
        assert "onmouseover='x'" not in page.replace("&#39;", "'").replace("&#34; onmouseover", ""), path
        assert "49" not in page.partition("<main")[2].partition("alert(1)")[2][:60], path


ODD_FIELDS = {"csrf": "ümläut", "email": "ann@example.com", "password": "\ud7ff\x00"}


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/sign-in", {}, 403),
        ("/policy", {}, 403),
        ("/sign-in", {"Origin": "http://[half"}, 403),
        ("/sign-in", {"Cookie": "duewell=\xff; =; ;;"}, 403),
    ],
)
def test_an_odd_form_is_refused_like_any_other_form_that_is_not_ours(
    site: Site, path: str, headers: dict[str, str], status: int
) -> None:
    browser = site.sign_in("owner")
    answer = browser.http.post(
        site.base + path, data=ODD_FIELDS, headers={"Origin": site.base, **headers}, timeout=20, allow_redirects=False
    )
    assert answer.status_code == status
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert "no-store" in answer.headers["Cache-Control"]


def test_an_error_before_any_page_has_the_security_headers(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> None:
        message = "secret"
        raise RuntimeError(message)

    monkeypatch.setattr("connector.auth.sessions.find_current_user", fail)
    answer = requests.get(site.base + "/", timeout=20)
    assert (answer.status_code, "secret" in answer.text) == (500, False)
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


def test_a_text_that_the_database_refuses_is_an_odd_form_and_no_fault(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object) -> None:
        raise DataError("SELECT", {}, ValueError("NUL"))  # as PostgreSQL does

    monkeypatch.setattr("connector.auth.sign_in.sign_in", refuse)
    fields = {"email": "a\x00@example.com", "password": "x"}
    answer = requests.post(site.base + "/sign-in", data=fields, headers={"Origin": site.base}, timeout=20)
    assert (answer.status_code, "cannot be stored" in answer.text) == (400, True)
    monkeypatch.setattr("connector.auth.api_tokens.authenticate", refuse)
    answer = requests.get(site.base + "/api/v1/status", headers={"Authorization": "Bearer x"}, timeout=20)
    assert (answer.status_code, "cannot be stored" in answer.json()["detail"]) == (422, True)
