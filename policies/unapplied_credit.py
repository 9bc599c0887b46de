"""Unapplied credit: which open invoices it covers, and the task to apply it.

What is covered in full is not chased; of an invoice that is covered in part, the rest is. So a credit of 0.03 never
silences a debt of 12,000, and nobody is asked for money that the company already has.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from policies.bank_receipts import same_money_note
from policies.calendar import add_business_days
from policies.decisions import CreateTask, HoldCode, MoneyTask
from policies.formatting import format_amount, format_date
from policies.invoice_assessment import InvoiceAssessment
from policies.receivables import BalanceChange, Credit, CreditKind, Invoice, InvoiceStatus, Statement
from policies.statement_context import Hold, StatementContext

_MAX_NAMED = 3  # credits and invoices named in a sentence
_CREDIT_NAMES = {
    CreditKind.CREDIT_NOTE: "credit note",
    CreditKind.PAYMENT: "payment",
    CreditKind.OVERPAYMENT: "overpayment",
    CreditKind.PREPAYMENT: "prepayment",
}
_MONEY = frozenset({CreditKind.PAYMENT, CreditKind.OVERPAYMENT, CreditKind.PREPAYMENT, CreditKind.BANK_RECEIPT})
_APPLIED_UNDER = frozenset({HoldCode.UNAPPLIED_CREDIT, HoldCode.PAYMENT_PLAN})
_NOT_ON_INVOICES = (
    "a deposit or journal entry: {whose} balance in the accounting system is that much below the open invoices"
)


class Group(NamedTuple):
    """What one member of a family is billed for, and the unapplied credit of those customers."""

    invoices: Sequence[Invoice]
    credits: Sequence[Credit]


class _Uncovered(NamedTuple):
    """What credit of a member's own leaves of an invoice."""

    member: str
    invoice: Invoice
    rest: Decimal


def allocate_credit(statement: Statement) -> dict[str, Decimal]:
    """Allocate unapplied credit to the open invoices: how much of each it covers, by invoice id.

    Money on a bank statement is for the invoice that it was matched with. A credit of exactly an invoice's balance is
    meant for that invoice; all others go to the oldest invoices.
    """
    return _allocate(statement.invoices, statement.credits, statement.currency)


def allocate_money(statement: Statement) -> dict[str, Decimal]:
    """Allocate the unapplied payments alone, by invoice id: a credit note or a journal entry is no payment."""
    money = [each for each in statement.credits if each.kind in _MONEY]
    return _allocate(statement.invoices, money, statement.currency)


def share_credit(groups: Mapping[str, Group]) -> dict[str, list[Credit]]:
    """Share the credit of a family: what one member's own invoices do not need counts for the others.

    Args:
        groups: the invoices and the unapplied credit of each member who gets statements of their own.

    Returns:
        The credit of each member: their own, and the parts of others' that cover what they owe.

    """
    shared = {member: list(group.credits) for member, group in groups.items()}
    for currency in sorted({each.currency for group in groups.values() for each in group.credits}):
        spare = [part for group in groups.values() for part in _spare_credit(group, currency)]
        uncovered = [part for member, group in groups.items() for part in _uncovered(member, group, currency)]
        uncovered.sort(key=lambda each: (each.invoice.due_on or each.invoice.issued_on, each.invoice.id))
        for member, credit in _lend(spare, uncovered):
            shared[member].append(credit)
    return shared


def _spare_credit(group: Group, currency: str) -> Iterable[Credit]:
    """Yield the newest credit that a member's own invoices do not need."""
    owed = sum((each.due for each in _open_invoices(group.invoices, currency)), Decimal(0))
    own = [each for each in group.credits if each.currency == currency]
    excess = _total(own) - owed
    for credit in sorted(own, key=lambda each: each.dated_on, reverse=True):
        if excess > 0:
            yield replace(credit, remaining=min(excess, credit.remaining))
            excess -= min(excess, credit.remaining)


def _uncovered(member: str, group: Group, currency: str) -> Iterable[_Uncovered]:
    covered = _allocate(group.invoices, group.credits, currency)
    for invoice in _open_invoices(group.invoices, currency):
        rest = invoice.due - covered.get(invoice.id, Decimal(0))
        if rest > 0:
            yield _Uncovered(member, invoice, rest)


