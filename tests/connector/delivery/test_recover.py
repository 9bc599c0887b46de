"""A run killed at any of its requests, then run again: nothing is sent twice, and what is uncertain is unconfirmed."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from datetime import timedelta

import pytest

from connector.app_context import open_app
from connector.run import run_connection
from connector.vocabulary import OutboxKind, RunOutcome
from sandbox.faults import Rule
from tests.connector.scenario import Scenario

POLICY = """
[late_fees]
enabled = true
approval = "automatic"
terms_agreed_on = 2025-01-01

[thank_you]
enabled = false
"""
UNPAID_KEPT = 20  # invoices that stay unpaid: old enough for a fee, and so few that runs stay short
# These tests kill at a sample of the requests; the campaign (tests/faults/test_campaign.py) kills at all, in forks.
# Real processes, real SIGKILLs and real sockets at each request are tried by `make faults-long`.
STEP = min(9, int(os.environ.get("FAULTS_EVERY", "9")))
EVERYDAY = [("xero", "hang_after")]
ALL = [(ledger, action) for ledger in ("xero", "quickbooks") for action in ("hang_before", "hang_after")]
MAX_CALLS = 70  # of one run here; more would mean that something repeats endlessly


def run_and_kill(scenario: Scenario, rule: Rule) -> bool:
    """Run in a process of its own and kill it where the rule makes it hang; returns False if the run ended before."""
    scenario.sandbox.faults.add(rule)
    child = os.fork()
    if child == 0:
        try:
            app = open_app(scenario.app.settings, now=scenario.sandbox.clock.now, sleep=scenario.sandbox.clock.sleep)
            run_connection(app, scenario.connection)
        finally:
            os._exit(0)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if scenario.sandbox.faults._hanging:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            scenario.sandbox.faults.clear()
            return True
        if os.waitpid(child, os.WNOHANG)[0]:
            scenario.sandbox.faults.clear()
            return False
        time.sleep(0.002)  # nothing here depends on how long the other process takes
    os.kill(child, signal.SIGKILL)
    pytest.fail("the run neither hung nor ended")


def next_day(scenario: Scenario, day: int) -> None:
    """Advance to the next working day: one more customer is overdue, another's fee is due, the token has expired."""
    while True:
        scenario.sandbox.clock.advance(timedelta(days=1))
        if scenario.sandbox.clock.now().weekday() < 5:
            break
    today = scenario.sandbox.clock.now().date()
    scenario.company.invoice(scenario.company.customer(f"Late{day} Ltd"), "900.00", due_on=today - timedelta(days=9))
    scenario.company.invoice(scenario.company.customer(f"Fee{day} Ltd"), "400.00", due_on=today - timedelta(days=16))
    balances = scenario.company.open_balances()
    for number in scenario.company.numbers[:-UNPAID_KEPT]:
        if balances.get(number):
            scenario.company.pay(number)


@pytest.mark.parametrize(("scenario", "action"), ALL if STEP == 1 else EVERYDAY, indirect=["scenario"])
def test_nothing_is_sent_or_posted_twice_whatever_request_a_run_is_killed_at(scenario: Scenario, action: str) -> None:
    scenario.go_live()
    scenario.set_policy(POLICY)
    for day in range(8):
        next_day(scenario, day)
        scenario.run()
    nth, kills = 1, 0
    while True:
        assert nth < MAX_CALLS
        next_day(scenario, 100 + nth)
        killed = run_and_kill(scenario, Rule(action, nth=nth))
        again = scenario.run()
        assert again.outcome in {RunOutcome.OK, RunOutcome.DEFERRED}, again.reason
        check_once_only(scenario)
        kills += killed
        nth += STEP
        if not killed:
            break
    assert kills >= 12 // STEP  # token, reads, rechecks, links, PDFs, emails, fees and notes were all interrupted
    scenario.sandbox.clock.advance(timedelta(hours=1))
    scenario.run()
    assert scenario.outbox("sending") == []
    check_once_only(scenario)


def check_once_only(scenario: Scenario) -> None:
    """Check at the services: each email, note and fee exists once at most, and each that we count as done exists."""
    sent = Counter(email.custom_args["duewell_key"] for email in scenario.sandbox.sendgrid.emails())
    assert max(sent.values(), default=0) <= 1
    done = {entry.key for entry in scenario.outbox("done") if entry.kind == OutboxKind.EMAIL}
    unconfirmed = {entry.key for entry in scenario.outbox("unconfirmed", "sending")}
    assert {key for key in sent if ":owner_email:" not in key} - done <= unconfirmed
    assert done <= set(sent)
    for number in scenario.company.numbers:
        notes = scenario.company.notes(number)
        assert len(notes) == len(set(notes)), notes
    posted = {
        entry.key for entry in scenario.outbox("done", "sending", "unconfirmed") if entry.kind == OutboxKind.LATE_FEE
    }
    assert len(scenario.company.fees()) <= len(posted)


def test_an_email_that_was_sent_before_the_connection_broke_is_found_and_noted(late_customer: Scenario) -> None:
    late_customer.sandbox.faults.add(Rule("drop_after", service="sendgrid", kind="email"))
    late_customer.run()
    assert len(late_customer.customer_emails()) == 1
    for _run in range(3):
        late_customer.sandbox.clock.advance(timedelta(hours=1))
        late_customer.run()
    assert late_customer.outbox("unconfirmed") == []
    assert len(late_customer.customer_emails()) == 1
    assert len(late_customer.company.notes(late_customer.number)) == 1


@pytest.mark.parametrize("action", ["drop_before", "drop_after"])
def test_a_note_whose_connection_broke_is_added_once(late_customer: Scenario, action: str) -> None:
    late_customer.sandbox.faults.add(Rule(action, service=late_customer.company.provider, kind="write", times=2))
    for _run in range(3):
        late_customer.run()
        late_customer.sandbox.clock.advance(timedelta(hours=1))
    assert len(late_customer.company.notes(late_customer.number)) == 1
    assert late_customer.outbox("sending", "unconfirmed") == []


@pytest.mark.parametrize("scenario", ["xero"], indirect=True)
@pytest.mark.parametrize(("age", "searched"), [(timedelta(0), True), (timedelta(seconds=1), False)])
def test_an_unconfirmed_email_is_searched_for_three_days(
    late_customer: Scenario, age: timedelta, *, searched: bool
) -> None:
    late_customer.sandbox.faults.add(Rule("drop_before", service="sendgrid", kind="email"))
    late_customer.run()
    [entry] = late_customer.outbox("unconfirmed")
    assert entry.dispatched_at is not None
    late_customer.sandbox.clock.set(entry.dispatched_at + timedelta(days=3) + age)
    before = late_customer.sandbox.requests.count_of("sendgrid")
    late_customer.run()
    asked = [each for each in late_customer.sandbox.requests.filter_by("sendgrid")[before:] if "/v3/logs" in each.path]
    assert bool(asked) is searched
