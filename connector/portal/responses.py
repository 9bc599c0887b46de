"""What a customer says at his own page: checked, kept where the next run looks, told to a person, noted in the ledger.

An answer goes through the same functions as one that a bookkeeper enters. It never undoes what a person set, and each
counts once however often it is sent. In the caller's eyes an answer has a result: a word that names what to tell him.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import NamedTuple

from sqlalchemy import func, select
from sqlmodel import Session, col

from connector import policy_store
from connector.app_context import AppContext
from connector.arrangements import agreements, review_tasks
from connector.arrangements.agreements import Attribution
from connector.arrangements.customer_settings import apply_settings
from connector.db.engine import writing
from connector.db.money import from_e4
from connector.db.tables import Agreement, Connection, CustomerRow, CustomerSetting, InvoiceRow, InvoiceSetting
from connector.emails.inbound import reminder_stops
from connector.emails.portal_links import PortalVisitor
from connector.geo import today_in
from connector.languages import LANGUAGES
from connector.outbox import entries
from connector.plain_text import one_line
from connector.vocabulary import AgreementState, ConnectionMode, TaskCode
from policies.formatting import format_amount, format_date

PROMISE_DAYS_MAX = 30  # ahead, at most: a later day is for a person to agree to
PAID_DAYS_MAX = 90  # back, at most
PROMISES_MAX = 2  # per invoice that hold by themselves; the next one is a person's to judge
PAID_PAUSE_INTERVAL = timedelta(days=30)
TEXT_MAX = 500
NOTES_MAX = 10  # per answer, on the invoices that are due longest: each is a call to the ledger
_NAMED_MAX = 20  # invoices that a task names
_SOURCE = "at his own page"
_FREE_EMAIL_DOMAIN = re.compile(
    r"(gmail|googlemail|yahoo|outlook|hotmail|live|icloud|aol|gmx|web|proton|protonmail|orange|free|mail|t-online)\.[a-z.]+"
)
_EMAIL_ADDRESS = re.compile(r"[^\s<>,;:\"()\\@]+@([a-z0-9-]+\.)+[a-z]{2,}", re.IGNORECASE)


class ResponseRejected(Exception):
    """What was said cannot be kept; ``str()`` is the name of the words that say why."""


@dataclass(frozen=True, slots=True)
class CustomerResponse:
    """What a customer sent. ``kind`` is a key of ``_KINDS``; ``invoices`` are ids as the ledger has them."""

    kind: str
    invoices: tuple[str, ...] = ()
    on: date | None = None
    text: str = ""
    email: str = ""


class _ResponseContext(NamedTuple):
    """An answer in the hands of the functions below, with everything they need."""

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
        return Attribution(f"{self.customer_name} ({_SOURCE})", self.app.now())

    @property
    def customer_key(self) -> tuple[int, str]:
        return (self.customer.connection_id, self.customer.external_id)


def record_response(app: AppContext, visitor: PortalVisitor, response: CustomerResponse) -> str:
    """Keep what a customer said, and return the name of the words that thank him. Raises ``NotAccepted``."""
    if response.kind not in _HANDLERS:
        raise ResponseRejected("error_select")
    with writing(app.engine) as session:
        here = (visitor.connection_id, visitor.customer_id)
        customer = session.get_one(CustomerRow, here, with_for_update=True)  # one answer at a time
        today = today_in(session.get_one(Connection, visitor.connection_id).time_zone, app.now())
        invoices = _list_open_invoices(session, customer)
        if response.kind in _ABOUT_INVOICES:
            invoices = [each for each in invoices if each.external_id in response.invoices]
            if not invoices:
                raise ResponseRejected("error_select")
        return _HANDLERS[response.kind](_ResponseContext(app, session, customer, invoices, response, today))


def _record_paid(context: _ResponseContext) -> str:
    on = context.response.on
    if on is None or not context.today - timedelta(days=PAID_DAYS_MAX) <= on <= context.today:
        raise ResponseRejected("error_paid_on")
    until = context.today + timedelta(days=_pause_days(context))
    held = [each for each in context.invoices if until > context.today and _pause_invoice(context, each, until, on)]
    waits = f" The chase of {_format_numbers(held)} waits until {format_date(until)}." if held else ""
    reason = f"{context.customer_name} says that {_format_amounts(context)} was paid on {format_date(on)}.{waits}"
    reason += " Look for it, and apply it in the ledger."
    return _create_task(
        context, TaskCode.PAYMENT_REPORTED, on.isoformat(), reason, f"says it was paid on {format_date(on)}"
    )


def _pause_invoice(context: _ResponseContext, invoice: InvoiceRow, until: date, on: date) -> bool:
    """Pause an invoice for the policy's days; not twice in a month, and never shorter than a person did."""
    setting = context.session.get(InvoiceSetting, (invoice.connection_id, invoice.external_id))
    paused = setting is not None and setting.paused
    if paused and setting is not None and (setting.paused_until_on is None or setting.paused_until_on >= until):
        return False
    lately = context.attribution.at - PAID_PAUSE_INTERVAL
    if _count_agreements(
        context,
        invoice,
        "pause",
        col(Agreement.recorded_at) >= lately,
        col(Agreement.recorded_by) == context.attribution.by,
    ):
        return False
    agreements.pause_reminders(
        context.session,
        invoice,
        context.attribution,
        until=until,
        reason=f"paid on {format_date(on)}, as the customer says",
    )
    return True


