"""Serialises documents as the Accounting API does: dates as ``/Date(ms+0000)/``, amounts as numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec

from sandbox.core import JsonObject, stable_uuid
from sandbox.xero.documents import Allocation, Contact, Credit, Document, Invoice, LineItem, Payment

_ENCODER = msgspec.json.Encoder(decimal_format="number")
_EPOCH_ON = date(1970, 1, 1)
_COUNTRY_NAMES = {
    "GB": "United Kingdom",
    "IE": "Ireland",
    "DE": "Germany",
    "FR": "France",
    "US": "USA",
    "CA": "Canada",
    "AU": "Australia",
}


def encode(value: Any) -> bytes:
    """Return JSON with exact decimals as numbers."""
    return _ENCODER.encode(value)


def format_date(on: date) -> str:
    """Format a date: midnight UTC in milliseconds."""
    return f"/Date({(on - _EPOCH_ON).days * 86_400_000}+0000)/"


def format_instant(at: datetime) -> str:
    """Format an instant in milliseconds."""
    return f"/Date({round(at.timestamp() * 1000)}+0000)/"


def format_date_string(on: date) -> str:
    """Format a date as a ``DateString``."""
    return f"{on.isoformat()}T00:00:00"


def invoice_json(invoice: Invoice, *, lines: bool = True) -> bytes:
    """Return an invoice; its full JSON is cached until it changes."""
    if not lines:
        return encode(invoice_object(invoice) | {"LineItems": []})
    if invoice.json is None:
        invoice.json = encode(invoice_object(invoice) | {"LineItems": _lines(invoice.id, invoice.lines)})
    return invoice.json


def invoice_object(invoice: Invoice) -> JsonObject:
    """Return an invoice without its lines."""
    due: JsonObject = {}
    if invoice.due_on is not None:
        due = {"DueDateString": format_date_string(invoice.due_on), "DueDate": format_date(invoice.due_on)}
    shape = {
        "Type": invoice.type,
        "InvoiceID": invoice.id,
        "InvoiceNumber": invoice.number,
        "Reference": invoice.reference,
        "Payments": [_payment_on_invoice(p) for p in invoice.payments],
        "CreditNotes": [_credit_on_invoice(a) for a in invoice.allocations if a.credit.kind == "CreditNote"],
        "Prepayments": [_credit_on_invoice(a) for a in invoice.allocations if a.credit.kind == "Prepayment"],
        "Overpayments": [_credit_on_invoice(a) for a in invoice.allocations if a.credit.kind == "Overpayment"],
        "AmountDue": invoice.amount_due,
        "AmountPaid": invoice.amount_paid,
        "AmountCredited": invoice.amount_credited,
        "CurrencyRate": Decimal("1.0000000000"),
        "SentToContact": invoice.sent,
        "IsDiscounted": False,
        "HasAttachments": False,
        "HasErrors": False,
        "Contact": _contact_on_document(invoice.contact),
        "DateString": format_date_string(invoice.on),
        "Date": format_date(invoice.on),
        **due,
        "Status": invoice.status,
        "LineAmountTypes": invoice.amounts,
        "SubTotal": invoice.total - invoice.total_tax,
        "TotalTax": invoice.total_tax,
        "Total": invoice.total,
        "UpdatedDateUTC": format_instant(invoice.updated_at),
        "CurrencyCode": invoice.currency,
    }
    return shape | _optional(invoice)


def _optional(invoice: Invoice) -> JsonObject:
    shape: JsonObject = {}
    if invoice.deduction:
        shape["CISDeduction"] = invoice.deduction
    if invoice.branding_theme:
        shape["BrandingThemeID"] = invoice.branding_theme
    if invoice.url:
        shape["Url"] = invoice.url
    if invoice.fully_paid_on is not None:
        shape["FullyPaidOnDate"] = format_date(invoice.fully_paid_on)
    if invoice.expected_on is not None:
        shape["ExpectedPaymentDateString"] = format_date_string(invoice.expected_on)
        shape["ExpectedPaymentDate"] = format_date(invoice.expected_on)
    return shape


def _payment_on_invoice(payment: Payment) -> JsonObject:
    return {
        "PaymentID": payment.id,
        "Date": format_date(payment.on),
        "Amount": payment.amount,
        "Reference": payment.reference,
        "CurrencyRate": round(payment.rate, 10),
        "HasAccount": False,
        "HasValidationErrors": False,
    }


def _credit_on_invoice(allocation: Allocation) -> JsonObject:
    credit = allocation.credit
    shape = {
        f"{credit.kind}ID": credit.id,
        "ID": credit.id,
        "HasErrors": False,
        "AppliedAmount": allocation.amount,
        "DateString": format_date_string(allocation.on),
        "Date": format_date(allocation.on),
        "LineItems": [],
        "Total": credit.total,
    }
    return shape | ({"CreditNoteNumber": credit.number} if credit.kind == "CreditNote" else {})


def _contact_on_document(contact: Contact) -> JsonObject:
    nothing: JsonObject = {"ContactGroups": [], "ContactPersons": [], "HasValidationErrors": False}
    return {"ContactID": contact.id, "Name": contact.name, "Addresses": [], "Phones": [], **nothing}


def _lines(document_id: str, lines: Sequence[LineItem]) -> list[JsonObject]:
    return [_line(f"{document_id[:-4]}{n:04x}", line) for n, line in enumerate(lines)]


def _line(line_id: str, line: LineItem) -> JsonObject:
    shape = {
        "Description": line.description,
        "UnitAmount": line.unit_amount,
        "TaxType": line.tax_type,
        "TaxAmount": line.tax_amount,
        "LineAmount": line.line_amount,
        "Tracking": [],
        "Quantity": line.quantity,
        "LineItemID": line_id,
        "AccountCode": line.account_code,
    }
    if not line.account_code:
        del shape["AccountCode"]
    if not line.item_code:
        return shape
    item = {"ItemID": stable_uuid("item", line.item_code), "Name": line.item_code.title(), "Code": line.item_code}
    return shape | {"ItemCode": line.item_code, "Item": item}


def credit_json(credit: Credit, *, lines: bool = True) -> bytes:
    """Return a credit note, overpayment or prepayment."""
    kind = credit.kind
    shape: JsonObject = {
        "Type": {"CreditNote": "ACCRECCREDIT"}.get(kind, f"RECEIVE-{kind.upper()}"),
        f"{kind}ID": credit.id,
        "ID": credit.id,
        "Contact": _contact_on_document(credit.contact),
        "DateString": format_date_string(credit.on),
        "Date": format_date(credit.on),
        "Status": credit.status,
        "LineAmountTypes": "Exclusive",
        "LineItems": _lines(credit.id, credit.lines) if lines else [],
        "SubTotal": credit.total - credit.total_tax,
        "TotalTax": credit.total_tax,
        "Total": credit.total,
        "UpdatedDateUTC": format_instant(credit.updated_at),
        "CurrencyCode": credit.currency,
        "CurrencyRate": Decimal("1.0000000000"),
        "RemainingCredit": credit.remaining,
        "Allocations": [allocation_object(a) for a in credit.allocations],
        "Payments": [],
        "HasAttachments": False,
    }
    if kind == "CreditNote":
        shape |= {"CreditNoteNumber": credit.number, "Reference": "", "SentToContact": True, "HasErrors": False}
    return encode(shape)


def allocation_object(allocation: Allocation) -> JsonObject:
    """Return an allocation of a credit."""
    invoice = {"InvoiceID": allocation.invoice.id, "InvoiceNumber": allocation.invoice.number}
    return {
        "AllocationID": allocation.id,
        "Amount": allocation.amount,
        "Date": format_date(allocation.on),
        "Invoice": {**invoice, "HasErrors": False, "IsDiscounted": False},
        "IsDeleted": False,
    }


def payment_json(payment: Payment, *, lines: bool = True) -> bytes:  # noqa: ARG001 -- all shapes are called alike
    """Return a payment with the summary of its invoice."""
    invoice = payment.invoice
    receivable = invoice.type == "ACCREC"
    return encode(
        {
            "PaymentID": payment.id,
            "Date": format_date(payment.on),
            "BankAmount": round(payment.amount / payment.rate, 2),
            "Amount": payment.amount,
            "Reference": payment.reference,
            "CurrencyRate": round(payment.rate, 10),
            "PaymentType": "ACCRECPAYMENT" if receivable else "ACCPAYPAYMENT",
            "Status": payment.status,
            "UpdatedDateUTC": format_instant(payment.updated_at),
            "HasAccount": True,
            "IsReconciled": True,
            "Account": {"AccountID": stable_uuid("account", payment.account), "Code": payment.account},
            "Invoice": {
                "Type": invoice.type,
                "InvoiceID": invoice.id,
                "InvoiceNumber": invoice.number,
                "Contact": {"ContactID": invoice.contact.id, "Name": invoice.contact.name},
                "IsDiscounted": False,
                "HasErrors": False,
                "CurrencyCode": invoice.currency,
            },
            "HasValidationErrors": False,
        }
    )


def _phone(kind: str, contact: Contact) -> JsonObject:
    """Return a contact's telephone number of a type: Xero sends all four, with empty fields where there is none."""
    found = next((each for each in contact.phones if each.type == kind), None)
    number, area, country = (found.number, found.area_code, found.country_code) if found else ("", "", "")
    return {"PhoneType": kind, "PhoneNumber": number, "PhoneAreaCode": area, "PhoneCountryCode": country}


