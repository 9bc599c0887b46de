"""Every change a request can ask for: create, sparse and full update, delete, void, send; and its version check."""

from __future__ import annotations

from typing import Any

from providers.sandbox.quickbooks.books import Books
from providers.sandbox.quickbooks.figures import ZERO, day, short, stamp
from providers.sandbox.quickbooks.names import NAME_OF, make_name, name_key
from providers.sandbox.quickbooks.payments import (
    charged_in,
    check_not_deposited,
    credit_in,
    link_of,
    make_payment,
    parts_of,
)
from providers.sandbox.quickbooks.properties import check_known
from providers.sandbox.quickbooks.refusals import business, invalid_reference, missing, stale, too_long, unsupported
from providers.sandbox.quickbooks.sales import COMPUTED, check_open, make_sale
from providers.sandbox.quickbooks.shelf import Entry

JsonObject = dict[str, Any]
NOTE_MAX = 2000  # of an Attachable's Note (memory, unverified)
SALES = frozenset({"Invoice", "CreditMemo"})
WRITABLE = frozenset({*SALES, *NAME_OF, "Payment", "Attachable"})


def write(books: Books, entity: str, operation: str, include: str, asked: JsonObject) -> Entry | JsonObject:
    """Do what ``POST /<entity>?operation=&include=`` asks; return the object, or the stub of a deleted one."""
    if entity not in WRITABLE:
        raise unsupported(operation or "create")
    check_known(entity, asked)
    if operation == "delete":
        return delete(books, checked(books, entity, asked))
    if operation == "void" or (operation == "update" and include == "void"):
        return void(books, checked(books, entity, asked))
    if operation not in {"", "create", "update"}:
        raise unsupported(operation)
    if asked.get("Id") in (None, ""):
        return create(books, entity, asked)
    return update(books, checked(books, entity, asked), asked)


def checked(books: Books, entity: str, asked: JsonObject) -> Entry:
    """Return the object that a change is about, after its version."""
    entry = books.get(entity, asked.get("Id", ""))
    token = asked.get("SyncToken")
    if token in (None, ""):
        raise missing("SyncToken")
    if str(token) != entry.body["SyncToken"]:
        raise stale()
    return entry


def create(books: Books, entity: str, asked: JsonObject) -> Entry:
    """Put a new object into the books."""
    if entity == "Payment":
        body, parts = make_payment(books, asked, None)
        entry = books.add(entity, body)
        books.link(entry, parts)
        books.owe(entry)
        return entry
    entry = books.add(entity, _body(books, entity, asked, None))
    _index(books, entry)
    return entry


def update(books: Books, entry: Entry, asked: JsonObject) -> Entry:
    """Change an object: ``sparse`` keeps what is not named, a full update clears it."""
    if asked.get("sparse") in (True, "true"):
        kept = {name: value for name, value in entry.body.items() if name not in COMPUTED or entry.entity in NAME_OF}
        if entry.entity == "Payment":
            kept["TotalAmt"] = entry.body["TotalAmt"]
        asked = {**kept, **asked}
    head = {name: entry.body[name] for name in ("domain", "sparse", "Id", "SyncToken", "MetaData")}
    if entry.entity == "Payment":
        body, parts = make_payment(books, asked, entry)
        books.change(entry, head | body)
        books.link(entry, parts)
        books.owe(entry)
        return entry
    body = _body(books, entry.entity, asked, entry)
    _forget(books, entry)
    if entry.entity in SALES:
        body = books.settled(body, entry.entity, entry.number)
    books.change(entry, head | body)
    _index(books, entry)
    return entry


def delete(books: Books, entry: Entry) -> JsonObject:
    """Delete a transaction or attachment; names can only be made inactive."""
    if entry.entity in NAME_OF:
        raise unsupported("delete")
    if entry.entity != "Attachable":
        check_open(books, day("TxnDate", entry.body["TxnDate"]), None)
        _release(books, entry)
        books.owe(entry, gone=True)
    _forget(books, entry)
    books.remove(entry)
    return {"domain": "QBO", "status": "Deleted", "Id": str(entry.number)}


