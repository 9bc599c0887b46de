"""Read endpoints of the Accounting API: lists with filters, order and pages, and single documents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from starlette.responses import Response

from sandbox.xero.api import ApiError, Call, bad_query_error, json_reply, not_found_error
from sandbox.xero.document_store import DocumentStore
from sandbox.xero.filters import Getter, InvalidQuery, parse_order, parse_where
from sandbox.xero.organisation import Organisation
from sandbox.xero.pdf import invoice_pdf
from sandbox.xero.serialisation import (
    contact_json,
    credit_json,
    encode,
    envelope,
    invoice_json,
    notes_json,
    payment_json,
)

_PAGE_SIZE = 100
_PAGE_SIZE_MAX = 1000


@dataclass(frozen=True, slots=True)
class Listing:
    """How a kind of document is listed: its store, its JSON, and the fields that filters may use."""

    name: str
    get_store: Callable[[Organisation], DocumentStore[Any]]
    serialise: Callable[..., bytes]
    fields: dict[str, Getter]
    id_field: str


_COMMON: dict[str, Getter] = {"updateddateutc": lambda d: d.updated_at}
_DATED: dict[str, Getter] = {
    **_COMMON,
    "status": lambda d: d.status,
    "date": lambda d: d.on,
    "contact.contactid": lambda d: d.contact.id,
    "contact.name": lambda d: d.contact.name,
}
INVOICES = Listing(
    "Invoices",
    lambda organisation: organisation.invoices,
    invoice_json,
    {
        **_DATED,
        "invoiceid": lambda d: d.id,
        "invoicenumber": lambda d: d.number,
        "type": lambda d: d.type,
        "amountdue": lambda d: d.amount_due,
        "amountpaid": lambda d: d.amount_paid,
        "duedate": lambda d: d.due_on,
        "reference": lambda d: d.reference,
    },
    "invoiceid",
)
PAYMENTS = Listing(
    "Payments",
    lambda organisation: organisation.payments,
    payment_json,
    {
        **_COMMON,
        "paymentid": lambda d: d.id,
        "status": lambda d: d.status,
        "date": lambda d: d.on,
        "invoice.invoiceid": lambda d: d.invoice.id,
        "paymenttype": lambda d: "ACCRECPAYMENT" if d.invoice.type == "ACCREC" else "ACCPAYPAYMENT",
    },
    "paymentid",
)
CONTACTS = Listing(
    "Contacts",
    lambda organisation: organisation.contacts,
    contact_json,
    {
        **_COMMON,
        "contactid": lambda d: d.id,
        "name": lambda d: d.name,
        "emailaddress": lambda d: d.email,
        "contactstatus": lambda d: d.status,
        "iscustomer": lambda d: d.customer,
    },
    "contactid",
)


def credit_listing(kind: str) -> Listing:
    """Return the listing of credit notes, overpayments or prepayments."""
    id_field = f"{kind.lower()}id"
    types = "ACCRECCREDIT" if kind == "CreditNote" else f"RECEIVE-{kind.upper()}"
    fields = {**_DATED, id_field: lambda d: d.id, "type": lambda _: types, "remainingcredit": lambda d: d.remaining}
    if kind == "CreditNote":
        fields["creditnotenumber"] = lambda d: d.number
    return Listing(f"{kind}s", lambda organisation: organisation.credits[kind], credit_json, fields, id_field)


def list_handler(listing: Listing) -> Callable[[Call], Response]:
    """Return the handler of ``GET /<name>``."""

    def handler(call: Call) -> Response:
        try:
            found = _find(listing, call)
        except InvalidQuery as error:
            raise bad_query_error(str(error)) from None
        if "page" not in call.query and "pageSize" not in call.query:
            # Xero omits the lines in unpaged lists.
            return json_reply(envelope(listing.name, [listing.serialise(d, lines=False) for d in found]))
        page = _int_parameter(call, "page", 1, 1_000_000)
        size = _int_parameter(call, "pageSize", _PAGE_SIZE, _PAGE_SIZE_MAX)
        lines = call.query.get("summaryOnly", "").lower() != "true"
        shown = [listing.serialise(d, lines=lines) for d in found[(page - 1) * size : page * size]]
        pagination = {"page": page, "pageSize": size, "pageCount": -(-len(found) // size), "itemCount": len(found)}
        return json_reply(envelope(listing.name, shown, pagination))

    return handler


def _int_parameter(call: Call, name: str, default: int, most: int) -> int:
    text = call.query.get(name, str(default))
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= most:
        raise bad_query_error(f"{name} must be between 1 and {most}")
    return int(text)


def _find(listing: Listing, call: Call) -> list[Any]:
    since = _modified_since(call)
    query = tuple(sorted((k, v) for k, v in call.query.multi_items() if k not in {"page", "pageSize"}))
    shelf = listing.get_store(call.organisation)
    return shelf.cached_list((since, query), lambda: _filtered(listing, shelf, since, call))


def _filtered(listing: Listing, store: DocumentStore[Any], since: datetime | None, call: Call) -> list[Any]:
    found: list[Any] = store.changed_after(since) if since is not None else list(store)
    tests = list(_parameter_tests(listing, call))
    if call.query.get("where"):
        tests.append(parse_where(call.query["where"], listing.fields))
    if tests:
        found = [document for document in found if all(test(document) for test in tests)]
    # Without an order, Xero sorts by the last change: the pages of such a list shift while documents are edited.
    key, downwards = parse_order(call.query.get("order") or "UpdatedDateUTC", listing.fields)
    return sorted(found, key=lambda d: (key(d) is not None, key(d)), reverse=downwards)


def _parameter_tests(listing: Listing, call: Call) -> list[Callable[[Any], bool]]:
    tests: list[Callable[[Any], bool]] = []
    by_field = {"IDs": listing.id_field, "Statuses": "status", "ContactIDs": "contact.contactid"}
    for parameter, field in (by_field | {"InvoiceNumbers": "invoicenumber"}).items():
        if call.query.get(parameter) and field in listing.fields:
            text = call.query[parameter]
            expected = {part.strip().lower() for part in text.split(",")}
            get = listing.fields[field]
            tests.append(lambda d, get=get, expected=expected: get(d).lower() in expected)  # type: ignore[misc]
    if listing is INVOICES and call.query.get("createdByMyApp", "").lower() == "true":
        tests.append(lambda d: d.created_by_app)
    if listing is CONTACTS and call.query.get("includeArchived", "").lower() != "true":
        tests.append(lambda d: d.status != "ARCHIVED")
    return tests


def _modified_since(call: Call) -> datetime | None:
    text = call.request.headers.get("if-modified-since", "")
    if not text:
        return None
    try:
        since = datetime.fromisoformat(text) if text[:1].isdigit() else parsedate_to_datetime(text)
    except ValueError:
        raise bad_query_error("If-Modified-Since is not a date") from None
    return since.astimezone(UTC) if since.tzinfo else since.replace(tzinfo=UTC)


def document_handler(listing: Listing) -> Callable[[Call], Response]:
    """Return the handler of ``GET /<name>/{id}``; invoices are also available as PDF."""

    def handler(call: Call) -> Response:
        document = find_document(listing, call)
        if listing is INVOICES and "application/pdf" in call.request.headers.get("accept", ""):
            name = f"attachment; filename={document.number or document.id}.pdf"
            pdf = invoice_pdf(call.organisation.name, document)
            return Response(pdf, media_type="application/pdf", headers={"Content-Disposition": name})
        return json_reply(envelope(listing.name, [listing.serialise(document)]))

    return handler


def find_document(listing: Listing, call: Call) -> Any:
    """Return the document of the path, an invoice also by its number. Raises ``ApiError`` 404."""
    name = call.request.path_params["document_id"]
    document = listing.get_store(call.organisation).get(name)
    if document is None and listing is INVOICES:
        document = call.organisation.find_number(name)
    if document is None:
        raise ApiError(not_found_error())
    return document


def history_handler(listing: Listing) -> Callable[[Call], Response]:
    """Return the handler of ``GET /<name>/{id}/History``."""

    def handler(call: Call) -> Response:
        organisation = call.organisation
        until = organisation.now() - organisation.index_lag if organisation.index_lag else None
        return json_reply(notes_json(find_document(listing, call), until))

    return handler


def online_invoice(call: Call) -> Response:
    """Return the URL of the page on which a customer sees and pays the invoice; drafts have none."""
    invoice = find_document(INVOICES, call)
    if invoice.status in {"DRAFT", "SUBMITTED", "DELETED"} or invoice.type != "ACCREC":
        return json_reply(encode({"OnlineInvoices": [{"OnlineInvoiceUrl": ""}]}))
    url = f"{call.request.base_url}sandbox/xero/online/{invoice.id}"
    return json_reply(encode({"OnlineInvoices": [{"OnlineInvoiceUrl": url}]}))
