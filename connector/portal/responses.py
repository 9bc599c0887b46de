"""What customers report in the portal: validated, stored for the next sync, given to a user, noted in the ledger.

A response goes through the same functions as one that a bookkeeper enters. It never undoes what a user has set, and it
counts once however often it is submitted. Its result is the name of a text in the table ``[portal]``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import ColumnElement, func, select
from sqlmodel import Session, col

from connector import policy_store
from connector.app_context import AppContext
from connector.arrangements import agreements, review_tasks
from connector.arrangements.agreements import Attribution
from connector.arrangements.customer_settings import SettingChanges, apply_settings
from connector.db.engine import writing
from connector.db.invoice_names import name_of, title_of
from connector.db.money import from_e4
from connector.db.tables import Agreement, Connection, CustomerRow, CustomerSetting, InvoiceRow, InvoiceSetting
from connector.emails.inbound import reminder_stops
from connector.emails.portal_links import PortalVisitor
from connector.geo import today_in
from connector.languages import LANGUAGES
from connector.outbox import entries
from connector.plain_text import one_line
from connector.sync.mirror.families import load_families
from connector.vocabulary import AgreementKind, AgreementState, ConnectionMode, TaskCode
from policies.formatting import format_amount, format_date

PROMISE_DAYS_MAX = 30  # ahead: a later date is for a user to agree to
PAID_DAYS_MAX = 90  # back
PROMISES_MAX = 2  # promises per invoice that pause reminders automatically; a user judges the next one
PAID_PAUSE_INTERVAL = timedelta(days=30)
TEXT_MAX = 500
NOTES_MAX = 10  # per response, on the invoices due longest: each is a call to the ledger
_NAMED_MAX = 20  # invoices that a task names
_FREE_EMAIL_DOMAIN = re.compile(
    r"(gmail|googlemail|yahoo|outlook|hotmail|live|icloud|aol|gmx|web|proton|protonmail|orange|free|mail|t-online)\.[a-z.]+"
)
_EMAIL_ADDRESS = re.compile(r"[^\s<>,;:\"()\\@]+@([a-z0-9-]+\.)+[a-z]{2,}", re.IGNORECASE)


class ResponseKind(StrEnum):
    """What a customer can report; the portal's buttons have these values."""

    PAID = "paid"
    PROMISE = "promise"
    DISPUTE = "dispute"
    CONTACT = "contact"
    LANGUAGE = "language"
    STOP = "stop"


ABOUT_INVOICES = frozenset({ResponseKind.PAID, ResponseKind.PROMISE, ResponseKind.DISPUTE})


class ResponseRejected(Exception):
    """A response that cannot be stored; ``str()`` is the name of the text that explains why."""


@dataclass(frozen=True, slots=True)
class CustomerResponse:
    """What a customer submitted; ``invoices`` are the ledger's ids."""

    kind: ResponseKind
    invoices: tuple[str, ...] = ()
    on: date | None = None
    text: str = ""
    email: str = ""


class _ResponseContext(NamedTuple):
    """A response with everything its handler needs."""

    app: AppContext
    session: Session
    customer: CustomerRow
    invoices: Sequence[InvoiceRow]
    response: CustomerResponse
    today: date

    @property
    def customer_name(self) -> str:
        return one_line(self.customer.name)

    @property
    def attribution(self) -> Attribution:
        return Attribution(f"{self.customer_name} (customer portal)", self.app.now())

    @property
    def customer_key(self) -> tuple[int, str]:
        return (self.customer.connection_id, self.customer.external_id)


