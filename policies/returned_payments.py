"""Payments that came back: an email thanked for a payment that the invoice no longer has.

It was deleted, returned by the bank or applied elsewhere. The account owner gets a task first, and some days to correct
a mistake; then the customer is told in an email of its own, and reminders continue a week later where they stopped.
Nobody is told that money came back which another of their invoices has now: then reminders only continue.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from policies.calendar import add_business_days
from policies.decisions import CreateTask, HoldCode, MoneyTask
from policies.formatting import format_amount, format_date
from policies.invoice_names import invoice_name
from policies.past_actions import PastActions
from policies.receivables import (
    BalanceChange,
    Credit,
    CreditKind,
    Invoice,
    InvoiceStatus,
    SettlementKind,
    Step,
)
from policies.schedule_rules import MIN_WARNING_DAYS
from policies.statement_context import Hold, StatementContext

if TYPE_CHECKING:
    from policies.invoice_assessment import InvoiceAssessment

TASK_SUFFIX = " task"  # of the recurrence key of a task; the email's is the date of the thanks alone
_NO_TASK_CODES = frozenset(
    {HoldCode.NOTHING_OWED, HoldCode.ERASED, HoldCode.STALE_DATA, HoldCode.UNAPPLIED_CREDIT, HoldCode.PAID_AT_BANK}
)  # with these two the money is there, and the hold says so


@dataclass(frozen=True, slots=True)
class ReturnedPayment:
    """What came back of the money that an email of ``thanked_on`` named, and what has been done about it.

    ``moved_to`` names the invoices that have the money now: whether it is the same payment is known only where
    ``is_followed``, by its id.
    """

    amount: Decimal
    thanked_on: date
    notify_on: date
    task_on: date | None
    notified_on: date | None
    moved_to: tuple[str, ...] = ()
    is_followed: bool = False

    @property
    def recurrence_key(self) -> str:
        """The key that tells this return from another one."""
        return self.thanked_on.isoformat()


def find_returned_payment(
    context: StatementContext, invoice: Invoice, past_actions: PastActions
) -> ReturnedPayment | None:
    """Return the payment of an open invoice that came back; None where all that was thanked for is still there."""
    acknowledged = past_actions.acknowledged.get(invoice.id)
    if acknowledged is None or invoice.status is not InvoiceStatus.OPEN:
        return None
    covered = context.credit_coverage.get(invoice.id, Decimal(0))  # money that is there, but not applied
    missing = min(acknowledged.amount - invoice.paid, invoice.due, _reopened(invoice, acknowledged.on)) - covered
    minimum = context.policy.minimum_balance.for_currency(invoice.currency)
    if missing <= 0 or missing < minimum:
        return None
    key = acknowledged.on.isoformat()
    done = past_actions.returned_payments.get(invoice.id, {})
    task_on = done.get(key + TASK_SUFFIX)
    company, policy = context.statement.company, context.policy
    notify_on = add_business_days(
        task_on or context.today,
        policy.payment_returned.business_days,
        company.country,
        policy.send_window,
        context.calendar,
    )
    notified_on = done.get(key)
    followed = invoice.former_histories[-1] if invoice.former_histories else None
    if followed is not None and followed.moved > 0:
        rest = missing - followed.moved
        if rest <= 0 or rest < minimum:
            to = followed.moved_to
            return ReturnedPayment(missing, acknowledged.on, notify_on, task_on, notified_on, to, is_followed=True)
        missing = rest
    moved_to = _find_moved(context, invoice, past_actions)
    names = tuple(invoice_name(each.number, each.issued_on, is_shared=True) for each in moved_to)
    return ReturnedPayment(missing, acknowledged.on, notify_on, task_on, notified_on, names)


def _reopened(invoice: Invoice, thanked_on: date) -> Decimal:
    """Return how much less is settled than was after the thanks: a credit in the place of the payment settles too."""
    before = [
        -sum(_amounts(each.changes), Decimal(0)) for each in invoice.former_histories if each.until_on >= thanked_on
    ]
    if not before:
        return invoice.due
    return max(before) + sum(_amounts(invoice.balance_changes), Decimal(0))


def _amounts(changes: Iterable[BalanceChange]) -> Iterable[Decimal]:
    return (each.amount for each in changes)


def _find_moved(context: StatementContext, invoice: Invoice, past_actions: PastActions) -> tuple[Invoice, ...]:
    """Return the invoices to which a payment was moved: they have as much of the same date since the thanks.

    What is left of it may be unapplied. Whether it is the same payment no ledger says.
    """
    if not invoice.former_histories:
        return ()
    thanked = past_actions.acknowledged[invoice.id]
    others = [
        each
        for each in context.statement.invoices
        if each.id != invoice.id
        if (own := past_actions.acknowledged.get(each.id)) is None or own.on > thanked.on
    ]
    before = invoice.former_histories[-1].changes
    for on in sorted({each.on for each in invoice.former_histories[-1].deleted}):
        gone = _sum_of(invoice.balance_changes, on) - _sum_of(before, on)
        new = {each.id: -_sum_of(each.balance_changes, on, SettlementKind.PAYMENT) for each in others}
        receivers = [each for each in others if new[each.id] > 0]
        if found := [each for each in receivers if new[each.id] == gone][:1]:
            return tuple(found)
        rest = sum((each.remaining for each in context.statement.credits if _is_money(each, on)), Decimal(0))
        if receivers and gone > 0 and gone in {total := sum(new.values(), Decimal(0)), total + rest}:
            return tuple(receivers)
    return ()


def _sum_of(changes: Iterable[BalanceChange], on: date, kind: SettlementKind | None = None) -> Decimal:
    return sum((each.amount for each in changes if each.on == on and kind in {None, each.kind}), Decimal(0))


def _is_money(credit: Credit, on: date) -> bool:
    return credit.dated_on == on and credit.kind is not CreditKind.CREDIT_NOTE


def hold_for(context: StatementContext, invoice: Invoice, returned: ReturnedPayment) -> Hold | None:
    """Return the hold before the customer is told, and for a week after it."""
    what = f"{_describe(invoice, returned)} is no longer applied to it"
    if returned.notified_on is None:
        if context.today >= returned.notify_on and returned.task_on is not None:
            return None
        return Hold(f"{what}. Reminders wait, so that a mistake can be corrected.", returned.notify_on)
    resumes_on = returned.notified_on + timedelta(days=MIN_WARNING_DAYS)
    if context.today >= resumes_on:
        return None
    return Hold(f"{what}. The customer was told on {format_date(returned.notified_on)}.", resumes_on)


def returned_payment_tasks(assessments: Sequence[InvoiceAssessment]) -> Iterable[CreateTask]:
    """Yield one task for each payment that came back, and again while it is missing: the amounts may change."""
    for each in assessments:
        returned, context = each.returned, each.context
        if returned is None or (returned.task_on is None and each.hold_code in _NO_TASK_CODES):
            continue
        due = format_amount(each.invoice.due, each.invoice.currency)
        if returned.moved_to:
            what = "the money" if returned.is_followed else "a payment of the same date and amount"
            what = f"{what} is applied to {' and '.join(returned.moved_to)} now"
            then = f"otherwise reminders continue on {format_date(returned.notify_on)}"
        else:
            what = "it was deleted, returned by the bank or applied elsewhere"
            then = f"otherwise the customer is told on {format_date(returned.notify_on)}"
        if returned.notified_on is not None:
            then = f"the customer was told on {format_date(returned.notified_on)}"
        text = (
            f"{each.number}: {_describe(each.invoice, returned)} is no longer applied to it: {what}. {due} is open. "
            f"Correct it in the accounting system if that is a mistake; {then}."
        )
        yield CreateTask(
            customer_id=context.statement.customer.id,
            step=Step.PAYMENT_RETURNED if returned.task_on is None else None,
            code=MoneyTask.PAYMENT_RETURNED,
            invoice_ids=(each.invoice.id,),
            due_on=context.today,
            reason=text,
            recurrence_key=returned.recurrence_key + TASK_SUFFIX,
        )


def _describe(invoice: Invoice, returned: ReturnedPayment) -> str:
    amount = format_amount(returned.amount, invoice.currency)
    return f"The payment of {amount} that the customer was thanked for on {format_date(returned.thanked_on)}"
