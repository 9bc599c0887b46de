"""Writing credit notes in the make-believe Xero, and setting them against invoices."""

from __future__ import annotations

from starlette.responses import Response

from providers.sandbox.xero.api import ApiError, Call, json_reply, validation_error
from providers.sandbox.xero.documents import Credit
from providers.sandbox.xero.organisation import Organisation, Refused
from providers.sandbox.xero.reading import credit_listing, pick
from providers.sandbox.xero.shapes import JsonObject, allocation_object, credit_json, encode, envelope
from providers.sandbox.xero.writing import day_of, elements_of, lines_of, money_of, short_of

CREDIT_NOTES = credit_listing("CreditNote")


def write_credit_notes(call: Call) -> Response:
    """Handle ``PUT /CreditNotes``: new, approved credit notes to customers."""
    made: list[Credit] = []
    for element in elements_of(call, "CreditNotes"):
        try:
            made.append(_create(call.book, element))
        except Refused as error:
            raise ApiError(validation_error([element], [[str(error)]])) from None
    return json_reply(envelope("CreditNotes", [credit_json(credit) for credit in made]))


def allocate(call: Call) -> Response:
    """Handle ``PUT /CreditNotes/{id}/Allocations``."""
    credit = pick(CREDIT_NOTES, call)
    made = []
    for element in elements_of(call, "Allocations"):
        try:
            invoice = call.book.invoices.get(str((element.get("Invoice") or {}).get("InvoiceID", "")))
            if invoice is None:
                raise Refused("The invoice of the allocation was not found")
            on = day_of(element.get("Date")) or call.book.today()
            made.append(call.book.allocate(credit, invoice, money_of(element.get("Amount")), on))
        except Refused as error:
            raise ApiError(validation_error([element], [[str(error)]])) from None
    return json_reply(envelope("Allocations", [encode(allocation_object(each)) for each in made]))


def _create(book: Organisation, element: JsonObject) -> Credit:
    if element.get("Type") != "ACCRECCREDIT" or element.get("Status") != "AUTHORISED":
        raise Refused("Credit note type or status is not valid")
    contact = book.contacts.get(str((element.get("Contact") or {}).get("ContactID", "")))
    if contact is None or contact.status != "ACTIVE":
        raise Refused("The specified contact details matched no active contact in the organisation")
    number = short_of(element.get("CreditNoteNumber"), "CreditNoteNumber", 255)
    if number and any(credit.number == number for credit in book.credits["CreditNote"]):
        raise Refused("Credit note # must be unique.")
    on = day_of(element.get("Date")) or book.today()
    if words := book.locked(on):
        raise Refused(words)
    amounts = str(element.get("LineAmountTypes", "Exclusive")).title().replace("Notax", "NoTax")
    lines = lines_of(element, amounts, approved=True)
    if not lines:
        raise Refused("One or more line items must be specified")
    currency = str(element.get("CurrencyCode") or contact.currency or book.currency)
    return book.add_credit("CreditNote", contact, currency, on, lines, number=number)