def record_response(app: AppContext, visitor: PortalVisitor, response: CustomerResponse) -> str:
    """Store what a customer reported and return the name of the text that confirms it. Raises ``ResponseRejected``."""
    with writing(app.engine) as session:
        key = (visitor.connection_id, visitor.customer_id)
        customer = session.get_one(CustomerRow, key, with_for_update=True)  # one response at a time
        today = today_in(session.get_one(Connection, visitor.connection_id).time_zone, app.now())
        invoices = _list_open_invoices(session, customer)
        if response.kind in ABOUT_INVOICES:
            invoices = [each for each in invoices if each.external_id in response.invoices]
            if not invoices:
                raise ResponseRejected("error_select")
        return _HANDLERS[response.kind](_ResponseContext(app, session, customer, invoices, response, today))


def _record_paid(context: _ResponseContext) -> str:
    on = context.response.on
    if on is None or not context.today - timedelta(days=PAID_DAYS_MAX) <= on <= context.today:
        raise ResponseRejected("error_paid_on")
    until = context.today + timedelta(days=_pause_days(context))
    paused = [each for each in context.invoices if until > context.today and _pause_invoice(context, each, until, on)]
    pause = (
        f" Reminders about {_format_numbers(context.session, paused)} are paused until {format_date(until)}."
        if paused
        else ""
    )
    reason = (
        f"{context.customer_name} reports that {_format_amounts(context)} was paid on {format_date(on)}.{pause} "
        "Find the payment and apply it in your accounting system."
    )
    note = f"reports a payment on {format_date(on)}"
    return _create_task(context, TaskCode.PAYMENT_REPORTED, on.isoformat(), reason, note)


def _pause_invoice(context: _ResponseContext, invoice: InvoiceRow, until: date, on: date) -> bool:
    """Pause an invoice for the days in the policy; not twice in a month, and never shortening a user's own pause."""
    setting = context.session.get(InvoiceSetting, (invoice.connection_id, invoice.external_id))
    is_paused = setting is not None and setting.paused
    if is_paused and setting is not None and (setting.paused_until_on is None or setting.paused_until_on >= until):
        return False
    attribution = context.attribution
    recently = (
        col(Agreement.recorded_at) >= attribution.at - PAID_PAUSE_INTERVAL,
        col(Agreement.recorded_by) == attribution.by,
    )
    if _count_agreements(context, invoice, AgreementKind.PAUSE, *recently):
        return False
    reason = f"the customer reports a payment on {format_date(on)}"
    agreements.pause_reminders(context.session, invoice, attribution, until=until, reason=reason)
    return True


def _record_promise(context: _ResponseContext) -> str:
    on = context.response.on
    if on is None or not context.today <= on <= context.today + timedelta(days=PROMISE_DAYS_MAX):
        raise ResponseRejected("error_promise_on")
    accepted = [each for each in context.invoices if _promise_invoice(context, each, on)]
    others = [each for each in context.invoices if each not in accepted]
    pause = f" Nothing is sent about {_format_numbers(context.session, accepted)} until then." if accepted else ""
    review = (
        f" Please decide about {_format_numbers(context.session, others)}: promised before, or agreed otherwise."
        if others
        else ""
    )
    reason = f"{context.customer_name} promises to pay {_format_amounts(context)} on {format_date(on)}.{pause}{review}"
    note = f"promises to pay on {format_date(on)}"
    return _create_task(context, TaskCode.PROMISE_RECEIVED, on.isoformat(), reason, note)


def _promise_invoice(context: _ResponseContext, invoice: InvoiceRow, on: date) -> bool:
    """Record a promise, unless there is a payment plan or there were too many promises; return whether it stands."""
    is_open = col(Agreement.state) == AgreementState.OPEN
    if _count_agreements(context, invoice, AgreementKind.PROMISE, is_open, col(Agreement.until_on) == on):
        return True
    counted = col(Agreement.state).in_([AgreementState.OPEN, AgreementState.BROKEN, AgreementState.REPLACED])
    if (
        _count_agreements(context, invoice, AgreementKind.PAYMENT_PLAN, is_open)
        or _count_agreements(context, invoice, AgreementKind.PROMISE, counted) >= PROMISES_MAX
    ):
        return False
    agreements.set_promise(context.session, invoice, context.attribution, on=on)
    return True


