"""Invoices and credit memos: builds documents with lines, totals, terms and numbers from requests."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

from sandbox.core import JsonObject
from sandbox.quickbooks.api_errors import (
    amount_mismatch,
    business,
    closed_period,
    duplicate_number,
    invalid_reference,
    missing,
    too_long,
)
from sandbox.quickbooks.company_ledger import CURRENCIES, CompanyLedger
from sandbox.quickbooks.entity_store import Entry
from sandbox.quickbooks.formats import ZERO, format_number, parse_amount, parse_date, round_to_cents

NET_DAYS = 30  # recorded: invoices without terms are due after 30 days
LENGTH_MAX = {"DocNumber": 21, "PrivateNote": 4000}
COMPUTED = frozenset({
    "Id", "SyncToken", "MetaData", "domain", "sparse", "status", "TotalAmt", "HomeTotalAmt", "Balance", "HomeBalance",
    "RemainingCredit", "LinkedTxn", "DeliveryInfo", "InvoiceLink", "ExchangeRate", "CurrencyRef",
})  # fmt: skip
# An empty custom field, as in recorded companies: clients must tolerate it.
_SAMPLE_FIELDS: JsonObject = {"CustomField": [{"DefinitionId": "1", "Name": "Crew #", "Type": "StringType"}]}
_COPIED_FIELDS = (
    "PrivateNote", "CustomerMemo", "BillAddr", "ShipAddr", "FreeFormAddress", "SalesTermRef", "BillEmail",
    "BillEmailCc", "BillEmailBcc", "ClassRef", "DepartmentRef",
    "ShipDate", "TrackingNum", "GlobalTaxCalculation", "PrintStatus",
    "EmailStatus", "AllowOnlineCreditCardPayment", "AllowOnlineACHPayment", "PONumber", "InvoiceRef", "Deposit",
)  # fmt: skip


def build_sale(ledger: CompanyLedger, entity: str, data: JsonObject, old: Entry | None) -> JsonObject:
    """Return the validated body of an invoice or credit memo; ``old`` is the one it replaces."""
    for name, longest in LENGTH_MAX.items():
        if len(str(data.get(name) or "")) > longest:
            raise too_long(name, longest, len(data[name]))
    customer = require_active(ledger, "Customer", data.get("CustomerRef"), "CustomerRef")
    dated_on = parse_date("TxnDate", data["TxnDate"]) if data.get("TxnDate") else ledger.today()
    check_open(ledger, dated_on, old)
    lines, total_lines = _build_lines(ledger, data.get("Line") or [])
    tax = parse_amount("TotalTax", (data.get("TxnTaxDetail") or {}).get("TotalTax", 0))
    total = total_lines + tax
    if total < ZERO:
        raise business("Transaction amount must be 0 or greater.")
    if old is not None and total < ledger.amount_applied_to(entity, old.number):
        raise business("The amount is less than the payments already applied to it.")
    body: JsonObject = {"AllowIPNPayment": False, "AllowOnlinePayment": False} if entity == "Invoice" else {}
    body |= _SAMPLE_FIELDS
    number = _document_number(ledger, entity, data, old)
    if number is not None:
        body["DocNumber"] = number
    body["TxnDate"] = dated_on.isoformat()
    body |= currency_fields(ledger, customer, data)
    body |= {"LinkedTxn": [], "Line": lines, "TxnTaxDetail": {"TotalTax": format_number(tax)}}
    body["CustomerRef"] = ledger.reference(customer)
    body |= _defaults(customer, entity) if old is None else {"PrintStatus": "NeedToPrint", "EmailStatus": "NotSet"}
    body |= {name: data[name] for name in _COPIED_FIELDS if has_value(data, name)}
    body |= _due_fields(ledger, data, body, dated_on) if entity == "Invoice" else {}
    body |= {"TotalAmt": format_number(total), "ApplyTaxAfterDiscount": False, "Balance": format_number(total)}
    if "ExchangeRate" in body:
        body |= dict.fromkeys(
            ("HomeTotalAmt", "HomeBalance"), format_number(round_to_cents(total * body["ExchangeRate"]))
        )
    if entity == "CreditMemo":
        body["RemainingCredit"] = format_number(total)
    if old is not None and "DeliveryInfo" in old.body:
        body["DeliveryInfo"] = old.body["DeliveryInfo"]
    return body


def has_value(data: JsonObject, name: str) -> bool:
    """Return whether a property has a value; SDKs write "" for none."""
    return data.get(name) not in (None, "")


def require_active(ledger: CompanyLedger, entity: str, reference: object, name: str) -> Entry:
    """Return the entity of a reference. Raises unless it is given, exists and is active."""
    value = reference.get("value") if isinstance(reference, dict) else None
    if not value:
        raise missing(name)
    entry = ledger.find(entity, value)
    if entry is None or entry.body.get("Active") is False:
        raise invalid_reference(f"{entity} element id", value)
    return entry


def check_open(ledger: CompanyLedger, dated_on: date, old: Entry | None) -> None:
    """Raise for a document that is, or was, dated in a closed period."""
    days = [dated_on] if old is None else [dated_on, parse_date("TxnDate", old.body["TxnDate"])]
    if ledger.profile.books_closed_on is not None and min(days) <= ledger.profile.books_closed_on:
        raise closed_period()


def currency_fields(ledger: CompanyLedger, customer: Entry, data: JsonObject) -> JsonObject:
    """Return the currency of a document, which is the customer's, with its rate in multi-currency companies."""
    code = customer.body.get("CurrencyRef", {}).get("value", ledger.profile.currency)  # some companies lack it
    if has_value(data, "CurrencyRef") and data["CurrencyRef"].get("value") != code:
        raise business("You can only use one foreign currency per transaction.")
    body: JsonObject = {"CurrencyRef": {"value": code, "name": CURRENCIES.get(code, code)}}
    if ledger.profile.multicurrency:
        rate = ledger.profile.rates.get(code, Decimal(1))
        if has_value(data, "ExchangeRate") and code != ledger.profile.currency:
            rate = parse_amount("ExchangeRate", data["ExchangeRate"])
        body["ExchangeRate"] = format_number(rate)
    return body