def _lend(spare: list[Credit], uncovered: list[_Uncovered]) -> Iterable[tuple[str, Credit]]:
    """Yield the parts of spare credit with who gets them: exact amounts first, then the oldest debt."""
    remaining = list(spare)
    for credit in spare:
        exact = next((each for each in uncovered if each.rest == credit.remaining), None)
        if exact is not None:
            uncovered.remove(exact)
            remaining.remove(credit)
            yield exact.member, credit
    for owed in uncovered:
        rest = owed.rest
        while rest > 0 and remaining:
            credit = remaining.pop()
            part = min(rest, credit.remaining)
            rest -= part
            yield owed.member, replace(credit, remaining=part)
            if credit.remaining > part:
                remaining.append(replace(credit, remaining=credit.remaining - part))


def _open_invoices(invoices: Iterable[Invoice], currency: str) -> list[Invoice]:
    """Return the open invoices in a currency, the oldest first."""
    found = [
        each for each in invoices if each.status is InvoiceStatus.OPEN and each.due > 0 and each.currency == currency
    ]
    return sorted(found, key=lambda each: (each.due_on or each.issued_on, each.issued_on, each.id))


def _allocate(invoices: Iterable[Invoice], credits: Iterable[Credit], currency: str) -> dict[str, Decimal]:
    credits = [each for each in credits if each.currency == currency and each.remaining > 0]
    if not credits:
        return {}
    invoices = _open_invoices(invoices, currency)
    covered = cover_by_bank(invoices, credits)
    available = Decimal(0)
    for credit in credits:
        if credit.invoice_id:
            continue
        exact = next((each for each in invoices if each.due == credit.remaining and each.id not in covered), None)
        if exact is None:
            available += credit.remaining
        else:
            covered[exact.id] = exact.due
    for invoice in invoices:
        rest = invoice.due - covered.get(invoice.id, Decimal(0))
        if available > 0 and rest > 0:
            covered[invoice.id] = invoice.due - rest + min(available, rest)
            available -= min(available, rest)
    return covered


def cover_by_bank(invoices: Iterable[Invoice], credits: Iterable[Credit]) -> dict[str, Decimal]:
    """Return what money on bank statements covers of each invoice, by id."""
    due = {each.id: each.due for each in invoices}
    covered: dict[str, Decimal] = {}
    for credit in credits:
        if credit.invoice_id in due:
            known = covered.get(credit.invoice_id, Decimal(0))
            full = due[credit.invoice_id]
            covered[credit.invoice_id] = full if credit.settles else min(full, known + credit.remaining)
    return covered


def covered_hold(context: StatementContext, invoice: Invoice) -> Hold | None:
    """Unapplied credit covers the invoice, but for less than the minimum balance.

    One whose newest version cannot be read may be paid: there is nothing to apply to it.
    """
    covered = context.credit_coverage.get(invoice.id)
    if covered is None or invoice.unreadable:
        return None
    rest = invoice.due - covered
    if rest > 0 and rest >= context.policy.minimum_balance.for_currency(invoice.currency):
        return None
    part = "all of this invoice" if rest <= 0 else f"{format_amount(covered, invoice.currency)} of it"
    total = format_amount(_total(_in_ledger(context.statement.credits)), invoice.currency)
    booked = next((each for each in context.statement.credits if each.kind is CreditKind.LEDGER_BALANCE), None)
    source = f" ({_describe_credit(booked)})" if booked is not None else ""
    same = same_money_note(context.statement)
    return Hold(f"{total} of unapplied credit{source} covers {part}: apply the credit first.{same}")


def net_of_credit(context: StatementContext, invoice: Invoice) -> Invoice:
    """Return the invoice as it would be if the credit were applied, on the day of the oldest one: no fee on that."""
    covered = context.credit_coverage.get(invoice.id)
    if not covered or covered >= invoice.due:
        return invoice
    on = min((each.dated_on for each in context.statement.credits), default=context.today)
    changes = sorted((*invoice.balance_changes, BalanceChange(max(on, invoice.issued_on), -covered)), key=_changed_on)
    return replace(invoice, due=invoice.due - covered, balance_changes=tuple(changes))


