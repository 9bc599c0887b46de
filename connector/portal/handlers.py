"""What each kind of response does: checked, recorded as if a bookkeeper had, given to a user, noted in the ledger.

A response never undoes what a user has set. The result of a handler is the name of a text in the table ``[portal]``.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal

from sqlmodel import col

from connector.arrangements import agreements
from connector.db.money import from_e4, to_e4
from connector.db.tables import Agreement, Connection, InvoiceRow
from connector.plain_text import one_line
from connector.portal import email_handlers, payment_plans
from connector.portal.customer_response import REFERENCE_MAX, TEXT_MAX, ResponseRejected
from connector.portal.response_context import ResponseContext, was_taken_back
from connector.vocabulary import AgreementKind, AgreementState, ConnectionMode, PaymentMethod, ResponseKind, TaskCode
from connector.vocabulary.labels import in_sentence, label
from policies.formatting import format_amount, format_date

PROMISE_DAYS_MAX = 30  # ahead: a later date is for a user to agree to
PAID_DAYS_MAX = 90  # back
PROMISES_MAX = 2  # promises per invoice that pause reminders automatically; a user judges the next one
PAID_PAUSE_INTERVAL = timedelta(days=30)
_AMOUNT_MAX = Decimal(10) ** 11


def check(context: ResponseContext) -> None:
    """Raise ``ResponseRejected`` where the response cannot be recorded."""
    if (checked := _CHECKS.get(context.response.kind)) is not None:
        checked(context)


def record(context: ResponseContext) -> str:
    """Record a checked response and return the name of the text that confirms it."""
    return _HANDLERS[context.response.kind](context)


def _check_paid(context: ResponseContext) -> None:
    on, amount = context.response.on, context.response.amount
    if on is None or not context.today - timedelta(days=PAID_DAYS_MAX) <= on <= context.today:
        raise ResponseRejected("error_paid_on")
    if amount is not None and not 0 < amount < _AMOUNT_MAX:
        raise ResponseRejected("error_amount")
    if amount is not None and len({each.currency for each in context.invoices}) > 1:
        raise ResponseRejected("error_one_currency")


def _record_paid(context: ResponseContext) -> str:
    response = context.response
    on = response.on or context.today
    until = context.today + timedelta(days=context.find_policy().replies.pause_days)
    why = f"the customer reports a payment on {format_date(on)}"
    paused = [each for each in context.invoices if _pause(context, each, until, why)]
    pause = (
        f" Reminders about {context.format_numbers(paused)} are paused until {format_date(until)}." if paused else ""
    )
    proof = " A proof of payment is on the customer's page." if context.files else ""
    said = f"{context.customer_name} reports that {context.format_amounts()} was paid on {format_date(on)}"
    context.create_task(
        TaskCode.PAYMENT_REPORTED,
        f"{said}{_payment_details(context)}.{pause}{proof} Find the payment and apply it in your accounting system.",
    )
    context.plan_notes(f"reports a payment on {format_date(on)}{_payment_details(context)}")
    return "done_paid" if paused else "done_paid_again"


def _payment_details(context: ResponseContext) -> str:
    """Return what helps to find a payment: amount, way and reference, as far as they were given."""
    response = context.response
    amount = format_amount(response.amount, context.invoices[0].currency) if response.amount is not None else ""
    way = f"by {in_sentence(label(response.method))}" if response.method not in _UNNAMED_METHODS else ""
    reference = one_line(response.reference, REFERENCE_MAX)
    details = [each for each in (amount, way, f"reference “{reference}”" if reference else "") if each]
    return f" ({', '.join(details)})" if details else ""


_UNNAMED_METHODS = (PaymentMethod.NONE, PaymentMethod.OTHER)


def _pause(context: ResponseContext, invoice: InvoiceRow, until: date, reason: str) -> bool:
    """Pause an invoice; not twice in a month, and never shortening a user's own pause."""
    setting = context.setting_of(invoice)
    if until <= context.today or (
        setting is not None and setting.paused and (setting.paused_until_on is None or setting.paused_until_on >= until)
    ):
        return False
    attribution = context.attribution
    recently = (
        col(Agreement.recorded_at) >= attribution.at - PAID_PAUSE_INTERVAL,
        col(Agreement.recorded_by) == attribution.by,
        ~was_taken_back(),
    )
    if context.count_agreements(invoice, AgreementKind.PAUSE, *recently):
        return False
    agreements.pause_reminders(context.session, invoice, attribution, until=until, reason=reason)
    return True


