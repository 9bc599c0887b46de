"""Late fees that need a person: charged although the money was there in time, or left over when the invoice is paid.

Payments are often entered days after their date. A fee that such a payment, or a credit, makes wrong is proposed to be
waived, and of one that it makes too high the difference. One that the customer left unpaid beside the invoice is to be
collected or waived, or chased by the schedule.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from policies.bearing_balance import bearing_invoice
from policies.decisions import CreateTask, HoldCode
from policies.fee_periods import ONCE, find_period
from policies.fee_recalculation import recalculate
from policies.fee_rules import MONTHLY_KINDS, UnpaidFee
from policies.formatting import format_amount, format_date
from policies.interest import balance_on
from policies.invoice_names import after_invoice, invoice_title
from policies.past_actions import PastActions
from policies.receivables import FeeOutcome, Invoice, InvoiceStatus, PastAction, SettlementKind
from policies.schedule import payable_on
from policies.schedule_rules import MIN_WARNING_DAYS
from policies.statement_context import StatementContext

if TYPE_CHECKING:
    from policies.invoice_assessment import InvoiceAssessment

_COVERED = frozenset({HoldCode.UNAPPLIED_CREDIT, HoldCode.PAID_AT_BANK})
_NO_TASK_CODES = frozenset({HoldCode.ERASED, HoldCode.STALE_DATA})


class FeeTask(StrEnum):
    """The codes of tasks about late fees."""

    PROPOSE_WAIVER = "propose_waiver"
    UNPAID_FEE = "unpaid_fee"


@dataclass(frozen=True, slots=True)
class FeeReview:
    """What is to be done about a late fee; ``task`` is None where it is chased like an invoice.

    ``recurrence_key`` tells a proposal to waive a part from one to waive another.
    """

    task: FeeTask | None
    reason: str
    recurrence_key: str = ""


class _Mistake(NamedTuple):
    """What a charge should have been, and why, as part of a sentence."""

    amount: Decimal
    reason: str


def review_fee(context: StatementContext, fee: Invoice, past_actions: PastActions) -> FeeReview | None:
    """Return what is to be done about the invoice of a late fee; None while it is listed with its invoice."""
    if fee.fee_of is None or fee.status not in (InvoiceStatus.OPEN, InvoiceStatus.PAID):
        return None
    charges = [each for each in past_actions.charges_on(fee.id) if each.fee_outcome is not FeeOutcome.WAIVED]
    invoices = {each.id: each for each in context.statement.invoices}
    proposal = _propose_waiver(context, fee, charges, invoices)
    if proposal is not None or fee.status is InvoiceStatus.PAID or fee.due <= 0:
        return proposal
    originals = [invoices.get(each) for each in {fee.fee_of, *(charge.invoice_id for charge in charges)}]
    is_settled = not any(each is not None and each.status is InvoiceStatus.OPEN and each.due > 0 for each in originals)
    if not is_settled or (fee.due_on is not None and context.today <= fee.due_on):
        return None
    if context.policy.late_fees.unpaid_fee is UnpaidFee.CHASE:
        return FeeReview(None, "")
    due = f", due on {format_date(fee.due_on)}," if fee.due_on else ""
    text = f"The {_name(fee, fee.due)}{due} is unpaid, but its invoice is settled: collect or waive it."
    return FeeReview(FeeTask.UNPAID_FEE, text)


def _propose_waiver(
    context: StatementContext, fee: Invoice, charges: Sequence[PastAction], invoices: Mapping[str, Invoice]
) -> FeeReview | None:
    """Return the proposal to waive a fee, or the part of it by which it turns out to be too high; None if right."""
    mistakes = {
        index: mistake
        for index, charge in enumerate(charges)
        if (mistake := _find_mistake(context, invoices.get(charge.invoice_id), charge)) is not None
    }
    if not mistakes:
        return None
    charged = [(each.fee_amount or Decimal(0)) + each.fee_waived for each in charges]
    right = sum((mistakes[i].amount if i in mistakes else amount for i, amount in enumerate(charged)), Decimal(0))
    # What was waived is credited on the fee's invoice, unless that was paid; a user may have credited it there, too.
    credited = fee.settled_by(SettlementKind.CREDIT) + fee.settled_by(SettlementKind.ADJUSTMENT)
    lowered = max(sum(charged, Decimal(0)) - fee.total, Decimal(0))  # by a user, in the accounting system
    waived = max(sum((each.fee_waived for each in charges), Decimal(0)), credited) + lowered
    standing = sum(charged, Decimal(0)) - waived
    reasons = "; ".join(dict.fromkeys(each.reason for each in mistakes.values()))
    paid = " It is paid: what is waived becomes credit of the customer, to be refunded." if fee.due <= 0 else ""
    if right <= 0 and (standing > 0 or (fee.due > 0 and not any(charged))):
        text = f"The {_name(fee, fee.due if fee.due > 0 else standing)} should be waived: {reasons}.{paid}"
        return FeeReview(FeeTask.PROPOSE_WAIVER, text)
    if standing <= right:
        return None
    too_high = format_amount(standing - right, fee.currency)
    text = f"Waive {too_high} of the {_name(fee, standing)}: {reasons}.{paid}"
    return FeeReview(FeeTask.PROPOSE_WAIVER, text, f"{right:f}")


def _name(fee: Invoice, amount: Decimal) -> str:
    return f"late fee {after_invoice(fee.number, fee.issued_on)} for {format_amount(amount, fee.currency)}"


def _find_mistake(context: StatementContext, invoice: Invoice | None, charge: PastAction) -> _Mistake | None:
    """Return what a fee should have been and why; None where it was right."""
    if invoice is None:
        return None
    reason = _why_wrong(context, invoice, charge)
    if reason:
        return _Mistake(Decimal(0), reason)
    # A payment that is gone was in the fee, or was entered after it and has never been.
    found = recalculate(bearing_invoice(replace(invoice, former_histories=()), context.today), charge)
    if found is None or charge.fee_amount is None or found.amount >= charge.fee_amount + charge.fee_waived:
        return None
    title = invoice_title(invoice.number, invoice.issued_on, is_shared=invoice.shares_number)
    right, on = format_amount(found.amount, invoice.currency), format_date(charge.on)
    fee = f"the fee on that is {right}" if found.amount > 0 else "there is no fee on that"
    reason = f"with what was entered after the fee of {on}, the balance of {title} was {found.balance}, and {fee}"
    return _Mistake(found.amount, reason)


def _why_wrong(context: StatementContext, invoice: Invoice, charge: PastAction) -> str:
    """Return why a fee should not have been charged at all, as part of a sentence; "" where that is not so."""
    title = invoice_title(invoice.number, invoice.issued_on, is_shared=invoice.shares_number)
    if invoice.status in (InvoiceStatus.VOIDED, InvoiceStatus.DELETED):
        return f"{title} was {invoice.status.value}"
    if _is_too_early(context, invoice, charge):
        due_on = format_date(payable_on(invoice))
        return f"after the fee was charged on {format_date(charge.on)}, the due date of {title} was moved to {due_on}"
    if not invoice.balance_changes or balance_on(invoice, charge.on - timedelta(days=1)) > 0:
        is_credited = invoice.status is InvoiceStatus.PAID and bool(invoice.balance_changes) and invoice.paid <= 0
        return f"{title} was credited or written off in full" if is_credited else ""
    settled = (each.on for each in invoice.balance_changes if balance_on(invoice, each.on) <= 0)
    settled_on = next(settled, charge.on - timedelta(days=1))
    kind = "paid" if invoice.paid > 0 else "credited"
    on, charged_on = format_date(settled_on), format_date(charge.on)
    if settled_on <= payable_on(invoice):
        return f"{title} was {kind} in time, on {on}; that was entered after the fee of {charged_on}"
    return f"{title} was {kind} on {on}, before the fee of {charged_on}; that was entered after it"


def _is_too_early(context: StatementContext, invoice: Invoice, charge: PastAction) -> bool:
    """Return whether a moved due date leaves no time for a fee: no warning was possible, or its month is not over."""
    rules = context.policy.late_fees
    if charge.on <= payable_on(invoice):
        return True
    if invoice.due_changed_on is None or invoice.due_changed_on < charge.on:
        return False
    if (charge.on - payable_on(invoice)).days <= MIN_WARNING_DAYS:
        return True
    is_of_month = rules.kind in MONTHLY_KINDS and charge.recurrence_key not in ("", ONCE)
    # A month in which the invoice was settled is never over: nothing is charged for the rest of it.
    on = min(context.today, invoice.closed_on or context.today)
    return is_of_month and find_period(charge.recurrence_key, rules, invoice, on) is None


def fee_tasks(assessments: Sequence[InvoiceAssessment]) -> Iterable[CreateTask]:
    """Yield one task for each late fee that needs a person; one that unapplied credit covers needs no collecting."""
    for each in assessments:
        review, is_covered = each.fee_review, each.hold_code in _COVERED
        if review is None or review.task is None or each.hold_code in _NO_TASK_CODES:
            continue
        if review.task is FeeTask.UNPAID_FEE and is_covered:
            continue
        yield CreateTask(
            customer_id=each.context.statement.customer.id,
            step=None,
            code=review.task,
            invoice_ids=(each.invoice.id,),
            due_on=each.context.today,
            reason=review.reason,
            recurrence_key=review.recurrence_key,
        )