def _record_dispute(context: _ResponseContext) -> str:
    text = one_line(context.response.text, TEXT_MAX)
    if not text:
        raise ResponseRejected("error_dispute_reason")
    disputed = [each for each in context.invoices if _dispute_invoice(context, each, text)]
    note = f"disputes it: {text}"
    mode = context.session.get_one(Connection, context.customer.connection_id).mode
    if len(disputed) == len(context.invoices) and mode != ConnectionMode.OBSERVE:
        _plan_notes(context, ResponseKind.DISPUTE, _fingerprint(text), note)
        return "done_dispute"  # the next sync creates the tasks, with this text
    pause = (
        f" Nothing is sent about {_format_numbers(context.session, disputed)} until it is resolved." if disputed else ""
    )
    reason = f"{context.customer_name} disputes {_format_amounts(context)}: “{text}”.{pause}"
    return _create_task(context, TaskCode.DISPUTE_RECEIVED, _fingerprint(text), reason, note)


def _dispute_invoice(context: _ResponseContext, invoice: InvoiceRow, text: str) -> bool:
    """Record a dispute; an invoice that is disputed already stays as it is."""
    setting = context.session.get(InvoiceSetting, (invoice.connection_id, invoice.external_id))
    if setting is not None and setting.disputed_on is not None:
        return False
    agreements.record_dispute(context.session, invoice, context.attribution, reason=text)
    return True


def _record_contact(context: _ResponseContext) -> str:
    """Add an address at once where the customer already has one at its domain; else ask a user.

    Otherwise whoever has the link could have invoices sent to anybody.
    """
    name, email = one_line(context.response.text, 80).replace("<", "").replace(">", ""), context.response.email.strip()
    if not _EMAIL_ADDRESS.fullmatch(email) or len(email) > 200:
        raise ResponseRejected("error_contact_email")
    setting = context.session.get(CustomerSetting, context.customer_key)
    used = (setting and setting.emails) or context.customer.emails
    known = [each.strip() for each in used.split(",") if each.strip()]
    contact = f"{name} <{email}>" if name else email
    if email.lower() in {each.lower() for each in known}:
        return "done_already"
    request = f"{context.customer_name} asks to send emails to {contact} as well."
    if _is_customer_domain(context, email, known):
        _apply_settings(context, {"emails": ", ".join([*known, email])})
        reason = f"{request} Emails are sent there from now on."
    else:
        command = f"duewell customers set {context.customer.external_id} --contact '{contact}'"
        reason = f"{request} Make sure that the address is theirs, then run: {command}"
    note = "asks to send emails to another contact"
    return _create_task(context, TaskCode.CONTACT_CHANGE, _fingerprint(email.lower()), reason, note)


def _is_customer_domain(context: _ResponseContext, email: str, known: Sequence[str]) -> bool:
    """Return whether a domain is used by this customer alone and is no public email service."""
    domain = email.rpartition("@")[2].lower()
    if _FREE_EMAIL_DOMAIN.fullmatch(domain) or domain not in {each.rpartition("@")[2].lower() for each in known}:
        return False
    others = select(func.count()).where(
        col(CustomerRow.connection_id) == context.customer.connection_id,
        col(CustomerRow.external_id) != context.customer.external_id,
        col(CustomerRow.emails).icontains(f"@{domain}", autoescape=True),
    )
    return not context.session.scalar(others)


def _record_language(context: _ResponseContext) -> str:
    code = context.response.text
    if code not in LANGUAGES:
        raise ResponseRejected("error_select")
    _apply_settings(context, {"language": code})
    return "done_language"


def _record_stop(context: _ResponseContext) -> str:
    setting = context.session.get(CustomerSetting, context.customer_key)
    if setting is None or not setting.no_reminders:
        reminder_stops.stop_for_customer(context.app, context.session, context.customer, how="in the customer portal")
        _plan_notes(context, ResponseKind.STOP, context.today.isoformat(), "asks for no more reminders by email")
    return ""