def apply_tasks(assessments: Sequence[InvoiceAssessment]) -> Iterable[CreateTask]:
    """Yield one task per currency: apply the credit to the invoices that are due and not held for another reason."""
    by_currency: dict[str, list[InvoiceAssessment]] = {}
    for assessment in assessments:
        is_due = assessment.started_on <= assessment.context.today
        is_free = assessment.hold is None or assessment.hold_code in _APPLIED_UNDER
        if is_due and is_free and _ledger_cover(assessment):
            by_currency.setdefault(assessment.invoice.currency, []).append(assessment)
    for group in by_currency.values():
        yield _build_task(group)


def _build_task(group: list[InvoiceAssessment]) -> CreateTask:
    context = group[0].context
    statement, window = context.statement, context.policy.send_window
    group.sort(key=lambda each: (each.started_on, each.invoice.id))
    credits = sorted(_in_ledger(statement.credits), key=lambda each: (each.dated_on, each.id))
    return CreateTask(
        customer_id=statement.customer.id,
        step=None,
        code=MoneyTask.APPLY_CREDIT,
        invoice_ids=tuple(each.invoice.id for each in group),
        due_on=add_business_days(context.today, 0, statement.company.country, window, context.calendar),
        reason=_task_text(group, credits),
        recurrence_key=hashlib.sha256(" ".join(each.id for each in credits).encode()).hexdigest()[:12],
    )


def _task_text(group: Sequence[InvoiceAssessment], credits: Sequence[Credit]) -> str:
    currency = group[0].invoice.currency
    is_held = all(each.hold is not None for each in group)
    after = "No reminder is sent about them until then." if is_held else "Reminders ask for the rest only."
    if all(each.hold_code == HoldCode.PAYMENT_PLAN for each in group):
        after = "The payment plan counts it as paid."
    after = after.replace("about them", "about it") if len(group) == 1 else after
    covers = _join(_describe_cover(each) for each in group)
    return (
        f"Apply {format_amount(_total(credits), currency)} of unapplied credit"
        f" ({_join(_describe_credit(each) for each in credits)}): it covers {covers}. {after}"
        f"{same_money_note(group[0].context.statement)}"
    )


def _describe_credit(credit: Credit) -> str:
    if credit.kind is CreditKind.LEDGER_BALANCE:
        return _NOT_ON_INVOICES.format(whose=f"{credit.holder}'s" if credit.holder else "the customer's")
    where = f", on {credit.holder}" if credit.holder else ""
    return f"{_CREDIT_NAMES[credit.kind]} of {format_date(credit.dated_on)}{where}"


def _describe_cover(assessment: InvoiceAssessment) -> str:
    invoice, covered = assessment.invoice, _ledger_cover(assessment)
    if covered >= invoice.due:
        return f"all of {assessment.number}"
    part, due = format_amount(covered, invoice.currency), format_amount(invoice.due, invoice.currency)
    return f"{part} of the {due} due on {assessment.number}"


def _in_ledger(credits: Iterable[Credit]) -> list[Credit]:
    """Return the credit that the ledger shows: what is only in the bank cannot be applied there yet."""
    return [each for each in credits if each.kind is not CreditKind.BANK_RECEIPT]


def _ledger_cover(assessment: InvoiceAssessment) -> Decimal:
    """Return what credit in the ledger covers of an invoice, beyond what is in the bank."""
    context, invoice_id = assessment.context, assessment.invoice.id
    by_bank = cover_by_bank(context.statement.invoices, context.statement.credits).get(invoice_id, Decimal(0))
    return context.credit_coverage.get(invoice_id, Decimal(0)) - by_bank


def _join(parts: Iterable[str]) -> str:
    texts = list(parts)
    more = [f"{len(texts) - _MAX_NAMED} more"] if len(texts) > _MAX_NAMED else []
    texts = texts[:_MAX_NAMED] + more
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"


def _total(credits: Iterable[Credit]) -> Decimal:
    return sum((each.remaining for each in credits), Decimal(0))


def _changed_on(change: BalanceChange) -> date:
    return change.on
