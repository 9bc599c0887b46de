"""The paths of the simulated Xero, and the scopes that each requires."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from sandbox.xero import chart
from sandbox.xero.api import Api, Handler
from sandbox.xero.credit_notes import allocate, write_credit_notes
from sandbox.xero.reading import (
    CONTACTS,
    INVOICES,
    PAYMENTS,
    credit_listing,
    document_handler,
    history_handler,
    list_handler,
    online_invoice,
)
from sandbox.xero.service import Xero
from sandbox.xero.writing import update_invoice, write_history, write_invoices

BASE = "/api.xro/2.0"
_INVOICES = ("accounting.invoices",)
_PAYMENTS = ("accounting.payments",)
_CONTACTS = ("accounting.contacts",)
_SETTINGS = ("accounting.settings",)


def routes(xero: Xero) -> list[BaseRoute]:
    """Return all routes: sign-in, the Accounting API, and the customer's online invoice."""
    online_invoice_page = Route("/sandbox/xero/online/{invoice_id}", _online_invoice_page(xero))
    return [*xero.sign_in.routes(), *_api_routes(xero.api), online_invoice_page]


def _api_routes(api: Api) -> list[BaseRoute]:

    def route(path: str, scopes: tuple[str, ...], handler: Handler, *methods: str) -> Route:
        return Route(BASE + path, api.endpoint(scopes, handler), methods=list(methods) or ["GET"])

    listings = [
        (INVOICES, _INVOICES),
        (CONTACTS, _CONTACTS),
        (PAYMENTS, _PAYMENTS),
        (credit_listing("CreditNote"), _INVOICES),
        (credit_listing("Overpayment"), _PAYMENTS),
        (credit_listing("Prepayment"), _PAYMENTS),
    ]
    api_routes: list[BaseRoute] = [
        route("/Invoices", _INVOICES, write_invoices, "PUT", "POST"),
        route("/Invoices/{document_id}", _INVOICES, update_invoice, "POST"),
        route("/Invoices/{document_id}/OnlineInvoice", _INVOICES, online_invoice),
        route("/CreditNotes", _INVOICES, write_credit_notes, "PUT"),
        route("/CreditNotes/{document_id}/Allocations", _INVOICES, allocate, "PUT"),
        route(
            "/InvoiceReminders/Settings", _SETTINGS, chart.settings_handler("InvoiceReminders", chart.reminder_settings)
        ),
        route("/Organisation", _SETTINGS, chart.settings_handler("Organisations", chart.organisation_details)),
        route("/Accounts", _SETTINGS, chart.settings_handler("Accounts", chart.accounts)),
        route("/TaxRates", _SETTINGS, chart.settings_handler("TaxRates", chart.tax_rates)),
        route("/BrandingThemes", _SETTINGS, chart.settings_handler("BrandingThemes", chart.branding_themes)),
        route("/Currencies", _SETTINGS, chart.settings_handler("Currencies", chart.currencies)),
        route("/Items", (*_SETTINGS, *_INVOICES), chart.settings_handler("Items", chart.items)),
    ]
    for listing, scopes in listings:
        api_routes += [
            route(f"/{listing.name}", scopes, list_handler(listing)),
            route(f"/{listing.name}/{{document_id}}", scopes, document_handler(listing)),
            route(f"/{listing.name}/{{document_id}}/History", scopes, history_handler(listing)),
            route(f"/{listing.name}/{{document_id}}/History", scopes, write_history(listing), "PUT", "POST"),
        ]
    return api_routes


def _online_invoice_page(xero: Xero) -> Callable[[Request], Awaitable[Response]]:
    async def page(request: Request) -> Response:
        invoice = xero.find_anywhere(request.path_params["invoice_id"])
        if invoice is None:
            return HTMLResponse(
                "<!DOCTYPE html><html lang=en><title>Not found</title><h1>No such invoice", status_code=404
            )
        return HTMLResponse(
            f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Invoice {escape(invoice.number)}</title></head>
<body><main><h1>Invoice {escape(invoice.number)}</h1><p>For {escape(invoice.contact.name)}</p>
<p>Amount due: <strong>{invoice.amount_due} {escape(invoice.currency)}</strong> ({escape(invoice.status)})</p>
<p>This is a simulated payment page.</p></main></body></html>"""
        )

    return page
