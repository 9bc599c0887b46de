"""A consent makes connections: once, for the person who began it, and never a twin of one that is there."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from connector.access.connections import begin_consent, disconnect, finish_consent, set_mode
from connector.access.consent import ConsentError
from connector.access.keyring import KeyringError
from connector.access.short_names import short_name
from connector.access.tokens import bound_to, fresh_token
from connector.database import reading, writing
from connector.installation import Installation, Uncounted
from connector.tables import Connection, Grant, PendingConsent, SyncLogEntry
from providers.errors import Reconnect

Vendors = Any
GiveConsent = Callable[..., list[Connection]]
ComeBack = Callable[..., str]


def connections(installation: Installation) -> list[Connection]:
    with reading(installation.engine) as session:
        return list(session.scalars(select(Connection).order_by(Connection.id)))  # type: ignore[arg-type]


def grants(installation: Installation) -> list[Grant]:
    with reading(installation.engine) as session:
        return list(session.scalars(select(Grant)))


def test_several_xero_organisations_in_one_consent_share_one_grant(
    installation: Installation, consent: GiveConsent
) -> None:
    rows = consent(installation, "xero")
    assert len(rows) == 2
    assert {row.mode for row in rows} == {"observe"}
    assert len({row.grant_id for row in rows}) == 1
    assert len({row.short_name for row in rows}) == 2


def test_each_quickbooks_company_has_a_grant_of_its_own(installation: Installation, consent: GiveConsent) -> None:
    (company,) = consent(installation, "quickbooks")
    consent(installation, "xero")
    assert company.provider == "quickbooks"
    assert company.name
    assert len(grants(installation)) == 2


def test_a_company_that_is_connected_again_is_not_doubled_and_lives_again(
    installation: Installation, consent: GiveConsent, vendors: Vendors
) -> None:
    first = consent(installation, "xero")
    set_mode(installation, first[0].id or 0, "live")
    vendors.sandbox.xero.sign_in.revoke_all()
    vendors.sandbox.clock.advance(timedelta(hours=1))
    with pytest.raises(Reconnect):
        fresh_token(installation, first[0].grant_id or 0, Uncounted())
    assert {row.health for row in connections(installation)} == {"reconnect"}

    again = consent(installation, "xero")

    assert [row.id for row in again] == [row.id for row in first]
    assert [row.health for row in again] == ["new", "new"]
    assert again[0].mode == "live"
    assert len(grants(installation)) == 1
    assert fresh_token(installation, again[0].grant_id or 0, Uncounted())["access_token"]


def test_a_consent_counts_only_once(installation: Installation, come_back: ComeBack) -> None:
    url = come_back(begin_consent(installation, "xero").url)
    finish_consent(installation, "xero", url)
    with pytest.raises(ConsentError, match="used already"):
        finish_consent(installation, "xero", url)


def test_a_consent_of_another_ledger_does_not_count(installation: Installation, come_back: ComeBack) -> None:
    url = come_back(begin_consent(installation, "xero").url)
    with pytest.raises(ConsentError, match="state is unknown"):
        finish_consent(installation, "quickbooks", url)


@pytest.mark.parametrize("ledger", ["xero", "quickbooks"])
def test_an_answer_that_another_vendor_signs_itself_under_does_not_count(
    installation: Installation, come_back: ComeBack, ledger: str
) -> None:
    """Two vendors send people back here: neither one's answer, nor a code of it, may ever reach the other."""
    back = come_back(begin_consent(installation, ledger).url)
    with pytest.raises(ConsentError):
        finish_consent(installation, ledger, f"{back}&iss=https://other.example")
    assert f"/callback/{ledger}?" in back


def test_a_consent_that_nobody_began_does_not_count(installation: Installation, vendors: Vendors) -> None:
    begin_consent(installation, "xero")
    calls = len(vendors.sandbox.requests)
    for query, word in (("code=stolen&state=guessed", "unknown"), ("code=stolen", "missing")):
        with pytest.raises(ConsentError, match=word):
            finish_consent(installation, "xero", f"http://localhost:8710/callback/xero?{query}")
    assert len(vendors.sandbox.requests) == calls
    assert connections(installation) == []


def test_a_consent_ends_after_a_quarter_of_an_hour(
    installation: Installation, come_back: ComeBack, vendors: Vendors
) -> None:
    url = come_back(begin_consent(installation, "xero").url)
    vendors.sandbox.clock.advance(timedelta(minutes=15, seconds=1))
    with pytest.raises(ConsentError, match="older than 15 minutes"):
        finish_consent(installation, "xero", url)
    assert connections(installation) == []


