"""Single sign-on, with a small identity provider that responds as real ones do, or as they must not."""

from __future__ import annotations

import hmac
import json
import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from html import unescape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from joserfc import jwt
from joserfc.jwk import RSAKey

from connector.auth import passkey_requirement
from connector.auth.oidc_discovery import OidcError, discover
from connector.auth.passwords import hash_password
from connector.auth.sign_in import reset
from connector.auth.users import find_user
from connector.db.engine import reading, writing
from connector.db.tables import Passkey
from connector.settings import load_settings
from connector.web.sso import CALLS_MAX, identity_provider_turn
from tests.connector.authenticator import b64

Site = Any
CLIENT = "duewell-of-the-tests"


@dataclass
class IdentityProvider:
    """An OpenID Connect provider whose claims and signatures a test can change."""

    url: str = ""
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "1"}))
    claims: dict[str, Any] = field(default_factory=dict)
    nonce: str = ""
    token_request: dict[str, list[str]] = field(default_factory=dict)
    issuer: str = ""
    id_token: str = ""
    published: dict[str, Any] = field(default_factory=dict)
    jwks: Any = None

    def respond(self, path: str) -> Any:
        if path.startswith("/.well-known/"):
            own = {name: f"{self.url}/{name}" for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")}
            return {"issuer": self.issuer or self.url, **own, **self.published}
        if path == "/jwks_uri" and self.jwks is not None:
            return self.jwks
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
def running_idp() -> Iterator[IdentityProvider]:
    idp = IdentityProvider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(idp.respond(self.path)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            idp.token_request = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        idp.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield idp
        server.shutdown()


@pytest.fixture
def idp(running_idp: IdentityProvider) -> IdentityProvider:
    running_idp.claims, running_idp.nonce, running_idp.issuer, running_idp.id_token = {}, "", "", ""
    running_idp.published, running_idp.jwks = {}, None
    return running_idp


@pytest.fixture
def settings(idp: IdentityProvider) -> dict[str, Any]:
    return {"oidc_issuer": idp.url, "oidc_client_id": CLIENT, "oidc_client_secret": "s3cret"}


def start_sign_in(site: Site, idp: IdentityProvider, browser: Any, next_path: str = "/account") -> dict[str, str]:
    """Start signing in; returns the authorisation request."""
    return read_authorize_request(
        idp, browser.get(f"/sign-in/sso?next={next_path}", allow_redirects=False).headers["location"]
    )


def start_linking(idp: IdentityProvider, browser: Any) -> dict[str, str]:
    """Start linking from the account page; returns the authorisation request."""
    browser.get("/account")
    browser.submit("/account/sso")
    return follow_continue_link(idp, browser)


def follow_continue_link(idp: IdentityProvider, browser: Any) -> dict[str, str]:
    return read_authorize_request(idp, unescape(re.findall(r'href="([^"]+)" rel="noreferrer"', browser.page.text)[0]))


def read_authorize_request(idp: IdentityProvider, url: str) -> dict[str, str]:
    assert url.startswith(f"{idp.url}/authorization_endpoint?")
    asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    idp.nonce = idp.nonce or asked["nonce"]
    return asked


def return_from_idp(browser: Any, authorize_request: dict[str, str], **changed: str) -> Any:
    answer = {"code": "c0de", "state": authorize_request["state"], **changed}
    return browser.get("/sign-in/sso/callback?" + "&".join(f"{name}={value}" for name, value in answer.items()))


def test_known_users_sign_in_with_pkce(site: Site, idp: IdentityProvider) -> None:
    site.add_user("bookkeeper")
    browser = site.browser()
    assert "Sign in with 127.0.0.1" in browser.get("/sign-in").text
    asked = start_sign_in(site, idp, browser)
    assert asked["redirect_uri"] == f"{site.base}/sign-in/sso/callback"
    assert asked["code_challenge_method"] == "S256"
    assert return_from_idp(browser, asked).url == f"{site.base}/account"
    assert len(idp.token_request["code_verifier"][0]) >= 43
    assert "bookkeeper@example.com · Bookkeeper" in browser.text
    idp.nonce, idp.claims = "", {"email": "somebody.else@example.com"}
    again = site.browser()
    assert (
        return_from_idp(again, start_sign_in(site, idp, again)).status_code == 200
    )  # known by the service's own name now


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
        {"nonce": None},
        {"azp": "another-app"},
        {"nbf": 1781092800},
        {"iat": 1781092800},
        {"exp": None},
        {"aud": []},
        {"sub": ""},
        {"email_verified": "true"},
        {"email": ["bookkeeper@example.com"]},
        {"email": "bookkeeper@example.com\x00"},
    ],
)
def test_invalid_claims_do_not_sign_in(site: Site, idp: IdentityProvider, claims: dict[str, Any]) -> None:
    site.add_user("bookkeeper")
    browser, idp.claims = site.browser(), claims
    assert return_from_idp(browser, start_sign_in(site, idp, browser)).status_code == 401
    assert "/sign-in" in browser.get("/").url


