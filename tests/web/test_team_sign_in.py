"""Signing in by way of a team's own service: a small one of ours answers as the real ones do, or as they must not."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import unescape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from connector.access import second_factor
from connector.access.passwords import hash_password
from connector.access.sign_in import reset
from connector.access.users import find_user
from connector.database import reading, writing
from connector.tables import Passkey

Office = Any
CLIENT = "duewell-of-the-tests"


@dataclass
class Service:
    """A sign-in service: whom it vouches for, and what it says differently."""

    url: str = ""
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "1"}))
    claims: dict[str, Any] = field(default_factory=dict)
    nonce: str = ""
    asked: dict[str, list[str]] = field(default_factory=dict)
    issuer: str = ""
    id_token: str = ""

    def answer(self, path: str) -> Any:
        if path.startswith("/.well-known/"):
            own = {name: f"{self.url}/{name}" for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")}
            return {"issuer": self.issuer or self.url, **own}
        if path == "/jwks_uri":
            return {"keys": [self.key.as_dict(private=False)]}
        now = 1781089200  # 2026-06-10 11:00 UTC
        claims = {
            "iss": self.url, "aud": CLIENT, "sub": "77", "nonce": self.nonce, "iat": now, "exp": now + 600,
            "email": "Bookkeeper@Example.com", "email_verified": True, **self.claims,
        }  # fmt: skip
        signed = jwt.encode({"alg": "RS256", "kid": "1"}, claims, self.key)
        return {"access_token": "never-used", "token_type": "Bearer", "id_token": self.id_token or signed}


@pytest.fixture(scope="module")
def running() -> Iterator[Service]:
    service = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(service.answer(self.path)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            service.asked = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        service.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield service
        server.shutdown()


@pytest.fixture
def service(running: Service) -> Service:
    running.claims, running.nonce, running.issuer, running.id_token = {}, "", "", ""
    return running


@pytest.fixture
def settings(service: Service) -> dict[str, Any]:
    return {"oidc_issuer": service.url, "oidc_client_id": CLIENT, "oidc_client_secret": "s3cret"}


def leave(office: Office, service: Service, browser: Any, wanted: str = "/account") -> dict[str, str]:
    """Go to the service; returns what it was asked."""
    return went(service, browser.get(f"/sign-in/team?next={wanted}", allow_redirects=False).headers["location"])


def leave_to_tie(service: Service, browser: Any) -> dict[str, str]:
    """Go to the service from the page of one's account."""
    browser.get("/account")
    browser.send("/account/team")
    return went_on(service, browser)


def went_on(service: Service, browser: Any) -> dict[str, str]:
    return went(service, unescape(re.findall(r'href="([^"]+)" rel="noreferrer"', browser.page.text)[0]))


def went(service: Service, there: str) -> dict[str, str]:
    assert there.startswith(f"{service.url}/authorization_endpoint?")
    asked = {name: values[0] for name, values in parse_qs(urlsplit(there).query).items()}
    service.nonce = service.nonce or asked["nonce"]
    return asked


def come_back(browser: Any, asked: dict[str, str], **changed: str) -> Any:
    answer = {"code": "c0de", "state": asked["state"], **changed}
    return browser.get("/sign-in/team/back?" + "&".join(f"{name}={value}" for name, value in answer.items()))


def test_who_was_added_here_comes_in_and_no_code_is_exchanged_without_its_verifier(
    office: Office, service: Service
) -> None:
    office.user("bookkeeper")
    browser = office.browser()
    assert "by way of 127.0.0.1" in browser.get("/sign-in").text
    asked = leave(office, service, browser)
    assert asked["redirect_uri"] == f"{office.base}/sign-in/team/back"
    assert asked["code_challenge_method"] == "S256"
    assert come_back(browser, asked).url == f"{office.base}/account"
    assert len(service.asked["code_verifier"][0]) >= 43
    assert "bookkeeper@example.com · bookkeeper" in browser.text
    service.nonce, service.claims = "", {"email": "somebody.else@example.com"}
    again = office.browser()
    assert come_back(again, leave(office, service, again)).status_code == 200  # known by the service's own name now


@pytest.mark.parametrize(
    "claims",
    [
        {"email_verified": False},
        {"email_verified": None},
        {"email": "nobody@example.com"},
        {"aud": "another-app"},
        {"aud": [CLIENT, "another-app"]},
        {"iss": "https://evil.example"},
        {"exp": 1781080000},
        {"nonce": "of another sign-in"},
    ],
)
def test_nobody_comes_in_by_a_token_that(office: Office, service: Service, claims: dict[str, Any]) -> None:
    office.user("bookkeeper")
    browser, service.claims = office.browser(), claims
    assert come_back(browser, leave(office, service, browser)).status_code == 401
    assert "/sign-in" in browser.get("/").url


