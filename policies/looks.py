"""What was found about one invoice today: its hold, or the steps that are due."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from policies.case import Case, Hold
from policies.decisions import ChargeLateFee
from policies.receivables import Invoice, Step
from policies.timetable import HARDNESS, Row, Taken, Upcoming, starts_on, upcoming
from policies.wording import day, days, sum_of


@dataclass(slots=True)
class Look:
    """One invoice as it stands today. ``by_person``: it may not be mailed about, but a person may act on it."""

    case: Case
    invoice: Invoice
    row: Row
    taken: Taken
    code: str = ""
    hold: Hold | None = None
    by_person: bool = False
    mail: Step | None = None
    tasks: tuple[Step, ...] = ()
    tell_owner: bool = False
    fee: ChargeLateFee | str = ""
    broken: str = ""
    promise: str = ""
    person_gets: Step | None = None
    person_has: str = ""

    @property
    def started_on(self) -> date:
        """Give the day the timetable counts from."""
        return starts_on(self.invoice)

    def urgency(self, step: Step) -> tuple[int, date, str]:
        """Order steps for the lead of a mail: the hardest first, then the oldest debt."""
        return (-HARDNESS[step], self.started_on, self.invoice.id)

    def upcoming(self, besides: Step | None = None, on: date | None = None) -> Upcoming | None:
        """Find what comes next, ``besides`` a step that is done today or on another day."""
        taken = {**self.taken, besides: on or self.case.today} if besides else self.taken
        return upcoming(self.row, self.invoice, taken, self.case.today, fees=self.case.policy.late_fees.enabled)

    def owed(self) -> str:
        """Say what is owed and since when."""
        invoice, today = self.invoice, self.case.today
        due_on = invoice.due_on or self.started_on
        late = (today - due_on).days
        amount = sum_of(invoice.due, invoice.currency)
        if late > 0:
            return f"{amount} was due on {day(due_on)}, {days(late)} ago"
        return f"{amount} is due today" if late == 0 else f"{amount} falls due on {day(due_on)}, in {days(-late)}"
