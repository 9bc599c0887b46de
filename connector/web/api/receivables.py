"""Operations on customers and invoices: how they stand, why, and what is said about them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from connector.access import team
from connector.database import reading
from connector.people import agreements, customer_card, customers, invoices
from connector.people.explain import explain
from connector.portal import links
from connector.privacy import export
from connector.tables import CustomerRow, InvoiceRow, InvoiceSetting
from connector.web.api import shapes
from connector.web.api.call import Asked, Call, Within, listed, reply
from connector.web.api.explained import Explained
from connector.web.api.gate import Act, Admin, Gate, Read
from policies.receivables import Instalment

router = APIRouter(route_class=Gate)
InvoiceId = Annotated[str, Path(description="Its id, or its number.")]
CustomerId = Annotated[str, Path(description="Its id, or its name.")]


@router.get("/customers", tags=["customers"], response_model=shapes.Page[shapes.Customer])
def list_customers(
    call: Read,
    asked: Asked,
    connection: Within = "",
    search: Annotated[str, Query(max_length=200, description="Only names that hold this.")] = "",
) -> Response:
    """List customers: what they owe, where mail goes, what was set."""
    with reading(call.installation.engine) as session:
        part = asked.part(call.within(session, connection), int, str)
        rows = customers.listing(session, None, search, part=part)
        return listed(rows, asked, _place(call, session))


@router.get("/customers/{connection}/{customer}", tags=["customers"], response_model=shapes.Card)
def get_customer(call: Read, connection: str, customer: CustomerId) -> Response:
    """Show all that is known about a customer, each judgement with its inputs."""
    row = _customer(call, connection, customer)
    with reading(call.installation.engine) as session:
        return reply(customer_card.card(session, row, call.now))


@router.patch("/customers/{connection}/{customer}", tags=["customers"], response_model=shapes.CustomerNow)
def set_customer(call: Act, connection: str, customer: CustomerId, body: shapes.OfCustomer) -> Response:
    """Set something for a customer; it survives every pull and counts from the next run on."""
    row = _customer(call, connection, customer)
    changes = _changes(body)
    return reply(customers.set_customer(call.installation, row.connection_id, row.external_id, changes, by=call.by))


@router.post("/customers/{connection}/{customer}/link", tags=["customers"], response_model=shapes.Link)
def give_link(call: Act, connection: str, customer: CustomerId) -> Response:
    """Give the link to a customer's own page, where he sees what is open and answers."""
    row = _customer(call, connection, customer)
    return reply(links.give(call.installation, row.connection_id, row.external_id, by=call.by))


@router.post("/customers/{connection}/{customer}/link/revoke", tags=["customers"], response_model=shapes.Revoked)
def revoke_links(call: Act, connection: str, customer: CustomerId) -> Response:
    """End all links of a customer; his next mail carries a new one."""
    row = _customer(call, connection, customer)
    ended = links.revoke(call.installation, row.connection_id, row.external_id, by=call.by)
    return reply({"id": row.external_id, "customer": row.name, "revoked": ended})


@router.get("/customers/{connection}/{customer}/export", tags=["customers"], response_model=dict[str, Any])
def export_customer(call: Admin, connection: str, customer: CustomerId) -> Response:
    """Give everything that is held about a customer, table by table; the log says who asked for it."""
    row = _customer(call, connection, customer)
    return reply(export.document(call.installation, row.connection_id, row.external_id, by=call.by))


@router.get("/invoices", tags=["invoices"], response_model=shapes.Page[shapes.Invoice])
def list_invoices(
    call: Read,
    asked: Asked,
    connection: Within = "",
    settled: Annotated[bool, Query(description="Settled and voided ones too.")] = False,  # noqa: FBT002 - as FastAPI asks
) -> Response:
    """List the open invoices, with what was said about them."""
    with reading(call.installation.engine) as session:
        part = asked.part(call.within(session, connection), int, str)
        rows = invoices.listing(session, only_open=not settled, part=part)
        return listed(rows, asked, _place(call, session))


