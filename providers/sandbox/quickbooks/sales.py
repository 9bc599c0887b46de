"""Invoices and credit memos: how a request becomes a document with lines, totals, terms and a number."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from providers.sandbox.quickbooks.books import CURRENCIES, Books
from providers.sandbox.quickbooks.figures import ZERO, amount, cents, day, short
from providers.sandbox.quickbooks.refusals import (
    amount_mismatch,
    business,
    closed_period,
    duplicate_number,
    invalid_reference,
    missing,
    too_long,
)
from providers.sandbox.quickbooks.shelf import Entry

JsonObject = dict[str, Any]
NET_DAYS = 30  # recorded: invoices without terms fall due after 30 days
LONGEST = {"DocNumber": 21, "PrivateNote": 4000}
COMPUTED = frozenset({
    "Id", "SyncToken", "MetaData", "domain", "sparse", "status", "TotalAmt", "HomeTotalAmt", "Balance", "HomeBalance",
    "RemainingCredit", "LinkedTxn", "DeliveryInfo", "InvoiceLink", "ExchangeRate", "CurrencyRef",
})  # fmt: skip
# A custom field nobody filled in, as recorded companies have it: noise that a client must tolerate.
_NOISE: JsonObject = {"CustomField": [{"DefinitionId": "1", "Name": "Crew #", "Type": "StringType"}]}
_PLAIN = (
    "PrivateNote", "CustomerMemo", "BillAddr", "ShipAddr", "FreeFormAddress", "SalesTermRef", "BillEmail",
    "BillEmailCc", "BillEmailBcc", "ClassRef", "DepartmentRef",
    "ShipDate", "TrackingNum", "GlobalTaxCalculation", "PrintStatus",
    "EmailStatus", "AllowOnlineCreditCardPayment", "AllowOnlineACHPayment", "PONumber", "InvoiceRef", "Deposit",
)  # fmt: skip


def make_sale(books: Books, entity: str, asked: JsonObject, old: Entry | None) -> JsonObject:
    """Return the body of an invoice or credit memo as asked for, checked; ``old`` is what it replaces."""
    for name, longest in LONGEST.items():
        if len(str(asked.get(name) or "")) > longest:
            raise too_long(name, longest, len(asked[name]))
    customer = active(books, "Customer", asked.get("CustomerRef"), "CustomerRef")
    dated_on = day("TxnDate", asked["TxnDate"]) if asked.get("TxnDate") else books.today()
    check_open(books, dated_on, old)
    lines, total_lines = _lines(books, asked.get("Line") or [])
    tax = amount("TotalTax", (asked.get("TxnTaxDetail") or {}).get("TotalTax", 0))
    total = total_lines + tax
    if total < ZERO:
        raise business("Transaction amount must be 0 or greater.")
    if old is not None and total < books.applied_to(entity, old.number):
        raise business("The amount is less than the payments already applied to it.")
    body: JsonObject = {"AllowIPNPayment": False, "AllowOnlinePayment": False} if entity == "Invoice" else {}
    body |= _NOISE
    number = _number(books, entity, asked, old)
    if number is not None:
        body["DocNumber"] = number
    body["TxnDate"] = dated_on.isoformat()
    body |= currency(books, customer, asked)
    body |= {"LinkedTxn": [], "Line": lines, "TxnTaxDetail": {"TotalTax": short(tax)}}
    body["CustomerRef"] = books.reference(customer)
    body |= _defaults(customer, entity) if old is None else {"PrintStatus": "NeedToPrint", "EmailStatus": "NotSet"}
    body |= {name: asked[name] for name in _PLAIN if given(asked, name)}
    body |= _due(books, asked, body, dated_on) if entity == "Invoice" else {}
    body |= {"TotalAmt": short(total), "ApplyTaxAfterDiscount": False, "Balance": short(total)}
    if "ExchangeRate" in body:
        body |= dict.fromkeys(("HomeTotalAmt", "HomeBalance"), short(cents(total * body["ExchangeRate"])))
    if entity == "CreditMemo":
        body["RemainingCredit"] = short(total)
    if old is not None and "DeliveryInfo" in old.body:
        body["DeliveryInfo"] = old.body["DeliveryInfo"]
    return body


def given(asked: JsonObject, name: str) -> bool:
    """Tell whether a property is there; SDKs write "" for "nothing"."""
    return asked.get(name) not in (None, "")


def active(books: Books, entity: str, reference: object, name: str) -> Entry:
    """Return what a reference names, or refuse: required, there, and active."""
    value = reference.get("value") if isinstance(reference, dict) else None
    if not value:
        raise missing(name)
    entry = books.find(entity, value)
    if entry is None or entry.body.get("Active") is False:
        raise invalid_reference(f"{entity} element id", value)
    return entry


def check_open(books: Books, dated_on: date, old: Entry | None) -> None:
    """Refuse to put a document into, or change one in, a closed period."""
    days = [dated_on] if old is None else [dated_on, day("TxnDate", old.body["TxnDate"])]
    if books.profile.close_on is not None and min(days) <= books.profile.close_on:
        raise closed_period()


def currency(books: Books, customer: Entry, asked: JsonObject) -> JsonObject:
    """Return the currency of a document, which is the customer's, with its rate where there are several."""
    code = customer.body["CurrencyRef"]["value"]
    if given(asked, "CurrencyRef") and asked["CurrencyRef"].get("value") != code:
        raise business("You can only use one foreign currency per transaction.")
    body: JsonObject = {"CurrencyRef": {"value": code, "name": CURRENCIES.get(code, code)}}
    if books.profile.multicurrency:
        rate = books.profile.rates.get(code, Decimal(1))
        if given(asked, "ExchangeRate") and code != books.profile.currency:
            rate = amount("ExchangeRate", asked["ExchangeRate"])
        body["ExchangeRate"] = short(rate)
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


