"""Sign-in at Xero: consent, organisations, refresh with its grace period, revocation."""

from __future__ import annotations

import base64
import hashlib
import json
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import responses

import providers
from providers.errors import AuthorizationExpired, PermanentError, RateLimited, TransientError
from providers.ledger import CompanyRef
from providers.sign_in import ConsentRequest
from providers.xero import PROVIDER
from tests.providers.xero.conftest import CallRecorder

REDIRECT_URI = "http://localhost:8710/callback/xero"
TOKEN_URL = "https://identity.xero.com/connect/token"
CONNECTIONS = "https://api.xero.com/connections"
OLD_TOKEN = {"access_token": "old-access", "refresh_token": "old-refresh", "id_token": "kept"}


def settings(**changed: str) -> SimpleNamespace:
    given = {
        "xero_client_id": "app",
        "xero_client_secret": "hush",
        "xero_scopes": "openid accounting.invoices offline_access",
        "xero_login_url": "https://login.xero.com",
        "xero_identity_url": "https://identity.xero.com",
        "xero_api_url": "https://api.xero.com",
    }
    return SimpleNamespace(**{**given, **changed})


def jwt(**claims: Any) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"head.{body}.signature"


ACCESS = jwt(xero_userid="user-1", authentication_event_id="event-1")


def token_pair(number: int = 1) -> dict[str, Any]:
    return {
        "access_token": ACCESS,
        "refresh_token": f"refresh-{number}",
        "expires_in": 1800,
        "token_type": "Bearer",
    }


def tenant(number: int, kind: str = "ORGANISATION") -> dict[str, str]:
    return {
        "id": f"connection-{number}",
        "tenantId": f"tenant-{number}",
        "tenantType": kind,
        "tenantName": f"Company {number}",
    }


def form(request: requests.PreparedRequest) -> dict[str, str]:
    body = request.body.decode() if isinstance(request.body, bytes) else str(request.body)
    return {name: values[0] for name, values in parse_qs(body).items()}


def finish(calls: CallRecorder, **changed: str) -> Any:
    begun = ConsentRequest("https://login.xero.com/", "state-1", "verifier-1")
    return PROVIDER.finish_consent(
        settings(**changed), REDIRECT_URI, f"{REDIRECT_URI}?code=abc&state=state-1", begun, calls
    )


def test_provider_is_found_by_its_folder() -> None:
    assert providers.get_ledger_provider("xero") is PROVIDER
    assert "xero" in providers.list_ledger_names()
    with pytest.raises(LookupError, match="xero"):
        providers.get_ledger_provider("sage")


def test_only_the_client_id_is_required() -> None:
    assert PROVIDER.missing_settings(settings(xero_client_secret="")) == []
    assert PROVIDER.missing_settings(settings(xero_client_id="")) == ["XERO_CLIENT_ID"]


def test_consent_url_contains_state_and_pkce_challenge() -> None:
    begun, other = (PROVIDER.begin_consent(settings(), REDIRECT_URI) for _ in range(2))
    url = urlsplit(begun.url)
    query = {name: values[0] for name, values in parse_qs(url.query).items()}
    assert f"{url.scheme}://{url.netloc}{url.path}" == "https://login.xero.com/identity/connect/authorize"
    challenge = base64.urlsafe_b64encode(hashlib.sha256(begun.code_verifier.encode()).digest()).decode().rstrip("=")
    assert query == {
        "response_type": "code",
        "client_id": "app",
        "redirect_uri": REDIRECT_URI,
        "scope": "openid accounting.invoices offline_access",
        "state": begun.state,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    assert 43 <= len(begun.code_verifier) <= 128
    assert begun.state != other.state
    assert begun.code_verifier != other.code_verifier


def test_granular_scopes_are_requested_by_default() -> None:
    url = PROVIDER.begin_consent(settings(xero_scopes=""), REDIRECT_URI).url
    scopes = parse_qs(urlsplit(url).query)["scope"][0].split()
    assert {"offline_access", "accounting.invoices", "accounting.payments.read"} <= set(scopes)
    assert "accounting.transactions" not in scopes


@responses.activate
def test_one_consent_connects_several_organisations(calls: CallRecorder) -> None:
    responses.post(TOKEN_URL, json=token_pair())
    found = [tenant(1), tenant(2), tenant(3, "PRACTICE")]
    responses.get(CONNECTIONS, json=found, match=[responses.matchers.query_param_matcher({"authEventId": "event-1"})])
    consent = finish(calls)
    assert consent.companies == (
        CompanyRef("tenant-1", "Company 1", "connection-1"),
        CompanyRef("tenant-2", "Company 2", "connection-2"),
    )
    assert consent.subject == "user-1"
    assert (consent.token["refresh_token"], consent.token["expires_at"] > 0) == ("refresh-1", True)
    asked = form(responses.calls[0].request)
    assert (asked["code"], asked["code_verifier"], asked["redirect_uri"]) == ("abc", "verifier-1", REDIRECT_URI)
    assert responses.calls[0].request.headers["Authorization"].startswith("Basic ")
    assert responses.calls[1].request.headers["Authorization"] == f"Bearer {ACCESS}"
    assert calls.kinds == ["token", "read"]


@responses.activate
def test_consent_that_added_no_organisation_lists_all_of_them(calls: CallRecorder) -> None:
    responses.post(TOKEN_URL, json=token_pair())
    responses.get(CONNECTIONS, json=[], match=[responses.matchers.query_param_matcher({"authEventId": "event-1"})])
    responses.get(CONNECTIONS, json=[tenant(1)], match=[responses.matchers.query_param_matcher({})])
    assert [one.external_id for one in finish(calls).companies] == ["tenant-1"]


@responses.activate
def test_without_a_secret_pkce_alone_authenticates(calls: CallRecorder) -> None:
    responses.post(TOKEN_URL, json=token_pair())
    responses.get(CONNECTIONS, json=[tenant(1)])
    finish(calls, xero_client_secret="")
    request = responses.calls[0].request
    assert "Authorization" not in request.headers
    assert form(request)["client_id"] == "app"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("code=abc&state=other", "does not belong"),
        ("code=abc", "does not belong"),
        ("error=access_denied&state=state-1", "was denied"),
        ("error=invalid_scope&state=state-1", "invalid_scope"),
        ("state=state-1", "no code"),
    ],
)
@responses.activate
def test_invalid_redirect_is_rejected_before_anything_is_sent(calls: CallRecorder, query: str, words: str) -> None:
    begun = ConsentRequest("", "state-1", "verifier-1")
    with pytest.raises(PermanentError, match=words):
        PROVIDER.finish_consent(settings(), REDIRECT_URI, f"{REDIRECT_URI}?{query}", begun, calls)
    assert len(responses.calls) == 0