def void(books: Books, entry: Entry) -> Entry:
    """Zero an invoice or payment and leave it in the books, marked in its private note."""
    if entry.entity not in {"Invoice", "Payment"}:
        raise unsupported("void")
    check_open(books, day("TxnDate", entry.body["TxnDate"]), None)
    _release(books, entry)
    note = f"Voided {entry.body.get('PrivateNote', '')}".strip()
    zero: JsonObject = {"PrivateNote": note, "TotalAmt": ZERO, "LinkedTxn": []}
    if entry.entity == "Payment":
        zero |= {"UnappliedAmt": ZERO, "Line": []}
    else:
        lines = [{**line, "Amount": ZERO} if "Amount" in line else line for line in entry.body["Line"]]
        zero |= {"Balance": ZERO, "Line": [_unpriced(line) for line in lines], "TxnTaxDetail": {"TotalTax": ZERO}}
    zero |= {name: ZERO for name in ("HomeTotalAmt", "HomeBalance") if name in entry.body}
    books.change(entry, {**entry.body, **zero})
    books.owe(entry)
    return entry


def send(books: Books, entry: Entry, to: str) -> Entry:
    """Mail an invoice as QuickBooks does: here it is only marked as sent."""
    address = to or (entry.body.get("BillEmail") or {}).get("Address", "")
    if not address:
        raise business("You must specify an email address to send to.")
    delivery = {"DeliveryType": "Email", "DeliveryTime": stamp(books.moment())}
    marks = {"EmailStatus": "EmailSent", "BillEmail": {"Address": address}, "DeliveryInfo": delivery}
    books.change(entry, {**entry.body, **marks})
    return entry


def _body(books: Books, entity: str, asked: JsonObject, old: Entry | None) -> JsonObject:
    if entity in SALES:
        return make_sale(books, entity, asked, old)
    if entity == "Attachable":
        return _note(books, asked)
    return make_name(books, entity, asked, old)


def _note(books: Books, asked: JsonObject) -> JsonObject:
    note = str(asked.get("Note") or "")
    if not note and not asked.get("FileName"):
        raise missing("Note")
    if len(note) > NOTE_MAX:
        raise too_long("Note", NOTE_MAX, len(note))
    for link in asked.get("AttachableRef") or []:
        reference = link.get("EntityRef") or {}
        entity = {name.lower(): name for name in (*SALES, "Payment", "Customer", "Item")}.get(
            str(reference.get("type", "")).lower()
        )
        if entity is None or books.find(entity, reference.get("value", "")) is None:
            raise invalid_reference(str(reference.get("type")), reference.get("value"))
    return {name: asked[name] for name in ("AttachableRef", "FileName", "Note", "Category", "Tag") if asked.get(name)}


def _unpriced(line: JsonObject) -> JsonObject:
    detail = line.get("SalesItemLineDetail")
    if not detail:
        return line
    kept = {name: value for name, value in detail.items() if name not in {"UnitPrice", "Qty"}}
    return {**line, "SalesItemLineDetail": kept}


def _release(books: Books, entry: Entry) -> None:
    """Undo every link of a document: payments on an invoice become unapplied money again."""
    if entry.entity == "Payment":
        check_not_deposited(entry)
        books.link(entry, {})
        return
    for number in books.payments_of(entry.entity, entry.number):
        _take_out(books, books.shelves["Payment"].entries[number], (entry.entity, entry.number))


def _take_out(books: Books, payment: Entry, target: tuple[str, int]) -> None:
    total = payment.body["TotalAmt"]
    parts = {key: part for key, part in parts_of(payment).items() if key != target}
    credit, charged = credit_in(parts), charged_in(parts)
    if not total or charged > total + credit:
        parts = {}  # a credit's own link goes with it: the invoices it paid are open again
    elif charged < credit:
        parts = {key: part for key, part in parts.items() if key[0] == "Invoice"}
    books.link(payment, parts)
    if not total and not parts:
        books.remove(payment)
        return
    lines = [line for line in payment.body["Line"] if link_of(line) in parts]
    unapplied = total + credit_in(parts) - charged_in(parts)
    books.change(payment, {**payment.body, "Line": lines, "UnappliedAmt": short(unapplied)})
    books.owe(payment)


def _index(books: Books, entry: Entry) -> None:
    if entry.entity in SALES:
        books.owe(entry)
        if "DocNumber" in entry.body:
            books.numbers[entry.entity, entry.body["DocNumber"]] = entry.number
    elif entry.entity in NAME_OF:
        books.names[name_key(entry.entity, entry.body[NAME_OF[entry.entity]])] = entry.number


def _forget(books: Books, entry: Entry) -> None:
    if entry.entity in SALES:
        books.numbers.pop((entry.entity, entry.body.get("DocNumber", "")), None)
    elif entry.entity in NAME_OF:
        books.names.pop(name_key(entry.entity, entry.body[NAME_OF[entry.entity]]), None)
