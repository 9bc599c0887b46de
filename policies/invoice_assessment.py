"""What was found about one invoice today: its hold, or the steps that are due."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from policies.decisions import ChargeLateFee
from policies.formatting import format_amount, format_date, format_days
from policies.receivables import Invoice, Step
from policies.schedule import HARDNESS, CompletionDates, Schedule, UpcomingStep, starts_on, upcoming_step
from policies.statement_context import Hold, StatementContext


@dataclass(slots=True)
class InvoiceAssessment:
    """One invoice as it stands today. ``by_person``: it may not be mailed about, but a person may act on it."""

    context: StatementContext
    invoice: Invoice
    schedule: Schedule
    taken: CompletionDates
    hold_code: str = ""
    hold: Hold | None = None
    email_blocked: bool = False
    email_step: Step | None = None
    task_steps: tuple[Step, ...] = ()
    notify_owner: bool = False
    fee: ChargeLateFee | str = ""
    broken_agreement: str = ""
    broken_promise_key: str = ""
    manual_step: Step | None = None
    manual_note: str = ""

    @property
    def started_on(self) -> date:
        """Give the day the timetable counts from."""
        return starts_on(self.invoice)

    def urgency(self, step: Step) -> tuple[int, date, str]:
        """Order steps for the lead of a mail: the hardest first, then the oldest debt."""
        return (-HARDNESS[step], self.started_on, self.invoice.id)

    def next_step(self, done_step: Step | None = None, on: date | None = None) -> UpcomingStep | None:
        """Find what comes next, ``besides`` a step that is done today or on another day."""
        taken = {**self.taken, done_step: on or self.context.today} if done_step else self.taken
        return upcoming_step(
            self.schedule, self.invoice, taken, self.context.today, fees_enabled=self.context.policy.late_fees.enabled
        )

    def describe_balance(self) -> str:
        """Say what is owed and since when."""
        invoice, today = self.invoice, self.context.today
        due_on = invoice.due_on or self.started_on
        late = (today - due_on).days
        amount = format_amount(invoice.due, invoice.currency)
        if late > 0:
            return f"{amount} was due on {format_date(due_on)}, {format_days(late)} ago"
        return (
            f"{amount} is due today"
            if late == 0
            else f"{amount} falls due on {format_date(due_on)}, in {format_days(-late)}"
        )