def _check_promise(context: ResponseContext) -> None:
    on, amount = context.response.on, context.response.amount
    if on is None or not context.today <= on <= context.today + timedelta(days=PROMISE_DAYS_MAX):
        raise ResponseRejected("error_promise_on")
    if amount is not None and (len(context.invoices) > 1 or not 0 < amount <= from_e4(context.invoices[0].due_e4)):
        raise ResponseRejected("error_promise_amount")


def _record_promise(context: ResponseContext) -> str:
    on = context.response.on or context.today
    accepted = [each for each in context.invoices if _promise(context, each)]
    others = [each for each in context.invoices if each not in accepted]
    pause = f" Nothing is sent about {context.format_numbers(accepted)} until then." if accepted else ""
    review = (
        f" Please decide about {context.format_numbers(others)}: promised before, or agreed otherwise."
        if others
        else ""
    )
    amount = context.response.amount
    part = f"{format_amount(amount, context.invoices[0].currency)} of " if amount is not None else ""
    promise = f"{part}{context.format_amounts()} on {format_date(on)}"
    context.create_task(TaskCode.PROMISE_RECEIVED, f"{context.customer_name} promises to pay {promise}.{pause}{review}")
    context.plan_notes(f"promises to pay {part.removesuffix(' of ')}{' ' if part else ''}on {format_date(on)}")
    return "done_promise_review" if others else "done_promise"


def _promise(context: ResponseContext, invoice: InvoiceRow) -> bool:
    """Record a promise, unless there is a payment plan or there were too many promises; return whether it stands."""
    on, amount = context.response.on, context.response.amount
    amount = None if amount is None or amount == from_e4(invoice.due_e4) else amount
    is_open = col(Agreement.state) == AgreementState.OPEN
    part_e4 = to_e4(amount) if amount is not None else 0
    is_same = (is_open, col(Agreement.until_on) == on, col(Agreement.amount_e4) == part_e4)
    if context.count_agreements(invoice, AgreementKind.PROMISE, *is_same):
        return True
    counted = col(Agreement.state).in_([AgreementState.OPEN, AgreementState.BROKEN, AgreementState.REPLACED])
    if (
        context.count_agreements(invoice, AgreementKind.PAYMENT_PLAN, is_open)
        or context.count_agreements(invoice, AgreementKind.PROMISE, counted) >= PROMISES_MAX
    ):
        return False
    agreements.set_promise(context.session, invoice, context.attribution, on=on, amount=amount)
    return True


def _check_plan(context: ResponseContext) -> None:
    [invoice] = context.invoices
    payment_plans.propose(context.find_policy(), invoice, context.today, context.response)


def _record_plan(context: ResponseContext) -> str:
    """Accept a plan where the policy does; else a user decides, and reminders pause meanwhile."""
    [invoice] = context.invoices
    policy = context.find_policy()
    instalments = payment_plans.propose(policy, invoice, context.today, context.response)
    text = "; ".join(
        f"{format_amount(each.amount, invoice.currency)} by {format_date(each.due_on)}" for each in instalments
    )
    asked = f"{context.customer_name} asks to pay {context.format_amounts()} in {len(instalments)} instalments: {text}."
    if reason := payment_plans.needs_person(context, policy, invoice):
        until = context.today + timedelta(days=policy.replies.pause_days)
        paused = _pause(context, invoice, until, "the customer asks for a payment plan")
        pause = f" Reminders are paused until {format_date(until)}." if paused else ""
        context.create_task(
            TaskCode.PLAN_REQUESTED,
            f"{asked} {reason}{pause} Record the plan at the invoice, or answer the customer.",
        )
        context.plan_notes(f"asks for a payment plan: {text}")
        return "done_plan_requested"
    agreements.set_payment_plan(
        context.session, invoice, context.attribution, instalments=instalments, reason="asked for in the portal"
    )
    context.create_task(
        TaskCode.PLAN_REQUESTED,
        f"{asked} It was accepted, as the policy allows. Nothing is left to do while it is kept.",
    )
    context.plan_notes(f"has a payment plan: {text}")
    return "done_plan_accepted"


