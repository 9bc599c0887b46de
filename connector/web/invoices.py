"""One invoice: its status and the reason for it, its timeline, what is next, and the forms to record agreements."""

from __future__ import annotations

from collections.abc import Mapping

from sqlmodel import Session
from starlette.responses import Response

from connector.db.engine import reading
from connector.db.tables import Connection, CustomerRow, InvoiceRow
from connector.errors import InvalidField, NotFound
from connector.services.customer_profile import build_profile
from connector.services.explain import explain_invoice
from connector.vocabulary import Role
from connector.web import agreement_forms
from connector.web.customers import event_url
from connector.web.page_request import PageRequest
from connector.web.routes import Route


def show_invoice(request: PageRequest) -> Response:
    """Show one invoice."""
    return _render_invoice(request, {})


def _render_invoice(request: PageRequest, problems: Mapping[str, str]) -> Response:
    """Show the invoice; ``problems`` are what is wrong with the submitted form, whose values stay."""
    with reading(request.app.engine) as session:
        company, row = _get_invoice(request, session)
        undo = agreement_forms.find_undoable(request, session, row.connection_id, row.customer_id)
        customer = session.get(CustomerRow, (row.connection_id, row.customer_id))
        profile = build_profile(session, customer, request.now) if customer is not None else None
        explanation = explain_invoice(request.app, session, row)
    return request.render(
        "invoice.html",
        422 if problems else 200,
        form=agreement_forms.form_state(request, problems),
        undo=[each for each in undo if each.invoice_id == row.external_id],
        company=company,
        customer=customer,
        explanation=explanation,
        event_url=lambda target: event_url(company, target),
        assessment=next((each for each in profile.invoices if each.id == row.external_id), None) if profile else None,
        tasks=[task for task in profile.tasks if row.external_id in task.invoice_ids] if profile else [],
    )


def update_invoice(request: PageRequest) -> Response:
    """Record an agreement about the invoice."""
    with reading(request.app.engine) as session:
        company, row = _get_invoice(request, session)
    try:
        query = agreement_forms.record_agreement(request, company.id or 0, row.customer_id, [row.external_id])
    except InvalidField as error:
        return _render_invoice(request, {error.field: str(error)})
    return request.redirect(request.path, **query)


def _get_invoice(request: PageRequest, session: Session) -> tuple[Connection, InvoiceRow]:
    company = request.company(session, request.path_id("company"))
    row = session.get(InvoiceRow, (company.id, str(request.path_params["invoice"])))
    if row is None:
        raise NotFound
    return company, row


ROUTES = (
    Route("GET", "/companies/{company:int}/invoices/{invoice}", show_invoice),
    Route("POST", "/companies/{company:int}/invoices/{invoice}", update_invoice, Role.BOOKKEEPER),
)
