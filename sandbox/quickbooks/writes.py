"""All changes by requests: create, sparse and full update, delete, void, send, and the version check."""

from __future__ import annotations

from sandbox.core import JsonObject
from sandbox.quickbooks.api_errors import business, invalid_reference, missing, stale, too_long, unsupported
from sandbox.quickbooks.company_ledger import CompanyLedger
from sandbox.quickbooks.entity_store import Entry
from sandbox.quickbooks.formats import ZERO, format_instant, format_number, parse_date
from sandbox.quickbooks.list_entities import NAME_OF, build_list_entity, name_key
from sandbox.quickbooks.payments import (
    applications_of,
    build_payment,
    check_not_deposited,
    credit_total,
    invoice_total,
    link_of,
)
from sandbox.quickbooks.properties import check_known
from sandbox.quickbooks.sales import COMPUTED, build_sale, check_open

NOTE_MAX = 2000  # of an Attachable's Note (memory, unverified)
SALES = frozenset({"Invoice", "CreditMemo"})
WRITABLE = frozenset({*SALES, *NAME_OF, "Payment", "Attachable"})


def write(ledger: CompanyLedger, entity: str, operation: str, include: str, data: JsonObject) -> Entry | JsonObject:
    """Carry out ``POST /<entity>?operation=&include=``; return the object, or the stub of a deleted one."""
    if entity not in WRITABLE:
        raise unsupported(operation or "create")
    check_known(entity, data)
    if operation == "delete":
        return delete(ledger, find_current(ledger, entity, data))
    if operation == "void" or (operation == "update" and include == "void"):
        return void(ledger, find_current(ledger, entity, data))
    if operation not in {"", "create", "update"}:
        raise unsupported(operation)
    if data.get("Id") in (None, ""):
        return create(ledger, entity, data)
    return update(ledger, find_current(ledger, entity, data), data)


def find_current(ledger: CompanyLedger, entity: str, data: JsonObject) -> Entry:
    """Return the object to change. Raises if its version is outdated."""
    entry = ledger.get(entity, data.get("Id", ""))
    token = data.get("SyncToken")
    if token in (None, ""):
        raise missing("SyncToken")
    if str(token) != entry.body["SyncToken"]:
        raise stale()
    return entry


def create(ledger: CompanyLedger, entity: str, data: JsonObject) -> Entry:
    """Create an object."""
    if entity == "Payment":
        body, applications = build_payment(ledger, data, None)
        entry = ledger.add(entity, body)
        ledger.set_applications(entry, applications)
        ledger.update_customer_balance(entry)
        return entry
    entry = ledger.add(entity, _build_body(ledger, entity, data, None))
    _index(ledger, entry)
    return entry


def update(ledger: CompanyLedger, entry: Entry, data: JsonObject) -> Entry:
    """Change an object: ``sparse`` keeps missing properties, a full update clears them."""
    if data.get("sparse") in (True, "true"):
        kept = {name: value for name, value in entry.body.items() if name not in COMPUTED or entry.entity in NAME_OF}
        if entry.entity == "Payment":
            kept["TotalAmt"] = entry.body["TotalAmt"]
        data = {**kept, **data}
    head = {name: entry.body[name] for name in ("domain", "sparse", "Id", "SyncToken", "MetaData")}
    if entry.entity == "Payment":
        body, applications = build_payment(ledger, data, entry)
        ledger.change(entry, head | body)
        ledger.set_applications(entry, applications)
        ledger.update_customer_balance(entry)
        return entry
    body = _build_body(ledger, entry.entity, data, entry)
    _forget(ledger, entry)
    if entry.entity in SALES:
        body = ledger.with_balance(body, entry.entity, entry.number)
    old_parent = (entry.body.get("ParentRef") or {}).get("value")
    ledger.change(entry, head | body)
    _index(ledger, entry)
    if entry.entity == "Customer" and (entry.body.get("ParentRef") or {}).get("value") != old_parent:
        ledger.move_to_parent(entry, int(old_parent) if old_parent else None)
    return entry


def delete(ledger: CompanyLedger, entry: Entry) -> JsonObject:
    """Delete a transaction or attachment; list entities can only be made inactive."""
    if entry.entity in NAME_OF:
        raise unsupported("delete")
    if entry.entity != "Attachable":
        check_open(ledger, parse_date("TxnDate", entry.body["TxnDate"]), None)
        _remove_links(ledger, entry)
        ledger.update_customer_balance(entry, removed=True)
    _forget(ledger, entry)
    ledger.remove(entry)
    return {"domain": "QBO", "status": "Deleted", "Id": str(entry.number)}