def _check_dispute(context: ResponseContext) -> None:
    if not one_line(context.response.text, TEXT_MAX):
        raise ResponseRejected("error_dispute_reason")


def _record_dispute(context: ResponseContext) -> str:
    text = one_line(context.response.text, TEXT_MAX)
    disputed = [each for each in context.invoices if _dispute(context, each, text)]
    mode = context.session.get_one(Connection, context.customer.connection_id).mode
    context.plan_notes(f"disputes it: {text}")
    if len(disputed) == len(context.invoices) and mode != ConnectionMode.OBSERVE:
        return "done_dispute"  # the next sync creates the tasks, with this text
    pause = f" Nothing is sent about {context.format_numbers(disputed)} until it is resolved." if disputed else ""
    context.create_task(
        TaskCode.DISPUTE_RECEIVED, f"{context.customer_name} disputes {context.format_amounts()}: “{text}”.{pause}"
    )
    return "done_dispute"


def _dispute(context: ResponseContext, invoice: InvoiceRow, text: str) -> bool:
    """Record a dispute; one that a user recorded stays as it is, the customer's own gets its new reason."""
    setting = context.setting_of(invoice)
    is_own = any(each.kind == AgreementKind.DISPUTE for each in context.own_agreements(invoice))
    if setting is not None and setting.disputed_on is not None and not is_own:
        return False
    agreements.record_dispute(context.session, invoice, context.attribution, reason=text)
    return True


def _check_withdraw(context: ResponseContext) -> None:
    if not any(_withdrawable(context, each) for each in context.invoices):
        raise ResponseRejected("error_nothing_to_take_back")


def _withdrawable(context: ResponseContext, invoice: InvoiceRow) -> list[Agreement]:
    """Return the customer's own agreements that they may end; a payment plan is ended by both."""
    return [each for each in context.own_agreements(invoice) if each.kind != AgreementKind.PAYMENT_PLAN]


def _record_withdraw(context: ResponseContext) -> str:
    ended: list[str] = []
    for invoice in context.invoices:
        for agreement in _withdrawable(context, invoice):
            ended.append(in_sentence(label(agreement.kind)))
            if agreement.kind == AgreementKind.PROMISE:
                agreements.set_promise(context.session, invoice, context.attribution, on=None)
            elif agreement.kind == AgreementKind.PAUSE:
                agreements.resume_reminders(context.session, invoice, context.attribution)
            else:
                agreements.resolve_dispute(
                    context.session, invoice, context.attribution, outcome="the customer took the dispute back"
                )
    context.plan_notes(f"takes back: {', '.join(ended)}")
    return "done_withdraw"


def _check_file(context: ResponseContext) -> None:
    if not context.files:
        raise ResponseRejected("error_file_missing")


def _record_file(context: ResponseContext) -> str:
    text = one_line(context.response.text, TEXT_MAX)
    said = f": “{text}”" if text else ""
    context.create_task(
        TaskCode.FILE_RECEIVED,
        f"{context.customer_name} sent a proof of payment or remittance advice{said}. It is on the customer's page.",
    )
    return "done_file"


_CHECKS: dict[ResponseKind, Callable[[ResponseContext], None]] = {
    ResponseKind.PAID: _check_paid,
    ResponseKind.PROMISE: _check_promise,
    ResponseKind.PLAN: _check_plan,
    ResponseKind.DISPUTE: _check_dispute,
    ResponseKind.WITHDRAW: _check_withdraw,
    ResponseKind.FILE: _check_file,
    ResponseKind.CONTACT: email_handlers.check_contact,
    ResponseKind.LANGUAGE: email_handlers.check_language,
    ResponseKind.STOP: email_handlers.check_stop,
}
_HANDLERS: dict[ResponseKind, Callable[[ResponseContext], str]] = {
    ResponseKind.PAID: _record_paid,
    ResponseKind.PROMISE: _record_promise,
    ResponseKind.PLAN: _record_plan,
    ResponseKind.DISPUTE: _record_dispute,
    ResponseKind.WITHDRAW: _record_withdraw,
    ResponseKind.FILE: _record_file,
    ResponseKind.CONTACT: email_handlers.record_contact,
    ResponseKind.LANGUAGE: email_handlers.record_language,
    ResponseKind.STOP: email_handlers.record_stop,
}
