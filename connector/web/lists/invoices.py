"""The page of invoices: what is open and overdue over all companies, and reminders paused for many at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from sqlmodel import Session

from connector.arrangements.agreements import AgreementError, resume_reminders
from connector.db.money import format_e4, from_e4
from connector.errors import NotPossible
from connector.geo import today_in
from connector.services.invoices import format_active_agreements
from connector.services.lists import bulk
from connector.services.lists import invoices as listed
from connector.services.lists.bulk import Actor, BulkResult, InvoiceChange, SeenRow
from connector.services.lists.engine import Key
from connector.services.lists.invoices import InvoiceLine
from connector.vocabulary.labels import label
from connector.web.agreement_forms import form_date
from connector.web.lists.page import list_routes
from connector.web.lists.view import Action, Cell, Column, Field, ListView, Narrow, Row, money_cell
from connector.web.page_request import PageRequest, entity_url
from connector.web.rendering import format_date
from policies.decisions import DecisionKind


def load_rows(request: PageRequest, session: Session, keys: Sequence[Key]) -> list[Row]:
    """Return the rows of some invoices."""
    return [_row(line, today_in(line.company.time_zone, request.now)) for line in listed.load_lines(session, keys)]


def _row(line: InvoiceLine, today: date) -> Row:
    row, overdue = line.row, line.days_overdue(today)
    customer_url = entity_url(row.connection_id, "customers", row.customer_id) if line.customer else ""
    late = f"{overdue} {'day' if overdue == 1 else 'days'} overdue" if overdue else ""
    agreed = format_active_agreements(line.agreements)
    return Row(
        key=(row.connection_id, row.external_id),
        version=line.version,
        title=f"invoice {row.number or 'without a number'} of {line.customer}",
        cells=(
            Cell(row.number or "Without a number", entity_url(row.connection_id, "invoices", row.external_id)),
            Cell(line.company.name),
            Cell(line.customer, customer_url),
            Cell(format_date(row.due_on) or "–", note=late or ("" if row.is_open else label(row.status))),
            money_cell(from_e4(row.due_e4), row.currency),
            money_cell(from_e4(row.total_e4), row.currency),
            _next_cell(line, agreed),
        ),
        exported=(
            *(row.number, line.company.name, line.customer, row.issued_on, row.due_on, overdue, row.currency),
            *(format_e4(row.due_e4, row.currency), format_e4(row.total_e4, row.currency), label(row.status), agreed),
        ),
    )


def _next_cell(line: InvoiceLine, agreed: str) -> Cell:
    decision = line.decision
    if not line.row.is_open or decision is None:
        return Cell(agreed or "–")
    if agreed:
        return Cell(agreed[:1].upper() + agreed[1:])
    if decision.next_step is not None and decision.next_on is not None:
        return Cell(label(decision.next_step), note=format_date(decision.next_on))
    is_waiting = decision.kind is DecisionKind.WAITING
    return Cell(label(decision.code, "decision_code") if is_waiting else label(decision.kind))


def _pause(request: PageRequest, rows: Sequence[SeenRow], actor: Actor) -> BulkResult:
    until = form_date(request, "until")
    return _change(request, rows, actor, bulk.pause_invoices(until, request.form_value("reason")))


def _resume(request: PageRequest, rows: Sequence[SeenRow], actor: Actor) -> BulkResult:
    return _change(request, rows, actor, resume_reminders)


def _change(request: PageRequest, rows: Sequence[SeenRow], actor: Actor, change: InvoiceChange) -> BulkResult:
    try:
        return bulk.change_invoices(request.app, rows, actor, change, listed.invoice_version)
    except AgreementError as error:
        raise NotPossible(str(error)) from error


_PAUSE = Action(
    "pause", "Pause reminders", _pause, "bulk_paused", "paused",
    (Field("until", "Until (empty: until resumed)", "date"), Field("reason", "Reason")), can_undo=True,
)  # fmt: skip
_RESUME = Action("resume", "Resume reminders", _resume, "bulk_resumed", "resumed")


def _actions(values: Mapping[str, str]) -> tuple[Action, ...]:
    return () if values["state"] in {"paid", "draft", "voided"} else (_PAUSE, _RESUME)


VIEW = ListView(
    path="/invoices",
    title="Invoices",
    singular="invoice",
    plural="invoices",
    listing=listed.LISTING,
    columns=(
        Column("Number", "number"),
        Column("Company", "company", is_company=True),
        Column("Customer", "customer", narrow=Narrow.SECOND),
        Column("Due date", "due_on", narrow=Narrow.END),
        Column("Balance", "due", total="due", is_number=True, narrow=Narrow.SIDE),
        Column("Amount", "total", total="total", is_number=True),
        Column("Next", "next_on"),
    ),
    load=load_rows,
    csv_headings=(
        *("number", "company", "customer", "issued on", "due on", "days overdue", "currency"),
        *("balance", "amount", "status", "agreements"),
    ),
    empty="No open invoices. They appear after the first sync.",
    actions=_actions,
)
ROUTES = list_routes(VIEW)
