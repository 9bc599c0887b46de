"""Payment plans that customers ask for in the portal."""

from __future__ import annotations

import pytest

from connector.arrangements import agreements
from connector.services.invoices import record_agreement
from connector.vocabulary import TaskCode
from tests.connector.portal.conftest import PortalScenario, decision_of, find_row, list_tasks, visible_text

ASKED = {"on": "2026-06-20", "instalments": "3", "interval": "month"}


def test_a_plan_within_the_policy_is_accepted_at_once_or_becomes_a_task(scenario: PortalScenario) -> None:
    asked = {**ASKED, "invoice": find_row(scenario, scenario.overdue).external_id}
    scenario.set_policy('[payment_plans]\napproval = "off"')
    assert "Pay in instalments" not in visible_text(scenario.client.get())
    assert "We offer no payment plan" in visible_text(scenario.client.draft("plan", **asked))
    scenario.set_policy("[payment_plans]\ninstalments_max = 2")
    assert "takes too long" in visible_text(scenario.client.draft("plan", **asked))
    scenario.set_policy("[payment_plans]\ndays_max = 60")
    assert "takes too long" in visible_text(scenario.client.draft("plan", **asked))
    scenario.set_policy("")
    summary = visible_text(scenario.client.draft("plan", **asked))
    assert (
        "Payment 1 20 June 2026: £400.00 Payment 2 20 July 2026: £400.00 Payment 3 20 August 2026: £400.00" in summary
    )
    assert "We will look at your request" in visible_text(scenario.client.submit("plan", **asked))
    scenario.run()
    assert decision_of(scenario, scenario.overdue)[0] == "paused"
    [task] = list_tasks(scenario, TaskCode.PLAN_REQUESTED)
    assert "GBP 400.00 by 20 Jun 2026; GBP 400.00 by 20 Jul 2026; GBP 400.00 by 20 Aug 2026" in task.reason
    assert "The policy leaves the decision to you." in task.reason
    scenario.set_policy('[payment_plans]\napproval = "automatic"')
    accepted = visible_text(scenario.client.submit("plan", **{**asked, "interval": "two-weeks"}))
    assert "Your payment plan is agreed." in accepted
    assert "Payment plan agreed." in accepted
    scenario.run()
    assert decision_of(scenario, scenario.overdue)[0] == "payment_plan"
    assert "Pay in instalments" in visible_text(scenario.client.get())  # of the other invoice
    assert "takes back" not in str(scenario.company.notes(scenario.overdue))


@pytest.mark.parametrize("obstacle", ["disputed", "planned"])
def test_the_policy_accepts_no_plan_for_an_invoice_that_is_disputed_or_planned_already(
    scenario: PortalScenario, obstacle: str
) -> None:
    scenario.set_policy('[payment_plans]\napproval = "automatic"')
    invoice = find_row(scenario, scenario.overdue)
    asked = {**ASKED, "invoice": invoice.external_id}
    if obstacle == "disputed":
        record_agreement(scenario.app, invoice, "ann", agreements.record_dispute, reason="wrong price")
    else:
        scenario.client.submit("plan", **asked)
    answer = visible_text(scenario.client.submit("plan", **{**asked, "interval": "week"}))
    assert "We will look at your request" in answer
    assert any(
        "dispute" in task.reason or "already" in task.reason for task in list_tasks(scenario, TaskCode.PLAN_REQUESTED)
    )
