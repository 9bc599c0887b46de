"""Reasons not to act: one function per hold, and one list of them in the order of precedence.

A new hold is one function and one name in ``HOLDS``. A function looks at one invoice and answers with its sentence,
or ``None``. Holds in ``BY_PERSON`` stop mails only: the step due becomes one task for a person. The frequency cap and
the window come last and concern mails alone; they belong to the customer, not to an invoice (``mails.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal

from policies import agreements
from policies.formatting import format_amount, format_date
from policies.policy import ReminderPolicy
from policies.receivables import Invoice, InvoiceStatus, Statement
from policies.statement_context import Hold, StatementContext


def nothing_owed(context: StatementContext, invoice: Invoice) -> Hold | None:
    """Paid, voided, deleted, or nothing is owed."""
    if invoice.status is InvoiceStatus.OPEN and invoice.due > 0:
        return None
    if invoice.status is InvoiceStatus.DRAFT:
        return None
    if invoice.status is InvoiceStatus.VOIDED or invoice.status is InvoiceStatus.DELETED:
        return Hold(f"It was {invoice.status.value} in the ledger.")
    settled = f" on {format_date(invoice.closed_on)}" if invoice.closed_on else ""
    return Hold(f"Paid{settled}." if invoice.status is InvoiceStatus.PAID else "Nothing is owed on it.")


def erased(context: StatementContext, invoice: Invoice) -> Hold | None:
    """Nobody is chased whose data were erased."""
    return Hold("The customer's data were erased: nobody is chased.") if context.statement.customer.erased else None


def stale_data(context: StatementContext, invoice: Invoice) -> Hold | None:
    """The mirror is too old to act upon."""
    return context.stale_hold


def unapplied_credit(context: StatementContext, invoice: Invoice) -> Hold | None:
    """Money of the customer that is not applied yet covers all or part of it."""
    part = context.credit_coverage.get(invoice.id)
    if part is None:
        return None
    whole = sum((credit.remaining for credit in context.statement.credits), Decimal(0))
    covers = (
        "all of this invoice" if part >= invoice.due else f"{format_amount(part, invoice.currency)} of this invoice"
    )
    return Hold(
        f"{format_amount(whole, invoice.currency)} of this customer is not applied yet and covers {covers}: apply it first."
    )


def disputed(context: StatementContext, invoice: Invoice) -> Hold | None:
    """The customer disputes it."""
    if invoice.disputed_on is None:
        return None
    reason = f": {invoice.dispute_reason}" if invoice.dispute_reason else ""
    return Hold(f"Disputed since {format_date(invoice.disputed_on)}{reason}.")


def promised(context: StatementContext, invoice: Invoice) -> Hold | None:
    """The customer promised to pay by a day that is not over yet."""
    if invoice.promised_on is None:
        return None
    broken_on = agreements.promise_broken_on(context, invoice.promised_on)
    return (
        Hold(f"Payment is promised for {format_date(invoice.promised_on)}.", broken_on)
        if context.today < broken_on
        else None
    )


def payment_plan(context: StatementContext, invoice: Invoice) -> Hold | None:
    """A payment plan is kept; one missed instalment voids it."""
    if invoice.payment_plan is None:
        return None
    missed, coming = agreements.missed_instalment(context, invoice), agreements.next_instalment(invoice)
    if missed is not None or coming is None:
        return None
    amount = format_amount(coming.amount, invoice.currency)
    return Hold(f"A payment plan is kept: {amount} is to come by {format_date(coming.due_on)}.", coming.due_on)


def paused(context: StatementContext, invoice: Invoice) -> Hold | None:
    """A person paused the invoice or the customer."""
    customer_until = context.statement.customer.hold_until_on
    if customer_until is not None and context.today < customer_until:
        return Hold(f"The customer is paused until {format_date(customer_until)}.", customer_until)
    until = invoice.paused_until_on
    if until is not None:
        return Hold(f"The invoice is paused until {format_date(until)}.", until) if context.today < until else None
    return Hold("The invoice is paused by hand.") if invoice.paused else None


def opted_out(context: StatementContext, invoice: Invoice) -> Hold | None:
    """The customer gets no reminders."""
    return Hold("The customer gets no reminders by mail.") if context.statement.customer.no_reminders else None


def ledger_reminders(context: StatementContext, invoice: Invoice) -> Hold | None:
    """The ledger mails reminders by itself."""
    if not context.statement.company.ledger_reminders:
        return None
    return Hold(
        "The ledger's own invoice reminders are switched on, and the customer would hear everything twice: "
        "switch them off there (in Xero: Settings, Invoice settings, Invoice reminders)."
    )


def suppressed(context: StatementContext, invoice: Invoice) -> Hold | None:
    """Mail to the customer's address is refused."""
    reason = context.statement.customer.suppression_reason
    return Hold(f"Mail does not reach the customer: {reason}.") if reason else None


