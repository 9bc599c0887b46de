"""Received payments: money that comes in, and the invoices and credit memos it is linked to."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from providers.sandbox.quickbooks.books import Books
from providers.sandbox.quickbooks.figures import ZERO, amount, cents, day, encode, short
from providers.sandbox.quickbooks.refusals import business, deposited, invalid_reference, missing
from providers.sandbox.quickbooks.sales import active, check_open, currency, given
from providers.sandbox.quickbooks.shelf import Entry

JsonObject = dict[str, Any]
Parts = dict[tuple[str, int], Decimal]
CREDIT_LINK_NOTE = "Created by QB Online to link credits to charges."
UNDEPOSITED = {"value": "4", "name": "Undeposited Funds"}
_PLAIN = ("PrivateNote", "PaymentMethodRef", "PaymentRefNum", "DepositToAccountRef", "ARAccountRef")
_JAXB = {
    "declaredType": "com.intuit.schema.finance.v3.NameValue",
    "scope": "javax.xml.bind.JAXBElement$GlobalScope",
    "nil": False, "globalScope": True, "typeSubstituted": False,
}  # fmt: skip


def make_payment(books: Books, asked: JsonObject, old: Entry | None) -> tuple[JsonObject, Parts]:
    """Return the body of a payment as asked for, checked, and what it applies to which document."""
    if old is not None:
        check_not_deposited(old)
    customer = active(books, "Customer", asked.get("CustomerRef"), "CustomerRef")
    if not given(asked, "TotalAmt"):
        raise missing("TotalAmt")
    total = cents(amount("TotalAmt", asked["TotalAmt"]))
    dated_on = day("TxnDate", asked["TxnDate"]) if given(asked, "TxnDate") else books.today()
    check_open(books, dated_on, old)
    parts = _parts(books, asked.get("Line") or [], customer, old)
    unapplied = total + credit_in(parts) - charged_in(parts)
    if total < ZERO or unapplied < ZERO:
        raise business("The amount applied to charges exceeds the payment and the credits.")
    body: JsonObject = {"TxnDate": dated_on.isoformat(), **currency(books, customer, asked)}
    body |= {"CustomerRef": books.reference(customer), "DepositToAccountRef": UNDEPOSITED}
    body |= {name: asked[name] for name in _PLAIN if given(asked, name)}
    body |= {"TotalAmt": cents(total), "UnappliedAmt": short(unapplied), "ProcessPayment": False}
    return body | {"LinkedTxn": [], "Line": [_line(books, target, part) for target, part in parts.items()]}, parts


def check_not_deposited(payment: Entry) -> None:
    """Refuse to change a payment that lies in a bank deposit."""
    if any(link["TxnType"] == "Deposit" for link in payment.body["LinkedTxn"]):
        raise deposited()


def link_of(line: JsonObject) -> tuple[str, int]:
    """Return which document a payment's line is linked to."""
    link = line["LinkedTxn"][0]
    return link["TxnType"], int(link["TxnId"])


def parts_of(payment: Entry) -> Parts:
    """Return what a payment applies, read back from its lines."""
    return {link_of(line): line["Amount"] for line in payment.body["Line"]}


def credit_in(parts: Parts) -> Decimal:
    """Add up what is taken from credit memos."""
    return sum((part for (entity, _), part in parts.items() if entity == "CreditMemo"), ZERO)


def charged_in(parts: Parts) -> Decimal:
    """Add up what is applied to invoices."""
    return sum((part for (entity, _), part in parts.items() if entity == "Invoice"), ZERO)


def request_line(entity: str, number: int | str, part: Decimal) -> JsonObject:
    """Return the line of a request that links ``part`` to a document."""
    return {"Amount": part, "LinkedTxn": [{"TxnId": str(number), "TxnType": entity}]}


def _parts(books: Books, lines: list[JsonObject], customer: Entry, old: Entry | None) -> Parts:
    parts: Parts = {}
    for line in lines:
        for link in line.get("LinkedTxn") or []:
            entity, value = link.get("TxnType"), link.get("TxnId")
            if entity not in {"Invoice", "CreditMemo"}:
                raise business(f"Transactions of type {entity} may not be linked to a payment here.")
            entry = books.find(entity, value)
            if entry is None:
                raise invalid_reference("Transaction", value)
            if entry.body["CustomerRef"]["value"] != str(customer.number):
                raise business("The customer of the payment and of the linked transaction are not the same.")
            part = cents(amount("Line.Amount", line.get("Amount")))
            key = (entity, entry.number)
            parts[key] = parts.get(key, ZERO) + part
            free = entry.body["TotalAmt"] - books.applied_to(*key, besides=old.number if old else None)
            if part <= ZERO or parts[key] > free:
                raise business("You can't apply more than the open balance of a transaction.")
    return parts


def _line(books: Books, target: tuple[str, int], part: Decimal) -> JsonObject:
    entity, number = target
    body = books.shelves[entity].entries[number].body
    facts = {"txnId": number, "txnOpenBalance": body["Balance"], "txnReferenceNumber": body.get("DocNumber", "")}
    return {
        "Amount": cents(part),
        "LinkedTxn": [{"TxnId": str(number), "TxnType": entity}],
        "LineEx": {"any": [_noise(name, value) for name, value in facts.items()]},
    }


def _noise(name: str, value: object) -> msgspec.Raw:
    # Kept as bytes: a real company has a kilobyte of this per payment, and nobody reads it.
    inner = {"name": "{http://schema.intuit.com/finance/v3}NameValue", "value": {"Name": name, "Value": str(value)}}
    return msgspec.Raw(encode({**inner, **_JAXB}))
