"""What is due for one invoice today: its hold, or the steps of its schedule."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from policies.decisions import ChargeLateFee
from policies.fee_outlook import find_expected_fee
from policies.fee_reviews import FeeReview
from policies.formatting import format_amount, format_date, format_days
from policies.invoice_names import invoice_name
from policies.late_fees import NOT_ASSESSED, LateFeeAssessment
from policies.past_actions import PastActions
from policies.receivables import Invoice, Step
from policies.returned_payments import ReturnedPayment
from policies.schedule import SEVERITY, CompletionDates, Schedule, UpcomingStep, payable_on, starts_on, upcoming_step
from policies.statement_context import Hold, StatementContext


@dataclass(slots=True)
class InvoiceAssessment:
    """One invoice today.

    ``hold_code`` is the ``HoldCode`` of its hold; ``email_blocked`` is true where that stops only emails, so that a
    person can still act. ``broken_agreement`` is the sentence about a broken promise or payment plan,
    ``broken_promise_key`` the date of a promise that an email asks about. ``manual_step`` is the email step that
    becomes a task today; ``manual_note`` says that one already has. ``returned`` is a payment that came back.
    ``is_gathered`` is true where the email step comes some days early, in an email like its own.
    ``fee_review`` is what is to be done about a late fee, where this is the invoice of one.
    """

    context: StatementContext
    invoice: Invoice
    schedule: Schedule
    completed: CompletionDates
    past_actions: PastActions
    hold_code: str = ""
    hold: Hold | None = None
    email_blocked: bool = False
    email_step: Step | None = None
    is_gathered: bool = False
    task_steps: tuple[Step, ...] = ()
    notify_owner: bool = False
    late_fees: LateFeeAssessment = NOT_ASSESSED
    broken_agreement: str = ""
    broken_promise_key: str = ""
    manual_step: Step | None = None
    returned: ReturnedPayment | None = None
    fee_review: FeeReview | None = None
    manual_note: str = ""

    @property
    def fees(self) -> tuple[ChargeLateFee, ...]:
        """The late fees to charge today, oldest period first."""
        return self.late_fees.fees

    @property
    def number(self) -> str:
        """What people call the invoice: its number, its date where it has none, both where two share a number."""
        invoice = self.invoice
        return invoice_name(invoice.number, invoice.issued_on, is_shared=invoice.shares_number)

    @property
    def email_recurrence_key(self) -> str:
        """The key that tells this email from an earlier one of the same step; "" where a step is taken once."""
        if self.email_step is Step.PROMISE_BROKEN:
            return self.broken_promise_key
        return self.returned.recurrence_key if self.returned and self.email_step is Step.PAYMENT_RETURNED else ""

    @property
    def started_on(self) -> date:
        """The date the schedule counts from."""
        return starts_on(self.invoice)

    @property
    def known_note(self) -> str:
        """A sentence about an invoice whose days count from later than its due date; "" about all others."""
        known_on = self.invoice.known_on
        if known_on is None or known_on <= payable_on(self.invoice):
            return ""
        return f" Days count from {format_date(known_on)}: before, the customer could not know of this due date."

    def urgency(self, step: Step) -> tuple[int, date, str]:
        """Return the sort key for the step that leads an email: the most severe first, then the oldest debt."""
        return (-SEVERITY[step], self.started_on, self.invoice.id)

    def next_step(self, done_step: Step | None = None, done_on: date | None = None) -> UpcomingStep | None:
        """Return what comes next, given that ``done_step`` is completed today or on another day.

        A late fee comes on the day on which it can be charged, which is never before the schedule's.
        """
        today, fees_enabled = self.context.today, self.context.policy.late_fees.enabled
        completed = {**self.completed, done_step: done_on or today} if done_step else self.completed
        first = upcoming_step(self.schedule, self.invoice, completed, today, fees_enabled=fees_enabled)
        if first is None or first.step is not Step.LATE_FEE:
            return first
        others = upcoming_step(self.schedule, self.invoice, completed, today, fees_enabled=False)
        expected = find_expected_fee(self.context, self.invoice, self.schedule, self.past_actions)
        if expected is None or expected.on <= today:
            return others
        fee = UpcomingStep(Step.LATE_FEE, expected.on)
        return fee if others is None or fee.on <= others.on else others

    def describe_balance(self, *, is_lasting: bool = False) -> str:
        """Return how much is due and since when, as part of a sentence.

        A lasting one, and one of a forecast, is read on other days than today: it does not count the days.
        """
        invoice, today = self.invoice, self.context.today
        due_on = invoice.payable_until_on or invoice.due_on or self.started_on
        days_late = (today - due_on).days
        amount = format_amount(invoice.due, invoice.currency)
        covered = self.context.credit_coverage.get(invoice.id)
        if covered:
            in_bank = any(each.invoice_id == invoice.id for each in self.context.statement.credits)
            what = "that is in the bank or unapplied" if in_bank else "of unapplied credit"
            amount += f" (less {format_amount(covered, invoice.currency)} {what})"
        when = f"{format_date(due_on)}{self._moved_note()}"
        if is_lasting or self.context.is_forecast:
            return f"{amount} {'was' if days_late > 0 else 'is'} due on {when}"
        if days_late > 0:
            return f"{amount} was due on {when}, {format_days(days_late)} ago"
        if days_late == 0:
            return f"{amount} is due today{self._moved_note()}"
        return f"{amount} is due on {when}, in {format_days(-days_late)}"

    def _moved_note(self) -> str:
        """Return why the invoice is due later than its own date says; "" where it is not."""
        due_on = self.invoice.due_on
        if self.invoice.payable_until_on is None or due_on is None:
            return ""
        return f" ({format_date(due_on)} is not a business day)"
