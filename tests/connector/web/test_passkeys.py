"""Passkeys, with an authenticator in the test that signs as real ones do."""

from __future__ import annotations

import json
import re
from html import unescape
from typing import Any

import pytest
import requests
import webauthn
from sqlalchemy import select
from typer.testing import CliRunner

from connector.audit import sync_log
from connector.auth import api_tokens, passkey_requirement
from connector.auth.passwords import hash_password
from connector.auth.sign_in import create_link, reset
from connector.auth.users import add_user, find_user
from connector.cli.main import cli
from connector.db.engine import reading, writing
from connector.db.tables import Passkey, SignInAttempt
from connector.vocabulary import LogKind
from connector.web.page_request import derive_csrf_token
from connector.web.routes import cookie_name
from tests.connector.authenticator import Authenticator, b64

Site = Any
PASSWORD = "correct horse battery staple"  # gitleaks:allow


def passkey_options(page: str) -> dict[str, Any]:
    found = re.search(r'data-passkey="([^"]+)"', page)
    assert found, "the page asks for no passkey"
    return dict(json.loads(unescape(found[1])))


@pytest.fixture
def authenticator(site: Site) -> Authenticator:
    return Authenticator(site.base)


def owner_with_passkey(site: Site, authenticator: Authenticator) -> Any:
    browser = site.sign_in("owner")
    with writing(site.app.engine) as session:
        find_user(session, "owner@example.com").password_hash = hash_password(PASSWORD)
    page = browser.get("/account").text
    browser.submit(
        "/account/passkeys", {"name": "My phone", "new_passkey": authenticator.create(passkey_options(page))}
    )
    assert browser.page.status_code == 200
    assert "My phone" in browser.text
    return browser


def sign_in_with_password(site: Site, email: str) -> Any:
    browser = site.browser()
    browser.get("/sign-in")
    browser.submit("/sign-in", {"email": email, "password": PASSWORD})
    return browser


def sign_in_with_passkey(site: Site, authenticator: Authenticator) -> Any:
    browser = site.browser()
    page = browser.get("/sign-in").text
    fields = {
        "challenge": re.findall(r'name="challenge" value="([^"]+)"', page)[0],
        "passkey": authenticator.sign(passkey_options(page)),
    }
    browser.page = browser.post("/sign-in/passkey", fields)
    browser.sent = fields
    return browser


@pytest.mark.parametrize("credential", ["[" * 3000, '{"id": "\\u0000"}', '{"id": ["x"]}', "null", "7", '{"id": "x"'])
def test_an_odd_credential_is_not_accepted(site: Site, authenticator: Authenticator, credential: str) -> None:
    owner_with_passkey(site, authenticator)
    browser = site.browser()
    challenge = re.findall(r'name="challenge" value="([^"]+)"', browser.get("/sign-in").text)[0]
    assert browser.post("/sign-in/passkey", {"challenge": challenge, "passkey": credential}).status_code == 401


def test_a_strangers_guesses_do_not_shut_out_whoever_holds_a_passkey(site: Site, authenticator: Authenticator) -> None:
    owner_with_passkey(site, authenticator)
    strangers = (SignInAttempt(at=site.clock.at, ip_address="127.0.0.1", email="owner@example.com") for _ in range(30))
    site.add_rows(*strangers)
    for _ in range(25):
        assert site.browser().post("/sign-in/passkey", {"passkey": "{}", "challenge": "x"}).status_code == 401
    assert sign_in_with_password(site, "owner@example.com").page.status_code == 429
    assert sign_in_with_passkey(site, authenticator).page.status_code == 200


def test_a_passkey_signs_in_once_per_challenge_and_only_with_its_own_key(
    site: Site, authenticator: Authenticator
) -> None:
    owner_with_passkey(site, authenticator)
    browser = sign_in_with_passkey(site, authenticator)
    assert "owner@example.com · Owner" in browser.text
    again = site.browser().post("/sign-in/passkey", browser.sent)
    assert again.status_code == 401
    assert sign_in_with_passkey(site, Authenticator(site.base, id=authenticator.id)).page.status_code == 401
    assert sign_in_with_passkey(site, Authenticator(site.base, id=b"unknown")).page.status_code == 401
    for wrong in ("", "{}", "[]", "nonsense", '{"id": 3}'):
        assert site.browser().post("/sign-in/passkey", {**browser.sent, "passkey": wrong}).status_code == 401


