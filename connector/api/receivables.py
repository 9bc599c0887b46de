"""Operations on customers and invoices: how they stand, why, and what is said about them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any, Concatenate, ParamSpec, cast

from fastapi import APIRouter, Path, Query
from sqlmodel import Session
from starlette.responses import Response

from connector.api import schemas
from connector.api.api_route import AdminCall, ApiRoute, ReadCall, WriteCall
from connector.api.call import Call, ConnectionParam, PageParam, json_response, page_response
from connector.arrangements import agreements, customer_settings
from connector.arrangements.agreements import Attribution
from connector.arrangements.customer_settings import CustomerItem, SettingChanges, UpdatedSettings
from connector.connections import account_owners
from connector.db.engine import reading
from connector.db.tables import CustomerRow, InvoiceRow, InvoiceSetting
from connector.emails import portal_links
from connector.privacy import export
from connector.services import customer_profile, invoices
from connector.services.customer_profile import CustomerProfile
from connector.services.explain import InvoiceExplanation, explain
from connector.services.invoices import InvoiceAgreements, InvoiceItem
from policies.receivables import Instalment

P = ParamSpec("P")
router = APIRouter(route_class=ApiRoute)
InvoiceId = Annotated[str, Path(description="Its id, or its number.")]
CustomerId = Annotated[str, Path(description="Its id, or its name.")]


@router.get("/customers", tags=["customers"], response_model=schemas.Page[CustomerItem])
def list_customers(
    call: ReadCall,
    page_query: PageParam,
    connection: ConnectionParam = "",
    search: Annotated[str, Query(max_length=200, description="Only names that hold this.")] = "",
) -> Response:
    """List customers: what they owe, where mail goes, what was set."""
    with reading(call.app.engine) as session:
        part = page_query.for_companies(call.connection_ids(session, connection), int, str)
        rows = customer_settings.find_customers(session, None, search, page=part)
        return page_response(rows, page_query, _cursor_key(call, session))


@router.get("/customers/{connection}/{customer}", tags=["customers"], response_model=CustomerProfile)
def get_customer(call: ReadCall, connection: str, customer: CustomerId) -> Response:
    """Show all that is known about a customer, each judgement with its inputs."""
    row = _find_customer(call, connection, customer)
    with reading(call.app.engine) as session:
        return json_response(customer_profile.build_profile(session, row, call.now))


@router.patch("/customers/{connection}/{customer}", tags=["customers"], response_model=UpdatedSettings)
def set_customer(
    call: WriteCall, connection: str, customer: CustomerId, body: schemas.CustomerSettingsRequest
) -> Response:
    """Set something for a customer; it survives every pull and counts from the next run on."""
    row = _find_customer(call, connection, customer)
    changes = _parse_changes(body)
    return json_response(
        customer_settings.update_settings(call.app, row.connection_id, row.external_id, changes, by=call.actor)
    )


@router.post("/customers/{connection}/{customer}/link", tags=["customers"], response_model=schemas.PortalLink)
def create_link(call: WriteCall, connection: str, customer: CustomerId) -> Response:
    """Give the link to a customer's own page, where he sees what is open and answers."""
    row = _find_customer(call, connection, customer)
    link = portal_links.create_link(call.app, row.connection_id, row.external_id, by=call.actor)
    return json_response(asdict(link))


@router.post("/customers/{connection}/{customer}/link/revoke", tags=["customers"], response_model=schemas.RevokedLinks)
def revoke_links(call: WriteCall, connection: str, customer: CustomerId) -> Response:
    """End all links of a customer; his next mail carries a new one."""
    row = _find_customer(call, connection, customer)
    ended = portal_links.revoke_links(call.app, row.connection_id, row.external_id, by=call.actor)
    return json_response({"id": row.external_id, "customer": row.name, "revoked": ended})


@router.get("/customers/{connection}/{customer}/export", tags=["customers"], response_model=dict[str, Any])
def export_customer(call: AdminCall, connection: str, customer: CustomerId) -> Response:
    """Give everything that is held about a customer, table by table; the log says who asked for it."""
    row = _find_customer(call, connection, customer)
    return json_response(export.build_document(call.app, row.connection_id, row.external_id, by=call.actor))


@router.get("/invoices", tags=["invoices"], response_model=schemas.Page[InvoiceItem])
def list_invoices(
    call: ReadCall,
    page_query: PageParam,
    connection: ConnectionParam = "",
    include_closed: Annotated[bool, Query(description="Settled and voided ones too.")] = False,  # noqa: FBT002 - as FastAPI asks
) -> Response:
    """List the open invoices, with what was said about them."""
    with reading(call.app.engine) as session:
        part = page_query.for_companies(call.connection_ids(session, connection), int, str)
        rows = invoices.find_invoices(session, only_open=not include_closed, page=part)
        return page_response(rows, page_query, _cursor_key(call, session))


