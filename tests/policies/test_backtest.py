"""The backtest: the past replayed with nothing of its future known."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from policies.backtest import as_of, replay
from policies.policy import ReminderPolicy
from policies.receivables import BalanceChange, InvoiceStatus, Size, Step
from tests.policies.builders import (
    KNOWN_CUSTOMER,
    MONDAY,
    NO_HOLIDAYS,
    POLICY,
    Simulation,
    daily,
    invoice,
    overdue_invoice,
    paid_invoice,
    statement,
)

LAST_ON = MONDAY + timedelta(days=60)
NEXT_DAY = MONDAY + timedelta(days=1)
NO_THANKS = ReminderPolicy.from_toml("[thank_you]\nenabled = false")


def test_a_replay_sends_what_daily_runs_would_have_sent() -> None:
    facts = statement(invoice(0), customer=KNOWN_CUSTOMER)
    report = replay([[facts]], POLICY, MONDAY, LAST_ON, NO_HOLIDAYS)
    simulated = Simulation([invoice(0)]).run_all(daily(MONDAY, 61, hour=12))
    assert [(email.on, email.step, email.invoice_ids) for email in report.emails] == simulated.emails
    assert report.tasks["hand_off_review"] == 0


def test_an_invoice_paid_later_was_open_then_and_one_issued_later_is_unknown() -> None:
    closed_on = MONDAY + timedelta(days=20)
    facts = statement(paid_invoice(closed_on, due_in=0), invoice(40, id="later", terms=30))
    report = replay([[facts]], POLICY, MONDAY, MONDAY + timedelta(days=9), NO_HOLIDAYS)
    assert [(email.step, email.invoice_ids) for email in report.emails] == [(Step.PAST_DUE, ("i1",))]


def test_an_email_about_an_invoice_paid_within_days_counts_as_paid_anyway() -> None:
    facts = statement(paid_invoice(MONDAY + timedelta(days=8), due_in=0))
    report = replay([[facts]], POLICY, MONDAY, LAST_ON, NO_HOLIDAYS)
    assert [email.paid_anyway for email in report.emails] == [True, False]
    assert report.steps() == {Step.PAST_DUE: 1, Step.THANK_YOU: 1}
    assert report.summary().startswith(
        "2 emails to 1 customers, 1 of them about invoices that were paid within 3 days anyway"
    )


def test_the_balance_of_a_past_day_has_later_changes_reversed() -> None:
    changes = (BalanceChange(MONDAY, Decimal(-60)), BalanceChange(MONDAY + timedelta(days=5), Decimal(-40)))
    done = paid_invoice(MONDAY + timedelta(days=5), due_in=0, balance_changes=changes)
    seen = [as_of(done, MONDAY + timedelta(days=days)) for days in (-1, 0, 5)]
    assert [each.due for each in seen] == [100, 40, 0]
    assert [each.status for each in seen] == [InvoiceStatus.OPEN, InvoiceStatus.OPEN, InvoiceStatus.PAID]


@pytest.mark.parametrize(("opens", "closes"), [("12:30", "13:00"), ("08:00", "11:30")])
def test_emails_are_replayed_on_their_day_whenever_the_send_window_is_open(opens: str, closes: str) -> None:
    policy = ReminderPolicy.from_toml(f"[send_window]\nopens = {opens}:00\ncloses = {closes}:00")
    (email,) = replay([[statement(overdue_invoice(20))]], policy, MONDAY, NEXT_DAY, NO_HOLIDAYS).emails
    assert email.on == MONDAY


def test_tasks_are_counted_by_their_kind() -> None:
    facts = statement(invoice(0, size=Size.LARGE), customer=KNOWN_CUSTOMER)
    report = replay([[facts]], POLICY, MONDAY, LAST_ON + timedelta(days=30), NO_HOLIDAYS)
    assert report.tasks == {"call": 1, "escalation_call": 1, "propose_suspension": 1, "hand_off_review": 1}
    assert report.summary().endswith("0 late fees, 4 tasks.")


@pytest.mark.parametrize(("paid_on", "emails"), [(MONDAY, 1), (MONDAY - timedelta(days=1), 0)])
def test_an_invoice_counts_as_paid_from_the_day_after(paid_on: date, emails: int) -> None:
    """With two paid invoices a customer is new, and is reminded on the fifth day; with three, on the seventh."""
    customer = replace(KNOWN_CUSTOMER, paid_invoices=3, emails=("a@b.example",))
    facts = statement(overdue_invoice(5), paid_invoice(paid_on, due_in=-1, id="p"), customer=customer)
    report = replay([[facts]], NO_THANKS, MONDAY, MONDAY, NO_HOLIDAYS)
    assert len(report.emails) == emails
