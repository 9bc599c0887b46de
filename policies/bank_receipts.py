"""Money on a bank statement that the ledger does not show: it holds what it pays, and asks somebody to book it.

The hold ends when the ledger shows the payment, or when a person says that the money is for something else. It never
ends by time: after some business days somebody is told, and nothing is sent meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal

from policies.calendar import add_business_days
from policies.decisions import CreateTask, HoldCode, MoneyTask
from policies.formatting import format_amount, format_date
from policies.invoice_assessment import InvoiceAssessment
from policies.receivables import Credit, CreditKind, Invoice, PossiblePayment, Statement
from policies.statement_context import Hold, StatementContext

_NO_TASK = frozenset({HoldCode.NOTHING_OWED, HoldCode.ERASED})


def paid_at_bank(context: StatementContext, invoice: Invoice) -> Hold | None:
    """Money on a bank statement pays the invoice, but for less than the minimum balance."""
    receipts = _receipts(context, invoice)
    if not receipts:
        return None
    covered = context.credit_coverage.get(invoice.id, Decimal(0))
    rest = invoice.due - covered
    if rest > 0 and rest >= context.policy.minimum_balance.for_currency(invoice.currency):
        return None
    verb = "is" if len({each.id for each in receipts}) == 1 else "are"
    return Hold(f"{_describe_all(receipts)} and {verb} not booked yet{_late_note(context, receipts)}.")


def booking_tasks(assessments: Sequence[InvoiceAssessment]) -> Iterable[CreateTask]:
    """Yield the tasks to book money: one for each receipt, and a second one where that takes too long."""
    by_receipt: dict[str, list[InvoiceAssessment]] = {}
    for assessment in assessments:
        if assessment.hold_code in _NO_TASK:
            continue
        for receipt in _receipts(assessment.context, assessment.invoice):
            by_receipt.setdefault(receipt.id, []).append(assessment)
    for receipt_id, group in by_receipt.items():
        context = group[0].context
        parts = [each for each in context.statement.credits if each.id == receipt_id]
        yield _build_task(group, parts, MoneyTask.BOOK_PAYMENT)
        if _is_late(context, parts):
            yield _build_task(group, parts, MoneyTask.PAYMENT_NOT_BOOKED)


def possible_payment_note(payments: Sequence[PossiblePayment], numbers: dict[str, str]) -> str:
    """Return the sentence about money that may be for the invoices of an email; "" without any."""
    if not payments:
        return ""
    first = payments[0]
    payer = f" from {first.payer}" if first.payer else ""
    amount, on = format_amount(first.amount, first.currency), format_date(first.received_on)
    more = len({each.id for each in payments}) - 1
    others = f" and {more} more payments" if more > 1 else " and one more payment" if more else ""
    number = numbers.get(first.invoice_id, "an invoice")
    return (
        f" {amount}{payer}, in the bank on {on},{others} may be for {number}: compare under Bank statements before you"
        " approve."
    )


def same_money_note(statement: Statement) -> str:
    """Return a sentence where what the balance lacks is exactly one receipt of a bank statement; "" elsewhere.

    A deposit on accounts receivable names no invoice and no entry of the bank. It may be other money of that amount: so
    both count until a person has looked.
    """
    lacking = {each.remaining for each in statement.credits if each.kind is CreditKind.LEDGER_BALANCE}
    receipts: dict[str, list[Credit]] = {}
    for each in statement.credits:
        if each.kind is CreditKind.BANK_RECEIPT:
            receipts.setdefault(each.id, []).append(each)
    numbers = {each.id: each.number or each.id for each in statement.invoices}
    for parts in receipts.values():
        total = sum((each.remaining for each in parts), Decimal(0))
        if total in lacking:
            amount, on = format_amount(total, statement.currency), format_date(parts[0].dated_on)
            payer = f" from {parts[0].payer}" if parts[0].payer else ""
            paid = _join([numbers.get(each.invoice_id, "an invoice") for each in parts])
            return f" It may be the {amount}{payer} that the bank statement has on {on}: then apply it to {paid} only."
    return ""


def _receipts(context: StatementContext, invoice: Invoice) -> list[Credit]:
    return [each for each in context.statement.credits if each.invoice_id == invoice.id]


def _build_task(group: Sequence[InvoiceAssessment], parts: Sequence[Credit], code: MoneyTask) -> CreateTask:
    context = group[0].context
    statement, window = context.statement, context.policy.send_window
    numbers = _join([each.number for each in group])
    arrived = _describe_all(parts)
    is_held = all(paid_at_bank(each.context, each.invoice) is not None for each in group)  # also while it is paused
    if code is MoneyTask.BOOK_PAYMENT:
        text = f"{arrived} and is not booked: apply it to {numbers} in the accounting system."
        text += " No reminder is sent about it until then." if is_held else " Reminders ask for the rest only."
    else:
        days = context.policy.bank_statements.book_within_business_days
        text = (
            f"{arrived} and is still not booked after {days} business days. Book it to {numbers}, or say under Bank"
            " statements that it is for something else: until then"
        )
        text += " no reminder is sent about it." if is_held else " reminders ask for the rest only."
    return CreateTask(
        customer_id=statement.customer.id,
        step=None,
        code=code,
        invoice_ids=tuple(each.invoice.id for each in group),
        due_on=add_business_days(context.today, 0, statement.company.country, window, context.calendar),
        reason=text,
        recurrence_key=parts[0].id,
    )


def _describe_all(receipts: Sequence[Credit]) -> str:
    """Return what arrived, as the beginning of a sentence; one receipt may pay several invoices."""
    by_id: dict[str, Decimal] = {}
    for each in receipts:
        by_id[each.id] = by_id.get(each.id, Decimal(0)) + each.remaining
    first = {each.id: each for each in reversed(receipts)}
    texts = [
        f"{format_amount(amount, first[key].currency)}{f' from {first[key].payer}' if first[key].payer else ''}"
        f" arrived on {format_date(first[key].dated_on)}"
        for key, amount in by_id.items()
    ]
    return _join(texts)


def _late_note(context: StatementContext, receipts: Sequence[Credit]) -> str:
    if not _is_late(context, receipts):
        return ""
    days = context.policy.bank_statements.book_within_business_days
    return f", after more than {days} business days: book it, or say that it is for something else"


def _is_late(context: StatementContext, receipts: Sequence[Credit]) -> bool:
    return context.today > _book_by(context, min(each.dated_on for each in receipts))


def _book_by(context: StatementContext, received_on: date) -> date:
    days, country = context.policy.bank_statements.book_within_business_days, context.statement.company.country
    return add_business_days(received_on, days, country, context.policy.send_window, context.calendar)


def _join(texts: Sequence[str]) -> str:
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"