@pytest.mark.parametrize(
    "changed",
    [
        {"origin": "https://evil.example"},
        {"origin": "http://localhost.evil.example"},
        {"rp_id": "evil.example"},
        {"user_verified": False},
        {"user_present": False},
        {"sign_count": -1},
    ],
)
def test_an_invalid_passkey_does_not_sign_in(site: Site, authenticator: Authenticator, changed: dict[str, Any]) -> None:
    """For another site or its name, without presence or verification, or from a copy whose counter starts again."""
    owner_with_passkey(site, authenticator)
    vars(authenticator).update(changed)
    assert sign_in_with_passkey(site, authenticator).page.status_code == 401


def test_a_challenge_is_valid_for_five_minutes_and_one_purpose(site: Site, authenticator: Authenticator) -> None:
    browser = owner_with_passkey(site, authenticator)
    page = site.browser().get("/sign-in").text
    challenge = re.findall(r'name="challenge" value="([^"]+)"', page)[0]
    new = re.findall(r'name="new_challenge" value="([^"]+)"', browser.get("/account").text)[0]
    signed = authenticator.sign(passkey_options(page))
    assert site.browser().post("/sign-in/passkey", {"challenge": new, "passkey": signed}).status_code == 401
    site.clock.advance(minutes=6)
    late = site.browser().post("/sign-in/passkey", {"challenge": challenge, "passkey": signed})
    assert (late.status_code, "has expired" in late.text) == (401, True)


def test_a_passkey_confirms_the_user_before_a_sensitive_action(site: Site, authenticator: Authenticator) -> None:
    browser = owner_with_passkey(site, authenticator)
    site.clock.advance(minutes=31)
    browser.get("/account")
    browser.submit("/account/password", {"password": PASSWORD + "!", "repeat": PASSWORD + "!"})
    assert "Confirm your identity" in browser.text
    browser.submit("/account/password", {"confirm_passkey": authenticator.sign(passkey_options(browser.page.text))})
    assert "Password changed" in browser.text


def test_passkey_only_users_cannot_sign_in_with_a_password_until_reset(
    site: Site, authenticator: Authenticator
) -> None:
    browser = owner_with_passkey(site, authenticator)
    browser.get("/account")
    browser.submit("/account/sign-in-methods", {"passkey_only": "yes"})
    stranger = site.browser()
    fields = {"email": "owner@example.com", "password": PASSWORD}
    assert stranger.post("/sign-in", fields).status_code == 401
    assert sign_in_with_passkey(site, authenticator).page.status_code == 200
    with writing(site.app.engine) as session:
        reset(session, find_user(session, "owner@example.com"), by="a test", at=site.clock.at)
    with reading(site.app.engine) as session:
        assert session.scalars(select(Passkey)).all() == []
        assert not find_user(session, "owner@example.com").passkey_only


def test_a_passkey_belongs_to_one_user(site: Site, authenticator: Authenticator) -> None:
    owner_with_passkey(site, authenticator)
    other, copied = site.sign_in("viewer"), Authenticator(site.base, id=authenticator.id)
    page = other.get("/account").text
    other.submit("/account/passkeys", {"new_passkey": copied.create(passkey_options(page))})
    assert (other.page.status_code, "was added already" in other.text) == (409, True)
    assert sign_in_with_passkey(site, copied).page.status_code == 401
    assert "owner@example.com · Owner" in sign_in_with_passkey(site, authenticator).text


def test_users_cannot_remove_passkeys_of_others(site: Site, authenticator: Authenticator) -> None:
    browser = owner_with_passkey(site, authenticator)
    other = site.sign_in("viewer")
    other.get("/account")
    with pytest.raises(AssertionError, match="no form"):
        other.submit("/account/sign-in-methods", {"remove": b64(authenticator.id)})
    browser.get("/account")
    browser.submit("/account/sign-in-methods", {"remove": b64(authenticator.id)})
    assert "Passkey removed" in browser.text
    assert "data-passkey" not in site.browser().get("/sign-in").text


