"""One invoice: how it stands and why, what was said and done about it, what comes; and what a person says of it."""

from __future__ import annotations

from typing import Any

from sqlmodel import Session
from starlette.responses import Response

from connector.database import reading
from connector.people.customer_card import card
from connector.people.explain import explained
from connector.tables import Connection, CustomerRow, InvoiceRow
from connector.web import saying
from connector.web.routes import Route
from connector.web.visit import NotHere, Visit


def invoice(visit: Visit) -> Response:
    """Show one invoice."""
    with reading(visit.installation.engine) as session:
        company, row = _found(visit, session)
        customer = session.get(CustomerRow, (row.connection_id, row.customer_id))
        known: dict[str, Any] = card(session, customer, visit.now) if customer is not None else {"invoices": []}
        told = explained(visit.installation, session, row)
    judged = next((each for each in known["invoices"] if each["id"] == row.external_id), None)
    tasks = [task for task in known.get("tasks", []) if row.number in task["invoices"]]
    return visit.page(
        "invoice.html", company=company, customer=customer, told=told, judged=judged, card=known, tasks=tasks
    )


def act(visit: Visit) -> Response:
    """Keep what a person says about the invoice."""
    with reading(visit.installation.engine) as session:
        company, row = _found(visit, session)
    saying.say(visit, company.id or 0, row.customer_id, [row.external_id])
    return visit.go(visit.path, said="recorded")


def _found(visit: Visit, session: Session) -> tuple[Connection, InvoiceRow]:
    company = visit.company(session, visit.number("company"))
    row = session.get(InvoiceRow, (company.id, str(visit.parameters["invoice"])))
    if row is None:
        raise NotHere
    return company, row


ROUTES = (
    Route("GET", "/companies/{company:int}/invoices/{invoice}", invoice),
    Route("POST", "/companies/{company:int}/invoices/{invoice}", act, "bookkeeper"),
)
