"""How late fees are booked: by the ledger's default and its reason, or as a person chose, once."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from connector.connections import fee_booking

TODAY = date(2026, 6, 10)
POLICY = """
[late_fees]
enabled = true
terms_agreed_on = 2025-01-01
approval = "automatic"
"""


@pytest.mark.parametrize("provider", ["xero", "quickbooks"])
def test_a_choice_is_explained_made_once_and_booked(scenario_at: Any, noon: Any, provider: str) -> None:
    with scenario_at(noon, provider) as scenario:
        scenario.company.customer("Ashdown Ltd")
        scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=date(2026, 6, 4))
        scenario.go_live()
        by_itself = {one["setting"]: one for one in fee_booking.describe_booking(scenario.app, scenario.connection)}
        part = {"xero": "account", "quickbooks": "item"}[provider]
        assert set(by_itself) == {"xero": {"account", "tax", "theme"}, "quickbooks": {"item", "tax"}}[provider]
        assert by_itself[part]["reason"] not in {"", "the ledger decides"}
        other = by_itself[part]["alternatives"][0]
        with pytest.raises(fee_booking.NoSuchChoice, match=other["name"]):
            fee_booking.save_choices(scenario.app, scenario.connection, {part: "nothing of that name"})
        fee_booking.save_choices(scenario.app, scenario.connection, {part: other["name"]}, by="Ann")
        chosen = {one["setting"]: one for one in fee_booking.describe_booking(scenario.app, scenario.connection)}[part]
        assert (chosen["id"], chosen["reason"]) == (other["id"], "a person chose it")
        scenario.set_policy(POLICY)
        for _day in range(12):
            if scenario.company.fees():
                break
            assert scenario.run().outcome == "ok"
            scenario.pass_days(2)
        [number] = scenario.company.fees()
        assert booked_as(scenario, number) == other["id"]
        assert scenario.company.fees()[number] == Decimal(12)
        fee_booking.save_choices(scenario.app, scenario.connection, {part: "default"})
        assert {one["setting"]: one for one in fee_booking.describe_booking(scenario.app, scenario.connection)}[part][
            "name"
        ] == (by_itself[part]["name"])


def booked_as(scenario: Any, number: str) -> str:
    found = scenario.company.simulator.find(number, **scenario.company.company_filter)
    if scenario.company.provider == "xero":
        return str(found.lines[0].account_code)
    return str(found["Line"][0]["SalesItemLineDetail"]["ItemRef"]["value"])
