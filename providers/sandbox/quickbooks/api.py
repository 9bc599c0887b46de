"""The accounting API of the make-believe QuickBooks Online: /v3/company/<realm>/..., one request, one answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Any

from providers.sandbox.quickbooks import writes
from providers.sandbox.quickbooks.books import Books
from providers.sandbox.quickbooks.figures import decode, encode, reply_time
from providers.sandbox.quickbooks.pdf import invoice_pdf
from providers.sandbox.quickbooks.properties import ENTITIES
from providers.sandbox.quickbooks.reads import answer, changes
from providers.sandbox.quickbooks.refusals import Refusal, missing, unreadable, unsupported
from providers.sandbox.quickbooks.shelf import Entry

JsonObject = dict[str, Any]
BATCH_MAX = 30
JSON_TYPE = "application/json;charset=utf-8"


@dataclass(frozen=True, slots=True)
class Call:
    """A request as the API sees it: ``path`` are the parts behind the company's id."""

    method: str
    path: tuple[str, ...]
    query: Mapping[str, str]
    body: bytes
    base: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back."""

    status: int
    body: bytes
    content_type: str = JSON_TYPE


def respond(books: Books, call: Call, *, replays: bool) -> Reply:
    """Answer a request that the gateway let through; ``replays`` honours ``requestid``."""
    try:
        request_id = call.query.get("requestid", "") if call.method == "POST" else ""
        key = "/".join((request_id, *call.path, call.query.get("operation", "")))
        if replays and request_id and key in books.replies:
            return Reply(200, books.replies[key])
        reply = _route(books, call)
        if request_id and reply.status == 200:
            books.replies[key] = reply.body
    except Refusal as refusal:
        return refused(books.moment(), refusal)
    return reply


def refused(now: datetime, refusal: Refusal, *, xml: bool = False) -> Reply:
    """Write a refusal: upper-case keys by the books, lower-case ones by the gateway, or XML as throttling has been."""
    if xml:
        return Reply(refusal.status, _xml(now, refusal), "application/xml;charset=UTF-8")
    if refusal.by_gateway:
        empty = {"warnings": None, "intuitObject": None, "report": None, "queryResponse": None, "requestId": None}
        millis = int(now.timestamp() * 1000)
        return Reply(refusal.status, encode({**empty, "fault": refusal.plain_fault(), "time": millis}))
    return Reply(refusal.status, encode({"Fault": refusal.fault(), "time": reply_time(now)}))


def _xml(now: datetime, refusal: Refusal) -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
        f'<IntuitResponse time="{reply_time(now)}" xmlns="http://schema.intuit.com/finance/v3">'
        f'<Fault type="{refusal.kind}"><Error code="{refusal.code}"><Message>{escape(refusal.message)}</Message>'
        f"<Detail>{escape(refusal.detail)}</Detail></Error></Fault></IntuitResponse>"
    ).encode()


def _route(books: Books, call: Call) -> Reply:
    if call.method == "GET":
        return _get(books, call)
    match call.path:
        case ("query",):
            return _query(books, call.body.decode("utf-8", "replace"))
        case ("batch",):
            return _json(books, {"BatchItemResponse": _batch(books, decode(call.body))})
        case ("invoice", external_id, "send"):
            sent = writes.send(books, books.get("Invoice", external_id), call.query.get("sendTo", ""))
            return _json(books, {"Invoice": sent.body})
        case (name,):
            return _write(books, call, _entity(name))
    raise unsupported(f"POST {'/'.join(call.path)}")


def _get(books: Books, call: Call) -> Reply:
    match call.path:
        case ("query",):
            return _query(books, call.query.get("query", ""))
        case ("cdc",):
            wanted, since = (call.query.get(name, "") for name in ("entities", "changedSince"))
            if not wanted or not since:
                raise missing("changedSince" if wanted else "entities")
            return _json(books, {"CDCResponse": [changes(books, wanted, since)]})
        case ("preferences",):
            return _json(books, {"Preferences": next(books.all("Preferences")).body})
        case ("companyinfo", _):
            return _json(books, {"CompanyInfo": next(books.all("CompanyInfo")).body})
        case (name, external_id):
            return _read(books, call, _entity(name), external_id)
        case ("invoice", external_id, "pdf"):
            body = books.get("Invoice", external_id).body
            return Reply(200, invoice_pdf(books.profile.name, body), "application/pdf")
    raise unsupported(f"GET {'/'.join(call.path)}")


def _query(books: Books, statement: str) -> Reply:
    if not statement.strip():
        raise missing("query")
    return _json(books, {"QueryResponse": answer(books, statement)})


def _entity(name: str) -> str:
    entity = ENTITIES.get(name.lower())
    if entity is None:
        raise unsupported(name)
    return entity


def _read(books: Books, call: Call, entity: str, external_id: str) -> Reply:
    entry = books.get(entity, external_id)
    body = entry.body
    if entity == "Invoice" and "invoiceLink" in call.query.get("include", ""):
        link = pay_link(books, entry, call.base)
        body = {**body, "InvoiceLink": link} if link else body
    return _json(books, {entity: body})


def pay_link(books: Books, entry: Entry, base: str) -> str:
    """Return the page where the customer sees and pays an invoice; none without an address or online payment."""
    body = entry.body
    payable = body.get("AllowOnlineCreditCardPayment") or body.get("AllowOnlineACHPayment")
    if not payable or "BillEmail" not in body:
        return ""
    return f"{base}/pay/quickbooks/{books.realm}-{entry.number}"


def _write(books: Books, call: Call, entity: str) -> Reply:
    operation, include = call.query.get("operation", ""), call.query.get("include", "")
    done = writes.write(books, entity, operation, include, decode(call.body))
    return _json(books, {entity: done.body if isinstance(done, Entry) else done})


def _batch(books: Books, asked: JsonObject) -> list[JsonObject]:
    items = asked.get("BatchItemRequest") or []
    if len(items) > BATCH_MAX:
        raise unreadable(f"a batch holds at most {BATCH_MAX} items")
    return [_batch_item(books, item) for item in items]


def _batch_item(books: Books, item: JsonObject) -> JsonObject:
    """Do one item; its refusal is its own and does not stop the others."""
    try:
        if "Query" in item:
            return {"bId": item.get("bId", ""), "QueryResponse": answer(books, item["Query"])}
        name = next((name for name in item if name in ENTITIES.values()), None)
        if name is None:
            raise missing("BatchItemRequest entity")
        operation, include = str(item.get("operation", "")), str(item.get("optionsData", ""))
        done = writes.write(books, name, operation, include, item[name])
        return {"bId": item.get("bId", ""), name: done.body if isinstance(done, Entry) else done}
    except Refusal as refusal:
        return {"bId": item.get("bId", ""), "Fault": refusal.fault()}


def _json(books: Books, reply: JsonObject) -> Reply:
    return Reply(200, encode({**reply, "time": reply_time(books.moment())}))
