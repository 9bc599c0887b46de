"""Work for people: what came of a task. And an invoice's whole story, with the reason for what is next."""

from __future__ import annotations

from datetime import date

from sqlmodel import Session
from starlette.responses import Response

from connector.database import reading
from connector.people import tasks
from connector.people.explain import explain
from connector.tables import CustomerRow, InvoiceRow, Task
from connector.web.routes import Route
from connector.web.visit import NotHere, NotPossible, Visit


def task(visit: Visit) -> Response:
    """Show a task, and ask what came of it."""
    with reading(visit.installation.engine) as session:
        row = _task(visit, session)
        company = visit.company(session, row.connection_id)
        customer = session.get(CustomerRow, (row.connection_id, row.customer_id))
        keys = [(row.connection_id, each) for each in row.invoice_ids[:100]]
        invoices = [found for found in (session.get(InvoiceRow, key) for key in keys) if found is not None]
    return visit.page("task.html", task=row, company=company, customer=customer, invoices=invoices)


def record(visit: Visit) -> Response:
    """Keep what came of a task: the next run follows what was said."""
    with reading(visit.installation.engine) as session:
        row = _task(visit, session)
    outcome = tasks.Outcome(
        note=visit.sent("note"),
        promised_on=_day(visit.sent("promised_on")),
        disputed=visit.sent("disputed") or None,
        again_on=_day(visit.sent("again_on")),
    )
    try:
        tasks.record(visit.installation, row.id or 0, outcome, by=visit.who.email)
    except tasks.TaskError as problem:
        raise NotPossible(str(problem)) from problem
    return visit.go("/", said="recorded")


def invoice(visit: Visit) -> Response:
    """Show one invoice: its story, the reason for what is next, and what comes if nobody pays."""
    with reading(visit.installation.engine) as session:
        company = visit.company(session, visit.number("company"))
        if session.get(InvoiceRow, (company.id, str(visit.parameters["invoice"]))) is None:
            raise NotHere
    told = explain(visit.installation, str(visit.parameters["invoice"]), str(company.id))
    return visit.page("invoice.html", company=company, told=told)


def _task(visit: Visit, session: Session) -> Task:
    row = session.get(Task, visit.number("task"))
    if row is None or not visit.who.sees(row.connection_id):
        raise NotHere
    return row


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        message = f"{text!r} is not a day; write it like 2026-12-31."
        raise NotPossible(message) from None


ROUTES = (
    Route("GET", "/tasks/{task:int}", task),
    Route("POST", "/tasks/{task:int}", record, "bookkeeper"),
    Route("GET", "/companies/{company:int}/invoices/{invoice}", invoice),
)