def test_tokens_not_signed_by_the_identity_provider_do_not_sign_in(site: Site, idp: IdentityProvider) -> None:
    site.add_user("bookkeeper")
    browser = site.browser()
    asked = start_sign_in(site, idp, browser)
    claims = {"iss": idp.url, "aud": CLIENT, "sub": "1", "nonce": asked["nonce"], "exp": 1781089800,
              "email": "bookkeeper@example.com", "email_verified": True}  # fmt: skip
    forged = RSAKey.generate_key(2048, {"kid": "1"})
    idp.id_token = jwt.encode({"alg": "RS256", "kid": "1"}, claims, forged)
    assert return_from_idp(browser, asked).status_code == 401
    idp.id_token = "eyJhbGciOiJub25lIn0." + idp.id_token.split(".")[1] + "."
    assert return_from_idp(browser, start_sign_in(site, idp, browser)).status_code == 401


def test_tokens_that_bring_their_own_key_or_algorithm_do_not_sign_in(site: Site, idp: IdentityProvider) -> None:
    site.add_user("bookkeeper")
    browser = site.browser()
    forged = RSAKey.generate_key(2048, {"kid": "1"})
    own_key = {"jwk": forged.as_dict(private=False)}
    secrets = {"the client's secret": b"s3cret", "the public key": idp.key.as_pem(private=False), "nothing": b""}
    headers = [{"alg": "RS256", "kid": "1", **more} for more in (own_key, {"jku": f"{idp.url}/mine"}, {"crit": ["x"]})]
    for number, (header, secret) in enumerate(
        [({"alg": alg, "kid": "1"}, each) for alg in ("HS256", "NONE", "") for each in secrets.values()]
        + [(header, None) for header in headers]
    ):
        asked = start_sign_in(site, idp, browser)
        claims = {"iss": idp.url, "aud": CLIENT, "sub": str(number), "nonce": asked["nonce"], "exp": 1781089800,
                  "email": "bookkeeper@example.com", "email_verified": True}  # fmt: skip
        signed = f"{_segment(header)}.{_segment(claims)}"
        if secret is not None:
            mac = hmac.digest(secret, signed.encode(), "sha256")
        else:
            key = idp.key if "crit" in header else forged
            assert key.private_key is not None
            mac = key.private_key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        idp.id_token = f"{signed}.{b64(mac)}"
        assert return_from_idp(browser, asked).status_code == 401, header


def _segment(value: dict[str, Any]) -> str:
    return b64(json.dumps(value).encode())


ODD_KEYS = [{}, [], "keys", {"keys": {}}, {"keys": []}, {"keys": [5]}, {"keys": [{"kty": "RSA"}]}, {"keys": [{}] * 101}]