@router.get("/invoices/{connection}/{invoice}", tags=["invoices"], response_model=InvoiceExplanation)
def explain_invoice(call: ReadCall, connection: str, invoice: InvoiceId) -> Response:
    """Explain an invoice: the facts, rules and holds behind what happened and what is next."""
    row = _find_invoice(call, connection, invoice)
    return json_response(explain(call.app, row.external_id, str(row.connection_id)))


@router.post("/invoices/{connection}/{invoice}/dispute", tags=["invoices"], response_model=InvoiceAgreements)
def dispute_invoice(call: WriteCall, connection: str, invoice: InvoiceId, body: schemas.DisputeRequest) -> Response:
    """Stop chasing an invoice that the customer disputes."""
    return _update_invoice(call, connection, invoice, agreements.record_dispute, reason=body.reason)


@router.post("/invoices/{connection}/{invoice}/undispute", tags=["invoices"], response_model=InvoiceAgreements)
def undispute_invoice(
    call: WriteCall, connection: str, invoice: InvoiceId, body: schemas.ResolveDisputeRequest
) -> Response:
    """Chase it again from where it stopped: the dispute is settled."""
    return _update_invoice(call, connection, invoice, agreements.resolve_dispute, outcome=body.outcome)


@router.post("/invoices/{connection}/{invoice}/promise", tags=["invoices"], response_model=InvoiceAgreements)
def promise_invoice(call: WriteCall, connection: str, invoice: InvoiceId, body: schemas.PromiseRequest) -> Response:
    """Wait until the day the customer promised to pay on."""
    return _update_invoice(call, connection, invoice, agreements.set_promise, on=body.promised_on, reason=body.reason)


@router.post("/invoices/{connection}/{invoice}/plan", tags=["invoices"], response_model=InvoiceAgreements)
def plan_invoice(call: WriteCall, connection: str, invoice: InvoiceId, body: schemas.PaymentPlanRequest) -> Response:
    """Keep a payment plan: nothing is sent while its instalments come; one that is missed voids it."""
    parts = [Instalment(each.due_on, each.amount) for each in body.instalments or []]
    return _update_invoice(
        call, connection, invoice, agreements.set_payment_plan, instalments=parts, reason=body.reason
    )


@router.post("/invoices/{connection}/{invoice}/pause", tags=["invoices"], response_model=InvoiceAgreements)
def pause_invoice(call: WriteCall, connection: str, invoice: InvoiceId, body: schemas.InvoicePauseRequest) -> Response:
    """Leave an invoice alone for a while."""
    return _update_invoice(
        call, connection, invoice, agreements.pause_reminders, until=body.until_on, reason=body.reason
    )


@router.post("/invoices/{connection}/{invoice}/resume", tags=["invoices"], response_model=InvoiceAgreements)
def resume_invoice(call: WriteCall, connection: str, invoice: InvoiceId) -> Response:
    """End the pause of an invoice."""
    return _update_invoice(call, connection, invoice, agreements.resume_reminders)


def _update_invoice(
    call: Call,
    connection: str,
    invoice: str,
    change: Callable[Concatenate[Session, InvoiceRow, Attribution, P], InvoiceSetting],
    *arguments: P.args,
    **details: P.kwargs,
) -> Response:
    row = _find_invoice(call, connection, invoice)
    return json_response(invoices.record_agreement(call.app, row, call.actor, change, *arguments, **details))


def _find_invoice(call: Call, connection: str, invoice: str) -> InvoiceRow:
    with reading(call.app.engine) as session:
        return invoices.find_invoice(session, invoice, call.find_connection(session, connection).id)


def _find_customer(call: Call, connection: str, customer: str) -> CustomerRow:
    with reading(call.app.engine) as session:
        return customer_settings.find_customer(session, customer, call.find_connection(session, connection).id)


def _cursor_key(call: Call, session: Session) -> Callable[[CustomerItem | InvoiceItem], list[int | str | None]]:
    ids = {row.short_name: row.id for row in call.connections(session)}
    return lambda row: [ids[row.connection], row.id]


def _parse_changes(body: schemas.CustomerSettingsRequest) -> SettingChanges:
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
        named[name] = account_owners.normalise_mailbox(named[name]) if named[name] else ""
    return cast("SettingChanges", named)