def _defaults(customer: Entry, entity: str) -> JsonObject:
    known = customer.body
    body: JsonObject = {name: known[name] for name in ("BillAddr", "ShipAddr") if name in known}
    if "PrimaryEmailAddr" in known:
        body["BillEmail"] = {"Address": known["PrimaryEmailAddr"]["Address"]}
    body |= {"PrintStatus": "NeedToPrint", "EmailStatus": "NotSet"}
    if entity == "Invoice":
        body |= {"FreeFormAddress": True, "AllowOnlineCreditCardPayment": True, "AllowOnlineACHPayment": True}
        if "SalesTermRef" in known:
            body["SalesTermRef"] = known["SalesTermRef"]
    return body


def _due_fields(ledger: CompanyLedger, data: JsonObject, body: JsonObject, dated_on: date) -> JsonObject:
    if has_value(data, "DueDate"):
        return {"DueDate": parse_date("DueDate", data["DueDate"]).isoformat()}
    days = NET_DAYS
    if "SalesTermRef" in body:
        days = int(require_active(ledger, "Term", body["SalesTermRef"], "SalesTermRef").body.get("DueDays", NET_DAYS))
    return {"DueDate": (dated_on + timedelta(days=days)).isoformat()}


def _document_number(ledger: CompanyLedger, entity: str, data: JsonObject, old: Entry | None) -> str | None:
    requested = str(data["DocNumber"]) if has_value(data, "DocNumber") else None
    if requested is None or requested == "AUTO_GENERATE":
        if old is not None and requested is None:
            number: str | None = old.body.get("DocNumber")
            return number
        if ledger.profile.custom_numbers and requested is None:
            return None
        return ledger.next_free_number(entity)
    taken = ledger.numbers.get((entity, requested))
    if taken is not None and (old is None or taken != old.number):
        raise duplicate_number(requested, entity, str(taken))
    return requested


def _build_lines(ledger: CompanyLedger, data: list[JsonObject]) -> tuple[list[JsonObject], Decimal]:
    lines: list[JsonObject] = []
    total = ZERO
    for line in data:
        kind = line.get("DetailType")
        if not kind:
            raise missing("Line.DetailType")
        if kind == "SubTotalLineDetail":
            continue
        head: JsonObject = {"Id": str(len(lines) + 1), "LineNum": len(lines) + 1}
        if line.get("Description"):
            head["Description"] = line["Description"]
        if kind == "DescriptionOnly":
            lines.append({**head, "DetailType": kind, "DescriptionLineDetail": {}, "CustomExtensions": []})
            continue
        value, detail = _price_line(ledger, kind, line, total)
        total += -value if kind == "DiscountLineDetail" else value
        lines.append({**head, "Amount": format_number(value), "DetailType": kind, kind: detail, "CustomExtensions": []})
    if not lines:
        raise missing("Line")
    subtotal: JsonObject = {
        "Amount": format_number(total),
        "DetailType": "SubTotalLineDetail",
        "SubTotalLineDetail": {},
    }
    return [*lines, {**subtotal, "CustomExtensions": []}], total


def _price_line(ledger: CompanyLedger, kind: str, line: JsonObject, so_far: Decimal) -> tuple[Decimal, JsonObject]:
    detail = line.get(kind) or {}
    if kind == "DiscountLineDetail":
        if detail.get("PercentBased"):
            return round_to_cents(
                so_far * parse_amount("DiscountPercent", detail.get("DiscountPercent", 0)) / 100
            ), detail
    elif kind != "SalesItemLineDetail":
        raise business(f"{kind} is not for a sales form.")
    if not has_value(line, "Amount"):
        raise missing("Line.Amount")
    value = round_to_cents(parse_amount("Amount", line["Amount"]))
    if kind == "SalesItemLineDetail":
        detail = _item_detail(ledger, detail, value)
    return value, detail


def _item_detail(ledger: CompanyLedger, detail: JsonObject, value: Decimal) -> JsonObject:
    item = require_active(ledger, "Item", detail.get("ItemRef") or {"value": "1"}, "ItemRef")
    created: JsonObject = {"ItemRef": ledger.reference(item)}
    figures = {name: parse_amount(name, detail[name]) for name in ("UnitPrice", "Qty") if has_value(detail, name)}
    product = round_to_cents(figures.get("UnitPrice", ZERO) * figures.get("Qty", ZERO))
    if product not in (ZERO, value):  # SDKs write 0 for none
        raise amount_mismatch(value, product)
    created |= {name: format_number(figure) for name, figure in figures.items() if figure}
    created["ItemAccountRef"] = item.body["IncomeAccountRef"]
    code = (detail.get("TaxCodeRef") or {}).get("value") or ledger.default_tax_code
    if code is None:
        raise business("Make sure all your transactions have a tax rate before you save.")
    created["TaxCodeRef"] = {"value": code}
    return created
