"""Late fees that need a person: charged although the money was there in time, or left over when the invoice is paid.

Payments are often entered days after their date. A fee that such a payment, or a credit, makes wrong is proposed to be
waived. One that the customer left unpaid beside the invoice is to be collected or waived, or chased by the schedule.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from policies.decisions import CreateTask, HoldCode
from policies.fee_periods import ONCE, find_period
from policies.fee_rules import MONTHLY_KINDS, UnpaidFee
from policies.formatting import format_amount, format_date
from policies.interest import balance_on
from policies.invoice_names import after_invoice, invoice_title
from policies.past_actions import PastActions
from policies.receivables import Invoice, InvoiceStatus, PastAction
from policies.schedule import payable_on
from policies.schedule_rules import MIN_WARNING_DAYS
from policies.statement_context import StatementContext

if TYPE_CHECKING:
    from policies.invoice_assessment import InvoiceAssessment

_NO_TASK_CODES = frozenset({HoldCode.NOTHING_OWED, HoldCode.ERASED, HoldCode.STALE_DATA, HoldCode.UNAPPLIED_CREDIT})


class FeeTask(StrEnum):
    """The codes of tasks about late fees."""

    PROPOSE_WAIVER = "propose_waiver"
    UNPAID_FEE = "unpaid_fee"


@dataclass(frozen=True, slots=True)
class FeeReview:
    """What is to be done about a late fee; ``task`` is None where it is chased like an invoice."""

    task: FeeTask | None
    reason: str


def review_fee(context: StatementContext, fee: Invoice, past_actions: PastActions) -> FeeReview | None:
    """Return what is to be done about the invoice of a late fee; None while it is listed with its invoice."""
    if fee.fee_of is None or fee.status is not InvoiceStatus.OPEN or fee.due <= 0:
        return None
    charges = past_actions.charges_on(fee.id)
    invoices = {each.id: each for each in context.statement.invoices}
    fee_name = f"late fee {after_invoice(fee.number, fee.issued_on)} for {format_amount(fee.due, fee.currency)}"
    for charge in charges:
        mistake = _why_wrong(context, invoices.get(charge.invoice_id), charge)
        if mistake:
            return FeeReview(FeeTask.PROPOSE_WAIVER, f"The {fee_name} should be waived: {mistake}.")
    originals = [invoices.get(each) for each in {fee.fee_of, *(charge.invoice_id for charge in charges)}]
    is_settled = not any(each is not None and each.status is InvoiceStatus.OPEN and each.due > 0 for each in originals)
    if not is_settled or (fee.due_on is not None and context.today <= fee.due_on):
        return None
    if context.policy.late_fees.unpaid_fee is UnpaidFee.CHASE:
        return FeeReview(None, "")
    due = f", due on {format_date(fee.due_on)}," if fee.due_on else ""
    text = f"The {fee_name}{due} is unpaid, but its invoice is settled: collect or waive it."
    return FeeReview(FeeTask.UNPAID_FEE, text)


def _why_wrong(context: StatementContext, invoice: Invoice | None, charge: PastAction) -> str:
    """Return why a fee should not have been charged, as part of a sentence; "" where it was right."""
    if invoice is None:
        return ""
    title = invoice_title(invoice.number, invoice.issued_on, is_shared=invoice.shares_number)
    if invoice.status in (InvoiceStatus.VOIDED, InvoiceStatus.DELETED):
        return f"{title} was {invoice.status.value}"
    if invoice.status is InvoiceStatus.OPEN and _is_too_early(context, invoice, charge):
        due_on = format_date(payable_on(invoice))
        return f"the due date of {title} was moved to {due_on}, after the fee of {format_date(charge.on)}"
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
    return is_of_month and find_period(charge.recurrence_key, rules, invoice, context.today) is None


def fee_tasks(assessments: Sequence[InvoiceAssessment]) -> Iterable[CreateTask]:
    """Yield one task for each late fee that needs a person."""
    for each in assessments:
        review = each.fee_review
        if review is not None and review.task is not None and each.hold_code not in _NO_TASK_CODES:
            context = each.context
            customer_id = context.statement.customer.id
            yield CreateTask(customer_id, None, review.task, (each.invoice.id,), context.today, review.reason)
