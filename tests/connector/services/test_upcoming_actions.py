"""What is foreseen for the days ahead, against what happens on them."""

from __future__ import annotations

import pytest

from connector.services.upcoming_actions import list_upcoming
from connector.vocabulary import UpcomingKind
from policies.receivables import Step
from tests.connector.scenario import Scenario, days

FEES = (
    '[late_fees]\nenabled = true\nterms_agreed_on = 2025-01-01\napproval = "automatic"\nkind = "percent"\nrate = 1\n'
    "max_annual_percent = 100\n"
)


@pytest.mark.parametrize("scenario", ["xero"], indirect=True)
def test_a_late_fee_is_foreseen_for_the_day_on_which_it_is_charged(scenario: Scenario) -> None:
    """No reminder has warned of it yet: the one that is foreseen will."""
    scenario.company.customer("Ashdown Ltd")
    scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=days(-1))
    scenario.go_live().set_policy(FEES)
    scenario.run()
    foreseen = list_upcoming(scenario.app, scenario.connection, 30)
    [fee] = [item for item in foreseen if item.kind is UpcomingKind.LATE_FEE]
    assert fee.amount == "12.00"
    scenario.run_for_days((fee.at.date() - scenario.today).days, weekends=True)
    assert scenario.company.fees() == {}
    scenario.run()
    assert [f"{amount:.2f}" for amount in scenario.company.fees().values()] == ["12.00"]


@pytest.mark.parametrize("scenario", ["xero"], indirect=True)
def test_the_email_about_a_payment_that_came_back_is_foreseen_once(scenario: Scenario) -> None:
    scenario.company.customer("Ashdown Ltd")
    number = scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=days(10), on=days(-2))
    scenario.go_live()
    scenario.company.pay(number)
    scenario.run()
    scenario.pass_days(1)
    scenario.company.delete_payment(number)
    scenario.run()
    emails = [item for item in list_upcoming(scenario.app, scenario.connection, 40) if item.kind is UpcomingKind.EMAIL]
    assert [item.step for item in emails].count(Step.PAYMENT_RETURNED) == 1
    assert Step.PAST_DUE in [item.step for item in emails]  # reminders continue after it
    assert not [
        item.reason for item in emails if " ago" in item.reason or ", in " in item.reason
    ]  # read before its day
