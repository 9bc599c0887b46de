"""How sums, days and steps read in a sentence for a bookkeeper."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from policies.currencies import minor_units
from policies.receivables import Step

_MONTHS = ("", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

STEP_NAMES: dict[Step, str] = {
    Step.THANK_YOU: "the thank-you",
    Step.RECEIPT_CHECK: "the question whether it arrived",
    Step.DISCOUNT_ENDING: "the reminder of the discount",
    Step.BEFORE_DUE: "the reminder before the due date",
    Step.DUE_TODAY: "the reminder on the due date",
    Step.PAST_DUE: "the friendly reminder",
    Step.NOTIFY_OWNER: "word to its owner",
    Step.CALL: "a call",
    Step.SECOND_NOTICE: "the second notice",
    Step.PLAN_OFFER: "the offer of a payment plan",
    Step.LATE_FEE: "a late fee",
    Step.ESCALATION_CALL: "a call by someone senior",
    Step.FINAL_NOTICE: "the final notice",
    Step.PROPOSE_SUSPENSION: "the proposal to suspend",
    Step.HAND_OFF_REVIEW: "the review for agency, lawyer or write-off",
    Step.DISPUTE_RAISED: "the review of the dispute",
    Step.PROMISE_BROKEN: "the question about the broken promise",
}


_TASK_STEPS = frozenset(
    {Step.CALL, Step.ESCALATION_CALL, Step.PROPOSE_SUSPENSION, Step.HAND_OFF_REVIEW, Step.DISPUTE_RAISED}
)  # steps that are tasks: that one was made says not that somebody did it


def describe_past_step(step: Step, on: date) -> str:
    """Say what was done and when: ``the friendly reminder was on 3 Dec 2026``."""
    if step is Step.NOTIFY_OWNER:
        return f"its owner was told on {format_date(on)}"
    return f"{STEP_NAMES[step]} {'was given to a person' if step in _TASK_STEPS else 'was'} on {format_date(on)}"


def format_amount(amount: Decimal, currency: str) -> str:
    """Write a sum: ``EUR 1,234.50``."""
    return f"{currency} {amount:,.{minor_units(currency)}f}"


def format_date(on: date) -> str:
    """Write a day: ``3 Dec 2026``."""
    return f"{on.day} {_MONTHS[on.month]} {on.year}"


def format_datetime(at: datetime) -> str:
    """Write an instant to the minute, in the zone it is given in: ``3 Dec 2026 14:05 UTC``."""
    return f"{format_date(at)} {at:%H:%M %Z}"


def format_month(on: date) -> str:
    """Write a month: ``Dec 2026``."""
    return f"{_MONTHS[on.month]} {on.year}"


def format_days(count: int) -> str:
    """Write a number of days: ``1 day``, ``4 days``."""
    return "1 day" if count == 1 else f"{count} days"


def format_percent(value: Decimal) -> str:
    """Write a percentage without needless zeros: ``17.4 %``."""
    text = f"{value:f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} %"
