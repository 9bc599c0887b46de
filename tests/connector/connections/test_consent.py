"""A consent creates connections: once, for the user who started it, and never a duplicate."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import select

from connector.app_context import AppContext, UncountedCalls
from connector.connections.consent import ConsentError
from connector.connections.registry import begin_consent, disconnect, finish_consent, set_mode
from connector.connections.short_names import build_short_name
from connector.connections.tokens import associated_data, fresh_token
from connector.db.engine import reading, writing
from connector.db.tables import Connection, Grant, PendingConsent, SyncLogEntry
from connector.secrets.keyring import KeyringError
from providers.errors import AuthorizationExpired
from tests.connector.installed import GiveConsent, SandboxServices

AnswerConsent = Callable[..., str]


def connections(app: AppContext) -> list[Connection]:
    with reading(app.engine) as session:
        return list(session.scalars(select(Connection).order_by(Connection.id)))  # type: ignore[arg-type]


def grants(app: AppContext) -> list[Grant]:
    with reading(app.engine) as session:
        return list(session.scalars(select(Grant)))


def test_several_xero_organisations_in_one_consent_share_one_grant(app: AppContext, give_consent: GiveConsent) -> None:
    rows = give_consent(app, "xero")
    assert len(rows) == 2
    assert {row.mode for row in rows} == {"observe"}
    assert len({row.grant_id for row in rows}) == 1
    assert len({row.short_name for row in rows}) == 2


def test_each_quickbooks_company_has_its_own_grant(app: AppContext, give_consent: GiveConsent) -> None:
    (company,) = give_consent(app, "quickbooks")
    give_consent(app, "xero")
    assert company.provider == "quickbooks"
    assert company.name
    assert len(grants(app)) == 2


def test_a_reconnected_company_works_again_without_a_duplicate(
    app: AppContext, give_consent: GiveConsent, services: SandboxServices
) -> None:
    first = give_consent(app, "xero")
    set_mode(app, first[0].id or 0, "live")
    services.sandbox.xero.sign_in.revoke_all()
    services.sandbox.clock.advance(timedelta(hours=1))
    with pytest.raises(AuthorizationExpired):
        fresh_token(app, first[0].grant_id or 0, UncountedCalls())
    assert {row.health for row in connections(app)} == {"authorization_expired"}

    again = give_consent(app, "xero")

    assert [row.id for row in again] == [row.id for row in first]
    assert [row.health for row in again] == ["new", "new"]
    assert again[0].mode == "live"
    assert len(grants(app)) == 1
    assert fresh_token(app, again[0].grant_id or 0, UncountedCalls())["access_token"]


def test_a_consent_is_valid_once(app: AppContext, answer_consent: AnswerConsent) -> None:
    url = answer_consent(begin_consent(app, "xero").url)
    finish_consent(app, "xero", url)
    with pytest.raises(ConsentError, match="already been used"):
        finish_consent(app, "xero", url)


def test_a_consent_of_another_ledger_is_rejected(app: AppContext, answer_consent: AnswerConsent) -> None:
    url = answer_consent(begin_consent(app, "xero").url)
    with pytest.raises(ConsentError, match="state is unknown"):
        finish_consent(app, "quickbooks", url)


@pytest.mark.parametrize("ledger", ["xero", "quickbooks"])
def test_a_redirect_from_another_issuer_is_rejected(
    app: AppContext, answer_consent: AnswerConsent, ledger: str
) -> None:
    """Two providers redirect here: neither's redirect, nor its code, may ever reach the other."""
    back = answer_consent(begin_consent(app, ledger).url)
    with pytest.raises(ConsentError):
        finish_consent(app, ledger, f"{back}&iss=https://other.example")
    assert f"/callback/{ledger}?" in back


def test_a_consent_that_was_not_started_here_is_rejected(app: AppContext, services: SandboxServices) -> None:
    begin_consent(app, "xero")
    calls = len(services.sandbox.requests)
    for query, word in (("code=stolen&state=guessed", "unknown"), ("code=stolen", "missing")):
        with pytest.raises(ConsentError, match=word):
            finish_consent(app, "xero", f"http://localhost:8710/callback/xero?{query}")
    assert len(services.sandbox.requests) == calls
    assert connections(app) == []


def test_a_consent_expires_after_15_minutes(
    app: AppContext, answer_consent: AnswerConsent, services: SandboxServices
) -> None:
    url = answer_consent(begin_consent(app, "xero").url)
    services.sandbox.clock.advance(timedelta(minutes=15, seconds=1))
    with pytest.raises(ConsentError, match="expired after 15 minutes"):
        finish_consent(app, "xero", url)
    assert connections(app) == []


def test_a_denied_consent_is_reported(app: AppContext, answer_consent: AnswerConsent) -> None:
    url = answer_consent(begin_consent(app, "xero").url, answer="sandbox_deny")
    with pytest.raises(ConsentError, match=r"Access was not granted at Xero.*duewell connect xero"):
        finish_consent(app, "xero", url)


