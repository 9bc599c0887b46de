"""Every network fault at every kind of call of a run: nothing happens twice, is lost or stays unfinished.

`make faults-long` tries all of them, the everyday tests a sample; the campaign does the same without sockets.
"""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from sqlalchemy import select
from sqlmodel import col

from connector.audit import sync_log
from connector.db.engine import reading
from connector.db.tables import Connection, OutboxEntry, SyncLogEntry, SyncRun
from connector.run import RunResult
from connector.vocabulary import ConnectionHealth, OutboxKind, OutboxState, RunOutcome
from sandbox.faults import Rule
from tests.connector.scenario import Scenario
from tests.faults.campaign.planted_bugs import PLANTED
from tests.faults.campaign.recovery import INTERNAL_ERROR
from tests.faults.conftest import FastScenarioFactory

POLICY = """
[late_fees]
enabled = true
approval = "automatic"
terms_agreed_on = 2025-01-01
"""
START = datetime(2026, 6, 1, 11, 0, tzinfo=UTC)  # a Monday, noon in London
TIMEOUT_S = 1.0  # long for a healthy service on a busy machine
WARM_UP_DAYS = 7  # until a fee is due every day
CASES_PER_LOT = 24  # cases in one scenario
SAMPLE_EVERY = int(os.environ.get("FAULTS_EVERY", "61"))  # 1: all of them
IN_2035 = "Mon, 01 Jan 2035 00:00:00 GMT"

FAULTS: dict[str, dict[str, Any]] = {
    **{f"rejected_{status}": {"action": "refuse", "status": status} for status in (401, 403, 404, 409, 413)},
    "limit": {"action": "refuse", "status": 429},
    "limit_1": {"action": "refuse", "status": 429, "headers": {"Retry-After": "1"}},
    "limit_absurd": {"action": "refuse", "status": 429, "headers": {"Retry-After": "99999999999"}},
    "limit_date": {"action": "refuse", "status": 429, "headers": {"Retry-After": IN_2035}},
    "failed": {"action": "refuse", "status": 500},
    "failed_applied": {"action": "refuse", "status": 500, "applied": True},
    "busy": {"action": "refuse", "status": 503, "body": "<html>busy</html>"},
    "dropped": {"action": "drop_before"},
    "dropped_applied": {"action": "drop_after"},
    "reset": {"action": "drop_before", "reset": True},
    "reset_applied": {"action": "drop_after", "reset": True},
    "cut_short": {"action": "truncate"},
    "html": {"action": "html"},
    "html_applied": {"action": "html", "applied": True},
    "malformed": {"action": "malformed"},
    "redirected": {"action": "refuse", "status": 302, "headers": {"Location": "http://elsewhere.invalid/"}},
    "dripped": {"action": "drip", "seconds": 0.005},
    "silent": {"action": "hang_before"},
    "silent_applied": {"action": "hang_after"},
}
EMAIL_CALLS: dict[str, dict[str, Any]] = {
    "email": {"service": "sendgrid", "kind": "email"},
    "suppressions": {"service": "sendgrid", "path": "/v3/(suppression|asm)"},
}
CALLS: dict[str, dict[str, dict[str, Any]]] = {
    "xero": {
        "token": {"service": "xero", "kind": "token"},
        "organisation": {"service": "xero", "path": "/Organisation"},
        "invoices": {"service": "xero", "method": "GET", "path": "/Invoices$", "query": "order="},
        "contacts": {"service": "xero", "path": "/Contacts$"},
        "recheck": {"service": "xero", "query": "IDs="},
        "pay_link": {"service": "xero", "path": "/OnlineInvoice"},
        "pdf": {"service": "xero", "method": "GET", "path": r"/Invoices/[0-9a-f-]{36}$"},
        "note": {"service": "xero", "method": "PUT", "path": "/History$"},
        "fee": {"service": "xero", "method": "PUT", "path": "/Invoices$"},
        **EMAIL_CALLS,
    },
    "quickbooks": {
        "token": {"service": "quickbooks", "kind": "token"},
        "changes": {"service": "quickbooks", "path": "/cdc$"},
        "query": {"service": "quickbooks", "path": "/query$"},
        "second_query": {"service": "quickbooks", "path": "/query$", "nth": 2},
        "third_query": {"service": "quickbooks", "path": "/query$", "nth": 3},
        "recheck": {"service": "quickbooks", "path": "/cdc$", "nth": 2},
        "pay_link": {"service": "quickbooks", "query": "invoiceLink"},
        "pdf": {"service": "quickbooks", "path": "/pdf$"},
        "note": {"service": "quickbooks", "method": "POST", "path": "/(attachable|batch)$"},
        "fee": {"service": "quickbooks", "method": "POST", "path": "/invoice$"},
        **EMAIL_CALLS,
    },
}
SECRETS = re.compile(r"[Bb]earer [\w.-]{12}|SG\.[\w-]{8}|refresh_token=|client_secret=|eyJ[\w-]{20}")


