"""A task, and the form that records its outcome."""

from __future__ import annotations

from sqlmodel import Session
from starlette.responses import Response

from connector.arrangements import tasks
from connector.db.engine import reading
from connector.db.invoice_names import names_of
from connector.db.tables import CustomerRow, InvoiceRow, Task
from connector.errors import NotFound, NotPossible
from connector.vocabulary import Role
from connector.web.agreement_forms import form_date
from connector.web.page_request import PageRequest
from connector.web.routes import Route

_INVOICES_MAX = 100


def show_task(request: PageRequest) -> Response:
    """Show a task with its customer and invoices."""
    with reading(request.app.engine) as session:
        row = _get_task(request, session)
        company = request.company(session, row.connection_id)
        customer = session.get(CustomerRow, (row.connection_id, row.customer_id))
        keys = [(row.connection_id, invoice_id) for invoice_id in row.invoice_ids[:_INVOICES_MAX]]
        invoices = [found for found in (session.get(InvoiceRow, key) for key in keys) if found is not None]
        names = names_of(session, row.connection_id, [found.external_id for found in invoices])
    return request.render("task.html", task=row, company=company, customer=customer, invoices=invoices, names=names)


def complete_task(request: PageRequest) -> Response:
    """Record the outcome of a task; the next sync applies it."""
    with reading(request.app.engine) as session:
        row = _get_task(request, session)
    outcome = tasks.TaskOutcome(
        note=request.form_value("note"),
        promised_on=form_date(request, "promised_on"),
        disputed=request.form_value("disputed") or None,
        retry_on=form_date(request, "retry_on"),
    )
    try:
        tasks.record_task_outcome(request.app, row.id or 0, outcome, by=request.actor.email)
    except tasks.TaskError as error:
        raise NotPossible(str(error)) from error
    return request.redirect("/", notice="recorded")


def _get_task(request: PageRequest, session: Session) -> Task:
    row = session.get(Task, request.path_id("task"))
    if row is None or not request.actor.can_see(row.connection_id):
        raise NotFound
    return row


ROUTES = (
    Route("GET", "/tasks/{task:int}", show_task),
    Route("POST", "/tasks/{task:int}", complete_task, Role.BOOKKEEPER),
)