def test_missing_settings_are_named_before_the_redirect(app: AppContext) -> None:
    bare = app.settings.model_copy(update={"xero_client_id": ""})
    unfit = AppContext(bare, app.engine, app.keyring, app.now, app.providers)
    with pytest.raises(ConsentError, match=r"XERO_CLIENT_ID.*docs/connect-xero\.md"):
        begin_consent(unfit, "xero")


def test_tokens_and_pending_consents_are_encrypted_in_the_database(app: AppContext, give_consent: GiveConsent) -> None:
    request = begin_consent(app, "xero")
    rows = give_consent(app, "xero")
    token = fresh_token(app, rows[0].grant_id or 0, UncountedCalls())
    with reading(app.engine) as session:
        kept = [row.encrypted_state + row.state_hash.encode() for row in session.scalars(select(PendingConsent))]
        sealed = [row.token for row in session.scalars(select(Grant))]
    for secret in (request.state, request.code_verifier, token["access_token"], token["refresh_token"]):
        assert secret
        assert not any(secret.encode() in stored for stored in [*kept, *sealed])


def test_a_token_moved_to_another_row_cannot_be_decrypted(app: AppContext, give_consent: GiveConsent) -> None:
    give_consent(app, "xero")
    give_consent(app, "quickbooks")
    xero, quickbooks = sorted(grants(app), key=lambda grant: grant.provider != "xero")
    with pytest.raises(KeyringError):
        app.keyring.decrypt(xero.token, associated_data(quickbooks))
    assert app.keyring.decrypt(xero.token, associated_data(xero))


def test_disconnecting_one_organisation_leaves_the_other_connected(
    app: AppContext, give_consent: GiveConsent, services: SandboxServices
) -> None:
    first, second = give_consent(app, "xero")
    said = disconnect(app, first.id or 0, by="Ann")
    assert "Ann" in said[0]
    assert "Kept here" in said[1]
    assert [row.tenant_id for row in services.sandbox.xero.sign_in.connections.values()] == [second.external_id]
    assert [row.health for row in connections(app)] == ["disconnected", "new"]
    assert fresh_token(app, second.grant_id or 0, UncountedCalls())["access_token"]


def test_disconnecting_the_last_one_revokes_the_grant_and_deletes_the_token(
    app: AppContext, give_consent: GiveConsent, services: SandboxServices
) -> None:
    for row in give_consent(app, "xero"):
        disconnect(app, row.id or 0)
    assert services.sandbox.xero.sign_in.connections == {}
    assert grants(app) == []
    with reading(app.engine) as session:
        kinds = list(session.scalars(select(SyncLogEntry.kind)))  # type: ignore[call-overload]
    assert kinds == ["connected", "connected", "disconnected", "disconnected"]


def test_disconnecting_works_while_the_provider_is_unavailable(
    app: AppContext, give_consent: GiveConsent, services: SandboxServices
) -> None:
    (company,) = give_consent(app, "quickbooks")
    services.sandbox.faults.refuse(503, service="quickbooks", times=0)
    said = disconnect(app, company.id or 0)
    assert "Revoking the access at QuickBooks Online failed" in said[0]
    assert grants(app) == []


def test_a_company_reconnected_after_a_disconnect_starts_in_observe_mode(
    app: AppContext, give_consent: GiveConsent
) -> None:
    (company,) = give_consent(app, "quickbooks")
    set_mode(app, company.id or 0, "live")
    disconnect(app, company.id or 0)
    (again,) = give_consent(app, "quickbooks")
    assert (again.id, again.mode, again.health) == (company.id, "observe", "new")


def test_the_first_time_a_company_went_live_is_kept(
    app: AppContext, give_consent: GiveConsent, services: SandboxServices
) -> None:
    connection_id = give_consent(app, "quickbooks")[0].id or 0
    first = set_mode(app, connection_id, "live").live_since_at
    services.sandbox.clock.advance(timedelta(days=1))
    set_mode(app, connection_id, "observe")
    assert set_mode(app, connection_id, "live").live_since_at == first
    assert first is not None


def test_an_unused_grant_is_deleted(app: AppContext, give_consent: GiveConsent) -> None:
    give_consent(app, "xero")
    with writing(app.engine) as session:
        session.scalars(select(Grant)).one().subject = "somebody who left"
    give_consent(app, "xero")
    assert len(grants(app)) == 1


@pytest.mark.parametrize(
    ("name", "taken", "expected"),
    [
        ("Smith & Søns Ltd.", (), "smith-sns-ltd"),
        ("Smith", ("smith",), "smith-2"),
        ("Smith", ("smith", "smith-2"), "smith-3"),
        ("4711", (), "company-4711"),
        ("verify", (), "company-verify"),
        ("株式会社", (), "company"),
    ],
)
def test_short_names_are_unique_and_cannot_be_mistaken(name: str, taken: tuple[str, ...], expected: str) -> None:
    assert build_short_name(name, taken) == expected
