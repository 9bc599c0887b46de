"""Signing in to the simulated Xero: consent, PKCE, rotation with a grace period, and the end of access."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from datetime import timedelta
from html import unescape

import pytest

from sandbox import Sandbox
from sandbox.xero import CLIENT_ID, CLIENT_SECRET, PKCE_CLIENT_ID
from tests.sandbox.xero.conftest import Client

REDIRECT = "http://localhost:8710/callback/xero"


def test_user_sees_the_organisations_and_allows_some(sandbox: Sandbox, unauthenticated_client: Client) -> None:
    page = unauthenticated_client.session.get(unauthenticated_client.authorize_url(), timeout=10)
    assert page.status_code == 200
    assert '<html lang="en">' in page.text
    action = unescape(re.findall(r'<form method="post" action="([^"]+)"', page.text)[0])
    chosen = re.findall(r'name="organisation" value="([^"]+)"', page.text)
    assert len(chosen) >= 2
    form = {"organisation": chosen, "decision": "allow"}
    reply = unauthenticated_client.session.post(
        unauthenticated_client.url + action, data=form, allow_redirects=False, timeout=10
    )
    assert reply.headers["Location"].startswith(REDIRECT + "?code=")
    assert "state=s" in reply.headers["Location"]
    assert {c.tenant_id for c in sandbox.xero.sign_in.connections.values()} == set(chosen)


def test_allowing_no_organisation_shows_the_form_again_with_an_error(unauthenticated_client: Client) -> None:
    reply = unauthenticated_client.session.post(
        unauthenticated_client.authorize_url(), data={"decision": "allow"}, allow_redirects=False, timeout=10
    )
    assert reply.status_code == 200
    assert "Choose at least one organisation." in reply.text


def test_denying_access_redirects_with_an_error(unauthenticated_client: Client) -> None:
    assert unauthenticated_client.redirected(sandbox_deny="1") == {"error": "access_denied", "state": "s"}


def test_one_consent_can_cover_several_organisations(unauthenticated_client: Client) -> None:
    unauthenticated_client.sign_in(sandbox_allow="all")
    found = unauthenticated_client.connections()
    assert len({c["tenantId"] for c in found}) == 2
    assert len({c["authEventId"] for c in found}) == 1
    claims = json.loads(base64.urlsafe_b64decode(unauthenticated_client.token["access_token"].split(".")[1] + "=="))
    assert claims["authentication_event_id"] == found[0]["authEventId"]


def test_connections_of_one_consent_share_its_event_id(unauthenticated_client: Client) -> None:
    unauthenticated_client.sign_in(sandbox_allow="all")
    first, second = unauthenticated_client.connections()
    unauthenticated_client.sign_in(sandbox_organisation=second["tenantId"])
    by_event = {c["tenantId"]: c["authEventId"] for c in unauthenticated_client.connections()}
    assert by_event[first["tenantId"]] != by_event[second["tenantId"]]
    assert unauthenticated_client.connections(authEventId=by_event[second["tenantId"]])[0]["id"] == second["id"]


@pytest.mark.parametrize(
    "wrong", [{"redirect_uri": "http://example.com/back"}, {"client_id": "somebody"}, {"response_type": "token"}]
)
def test_wrong_client_or_redirect_uri_never_redirects(unauthenticated_client: Client, wrong: dict[str, str]) -> None:
    reply = unauthenticated_client.session.get(
        unauthenticated_client.authorize_url(sandbox_allow="1", **wrong), allow_redirects=False, timeout=10
    )
    assert reply.status_code == 500


def test_registered_redirect_uris_must_match_exactly(sandbox: Sandbox, unauthenticated_client: Client) -> None:
    sandbox.xero.sign_in.redirect_uris.add(REDIRECT)
    reply = unauthenticated_client.session.get(
        unauthenticated_client.authorize_url(redirect_uri=REDIRECT + "/"), timeout=10
    )
    assert reply.status_code == 500
    assert "code" in unauthenticated_client.redirected(sandbox_allow="1")


@pytest.mark.parametrize("scope", ["", "openid accounting.transactions", "openid accounting.everything"])
def test_scope_not_available_to_new_apps_is_rejected(unauthenticated_client: Client, scope: str) -> None:
    assert unauthenticated_client.redirected(sandbox_allow="1", scope=scope)["error"] == "invalid_scope"


def test_code_works_once(unauthenticated_client: Client) -> None:
    code = unauthenticated_client.redirected(sandbox_allow="1")["code"]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT}
    assert unauthenticated_client.exchange(**form).status_code == 200
    assert unauthenticated_client.exchange(**form).json() == {"error": "invalid_grant"}


def test_code_expires_and_is_bound_to_its_redirect_uri(sandbox: Sandbox, unauthenticated_client: Client) -> None:
    code = unauthenticated_client.redirected(sandbox_allow="1")["code"]
    wrong = unauthenticated_client.exchange(
        grant_type="authorization_code", code=code, redirect_uri="http://localhost:1/other"
    )
    assert wrong.json() == {"error": "invalid_grant"}
    code = unauthenticated_client.redirected(sandbox_allow="1")["code"]
    sandbox.clock.advance(timedelta(minutes=6))
    late = unauthenticated_client.exchange(grant_type="authorization_code", code=code, redirect_uri=REDIRECT)
    assert late.json() == {"error": "invalid_grant"}


def test_wrong_secret_is_rejected(unauthenticated_client: Client) -> None:
    code = unauthenticated_client.redirected(sandbox_allow="1")["code"]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT}
    reply = unauthenticated_client.session.post(
        f"{unauthenticated_client.url}/connect/token", data=form, auth=(CLIENT_ID, "guess"), timeout=10
    )
    assert (reply.status_code, reply.json()) == (401, {"error": "invalid_client"})
    form |= {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    assert (
        unauthenticated_client.session.post(
            f"{unauthenticated_client.url}/connect/token", data=form, timeout=10
        ).status_code
        == 200
    )


@pytest.mark.parametrize(("sent", "status"), [("v" * 50, 200), ("w" * 50, 400), ("", 400)])
def test_app_without_a_secret_authenticates_with_its_verifier(
    unauthenticated_client: Client, sent: str, status: int
) -> None:
    challenge = base64.urlsafe_b64encode(hashlib.sha256(b"v" * 50).digest()).rstrip(b"=").decode()
    asked = {"client_id": PKCE_CLIENT_ID, "code_challenge": challenge, "code_challenge_method": "S256"}
    code = unauthenticated_client.redirected(sandbox_allow="1", **asked)["code"]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT, "client_id": PKCE_CLIENT_ID}
    form |= {"code_verifier": sent}
    reply = unauthenticated_client.session.post(f"{unauthenticated_client.url}/connect/token", data=form, timeout=10)
    assert reply.status_code == status
    if status == 200:
        form = {"grant_type": "refresh_token", "client_id": PKCE_CLIENT_ID}
        form["refresh_token"] = reply.json()["refresh_token"]
        assert (
            unauthenticated_client.session.post(
                f"{unauthenticated_client.url}/connect/token", data=form, timeout=10
            ).status_code
            == 200
        )


def test_app_without_a_secret_must_send_a_challenge(unauthenticated_client: Client) -> None:
    assert unauthenticated_client.redirected(sandbox_allow="1", client_id=PKCE_CLIENT_ID)["error"] == "invalid_request"


def test_access_token_expires_after_half_an_hour(sandbox: Sandbox, client: Client) -> None:
    sandbox.clock.advance(timedelta(minutes=29, seconds=59))
    assert client.get("Organisation").status_code == 200
    sandbox.clock.advance(timedelta(seconds=1))
    reply = client.get("Organisation")
    assert reply.status_code == 401
    assert "TokenExpired" in reply.json()["Detail"]


def test_every_refresh_returns_a_new_refresh_token(client: Client) -> None:
    first = client.token["refresh_token"]
    reply = client.refresh(first).json()
    assert reply["refresh_token"] != first
    client.use(reply)
    assert client.get("Organisation").status_code == 200


def test_old_refresh_token_can_be_retried_for_half_an_hour(sandbox: Sandbox, client: Client) -> None:
    first = client.token["refresh_token"]
    client.refresh(first)
    sandbox.clock.advance(timedelta(minutes=30))
    assert client.refresh(first).status_code == 200
    sandbox.clock.advance(timedelta(seconds=1))
    reply = client.refresh(first)
    assert (reply.status_code, reply.json()) == (400, {"error": "invalid_grant"})


def test_refresh_token_unused_for_sixty_days_expires(sandbox: Sandbox, client: Client) -> None:
    sandbox.clock.advance(timedelta(days=60, seconds=1))
    assert client.refresh(client.token["refresh_token"]).json() == {"error": "invalid_grant"}


def test_without_offline_access_there_is_no_refresh_token(unauthenticated_client: Client) -> None:
    unauthenticated_client.sign_in(scope="openid accounting.settings.read")
    assert "refresh_token" not in unauthenticated_client.token


def test_refresh_cannot_extend_the_scopes(client: Client) -> None:
    form = {"grant_type": "refresh_token", "refresh_token": client.token["refresh_token"]}
    assert client.exchange(**form, scope="accounting.manualjournals").json() == {"error": "invalid_scope"}


def test_call_outside_the_scopes_is_rejected(unauthenticated_client: Client) -> None:
    unauthenticated_client.sign_in(scope="openid accounting.invoices.read")
    assert unauthenticated_client.get("Invoices", page=1).status_code == 200
    refused = unauthenticated_client.put("Invoices", {"Invoices": [{}]})
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"] == "insufficient_scope"
    assert unauthenticated_client.get("Contacts").status_code == 401


def test_disconnected_organisation_is_forbidden_and_the_other_still_works(unauthenticated_client: Client) -> None:
    unauthenticated_client.sign_in(sandbox_allow="all")
    first, second = unauthenticated_client.connections()
    assert (
        unauthenticated_client.session.delete(
            f"{unauthenticated_client.url}/connections/{first['id']}", timeout=10
        ).status_code
        == 204
    )
    assert (
        unauthenticated_client.session.delete(
            f"{unauthenticated_client.url}/connections/{first['id']}", timeout=10
        ).status_code
        == 404
    )
    forbidden = unauthenticated_client.get("Organisation")
    assert (forbidden.status_code, forbidden.json()["detail"]) == (403, "AuthenticationUnsuccessful")
    unauthenticated_client.session.headers["xero-tenant-id"] = second["tenantId"]
    assert unauthenticated_client.get("Organisation").status_code == 200


def test_user_can_revoke_access(sandbox: Sandbox, client: Client) -> None:
    sandbox.xero.disconnect()
    assert client.get("Organisation").status_code == 403


def test_revocation_ends_all_tokens(client: Client) -> None:
    form = {"token": client.token["refresh_token"]}
    auth = (CLIENT_ID, CLIENT_SECRET)
    assert client.session.post(f"{client.url}/connect/revocation", data=form, auth=auth, timeout=10).status_code == 200
    assert client.get("Organisation").status_code == 401
    assert client.refresh(client.token["refresh_token"]).json() == {"error": "invalid_grant"}


@pytest.mark.parametrize("tenant", ["", "00000000-0000-0000-0000-000000000000"])
def test_organisation_must_be_named(client: Client, tenant: str) -> None:
    client.session.headers["xero-tenant-id"] = tenant
    assert client.get("Organisation").status_code == 403
