"""Asking the policy: when everybody is decided about anew, and when nobody is."""

from __future__ import annotations

from datetime import timedelta

import pytest

from connector.arrangements import agreements
from connector.db.engine import reading
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
