"""Families: whose money counts for whom, and who is written to about a sub-customer's invoices."""

from __future__ import annotations

from connector.sync.mirror.families import Families, FamilyLink


def test_a_sub_customer_is_billed_with_its_parent_or_themselves() -> None:
    families = Families([FamilyLink("east", "group", is_billed=True), FamilyLink("west", "group", is_billed=False)])
    assert families.payer("east") == "group"
    assert families.payer("west") == "west"
    assert families.billed_to("group") == ["group", "east"]
    assert families.relatives("west") == ["east", "group", "west"]


def test_three_levels_are_billed_to_the_top_as_far_as_each_says_so() -> None:
    all_billed = Families([FamilyLink("east", "group", is_billed=True), FamilyLink("site", "east", is_billed=True)])
    assert all_billed.billed_to("group") == ["group", "east", "site"]
    half = Families([FamilyLink("east", "group", is_billed=False), FamilyLink("site", "east", is_billed=True)])
    assert half.payer("site") == "east"
    assert half.relatives("site") == ["east", "group", "site"]


def test_a_circle_of_parents_ends() -> None:
    families = Families([FamilyLink("a", "b", is_billed=True), FamilyLink("b", "a", is_billed=True)])
    assert families.relatives("a") == families.relatives("b") == ["a", "b"]
    assert (families.billed_to("a"), families.billed_to("b")) == (["a"], ["b"])  # nobody gets two emails


def test_a_customer_without_family_is_alone() -> None:
    families = Families([FamilyLink("east", "group", is_billed=True)])
    assert (families.payer("x"), families.relatives("x"), families.billed_to("x")) == ("x", ["x"], ["x"])
