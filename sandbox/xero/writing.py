"""Write endpoints of the Accounting API: new invoices, voids and notes, by Xero's rules."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec
from starlette.responses import Response

from sandbox.core import JsonObject
from sandbox.xero.api import ApiError, Call, json_reply, validation_error
from sandbox.xero.chart import CURRENCIES, TAX_PERCENT, account_problem
from sandbox.xero.documents import Invoice, LineItem, line_totals, round_to_cents
from sandbox.xero.organisation import Organisation, ValidationFailed
from sandbox.xero.reading import INVOICES, Listing, find_document
from sandbox.xero.serialisation import encode, envelope, format_instant, invoice_json

NOTE_LENGTH_MAX = 250
_DECODER = msgspec.json.Decoder(float_hook=Decimal)
_MS_DATE = re.compile(r"/Date\((-?\d+)(?:[+-]\d{4})?\)/")
_BEFORE_APPROVAL = {"DRAFT", "SUBMITTED"}


def write_history(listing: Listing) -> Callable[[Call], Response]:
    """Return the handler that adds notes to a document (PUT and POST), which does not count as an update of it."""

    def handler(call: Call) -> Response:
        document = find_document(listing, call)
        records = request_elements(call, "HistoryRecords")
        problems = [_find_note_problems(record) for record in records]
        if any(problems):
            return validation_error(records, problems)
        for record in records:
            call.organisation.add_note(document, record["Details"])
        now = call.organisation.now()
        written = [
            {"Details": r["Details"], "DateUTC": format_instant(now), "User": "System Generated"} for r in records
        ]
        return json_reply(envelope("HistoryRecords", [encode(record) for record in written]))

    return handler


def _find_note_problems(record: JsonObject) -> list[str]:
    details = record.get("Details")
    if not isinstance(details, str) or not details:
        return ["Details is required"]
    if len(details) > NOTE_LENGTH_MAX:
        return [f"Details must be {NOTE_LENGTH_MAX} characters or less"]
    return []


def write_invoices(call: Call) -> Response:
    """Create invoices (PUT), or also update those with a known id or number (POST).

    With ``summarizeErrors=false``, each invoice has its own result.
    """
    summarize = call.query.get("summarizeErrors", "true").lower() != "false"
    elements = request_elements(call, "Invoices")
    done: list[Invoice | None] = []
    problems: list[list[str]] = []
    for element in elements:
        try:
            done.append(_write_one(call, element))
            problems.append([])
        except ValidationFailed as error:
            done.append(None)
            problems.append([str(error)])
    if not any(problems):
        return json_reply(envelope("Invoices", [invoice_json(invoice) for invoice in done if invoice is not None]))
    if summarize or all(problems):
        # One invalid element rejects the whole request: everything created before is removed.
        for invoice in done:
            if invoice is not None and call.request.method == "PUT":
                call.organisation.discard(invoice)
        refused = [(e, p) for e, p in zip(elements, problems, strict=True) if p]
        return validation_error([e for e, _ in refused], [p for _, p in refused])
    shown = [
        invoice_json(invoice)
        if invoice is not None
        else encode({**element, "HasErrors": True, "StatusAttributeString": "ERROR"} | _error_messages(messages))
        for invoice, element, messages in zip(done, elements, problems, strict=True)
    ]
    return json_reply(envelope("Invoices", shown))


def _error_messages(messages: list[str]) -> JsonObject:
    return {"ValidationErrors": [{"Message": message} for message in messages]}


def update_invoice(call: Call) -> Response:
    """Handle ``POST /Invoices/{id}``: void, delete, approve, or change a draft."""
    invoice = find_document(INVOICES, call)
    element = request_elements(call, "Invoices")[0]
    try:
        _update(call.organisation, invoice, element)
    except ValidationFailed as error:
        return validation_error([{**element, "InvoiceID": invoice.id}], [[str(error)]])
    return json_reply(envelope("Invoices", [invoice_json(invoice)]))


def _write_one(call: Call, element: JsonObject) -> Invoice:
    if call.request.method == "POST":
        number = str(element.get("InvoiceNumber", ""))
        known = call.organisation.invoices.get(str(element.get("InvoiceID", ""))) or call.organisation.find_number(
            number
        )
        if known is not None:
            _update(call.organisation, known, element)
            return known
    return _create(call.organisation, element)


def _create(organisation: Organisation, element: JsonObject) -> Invoice:
    status = element.get("Status", "DRAFT")
    if status not in {*_BEFORE_APPROVAL, "AUTHORISED"}:
        raise ValidationFailed("Invoice status is not valid")
    kind = element.get("Type")
    if kind not in {"ACCREC", "ACCPAY"}:
        raise ValidationFailed("Invoice type is required")
    contact = organisation.contacts.get(str((element.get("Contact") or {}).get("ContactID", "")))
    if contact is None:
        raise ValidationFailed("The specified contact details matched no contact in the organisation")
    if contact.status != "ACTIVE":
        raise ValidationFailed("The contact has been archived. Restore the contact before adding a document to it")
    currency = str(element.get("CurrencyCode") or organisation.currency)
    if currency not in CURRENCIES:
        raise ValidationFailed(f"Organisation is not subscribed to currency {currency}")
    on = parse_date(element.get("Date")) or organisation.today()
    if text := organisation.lock_problem(on):
        raise ValidationFailed(text)
    amounts = str(element.get("LineAmountTypes", "Exclusive")).title().replace("Notax", "NoTax")
    lines = parse_lines(element, amounts, approved=status == "AUTHORISED")
    total, tax = line_totals(lines, amounts)
    invoice = Invoice(
        organisation.new_id("invoice"),
        organisation.now(),
        kind,
        str(element.get("InvoiceNumber") or "") or organisation.next_number(),
        contact,
        currency,
        on,
        parse_date(element.get("DueDate")),
        lines,
        total,
        tax,
        reference=parse_text(element.get("Reference"), "Reference", 255),
        amounts=amounts,
        url=parse_text(element.get("Url"), "Url", 500),
        branding_theme=str(element.get("BrandingThemeID") or ""),
        sent=bool(element.get("SentToContact", False)),
        created_by_app=True,
        status="DRAFT",
    )
    invoice.number = parse_text(invoice.number, "InvoiceNumber", 255)
    if status == "AUTHORISED":
        _check_approvable(organisation, invoice)
    invoice.status = status
    return organisation.add_invoice(invoice)


def _check_approvable(organisation: Organisation, invoice: Invoice) -> None:
    if invoice.due_on is None:
        raise ValidationFailed("Due Date cannot be empty")
    if not invoice.lines:
        raise ValidationFailed("One or more line items must be specified")
    if organisation.approval_limit is not None and organisation.approved_this_month() >= organisation.approval_limit:
        raise ValidationFailed("You have reached the limit of invoices you can approve")


def parse_lines(element: JsonObject, amounts: str, *, approved: bool) -> tuple[LineItem, ...]:
    """Return the validated lines of a document."""
    given = element.get("LineItems") or []
    if not isinstance(given, list):
        raise ValidationFailed("LineItems must be a list")
    return tuple(_parse_line(line, amounts, approved=approved) for line in given)


def _parse_line(line: JsonObject, amounts: str, *, approved: bool) -> LineItem:
    description = str(line.get("Description") or "")
    if approved and not description:
        raise ValidationFailed("Description is required")
    code = str(line.get("AccountCode") or "")
    problem = account_problem(code, required=approved)
    if problem:
        raise ValidationFailed(problem)
    tax_type = str(line.get("TaxType") or "NONE")
    if tax_type not in TAX_PERCENT:
        raise ValidationFailed(
            f"The TaxType code '{tax_type}' does not exist or cannot be used for this type of transaction."
        )
    quantity, unit = parse_amount(line.get("Quantity", 1)), parse_amount(line.get("UnitAmount", 0))
    amount = round_to_cents(quantity * unit)
    percent = Decimal(0) if amounts == "NoTax" else TAX_PERCENT[tax_type]
    tax = round_to_cents(amount * percent / (100 + percent if amounts == "Inclusive" else 100))
    return LineItem(description, quantity, unit, str(line.get("ItemCode") or ""), code, tax_type, tax, amount)


def _update(organisation: Organisation, invoice: Invoice, element: JsonObject) -> None:
    status = element.get("Status", invoice.status)
    if status in {"VOIDED", "DELETED"}:
        allowed = {"AUTHORISED": {"VOIDED"}, "DRAFT": {"DELETED"}, "SUBMITTED": {"DELETED"}}
        if status not in allowed.get(invoice.status, set()):
            raise ValidationFailed("Invoice not of valid status for modification")
        if text := organisation.lock_problem(invoice.on):
            raise ValidationFailed(text)
        organisation.void(invoice)
        return
    if invoice.status not in {*_BEFORE_APPROVAL, "AUTHORISED"}:
        raise ValidationFailed("Invoice not of valid status for modification")
    if invoice.status == "AUTHORISED":
        _update_approved(invoice, element)
    else:
        _update_draft(organisation, invoice, element, status)
    organisation.record_change(invoice)


def _update_approved(invoice: Invoice, element: JsonObject) -> None:
    if set(element) - {
        "InvoiceID",
        "InvoiceNumber",
        "Status",
        "SentToContact",
        "ExpectedPaymentDate",
        "DueDate",
        "Url",
    }:
        raise ValidationFailed("Invoice not of valid status for modification")
    invoice.sent = bool(element.get("SentToContact", invoice.sent))
    invoice.expected_on = parse_date(element.get("ExpectedPaymentDate")) or invoice.expected_on
    invoice.due_on = parse_date(element.get("DueDate")) or invoice.due_on


def _update_draft(organisation: Organisation, invoice: Invoice, element: JsonObject, status: str) -> None:
    invoice.reference = parse_text(element.get("Reference", invoice.reference), "Reference", 255)
    invoice.due_on = parse_date(element.get("DueDate")) or invoice.due_on
    if "LineItems" in element:
        invoice.lines = parse_lines(element, invoice.amounts, approved=status == "AUTHORISED")
        invoice.total, invoice.total_tax = line_totals(invoice.lines, invoice.amounts)
    if status == "AUTHORISED":
        _check_approvable(organisation, invoice)
        if any(account_problem(line.account_code, required=True) for line in invoice.lines):
            raise ValidationFailed("Account code must be specified")
    invoice.status = status


def request_elements(call: Call, name: str) -> list[JsonObject]:
    """Return the elements of a request: a list under their name, or a single one."""
    try:
        body = _DECODER.decode(call.body)
    except msgspec.DecodeError:
        raise ApiError(validation_error([{}], [["JSON for post data was invalid"]])) from None
    elements: Any = body.get(name, body) if isinstance(body, dict) else body
    found: list[JsonObject] = elements if isinstance(elements, list) else [elements]
    if not found or not all(isinstance(element, dict) for element in found):
        raise ApiError(validation_error([{}], [["JSON for post data was invalid"]]))
    return found


def parse_date(value: object) -> date | None:
    """Return the date of a request, in either of its formats."""
    if value in {None, ""}:
        return None
    text = str(value)
    stamped = _MS_DATE.fullmatch(text)
    try:
        if stamped:
            return datetime.fromtimestamp(int(stamped[1]) / 1000, UTC).date()
        return date.fromisoformat(text[:10])
    except ValueError:
        raise ValidationFailed(f"'{text}' is not a valid date") from None


def parse_amount(value: object) -> Decimal:
    """Return an exact amount."""
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        raise ValidationFailed("The amount is not a number") from None
    if not amount.is_finite():
        raise ValidationFailed("The amount is not a number")
    return amount


def parse_text(value: object, name: str, length_max: int) -> str:
    """Return a text. Raises if it is longer than its field."""
    text = str(value or "")
    if len(text) > length_max:
        raise ValidationFailed(f"{name} must be {length_max} characters or less")
    return text
