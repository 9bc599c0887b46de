"""Actions as if they had been taken: what a preview or a backtest takes for granted on the days after."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime

from policies.decisions import Action, ChargeLateFee, NotifyOwner, SendReminder
from policies.receivables import PastAction, Step


def as_past_actions(action: Action, at: datetime, on: date) -> Iterator[PastAction]:
    """Yield what would be known of an action taken at an instant, on a day in the company's time zone."""
    if isinstance(action, SendReminder):
        keys = dict(action.recurrence_keys)
        for invoice_id, step in action.completed:
            yield PastAction(
                step,
                invoice_id,
                at,
                on,
                email_key=f"{action.customer_id}:{at.isoformat()}",
                recurrence_key=keys.get(invoice_id, ""),
                announced_fee=invoice_id in action.announces_fee_on,
                fee_terms=action.fee_terms,
                suspension_on=action.suspension_on if step is Step.FINAL_NOTICE else None,
            )
    elif isinstance(action, NotifyOwner):
        for invoice_id, step in action.completed:
            yield PastAction(step, invoice_id, at, on, is_contact=False)
    elif isinstance(action, ChargeLateFee):
        key, amount = action.period, action.amount
        yield PastAction(
            Step.LATE_FEE, action.invoice_id, at, on, is_contact=False, recurrence_key=key, fee_amount=amount
        )
    elif action.step is not None:
        key = action.recurrence_key
        for invoice_id in action.invoice_ids:
            yield PastAction(action.step, invoice_id, at, on, is_contact=False, recurrence_key=key)