class Case(NamedTuple):
    """One fault at one kind of call, so many ``times``; 0 for the whole run."""

    provider: str
    fault: str
    call: str
    times: int = 1

    @property
    def rule(self) -> Rule:
        return Rule(**{"times": self.times, **FAULTS[self.fault], **CALLS[self.provider][self.call]})


def sample_cases(provider: str) -> list[list[Case]]:
    """All cases of a ledger, or every so many-th, in lots that one scenario bears."""
    pairs = [(fault, call) for fault in FAULTS for call in CALLS[provider]]
    cases = [Case(provider, fault, call, 1 + n % 2) for n, (fault, call) in enumerate(pairs)]
    chosen = cases[::SAMPLE_EVERY]
    return [chosen[at : at + CASES_PER_LOT] for at in range(0, len(chosen), CASES_PER_LOT)]


LOTS = [pytest.param(p, lot, id=f"{p}-{n}") for p in CALLS for n, lot in enumerate(sample_cases(p))]


_SENT = {OutboxState.DONE, OutboxState.UNCONFIRMED, OutboxState.SENDING}


class LiveCompany:
    """A live scenario where every working day one more customer falls late and another's fee becomes possible."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.day = 0
        self.runs = 0
        scenario.go_live()
        scenario.set_policy(POLICY)
        for _ in range(WARM_UP_DAYS):
            self.next_day()
            self.run()
        self.assert_finished("warm-up")

    def next_day(self) -> str:
        """Advance to the next working day, a minute later than the day before, and add an overdue invoice."""
        self.day += 1
        clock = self.scenario.sandbox.clock
        on = clock.now().date() + timedelta(days=1)
        while on.weekday() >= 5:
            on += timedelta(days=1)
        clock.set(datetime(on.year, on.month, on.day, 11, 0, tzinfo=UTC) + timedelta(minutes=self.day))
        name = self.scenario.company.customer(f"Late{self.day:03} Ltd")
        return str(self.scenario.company.invoice(name, f"{100 + self.day}.00", due_on=on - timedelta(days=9)))

    def run(self) -> RunResult:
        self.runs += 1
        return self.scenario.run()

    def run_with_fault(self, case: Case) -> int:
        """Run a day with a fault, let it recover, and return how often the fault fired."""
        self.next_day()
        rule = self.scenario.sandbox.faults.add(case.rule)
        result = self.run()
        self.scenario.sandbox.faults.clear()
        if "token" in case.call and result.outcome == RunOutcome.DEFERRED:
            with reading(self.scenario.app.engine) as session:
                next_run_at = session.get_one(Connection, self.scenario.connection).next_run_at
            assert next_run_at is not None
            patience = timedelta(days=1) if "limit" in case.fault else timedelta(minutes=6)
            assert next_run_at - self.scenario.sandbox.clock.now() <= patience, case
        assert INTERNAL_ERROR not in result.reason, (case, result.reason)
        self.check(str(case))
        self.reconnect_if_needed()
        for minutes in (5, 60):  # a lost token is requested again while the old one is still valid
            self.scenario.sandbox.clock.advance(timedelta(minutes=minutes))
            assert self.run().outcome in {RunOutcome.OK, RunOutcome.DEFERRED}, case
        if case.fault in {"limit_absurd", "limit_date"}:  # it asked to wait for a day
            self.scenario.sandbox.clock.advance(timedelta(days=1))
            self.next_day()
            self.run()
        self.assert_finished(str(case))
        return int(rule.fired)

    def reconnect_if_needed(self) -> None:
        """Reconnect where the authorisation expired, as a user does."""
        with reading(self.scenario.app.engine) as session:
            health = session.get_one(Connection, self.scenario.connection).health
        if health == ConnectionHealth.AUTHORIZATION_EXPIRED:
            self.scenario.connect()

    def check(self, label: str) -> None:
        """Assert that each email, note and fee at the services exists at most once, and is recorded."""
        scenario = self.scenario
        emails = Counter(email.custom_args["duewell_key"] for email in scenario.sandbox.sendgrid.emails())
        assert max(emails.values(), default=0) <= 1, label
        entries = scenario.outbox()
        done = {e.key for e in entries if e.state == OutboxState.DONE and e.kind == OutboxKind.EMAIL}
        known = {e.key for e in entries if e.state in _SENT}
        assert done <= set(emails), f"{label}: marked as sent, but the email service does not have it"
        assert {key for key in emails if ":owner_email:" not in key} <= known, f"{label}: sent, but not recorded"
        for number in scenario.company.numbers:
            marks = [re.findall(r"\[duewell (\w+)\]", note) for note in scenario.company.notes(number)]
            assert len(marks) == len({str(mark) for mark in marks}), f"{label}: a note twice"
        fees = fee_numbers(scenario)
        assert len(fees) == len(set(fees)), f"{label}: a fee twice"
        assert len(fees) <= len([e for e in entries if e.kind == OutboxKind.LATE_FEE and e.key in known]), label

    def assert_finished(self, label: str) -> None:
        """Assert that nothing is unfinished after the faults, and everything unconfirmed is shown."""
        self.check(label)
        left = [(e.kind, e.state, e.response) for e in self.scenario.outbox("planned", "awaiting_approval", "sending")]
        assert left == [], f"{label}: {left}"
        with reading(self.scenario.app.engine) as session:
            open_runs = session.scalars(select(SyncRun).where(col(SyncRun.ended_at).is_(None))).all()
        assert open_runs == [], label

    def find_secrets(self, logged: str) -> list[str]:
        """Return the secrets found in what is stored in plain text or was logged."""
        settings = self.scenario.app.settings
        own = {settings.sendgrid_api_key, settings.xero_client_secret, settings.quickbooks_client_secret} - {""}
        with reading(self.scenario.app.engine) as session:
            assert sync_log.verify(session).ok
            texts = [f"{line.text} {line.facts}" for line in session.scalars(select(SyncLogEntry))]
            texts += [f"{row.response} {row.payload} {row.reason}" for row in session.scalars(select(OutboxEntry))]
        whole = "\n".join([*texts, logged])
        return [whole[max(0, m.start() - 80) : m.end() + 20] for m in SECRETS.finditer(whole)] + [
            each for each in own if each in whole
        ]


def fee_numbers(scenario: Scenario) -> list[str]:
    company = scenario.company
    if company.provider == "xero":
        numbers = [invoice.number for invoice in company.simulator.invoices(company.external_id)]
    else:
        numbers = [invoice["DocNumber"] for invoice in company.simulator.invoices()]
    return [number for number in numbers if number.startswith("LF-")]


@pytest.mark.parametrize(("provider", "lot"), LOTS)
def test_no_network_fault_makes_anything_happen_twice_or_not_at_all(
    fast_scenario_at: FastScenarioFactory, provider: str, lot: list[Case], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with fast_scenario_at(START, provider, TIMEOUT_S) as scenario:
        company = LiveCompany(scenario)
        fired = {case: company.run_with_fault(case) for case in lot}
        assert company.find_secrets(caplog.text) == []
        states = Counter(entry.state for entry in scenario.outbox())
        print(f"\n{provider}: {len(lot)} faults, {company.runs} runs, {dict(states)}")  # noqa: T201 - the count
    never = [case for case, times in fired.items() if not times]
    assert never == []


# Planted bugs: these tests are worth something only if they find them.

BUGS = {bug.name: bug for bug in PLANTED}
CASES = [
    ("an email is sent again after a lost reply", Case("xero", "silent_applied", "email")),
    ("an email is sent again after a lost reply", Case("quickbooks", "failed_applied", "email")),
    ("a reply without an id is taken for an acceptance", Case("xero", "html", "email")),
    ("an unconfirmed delivery is planned again", Case("quickbooks", "dropped_applied", "email")),
    ("a fee's number counts the attempts", Case("quickbooks", "dropped_applied", "fee")),
    ("interrupted calls are never recovered", Case("xero", "dropped", "note", 2)),
    ("after a limit it is never tried again", Case("xero", "limit", "email")),
]
SELECTED_CASES = CASES if SAMPLE_EVERY == 1 else CASES[4:5]


@pytest.mark.parametrize(("name", "case"), SELECTED_CASES)
def test_a_planted_bug_is_found_by_its_case(
    fast_scenario_at: FastScenarioFactory, monkeypatch: pytest.MonkeyPatch, name: str, case: Case
) -> None:
    bug = BUGS[name]
    with fast_scenario_at(START, case.provider, TIMEOUT_S) as scenario:
        company = LiveCompany(scenario)
        for owner, function in bug.targets:
            monkeypatch.setattr(owner, function, bug.replacement)
        with pytest.raises(AssertionError):
            company.run_with_fault(case)