def no_email_address(context: StatementContext, invoice: Invoice) -> Hold | None:
    """The customer has no usable address."""
    if any("@" in email for email in context.statement.customer.emails):
        return None
    return Hold("The customer has no mail address that can be used.")


def fee_invoice(context: StatementContext, invoice: Invoice) -> Hold | None:
    """A late fee is chased only with the invoice it belongs to."""
    return Hold("A late fee: it is listed with its invoice, never chased by itself.") if invoice.fee_of else None


def below_minimum(context: StatementContext, invoice: Invoice) -> Hold | None:
    """Too little is owed."""
    least = context.policy.minimum_balance.for_currency(invoice.currency)
    if invoice.due >= least:
        return None
    return Hold(
        f"{format_amount(invoice.due, invoice.currency)} is below the minimum of {format_amount(least, invoice.currency)}."
    )


def draft(context: StatementContext, invoice: Invoice) -> Hold | None:
    """A draft is not an invoice yet."""
    return Hold("It is a draft.") if invoice.status is InvoiceStatus.DRAFT else None


def never_sent(context: StatementContext, invoice: Invoice) -> Hold | None:
    """The customer never got it."""
    return (
        None
        if invoice.sent_to_customer
        else Hold("The ledger says that it was never sent to the customer: send it first.")
    )


def no_due_date(context: StatementContext, invoice: Invoice) -> Hold | None:
    """Without a due date nothing can be counted."""
    return Hold("It has no due date in the ledger.") if invoice.due_on is None else None


HOLDS: tuple[tuple[str, Callable[[StatementContext, Invoice], Hold | None]], ...] = (
    ("nothing_owed", nothing_owed),
    ("erased", erased),
    ("stale_data", stale_data),
    ("unapplied_credit", unapplied_credit),
    ("disputed", disputed),
    ("promised", promised),
    ("payment_plan", payment_plan),
    ("paused", paused),
    ("opted_out", opted_out),
    ("ledger_reminders", ledger_reminders),
    ("suppressed", suppressed),
    ("no_email_address", no_email_address),
    ("fee_invoice", fee_invoice),
    ("below_minimum", below_minimum),
    ("draft", draft),
    ("never_sent", never_sent),
    ("no_due_date", no_due_date),
)
EMAIL_ONLY_HOLDS = frozenset({"opted_out", "suppressed", "no_email_address"})


def first_hold(context: StatementContext, invoice: Invoice) -> tuple[str, Hold, bool] | None:
    """Find the hold that takes precedence: its code, its words, and whether a person may still be given the step."""
    found: tuple[str, Hold] | None = None
    for code, assessment in HOLDS:
        hold = assessment(context, invoice)
        if hold is not None:
            if code not in EMAIL_ONLY_HOLDS:
                return (*(found or (code, hold)), False)
            found = found or (code, hold)
    return (*found, True) if found else None


def staleness(statement: Statement, policy: ReminderPolicy, today: date, now: datetime) -> Hold | None:
    """Tell whether the books are too old to act upon: unread for long, or no payment entered for long."""
    if statement.synced_at is None:
        return Hold("The books were never read in full yet.")
    hours = policy.data_freshness.stale_after_hours
    if now - statement.synced_at > timedelta(hours=hours):
        return Hold(
            f"The books were last read in full on {format_date(statement.synced_at.date())}, over {hours} hours ago."
        )
    limit, newest_on = policy.data_freshness.payments_stale_after_days, statement.last_payment_on
    if limit is not None and newest_on is not None and (today - newest_on).days > limit:
        return Hold(
            f"The newest payment in the books is of {format_date(newest_on)}, over {limit} days ago: reconcile first."
        )
    return None


def allocate_credit(statement: Statement) -> dict[str, Decimal]:
    """Lay the unapplied money on the open invoices, oldest first: how much of each it meets."""
    left = sum((each.remaining for each in statement.credits if each.currency == statement.currency), Decimal(0))
    if left <= 0:
        return {}
    owed = [each for each in statement.invoices if each.status is InvoiceStatus.OPEN and each.due > 0]
    covered: dict[str, Decimal] = {}
    for invoice in sorted(owed, key=lambda each: (each.due_on or each.issued_on, each.issued_on, each.id)):
        if left <= 0:
            break
        covered[invoice.id] = min(left, invoice.due)
        left -= covered[invoice.id]
    return covered
