"""Consent, tokens and their expiry, against the sandbox's sign-in."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import requests
import responses

from providers import get_ledger_provider
from providers.errors import AuthorizationExpired, OutcomeUnknown, PermanentError
from providers.ledger import CompanyRef, Consent
from providers.quickbooks import oauth
from providers.sign_in import ConsentRequest
from sandbox.faults import Rule
from sandbox.server import Sandbox
from tests.providers.quickbooks.conftest import CallCounter

REDIRECT_URI = "http://localhost:8710/callback/quickbooks"
QUICKBOOKS = get_ledger_provider("quickbooks")
COMPANY = CompanyRef("123", "")


@pytest.fixture(autouse=True)
def _clear_discovery_cache() -> Iterator[None]:
    oauth._discovered.clear()
    yield
    oauth._discovered.clear()


def approve_consent(consent_request: ConsentRequest, how: str = "sandbox_allow=1") -> str:
    answer = requests.get(f"{consent_request.url}&{how}", allow_redirects=False, timeout=5)
    return str(answer.headers["Location"])


def connect(settings: SimpleNamespace) -> Consent:
    begun = QUICKBOOKS.begin_consent(settings, REDIRECT_URI)
    return QUICKBOOKS.finish_consent(settings, REDIRECT_URI, approve_consent(begun), begun, CallCounter())


def discoveries(sandbox: Sandbox) -> int:
    return sum(".well-known" in one.path for one in sandbox.requests)


def test_consent_connects_one_company_with_its_name(settings: SimpleNamespace) -> None:
    consent = connect(settings)
    assert [one.name for one in consent.companies] == ["Larkspur Field Services LLC"]
    assert consent.subject == consent.companies[0].external_id, "at Intuit every company has a grant of its own"
    assert consent.token["x_refresh_token_hard_expires_in"] > 0
    assert "id_token" not in consent.token


def test_only_the_accounting_scope_is_requested(settings: SimpleNamespace) -> None:
    assert "scope=com.intuit.quickbooks.accounting&" in QUICKBOOKS.begin_consent(settings, REDIRECT_URI).url + "&"


def test_redirect_with_another_state_is_rejected(settings: SimpleNamespace) -> None:
    begun = QUICKBOOKS.begin_consent(settings, REDIRECT_URI)
    other = QUICKBOOKS.begin_consent(settings, REDIRECT_URI)
    with pytest.raises(PermanentError, match="state"):
        QUICKBOOKS.finish_consent(settings, REDIRECT_URI, approve_consent(other), begun, CallCounter())


def test_denied_consent_is_reported(settings: SimpleNamespace) -> None:
    begun = QUICKBOOKS.begin_consent(settings, REDIRECT_URI)
    with pytest.raises(PermanentError, match="access_denied"):
        QUICKBOOKS.finish_consent(
            settings, REDIRECT_URI, approve_consent(begun, "sandbox_deny=1"), begun, CallCounter()
        )


def test_discovery_document_is_read_once_a_day_and_stored_with_the_token(
    settings: SimpleNamespace, sandbox: Sandbox
) -> None:
    token = connect(settings).token
    assert discoveries(sandbox) == 1
    oauth._discovered.clear()  # as in a new process
    token = QUICKBOOKS.refresh(settings, token, CallCounter())
    assert discoveries(sandbox) == 1
    token["endpoints"]["discovered_at"] -= 86_401
    QUICKBOOKS.refresh(settings, token, CallCounter())
    assert discoveries(sandbox) == 2


def test_previous_discovery_document_is_used_where_the_new_one_is_unavailable(
    settings: SimpleNamespace, sandbox: Sandbox
) -> None:
    token = connect(settings).token
    oauth._discovered.clear()
    token["endpoints"]["discovered_at"] -= 86_401
    sandbox.faults.refuse(503, path="well-known", times=0)
    assert QUICKBOOKS.refresh(settings, token, CallCounter())["access_token"]


def test_refresh_returns_new_tokens_and_the_old_one_can_be_retried(settings: SimpleNamespace, sandbox: Sandbox) -> None:
    old = connect(settings).token
    sandbox.clock.advance(timedelta(hours=25))
    new = QUICKBOOKS.refresh(settings, old, CallCounter())
    assert new["access_token"] != old["access_token"]
    assert new["refresh_token"] != old["refresh_token"]
    again = QUICKBOOKS.refresh(settings, old, CallCounter())
    assert again["refresh_token"] == new["refresh_token"]


def test_refresh_with_a_lost_response_has_an_unknown_outcome(settings: SimpleNamespace, sandbox: Sandbox) -> None:
    token = connect(settings).token
    sandbox.faults.add(Rule("drop_after", path="tokens/bearer"))
    with pytest.raises(OutcomeUnknown):
        QUICKBOOKS.refresh(settings, token, CallCounter())
    assert QUICKBOOKS.refresh(settings, token, CallCounter())["access_token"]


def test_grant_revoked_by_the_user_needs_a_new_consent(settings: SimpleNamespace, sandbox: Sandbox) -> None:
    token = connect(settings).token
    sandbox.quickbooks.disconnect()
    with pytest.raises(AuthorizationExpired):
        QUICKBOOKS.refresh(settings, token, CallCounter())


def test_wrong_client_secret_is_reported_and_does_not_end_the_grant(settings: SimpleNamespace) -> None:
    token = connect(settings).token
    settings.quickbooks_client_secret = "wrong"
    with pytest.raises(PermanentError, match="QUICKBOOKS_CLIENT_ID"):
        QUICKBOOKS.refresh(settings, token, CallCounter())


def test_revoked_grant_is_no_longer_valid(settings: SimpleNamespace) -> None:
    consent = connect(settings)
    QUICKBOOKS.revoke(settings, consent.token, consent.companies[0], whole_grant=True, calls=CallCounter())
    with pytest.raises(AuthorizationExpired):
        QUICKBOOKS.refresh(settings, consent.token, CallCounter())
    QUICKBOOKS.revoke(settings, consent.token, consent.companies[0], whole_grant=True, calls=CallCounter())


OFFICIAL = "https://developer.api.intuit.com/.well-known/openid_configuration"


def document(**changed: str) -> dict[str, Any]:
    return {
        "issuer": "https://oauth.platform.intuit.com/op/v1",
        "authorization_endpoint": "https://appcenter.intuit.com/connect/oauth2",
        "token_endpoint": "https://oauth.platform.intuit.com/oauth2/v1/tokens/bearer",
        "revocation_endpoint": "https://developer.api.intuit.com/v2/oauth2/tokens/revoke",
        "userinfo_endpoint": "https://accounts.intuit.com/v1/openid_connect/userinfo",
        **changed,
    }


@pytest.fixture
def official_document() -> SimpleNamespace:
    return SimpleNamespace(
        quickbooks_client_id="id", quickbooks_client_secret="secret", quickbooks_discovery_url=OFFICIAL
    )


@responses.activate
def test_intuits_own_discovery_document_is_accepted(official_document: SimpleNamespace) -> None:
    responses.get(OFFICIAL, json=document())
    assert QUICKBOOKS.begin_consent(official_document, REDIRECT_URI).url.startswith(
        "https://appcenter.intuit.com/connect/oauth2?"
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"token_endpoint": "https://intuit.com.example.org/token"},
        {"revocation_endpoint": "http://developer.api.intuit.com/revoke"},
        {"issuer": "https://example.org"},
    ],
)
@responses.activate
def test_discovery_document_with_foreign_hosts_is_rejected(
    official_document: SimpleNamespace, changed: dict[str, str]
) -> None:
    responses.get(OFFICIAL, json=document(**changed))
    with pytest.raises(PermanentError, match="foreign"):
        QUICKBOOKS.begin_consent(official_document, REDIRECT_URI)


@pytest.mark.parametrize("body", ["<html>busy</html>", '["no object"]', '{"token_type": "bearer"}'])
@responses.activate
def test_unexpected_token_response_has_an_unknown_outcome(official_document: SimpleNamespace, body: str) -> None:
    responses.get(OFFICIAL, json=document())
    responses.post(document()["token_endpoint"], body=body)
    with pytest.raises(OutcomeUnknown):
        QUICKBOOKS.refresh(official_document, {"refresh_token": "old"}, CallCounter())


@responses.activate
def test_refresh_requests_the_hard_expiry_and_no_scope(official_document: SimpleNamespace) -> None:
    responses.get(OFFICIAL, json=document())
    fresh = {"access_token": "a", "refresh_token": "r", "expires_in": 3600, "x_refresh_token_hard_expires_in": 9}
    responses.post(document()["token_endpoint"], json=fresh)
    token = QUICKBOOKS.refresh(official_document, {"refresh_token": "old"}, CallCounter())
    request = responses.calls[-1].request
    assert request.headers["x-include-refresh-token-hard-expires-in"] == "true"
    assert request.headers["Authorization"].startswith("Basic ")
    assert request.body == "grant_type=refresh_token&refresh_token=old"
    assert token["x_refresh_token_hard_expires_in"] == 9


@pytest.mark.parametrize(
    ("rolling", "hard", "life"),
    [(8726400, 150_000_000, 8726400), (8726400, 5000, 5000), (4000, None, 4000), (None, None, None)],
)
@responses.activate
def test_a_token_says_when_only_a_new_consent_helps(
    official_document: SimpleNamespace, rolling: int | None, hard: int | None, life: int | None
) -> None:
    responses.get(OFFICIAL, json=document())
    told = {"x_refresh_token_expires_in": rolling, "x_refresh_token_hard_expires_in": hard}
    fresh = {"access_token": "a", "refresh_token": "r", "expires_in": 3600}
    responses.post(document()["token_endpoint"], json={**fresh, **{key: each for key, each in told.items() if each}})
    token = QUICKBOOKS.refresh(official_document, {"refresh_token": "old"}, CallCounter())
    assert token.get("grant_lifetime_s") == life


def test_missing_settings_are_named() -> None:
    empty = SimpleNamespace(quickbooks_client_id="", quickbooks_client_secret="s")
    assert QUICKBOOKS.missing_settings(empty) == ["QUICKBOOKS_CLIENT_ID"]
