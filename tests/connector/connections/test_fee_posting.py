"""How late fees are posted: by the ledger's default and its reason, or as a user chose."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

import pytest

from connector.connections import fee_posting
from connector.connections.fee_posting import PostingSetting
from tests.connector.scenario import Scenario, ScenarioFactory

POLICY = """
[late_fees]
enabled = true
terms_agreed_on = 2025-01-01
approval = "automatic"
"""


def describe(scenario: Scenario) -> dict[str, PostingSetting]:
    return {each.setting: each for each in fee_posting.describe_fee_posting(scenario.app, scenario.connection)}


@pytest.mark.parametrize("provider", ["xero", "quickbooks"])
def test_a_choice_is_described_stored_and_posted(scenario_at: ScenarioFactory, noon: datetime, provider: str) -> None:
    with scenario_at(noon, provider) as scenario:
        scenario.company.customer("Ashdown Ltd")
        scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=date(2026, 6, 4))
        scenario.go_live()
        setting = {"xero": "account", "quickbooks": "item"}[provider]
        defaults = describe(scenario)
        assert set(defaults) == {"xero": {"account", "tax", "theme"}, "quickbooks": {"item", "tax"}}[provider]
        assert defaults[setting].reason not in {"", "decided by the accounting system"}
        other = defaults[setting].alternatives[0]
        with pytest.raises(fee_posting.UnknownOption, match=other.name):
            fee_posting.save_choices(scenario.app, scenario.connection, {setting: "nothing of that name"})
        fee_posting.save_choices(scenario.app, scenario.connection, {setting: other.name}, by="Ann")
        chosen = describe(scenario)[setting]
        assert (chosen.id, chosen.reason) == (other.id, "chosen by a user")
        scenario.set_policy(POLICY)
        for _run in range(12):
            if scenario.company.fees():
                break
            assert scenario.run().outcome == "ok"
            scenario.pass_days(2)
        [number] = scenario.company.fees()
        assert posted_to(scenario, number) == other.id
        assert scenario.company.fees()[number] == Decimal(12)
        fee_posting.save_choices(scenario.app, scenario.connection, {setting: "default"})
        assert describe(scenario)[setting].name == defaults[setting].name


def posted_to(scenario: Scenario, number: str) -> str:
    found = scenario.company.simulator.find(number, **scenario.company.company_filter)
    if scenario.company.provider == "xero":
        return str(found.lines[0].account_code)
    return str(found["Line"][0]["SalesItemLineDetail"]["ItemRef"]["value"])