def test_a_consent_that_was_denied_says_so(installation: Installation, come_back: ComeBack) -> None:
    url = come_back(begin_consent(installation, "xero").url, answer="sandbox_deny")
    with pytest.raises(ConsentError, match=r"Access was not granted at Xero.*duewell connect xero"):
        finish_consent(installation, "xero", url)


def test_missing_settings_are_named_before_anybody_is_sent_away(installation: Installation) -> None:
    bare = installation.settings.model_copy(update={"xero_client_id": ""})
    unfit = Installation(bare, installation.engine, installation.keyring, installation.now, installation.providers)
    with pytest.raises(ConsentError, match=r"XERO_CLIENT_ID.*docs/connect-xero\.md"):
        begin_consent(unfit, "xero")


def test_neither_tokens_nor_what_a_consent_keeps_can_be_read_in_the_database(
    installation: Installation, consent: GiveConsent
) -> None:
    request = begin_consent(installation, "xero")
    rows = consent(installation, "xero")
    token = fresh_token(installation, rows[0].grant_id or 0, Uncounted())
    with reading(installation.engine) as session:
        kept = [row.kept + row.state_hash.encode() for row in session.scalars(select(PendingConsent))]
        sealed = [row.token for row in session.scalars(select(Grant))]
    for secret in (request.state, request.verifier, token["access_token"], token["refresh_token"]):
        assert secret
        assert not any(secret.encode() in stored for stored in [*kept, *sealed])


def test_a_token_moved_to_another_row_cannot_be_opened(installation: Installation, consent: GiveConsent) -> None:
    consent(installation, "xero")
    consent(installation, "quickbooks")
    xero, quickbooks = sorted(grants(installation), key=lambda grant: grant.provider != "xero")
    with pytest.raises(KeyringError):
        installation.keyring.decrypt(xero.token, bound_to(quickbooks))
    assert installation.keyring.decrypt(xero.token, bound_to(xero))


def test_disconnecting_one_organisation_leaves_the_other_connected(
    installation: Installation, consent: GiveConsent, vendors: Vendors
) -> None:
    first, second = consent(installation, "xero")
    said = disconnect(installation, first.id or 0, by="Ann")
    assert "Ann" in said[0]
    assert "Kept here" in said[1]
    assert [row.tenant_id for row in vendors.sandbox.xero.sign_in.connections.values()] == [second.external_id]
    assert [row.health for row in connections(installation)] == ["disconnected", "new"]
    assert fresh_token(installation, second.grant_id or 0, Uncounted())["access_token"]


def test_disconnecting_the_last_one_revokes_the_grant_and_forgets_the_token(
    installation: Installation, consent: GiveConsent, vendors: Vendors
) -> None:
    for row in consent(installation, "xero"):
        disconnect(installation, row.id or 0)
    assert vendors.sandbox.xero.sign_in.connections == {}
    assert grants(installation) == []
    with reading(installation.engine) as session:
        kinds = list(session.scalars(select(SyncLogEntry.kind)))  # type: ignore[call-overload]
    assert kinds == ["connected", "connected", "disconnected", "disconnected"]


def test_disconnecting_works_while_the_vendor_does_not_answer(
    installation: Installation, consent: GiveConsent, vendors: Vendors
) -> None:
    (company,) = consent(installation, "quickbooks")
    vendors.sandbox.faults.refuse(503, vendor="quickbooks", times=0)
    said = disconnect(installation, company.id or 0)
    assert "could not be told" in said[0]
    assert grants(installation) == []


def test_a_company_connected_anew_after_a_disconnect_only_observes(
    installation: Installation, consent: GiveConsent
) -> None:
    (company,) = consent(installation, "quickbooks")
    set_mode(installation, company.id or 0, "live")
    disconnect(installation, company.id or 0)
    (again,) = consent(installation, "quickbooks")
    assert (again.id, again.mode, again.health) == (company.id, "observe", "new")


def test_going_live_is_remembered_from_the_first_time(
    installation: Installation, consent: GiveConsent, vendors: Vendors
) -> None:
    connection_id = consent(installation, "quickbooks")[0].id or 0
    first = set_mode(installation, connection_id, "live").live_since_at
    vendors.sandbox.clock.advance(timedelta(days=1))
    set_mode(installation, connection_id, "observe")
    assert set_mode(installation, connection_id, "live").live_since_at == first
    assert first is not None


def test_a_grant_that_no_company_uses_any_more_is_forgotten(installation: Installation, consent: GiveConsent) -> None:
    consent(installation, "xero")
    with writing(installation.engine) as session:
        session.scalars(select(Grant)).one().subject = "somebody who left"
    consent(installation, "xero")
    assert len(grants(installation)) == 1


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
    assert short_name(name, taken) == expected
