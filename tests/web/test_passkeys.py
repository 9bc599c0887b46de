"""Passkeys: a device in the test signs what real ones sign; who has none signs in as before, unless all need one."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass, field
from html import unescape
from typing import Any

import cbor2
import pytest
import requests
import webauthn
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import select
from typer.testing import CliRunner

from connector import sync_log
from connector.access import api_tokens, second_factor
from connector.access.passwords import hash_password
from connector.access.sign_in import make_link, reset
from connector.access.users import add_user, find_user
from connector.cli import app
from connector.database import reading, writing
from connector.tables import Passkey
from connector.web.routes import cookie_name
from connector.web.visit import form_token

Office = Any
PASSWORD = "correct horse battery staple"  # gitleaks:allow


def b64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


@dataclass
class Device:
    """What makes passkeys and signs with them, for one site."""

    origin: str
    verifies: bool = True
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    id: bytes = b"a passkey of the tests"
    used: int = 0

    def _seen(self, rp_id: str, more: bytes = b"") -> bytes:
        flags = 0x01 | (0x04 if self.verifies else 0) | (0x40 if more else 0)
        self.used += 1
        return hashlib.sha256(rp_id.encode()).digest() + bytes([flags]) + self.used.to_bytes(4, "big") + more

    def _client(self, kind: str, challenge: str) -> bytes:
        return json.dumps({"type": kind, "challenge": challenge, "origin": self.origin}).encode()

    def make(self, asked: dict[str, Any]) -> str:
        numbers = self.key.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        more = bytes(16) + len(self.id).to_bytes(2, "big") + self.id + cbor2.dumps(cose)
        statement = {"fmt": "none", "attStmt": {}, "authData": self._seen(asked["rp"]["id"], more)}
        response = {
            "clientDataJSON": b64(self._client("webauthn.create", asked["challenge"])),
            "attestationObject": b64(cbor2.dumps(statement)),
        }
        return self._answer(response)

    def sign(self, asked: dict[str, Any]) -> str:
        client, seen = self._client("webauthn.get", asked["challenge"]), self._seen(asked["rpId"])
        signature = self.key.sign(seen + hashlib.sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        named = {"clientDataJSON": client, "authenticatorData": seen, "signature": signature}
        return self._answer({name: b64(value) for name, value in named.items()})

    def _answer(self, response: dict[str, str]) -> str:
        return json.dumps({"id": b64(self.id), "rawId": b64(self.id), "type": "public-key", "response": response})


def asked(page: str) -> dict[str, Any]:
    found = re.search(r'data-passkey="([^"]+)"', page)
    assert found, "the page asks for no passkey"
    return dict(json.loads(unescape(found[1])))


@pytest.fixture
def device(office: Office) -> Device:
    return Device(office.base)


def owner_with_passkey(office: Office, device: Device) -> Any:
    browser = office.signed_in("owner")
    with writing(office.installation.engine) as session:
        find_user(session, "owner@example.com").password_hash = hash_password(PASSWORD)
    page = browser.get("/account").text
    browser.send("/account/passkeys", {"name": "My phone", "new_passkey": device.make(asked(page))})
    assert browser.page.status_code == 200
    assert "My phone" in browser.text
    return browser


def by_password(office: Office, email: str) -> Any:
    browser = office.browser()
    browser.get("/sign-in")
    browser.send("/sign-in", {"email": email, "password": PASSWORD})
    return browser


def enter(office: Office, device: Device) -> Any:
    browser = office.browser()
    page = browser.get("/sign-in").text
    fields = {
        "challenge": re.findall(r'name="challenge" value="([^"]+)"', page)[0],
        "passkey": device.sign(asked(page)),
    }
    browser.page = browser.post("/sign-in/passkey", fields)
    browser.sent = fields
    return browser


def test_a_passkey_lets_in_once_for_each_challenge_and_only_from_its_own_device(office: Office, device: Device) -> None:
    owner_with_passkey(office, device)
    browser = enter(office, device)
    assert "owner@example.com · owner" in browser.text
    again = office.browser().post("/sign-in/passkey", browser.sent)
    assert again.status_code == 401
    assert enter(office, Device(office.base, id=device.id)).page.status_code == 401
    assert enter(office, Device(office.base, id=b"unknown")).page.status_code == 401
    for wrong in ("", "{}", "[]", "nonsense", '{"id": 3}'):
        assert office.browser().post("/sign-in/passkey", {**browser.sent, "passkey": wrong}).status_code == 401


@pytest.mark.parametrize("changed", [{"origin": "https://evil.example"}, {"verifies": False}, {"used": -1}])
def test_a_passkey_does_not_let_in(office: Office, device: Device, changed: dict[str, Any]) -> None:
    """Not on another site, not without a finger, a face or a PIN, and not as a copy that counts from the start."""
    owner_with_passkey(office, device)
    vars(device).update(changed)
    assert enter(office, device).page.status_code == 401


def test_a_challenge_counts_for_five_minutes_and_for_what_it_was_made_for(office: Office, device: Device) -> None:
    browser = owner_with_passkey(office, device)
    page = office.browser().get("/sign-in").text
    challenge = re.findall(r'name="challenge" value="([^"]+)"', page)[0]
    new = re.findall(r'name="new_challenge" value="([^"]+)"', browser.get("/account").text)[0]
    signed = device.sign(asked(page))
    assert office.browser().post("/sign-in/passkey", {"challenge": new, "passkey": signed}).status_code == 401
    office.clock.advance(minutes=6)
    late = office.browser().post("/sign-in/passkey", {"challenge": challenge, "passkey": signed})
    assert (late.status_code, "too long" in late.text) == (401, True)


def test_a_passkey_also_answers_who_sits_there(office: Office, device: Device) -> None:
    browser = owner_with_passkey(office, device)
    office.clock.advance(minutes=31)
    browser.get("/account")
    browser.send("/account/password", {"password": PASSWORD + "!", "again": PASSWORD + "!"})
    assert "Is it you?" in browser.text
    browser.send("/account/password", {"confirm_passkey": device.sign(asked(browser.page.text))})
    assert "Your password was changed" in browser.text


def test_who_wants_only_passkeys_is_not_let_in_by_password_until_a_new_link_is_made(
    office: Office, device: Device
) -> None:
    browser = owner_with_passkey(office, device)
    browser.get("/account")
    browser.send("/account/ways", {"alone": "yes"})
    stranger = office.browser()
    fields = {"email": "owner@example.com", "password": PASSWORD}
    assert stranger.post("/sign-in", fields).status_code == 401
    assert enter(office, device).page.status_code == 200
    with writing(office.installation.engine) as session:
        reset(session, find_user(session, "owner@example.com"), by="a test", at=office.clock.at)
    with reading(office.installation.engine) as session:
        assert session.scalars(select(Passkey)).all() == []
        assert not find_user(session, "owner@example.com").passkey_only


def test_a_passkey_is_one_persons(office: Office, device: Device) -> None:
    owner_with_passkey(office, device)
    other, copied = office.signed_in("viewer"), Device(office.base, id=device.id)
    page = other.get("/account").text
    other.send("/account/passkeys", {"new_passkey": copied.make(asked(page))})
    assert (other.page.status_code, "known here already" in other.text) == (409, True)
    assert enter(office, copied).page.status_code == 401
    assert "owner@example.com · owner" in enter(office, device).text


def test_nobody_removes_another_ones_passkey(office: Office, device: Device) -> None:
    browser = owner_with_passkey(office, device)
    other = office.signed_in("viewer")
    other.get("/account")
    with pytest.raises(AssertionError, match="no form"):
        other.send("/account/ways", {"remove": b64(device.id)})
    browser.get("/account")
    browser.send("/account/ways", {"remove": b64(device.id)})
    assert "The passkey was removed" in browser.text
    assert "data-passkey" not in office.browser().get("/sign-in").text


def test_a_form_on_its_way_while_a_new_link_is_made_lets_nobody_in_again(
    office: Office, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    def meanwhile(email: str, work: Any) -> Any:
        def working(*given: Any, **named: Any) -> Any:
            with writing(office.installation.engine) as session:
                reset(session, find_user(session, email), by="a test", at=office.clock.at)
            return work(*given, **named)

        return working

    owner, viewer, phone = (
        owner_with_passkey(office, device),
        office.signed_in("viewer"),
        Device(office.base, id=b"mine"),
    )
    page = owner.get("/account").text
    verify = webauthn.verify_registration_response
    monkeypatch.setattr("webauthn.verify_registration_response", meanwhile("owner@example.com", verify))
    monkeypatch.setattr("connector.access.passwords.hash_password", meanwhile("viewer@example.com", hash_password))
    owner.send("/account/passkeys", {"new_passkey": phone.make(asked(page))})
    viewer.get("/account")
    viewer.send("/account/password", {"password": PASSWORD, "again": PASSWORD})
    for browser in (owner, viewer):
        assert (browser.page.status_code, "This session is over" in browser.text) == (409, True)
    with reading(office.installation.engine) as session:
        assert session.scalars(select(Passkey)).all() == []
        assert find_user(session, "viewer@example.com").password_hash == ""


def rule_lines(office: Office) -> list[str]:
    with reading(office.installation.engine) as session:
        return [line.text for line in sync_log.entries(session) if line.kind == "passkey_rule"]


def test_an_owner_who_has_come_in_by_his_own_demands_passkeys_of_everybody_and_takes_it_back(
    office: Office, device: Device
) -> None:
    action = "/settings/users/passkeys"
    owner = office.signed_in("owner", email="ann@example.com")
    assert "You have no passkey yourself yet" in owner.get("/settings/users").text
    token = form_token(owner.http.cookies[cookie_name(office.installation)], action)
    refused = owner.post(action, {"passkeys": "demanded", "csrf": token})
    assert (refused.status_code, "You have no passkey yourself yet" in refused.text) == (409, True)
    owner, weak = owner_with_passkey(office, device), by_password(office, "owner@example.com")
    for not_yet in (owner, weak):  # added here, but never seen to let in
        assert "come in by your passkey first" in not_yet.get("/settings/users").text
    owner = enter(office, device)
    assert "come in by your passkey first" in weak.get("/settings/users").text
    office.clock.advance(minutes=31)
    owner.get("/settings/users")
    owner.send(action, {"passkeys": "demanded"})
    assert ("Is it you?" in owner.text, rule_lines(office)) == (True, [])
    owner.send(action, {"confirm_password": PASSWORD})
    assert "From now on everybody needs a passkey" in owner.text
    assert "1 of these people has none yet" in owner.text
    assert re.findall(r'label="Passkey">([^<]+)', owner.page.text) == ["not yet", "yes"]
    assert "/sign-in" in weak.get("/").url  # was in before, by a password
    assert "Everybody comes in by a passkey here" in weak.text
    assert "takes no password alone" in by_password(office, "owner@example.com").text
    assert "owner@example.com · owner" in enter(office, device).text
    assert "Your only one" in owner.get("/account").text
    token = form_token(owner.http.cookies[cookie_name(office.installation)], "/account/ways")
    kept = owner.post("/account/ways", {"remove": b64(device.id), "csrf": token})
    assert (kept.status_code, "It is your only passkey" in kept.text) == (409, True)
    owner.get("/settings/users")
    owner.send(action, {"passkeys": "choice"})
    assert "Each person chooses again" in owner.text
    assert weak.get("/").url == f"{office.base}/"
    assert rule_lines(office) == [
        "owner@example.com demands a passkey of everybody.",
        "owner@example.com leaves passkeys to each person again.",
    ]


def test_where_everybody_needs_a_passkey_the_first_thing_is_to_add_one_and_a_lost_one_begins_anew(
    office: Office, device: Device
) -> None:
    owner_with_passkey(office, device)
    second_factor.switch(office.installation, on=True, by="a test")
    with writing(office.installation.engine) as session:
        bob = add_user(session, "bob@example.com", "viewer", by="a test", at=office.clock.at)
        link = make_link(session, bob, office.clock.at)
        _row, token = api_tokens.make(session, "books", "read", companies=None, days=9, by="a test", at=office.clock.at)
    browser, phone = office.browser(), Device(office.base, id=b"the phone of Bob")
    browser.get(f"/welcome/{link}")
    browser.send(f"/welcome/{link}", {"password": PASSWORD, "again": PASSWORD})
    assert browser.page.url == f"{office.base}/account/passkeys"
    assert ("A passkey first" in browser.text, "Outbox" in browser.text) == (True, False)
    browser = by_password(office, "bob@example.com")
    assert browser.page.url == f"{office.base}/account/passkeys"
    browser.send("/account/passkeys", {"new_passkey": "nonsense"})
    assert browser.page.status_code == 409
    office.clock.advance(minutes=31)
    page = browser.get("/outbox").text
    browser.send("/account/passkeys", {"name": "Bob's phone", "new_passkey": phone.make(asked(page))})
    assert ("Is it you?" in browser.text, "Outbox" in browser.text) == (True, False)
    browser.send("/account/passkeys", {"confirm_password": PASSWORD})
    assert ("The passkey was added" in browser.text, browser.page.url.partition("?")[0]) == (True, f"{office.base}/")
    assert "bob@example.com · viewer" in browser.get("/account").text
    assert "takes no password alone" in by_password(office, "bob@example.com").text
    assert "bob@example.com · viewer" in enter(office, phone).text
    program = {"Authorization": f"Bearer {token}"}
    assert requests.get(f"{office.base}/api/v1/connections", headers=program, timeout=20).status_code == 200
    with writing(office.installation.engine) as session:
        link = reset(session, find_user(session, "bob@example.com"), by="a test", at=office.clock.at)
    assert "/sign-in" in browser.get("/").url
    browser.get(f"/welcome/{link}")
    browser.send(f"/welcome/{link}", {"password": PASSWORD, "again": PASSWORD})
    assert browser.page.url == f"{office.base}/account/passkeys"
    browser.send("/sign-out")
    assert "You are signed out" in browser.text


def test_passkeys_are_demanded_at_the_terminal_as_on_the_page(
    office: Office, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DUEWELL_HOME", str(office.installation.settings.duewell_home))
    monkeypatch.setenv("DUEWELL_BASE_URL", office.base)
    monkeypatch.setattr("getpass.getuser", lambda: "root")

    def duewell(*words: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, list(words), prog_name="duewell")
        return result.exit_code, result.output

    code, said = duewell("users", "passkeys", "on")
    assert (code, "No owner has a passkey yet" in said) == (1, True)
    owner_with_passkey(office, device)
    assert duewell("users", "passkeys") == (0, "Passkeys: each person chooses.\n")
    assert duewell("users", "passkeys", "on") == (0, "Passkeys: demanded of everybody, by root.\n")
    assert duewell("users", "passkeys", "on")[0] == 0
    assert json.loads(duewell("users", "passkeys", "--json")[1])["demanded"] is True
    assert json.loads(duewell("users", "list", "--json")[1])[0]["passkey"] is True
    monkeypatch.setenv("DUEWELL_BASE_URL", "http://192.0.2.7:8710")
    said = duewell("doctor")[1]
    assert "browsers allow none at http://192.0.2.7:8710" in said
    assert "Passkeys were made for localhost" in said
    assert duewell("users", "passkeys", "off")[0] == 0
    code, said = duewell("users", "passkeys", "on")
    assert (code, "by a name over https, or at localhost" in said) == (1, True)
    assert rule_lines(office) == [
        "root demands a passkey of everybody.",
        "root leaves passkeys to each person again.",
    ]
