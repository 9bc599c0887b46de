"""Reasons to hold an invoice: one function per hold, listed in order of precedence.

A new hold is one function and its line in ``HOLDS``. A function returns its hold for an invoice, or ``None``. The holds
in ``EMAIL_ONLY_HOLDS`` stop only emails: the step that is due becomes one task for a person. The contact limits and
the send window come last; they belong to the customer, not to an invoice (``reminders.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta

from policies import agreements
from policies.bank_receipts import paid_at_bank
from policies.currencies import round_amount
from policies.decisions import HoldCode
from policies.formatting import format_amount, format_date, format_percent
from policies.policy import ReminderPolicy
from policies.receivables import Invoice, InvoiceStatus, Statement
from policies.recipients import has_recipient
from policies.settlement import describe_settlement
from policies.statement_context import Hold, StatementContext
from policies.unapplied_credit import covered_hold


def nothing_owed(context: StatementContext, invoice: Invoice) -> Hold | None:
    """Paid, voided or deleted, or nothing is due."""
    if invoice.status is InvoiceStatus.DRAFT or (invoice.status is InvoiceStatus.OPEN and invoice.due > 0):
        return None
    if invoice.status is InvoiceStatus.VOIDED or invoice.status is InvoiceStatus.DELETED:
        return Hold(f"{invoice.status.value.capitalize()} in the accounting system.")
    if invoice.status is InvoiceStatus.OPEN:
        return Hold("Nothing is due on it.")
    return Hold(describe_settlement(invoice, context.today))


def erased(context: StatementContext, invoice: Invoice) -> Hold | None:
    """The customer's personal data were erased."""
    if not any(each.erased for each in context.customers(invoice)):
        return None
    return Hold("The customer's personal data were erased; no reminders are sent.")


def stale_data(context: StatementContext, invoice: Invoice) -> Hold | None:
    """The accounting data is too old to act on."""
    return context.stale_hold


def disputed(context: StatementContext, invoice: Invoice) -> Hold | None:
    """The customer disputes it."""
    if invoice.disputed_on is None:
        return None
    reason = f": {invoice.dispute_reason}" if invoice.dispute_reason else ""
    return Hold(f"Disputed since {format_date(invoice.disputed_on)}{reason}.")


def promised(context: StatementContext, invoice: Invoice) -> Hold | None:
    """The customer promised to pay by a date that is not over yet."""
    if invoice.promised_on is None:
        return None
    broken_on = agreements.promise_broken_on(context, invoice.promised_on)
    if context.today >= broken_on:
        return None
    part = f" {format_amount(invoice.promised_amount, invoice.currency)}" if invoice.promised_amount else ""
    return Hold(f"The customer promised to pay{part} by {format_date(invoice.promised_on)}.", broken_on)


def payment_plan(context: StatementContext, invoice: Invoice) -> Hold | None:
    """A payment plan is kept; a missed instalment cancels it."""
    if invoice.payment_plan is None:
        return None
    missed, coming = agreements.missed_instalment(context, invoice), agreements.next_instalment(context, invoice)
    if missed is not None or coming is None:
        return None
    amount = format_amount(coming.amount, invoice.currency)
    return Hold(f"A payment plan is in place: {amount} is due by {format_date(coming.due_on)}.", coming.due_on)


def paused(context: StatementContext, invoice: Invoice) -> Hold | None:
    """Reminders are paused for the invoice or the customer."""
    until_dates = [each.hold_until_on for each in context.customers(invoice) if each.hold_until_on is not None]
    customer_until = max(until_dates, default=None)
    if customer_until is not None and context.today < customer_until:
        of_other = context.statement.customer.paused_by
        because = f": so are those of {of_other}, at the same email address" if of_other else ""
        return Hold(
            f"The customer's reminders are paused until {format_date(customer_until)}{because}.", customer_until
        )
    if invoice.unreadable:
        return Hold(
            "Reminders for this invoice are paused: its newest version in the accounting system cannot be read."
        )
    if context.statement.customer.unreadable:
        return Hold(
            f"Reminders are paused: {context.statement.customer.unreadable} in the accounting system cannot be read."
        )
    until = invoice.paused_until_on
    if until is not None:
        text = f"Reminders for this invoice are paused until {format_date(until)}."
        return Hold(text, until) if context.today < until else None
    return Hold("Reminders for this invoice are paused.") if invoice.paused else None


def opted_out(context: StatementContext, invoice: Invoice) -> Hold | None:
    """The customer receives no reminders."""
    customer = next((each for each in context.customers(invoice) if each.no_reminders), None)
    if customer is None:
        return None
    because = f": {customer.stopped_by}, at the same email address, receives none" if customer.stopped_by else ""
    return Hold(f"The customer receives no reminders by email{because}.")


def ledger_reminders(context: StatementContext, invoice: Invoice) -> Hold | None:
    """The accounting system sends reminders of its own."""
    if not context.statement.company.ledger_reminders:
        return None
    return Hold(
        "The accounting system sends invoice reminders of its own, so the customer would get everything twice: "
        "switch them off there (in Xero: Settings, Invoice settings, Invoice reminders)."
    )


def suppressed(context: StatementContext, invoice: Invoice) -> Hold | None:
    """Emails to the customer's address are not delivered."""
    reason = "" if invoice.emails else context.statement.customer.suppression_reason
    return Hold(f"Emails cannot be delivered to the customer: {reason}.") if reason else None


def no_email_address(context: StatementContext, invoice: Invoice) -> Hold | None:
    """The customer has no valid email address."""
    customer = context.statement.customer
    if has_recipient(customer, invoice):
        return None
    written = f": {customer.invalid_emails[0]!r} is not one" if customer.invalid_emails else ""
    return Hold(f"The customer has no valid email address{written}.")


