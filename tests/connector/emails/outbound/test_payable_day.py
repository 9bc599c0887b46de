"""An invoice due on no business day: the emails name the day that takes its place, and count from it."""

from __future__ import annotations

from datetime import date

from tests.connector.scenario import Scenario

SATURDAY = date(2026, 6, 13)
POLICY = """
[late_fees]
due_on_weekend = "next_business_day"

[before_due]
new = { large = -7, medium = -7, small = -7 }
"""


def test_the_day_that_takes_the_place_of_a_saturday_is_named_and_counted_from(scenario: Scenario) -> None:
    scenario.company.customer("Ashdown Ltd")
    scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=SATURDAY)
    scenario.set_policy(POLICY)
    scenario.go_live().run()
    scenario.run_for_days(12)
    early, on_monday, late = scenario.sandbox.sendgrid.emails_to("accounts@ashdown.example")[:3]
    assert "due 13 Jun 2026, payable by 15 Jun 2026" in early.text
    assert "due 13 Jun 2026, payable by 15 Jun 2026" in on_monday.text
    assert "13 Jun 2026, today" not in on_monday.text
    assert "was due on 13 June 2026. As 13 June 2026 was not a business day, a payment made today is in time" in (
        on_monday.text.replace("\xa0", " ")
    )
    assert "due today" not in f"{on_monday.subject} {on_monday.text} {on_monday.html}"
    assert "overdue, counted from 15 Jun 2026" in late.text
