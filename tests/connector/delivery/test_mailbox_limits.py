"""A limit of the mailbox in the middle of a batch: the rest is sent later, and nothing twice."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from urllib.parse import urljoin

import pytest
import requests

from connector.connections.consent import begin_consent, finish_consent
from connector.vocabulary import OutboxKind, OutboxState, RunOutcome
from providers.http import TransportLimits
from sandbox.faults import Rule
from tests.connector.scenario import Scenario

NOON = datetime(2026, 6, 10, 10, tzinfo=UTC)
CUSTOMERS = ("Ashdown", "Birch", "Cedar")
WAIT = timedelta(minutes=20)


def sent_to(scenario: Scenario, system: str) -> list[str]:
    """Return the recipients of the emails in the mailbox, sorted."""
    if system == "gmail":
        found = [each for email in scenario.sandbox.gmail.emails() for each in email.envelope]
    else:
        found = [each for email in scenario.sandbox.microsoft365.sent() for each in email.recipients]
    return sorted(each for each in found if each.startswith("accounts@"))


@pytest.mark.parametrize(("system", "applied"), [("microsoft365", False), ("microsoft365", True), ("gmail", False)])
def test_what_a_limit_held_back_is_sent_once_when_it_has_ended(
    scenario_at: Callable[..., AbstractContextManager[Scenario]],
    monkeypatch: pytest.MonkeyPatch,
    system: str,
    *,
    applied: bool,
) -> None:
    with scenario_at(NOON, "xero") as scenario:
        for module in (
            "providers.microsoft365.mailbox",
            "providers.gmail.client",
        ):  # a limit ends by the simulated clock
            monkeypatch.setattr(f"{module}.TransportLimits", partial(TransportLimits, now=scenario.app.now))
        scenario.app = replace(scenario.app, settings=scenario.app.settings.model_copy(update={"mail_service": system}))
        begun = begin_consent(scenario.app, system)
        reply = requests.get(f"{begun.url}&sandbox_allow=1", allow_redirects=False, timeout=10)
        finish_consent(scenario.app, system, urljoin(begun.url, reply.headers["Location"]))
        for name in CUSTOMERS:
            scenario.company.customer(f"{name} Ltd", f"accounts@{name.lower()}.example")
            scenario.company.invoice(f"{name} Ltd", "1200.00", due_on=(NOON - timedelta(days=6)).date())
        scenario.go_live()
        limit = {"Retry-After": str(int(WAIT.total_seconds()))}
        scenario.sandbox.faults.add(
            Rule("refuse", service=system, kind="email", nth=2, status=429, headers=limit, applied=applied)
        )
        assert scenario.run().outcome == RunOutcome.DEFERRED
        assert len(sent_to(scenario, system)) == 1 + applied
        assert scenario.outbox(OutboxState.UNCONFIRMED) == []
        before = len(scenario.sandbox.requests)
        scenario.sandbox.clock.advance(WAIT / 2)
        assert scenario.run().outcome == RunOutcome.DEFERRED
        assert not [each for each in scenario.sandbox.requests[before:] if each.kind == "email"], "it has not ended yet"
        scenario.sandbox.clock.advance(WAIT)
        result = scenario.run()
        assert (result.outcome, result.reason) == (RunOutcome.OK, "")
        assert sent_to(scenario, system) == sorted(f"accounts@{name.lower()}.example" for name in CUSTOMERS)
        emails = [each for each in scenario.outbox() if each.kind == OutboxKind.EMAIL]
        assert [each.state for each in emails] == [OutboxState.DONE] * 3
