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
        ('preset = "belgium"', 7, "unspecified", "0"),  # this half-year's notice was not seen
        ('preset = "belgium"\nunverified = []', 7, "per_year", "10.5"),
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


FLAT = 'kind = "flat"\namounts = { EUR = 5 }\n'


@pytest.mark.parametrize(
    ("lines", "total"),
    [
        (FLAT, "60"),  # 5 on 60 after 21 days is 145 % a year
        ("rate = 2.1", "1200"),  # 36.5 % a year
        ('preset = "canada"\nrate = 3', "1200"),
        ("cap_percent = 0", "1200"),
        ("rate = 1\nminimum = { EUR = 12.01 }", "1200"),
        ("rate = 1\nminimum = { EUR = 20 }\nmaximum = { EUR = 10 }", "1200"),
        ("rate = 0.1", "4"),  # rounds to 0.00
        ('kind = "flat"\namounts = { USD = 5 }', "1200"),
    ],
)
def test_an_email_announces_no_fee_that_would_be_refused(lines: str, total: str) -> None:
    invoice = overdue_invoice(7, total=total)
    rules = ReminderPolicy.from_toml(TERMS + lines)
    assert fee_warning(rules, statement(invoice), [invoice], Step.PAST_DUE, MONDAY) is None


def test_only_the_invoices_on_which_a_fee_can_come_are_named() -> None:
    small, large = overdue_invoice(7, total="60"), overdue_invoice(7, id="i2", number="INV-2", total="900")
    rules = ReminderPolicy.from_toml(TERMS + FLAT)
    both = statement(small, large)
    warning = fee_warning(rules, both, [small, large], Step.PAST_DUE, MONDAY)
    assert warning is not None
    assert (warning.kind, warning.figure, warning.only_for) == ("flat", Decimal(5), ("i2",))
    alone = fee_warning(rules, both, [large], Step.PAST_DUE, MONDAY)
    assert alone is not None
    assert alone.only_for == ()


def test_a_flat_fee_is_announced_as_it_will_be_charged_within_the_cap() -> None:
    lines = "cap_percent = 2\nmax_annual_percent = 100\n"
    invoice = overdue_invoice(7, total="100")
    warning = fee_warning(
        ReminderPolicy.from_toml(TERMS + FLAT + lines), statement(invoice), [invoice], Step.PAST_DUE, MONDAY
    )
    assert warning is not None
    assert (warning.kind, warning.figure) == ("flat", Decimal("2.00"))


@pytest.mark.parametrize(
    "lines",
    [
        "rate = 1\nmaximum = { EUR = 5 }",  # 1 % is 12.00
        'preset = "eu"\nrates = { "2026-12-01" = 11 }',  # two rates within the month of the fee
    ],
)
def test_a_figure_that_is_not_what_will_be_charged_is_left_out(lines: str) -> None:
    warning = warning_for(lines, 7)
    assert warning is not None
    assert (warning.kind, warning.fixed_amounts) == ("unspecified", ())


def test_the_fixed_compensation_is_announced_only_with_the_first_fee() -> None:
    lines = 'preset = "uk"\nrates = { "2026-07-01" = 11.75 }\ncompensation = { EUR = { 0 = 70 } }'
    first = PastAction(
        Step.LATE_FEE, "i1", at(MONDAY), MONDAY - timedelta(days=9), is_contact=False, recurrence_key="2026-10"
    )
    before, after = warning_for(lines, 40), warning_for(lines, 40, first)
    assert before is not None
    assert before.fixed_amounts == (Decimal(70),)
    assert after is not None
    assert after.fixed_amounts == ()


@pytest.mark.parametrize(
    ("lines", "from_on"),
    [
        ('kind = "percent_per_month"', date(2026, 12, 16)),  # due on 16 November; charged when its first month is over
        ('kind = "percent_per_month"\ninvoicing = "monthly"\ninvoice_day = 20', date(2026, 12, 20)),
        ('invoicing = "monthly"\ninvoice_day = 20', date(2026, 12, 20)),
    ],
)
def test_the_date_announced_is_that_of_the_fee(lines: str, from_on: date) -> None:
    warning = warning_for(lines, 7)
    assert warning is not None
    assert warning.from_on == from_on
