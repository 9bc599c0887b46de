"""The backtest: the past replayed with nothing of its future known."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from policies.backtest import as_of, compare_reports, replay
from policies.policy import ReminderPolicy
from policies.receivables import BalanceChange, InvoiceStatus, Step
from tests.policies.builders import (
    KNOWN_CUSTOMER,
    MONDAY,
    NO_HOLIDAYS,
    POLICY,
    Simulation,
    daily,
    invoice,
    paid_invoice,
    statement,
)

LAST_ON = MONDAY + timedelta(days=60)


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


def test_the_difference_of_two_policies_lists_the_emails() -> None:
    quiet = ReminderPolicy.from_toml('[plan_offer]\nestablished = "off"')
    old, new = (replay([[statement(invoice(0))]], each, MONDAY, LAST_ON, NO_HOLIDAYS) for each in (POLICY, quiet))
    changed = compare_reports(old, new)
    assert Step.PLAN_OFFER in {email.step for email in changed.removed}
    assert changed.summary().startswith("1 customers, 1 emails fewer")
    assert compare_reports(old, old).summary() == "0 customers, as many emails (0 removed, 0 added)."