def test_odd_keys_and_tokens_of_the_identity_provider_are_a_message_and_no_error(
    site: Site, idp: IdentityProvider
) -> None:
    site.add_user("bookkeeper")
    odd: list[dict[str, Any]] = [{"jwks": keys} for keys in ODD_KEYS] + [
        {"id_token": text} for text in ("a.b.c", "..", "5", "é")
    ]
    browser = site.browser()
    for each in odd:
        idp.nonce, idp.jwks, idp.id_token = "", each.get("jwks"), each.get("id_token", "")
        answer = return_from_idp(browser, start_sign_in(site, idp, browser))
        assert (answer.status_code, "single sign-on" in answer.text.lower()) == (401, True), each


ELSEWHERE = [
    "http://127.0.0.1:1/token", "https://127.0.0.1/token", "https://evil.example/token", "javascript:alert(1)", "//x/y",
    "https://named.example:8443/token", "http://named.example/token", "https://named.example@evil.example/", "https://[",
    "https://named.example\\.evil.example/", "https://below.named.example/token", "",
]  # fmt: skip


@pytest.mark.parametrize(("acr", "status"), [("mfa", 200), ("password", 401), (None, 401)])
def test_a_demanded_kind_of_sign_in_is_asked_for_and_checked(
    site: Site, idp: IdentityProvider, acr: str | None, status: int
) -> None:
    site.add_user("bookkeeper")
    object.__setattr__(site.app, "settings", site.app.settings.model_copy(update={"oidc_acr_values": "mfa phr"}))
    browser = site.browser()
    asked = start_sign_in(site, idp, browser)
    assert asked["acr_values"] == "mfa phr"
    idp.claims = {"acr": acr} if acr else {}
    assert return_from_idp(browser, asked).status_code == status


def test_endpoints_stay_at_the_issuer_or_at_hosts_that_were_named(idp: IdentityProvider) -> None:
    trusting = load_settings(
        oidc_issuer=idp.url, oidc_client_id=CLIENT, oidc_hosts="named.example, Other.Example", duewell_home="/nowhere"
    )
    names = ("authorization_endpoint", "token_endpoint", "jwks_uri")
    for name in names:
        for url in ELSEWHERE:
            idp.published = {name: url}
            with pytest.raises(OidcError, match=f"has its {name} at|does not publish"):
                discover(trusting)
    idp.published = dict.fromkeys(names, "https://named.example/x") | {"token_endpoint": "https://other.example/x"}
    assert discover(trusting).token_endpoint == "https://other.example/x"
    with pytest.raises(OidcError, match=r"other\.example, another host than OIDC_ISSUER's.*OIDC_HOSTS"):
        discover(trusting.model_copy(update={"oidc_hosts": "named.example"}))


def test_a_callback_is_valid_only_in_the_browser_that_started_the_sign_in(site: Site, idp: IdentityProvider) -> None:
    site.add_user("bookkeeper")
    browser = site.browser()
    asked = start_sign_in(site, idp, browser)
    assert return_from_idp(site.browser(), asked).status_code == 401
    assert return_from_idp(browser, asked, iss="https://evil.example").status_code == 401
    assert return_from_idp(browser, start_sign_in(site, idp, browser), state="another").status_code == 401
    assert return_from_idp(browser, start_sign_in(site, idp, browser), error="access_denied").status_code == 401
    asked = start_sign_in(site, idp, browser)
    site.clock.advance(minutes=11)
    assert return_from_idp(browser, asked).status_code == 401
    idp.issuer = "https://evil.example"
    assert site.browser().get("/sign-in/sso").status_code == 401


def test_a_callback_is_valid_once_even_where_the_service_takes_its_code_again(
    site: Site, idp: IdentityProvider
) -> None:
    site.add_user("bookkeeper")
    browser, thief = site.browser(), site.browser()
    asked = start_sign_in(site, idp, browser)
    thief.http.cookies.update(browser.http.cookies)
    assert return_from_idp(browser, asked).url == f"{site.base}/account"
    assert return_from_idp(thief, asked).status_code == 401
    assert "used already" in thief.text