@responses.activate
def test_rejected_code_is_reported_with_the_reason(calls: CallRecorder) -> None:
    responses.post(TOKEN_URL, json={"error": "invalid_grant"}, status=400)
    with pytest.raises(PermanentError, match="invalid_grant"):
        finish(calls)


@responses.activate
@pytest.mark.parametrize("scopes", ["openid", "openid accounting.invoices accounting.contacts"])
def test_refresh_keeps_fields_xero_does_not_repeat_and_requests_no_scope(calls: CallRecorder, scopes: str) -> None:
    responses.post(TOKEN_URL, json=token_pair(2))
    fresh = PROVIDER.refresh(settings(xero_scopes=scopes), OLD_TOKEN, calls)
    assert (fresh["refresh_token"], fresh["access_token"], fresh["id_token"]) == ("refresh-2", ACCESS, "kept")
    assert form(responses.calls[0].request) == {"grant_type": "refresh_token", "refresh_token": "old-refresh"}
    assert calls.kinds == ["token"]


@responses.activate
def test_refresh_without_a_secret_sends_the_client_id(calls: CallRecorder) -> None:
    responses.post(TOKEN_URL, json=token_pair(2))
    PROVIDER.refresh(settings(xero_client_secret=""), OLD_TOKEN, calls)
    assert form(responses.calls[0].request)["client_id"] == "app"


LOST_REPLIES: list[dict[str, Any]] = [
    {"body": requests.ConnectionError("reset")},
    {"status": 503, "body": "<html>"},
    {"status": 200, "body": "<html>"},
    {"status": 200, "json": {}},
]


@responses.activate
@pytest.mark.parametrize("lost", LOST_REPLIES)
def test_refresh_with_a_lost_response_is_repeated_at_once_with_the_old_token(
    calls: CallRecorder, lost: dict[str, Any]
) -> None:
    responses.post(TOKEN_URL, **lost)
    responses.post(TOKEN_URL, json=token_pair(2))
    assert PROVIDER.refresh(settings(), OLD_TOKEN, calls)["refresh_token"] == "refresh-2"
    assert [form(call.request)["refresh_token"] for call in responses.calls] == ["old-refresh", "old-refresh"]


@responses.activate
@pytest.mark.parametrize("lost", LOST_REPLIES)
def test_refresh_with_two_lost_responses_is_tried_later(calls: CallRecorder, lost: dict[str, Any]) -> None:
    responses.post(TOKEN_URL, **lost)
    with pytest.raises(TransientError):
        PROVIDER.refresh(settings(), OLD_TOKEN, calls)
    assert len(responses.calls) == 2


@responses.activate
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"status": 400, "json": {"error": "invalid_grant"}}, AuthorizationExpired),
        ({"status": 400, "json": {"error": "invalid_client"}}, PermanentError),
        ({"status": 429, "headers": {"Retry-After": "30"}}, RateLimited),
    ],
)
def test_rejected_refresh_is_classified_by_what_to_do(
    calls: CallRecorder, answer: dict[str, Any], error: type[Exception]
) -> None:
    responses.post(TOKEN_URL, **answer)
    with pytest.raises(error):
        PROVIDER.refresh(settings(), OLD_TOKEN, calls)
    assert len(responses.calls) == 1


@responses.activate
@pytest.mark.parametrize("status", [204, 404])
def test_one_organisation_is_disconnected(calls: CallRecorder, status: int) -> None:
    responses.delete(f"{CONNECTIONS}/connection-1", status=status)
    company = CompanyRef("tenant-1", "Company 1", "connection-1")
    PROVIDER.revoke(
        settings(), {**OLD_TOKEN, "expires_at": 1, "token_type": "Bearer"}, company, whole_grant=False, calls=calls
    )
    assert responses.calls[0].request.headers["Authorization"] == "Bearer old-access"


@responses.activate
def test_disconnecting_the_last_organisation_revokes_the_grant(calls: CallRecorder) -> None:
    responses.post("https://identity.xero.com/connect/revocation")
    PROVIDER.revoke(settings(), OLD_TOKEN, CompanyRef("tenant-1", "", "connection-1"), whole_grant=True, calls=calls)
    assert form(responses.calls[0].request)["token"] == "old-refresh"


@responses.activate
def test_rejected_revocation_is_reported(calls: CallRecorder) -> None:
    responses.post("https://identity.xero.com/connect/revocation", status=400, json={"error": "invalid_client"})
    with pytest.raises(PermanentError):
        PROVIDER.revoke(
            settings(), OLD_TOKEN, CompanyRef("tenant-1", "", "connection-1"), whole_grant=True, calls=calls
        )