def test_nobody_comes_in_by_a_token_that_the_service_did_not_sign(office: Office, service: Service) -> None:
    office.user("bookkeeper")
    browser = office.browser()
    asked = leave(office, service, browser)
    claims = {"iss": service.url, "aud": CLIENT, "sub": "1", "nonce": asked["nonce"], "exp": 1781089800,
              "email": "bookkeeper@example.com", "email_verified": True}  # fmt: skip
    forged = RSAKey.generate_key(2048, {"kid": "1"})
    service.id_token = jwt.encode({"alg": "RS256", "kid": "1"}, claims, forged)
    assert come_back(browser, asked).status_code == 401
    service.id_token = "eyJhbGciOiJub25lIn0." + service.id_token.split(".")[1] + "."
    assert come_back(browser, leave(office, service, browser)).status_code == 401


def test_an_answer_counts_only_in_the_browser_that_asked_and_from_the_service_that_was_asked(
    office: Office, service: Service
) -> None:
    office.user("bookkeeper")
    browser = office.browser()
    asked = leave(office, service, browser)
    assert come_back(office.browser(), asked).status_code == 401
    assert come_back(browser, asked, iss="https://evil.example").status_code == 401
    assert come_back(browser, leave(office, service, browser), state="another").status_code == 401
    assert come_back(browser, leave(office, service, browser), error="access_denied").status_code == 401
    asked = leave(office, service, browser)
    office.clock.advance(minutes=11)
    assert come_back(browser, asked).status_code == 401
    service.issuer = "https://evil.example"
    assert office.browser().get("/sign-in/team").status_code == 401


def test_where_everybody_needs_a_passkey_the_service_vouches_for_both_factors_and_a_password_ties_nobody(
    office: Office, service: Service
) -> None:
    by_password = office.signed_in("bookkeeper")
    owner = office.user("owner")
    with writing(office.installation.engine) as session:
        find_user(session, "bookkeeper@example.com").password_hash = hash_password("correct horse battery staple")
        key = Passkey(id="x", user_id=find_user(session, owner).id or 0, public_key=b"", made_at=office.clock.at)
        session.add(key)
    second_factor.switch(office.installation, on=True, by="a test")
    assert by_password.get("/").url == f"{office.base}/account/passkeys"
    assert "Or come in by way of 127.0.0.1" in by_password.text
    service.claims = {"email": "somebody.else@example.com"}
    assert come_back(by_password, leave(office, service, by_password)).status_code == 401
    with reading(office.installation.engine) as session:
        assert find_user(session, "bookkeeper@example.com").oidc_subject == ""
    service.claims, service.nonce = {}, ""
    assert come_back(by_password, leave(office, service, by_password)).url == f"{office.base}/account"
    office.clock.advance(minutes=31)
    by_password.get("/account")
    by_password.send("/account/sessions")
    by_password.send("/account/sessions", {"confirm_password": "correct horse battery staple"})
    assert "Every other browser is signed out" in by_password.text


def test_who_is_disabled_does_not_come_in_and_an_unverified_address_may_be_tied_from_within(
    office: Office, service: Service
) -> None:
    browser = office.signed_in("bookkeeper")
    service.claims = {"email_verified": None, "email": "other@example.com"}
    assert come_back(browser, leave_to_tie(service, browser)).url.endswith("/account")
    assert "You also sign in by way of" in browser.text
    with reading(office.installation.engine) as session:
        assert find_user(session, "bookkeeper@example.com").oidc_subject == f"{service.url}|77"
    service.nonce = ""
    viewer = office.signed_in("viewer")
    assert come_back(viewer, leave_to_tie(service, viewer)).status_code == 401
    with writing(office.installation.engine) as session:
        find_user(session, "bookkeeper@example.com").disabled_at = office.clock.at
    service.nonce = ""
    stranger = office.browser()
    assert come_back(stranger, leave(office, service, stranger)).status_code == 401


def test_a_browser_left_open_ties_nobody_to_somebody_elses_account_there_and_a_new_link_unties(
    office: Office, service: Service
) -> None:
    browser, password = office.signed_in("bookkeeper"), "correct horse battery staple"  # gitleaks:allow
    with writing(office.installation.engine) as session:
        find_user(session, "bookkeeper@example.com").password_hash = hash_password(password)
    office.clock.advance(minutes=31)
    assert browser.get("/sign-in/team", allow_redirects=False).headers["location"] == "/"
    browser.get("/account")
    browser.send("/account/team")
    assert "Is it you?" in browser.text
    browser.send("/account/team", {"confirm_password": password})
    service.claims = {"email": "somebody.else@example.com", "exp": 1781094000}
    assert come_back(browser, went_on(service, browser)).url.endswith("/account")
    assert "You also sign in by way of" in browser.text
    service.nonce, stranger = "", office.browser()
    assert come_back(stranger, leave(office, service, stranger)).url == f"{office.base}/account"
    with writing(office.installation.engine) as session:
        reset(session, find_user(session, "bookkeeper@example.com"), by="a test", at=office.clock.at)
    service.nonce = ""
    assert come_back(stranger, leave(office, service, stranger)).status_code == 401
