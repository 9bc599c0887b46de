"""Intuit's sign-in as simulated by the sandbox, driven by Authlib: consent, rotation, end of a grant."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import requests
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session

from sandbox.server import Sandbox
from tests.sandbox.quickbooks.conftest import Api

REDIRECT = "http://localhost:8710/callback/quickbooks"


@pytest.fixture
def session(sandbox: Sandbox, url: str) -> OAuth2Session:
    env = sandbox.settings(url)
    client = (env["QUICKBOOKS_CLIENT_ID"], env["QUICKBOOKS_CLIENT_SECRET"])
    scope = "com.intuit.quickbooks.accounting openid"
    return OAuth2Session(*client, scope=scope, redirect_uri=REDIRECT, token_endpoint_auth_method="client_secret_basic")


@pytest.fixture
def signed_in(sandbox: Sandbox, url: str, session: OAuth2Session) -> OAuth2Session:
    found = requests.get(sandbox.settings(url)["QUICKBOOKS_DISCOVERY_URL"], timeout=10).json()
    assert all(found[name].startswith(url) for name in found if name.endswith("_endpoint"))
    asked, state = session.create_authorization_url(found["authorization_endpoint"])
    sent = requests.get(f"{asked}&sandbox_allow=1", allow_redirects=False, timeout=10).headers["Location"]
    session.fetch_token(found["token_endpoint"], authorization_response=sent, state=state)
    session.metadata["token_endpoint"] = found["token_endpoint"]
    return session


def _refresh(session: OAuth2Session, token: str) -> dict[str, Any]:
    return dict(session.refresh_token(session.metadata["token_endpoint"], refresh_token=token))


def test_user_sees_the_company_and_confirms(sandbox: Sandbox, url: str, session: OAuth2Session) -> None:
    asked, _ = session.create_authorization_url(f"{url}/connect/oauth2")
    page = requests.get(asked, timeout=10)
    assert "Larkspur Field Services LLC" in page.text
    form = {"decision": "allow", "organisation": "9341450000000001"}
    sent = requests.post(asked, data=form, allow_redirects=False, timeout=10).headers["Location"]
    assert sent.startswith(REDIRECT)
    assert "realmId=9341450000000001" in sent
    refused = requests.post(asked, data={"decision": "deny"}, allow_redirects=False, timeout=10).headers["Location"]
    assert "error=access_denied" in refused


def test_authlib_gets_a_token_that_gives_access(signed_in: OAuth2Session, url: str) -> None:
    reply = signed_in.get(f"{url}/v3/company/9341450000000001/companyinfo/9341450000000001")
    assert reply.json()["CompanyInfo"]["CompanyName"] == "Larkspur Field Services LLC"
    assert signed_in.token["expires_in"] == 3600
    assert signed_in.token["x_refresh_token_expires_in"] == 8726400
    assert signed_in.get(f"{url}/v1/openid_connect/userinfo").json()["sub"]


def test_refresh_token_changes_after_a_day_and_the_old_one_is_valid_for_another_day(
    sandbox: Sandbox, signed_in: OAuth2Session
) -> None:
    first = signed_in.token["refresh_token"]
    sandbox.clock.advance(timedelta(hours=23))
    assert _refresh(signed_in, first)["refresh_token"] == first
    sandbox.clock.advance(timedelta(hours=2))
    second = _refresh(signed_in, first)["refresh_token"]
    assert second != first
    sandbox.clock.advance(timedelta(hours=23))
    assert _refresh(signed_in, first)["refresh_token"] == second
    sandbox.clock.advance(timedelta(hours=2))
    with pytest.raises(OAuthError, match="invalid_grant"):
        _refresh(signed_in, first)
    assert _refresh(signed_in, second)["access_token"]


def test_grant_ends_after_a_hundred_days_without_use(sandbox: Sandbox, signed_in: OAuth2Session) -> None:
    sandbox.clock.advance(timedelta(days=102))
    with pytest.raises(OAuthError, match="invalid_grant"):
        _refresh(signed_in, signed_in.token["refresh_token"])


def test_hard_expiry_is_returned_on_request(sandbox: Sandbox, signed_in: OAuth2Session, url: str) -> None:
    env = sandbox.settings(url)
    form = {"grant_type": "refresh_token", "refresh_token": signed_in.token["refresh_token"]}
    client = (env["QUICKBOOKS_CLIENT_ID"], env["QUICKBOOKS_CLIENT_SECRET"])
    headers = {"x-include-refresh-token-hard-expires-in": "true"}
    told = requests.post(f"{url}/oauth2/v1/tokens/bearer", data=form, auth=client, headers=headers, timeout=10).json()
    assert told["x_refresh_token_hard_expires_in"] == 5 * 365 * 86400
    plain = requests.post(f"{url}/oauth2/v1/tokens/bearer", data=form, auth=client, timeout=10).json()
    assert "x_refresh_token_hard_expires_in" not in plain


def test_code_works_once_and_only_for_its_redirect(sandbox: Sandbox, url: str) -> None:
    env = sandbox.settings(url)
    client = (env["QUICKBOOKS_CLIENT_ID"], env["QUICKBOOKS_CLIENT_SECRET"])
    scopes = ["com.intuit.quickbooks.accounting"]

    def exchange(code: str, redirect: str) -> str:
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect}
        reply = requests.post(f"{url}/oauth2/v1/tokens/bearer", data=form, auth=client, timeout=10)
        return str(reply.json().get("error", ""))

    def code() -> str:
        return sandbox.quickbooks.sign_in.approve_consent("9341450000000001", REDIRECT, "s", scopes).split("code=")[1][
            :36
        ]

    once = code()
    assert exchange(once, REDIRECT) == ""
    assert exchange(once, REDIRECT) == "invalid_grant"
    assert exchange(code(), "http://elsewhere.example/") == "invalid_grant"
    late = code()
    sandbox.clock.advance(timedelta(minutes=11))
    assert exchange(late, REDIRECT) == "invalid_grant"


def test_wrong_secret_is_rejected_in_header_and_form(url: str) -> None:
    form = {"grant_type": "refresh_token", "refresh_token": "x"}
    endpoint = f"{url}/oauth2/v1/tokens/bearer"
    assert requests.post(endpoint, data=form, auth=("a", "b"), timeout=10).json() == {"error": "invalid_client"}
    named = {**form, "client_id": "a", "client_secret": "b"}
    assert requests.post(endpoint, data=named, timeout=10).status_code == 401


def test_revocation_takes_json_and_ends_the_grant(sandbox: Sandbox, signed_in: OAuth2Session, url: str) -> None:
    env = sandbox.settings(url)
    client = (env["QUICKBOOKS_CLIENT_ID"], env["QUICKBOOKS_CLIENT_SECRET"])
    token = signed_in.token["refresh_token"]
    endpoint = f"{url}/v2/oauth2/tokens/revoke"
    assert requests.post(endpoint, data={"token": token}, auth=client, timeout=10).status_code == 400
    assert requests.post(endpoint, json={"token": token}, auth=client, timeout=10).status_code == 200
    assert requests.post(endpoint, json={"token": token}, auth=client, timeout=10).status_code == 400
    with pytest.raises(OAuthError, match="invalid_grant"):
        _refresh(signed_in, token)


def test_expired_token_gets_the_gateways_lower_case_fault(sandbox: Sandbox, api: Api) -> None:
    sandbox.clock.advance(timedelta(hours=1))
    reply = api.call("GET", "companyinfo/1")
    assert reply.status_code == 401
    assert reply.json()["fault"]["error"][0]["code"] == "3200"
    assert reply.headers["intuit_tid"]


def test_token_of_another_company_gets_3100(sandbox: Sandbox, api: Api) -> None:
    api.realm = sandbox.quickbooks.add_company("Another")
    reply = api.call("GET", "companyinfo/1")
    assert reply.status_code == 403
    assert reply.json()["fault"]["error"][0]["code"] == "3100"


def test_token_without_the_accounting_scope_gets_3100(sign_in: Callable[..., Any]) -> None:
    assert sign_in(scope="openid profile").call("GET", "companyinfo/1").status_code == 403


def test_disconnecting_ends_only_the_tokens_of_that_company(sandbox: Sandbox, sign_in: Callable[..., Any]) -> None:
    other = sign_in(sandbox.quickbooks.add_company("Another"))
    first = sign_in()
    sandbox.quickbooks.disconnect()
    assert first.call("GET", "companyinfo/1").status_code == 401
    assert other.call("GET", "companyinfo/1").status_code == 200
