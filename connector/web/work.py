"""Work for people: a task, and what came of it."""

from __future__ import annotations

from sqlmodel import Session
from starlette.responses import Response

from connector.database import reading
from connector.people import tasks
from connector.tables import CustomerRow, InvoiceRow, Task
from connector.web.routes import Route
from connector.web.saying import day_of
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
        promised_on=day_of(visit, "promised_on"),
        disputed=visit.sent("disputed") or None,
        again_on=day_of(visit, "again_on"),
    )
    try:
        tasks.record(visit.installation, row.id or 0, outcome, by=visit.who.email)
    except tasks.TaskError as problem:
        raise NotPossible(str(problem)) from problem
    return visit.go("/", said="recorded")


def _task(visit: Visit, session: Session) -> Task:
    row = session.get(Task, visit.number("task"))
    if row is None or not visit.who.sees(row.connection_id):
        raise NotHere
    return row


ROUTES = (
    Route("GET", "/tasks/{task:int}", task),
    Route("POST", "/tasks/{task:int}", record, "bookkeeper"),
)
