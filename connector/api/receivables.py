"""Operations for customers and invoices."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any, Concatenate, ParamSpec, cast

from fastapi import APIRouter, Depends, Path, Query
from sqlmodel import Session
from starlette.responses import Response

from connector.api import bodies, schemas
from connector.api.api_route import AdminCall, ApiRoute, ReadCall, WriteCall
from connector.api.call import Call, ConnectionParam, PageParam, SecretResponse, json_response
from connector.api.list_queries import ListFilters, by_company_key, list_parameters, list_query, list_response
from connector.arrangements import agreements, customer_settings
from connector.arrangements.agreements import Attribution
from connector.arrangements.customer_settings import CustomerItem, SettingChanges, UpdatedSettings
from connector.connections import account_owners
from connector.db.engine import reading
from connector.db.tables import CustomerRow, InvoiceRow, InvoiceSetting
from connector.emails import portal_links
from connector.privacy import export
from connector.services import agreement_acts, customer_profile, invoices, portal_reports
from connector.services.agreement_acts import PausedInvoices, UndoneAct
from connector.services.customer_profile import CustomerProfile
from connector.services.explain import explain
from connector.services.invoice_explanation import InvoiceExplanation
from connector.services.invoices import InvoiceAgreements, InvoiceItem
from connector.services.lists import customers as customer_list
from connector.services.lists import invoices as invoice_list
from connector.services.lists.engine import Key
from connector.services.lists.filters import ALL
from policies.receivables import Instalment

P = ParamSpec("P")
router = APIRouter(route_class=ApiRoute)
InvoiceId = Annotated[str, Path(description="The invoice's id or number.")]
CustomerId = Annotated[str, Path(description="The customer's id or name.")]


@router.get("/customers", tags=["customers"], response_model=schemas.Page[CustomerItem])
def list_customers(
    call: ReadCall,
    page_query: PageParam,
    filters: Annotated[ListFilters, Depends(list_parameters(customer_list.LISTING))],
    connection: ConnectionParam = "",
) -> Response:
    """List customers with their open balance, email addresses and settings."""
    values = {"state": ALL, **filters.values}
    with reading(call.app.engine) as session:
        query = list_query(call, session, connection, values, filters.sort or "id")

        def load(session: Session, keys: Sequence[Key]) -> Mapping[Key, object]:
            wanted: Sequence[Any] = keys
            return by_company_key(call, session, customer_settings.find_customers(session, keys=wanted))

        return list_response(session, customer_list.LISTING, page_query, query, load)


@router.get("/customers/{connection}/{customer}", tags=["customers"], response_model=CustomerProfile)
def get_customer(call: ReadCall, connection: str, customer: CustomerId) -> Response:
    """Get a customer: segment and payment behaviour with the figures behind them, settings and invoices."""
    row = _find_customer(call, connection, customer)
    with reading(call.app.engine) as session:
        return json_response(customer_profile.build_profile(session, row, call.now))


@router.patch("/customers/{connection}/{customer}", tags=["customers"], response_model=UpdatedSettings)
def set_customer(
    call: WriteCall, connection: str, customer: CustomerId, body: bodies.CustomerSettingsRequest
) -> Response:
    """Change a customer's settings; they apply from the next sync, and syncs do not overwrite them."""
    row = _find_customer(call, connection, customer)
    changes = _parse_changes(body)
    return json_response(
        customer_settings.update_settings(call.app, row.connection_id, row.external_id, changes, by=call.actor)
    )


@router.post("/customers/{connection}/{customer}/link", tags=["customers"], response_model=schemas.PortalLink)
def create_link(call: WriteCall, connection: str, customer: CustomerId) -> Response:
    """Create the link to the customer portal, where customers see their open invoices and can answer."""
    row = _find_customer(call, connection, customer)
    link = portal_links.create_link(call.app, row.connection_id, row.external_id, by=call.actor)
    return json_response(asdict(link), response_class=SecretResponse)


@router.post("/customers/{connection}/{customer}/link/revoke", tags=["customers"], response_model=schemas.RevokedLinks)
def revoke_links(call: WriteCall, connection: str, customer: CustomerId) -> Response:
    """Revoke all portal links of a customer; the next email has a new one."""
    row = _find_customer(call, connection, customer)
    ended = portal_links.revoke_links(call.app, row.connection_id, row.external_id, by=call.actor)
    return json_response({"id": row.external_id, "customer": row.name, "revoked": ended})


@router.get(
    "/customers/{connection}/{customer}/reported", tags=["customers"], response_model=list[schemas.PortalReport]
)
def list_reported(call: ReadCall, connection: str, customer: CustomerId) -> Response:
    """List what a customer reported in the portal, the newest first, with unapplied payments that fit it."""
    row = _find_customer(call, connection, customer)
    with reading(call.app.engine) as session:
        return json_response([asdict(each) for each in portal_reports.list_portal_reports(session, row)])


@router.get("/customers/{connection}/{customer}/export", tags=["customers"], response_model=dict[str, object])
def export_customer(call: AdminCall, connection: str, customer: CustomerId) -> Response:
    """Export everything stored about a customer, table by table; the export is logged."""
    row = _find_customer(call, connection, customer)
    return json_response(export.build_document(call.app, row.connection_id, row.external_id, by=call.actor))


