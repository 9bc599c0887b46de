"""The announcement of a late fee: its figure and its date, and neither where it would not be true."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from connector.emails.outbound.email_facts import FeeWarning
from connector.emails.outbound.fee_warning import fee_warning
from policies.policy import ReminderPolicy
from policies.receivables import PastAction, Step
from tests.policies.builders import KNOWN_CUSTOMER, MONDAY, at, overdue_invoice, sent_email, statement

TERMS = "[late_fees]\nenabled = true\nterms_agreed_on = 2022-01-31\n"


def warning_for(lines: str, days_late: int, *past_actions: PastAction, **facts: Any) -> FeeWarning | None:
    invoice = overdue_invoice(days_late, total="1200", **facts)
    rules = ReminderPolicy.from_toml(TERMS + lines)
    return fee_warning(rules, statement(invoice, past_actions=past_actions), [invoice], Step.PAST_DUE, MONDAY)


@pytest.mark.parametrize(
    ("lines", "days_late", "kind", "figure"),
    [
        ('preset = "uk"', 7, "per_year", "11.75"),
        ('preset = "uk"', 170, "unspecified", "0"),  # late since June: that half-year's rate is from memory
        ('preset = "uk"\nrates = { "2026-01-01" = 11.75 }', 170, "per_year", "11.75"),
        ('preset = "australia"', 7, "unspecified", "0"),
        ('preset = "australia"\nrate = 8', 7, "per_year", "8"),
        ("rate = 1.5", 7, "once", "1.5"),
    ],
)
def test_no_unverified_figure_is_announced(lines: str, days_late: int, kind: str, figure: str) -> None:
    warning = warning_for(lines, days_late)
    assert warning is not None
    assert (warning.kind, warning.figure) == (kind, Decimal(figure))


def test_the_date_is_announced_only_while_it_is_in_the_future() -> None:
    first = sent_email(Step.PAST_DUE, MONDAY - timedelta(days=30))
    coming, over = warning_for("rate = 1", 7), warning_for("rate = 1", 40, first)
    assert coming is not None
    assert coming.from_on == date(2026, 12, 7)
    assert over is not None
    assert over.from_on is None


def test_a_fee_that_is_charged_once_is_not_announced_again() -> None:
    charged = PastAction(
        Step.LATE_FEE, "i1", at(MONDAY), MONDAY - timedelta(days=9), is_contact=False, recurrence_key="once"
    )
    assert warning_for("rate = 1", 40, charged) is None
    assert warning_for('kind = "percent_per_month"', 70, replace(charged, recurrence_key="2026-09")) is not None


def test_no_fee_is_announced_to_private_customers() -> None:
    invoice = overdue_invoice(7)
    private = statement(invoice, customer=replace(KNOWN_CUSTOMER, tags=("private",)))
    assert fee_warning(ReminderPolicy.from_toml(TERMS), private, [invoice], Step.PAST_DUE, MONDAY) is None
