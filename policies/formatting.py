"""Format amounts, dates and steps for the sentences that bookkeepers read."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from policies.currencies import minor_units
from policies.receivables import Step

_MONTHS = ("", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

STEP_NAMES: dict[Step, str] = {
    Step.THANK_YOU: "thank-you email",
    Step.WITHHOLDING_CERTIFICATE: "request for the withholding tax certificate",
    Step.RECEIPT_CHECK: "receipt check",
    Step.DISCOUNT_ENDING: "early payment discount reminder",
    Step.BEFORE_DUE: "reminder before the due date",
    Step.DUE_TODAY: "reminder on the due date",
    Step.PAST_DUE: "first reminder",
    Step.NOTIFY_OWNER: "account-owner alert",
    Step.CALL: "call",
    Step.SECOND_NOTICE: "second notice",
    Step.PLAN_OFFER: "payment plan offer",
    Step.LATE_FEE: "late fee",
    Step.ESCALATION_CALL: "escalation call",
    Step.FINAL_NOTICE: "final notice",
    Step.PROPOSE_SUSPENSION: "proposed account suspension",
    Step.HAND_OFF_REVIEW: "collections or write-off review",
    Step.DISPUTE_RAISED: "dispute review",
    Step.PROMISE_BROKEN: "broken promise follow-up",
    Step.PAYMENT_RETURNED: "returned payment notice",
}


def step_title(step: Step) -> str:
    """Return the name of a step as the beginning of a sentence."""
    name = STEP_NAMES[step]
    return name[0].upper() + name[1:]


def format_amount(amount: Decimal, currency: str) -> str:
    """Format an amount: ``EUR 1,234.50``."""
    return f"{currency} {amount:,.{minor_units(currency)}f}"


def format_date(on: date) -> str:
    """Format a date: ``3 Dec 2026``."""
    return f"{on.day} {format_month(on)}"


def format_datetime(at: datetime) -> str:
    """Format an instant to the minute, in its own time zone: ``3 Dec 2026 14:05 UTC``."""
    return f"{format_date(at)} {at:%H:%M %Z}"


def format_month(on: date) -> str:
    """Format a month: ``Dec 2026``."""
    return f"{_MONTHS[on.month]} {on.year}"


def format_days(count: int) -> str:
    """Format a number of days: ``1 day``, ``4 days``."""
    return "1 day" if count == 1 else f"{count} days"


def format_percent(value: Decimal) -> str:
    """Format a percentage without trailing zeros: ``17.4 %``."""
    text = f"{value:f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} %"
