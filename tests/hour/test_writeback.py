"""How late fees are booked: by the ledger's default and its reason, or as a person chose, once."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from connector.people import writeback

TODAY = date(2026, 6, 10)
POLICY = """
[late_fees]
enabled = true
terms_agreed_on = 2025-01-01
approval = "automatic"
"""


@pytest.mark.parametrize("provider", ["xero", "quickbooks"])
def test_a_choice_is_explained_made_once_and_booked(town_at: Any, noon: Any, provider: str) -> None:
    with town_at(noon, provider) as town:
        town.books.customer("Ashdown Ltd")
        town.books.invoice("Ashdown Ltd", "1200.00", due_on=date(2026, 6, 4))
        town.live()
        by_itself = {one["part"]: one for one in writeback.describe(town.installation, town.connection)}
        part = {"xero": "account", "quickbooks": "item"}[provider]
        assert set(by_itself) == {"xero": {"account", "tax", "theme"}, "quickbooks": {"item", "tax"}}[provider]
        assert by_itself[part]["why"] not in {"", "the ledger decides"}
        other = by_itself[part]["others"][0]
        with pytest.raises(writeback.NoSuchChoice, match=other["name"]):
            writeback.choose(town.installation, town.connection, {part: "nothing of that name"})
        writeback.choose(town.installation, town.connection, {part: other["name"]}, by="Ann")
        chosen = {one["part"]: one for one in writeback.describe(town.installation, town.connection)}[part]
        assert (chosen["id"], chosen["why"]) == (other["id"], "a person chose it")
        town.policy(POLICY)
        for _day in range(12):
            if town.books.fees():
                break
            assert town.run().outcome == "ok"
            town.pass_days(2)
        [number] = town.books.fees()
        assert booked_as(town, number) == other["id"]
        assert town.books.fees()[number] == Decimal(12)
        writeback.choose(town.installation, town.connection, {part: "default"})
        assert {one["part"]: one for one in writeback.describe(town.installation, town.connection)}[part]["name"] == (
            by_itself[part]["name"]
        )


def booked_as(town: Any, number: str) -> str:
    found = town.books.desk.find(number, **town.books.where)
    if town.books.provider == "xero":
        return str(found.lines[0].account_code)
    return str(found["Line"][0]["SalesItemLineDetail"]["ItemRef"]["value"])