def test_with_required_passkeys_sso_signs_in_but_a_password_cannot_link_accounts(
    site: Site, idp: IdentityProvider
) -> None:
    by_password = site.sign_in("bookkeeper")
    owner = site.add_user("owner")
    with writing(site.app.engine) as session:
        find_user(session, "bookkeeper@example.com").password_hash = hash_password("correct horse battery staple")
        key = Passkey(id="x", user_id=find_user(session, owner).id or 0, public_key=b"", created_at=site.clock.at)
        session.add(key)
    passkey_requirement.set_required(site.app, required=True, by="a test")
    assert by_password.get("/").url == f"{site.base}/account/passkeys"
    assert "Sign in with 127.0.0.1" in by_password.text
    idp.claims = {"email": "somebody.else@example.com"}
    assert return_from_idp(by_password, start_sign_in(site, idp, by_password)).status_code == 401
    with reading(site.app.engine) as session:
        assert find_user(session, "bookkeeper@example.com").oidc_subject == ""
    idp.claims, idp.nonce = {}, ""
    assert return_from_idp(by_password, start_sign_in(site, idp, by_password)).url == f"{site.base}/account"
    site.clock.advance(minutes=31)
    by_password.get("/account")
    by_password.submit("/account/sessions")
    by_password.submit("/account/sessions", {"confirm_password": "correct horse battery staple"})
    assert "You have been signed out in all other browsers" in by_password.text


def test_disabled_users_cannot_sign_in_and_unverified_addresses_can_be_linked(
    site: Site, idp: IdentityProvider
) -> None:
    browser = site.sign_in("bookkeeper")
    idp.claims = {"email_verified": None, "email": "other@example.com"}
    assert return_from_idp(browser, start_linking(idp, browser)).url.endswith("/account")
    assert "Your account is linked to" in browser.text
    with reading(site.app.engine) as session:
        assert find_user(session, "bookkeeper@example.com").oidc_subject == f"{idp.url}|77"
    idp.nonce = ""
    viewer = site.sign_in("viewer")
    assert return_from_idp(viewer, start_linking(idp, viewer)).status_code == 401
    with writing(site.app.engine) as session:
        find_user(session, "bookkeeper@example.com").disabled_at = site.clock.at
    idp.nonce = ""
    stranger = site.browser()
    assert return_from_idp(stranger, start_sign_in(site, idp, stranger)).status_code == 401


def test_an_idle_browser_cannot_link_accounts_and_a_reset_unlinks(site: Site, idp: IdentityProvider) -> None:
    browser, password = site.sign_in("bookkeeper"), "correct horse battery staple"  # gitleaks:allow
    with writing(site.app.engine) as session:
        find_user(session, "bookkeeper@example.com").password_hash = hash_password(password)
    site.clock.advance(minutes=31)
    assert browser.get("/sign-in/sso", allow_redirects=False).headers["location"] == "/"
    browser.get("/account")
    browser.submit("/account/sso")
    assert "Confirm your identity" in browser.text
    browser.submit("/account/sso", {"confirm_password": password})
    idp.claims = {"email": "somebody.else@example.com", "exp": 1781094000}
    assert return_from_idp(browser, follow_continue_link(idp, browser)).url.endswith("/account")
    assert "Your account is linked to" in browser.text
    idp.nonce, stranger = "", site.browser()
    assert return_from_idp(stranger, start_sign_in(site, idp, stranger)).url == f"{site.base}/account"
    with writing(site.app.engine) as session:
        reset(session, find_user(session, "bookkeeper@example.com"), by="a test", at=site.clock.at)
    idp.nonce = ""
    assert return_from_idp(stranger, start_sign_in(site, idp, stranger)).status_code == 401


def test_strangers_who_start_many_sign_ins_take_only_a_few_threads(site: Site) -> None:
    with ExitStack() as taken:
        for _ in range(CALLS_MAX):
            taken.enter_context(identity_provider_turn())
        for path in ("/sign-in/sso", "/sign-in/sso/callback?code=1&state=2"):
            assert requests.get(site.base + path, timeout=20).status_code == 503
    assert requests.get(site.base + "/sign-in/sso/callback?code=1&state=2", timeout=20).status_code == 401