@router.get("/invoices/{connection}/{invoice}", tags=["invoices"], response_model=Explained)
def explain_invoice(call: Read, connection: str, invoice: InvoiceId) -> Response:
    """Explain an invoice: the facts, rules and holds behind what happened and what is next."""
    row = _invoice(call, connection, invoice)
    return reply(explain(call.installation, row.external_id, str(row.connection_id)))


@router.post("/invoices/{connection}/{invoice}/dispute", tags=["invoices"], response_model=shapes.SaidNow)
def dispute_invoice(call: Act, connection: str, invoice: InvoiceId, body: shapes.OfDispute) -> Response:
    """Stop chasing an invoice that the customer disputes."""
    return _say(call, connection, invoice, agreements.dispute, why=body.why)


@router.post("/invoices/{connection}/{invoice}/undispute", tags=["invoices"], response_model=shapes.SaidNow)
def undispute_invoice(call: Act, connection: str, invoice: InvoiceId, body: shapes.OfOutcome) -> Response:
    """Chase it again from where it stopped: the dispute is settled."""
    return _say(call, connection, invoice, agreements.undispute, outcome=body.outcome)


@router.post("/invoices/{connection}/{invoice}/promise", tags=["invoices"], response_model=shapes.SaidNow)
def promise_invoice(call: Act, connection: str, invoice: InvoiceId, body: shapes.OfPromise) -> Response:
    """Wait until the day the customer promised to pay on."""
    return _say(call, connection, invoice, agreements.promise, on=body.on, why=body.why)


@router.post("/invoices/{connection}/{invoice}/plan", tags=["invoices"], response_model=shapes.SaidNow)
def plan_invoice(call: Act, connection: str, invoice: InvoiceId, body: shapes.OfPlan) -> Response:
    """Keep a payment plan: nothing is sent while its instalments come; one that is missed voids it."""
    parts = [Instalment(each.on, each.amount) for each in body.instalments or []]
    return _say(call, connection, invoice, agreements.plan, instalments=parts, why=body.why)


@router.post("/invoices/{connection}/{invoice}/pause", tags=["invoices"], response_model=shapes.SaidNow)
def pause_invoice(call: Act, connection: str, invoice: InvoiceId, body: shapes.OfInvoicePause) -> Response:
    """Leave an invoice alone for a while."""
    return _say(call, connection, invoice, agreements.pause, until=body.until_on, why=body.why)


@router.post("/invoices/{connection}/{invoice}/resume", tags=["invoices"], response_model=shapes.SaidNow)
def resume_invoice(call: Act, connection: str, invoice: InvoiceId) -> Response:
    """End the pause of an invoice."""
    return _say(call, connection, invoice, agreements.resume)


def _say(call: Call, connection: str, invoice: str, act: Callable[..., InvoiceSetting], **more: Any) -> Response:
    row = _invoice(call, connection, invoice)
    return reply(invoices.say(call.installation, row, act, by=call.by, **more))


def _invoice(call: Call, connection: str, invoice: str) -> InvoiceRow:
    with reading(call.installation.engine) as session:
        return invoices.find_invoice(session, invoice, call.connection(session, connection).id)


def _customer(call: Call, connection: str, customer: str) -> CustomerRow:
    with reading(call.installation.engine) as session:
        return customers.find_customer(session, customer, call.connection(session, connection).id)


def _place(call: Call, session: Any) -> Callable[[Any], list[Any]]:
    ids = {row.short_name: row.id for row in call.connections(session)}
    return lambda row: [ids[row["connection"]], row["id"]]


def _changes(body: shapes.OfCustomer) -> dict[str, Any]:
    """Take what was named; null takes a text back."""
    named = body.model_dump(include=body.model_fields_set)
    contact = named.pop("contact", ...)
    if contact is not ...:
        named["contact_name"], named["emails"] = (contact["name"], contact["email"]) if contact else ("", "")
    if "tags" in named:
        named["tags"] = ",".join(filter(None, (each.replace(",", " ").strip() for each in named["tags"] or [])))
    if "language" in named:
        named["language"] = named["language"] or ""
    for name in {"owner", "sales_rep"} & named.keys():
        named[name] = team.person(named[name]) if named[name] else ""
    return named
