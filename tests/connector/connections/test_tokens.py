"""Tokens are refreshed once, by one process at a time, saved before use, and invalid only once the provider says so."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from connector.app_context import AppContext, UncountedCalls, open_app
from connector.connections.registry import list_connected, open_ledger
from connector.connections.tokens import finish_interrupted_refreshes, fresh_token, store_token
from connector.db.engine import reading, writing
from connector.db.tables import Connection, Grant
from connector.services import doctor
from connector.services.status import list_statuses
from connector.services.today import load_dashboard
from connector.settings import load_settings
from providers.errors import AuthorizationExpired, TransientError
from providers.sign_in import JsonObject
from sandbox.faults import Rule
from tests.connector.installed import GiveConsent, SandboxServices

ROOT = Path(__file__).parents[3]
ONE_HOUR = timedelta(hours=1)


def fetch_token(app: AppContext, row: Connection, **options: str) -> JsonObject:
    return fresh_token(app, row.grant_id or 0, UncountedCalls(), **options)


def load_grant(app: AppContext, row: Connection) -> Grant:
    with reading(app.engine) as session:
        return session.get_one(Grant, row.grant_id)


def test_a_valid_token_is_used_without_a_refresh(
    app: AppContext, give_consent: GiveConsent, services: SandboxServices
) -> None:
    row = give_consent(app, "xero")[0]
    calls = services.count_token_calls()
    services.sandbox.clock.advance(timedelta(minutes=28))
    assert fetch_token(app, row) == fetch_token(app, row)
    assert services.count_token_calls() == calls


def test_a_token_that_expires_within_a_minute_is_refreshed_and_stored(
    either_app: AppContext, give_consent: GiveConsent, services: SandboxServices
) -> None:
    row = give_consent(either_app, "xero")[0]
    old, calls = fetch_token(either_app, row), services.count_token_calls()
    services.sandbox.clock.advance(timedelta(minutes=29, seconds=1))
    new = fetch_token(either_app, row)
    assert new["refresh_token"] != old["refresh_token"]
    assert fetch_token(either_app, row) == new
    assert services.count_token_calls() == calls + 1


def test_a_rejected_token_is_refreshed_even_before_it_expires(
    app: AppContext, give_consent: GiveConsent, services: SandboxServices
) -> None:
    row = give_consent(app, "xero")[0]
    old, calls = fetch_token(app, row)["access_token"], services.count_token_calls()
    new = fetch_token(app, row, rejected_token=old)["access_token"]
    assert new != old
    assert (
        fetch_token(app, row, rejected_token=old)["access_token"] == new
    )  # another process refreshed it: no second refresh
    assert services.count_token_calls() == calls + 1


def test_threads_that_need_a_token_at_once_refresh_once(
    either_app: AppContext, give_consent: GiveConsent, services: SandboxServices
) -> None:
    row = give_consent(either_app, "xero")[0]
    services.sandbox.clock.advance(ONE_HOUR)
    calls, got = services.count_token_calls(), set[str]()

    def ask() -> None:
        got.add(fetch_token(either_app, row)["access_token"])

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1
    assert services.count_token_calls() == calls + 1


_REFRESH_SCRIPT = """
import sys
from connector.app_context import UncountedCalls, open_app
from connector.connections.tokens import fresh_token
from connector.settings import load_settings
app = open_app(load_settings())
print("ready", flush=True)
sys.stdin.readline()
print(fresh_token(app, int(sys.argv[1]), UncountedCalls())["access_token"])
"""


def test_two_processes_that_need_a_token_at_once_refresh_once(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, give_consent: GiveConsent, services: SandboxServices
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    app = open_app(load_settings())
    row = give_consent(app, "xero")[0]
    with writing(app.engine) as session:
        session.get_one(Grant, row.grant_id).token_expires_at = app.now() - ONE_HOUR
    calls = services.count_token_calls()
    services.sandbox.faults.add(Rule("delay", service="xero", kind="token", seconds=0.3, times=0))
    arguments = [sys.executable, "-c", _REFRESH_SCRIPT, str(row.grant_id)]
    processes = [
        subprocess.Popen(arguments, env=environment, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    tokens = {process.communicate(timeout=30)[0] for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    assert len(tokens) == 1
    assert services.count_token_calls() == calls + 1
    app.close()


def test_an_invalid_grant_stops_only_its_companies_and_says_how_to_reconnect(
    app: AppContext, give_consent: GiveConsent, services: SandboxServices
) -> None:
    xero = give_consent(app, "xero")
    (quickbooks,) = give_consent(app, "quickbooks")
    services.sandbox.xero.sign_in.revoke_all()
    services.sandbox.clock.advance(ONE_HOUR)
    with pytest.raises(AuthorizationExpired, match="duewell connect xero"):
        open_ledger(app, xero[0].id or 0, UncountedCalls()).get_company_details()
    assert open_ledger(app, quickbooks.id or 0, UncountedCalls()).get_company_details().company.name == quickbooks.name
    with reading(app.engine) as session:
        rows = list(session.scalars(select(Connection).order_by(Connection.id)))  # type: ignore[arg-type]
    assert [row.health for row in rows] == ["authorization_expired", "authorization_expired", "new"]
    assert all("Reconnect it on its page, or with: duewell connect xero" in row.health_reason for row in rows[:2])


def test_an_invalid_grant_is_not_refreshed_again(
    app: AppContext, give_consent: GiveConsent, services: SandboxServices
) -> None:
    row = give_consent(app, "xero")[0]
    services.sandbox.xero.sign_in.revoke_all()
    services.sandbox.clock.advance(ONE_HOUR)
    calls = services.count_token_calls()
    for _ in range(3):
        with pytest.raises(AuthorizationExpired):
            fetch_token(app, row)
    assert services.count_token_calls() == calls + 1


def test_a_refresh_with_a_lost_response_is_repeated_with_the_old_token(
    app: AppContext, give_consent: GiveConsent, services: SandboxServices
) -> None:
    row = give_consent(app, "xero")[0]
    services.sandbox.clock.advance(ONE_HOUR)
    services.sandbox.faults.add(Rule("drop_after", service="xero", kind="token"))
    assert fetch_token(app, row)["access_token"]
    assert load_grant(app, row).refresh_started_at is None


def test_an_unavailable_provider_ends_no_grant_and_the_refresh_is_repeated_at_the_next_start(
    app: AppContext, give_consent: GiveConsent, services: SandboxServices
) -> None:
    row = give_consent(app, "xero")[0]
    services.sandbox.clock.advance(ONE_HOUR)
    rule = services.sandbox.faults.refuse(503, service="xero", kind="token", times=0)
    with pytest.raises(TransientError):
        fetch_token(app, row)
    assert rule.fired
    assert load_grant(app, row).invalid_reason == ""
    assert len(finish_interrupted_refreshes(app)) == 1
    services.sandbox.faults.clear()
    assert finish_interrupted_refreshes(app) == []
    assert load_grant(app, row).refresh_started_at is None


def test_a_refresh_interrupted_by_a_kill_is_finished_at_the_next_start(
    either_app: AppContext, give_consent: GiveConsent, services: SandboxServices
) -> None:
    row = give_consent(either_app, "xero")[0]
    before = fetch_token(either_app, row)
    with writing(either_app.engine) as session:
        session.get_one(Grant, row.grant_id).refresh_started_at = either_app.now()
    calls = services.count_token_calls()
    assert finish_interrupted_refreshes(either_app) == []
    assert services.count_token_calls() == calls + 1
    assert fetch_token(either_app, row)["refresh_token"] != before["refresh_token"]


def test_a_rejected_refresh_token_is_read_again_before_the_grant_is_declared_invalid(
    app: AppContext, give_consent: GiveConsent, services: SandboxServices
) -> None:
    row = give_consent(app, "xero")[0]
    services.sandbox.clock.advance(ONE_HOUR)
    stored = load_grant(app, row)
    good = fresh_token(app, row.grant_id or 0, UncountedCalls())
    with writing(app.engine) as session:  # as if this process had read an older version of the file
        grant = session.get_one(Grant, row.grant_id)
        store_token(app, grant, {**good, "refresh_token": "stale", "expires_in": 0}, app.now())

    def meanwhile(_request: object) -> None:
        with writing(app.engine) as session:
            store_token(app, session.get_one(Grant, row.grant_id), {**good, "expires_in": 0}, app.now())

    services.sandbox.faults.call(meanwhile, service="xero", kind="token", times=1)
    assert fetch_token(app, row)["access_token"]
    assert load_grant(app, row).invalid_reason == ""
    assert stored.invalid_reason == ""


def test_a_consent_given_during_a_refresh_wins(
    app: AppContext, give_consent: GiveConsent, services: SandboxServices
) -> None:
    row = give_consent(app, "xero")[0]
    services.sandbox.clock.advance(ONE_HOUR)
    given: list[JsonObject] = []

    def meanwhile(_request: object) -> None:
        token = {"access_token": "of the new consent", "refresh_token": "new", "expires_in": 1800}
        given.append(token)
        with writing(app.engine) as session:
            store_token(app, session.get_one(Grant, row.grant_id), token, app.now())

    services.sandbox.faults.call(meanwhile, service="xero", kind="token", times=1)
    assert fetch_token(app, row) == given[0]
    assert fetch_token(app, row) == given[0]


def test_no_new_call_is_made_while_duewell_is_stopping(
    app: AppContext, give_consent: GiveConsent, services: SandboxServices
) -> None:
    row = give_consent(app, "xero")[0]
    calls = len(services.sandbox.requests)
    app.stop.set()
    with pytest.raises(TransientError, match="stopping"):
        open_ledger(app, row.id or 0, UncountedCalls()).get_company_details()
    assert len(services.sandbox.requests) == calls


@pytest.mark.parametrize(("days_left", "warned"), [(90, False), (59, True)])
def test_the_end_of_a_five_year_authorisation_is_announced_60_days_before(
    app: AppContext, give_consent: GiveConsent, services: SandboxServices, days_left: int, *, warned: bool
) -> None:
    row = give_consent(app, "quickbooks")[0]
    (grant,) = services.sandbox.quickbooks.sign_in.grants
    grant.granted_at -= timedelta(days=5 * 365 - days_left)
    services.sandbox.clock.advance(ONE_HOUR)
    fetch_token(app, row)
    findings = [each for each in doctor.run_checks(app, [doctor._connections]) if each.id.endswith(".grant")]
    assert bool(findings) == warned
    if warned:
        assert "the authorisation ends on" in findings[0].message
        assert "duewell connect quickbooks" in findings[0].fix
    assert (list_statuses(app)[0].authorization_ends_on is not None) == warned
    with reading(app.engine) as session:
        (company,) = load_dashboard(session, list_connected(session), app.now()).companies
    assert any("The authorisation ends on" in each for each in company.problems) == warned
