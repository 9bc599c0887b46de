"""What was already done for a customer, indexed once per decision."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

from policies.receivables import PastAction, Step
from policies.schedule import DUNNING_LEVELS, EMAIL_STEPS
from policies.sections import Frequency

_SEARCH_DAYS = 60
_NO_STEPS: dict[Step, date] = {}


@dataclass(slots=True)
class PastActions:
    """Deeds by invoice and step, and the days on which the customer heard from us."""

    by_invoice: dict[str, dict[Step, date]] = field(default_factory=dict)
    warned_on: dict[str, date] = field(default_factory=dict)
    manual_on: dict[str, dict[Step, date]] = field(default_factory=dict)
    fees: dict[str, dict[str, PastAction]] = field(default_factory=dict)
    contact_days: tuple[date, ...] = ()
    thanked_on: date | None = None

    @classmethod
    def from_actions(cls, past_actions: Iterable[PastAction]) -> PastActions:
        """Index the deeds of one customer."""
        index = cls()
        mails: dict[str, date] = {}
        for deed in past_actions:
            index._add(deed)
            if deed.step is Step.PROMISE_BROKEN and not deed.is_contact:  # it was the call as well
                index.by_invoice[deed.invoice_id].setdefault(Step.CALL, deed.on)
            if deed.is_contact:
                mails[deed.email_key or f"{deed.invoice_id} {deed.step} {deed.on}"] = deed.on
        index.contact_days = tuple(sorted(mails.values()))
        return index

    def _add(self, deed: PastAction) -> None:
        steps = self.by_invoice.setdefault(deed.invoice_id, {})
        steps[deed.step] = max(deed.on, steps.get(deed.step, deed.on))
        if deed.step is Step.LATE_FEE:
            self.fees.setdefault(deed.invoice_id, {})[deed.recurrence_key] = deed
        elif deed.step is Step.THANK_YOU:
            self.thanked_on = max(deed.on, self.thanked_on or deed.on)
        elif deed.is_contact and not deed.unconfirmed and deed.step in DUNNING_LEVELS:
            self.warned_on[deed.invoice_id] = min(deed.on, self.warned_on.get(deed.invoice_id, deed.on))
        elif not deed.is_contact and deed.step in EMAIL_STEPS:
            self.manual_on.setdefault(deed.invoice_id, {})[deed.step] = deed.on

    def completed_steps(self, invoice_id: str) -> Mapping[Step, date]:
        """Give the steps taken for an invoice."""
        return self.by_invoice.get(invoice_id, _NO_STEPS)

    def can_contact(self, on: date, limits: Frequency) -> bool:
        """Tell whether the caps allow a contact on a day."""
        days = [(on - each).days for each in self.contact_days]
        if any(gap < limits.min_days_between for gap in days):
            return False
        return (
            sum(gap < 7 for gap in days) < limits.max_in_7_days
            and sum(gap < 30 for gap in days) < limits.max_in_30_days
        )

    def next_contact_on(self, today: date, limits: Frequency) -> date:
        """Find the first day, from today on, on which the caps allow a contact."""
        ahead = (today + timedelta(days=days) for days in range(_SEARCH_DAYS))
        return next((on for on in ahead if self.can_contact(on, limits)), today + timedelta(days=_SEARCH_DAYS))