_HANDLERS: dict[ResponseKind, Callable[[_ResponseContext], str]] = {
    ResponseKind.PAID: _record_paid,
    ResponseKind.PROMISE: _record_promise,
    ResponseKind.DISPUTE: _record_dispute,
    ResponseKind.CONTACT: _record_contact,
    ResponseKind.LANGUAGE: _record_language,
    ResponseKind.STOP: _record_stop,
}


def _apply_settings(context: _ResponseContext, changes: SettingChanges) -> None:
    attribution = context.attribution
    apply_settings(context.session, *context.customer_key, changes, by=attribution.by, at=attribution.at)


def _create_task(context: _ResponseContext, code: TaskCode, recurrence_key: str, reason: str, note: str) -> str:
    """Create the task and the notes for a response, once."""
    kind = context.response.kind
    ids = [each.external_id for each in context.invoices] if kind in ABOUT_INVOICES else []
    recurrence_key = f"{recurrence_key}:{_fingerprint(' '.join(ids))}" if ids else recurrence_key
    is_new = review_tasks.create_review_task(
        context.app,
        context.session,
        context.customer,
        code=code,
        recurrence_key=recurrence_key,
        reason=reason,
        invoice_ids=ids,
    )
    if not is_new:
        return "done_already"
    _plan_notes(context, kind, recurrence_key, note)
    return f"done_{kind}"


def _plan_notes(context: _ResponseContext, kind: ResponseKind, recurrence_key: str, note: str) -> None:
    """Plan a note in the ledger on each invoice it is about, else on the one due longest."""
    for invoice in context.invoices[: NOTES_MAX if kind in ABOUT_INVOICES else 1]:
        who = f"{format_date(context.today)}, {context.customer_name} (customer portal)"
        entries.plan_note(
            context.session,
            invoice,
            recurrence_key=f"response:{kind}:{recurrence_key}",
            text=f"{who}: {note} ({title_of(context.session, invoice)}).",
            at=context.app.now(),
        )


def _list_open_invoices(session: Session, customer: CustomerRow) -> list[InvoiceRow]:
    billed = load_families(session, customer.connection_id).billed_to(customer.external_id)
    query = select(InvoiceRow).where(
        col(InvoiceRow.connection_id) == customer.connection_id,
        col(InvoiceRow.customer_id).in_(billed),
        col(InvoiceRow.is_open),
    )
    return list(session.scalars(query.order_by(col(InvoiceRow.due_on), col(InvoiceRow.external_id))))


def _pause_days(context: _ResponseContext) -> int:
    policies = policy_store.get_active_policy(context.session, context.customer.connection_id)
    return policies.for_customer(context.customer.external_id)[0].replies.pause_days


def _count_agreements(
    context: _ResponseContext, invoice: InvoiceRow, kind: AgreementKind, *conditions: ColumnElement[bool]
) -> int:
    query = select(func.count()).where(
        col(Agreement.connection_id) == invoice.connection_id,
        col(Agreement.invoice_id) == invoice.external_id,
        col(Agreement.kind) == kind,
        *conditions,
    )
    return int(context.session.scalar(query) or 0)


def _format_amounts(context: _ResponseContext) -> str:
    """Return the invoices, each with its open balance, which are never added up across currencies."""
    return _join_names(
        [
            f"{name_of(context.session, each)} ({format_amount(from_e4(each.due_e4), each.currency)})"
            for each in context.invoices
        ]
    )


def _format_numbers(session: Session, invoices: Sequence[InvoiceRow]) -> str:
    return _join_names([name_of(session, each) for each in invoices])


def _join_names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED_MAX} more" if len(names) > _NAMED_MAX else ""
    return ", ".join(names[:_NAMED_MAX]) + more


def _fingerprint(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
