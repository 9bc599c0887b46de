"""The accounting API of the simulated QuickBooks Online: ``/v3/company/<realm>/...``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from html import escape

from sandbox.core import JsonObject
from sandbox.quickbooks import writes
from sandbox.quickbooks.api_errors import ApiFault, missing, spoiled_reply, unreadable, unsupported
from sandbox.quickbooks.company_ledger import CompanyLedger
from sandbox.quickbooks.entity_store import Entry
from sandbox.quickbooks.formats import decode, encode, format_reply_time
from sandbox.quickbooks.pdf import invoice_pdf
from sandbox.quickbooks.properties import ENTITIES
from sandbox.quickbooks.reads import changes, poison_status, run_query

BATCH_MAX = 30
JSON_TYPE = "application/json;charset=utf-8"


@dataclass(frozen=True, slots=True)
class Call:
    """A request to the API; ``path`` is split and starts after the company's id."""

    method: str
    path: tuple[str, ...]
    query: Mapping[str, str]
    body: bytes
    base: str


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply of the API."""

    status: int
    body: bytes
    content_type: str = JSON_TYPE


def respond(ledger: CompanyLedger, call: Call, *, replay_requests: bool) -> Reply:
    """Return the reply to a request that the gateway has admitted; ``replay_requests`` honours ``requestid``."""
    try:
        request_id = call.query.get("requestid", "") if call.method == "POST" else ""
        key = "/".join((request_id, *call.path, call.query.get("operation", "")))
        if replay_requests and request_id and key in ledger.replies:
            return Reply(200, ledger.replies[key])
        reply = _route(ledger, call)
        if request_id and reply.status == 200:
            ledger.replies[key] = reply.body
    except ApiFault as refusal:
        return error_reply(ledger.current_time(), refusal)
    return reply


def error_reply(now: datetime, refusal: ApiFault, *, xml: bool = False) -> Reply:
    """Return an error: keys in upper case from the API, lower case from the gateway, or XML, as seen for throttling."""
    if xml:
        return Reply(refusal.status, _xml(now, refusal), "application/xml;charset=UTF-8")
    if refusal.is_gateway_error:
        empty = {"warnings": None, "intuitObject": None, "report": None, "queryResponse": None, "requestId": None}
        millis = int(now.timestamp() * 1000)
        return Reply(refusal.status, encode({**empty, "fault": refusal.gateway_fault(), "time": millis}))
    return Reply(refusal.status, encode({"Fault": refusal.fault(), "time": format_reply_time(now)}))


def _xml(now: datetime, refusal: ApiFault) -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
        f'<IntuitResponse time="{format_reply_time(now)}" xmlns="http://schema.intuit.com/finance/v3">'
        f'<Fault type="{refusal.kind}"><Error code="{refusal.code}"><Message>{escape(refusal.message)}</Message>'
        f"<Detail>{escape(refusal.detail)}</Detail></Error></Fault></IntuitResponse>"
    ).encode()


def _route(ledger: CompanyLedger, call: Call) -> Reply:
    if call.method == "GET":
        return _get(ledger, call)
    match call.path:
        case ("query",):
            return _query(ledger, call, call.body.decode("utf-8", "replace"))
        case ("batch",):
            return _json(ledger, {"BatchItemResponse": _batch(ledger, decode(call.body))})
        case ("invoice", external_id, "send"):
            sent = writes.send(ledger, ledger.get("Invoice", external_id), call.query.get("sendTo", ""))
            return _json(ledger, {"Invoice": sent.body})
        case (name,):
            return _write(ledger, call, _entity(name))
    raise unsupported(f"POST {'/'.join(call.path)}")


def _get(ledger: CompanyLedger, call: Call) -> Reply:
    match call.path:
        case ("query",):
            return _query(ledger, call, call.query.get("query", ""))
        case ("cdc",):
            requested, since = (call.query.get(name, "") for name in ("entities", "changedSince"))
            if not requested or not since:
                raise missing("changedSince" if requested else "entities")
            return _json(ledger, {"CDCResponse": [changes(ledger, requested, since)]})
        case ("preferences",):
            return _json(ledger, {"Preferences": next(ledger.all("Preferences")).body})
        case ("companyinfo", _):
            return _json(ledger, {"CompanyInfo": next(ledger.all("CompanyInfo")).body})
        case (name, external_id):
            return _read(ledger, call, _entity(name), external_id)
        case ("invoice", external_id, "pdf"):
            body = ledger.get("Invoice", external_id).body
            return Reply(200, invoice_pdf(ledger.profile.name, body), "application/pdf")
    raise unsupported(f"GET {'/'.join(call.path)}")


def _query(ledger: CompanyLedger, call: Call, statement: str) -> Reply:
    if not statement.strip():
        raise missing("query")
    found = run_query(ledger, statement)
    if "invoiceLink" in call.query.get("include", "") and ledger.links_in_queries and "Invoice" in found:
        found = {**found, "Invoice": [_with_link(ledger, body, call.base) for body in found["Invoice"]]}
    return _json(ledger, {"QueryResponse": found})


def _with_link(ledger: CompanyLedger, body: JsonObject, base: str) -> JsonObject:
    link = pay_link(ledger, ledger.get("Invoice", body["Id"]), base)
    return {**body, "InvoiceLink": link} if link else body


def _entity(name: str) -> str:
    entity = ENTITIES.get(name.lower())
    if entity is None:
        raise unsupported(name)
    return entity


def _read(ledger: CompanyLedger, call: Call, entity: str, external_id: str) -> Reply:
    entry = ledger.get(entity, external_id)
    if status := poison_status(ledger, [entry]):
        raise spoiled_reply(status)
    body = entry.body
    if entity == "Invoice" and "invoiceLink" in call.query.get("include", ""):
        body = _with_link(ledger, body, call.base)
    return _json(ledger, {entity: body})


def pay_link(ledger: CompanyLedger, entry: Entry, base: str) -> str:
    """Return the page on which the customer sees and pays an invoice; none without an address or online payments."""
    body = entry.body
    payable = body.get("AllowOnlineCreditCardPayment") or body.get("AllowOnlineACHPayment")
    if not payable or "BillEmail" not in body:
        return ""
    return f"{base}/pay/quickbooks/{ledger.realm}-{entry.number}"


def _write(ledger: CompanyLedger, call: Call, entity: str) -> Reply:
    operation, include = call.query.get("operation", ""), call.query.get("include", "")
    done = writes.write(ledger, entity, operation, include, decode(call.body))
    return _json(ledger, {entity: done.body if isinstance(done, Entry) else done})


def _batch(ledger: CompanyLedger, data: JsonObject) -> list[JsonObject]:
    items = data.get("BatchItemRequest") or []
    if len(items) > BATCH_MAX:
        raise unreadable(f"a batch holds at most {BATCH_MAX} items")
    return [_batch_item(ledger, item) for item in items]


def _batch_item(ledger: CompanyLedger, item: JsonObject) -> JsonObject:
    """Carry out one item of a batch; its error does not stop the others."""
    try:
        if "Query" in item:
            return {"bId": item.get("bId", ""), "QueryResponse": run_query(ledger, item["Query"])}
        name = next((name for name in item if name in ENTITIES.values()), None)
        if name is None:
            raise missing("BatchItemRequest entity")
        operation, include = str(item.get("operation", "")), str(item.get("optionsData", ""))
        done = writes.write(ledger, name, operation, include, item[name])
        return {"bId": item.get("bId", ""), name: done.body if isinstance(done, Entry) else done}
    except ApiFault as refusal:
        return {"bId": item.get("bId", ""), "Fault": refusal.fault()}


def _json(ledger: CompanyLedger, reply: JsonObject) -> Reply:
    return Reply(200, encode({**reply, "time": format_reply_time(ledger.current_time())}))
