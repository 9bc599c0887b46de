"""Why the next step of an invoice comes on its day and not earlier, as part of a sentence."""

from __future__ import annotations

from datetime import date

from policies.formatting import STEP_NAMES, format_date, format_days
from policies.invoice_assessment import InvoiceAssessment
from policies.receivables import Step
from policies.schedule import UpcomingStep


def explain_timing(assessment: InvoiceAssessment, following: UpcomingStep) -> str:
    """Return what the day of the next step is counted from: ``10 days after the first reminder of 20 Nov 2026``."""
    invoice, step = assessment.invoice, following.step
    if step is Step.RECEIPT_CHECK:
        return _distance(following.on, invoice.issued_on, "the invoice date")
    if step is Step.DISCOUNT_ENDING and invoice.discount is not None:
        return _distance(following.on, invoice.discount.ends_on, "the end of the discount")
    if before := _email_before(assessment, following):
        sent_on = assessment.completed[before]
        return _distance(following.on, sent_on, f"the {STEP_NAMES[before]} of {format_date(sent_on)}")
    start_on = assessment.started_on
    name = "the due date" if start_on == (invoice.payable_until_on or invoice.due_on) else format_date(start_on)
    return _distance(following.on, start_on, name)


def _email_before(assessment: InvoiceAssessment, following: UpcomingStep) -> Step | None:
    """Return the email that a step waits for, where it comes later than on its own day in the schedule."""
    schedule, completed, step = assessment.schedule, assessment.completed, following.step
    day = (following.on - assessment.started_on).days
    task = next((each for each in schedule.tasks if each.step is step), None)
    if task is not None:
        return task.after if day > task.day else None
    level = next((each for each in schedule.levels if each.step is step), None)
    if level is None or day <= level.day:
        return None
    return next((each.step for each in reversed(schedule.levels) if each.step in completed), None)


def _distance(on: date, start_on: date, name: str) -> str:
    days = (on - start_on).days
    if days == 0:
        return name
    return f"{format_days(abs(days))} {'after' if days > 0 else 'before'} {name}"