def _record_promise(context: _ResponseContext) -> str:
    on = context.response.on
    if on is None or not context.today <= on <= context.today + timedelta(days=PROMISE_DAYS_MAX):
        raise ResponseRejected("error_promise_on")
    kept = [each for each in context.invoices if _promise_invoice(context, each, on)]
    holds = f" Nothing is sent about {_format_numbers(kept)} until then." if kept else ""
    left = [each for each in context.invoices if each not in kept]
    judge = (
        f" It is for you to judge about {_format_numbers(left)}: promised before, or agreed otherwise." if left else ""
    )
    reason = f"{context.customer_name} promises to pay {_format_amounts(context)} on {format_date(on)}.{holds}{judge}"
    return _create_task(
        context, TaskCode.PROMISE_RECEIVED, on.isoformat(), reason, f"promises to pay on {format_date(on)}"
    )


def _promise_invoice(context: _ResponseContext, invoice: InvoiceRow, on: date) -> bool:
    open_plan = _count_agreements(context, invoice, "payment_plan", col(Agreement.state) == AgreementState.OPEN)
    the_same = _count_agreements(
        context, invoice, "promise", col(Agreement.state) == AgreementState.OPEN, col(Agreement.until_on) == on
    )
    before = _count_agreements(
        context,
        invoice,
        "promise",
        col(Agreement.state).in_([AgreementState.OPEN, AgreementState.BROKEN, AgreementState.REPLACED]),
    )
    if the_same:
        return True
    if open_plan or before >= PROMISES_MAX:
        return False
    agreements.set_promise(context.session, invoice, context.attribution, on=on)
    return True


def _record_dispute(context: _ResponseContext) -> str:
    text = one_line(context.response.text, TEXT_MAX)
    if not text:
        raise ResponseRejected("error_dispute_reason")
    fresh = [each for each in context.invoices if _dispute_invoice(context, each, text)]
    note = f"says that something is wrong: {text}"
    if (
        len(fresh) == len(context.invoices)
        and context.session.get_one(Connection, context.customer_key[0]).mode != ConnectionMode.OBSERVE
    ):
        _plan_notes(context, "dispute", _fingerprint(text), note)
        return "done_dispute"  # the next run makes the disputes' tasks, with his words
    held = f" Nothing is sent about {_format_numbers(fresh)} until that is settled." if fresh else ""
    reason = f"{context.customer_name} says that something is wrong with {_format_amounts(context)}: “{text}”.{held}"
    return _create_task(context, TaskCode.DISPUTE_RECEIVED, _fingerprint(text), reason, note)


def _dispute_invoice(context: _ResponseContext, invoice: InvoiceRow, text: str) -> bool:
    """Stop the chase of an invoice; one that is disputed already stays as it was kept."""
    setting = context.session.get(InvoiceSetting, (invoice.connection_id, invoice.external_id))
    if setting is not None and setting.disputed_on is not None:
        return False
    agreements.record_dispute(context.session, invoice, context.attribution, reason=text)
    return True


def _record_contact(context: _ResponseContext) -> str:
    """Take a new address at once where the customer has one at that domain already; else ask a person.

    Whoever has the link could else have our mails sent to anybody.
    """
    name, email = one_line(context.response.text, 80).replace("<", "").replace(">", ""), context.response.email.strip()
    if not _EMAIL_ADDRESS.fullmatch(email) or len(email) > 200:
        raise ResponseRejected("error_contact_email")
    setting = context.session.get(CustomerSetting, context.customer_key)
    known = [
        each.strip() for each in ((setting and setting.emails) or context.customer.emails).split(",") if each.strip()
    ]
    who = f"{name} <{email}>" if name else email
    if email.lower() in {each.lower() for each in known}:
        return "done_already"
    if _is_customer_domain(context, email, known):
        apply_settings(
            context.session,
            *context.customer_key,
            {"emails": ", ".join([*known, email])},
            by=context.attribution.by,
            at=context.attribution.at,
        )
        reason = f"{context.customer_name} asks to write to {who} as well: mails go there from now on."
    else:
        command = f"duewell customers set {context.customer.external_id} --contact '{who}'"
        reason = f"{context.customer_name} asks to write to {who}. Make sure that it is his, then: {command}"
    return _create_task(context, TaskCode.CONTACT_CHANGE, _fingerprint(email.lower()), reason, "names another contact")


