"""Tokens are refreshed once, by one process at a time, saved before use, and given up only when the vendor refuses."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from connector.access.connections import open_ledger
from connector.access.tokens import finish_interrupted_refreshes, fresh_token, seal_token
from connector.database import reading, writing
from connector.installation import Installation, Uncounted, open_installation
from connector.settings import load_settings
from connector.tables import Connection, Grant
from providers.errors import Reconnect, TryLater
from providers.ledger import JsonObject
from providers.sandbox.faults import Rule

Vendors = Any
GiveConsent = Callable[..., list[Connection]]
ROOT = Path(__file__).parents[3]
AN_HOUR = timedelta(hours=1)


def token_of(installation: Installation, row: Connection, **how: str) -> JsonObject:
    return fresh_token(installation, row.grant_id or 0, Uncounted(), **how)


def grant_of(installation: Installation, row: Connection) -> Grant:
    with reading(installation.engine) as session:
        return session.get_one(Grant, row.grant_id)


def test_a_token_that_lasts_is_used_as_it_is(
    installation: Installation, consent: GiveConsent, vendors: Vendors
) -> None:
    row = consent(installation, "xero")[0]
    calls = vendors.token_calls()
    vendors.sandbox.clock.advance(timedelta(minutes=28))
    assert token_of(installation, row) == token_of(installation, row)
    assert vendors.token_calls() == calls


def test_a_token_that_ends_within_a_minute_is_refreshed_and_kept(
    either_installation: Installation, consent: GiveConsent, vendors: Vendors
) -> None:
    row = consent(either_installation, "xero")[0]
    old, calls = token_of(either_installation, row), vendors.token_calls()
    vendors.sandbox.clock.advance(timedelta(minutes=29, seconds=1))
    new = token_of(either_installation, row)
    assert new["refresh_token"] != old["refresh_token"]
    assert token_of(either_installation, row) == new
    assert vendors.token_calls() == calls + 1


def test_a_token_the_vendor_refused_is_refreshed_even_if_it_should_last(
    installation: Installation, consent: GiveConsent, vendors: Vendors
) -> None:
    row = consent(installation, "xero")[0]
    old, calls = token_of(installation, row)["access_token"], vendors.token_calls()
    new = token_of(installation, row, rejected=old)["access_token"]
    assert new != old
    assert token_of(installation, row, rejected=old)["access_token"] == new  # somebody else's news: no second refresh
    assert vendors.token_calls() == calls + 1


def test_threads_that_need_a_token_at_once_refresh_once(
    either_installation: Installation, consent: GiveConsent, vendors: Vendors
) -> None:
    row = consent(either_installation, "xero")[0]
    vendors.sandbox.clock.advance(AN_HOUR)
    calls, got = vendors.token_calls(), set[str]()

    def ask() -> None:
        got.add(token_of(either_installation, row)["access_token"])

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1
    assert vendors.token_calls() == calls + 1


_ASK = """
import sys
from connector.installation import Uncounted, open_installation
from connector.settings import load_settings
from connector.access.tokens import fresh_token
installation = open_installation(load_settings())
print("ready", flush=True)
sys.stdin.readline()
print(fresh_token(installation, int(sys.argv[1]), Uncounted())["access_token"])
"""


def test_two_processes_that_need_a_token_at_once_refresh_once(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, consent: GiveConsent, vendors: Vendors
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    installation = open_installation(load_settings())
    row = consent(installation, "xero")[0]
    with writing(installation.engine) as session:
        session.get_one(Grant, row.grant_id).token_expires_at = installation.now() - AN_HOUR
    calls = vendors.token_calls()
    vendors.sandbox.faults.add(Rule("delay", vendor="xero", kind="token", seconds=0.3, times=0))
    arguments = [sys.executable, "-c", _ASK, str(row.grant_id)]
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
    assert vendors.token_calls() == calls + 1
    installation.close()


def test_a_dead_grant_stops_its_companies_with_words_and_no_others(
    installation: Installation, consent: GiveConsent, vendors: Vendors
) -> None:
    xero = consent(installation, "xero")
    (quickbooks,) = consent(installation, "quickbooks")
    vendors.sandbox.xero.sign_in.revoke_all()
    vendors.sandbox.clock.advance(AN_HOUR)
    with pytest.raises(Reconnect, match="duewell connect xero"):
        open_ledger(installation, xero[0].id or 0, Uncounted()).facts()
    assert open_ledger(installation, quickbooks.id or 0, Uncounted()).facts().company.name == quickbooks.name
    with reading(installation.engine) as session:
        rows = list(session.scalars(select(Connection).order_by(Connection.id)))  # type: ignore[arg-type]
    assert [row.health for row in rows] == ["reconnect", "reconnect", "new"]
    assert all("with the button on its page, or with: duewell connect xero" in row.health_why for row in rows[:2])


def test_a_dead_grant_is_not_asked_for_again(
    installation: Installation, consent: GiveConsent, vendors: Vendors
) -> None:
    row = consent(installation, "xero")[0]
    vendors.sandbox.xero.sign_in.revoke_all()
    vendors.sandbox.clock.advance(AN_HOUR)
    calls = vendors.token_calls()
    for _ in range(3):
        with pytest.raises(Reconnect):
            token_of(installation, row)
    assert vendors.token_calls() == calls + 1


def test_a_lost_answer_is_asked_for_again_with_the_old_token(
    installation: Installation, consent: GiveConsent, vendors: Vendors
) -> None:
    row = consent(installation, "xero")[0]
    vendors.sandbox.clock.advance(AN_HOUR)
    vendors.sandbox.faults.add(Rule("drop_after", vendor="xero", kind="token"))
    assert token_of(installation, row)["access_token"]
    assert grant_of(installation, row).refresh_started_at is None


def test_a_vendor_that_is_away_costs_no_grant_and_is_asked_first_thing_after_a_start(
    installation: Installation, consent: GiveConsent, vendors: Vendors
) -> None:
    row = consent(installation, "xero")[0]
    vendors.sandbox.clock.advance(AN_HOUR)
    rule = vendors.sandbox.faults.refuse(503, vendor="xero", kind="token", times=0)
    with pytest.raises(TryLater):
        token_of(installation, row)
    assert rule.fired
    assert grant_of(installation, row).dead_why == ""
    assert len(finish_interrupted_refreshes(installation)) == 1
    vendors.sandbox.faults.clear()
    assert finish_interrupted_refreshes(installation) == []
    assert grant_of(installation, row).refresh_started_at is None


def test_a_refresh_that_a_kill_cut_off_is_finished_at_the_next_start(
    either_installation: Installation, consent: GiveConsent, vendors: Vendors
) -> None:
    row = consent(either_installation, "xero")[0]
    before = token_of(either_installation, row)
    with writing(either_installation.engine) as session:
        session.get_one(Grant, row.grant_id).refresh_started_at = either_installation.now()
    calls = vendors.token_calls()
    assert finish_interrupted_refreshes(either_installation) == []
    assert vendors.token_calls() == calls + 1
    assert token_of(either_installation, row)["refresh_token"] != before["refresh_token"]


def test_a_refused_token_is_looked_up_again_before_the_grant_is_given_up(
    installation: Installation, consent: GiveConsent, vendors: Vendors
) -> None:
    row = consent(installation, "xero")[0]
    vendors.sandbox.clock.advance(AN_HOUR)
    stored = grant_of(installation, row)
    good = fresh_token(installation, row.grant_id or 0, Uncounted())
    with writing(installation.engine) as session:  # as if this process had read an older state than the file has
        grant = session.get_one(Grant, row.grant_id)
        seal_token(installation, grant, {**good, "refresh_token": "stale", "expires_in": 0}, installation.now())

    def meanwhile(_request: object) -> None:
        with writing(installation.engine) as session:
            seal_token(
                installation, session.get_one(Grant, row.grant_id), {**good, "expires_in": 0}, installation.now()
            )

    vendors.sandbox.faults.call(meanwhile, vendor="xero", kind="token", times=1)
    assert token_of(installation, row)["access_token"]
    assert grant_of(installation, row).dead_why == ""
    assert stored.dead_why == ""


def test_a_consent_given_during_a_refresh_wins(
    installation: Installation, consent: GiveConsent, vendors: Vendors
) -> None:
    row = consent(installation, "xero")[0]
    vendors.sandbox.clock.advance(AN_HOUR)
    given: list[JsonObject] = []

    def meanwhile(_request: object) -> None:
        token = {"access_token": "of the new consent", "refresh_token": "new", "expires_in": 1800}
        given.append(token)
        with writing(installation.engine) as session:
            seal_token(installation, session.get_one(Grant, row.grant_id), token, installation.now())

    vendors.sandbox.faults.call(meanwhile, vendor="xero", kind="token", times=1)
    assert token_of(installation, row) == given[0]
    assert token_of(installation, row) == given[0]


def test_no_new_call_leaves_once_duewell_is_stopping(
    installation: Installation, consent: GiveConsent, vendors: Vendors
) -> None:
    row = consent(installation, "xero")[0]
    calls = len(vendors.sandbox.requests)
    installation.stop.set()
    with pytest.raises(TryLater, match="stopping"):
        open_ledger(installation, row.id or 0, Uncounted()).facts()
    assert len(vendors.sandbox.requests) == calls
