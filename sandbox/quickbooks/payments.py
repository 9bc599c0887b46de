"""Received payments, and the invoices, credit memos and journal entries they are linked to."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from sandbox.core import JsonObject
from sandbox.quickbooks.api_errors import business, deposited, invalid_reference, missing
from sandbox.quickbooks.company_ledger import CompanyLedger
from sandbox.quickbooks.entity_store import Entry
from sandbox.quickbooks.formats import ZERO, encode, format_number, parse_amount, parse_date, round_to_cents
from sandbox.quickbooks.sales import check_open, currency_fields, has_value, require_active

Applications = dict[tuple[str, int], Decimal]
CREDIT_LINK_NOTE = "Created by QB Online to link credits to charges."
_CHARGES = frozenset({"Invoice", "Expense"})
UNDEPOSITED = {"value": "4", "name": "Undeposited Funds"}
_COPIED_FIELDS = ("PrivateNote", "PaymentMethodRef", "PaymentRefNum", "DepositToAccountRef", "ARAccountRef")
_JAXB_ELEMENT = {
    "declaredType": "com.intuit.schema.finance.v3.NameValue",
    "scope": "javax.xml.bind.JAXBElement$GlobalScope",
    "nil": False, "globalScope": True, "typeSubstituted": False,
}  # fmt: skip


def build_payment(ledger: CompanyLedger, data: JsonObject, old: Entry | None) -> tuple[JsonObject, Applications]:
    """Return the validated body of a payment, and what it applies to which document."""
    if old is not None:
        check_not_deposited(old)
    customer = require_active(ledger, "Customer", data.get("CustomerRef"), "CustomerRef")
    if not has_value(data, "TotalAmt"):
        raise missing("TotalAmt")
    total = round_to_cents(parse_amount("TotalAmt", data["TotalAmt"]))
    dated_on = parse_date("TxnDate", data["TxnDate"]) if has_value(data, "TxnDate") else ledger.today()
    check_open(ledger, dated_on, old)
    applications = _parse_applications(ledger, data.get("Line") or [], customer, old)
    unapplied = total + credit_total(applications) - invoice_total(applications)
    if total < ZERO or unapplied < ZERO:
        raise business("The amount applied to charges exceeds the payment and the credits.")
    body: JsonObject = {"TxnDate": dated_on.isoformat(), **currency_fields(ledger, customer, data)}
    body |= {"CustomerRef": ledger.reference(customer), "DepositToAccountRef": UNDEPOSITED}
    body |= {name: data[name] for name in _COPIED_FIELDS if has_value(data, name)}
    body |= {"TotalAmt": round_to_cents(total), "UnappliedAmt": format_number(unapplied), "ProcessPayment": False}
    return body | {
        "LinkedTxn": [],
        "Line": [_line(ledger, target, amount) for target, amount in applications.items()],
    }, applications


def check_not_deposited(payment: Entry) -> None:
    """Raise for a payment in a bank deposit, which cannot be changed."""
    if any(link["TxnType"] == "Deposit" for link in payment.body["LinkedTxn"]):
        raise deposited()


def link_of(line: JsonObject) -> tuple[str, int]:
    """Return the document that a payment's line is linked to."""
    link = line["LinkedTxn"][0]
    return link["TxnType"], int(link["TxnId"])


def applications_of(payment: Entry) -> Applications:
    """Return what a payment applies, according to its lines."""
    return {link_of(line): line["Amount"] for line in payment.body["Line"]}


def credit_total(applications: Applications) -> Decimal:
    """Return the total taken from credit memos, and from journal entries that credit accounts receivable."""
    return sum((amount for (entity, _), amount in applications.items() if entity not in _CHARGES), ZERO)


def invoice_total(applications: Applications) -> Decimal:
    """Return the total applied to invoices, and to expenses that debit accounts receivable."""
    return sum((amount for (entity, _), amount in applications.items() if entity in _CHARGES), ZERO)


def application_line(entity: str, number: int | str, applied_amount: Decimal) -> JsonObject:
    """Return the line of a request that applies an amount to a document."""
    return {"Amount": applied_amount, "LinkedTxn": [{"TxnId": str(number), "TxnType": entity}]}


def _parse_applications(
    ledger: CompanyLedger, lines: list[JsonObject], customer: Entry, old: Entry | None
) -> Applications:
    applications: Applications = {}
    for line in lines:
        for link in line.get("LinkedTxn") or []:
            entity, value = link.get("TxnType"), link.get("TxnId")
            if entity in {"JournalEntry", "Expense"}:  # there is no store of them: any id stands for one large enough
                applications[entity, int(value)] = round_to_cents(parse_amount("Line.Amount", line.get("Amount")))
                continue
            if entity not in {"Invoice", "CreditMemo"}:
                raise business(f"Transactions of type {entity} may not be linked to a payment here.")
            entry = ledger.find(entity, value)
            if entry is None:
                raise invalid_reference("Transaction", value)
            if not ledger.is_in_family_of(int(entry.body["CustomerRef"]["value"]), customer.number):
                raise business("The customer of the payment and of the linked transaction are not the same.")
            amount = round_to_cents(parse_amount("Line.Amount", line.get("Amount")))
            key = (entity, entry.number)
            applications[key] = applications.get(key, ZERO) + amount
            free = entry.body["TotalAmt"] - ledger.amount_applied_to(*key, except_payment=old.number if old else None)
            if amount <= ZERO or applications[key] > free:
                raise business("You can't apply more than the open balance of a transaction.")
    return applications


def _line(ledger: CompanyLedger, target: tuple[str, int], amount: Decimal) -> JsonObject:
    entity, number = target
    body = ledger.stores[entity].entries[number].body if entity in ledger.stores else {"Balance": ZERO}
    facts = {"txnId": number, "txnOpenBalance": body["Balance"], "txnReferenceNumber": body.get("DocNumber", "")}
    return {
        "Amount": round_to_cents(amount),
        "LinkedTxn": [{"TxnId": str(number), "TxnType": entity}],
        "LineEx": {"any": [_jaxb_value(name, value) for name, value in facts.items()]},
    }


def _jaxb_value(name: str, value: object) -> msgspec.Raw:
    # Stored as bytes: a real company has a kilobyte of this per payment, and nothing reads it.
    inner = {"name": "{http://schema.intuit.com/finance/v3}NameValue", "value": {"Name": name, "Value": str(value)}}
    return msgspec.Raw(encode({**inner, **_JAXB_ELEMENT}))
