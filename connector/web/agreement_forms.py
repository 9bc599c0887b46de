"""The forms that record agreements about invoices: promises, payment plans, disputes and paused reminders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal, InvalidOperation

from sqlmodel import Session

from connector.arrangements import agreements
from connector.arrangements.agreements import AgreementError, Attribution
from connector.db.engine import writing
from connector.db.tables import InvoiceRow
from connector.errors import InvalidField, NotFound, NotPossible
from connector.web.page_request import PageRequest
from policies.receivables import Instalment

_INVOICES_MAX = 200
_INSTALMENTS_MAX = 60
AgreementAction = Callable[[Session, InvoiceRow, Attribution], object]


def record_agreement(request: PageRequest, company_id: int, customer_id: str, invoice_ids: Sequence[str]) -> None:
    """Record the submitted agreement for each of a customer's invoices, or for none if it is not valid for one.

    Raises:
        NotFound: an invoice is not one of this customer's, or the action is unknown.
        NotPossible: no invoice is selected, or the agreement is not valid.

    """
    action = _parse_action(request)
    if not invoice_ids:
        raise NotPossible("Select at least one invoice.")
    try:
        with writing(request.app.engine) as session:
            for invoice_id in invoice_ids[:_INVOICES_MAX]:
                invoice = session.get(InvoiceRow, (company_id, invoice_id))
                if invoice is None or invoice.customer_id != customer_id:
                    raise NotFound
                action(session, invoice, Attribution(request.actor.email, request.now))
    except AgreementError as error:
        raise NotPossible(str(error)) from error


def form_date(request: PageRequest, name: str) -> date | None:
    """Return the date in a form field, None where it is empty; raises ``NotPossible`` where it is not a date."""
    text = request.form_value(name)
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise InvalidField(name, f"{text!r} is not a valid date. Enter it as 2026-12-31.") from None


def _parse_action(request: PageRequest) -> AgreementAction:
    action, reason = request.form_value("do"), request.form_value("reason", 300)
    if action == "promise":
        on = _required_date(request, "promised_on", "the date of the promised payment")
        return lambda session, invoice, by: agreements.set_promise(session, invoice, by, on=on, reason=reason)
    if action == "payment_plan":
        return _parse_payment_plan(request, reason)
    if action == "pause":
        until = form_date(request, "paused_until")
        return lambda session, invoice, by: agreements.pause_reminders(session, invoice, by, until=until, reason=reason)
    simple: dict[str, AgreementAction] = {
        "cancel_promise": lambda session, invoice, by: agreements.set_promise(session, invoice, by, on=None),
        "cancel_payment_plan": lambda session, invoice, by: agreements.set_payment_plan(
            session, invoice, by, instalments=None
        ),
        "dispute": lambda session, invoice, by: agreements.record_dispute(session, invoice, by, reason=reason),
        "undispute": lambda session, invoice, by: agreements.resolve_dispute(session, invoice, by, outcome=reason),
        "resume": agreements.resume_reminders,
    }
    if action not in simple:
        raise NotFound
    return simple[action]


def _parse_payment_plan(request: PageRequest, reason: str) -> AgreementAction:
    """Return the action for a payment plan, given as one instalment per line or as a number of equal instalments."""
    lines = request.form_value("instalments", 5000).splitlines()
    if listed := [_parse_instalment(line) for line in lines if line.strip()]:
        return lambda session, invoice, by: agreements.set_payment_plan(
            session, invoice, by, instalments=listed, reason=reason
        )
    count = request.form_value("instalment_count")
    interval = agreements.INSTALMENT_INTERVALS.get(request.form_value("interval"))
    if interval is None or not count.isdecimal() or not 2 <= int(count[:4]) <= _INSTALMENTS_MAX:
        raise NotPossible(f"Enter the number of instalments (2 to {_INSTALMENTS_MAX}), or one instalment per line.")
    first_on = _required_date(request, "first_due_on", "the due date of the first instalment")
    return lambda session, invoice, by: agreements.set_payment_plan(
        session,
        invoice,
        by,
        instalments=agreements.equal_instalments(invoice, int(count), first_on, interval),
        reason=reason,
    )


def _parse_instalment(line: str) -> Instalment:
    on, _, amount = line.strip().partition(" ")
    try:
        return Instalment(date.fromisoformat(on), Decimal(amount.strip()))
    except (ValueError, InvalidOperation):
        message = f"{line.strip()!r} is not an instalment. Enter a date and an amount, like 2026-07-01 400.00."
        raise NotPossible(message) from None


def _required_date(request: PageRequest, name: str, description: str) -> date:
    on = form_date(request, name)
    if on is None:
        raise InvalidField(name, f"Enter {description}.")
    return on