@router.get("/invoices", tags=["invoices"], response_model=schemas.Page[InvoiceItem])
def list_invoices(
    call: ReadCall,
    page_query: PageParam,
    filters: Annotated[ListFilters, Depends(list_parameters(invoice_list.LISTING))],
    connection: ConnectionParam = "",
    include_closed: Annotated[bool, Query(description="Include paid and voided invoices.")] = False,  # noqa: FBT002 - as FastAPI asks
) -> Response:
    """List open invoices with their agreements; without a state, `include_closed` lists all."""
    values = {"state": ALL if include_closed else "open", **filters.values}
    with reading(call.app.engine) as session:
        query = list_query(call, session, connection, values, filters.sort or "id")

        def load(session: Session, keys: Sequence[Key]) -> Mapping[Key, object]:
            wanted: Sequence[Any] = keys
            return by_company_key(call, session, invoices.find_invoices(session, keys=wanted))

        return list_response(session, invoice_list.LISTING, page_query, query, load)


@router.post("/invoices/pause", tags=["invoices"], response_model=PausedInvoices)
def pause_invoices(call: WriteCall, body: bodies.InvoicesPauseRequest) -> Response:
    """Pause reminders for several invoices of a connection together: for all of them, or for none."""
    with reading(call.app.engine) as session:
        connection_id = call.find_connection(session, body.connection).id
        rows = [invoices.find_invoice(session, name, connection_id) for name in dict.fromkeys(body.invoices)]
    return json_response(
        agreement_acts.pause_invoices(call.app, rows, call.actor, until_on=body.until_on, reason=body.reason)
    )


@router.post("/invoices/undo", tags=["invoices"], response_model=UndoneAct)
def undo_agreements(call: WriteCall, body: bodies.UndoRequest) -> Response:
    """Undo the promises, pauses and disputes that this token recorded together within the last hour: all or nothing.

    What they replaced applies again. The outcome of a task is undone with what it recorded.
    """
    return json_response(
        agreement_acts.undo_recorded(call.app, call.actor, at=body.recorded_at, can_see=call.client.can_see)
    )


@router.get("/invoices/{connection}/{invoice}", tags=["invoices"], response_model=InvoiceExplanation)
def explain_invoice(call: ReadCall, connection: str, invoice: InvoiceId) -> Response:
    """Explain an invoice: the facts, decisions and holds behind what happened and what comes next."""
    row = _find_invoice(call, connection, invoice)
    return json_response(explain(call.app, row.external_id, str(row.connection_id)))


@router.post("/invoices/{connection}/{invoice}/dispute", tags=["invoices"], response_model=InvoiceAgreements)
def dispute_invoice(call: WriteCall, connection: str, invoice: InvoiceId, body: bodies.DisputeRequest) -> Response:
    """Record a dispute: reminders stop, and the account owner gets a task."""
    return _update_invoice(call, connection, invoice, agreements.record_dispute, reason=body.reason)


@router.post("/invoices/{connection}/{invoice}/undispute", tags=["invoices"], response_model=InvoiceAgreements)
def undispute_invoice(
    call: WriteCall, connection: str, invoice: InvoiceId, body: bodies.ResolveDisputeRequest
) -> Response:
    """Resolve a dispute: reminders go on where they stopped."""
    return _update_invoice(call, connection, invoice, agreements.resolve_dispute, outcome=body.outcome)


@router.post("/invoices/{connection}/{invoice}/promise", tags=["invoices"], response_model=InvoiceAgreements)
def promise_invoice(call: WriteCall, connection: str, invoice: InvoiceId, body: bodies.PromiseRequest) -> Response:
    """Record a promise to pay: no reminders until that date."""
    return _update_invoice(
        call,
        connection,
        invoice,
        agreements.set_promise,
        on=body.promised_on,
        amount=body.promised_amount,
        reason=body.reason,
    )


@router.post("/invoices/{connection}/{invoice}/plan", tags=["invoices"], response_model=InvoiceAgreements)
def plan_invoice(call: WriteCall, connection: str, invoice: InvoiceId, body: bodies.PaymentPlanRequest) -> Response:
    """Record a payment plan: no reminders while instalments are paid; a missed one ends the plan."""
    instalments = [Instalment(each.due_on, each.amount) for each in body.instalments or []]
    return _update_invoice(
        call, connection, invoice, agreements.set_payment_plan, instalments=instalments, reason=body.reason
    )


@router.post("/invoices/{connection}/{invoice}/pause", tags=["invoices"], response_model=InvoiceAgreements)
def pause_invoice(call: WriteCall, connection: str, invoice: InvoiceId, body: bodies.InvoicePauseRequest) -> Response:
    """Pause reminders for an invoice."""
    return _update_invoice(
        call, connection, invoice, agreements.pause_reminders, until=body.until_on, reason=body.reason
    )


@router.post("/invoices/{connection}/{invoice}/resume", tags=["invoices"], response_model=InvoiceAgreements)
def resume_invoice(call: WriteCall, connection: str, invoice: InvoiceId) -> Response:
    """Resume reminders for an invoice."""
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


def _parse_changes(body: bodies.CustomerSettingsRequest) -> SettingChanges:
    """Return the settings that the request names; null removes a value."""
    named = body.model_dump(include=body.model_fields_set)
    contact = named.pop("contact", ...)
    if contact is not ...:
        named["contact_name"], named["emails"] = (contact["name"], contact["email"]) if contact else ("", "")
    if "tags" in named:
        named["tags"] = ",".join(filter(None, (each.replace(",", " ").strip() for each in named["tags"] or [])))
    if "stopped_emails" in named:
        stopped = [account_owners.normalise_mailbox(each) for each in named["stopped_emails"] or []]
        named["stopped_emails"] = ",".join(stopped)
    for name in {"language", "phone"} & named.keys():
        named[name] = named[name] or ""
    if "withholding_percent" in named:
        named["withholding_percent"] = str(named["withholding_percent"] or "")
    for name in {"owner", "sales_rep", "second_contact"} & named.keys():
        named[name] = account_owners.normalise_mailbox(named[name]) if named[name] else ""
    return cast("SettingChanges", named)