def test_a_form_in_flight_during_a_reset_does_not_restore_access(
    site: Site, authenticator: Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def meanwhile(email: str, work: Any) -> Any:
        def working(*given: Any, **named: Any) -> Any:
            with writing(site.app.engine) as session:
                reset(session, find_user(session, email), by="a test", at=site.clock.at)
            return work(*given, **named)

        return working

    owner, viewer, phone = (
        owner_with_passkey(site, authenticator),
        site.sign_in("viewer"),
        Authenticator(site.base, id=b"mine"),
    )
    page = owner.get("/account").text
    verify = webauthn.verify_registration_response
    monkeypatch.setattr("webauthn.verify_registration_response", meanwhile("owner@example.com", verify))
    monkeypatch.setattr("connector.auth.passwords.hash_password", meanwhile("viewer@example.com", hash_password))
    owner.submit("/account/passkeys", {"new_passkey": phone.create(passkey_options(page))})
    viewer.get("/account")
    viewer.submit("/account/password", {"password": PASSWORD, "repeat": PASSWORD})
    for browser in (owner, viewer):
        assert (browser.page.status_code, "This session has ended" in browser.text) == (409, True)
    with reading(site.app.engine) as session:
        assert session.scalars(select(Passkey)).all() == []
        assert find_user(session, "viewer@example.com").password_hash == ""


def passkey_rule_lines(site: Site) -> list[str]:
    with reading(site.app.engine) as session:
        return [line.text for line in sync_log.list_entries(session) if line.kind == LogKind.PASSKEY_REQUIREMENT]


def test_an_owner_with_a_passkey_requires_passkeys_and_makes_them_optional_again(
    site: Site, authenticator: Authenticator
) -> None:
    action = "/settings/users/passkeys"
    owner = site.sign_in("owner", email="ann@example.com")
    assert "You have no passkey yet" in owner.get("/settings/users").text
    token = derive_csrf_token(owner.http.cookies[cookie_name(site.app)], action)
    refused = owner.post(action, {"passkeys": "passkeys_required", "csrf": token})
    assert (refused.status_code, "You have no passkey yet" in refused.text) == (409, True)
    owner, weak = owner_with_passkey(site, authenticator), sign_in_with_password(site, "owner@example.com")
    for not_yet in (owner, weak):  # added here, but never seen to let in
        assert "sign in with your passkey first" in not_yet.get("/settings/users").text
    owner = sign_in_with_passkey(site, authenticator)
    assert "sign in with your passkey first" in weak.get("/settings/users").text
    site.clock.advance(minutes=31)
    owner.get("/settings/users")
    owner.submit(action, {"passkeys": "passkeys_required"})
    assert ("Confirm your identity" in owner.text, passkey_rule_lines(site)) == (True, [])
    owner.submit(action, {"confirm_password": PASSWORD})
    assert "All users now need a passkey" in owner.text
    assert "1 user has no passkey yet" in owner.text
    assert re.findall(r'label="Passkey"[^>]*>([^<]+)', owner.page.text) == ["No", "Yes"]
    assert "/sign-in" in weak.get("/").url  # was in before, by a password
    assert "All users need a passkey" in weak.text
    assert "needs a passkey to sign in" in sign_in_with_password(site, "owner@example.com").text
    assert "owner@example.com · Owner" in sign_in_with_passkey(site, authenticator).text
    assert "Your only passkey" in owner.get("/account").text
    token = derive_csrf_token(owner.http.cookies[cookie_name(site.app)], "/account/sign-in-methods")
    kept = owner.post("/account/sign-in-methods", {"remove": b64(authenticator.id), "csrf": token})
    assert (kept.status_code, "This is your only passkey" in kept.text) == (409, True)
    owner.get("/settings/users")
    owner.submit(action, {"passkeys": "passkeys_optional"})
    assert "Passkeys are optional again" in owner.text
    assert weak.get("/").url == f"{site.base}/"
    assert passkey_rule_lines(site) == [
        "owner@example.com made passkeys required.",
        "owner@example.com made passkeys optional.",
    ]


def test_with_required_passkeys_users_must_first_add_one_also_after_a_reset(
    site: Site, authenticator: Authenticator
) -> None:
    owner_with_passkey(site, authenticator)
    passkey_requirement.set_required(site.app, required=True, by="a test")
    with writing(site.app.engine) as session:
        bob = add_user(session, "bob@example.com", "viewer", by="a test", at=site.clock.at)
        link = create_link(session, bob, site.clock.at)
        _row, token = api_tokens.create(
            session, "site_with_invoices", "read", companies=None, days=9, by="a test", at=site.clock.at
        )
    browser, phone = site.browser(), Authenticator(site.base, id=b"the phone of Bob")
    browser.get(f"/welcome/{link}")
    browser.submit(f"/welcome/{link}", {"password": PASSWORD, "repeat": PASSWORD})
    assert browser.page.url == f"{site.base}/account/passkeys"
    assert ("Passkey required" in browser.text, "Outbox" in browser.text) == (True, False)
    browser = sign_in_with_password(site, "bob@example.com")
    assert browser.page.url == f"{site.base}/account/passkeys"
    browser.submit("/account/passkeys", {"new_passkey": "nonsense"})
    assert browser.page.status_code == 409
    site.clock.advance(minutes=31)
    page = browser.get("/outbox").text
    browser.submit("/account/passkeys", {"name": "Bob's phone", "new_passkey": phone.create(passkey_options(page))})
    assert ("Confirm your identity" in browser.text, "Outbox" in browser.text) == (True, False)
    browser.submit("/account/passkeys", {"confirm_password": PASSWORD})
    assert ("Passkey added" in browser.text, browser.page.url.partition("?")[0]) == (True, f"{site.base}/")
    assert "bob@example.com · Viewer" in browser.get("/account").text
    assert "needs a passkey to sign in" in sign_in_with_password(site, "bob@example.com").text
    assert "bob@example.com · Viewer" in sign_in_with_passkey(site, phone).text
    program = {"Authorization": f"Bearer {token}"}
    assert requests.get(f"{site.base}/api/v1/connections", headers=program, timeout=20).status_code == 200
    with writing(site.app.engine) as session:
        link = reset(session, find_user(session, "bob@example.com"), by="a test", at=site.clock.at)
    assert "/sign-in" in browser.get("/").url
    browser.get(f"/welcome/{link}")
    browser.submit(f"/welcome/{link}", {"password": PASSWORD, "repeat": PASSWORD})
    assert browser.page.url == f"{site.base}/account/passkeys"
    browser.submit("/sign-out")
    assert "You are signed out" in browser.text


def test_the_passkey_requirement_is_changed_on_the_command_line(
    site: Site, authenticator: Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DUEWELL_HOME", str(site.app.settings.duewell_home))
    monkeypatch.setenv("DUEWELL_BASE_URL", site.base)
    monkeypatch.setattr("getpass.getuser", lambda: "root")

    def duewell(*words: str) -> tuple[int, str]:
        result = CliRunner().invoke(cli, list(words), prog_name="duewell")
        return result.exit_code, result.output

    code, said = duewell("users", "passkeys", "on")
    assert (code, "No owner has a passkey yet" in said) == (1, True)
    owner_with_passkey(site, authenticator)
    assert duewell("users", "passkeys") == (0, "Passkeys: each user chooses.\n")
    assert duewell("users", "passkeys", "on") == (0, "Passkeys: required for everyone, set by root.\n")
    assert duewell("users", "passkeys", "on")[0] == 0
    assert json.loads(duewell("users", "passkeys", "--json")[1])["required"] is True
    assert json.loads(duewell("users", "list", "--json")[1])[0]["passkey"] is True
    monkeypatch.setenv("DUEWELL_BASE_URL", "http://192.0.2.7:8710")
    said = duewell("doctor")[1]
    assert "browsers do not allow them at http://192.0.2.7:8710" in said
    assert "Passkeys were created for localhost" in said
    assert duewell("users", "passkeys", "off")[0] == 0
    code, said = duewell("users", "passkeys", "on")
    assert (code, "at a host name over https, or at localhost" in said) == (1, True)
    assert passkey_rule_lines(site) == [
        "root made passkeys required.",
        "root made passkeys optional.",
    ]
