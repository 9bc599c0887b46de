"""Endpoints that create credit notes and allocate them to invoices."""

from __future__ import annotations

from starlette.responses import Response

from sandbox.core import JsonObject
from sandbox.xero.api import ApiError, Call, json_reply, validation_error
from sandbox.xero.documents import Credit
from sandbox.xero.organisation import Organisation, ValidationFailed
from sandbox.xero.reading import credit_listing, find_document
from sandbox.xero.serialisation import allocation_object, credit_json, encode, envelope
from sandbox.xero.writing import parse_amount, parse_date, parse_lines, parse_text, request_elements

CREDIT_NOTES = credit_listing("CreditNote")


def write_credit_notes(call: Call) -> Response:
    """Handle ``PUT /CreditNotes``: create approved credit notes for customers."""
    created: list[Credit] = []
    for element in request_elements(call, "CreditNotes"):
        try:
            created.append(_create(call.organisation, element))
        except ValidationFailed as error:
            raise ApiError(validation_error([element], [[str(error)]])) from None
    return json_reply(envelope("CreditNotes", [credit_json(credit) for credit in created]))


def allocate(call: Call) -> Response:
    """Handle ``PUT /CreditNotes/{id}/Allocations``: allocate a credit note to invoices."""
    credit = find_document(CREDIT_NOTES, call)
    created = []
    for element in request_elements(call, "Allocations"):
        try:
            invoice = call.organisation.invoices.get(str((element.get("Invoice") or {}).get("InvoiceID", "")))
            if invoice is None:
                raise ValidationFailed("The invoice of the allocation was not found")
            on = parse_date(element.get("Date")) or call.organisation.today()
            created.append(call.organisation.allocate(credit, invoice, parse_amount(element.get("Amount")), on))
        except ValidationFailed as error:
            raise ApiError(validation_error([element], [[str(error)]])) from None
    return json_reply(envelope("Allocations", [encode(allocation_object(each)) for each in created]))


def _create(organisation: Organisation, element: JsonObject) -> Credit:
    if element.get("Type") != "ACCRECCREDIT" or element.get("Status") != "AUTHORISED":
        raise ValidationFailed("Credit note type or status is not valid")
    contact = organisation.contacts.get(str((element.get("Contact") or {}).get("ContactID", "")))
    if contact is None or contact.status != "ACTIVE":
        raise ValidationFailed("The specified contact details matched no active contact in the organisation")
    number = parse_text(element.get("CreditNoteNumber"), "CreditNoteNumber", 255)
    if number and any(credit.number == number for credit in organisation.credits["CreditNote"]):
        raise ValidationFailed("Credit note # must be unique.")
    on = parse_date(element.get("Date")) or organisation.today()
    if text := organisation.lock_problem(on):
        raise ValidationFailed(text)
    amounts = str(element.get("LineAmountTypes", "Exclusive")).title().replace("Notax", "NoTax")
    lines = parse_lines(element, amounts, approved=True)
    if not lines:
        raise ValidationFailed("One or more line items must be specified")
    currency = str(element.get("CurrencyCode") or contact.currency or organisation.currency)
    return organisation.add_credit("CreditNote", contact, currency, on, lines, number=number)