def _is_customer_domain(context: _ResponseContext, email: str, known: Sequence[str]) -> bool:
    """Tell whether a domain is the customer's alone: not a mail service that anybody may use."""
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
    apply_settings(
        context.session, *context.customer_key, {"language": code}, by=context.attribution.by, at=context.attribution.at
    )
    return "done_language"


def _record_stop(context: _ResponseContext) -> str:
    setting = context.session.get(CustomerSetting, context.customer_key)
    if setting is None or not setting.no_reminders:
        reminder_stops.stop_for_customer(context.app, context.session, context.customer, how=_SOURCE)
        _plan_notes(context, "stop", context.today.isoformat(), "wants no more reminders by mail")
    return ""


_HANDLERS: dict[str, Callable[[_ResponseContext], str]] = {
    "paid": _record_paid,
    "promise": _record_promise,
    "dispute": _record_dispute,
    "contact": _record_contact,
    "language": _record_language,
    "stop": _record_stop,
}
_ABOUT_INVOICES = {"paid", "promise", "dispute"}


def _create_task(context: _ResponseContext, code: TaskCode, recurrence_key: str, reason: str, note: str) -> str:
    """Make the task and the notes of an answer, once."""
    about = context.response.kind in _ABOUT_INVOICES
    ids = [each.external_id for each in context.invoices] if about else []
    recurrence_key = f"{recurrence_key}:{_fingerprint(' '.join(ids))}" if ids else recurrence_key
    here = (context.app, context.session, context.customer)
    new = review_tasks.create_review_task(
        *here, code=code, recurrence_key=recurrence_key, reason=reason, invoice_ids=ids
    )
    if not new:
        return "done_already"
    _plan_notes(context, context.response.kind, recurrence_key, note)
    return f"done_{context.response.kind}"


def _plan_notes(context: _ResponseContext, kind: str, recurrence_key: str, note: str) -> None:
    """Have the ledger show it: on the invoices it is about, else on the one that is due longest."""
    at = context.app.now()
    for invoice in context.invoices[: NOTES_MAX if kind in _ABOUT_INVOICES else 1]:
        text = f"{format_date(context.today)}, {context.customer_name} {_SOURCE}: {note} (invoice {invoice.number})."
        entries.plan_note(
            context.session, invoice, recurrence_key=f"response:{kind}:{recurrence_key}", text=text, at=at
        )


def _list_open_invoices(session: Session, customer: CustomerRow) -> list[InvoiceRow]:
    query = select(InvoiceRow).where(
        col(InvoiceRow.connection_id) == customer.connection_id,
        col(InvoiceRow.customer_id) == customer.external_id,
        col(InvoiceRow.is_open),
    )
    return list(session.scalars(query.order_by(col(InvoiceRow.due_on), col(InvoiceRow.external_id))))


def _pause_days(context: _ResponseContext) -> int:
    policy, _version = policy_store.get_active_policy(context.session, context.customer.connection_id).for_customer(
        context.customer.external_id
    )
    return policy.replies.pause_days


def _count_agreements(context: _ResponseContext, invoice: InvoiceRow, kind: str, *conditions: object) -> int:
    query = select(func.count()).where(
        col(Agreement.connection_id) == invoice.connection_id,
        col(Agreement.invoice_id) == invoice.external_id,
        col(Agreement.kind) == kind,
        *conditions,  # type: ignore[arg-type]
    )
    return int(context.session.scalar(query) or 0)


def _format_amounts(context: _ResponseContext) -> str:
    """Name the invoices with what is due on each: never added up over currencies."""
    return _join_names(
        [f"{each.number} ({format_amount(from_e4(each.due_e4), each.currency)})" for each in context.invoices]
    )


def _format_numbers(invoices: Sequence[InvoiceRow]) -> str:
    return _join_names([each.number for each in invoices])


def _join_names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED_MAX} more" if len(names) > _NAMED_MAX else ""
    return ", ".join(names[:_NAMED_MAX]) + more


def _fingerprint(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
