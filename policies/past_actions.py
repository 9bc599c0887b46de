"""The past actions of a customer, indexed once per decision."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import NamedTuple

from policies.fee_rules import LateFees
from policies.receivables import Invoice, PastAction, Step
from policies.schedule import DUNNING_LEVELS, EMAIL_STEPS, TASK_STEPS, has_lapsed, starts_on
from policies.schedule_rules import MONTH_DAYS, WEEK_DAYS
from policies.sections import Frequency

_SEARCH_DAYS = 60
_NO_STEPS: dict[Step, date] = {}


class Acknowledgement(NamedTuple):
    """The money that the latest email about an invoice thanked for."""

    on: date
    amount: Decimal


class Notice(NamedTuple):
    """A final notice: the day it was sent, and the date of the suspension that it named."""

    on: date
    suspension_on: date


@dataclass(slots=True)
class PastActions:
    """Past actions by invoice and step, and the dates on which the customer was contacted.

    ``lapsed`` holds the steps about a due date that is no longer in force: they can be taken again, and so can those in
    ``new_readers``, of which the customer with that id, who is written to by now, never heard. The invoices in
    ``presumed_received`` have arrived, as those show, and had no receipt check. ``warned_on`` is the date of the first
    email after the due date that announced a late fee, by invoice; ``manual_on`` holds the email steps that were handed
    over as a task. ``refused_on`` is the date of the last email that reached nobody, by invoice.
    ``outdated_warning_on`` is the date of the last one that announced another fee than the policy's.
    ``final_notices`` has the date that the final notice on an invoice named.
    ``acknowledged`` is the money last thanked for, by invoice; ``returned_payments`` holds what was done about payments
    that came back, by invoice and recurrence key.
    """

    by_invoice: dict[str, dict[Step, date]] = field(default_factory=dict)
    warned_on: dict[str, date] = field(default_factory=dict)
    outdated_warning_on: dict[str, date] = field(default_factory=dict)
    final_notices: dict[str, Notice] = field(default_factory=dict)
    manual_on: dict[str, dict[Step, date]] = field(default_factory=dict)
    fees: dict[str, dict[str, PastAction]] = field(default_factory=dict)
    lapsed: set[tuple[str, Step]] = field(default_factory=set)
    new_readers: dict[tuple[str, Step], str] = field(default_factory=dict)
    presumed_received: set[str] = field(default_factory=set)
    refused_on: dict[str, date] = field(default_factory=dict)
    contact_days: tuple[date, ...] = ()
    thanked_on: date | None = None
    acknowledged: dict[str, Acknowledgement] = field(default_factory=dict)
    returned_payments: dict[str, dict[str, date]] = field(default_factory=dict)

    @classmethod
    def from_actions(
        cls, actions: Iterable[PastAction], invoices: Iterable[Invoice] = (), late_fees: LateFees | None = None
    ) -> PastActions:
        """Index the past actions of one customer, whose ``invoices`` say which of them have lapsed.

        ``late_fees`` are the rules in force: a warning of another fee warns of none. None accepts every warning.
        """
        index = cls()
        invoices_by_id = {invoice.id: invoice for invoice in invoices}
        currencies = {each.currency for each in invoices_by_id.values()} if late_fees and late_fees.enabled else ()
        terms = {each: late_fees.terms_in(each) for each in currencies} if late_fees else {}
        contacts: dict[str, date] = {}
        for action in actions:
            invoice = invoices_by_id.get(action.invoice_id)
            if action.refused:  # it completed nothing
                last_on = index.refused_on.get(action.invoice_id, action.on)
                index.refused_on[action.invoice_id] = max(action.on, last_on)
            elif invoice is not None and has_lapsed(action.step, action.on, invoice):
                index._add_lapsed(action)
            elif action.new_reader_id and action.step in DUNNING_LEVELS:
                index.new_readers[action.invoice_id, action.step] = action.new_reader_id
                index._add_lapsed(action)
            else:
                index._add(action, _is_of_fee_in_force(action, invoice, terms))
            if action.step is Step.PROMISE_BROKEN and not action.is_contact and not action.refused:
                index._add_call(action, invoice)
            if action.acknowledged:
                index._add_acknowledgement(Acknowledgement(action.on, action.acknowledged), action.invoice_id)
            if action.is_contact:
                contacts[action.email_key or f"{action.invoice_id} {action.step} {action.on}"] = action.on
        index.contact_days = tuple(sorted(contacts.values()))
        return index

    def _add_acknowledgement(self, found: Acknowledgement, invoice_id: str) -> None:
        """Keep the latest acknowledgement of an invoice."""
        self.acknowledged[invoice_id] = max(found, self.acknowledged.get(invoice_id, found))

    def _add_call(self, action: PastAction, invoice: Invoice | None) -> None:
        """Count the call about a broken promise as the schedule's call, too."""
        if invoice is None or not has_lapsed(Step.CALL, action.on, invoice):
            self.by_invoice[action.invoice_id].setdefault(Step.CALL, action.on)

    def _add_lapsed(self, action: PastAction) -> None:
        """Remember that a step was taken about another due date: the invoice has arrived, which is not asked again."""
        self.lapsed.add((action.invoice_id, action.step))
        steps = self.by_invoice.setdefault(action.invoice_id, {})
        if Step.RECEIPT_CHECK not in steps:
            steps[Step.RECEIPT_CHECK] = action.on
            self.presumed_received.add(action.invoice_id)

    def recurrence_key(self, invoice: Invoice, step: Step) -> str:
        """Return what tells a step from the lapsed one before it: the date from which it counts; "" without one.

        A customer who is written to in another one's place is named beside it.
        """
        if (invoice.id, step) not in self.lapsed:
            return ""
        is_level_or_task = step in DUNNING_LEVELS or step in TASK_STEPS
        counts_from = starts_on(invoice) if is_level_or_task else invoice.due_changed_on or starts_on(invoice)
        new_reader = self.new_readers.get((invoice.id, step))
        return f"{counts_from.isoformat()} to {new_reader}" if new_reader else counts_from.isoformat()

    def _add(self, action: PastAction, is_of_fee_in_force: bool) -> None:  # noqa: FBT001 - of one action
        invoice_id, step, on = action.invoice_id, action.step, action.on
        steps = self.by_invoice.setdefault(invoice_id, {})
        steps[step] = max(on, steps.get(step, on))
        if step is Step.RECEIPT_CHECK:
            self.presumed_received.discard(invoice_id)
        if step is Step.LATE_FEE:
            self.fees.setdefault(invoice_id, {})[action.recurrence_key] = action
        elif step is Step.PAYMENT_RETURNED:
            self.returned_payments.setdefault(invoice_id, {})[action.recurrence_key] = on
        elif step is Step.THANK_YOU:
            self.thanked_on = max(on, self.thanked_on or on)
        elif action.is_contact and not action.unconfirmed and step in DUNNING_LEVELS:
            if action.suspension_on is not None:
                self.final_notices[invoice_id] = Notice(on, action.suspension_on)
            if action.announced_fee and not is_of_fee_in_force:
                self.outdated_warning_on[invoice_id] = max(on, self.outdated_warning_on.get(invoice_id, on))
            elif action.announced_fee:
                self.warned_on[invoice_id] = min(on, self.warned_on.get(invoice_id, on))
        elif not action.is_contact and step in EMAIL_STEPS:
            self.manual_on.setdefault(invoice_id, {})[step] = on

    def charges_on(self, fee_invoice_id: str) -> list[PastAction]:
        """Return the late fees that an invoice of late fees is about."""
        charges = (charge for of_invoice in self.fees.values() for charge in of_invoice.values())
        return [charge for charge in charges if charge.fee_invoice_id == fee_invoice_id]

    def with_fee(self, invoice_id: str, fee: PastAction) -> PastActions:
        """Return the past actions with one more late fee on an invoice."""
        charged = {**self.fees.get(invoice_id, {}), fee.recurrence_key: fee}
        return replace(self, fees={**self.fees, invoice_id: charged})

    def completed_steps(self, invoice_id: str) -> Mapping[Step, date]:
        """Return the completed steps of an invoice, each with its date."""
        return self.by_invoice.get(invoice_id, _NO_STEPS)

    def can_contact(self, on: date, limits: Frequency) -> bool:
        """Return whether the contact limits allow an email on a day."""
        gaps = [(on - each).days for each in self.contact_days]
        if any(gap < limits.min_days_between for gap in gaps):
            return False
        in_week = sum(gap < WEEK_DAYS for gap in gaps)
        in_month = sum(gap < MONTH_DAYS for gap in gaps)
        return in_week < limits.max_in_7_days and in_month < limits.max_in_30_days

    def next_contact_on(self, today: date, limits: Frequency) -> date:
        """Return the first date, from today on, on which the contact limits allow an email."""
        ahead = (today + timedelta(days=days) for days in range(_SEARCH_DAYS))
        return next((on for on in ahead if self.can_contact(on, limits)), today + timedelta(days=_SEARCH_DAYS))


def _is_of_fee_in_force(action: PastAction, invoice: Invoice | None, terms: Mapping[str, str]) -> bool:
    """Return whether the fee that an email announced, where that is known, is the one in force in its currency."""
    return not action.fee_terms or invoice is None or terms.get(invoice.currency, action.fee_terms) == action.fee_terms