def contact_json(contact: Contact, *, lines: bool = True) -> bytes:  # noqa: ARG001 -- all shapes are called alike
    """Return a contact with persons, addresses and terms."""
    address = {
        "AddressType": "STREET",
        "AddressLine1": contact.street,
        "City": contact.city,
        "Region": contact.region,
        "PostalCode": contact.postcode,
        "Country": _COUNTRY_NAMES.get(contact.country, contact.country),
    }
    shape: JsonObject = {
        "ContactID": contact.id,
        "ContactStatus": contact.status,
        "Name": contact.name,
        "FirstName": contact.first_name,
        "LastName": contact.last_name,
        "EmailAddress": contact.email,
        "BankAccountDetails": "",
        "Addresses": [{"AddressType": "POBOX", "City": "", "Region": "", "PostalCode": "", "Country": ""}, address],
        "Phones": [_phone(kind, contact) for kind in ("DDI", "DEFAULT", "FAX", "MOBILE")],
        "UpdatedDateUTC": format_instant(contact.updated_at),
        "ContactGroups": [{"ContactGroupID": stable_uuid("group", name), "Name": name} for name in contact.groups],
        "IsSupplier": not contact.customer,
        "IsCustomer": contact.customer,
        "ContactPersons": [
            {"FirstName": p.first_name, "LastName": p.last_name, "EmailAddress": p.email}
            | {"IncludeInEmails": p.include_in_emails}
            for p in contact.persons
        ],
        "PaymentTerms": {"Sales": {"Day": contact.terms_days, "Type": "DAYSAFTERBILLDATE"}},
        "HasAttachments": False,
        "HasValidationErrors": False,
    }
    if contact.outstanding is not None:
        receivable = {"Outstanding": contact.outstanding, "Overdue": contact.outstanding}
        shape["Balances"] = {
            "AccountsReceivable": receivable,
            "AccountsPayable": {"Outstanding": 0, "Overdue": 0},
        }
    if contact.currency:
        shape["DefaultCurrency"] = contact.currency
    if contact.merged_into:
        shape["MergedToContactID"] = contact.merged_into
    return encode(shape)


def notes_json(document: Document, until: datetime | None = None) -> bytes:
    """Return the history of a document, newest first, up to an instant."""
    records = [
        {
            "Changes": "Note",
            "DateUTCString": at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S"),
            "DateUTC": format_instant(at),
            "User": "System Generated",
            "Details": text,
        }
        for at, text in reversed(document.notes)
        if until is None or at <= until
    ]
    return envelope("HistoryRecords", [encode(record) for record in records])


def envelope(name: str, items: Iterable[bytes], pagination: JsonObject | None = None) -> bytes:
    """Return the envelope of a list."""
    paged = b'"pagination":' + encode(pagination) + b"," if pagination else b""
    head = b'{"Id":"00000000-0000-4000-a000-000000000000","Status":"OK","ProviderName":"duewell sandbox",'
    return head + paged + b'"' + name.encode() + b'":[' + b",".join(items) + b"]}"
