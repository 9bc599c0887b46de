"""Asking the policy: when everybody is decided about anew, and when nobody is."""

from __future__ import annotations

from datetime import timedelta

import pytest

from connector.arrangements import agreements, suppressions
from connector.db.engine import reading, writing
from connector.db.tables import InvoiceRow
from connector.outbox.entries import UNSENT_STATES
from connector.services import invoices
from tests.connector.scenario import Scenario

pytestmark = pytest.mark.parametrize("scenario", ["xero"], indirect=True)


def invoice_row(scenario: Scenario) -> InvoiceRow:
    with reading(scenario.app.engine) as session:
        return invoices.find_invoice(session, scenario.number)


def test_nobody_is_decided_about_where_nothing_has_changed(late_customer: Scenario) -> None:
    assert late_customer.run().counts["decisions"] == 1
    late_customer.run()  # the email that was sent is a change
    counts = late_customer.run().counts
    assert (counts["unchanged"], counts.get("decisions")) == (1, None)


@pytest.mark.parametrize("change", ["policy", "agreement", "day"])
def test_what_decisions_depend_on_brings_new_ones(late_customer: Scenario, change: str) -> None:
    for _run in range(3):
        late_customer.run()
    if change == "policy":
        late_customer.set_policy('tone = "firm"\n')
    elif change == "agreement":
        invoices.record_agreement(
            late_customer.app, invoice_row(late_customer), "Ann", agreements.record_dispute, reason="broken"
        )
    else:
        late_customer.sandbox.clock.advance(timedelta(days=1))
    assert late_customer.run().counts["decisions"] == 1


def test_a_dry_run_decides_even_where_nothing_has_changed_and_plans_nothing(late_customer: Scenario) -> None:
    for _run in range(3):
        late_customer.run()
    assert late_customer.run(dry_run=True).counts["decisions"] == 1
    assert late_customer.outbox(*UNSENT_STATES) == []


def test_nobody_is_decided_about_again_before_a_day_or_a_send_window_begins_or_ends(late_customer: Scenario) -> None:
    for _run in range(3):
        late_customer.run()  # at noon; emails are sent until 18:00
    decided = []
    for _hour in range(14):
        late_customer.sandbox.clock.advance(timedelta(hours=1))
        decided.append(bool(late_customer.run().counts.get("decisions")))
    assert [hour for hour, again in enumerate(decided, 13) if again] == [18, 24]


def test_a_clock_that_was_wrong_for_an_hour_brings_new_decisions(late_customer: Scenario) -> None:
    for _run in range(3):
        late_customer.run()
    late_customer.sandbox.clock.advance(timedelta(hours=-1))
    assert late_customer.run().counts["decisions"] == 1


def test_a_suppressed_address_brings_new_decisions_at_once(late_customer: Scenario) -> None:
    for _run in range(3):
        late_customer.run()
    with writing(late_customer.app.engine) as session:
        suppressions.suppress(session, "accounts@late.example", "bounced", late_customer.app.now())
    late_customer.sandbox.clock.advance(timedelta(hours=1))
    assert late_customer.run().counts["decisions"] == 1
