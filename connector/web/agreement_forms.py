"""The forms that record agreements about invoices: promises, payment plans, disputes and paused reminders."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation

from sqlalchemy import select
from sqlmodel import Session, col

from connector.arrangements import agreements, undone_agreements
from connector.arrangements.agreements import AgreementError, Attribution, PromisedAmountError
from connector.db.engine import writing
from connector.db.ids import parse_id
from connector.db.tables import Agreement, InvoiceRow
from connector.errors import InvalidField, NotFound, NotPossible
from connector.services.lists.filters import parse_amount
from connector.vocabulary import AgreementState, Role
from connector.web.page_request import PageRequest
from policies.receivables import Instalment

_INVOICES_MAX = 200
_FIELDS = (
    "promised_on",
    "promised_amount",
    "instalment_count",
    "first_due_on",
    "interval",
    "instalments",
    "paused_until",
    "reason",
)
_INSTALMENTS_MAX = 60
_UNDO_LENGTH_MAX = 4000
AgreementAction = Callable[[Session, InvoiceRow, Attribution], object]


@dataclass(frozen=True, slots=True)
class AgreementForm:
    """A form that was submitted: which action, what was typed, what is wrong with which field, which invoices."""

    submitted: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)
    invoices: Sequence[str] = ()


def record_agreement(
    request: PageRequest, company_id: int, customer_id: str, invoice_ids: Sequence[str]
) -> dict[str, str]:
    """Record the submitted agreement for each of a customer's invoices, or for none if it is not valid for one.

    Returns:
        The query of the page that says so, and with which it can be undone.

    Raises:
        NotFound: an invoice is not one of this customer's, or the action is unknown.
        InvalidField: no invoice is selected, or the agreement is not valid.
        NotPossible: what is to be undone was changed since.

    """
    name = request.form_value("do")
    if name == "undo":
        return _undo(request, company_id, customer_id, invoice_ids)
    action, recorded = _parse_action(request), list[int]()
    if not invoice_ids:
        raise InvalidField("invoice", "Select at least one invoice.")
    try:
        with writing(request.app.engine) as session:
            for invoice_id in invoice_ids[:_INVOICES_MAX]:
                invoice = _get_invoice(session, company_id, customer_id, invoice_id)
                action(session, invoice, Attribution(request.actor.email, request.now))
                recorded += _open_ids(session, invoice, name)
    except AgreementError as error:
        raise InvalidField(_field_of_error(request, name, error), str(error)) from error
    undo = {"undo": ".".join(map(str, recorded))} if recorded else {}
    return {"notice": "agreement_recorded" if recorded else "recorded", **undo}


def form_state(request: PageRequest, problems: Mapping[str, str]) -> AgreementForm:
    """Return what was typed into the forms and what is wrong with it; empty unless something is."""
    if not problems:
        return AgreementForm()
    values = {name: request.form_value(name, 5000) for name in _FIELDS}
    return AgreementForm(request.form_value("do"), values, problems, request.form.get("invoice", ()))


def find_undoable(request: PageRequest, session: Session, company_id: int, customer_id: str) -> list[Agreement]:
    """Return the agreements that the user has just recorded for a customer and can undo."""
    asked = request.query.get("undo", "")[:_UNDO_LENGTH_MAX]
    ids = [number for each in asked.split(".") if (number := parse_id(each)) is not None]
    if not ids or not request.actor.has_role(Role.BOOKKEEPER):
        return []
    found = undone_agreements.find_undoable(session, ids, by=request.actor.email, now=request.now)
    return [each for each in found if (each.connection_id, each.customer_id) == (company_id, customer_id)]


def _undo(request: PageRequest, company_id: int, customer_id: str, invoice_ids: Sequence[str]) -> dict[str, str]:
    """Undo agreements of a customer: all that are named, or none; on an invoice's page those of that invoice only."""
    ids, attribution = request.form_ids("agreement"), Attribution(request.actor.email, request.now)
    try:
        with writing(request.app.engine) as session:
            for agreement_id in ids[:_INVOICES_MAX]:
                row = session.get(Agreement, agreement_id)
                if (
                    row is None
                    or row.connection_id != company_id
                    or (invoice_ids and row.invoice_id not in invoice_ids)
                ):
                    raise NotFound
                invoice = _get_invoice(session, company_id, customer_id, row.invoice_id)
                undone_agreements.undo_agreement(session, invoice, agreement_id, attribution)
    except AgreementError as error:
        raise NotPossible(str(error)) from error
    return {"notice": "agreement_undone"}


def _get_invoice(session: Session, company_id: int, customer_id: str, invoice_id: str) -> InvoiceRow:
    invoice = session.get(InvoiceRow, (company_id, invoice_id))
    if invoice is None or invoice.customer_id != customer_id:
        raise NotFound
    return invoice


def _open_ids(session: Session, invoice: InvoiceRow, action: str) -> list[int]:
    """Return the id of the agreement that an action has just recorded, where it can be undone."""
    if action not in {*undone_agreements.UNDOABLE}:
        return []
    query = select(col(Agreement.id)).where(
        col(Agreement.connection_id) == invoice.connection_id,
        col(Agreement.invoice_id) == invoice.external_id,
        col(Agreement.kind) == action,
        col(Agreement.state) == AgreementState.OPEN,
    )
    return [each or 0 for each in session.scalars(query)]


def _field_of_error(request: PageRequest, action: str, error: AgreementError) -> str:
    """Return the field that an agreement was refused for."""
    if action == "payment_plan":
        return "instalments" if request.form_value("instalments", 5000) else "first_due_on"
    if isinstance(error, PromisedAmountError):
        return "promised_amount"
    return {"promise": "promised_on", "pause": "paused_until"}.get(action, "reason")


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
        amount = _parse_promised_amount(request)
        return lambda session, invoice, by: agreements.set_promise(
            session, invoice, by, on=on, amount=amount, reason=reason
        )
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


def _parse_promised_amount(request: PageRequest) -> Decimal | None:
    """Return the part of the invoice that is promised; None for all that is due, also of several invoices."""
    text = request.form_value("promised_amount", 30)
    if not text:
        return None
    amount = parse_amount(text)
    if amount is None or amount <= 0:
        raise InvalidField("promised_amount", f"{text!r} is not an amount. Enter it as 1200.50.")
    if len(request.form.get("invoice", ())) > 1:
        raise InvalidField("promised_amount", "An amount is promised for one invoice: select one, or leave it empty.")
    return amount


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
        message = f"Enter the number of instalments (2 to {_INSTALMENTS_MAX}), or one instalment per line."
        raise InvalidField("instalment_count", message)
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
        raise InvalidField("instalments", message) from None


def _required_date(request: PageRequest, name: str, description: str) -> date:
    on = form_date(request, name)
    if on is None:
        raise InvalidField(name, f"Enter {description}.")
    return on