def fee_invoice(context: StatementContext, invoice: Invoice) -> Hold | None:
    """A late fee is chased only with the invoice it belongs to."""
    return Hold("A late fee: it is listed with its invoice, never chased separately.") if invoice.fee_of else None


def below_minimum(context: StatementContext, invoice: Invoice) -> Hold | None:
    """Its balance is too small to chase."""
    minimum = context.policy.minimum_balance.for_currency(invoice.currency)
    if invoice.due >= minimum:
        return None
    due, limit = (format_amount(amount, invoice.currency) for amount in (invoice.due, minimum))
    return Hold(f"{due} is below the minimum balance of {limit}.")


def draft(context: StatementContext, invoice: Invoice) -> Hold | None:
    """A draft is not an invoice yet."""
    return Hold("It is still a draft.") if invoice.status is InvoiceStatus.DRAFT else None


def never_sent(context: StatementContext, invoice: Invoice) -> Hold | None:
    """The customer never got it."""
    if invoice.sent_to_customer or context.policy.chase_unsent:
        return None
    return Hold(
        "It was never sent to the customer, according to the accounting system: send it first, or set chase_unsent in"
        " the policy if your invoices are sent from elsewhere."
    )


def no_due_date(context: StatementContext, invoice: Invoice) -> Hold | None:
    """Without a due date there is nothing to count from."""
    return Hold("It has no due date in the accounting system.") if invoice.due_on is None else None


def withheld(context: StatementContext, invoice: Invoice) -> Hold | None:
    """What is left after a payment is within what the customer may withhold by law, up to a cent or a bank's charges.

    A rest below the minimum balance is taken for withheld tax only where it comes near the percentage.
    """
    percent = max(each.withholding_percent for each in context.customers(invoice))
    if percent <= 0 or invoice.paid <= 0:
        return None
    most = round_amount(invoice.total * percent / 100, invoice.currency)
    minimum = context.policy.minimum_balance.for_currency(invoice.currency)
    excess = invoice.due - most
    if excess > 0 and (excess >= minimum or excess * 100 > invoice.total):
        return None
    if invoice.due < minimum and invoice.due * 2 < most:
        return None
    rest, total = (format_amount(amount, invoice.currency) for amount in (invoice.due, invoice.total))
    return Hold(
        f"{rest} of {total} is within the {format_percent(percent)} that this customer withholds by law:"
        " record it once the certificate is here."
    )


HOLDS: tuple[tuple[HoldCode, Callable[[StatementContext, Invoice], Hold | None]], ...] = (
    (HoldCode.NOTHING_OWED, nothing_owed),
    (HoldCode.ERASED, erased),
    (HoldCode.STALE_DATA, stale_data),
    (HoldCode.PAID_AT_BANK, paid_at_bank),
    (HoldCode.UNAPPLIED_CREDIT, covered_hold),
    (HoldCode.DISPUTED, disputed),
    (HoldCode.PROMISED, promised),
    (HoldCode.PAYMENT_PLAN, payment_plan),
    (HoldCode.PAUSED, paused),
    (HoldCode.OPTED_OUT, opted_out),
    (HoldCode.LEDGER_REMINDERS, ledger_reminders),
    (HoldCode.SUPPRESSED, suppressed),
    (HoldCode.NO_EMAIL_ADDRESS, no_email_address),
    (HoldCode.FEE_INVOICE, fee_invoice),
    (HoldCode.DRAFT, draft),
    (HoldCode.NEVER_SENT, never_sent),
    (HoldCode.NO_DUE_DATE, no_due_date),
    (HoldCode.WITHHELD, withheld),
    (HoldCode.BELOW_MINIMUM, below_minimum),
)
_FEE_HOLDS = frozenset({HoldCode.FEE_INVOICE, HoldCode.NEVER_SENT})
EMAIL_ONLY_HOLDS = frozenset({HoldCode.OPTED_OUT, HoldCode.SUPPRESSED, HoldCode.NO_EMAIL_ADDRESS})


def first_hold(
    context: StatementContext, invoice: Invoice, *, chase_fee: bool = False
) -> tuple[HoldCode, Hold, bool] | None:
    """Return the hold that takes precedence: its code, the hold, and whether it stops only emails.

    With ``chase_fee`` the invoice of a late fee is chased like any other; the reminder itself brings it.
    """
    email_only: tuple[HoldCode, Hold] | None = None
    for code, find_hold in HOLDS:
        hold = None if chase_fee and code in _FEE_HOLDS else find_hold(context, invoice)
        if hold is not None:
            if code not in EMAIL_ONLY_HOLDS:
                return (*(email_only or (code, hold)), False)
            email_only = email_only or (code, hold)
    return (*email_only, True) if email_only else None


def staleness(statement: Statement, policy: ReminderPolicy, today: date, now: datetime) -> Hold | None:
    """Return the hold for accounting data that is too old: not read, or without a new payment, for too long."""
    if statement.synced_at is None:
        return Hold("The accounting data has not been read in full yet.")
    hours = policy.data_freshness.stale_after_hours
    if now - statement.synced_at > timedelta(hours=hours):
        read_on = format_date(statement.synced_at.date())
        return Hold(f"The accounting data was last read in full on {read_on}, more than {hours} hours ago.")
    limit, last_on = policy.data_freshness.payments_stale_after_days, statement.last_payment_on
    if limit is not None and last_on is not None and (today - last_on).days > limit:
        return Hold(f"The last payment is dated {format_date(last_on)}, more than {limit} days ago: reconcile first.")
    return None