def _due(books: Books, asked: JsonObject, body: JsonObject, dated_on: date) -> JsonObject:
    if given(asked, "DueDate"):
        return {"DueDate": day("DueDate", asked["DueDate"]).isoformat()}
    days = NET_DAYS
    if "SalesTermRef" in body:
        days = int(active(books, "Term", body["SalesTermRef"], "SalesTermRef").body.get("DueDays", NET_DAYS))
    return {"DueDate": (dated_on + timedelta(days=days)).isoformat()}


def _number(books: Books, entity: str, asked: JsonObject, old: Entry | None) -> str | None:
    wanted = str(asked["DocNumber"]) if given(asked, "DocNumber") else None
    if wanted is None or wanted == "AUTO_GENERATE":
        if old is not None and wanted is None:
            return old.body.get("DocNumber")
        if books.profile.custom_numbers and wanted is None:
            return None
        return books.next_free_number(entity)
    taken = books.numbers.get((entity, wanted))
    if taken is not None and (old is None or taken != old.number):
        raise duplicate_number(wanted, entity, str(taken))
    return wanted


def _lines(books: Books, asked: list[JsonObject]) -> tuple[list[JsonObject], Decimal]:
    lines: list[JsonObject] = []
    total = ZERO
    for line in asked:
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
        value, detail = _priced(books, kind, line, total)
        total += -value if kind == "DiscountLineDetail" else value
        lines.append({**head, "Amount": short(value), "DetailType": kind, kind: detail, "CustomExtensions": []})
    if not lines:
        raise missing("Line")
    subtotal: JsonObject = {"Amount": short(total), "DetailType": "SubTotalLineDetail", "SubTotalLineDetail": {}}
    return [*lines, {**subtotal, "CustomExtensions": []}], total


def _priced(books: Books, kind: str, line: JsonObject, so_far: Decimal) -> tuple[Decimal, JsonObject]:
    detail = line.get(kind) or {}
    if kind == "DiscountLineDetail":
        if detail.get("PercentBased"):
            return cents(so_far * amount("DiscountPercent", detail.get("DiscountPercent", 0)) / 100), detail
    elif kind != "SalesItemLineDetail":
        raise business(f"{kind} is not for a sales form.")
    if not given(line, "Amount"):
        raise missing("Line.Amount")
    value = cents(amount("Amount", line["Amount"]))
    if kind == "SalesItemLineDetail":
        detail = _item_detail(books, detail, value)
    return value, detail


def _item_detail(books: Books, detail: JsonObject, value: Decimal) -> JsonObject:
    item = active(books, "Item", detail.get("ItemRef") or {"value": "1"}, "ItemRef")
    made: JsonObject = {"ItemRef": books.reference(item)}
    figures = {name: amount(name, detail[name]) for name in ("UnitPrice", "Qty") if given(detail, name)}
    product = cents(figures.get("UnitPrice", ZERO) * figures.get("Qty", ZERO))
    if product not in (ZERO, value):  # SDKs write 0 for "not said"
        raise amount_mismatch(value, product)
    made |= {name: short(figure) for name, figure in figures.items() if figure}
    made["ItemAccountRef"] = item.body["IncomeAccountRef"]
    code = (detail.get("TaxCodeRef") or {}).get("value") or books.default_tax_code
    if code is None:
        raise business("Make sure all your transactions have a tax rate before you save.")
    made["TaxCodeRef"] = {"value": code}
    return made
