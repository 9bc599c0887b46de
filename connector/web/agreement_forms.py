"""What a person says about invoices on a page: a form's fields become the words that the command line says too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal, InvalidOperation

from sqlmodel import Session

from connector.arrangements import agreements
from connector.arrangements.agreements import AgreementError, Attribution
from connector.db.engine import writing
from connector.db.tables import InvoiceRow
from connector.errors import NotFound, NotPossible
from connector.web.page_request import PageRequest
from policies.receivables import Instalment

_INVOICES_MAX = 200
_INSTALMENTS_MAX = 60
AgreementAction = Callable[[Session, InvoiceRow, Attribution], object]


def record_agreement(request: PageRequest, company_id: int, customer_id: str, invoice_ids: Sequence[str]) -> None:
    """Keep what the form says about each of a customer's invoices, or about none of them where one cannot be."""
    act = _parse_action(request)
    if not invoice_ids:
        message = "Choose the invoices it is about."
        raise NotPossible(message)
    try:
        with writing(request.app.engine) as session:
            for invoice_id in invoice_ids[:_INVOICES_MAX]:
                invoice = session.get(InvoiceRow, (company_id, invoice_id))
                if invoice is None or invoice.customer_id != customer_id:
                    raise NotFound
                act(session, invoice, Attribution(request.actor.email, request.now))
    except AgreementError as problem:
        raise NotPossible(str(problem)) from problem


def form_date(request: PageRequest, name: str) -> date | None:
    """Read a day off a form; None where the field is empty."""
    text = request.form_value(name)
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        message = f"{text!r} is not a day; write it like 2026-12-31."
        raise NotPossible(message) from None


def _parse_action(request: PageRequest) -> AgreementAction:
    do, reason = request.form_value("do"), request.form_value("reason", 300)
    if do == "promise":
        on = _required_date(request, "promised_on", "the day of the promise")
        return lambda session, invoice, word: agreements.set_promise(session, invoice, word, on=on, reason=reason)
    if do == "payment_plan":
        return _parse_payment_plan(request, reason)
    if do == "pause":
        until = form_date(request, "paused_until")
        return lambda session, invoice, word: agreements.pause_reminders(
            session, invoice, word, until=until, reason=reason
        )
    simple: dict[str, AgreementAction] = {
        "cancel_promise": lambda session, invoice, word: agreements.set_promise(session, invoice, word, on=None),
        "cancel_payment_plan": lambda session, invoice, word: agreements.set_payment_plan(
            session, invoice, word, instalments=None
        ),
        "dispute": lambda session, invoice, word: agreements.record_dispute(session, invoice, word, reason=reason),
        "undispute": lambda session, invoice, word: agreements.resolve_dispute(session, invoice, word, outcome=reason),
        "resume": agreements.resume_reminders,
    }
    if do not in simple:
        raise NotFound
    return simple[do]


def _parse_payment_plan(request: PageRequest, reason: str) -> AgreementAction:
    """Read a plan: the instalments one a line, or so many equal parts."""
    listed = [_parse_instalment(line) for line in request.form_value("instalments", 5000).splitlines() if line.strip()]
    if listed:
        return lambda session, invoice, word: agreements.set_payment_plan(
            session, invoice, word, instalments=listed, reason=reason
        )
    parts, every = request.form_value("instalment_count"), request.form_value("interval")
    if (
        not parts.isdecimal()
        or not 2 <= int(parts[:4]) <= _INSTALMENTS_MAX
        or every not in agreements.INSTALMENT_INTERVALS
    ):
        message = f"Say in how many parts (2 to {_INSTALMENTS_MAX}), or write the instalments one a line."
        raise NotPossible(message)
    first_on, count, apart = _required_date(request, "first_due_on", "the day of the first part"), int(parts), every
    return lambda session, invoice, word: agreements.set_payment_plan(
        session,
        invoice,
        word,
        instalments=agreements.equal_instalments(invoice, count, first_on, agreements.INSTALMENT_INTERVALS[apart]),
        reason=reason,
    )


def _parse_instalment(line: str) -> Instalment:
    on, _, amount = line.strip().partition(" ")
    try:
        return Instalment(date.fromisoformat(on), Decimal(amount.strip()))
    except (ValueError, InvalidOperation):
        message = f"{line.strip()!r} is no instalment; write a day and a sum, like 2026-07-01 400.00"
        raise NotPossible(message) from None


def _required_date(request: PageRequest, name: str, label: str) -> date:
    on = form_date(request, name)
    if on is None:
        message = f"Say {label}."
        raise NotPossible(message)
    return on
