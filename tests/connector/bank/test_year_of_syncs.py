"""Real syncs of a made company whose customers pay as customers do: nobody whose money is in a statement is reminded.

``python -m benchmarks.bank_syncs`` lives through a whole year of 300 customers.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from benchmarks.bank_syncs import run_year
from benchmarks.bank_year import FIRST, make_year
from tests.connector.scenario import LEDGERS, ScenarioFactory


@pytest.mark.parametrize("provider", LEDGERS)
def test_nobody_is_reminded_of_money_that_a_statement_has(scenario_at: ScenarioFactory, provider: str) -> None:
    year = make_year(3, customers=4, months=1, repeat_numbers=provider == "quickbooks")
    with scenario_at(datetime(FIRST.year, FIRST.month, FIRST.day, 11, tzinfo=UTC), provider) as scenario:
        found = run_year(scenario, year, every_days=7)
    assert found.wrong == []
    assert found.sent > 5, "who has not paid is reminded"
    assert found.needless <= found.sent / 10, "others' money stops few emails"