def void(ledger: CompanyLedger, entry: Entry) -> Entry:
    """Void an invoice or payment: it stays with amounts of 0, marked in its private note."""
    if entry.entity not in {"Invoice", "Payment"}:
        raise unsupported("void")
    check_open(ledger, parse_date("TxnDate", entry.body["TxnDate"]), None)
    _remove_links(ledger, entry)
    note = f"Voided {entry.body.get('PrivateNote', '')}".strip()
    zero: JsonObject = {"PrivateNote": note, "TotalAmt": ZERO, "LinkedTxn": []}
    if entry.entity == "Payment":
        zero |= {"UnappliedAmt": ZERO, "Line": []}
    else:
        lines = [{**line, "Amount": ZERO} if "Amount" in line else line for line in entry.body["Line"]]
        zero |= {"Balance": ZERO, "Line": [_without_price(line) for line in lines], "TxnTaxDetail": {"TotalTax": ZERO}}
    zero |= {name: ZERO for name in ("HomeTotalAmt", "HomeBalance") if name in entry.body}
    ledger.change(entry, {**entry.body, **zero})
    ledger.update_customer_balance(entry)
    return entry


def send(ledger: CompanyLedger, entry: Entry, to: str) -> Entry:
    """Email an invoice; here it is only marked as sent."""
    address = to or (entry.body.get("BillEmail") or {}).get("Address", "")
    if not address:
        raise business("You must specify an email address to send to.")
    delivery = {"DeliveryType": "Email", "DeliveryTime": format_instant(ledger.current_time())}
    marks = {"EmailStatus": "EmailSent", "BillEmail": {"Address": address}, "DeliveryInfo": delivery}
    ledger.change(entry, {**entry.body, **marks})
    return entry


def _build_body(ledger: CompanyLedger, entity: str, data: JsonObject, old: Entry | None) -> JsonObject:
    if entity in SALES:
        return build_sale(ledger, entity, data, old)
    if entity == "Attachable":
        return _build_note(ledger, data)
    return build_list_entity(ledger, entity, data, old)


def _build_note(ledger: CompanyLedger, data: JsonObject) -> JsonObject:
    note = str(data.get("Note") or "")
    if not note and not data.get("FileName"):
        raise missing("Note")
    if len(note) > NOTE_MAX:
        raise too_long("Note", NOTE_MAX, len(note))
    for link in data.get("AttachableRef") or []:
        reference = link.get("EntityRef") or {}
        entity = {name.lower(): name for name in (*SALES, "Payment", "Customer", "Item")}.get(
            str(reference.get("type", "")).lower()
        )
        if entity is None or ledger.find(entity, reference.get("value", "")) is None:
            raise invalid_reference(str(reference.get("type")), reference.get("value"))
    return {name: data[name] for name in ("AttachableRef", "FileName", "Note", "Category", "Tag") if data.get(name)}


def _without_price(line: JsonObject) -> JsonObject:
    detail = line.get("SalesItemLineDetail")
    if not detail:
        return line
    kept = {name: value for name, value in detail.items() if name not in {"UnitPrice", "Qty"}}
    return {**line, "SalesItemLineDetail": kept}


def _remove_links(ledger: CompanyLedger, entry: Entry) -> None:
    """Remove all links of a document: payments of an invoice become unapplied again."""
    if entry.entity == "Payment":
        check_not_deposited(entry)
        ledger.set_applications(entry, {})
        return
    for number in ledger.payments_of(entry.entity, entry.number):
        _remove_application(ledger, ledger.stores["Payment"].entries[number], (entry.entity, entry.number))


def _remove_application(ledger: CompanyLedger, payment: Entry, target: tuple[str, int]) -> None:
    total = payment.body["TotalAmt"]
    applications = {key: amount for key, amount in applications_of(payment).items() if key != target}
    credit, charged = credit_total(applications), invoice_total(applications)
    if not total or charged > total + credit:
        applications = {}  # a credit's own link is removed with it: the invoices it paid are open again
    elif charged < credit:
        applications = {key: amount for key, amount in applications.items() if key[0] == "Invoice"}
    ledger.set_applications(payment, applications)
    if not total and not applications:
        ledger.remove(payment)
        return
    lines = [line for line in payment.body["Line"] if link_of(line) in applications]
    unapplied = total + credit_total(applications) - invoice_total(applications)
    ledger.change(payment, {**payment.body, "Line": lines, "UnappliedAmt": format_number(unapplied)})
    ledger.update_customer_balance(payment)


def _index(ledger: CompanyLedger, entry: Entry) -> None:
    if entry.entity in SALES:
        ledger.update_customer_balance(entry)
        if "DocNumber" in entry.body:
            ledger.numbers[entry.entity, entry.body["DocNumber"]] = entry.number
    elif entry.entity in NAME_OF:
        ledger.names[name_key(entry.entity, entry.body[NAME_OF[entry.entity]])] = entry.number


def _forget(ledger: CompanyLedger, entry: Entry) -> None:
    if entry.entity in SALES:
        ledger.numbers.pop((entry.entity, entry.body.get("DocNumber", "")), None)
    elif entry.entity in NAME_OF:
        ledger.names.pop(name_key(entry.entity, entry.body[NAME_OF[entry.entity]]), None)
