"""A run killed at any of its outgoing requests, then run again: nothing twice, and what is uncertain is a doubt."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from connector.app_context import open_app
from connector.run import run_connection
from sandbox.faults import Rule

POLICY = """
[late_fees]
enabled = true
approval = "automatic"
terms_agreed_on = 2025-01-01

[thank_you]
enabled = false
"""
UNPAID_KEPT = (
    20  # invoices that stay unpaid: the last days', old enough for a fee, and no more, so that runs stay short
)
# Everyday tests kill at a sample of the requests: the campaign (tests/faults/test_campaign.py) kills at all, in forks.
# What a real process, a real SIGKILL and real sockets add is tried at each request by `make faults-long`.
STEP = min(9, int(os.environ.get("FAULTS_EVERY", "9")))
EVERYDAY = [("xero", "hang_after")]
ALL = [(ledger, action) for ledger in ("xero", "quickbooks") for action in ("hang_before", "hang_after")]
MAX_CALLS = 60  # of one run here; more would mean that something repeats itself


def run_and_kill(scenario: Any, rule: Rule) -> bool:
    """Run in a process of its own and kill that one where the rule hangs it; False if the run came to its end first."""
    scenario.sandbox.faults.add(rule)
    child = os.fork()
    if child == 0:
        try:
            own = open_app(scenario.app.settings, now=scenario.sandbox.clock.now)
            run_connection(own, scenario.connection)
        finally:
            os._exit(0)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if scenario.sandbox.faults._hung:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            scenario.sandbox.faults.clear()
            return True
        if os.waitpid(child, os.WNOHANG)[0]:
            scenario.sandbox.faults.clear()
            return False
        time.sleep(0.002)  # the other process decides when; nothing here depends on how long it takes
    os.kill(child, signal.SIGKILL)
    pytest.fail("the run neither hung nor ended")


def next_day(scenario: Any, day: int) -> None:
    """A working day later: one more customer falls late, another's fee becomes possible; the token has run out."""
    while True:
        scenario.sandbox.clock.advance(timedelta(days=1))
        if scenario.sandbox.clock.now().weekday() < 5:
            break
    today = scenario.sandbox.clock.now().date()
    scenario.company.invoice(scenario.company.customer(f"Late{day} Ltd"), "900.00", due_on=today - timedelta(days=9))
    scenario.company.invoice(scenario.company.customer(f"Fee{day} Ltd"), "400.00", due_on=today - timedelta(days=16))
    dues = scenario.company.open_balances()
    for number in scenario.company.numbers[:-UNPAID_KEPT]:
        if dues.get(number):
            scenario.company.pay(number)


@pytest.mark.parametrize(("scenario", "action"), ALL if STEP == 1 else EVERYDAY, indirect=["scenario"])
def test_no_mail_note_or_fee_twice_whatever_request_a_run_is_killed_at(scenario: Any, action: str) -> None:
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
        assert again.outcome in {"ok", "deferred"}, again.reason
        check_once_only(scenario)
        kills += killed
        nth += STEP
        if not killed:
            break
    assert kills >= 12 // STEP  # sign-in, reads, looks, links, PDFs, mails, fees and notes were all cut once
    scenario.sandbox.clock.advance(timedelta(hours=1))
    scenario.run()
    assert scenario.outbox("sending") == []
    check_once_only(scenario)


def check_once_only(scenario: Any) -> None:
    """Count at the vendors: each mail, note and fee at most once; each deed of ours is there; the rest is in doubt."""
    mails = Counter(mail.custom_args["duewell_key"] for mail in scenario.sandbox.sendgrid.emails())
    assert max(mails.values(), default=0) <= 1
    done = {entry.key for entry in scenario.outbox("done") if entry.kind == "email"}
    doubtful = {entry.key for entry in scenario.outbox("unconfirmed", "sending")}
    assert {key for key in mails if ":owner_mail:" not in key} - done <= doubtful
    assert done <= set(mails)
    for number in scenario.company.numbers:
        notes = scenario.company.notes(number)
        assert len(notes) == len(set(notes)), notes
    posted = {entry.key for entry in scenario.outbox("done", "sending", "unconfirmed") if entry.kind == "late_fee"}
    assert len(scenario.company.fees()) <= len(posted)
