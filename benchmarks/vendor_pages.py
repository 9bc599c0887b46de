"""A server of simulated invoices, as Xero and QuickBooks Online send them, rendered beforehand.

``python -m benchmarks.vendor_pages xero 50000 0.5`` renders 50,000 invoices, half of them paid, prints its port and
serves until it is stopped. It is a separate process, so that its work does not count.
"""

from __future__ import annotations

import json
import random
import re
import sys
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlsplit

PAGE_SIZE = 1000
_CUSTOMERS = 500
_FIRST_ON = date(2024, 1, 1)
_WORDS = ("consulting", "support", "licence", "delivery", "design", "training", "travel", "café", "übersetzung")
Record = dict[str, Any]
Responder = Callable[[str, bytes], bytes]  # to a path and a body


class _Generator(random.Random):
    """A reproducible ledger: the same seed gives the same bytes."""

    def id(self) -> str:
        return str(uuid.UUID(int=self.getrandbits(128), version=4))

    def description(self) -> str:
        return " ".join(self.choices(_WORDS, k=6))

    def amount(self) -> float:
        return self.randrange(1_000, 300_000) / 100


def _ms(day: date, seconds: int = 0) -> str:
    at = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(seconds=seconds)
    return f"/Date({int(at.timestamp() * 1000)}+0000)/"


def _xero_invoice(number: int, contact: str, rng: _Generator, *, paid: bool) -> Record:
    on = _FIRST_ON + timedelta(days=number % 1000)
    lines = [_xero_line(rng) for _ in range(rng.randrange(1, 6))]
    net = round(sum(line["LineAmount"] for line in lines), 2)
    total = round(net * 1.2, 2)
    payment = {"PaymentID": rng.id(), "Date": _ms(on), "Amount": total, "CurrencyRate": 1.0, "HasAccount": False}
    return {
        "Type": "ACCREC",
        "InvoiceID": rng.id(),
        "InvoiceNumber": f"INV-{number:06}",
        "Reference": f"PO {number}",
        "Prepayments": [],
        "Overpayments": [],
        "Payments": [payment | {"HasValidationErrors": False}] if paid else [],
        "CreditNotes": [],
        "AmountDue": 0.0 if paid else total,
        "AmountPaid": total if paid else 0.0,
        "AmountCredited": 0.0,
        "SentToContact": True,
        "CurrencyRate": 1.0,
        "IsDiscounted": False,
        "HasAttachments": False,
        "HasErrors": False,
        "Attachments": [],
        "InvoicePaymentServices": [],
        "Contact": {
            "ContactID": contact,
            "Name": f"Customer {contact[:8]} & Sons Ltd",
            "Addresses": [],
            "Phones": [],
            "ContactGroups": [],
            "ContactPersons": [],
            "HasValidationErrors": False,
        },
        "DateString": f"{on}T00:00:00",
        "Date": _ms(on),
        "DueDateString": f"{on + timedelta(days=30)}T00:00:00",
        "DueDate": _ms(on + timedelta(days=30)),
        **({"FullyPaidOnDate": _ms(on)} if paid else {}),
        "BrandingThemeID": "a94a78db-5cc6-4e26-a52b-045237e56e6e",
        "Status": "PAID" if paid else "AUTHORISED",
        "LineAmountTypes": "Exclusive",
        "LineItems": lines,
        "SubTotal": net,
        "TotalTax": round(total - net, 2),
        "Total": total,
        "UpdatedDateUTC": _ms(on, number % 86400),
        "CurrencyCode": ("GBP", "EUR", "USD")[number % 3],
    }


def _xero_line(rng: _Generator) -> Record:
    amount = rng.amount()
    return {
        "ItemCode": f"ITEM{rng.randrange(40)}",
        "Description": rng.description(),
        "UnitAmount": amount,
        "TaxType": "OUTPUT2",
        "TaxAmount": round(amount * 0.2, 2),
        "LineAmount": amount,
        "AccountCode": "200",
        "Tracking": [],
        "Quantity": 1.0,
        "LineItemID": rng.id(),
        "ValidationErrors": [],
    }


def _xero_responder(count: int, paid_share: float) -> Responder:
    chance = _Generator(1)
    contacts = sorted(chance.id() for _ in range(_CUSTOMERS))
    invoices = [
        _xero_invoice(n, chance.choice(contacts), chance, paid=chance.random() < paid_share) for n in range(count)
    ]
    invoices.sort(key=lambda invoice: invoice["InvoiceID"])
    records = {"Invoices": invoices, "Contacts": [_xero_contact(one) for one in contacts]}
    pages = {name: _xero_pages(name, all_of) for name, all_of in records.items()}
    single = {
        "Organisation": {"Organisations": [_ORGANISATION]},
        "InvoiceReminders/Settings": {"InvoiceReminders": [{"Enabled": False}]},
    }

    def answer(target: str, _body: bytes) -> bytes:
        url = urlsplit(target)
        name = url.path.removeprefix("/api.xro/2.0/")
        if name in single:
            return json.dumps(single[name]).encode()
        number = int(parse_qs(url.query).get("page", ["1"])[0])
        return pages[name][number - 1] if name in pages else _xero_pages(name, [])[0]

    return answer


_ORGANISATION = {"Name": "Bench Ltd", "BaseCurrency": "GBP", "CountryCode": "GB", "Timezone": "GMTSTANDARDTIME"}


def _xero_contact(contact: str) -> Record:
    return {
        "ContactID": contact,
        "ContactStatus": "ACTIVE",
        "Name": f"Customer {contact[:8]} & Sons Ltd",
        "EmailAddress": f"{contact[:8]}@example.com",
        "Addresses": [{"AddressType": "POBOX", "Country": "United Kingdom"}],
        "UpdatedDateUTC": _ms(_FIRST_ON),
    }


def _xero_pages(name: str, records: list[Record]) -> list[bytes]:
    parts = [records[start : start + PAGE_SIZE] for start in range(0, len(records), PAGE_SIZE)] or [[]]
    total = {"pageSize": PAGE_SIZE, "pageCount": len(parts), "itemCount": len(records)}
    return [
        _encode({"Id": "bench", "Status": "OK", "pagination": {"page": number, **total}, name: part})
        for number, part in enumerate(parts, start=1)
    ]


def _quickbooks_invoice(number: int, payment: str | None, rng: _Generator) -> Record:
    on = _FIRST_ON + timedelta(days=number % 1000)
    lines = [_quickbooks_line(place, rng) for place in range(1, rng.randrange(2, 7))]
    total = round(sum(line["Amount"] for line in lines), 2)
    return {
        "Id": str(number),
        "SyncToken": "1",
        "domain": "QBO",
        "sparse": False,
        "MetaData": {"CreateTime": f"{on}T08:00:00-08:00", "LastUpdatedTime": f"{on}T09:{number % 60:02}:00-08:00"},
        "DocNumber": str(10_000 + number),
        "TxnDate": str(on),
        "DueDate": str(on + timedelta(days=30)),
        "CurrencyRef": {"value": "USD", "name": "United States Dollar"},
        "LinkedTxn": [{"TxnId": payment, "TxnType": "Payment"}] if payment else [],
        "Line": [*lines, {"Amount": total, "DetailType": "SubTotalLineDetail", "SubTotalLineDetail": {}}],
        "CustomerRef": {"value": str(number % _CUSTOMERS + 1), "name": f"Customer {number % _CUSTOMERS + 1}"},
        "BillAddr": {"Id": "95", "Line1": "1 Main St.", "City": "Half Moon Bay", "CountrySubDivisionCode": "CA"},
        "TotalAmt": total,
        "ApplyTaxAfterDiscount": False,
        "PrintStatus": "NeedToPrint",
        "EmailStatus": "EmailSent",
        "BillEmail": {"Address": "someone@example.com"},
        "Balance": 0 if payment else total,
    }


def _quickbooks_line(place: int, rng: _Generator) -> Record:
    amount = rng.amount()
    item = rng.randrange(1, 40)
    return {
        "Id": str(place),
        "LineNum": place,
        "Description": rng.description(),
        "Amount": amount,
        "DetailType": "SalesItemLineDetail",
        "SalesItemLineDetail": {
            "ItemRef": {"value": str(item), "name": f"Service:Item {item}"},
            "UnitPrice": amount,
            "Qty": 1,
            "TaxCodeRef": {"value": "NON"},
        },
    }


def _quickbooks_payment(number: int, invoice: Record) -> Record:
    return {
        "Id": str(number),
        "SyncToken": "0",
        "MetaData": invoice["MetaData"],
        "TxnDate": invoice["TxnDate"],
        "CustomerRef": invoice["CustomerRef"],
        "CurrencyRef": invoice["CurrencyRef"],
        "TotalAmt": invoice["TotalAmt"],
        "UnappliedAmt": 0,
        "Line": [{"Amount": invoice["TotalAmt"], "LinkedTxn": [{"TxnId": invoice["Id"], "TxnType": "Invoice"}]}],
    }


def _quickbooks_responder(count: int, paid_share: float) -> Responder:
    chance = _Generator(1)
    paid = {number: str(1_000_000 + number) for number in range(1, count + 1) if chance.random() < paid_share}
    invoices = [_quickbooks_invoice(number, paid.get(number), chance) for number in range(1, count + 1)]
    payments = [_quickbooks_payment(int(name), invoices[number - 1]) for number, name in paid.items()]
    customers = [_quickbooks_customer(number) for number in range(1, _CUSTOMERS + 1)]
    records = {
        name: [_encode(record) for record in found]
        for name, found in (("Customer", customers), ("Invoice", invoices), ("Payment", payments))
    }
    pages = {
        (name, start): _quickbooks_page(name, start, found)
        for name, found in records.items()
        for start in range(
            1, len(found) + 1, PAGE_SIZE - 1
        )  # as they are requested: each starts with the last record of the previous one
    }

    def answer(target: str, body: bytes) -> bytes:
        asked = unquote_plus(body.decode()) if body else unquote_plus(urlsplit(target).query)
        name = re.search(r"FROM (\w+)", asked)[1]  # type: ignore[index]
        if "COUNT(*)" in asked:
            return _encode({"QueryResponse": {"totalCount": len(records.get(name, []))}, "time": _NOW})
        start = int((re.search(r"STARTPOSITION (\d+)", asked) or ["", "1"])[1])
        if name in _QUICKBOOKS_SINGLE:
            return _encode({"QueryResponse": {name: [_QUICKBOOKS_SINGLE[name]]}, "time": _NOW})
        return pages.get((name, start)) or _quickbooks_page(name, start, records.get(name, []))

    return answer


_NOW = "2026-11-21T08:00:00.000-08:00"
_QUICKBOOKS_SINGLE: dict[str, Record] = {
    "CompanyInfo": {"CompanyName": "Bench Inc", "Country": "US", "Id": "1"},
    "Preferences": {"CurrencyPrefs": {"HomeCurrency": {"value": "USD"}}, "Id": "1"},
}


def _quickbooks_customer(number: int) -> Record:
    return {
        "Id": str(number),
        "MetaData": {"LastUpdatedTime": "2024-01-01T08:00:00-08:00"},
        "DisplayName": f"Customer {number}",
        "PrimaryEmailAddr": {"Address": f"customer{number}@example.com"},
        "BillAddr": {"Country": "US", "CountrySubDivisionCode": "CA"},
        "Active": True,
    }


def _quickbooks_page(name: str, start: int, records: list[bytes]) -> bytes:
    some = records[start - 1 : start - 1 + PAGE_SIZE]
    inside = b'{"%s":[%s],"startPosition":%d,"maxResults":%d}' % (name.encode(), b",".join(some), start, len(some))
    return b'{"QueryResponse":%s,"time":"%s"}' % (inside if some else b"{}", _NOW.encode())


def _encode(value: Record) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


class _Handler(BaseHTTPRequestHandler):
    """Sends the rendered pages; tokens are not checked."""

    protocol_version = "HTTP/1.1"
    respond: Responder

    def do_GET(self) -> None:
        self._send(type(self).respond(self.path, b""))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._send(type(self).respond(self.path, body))

    def log_message(self, *_args: Any) -> None:
        """Log nothing."""

    def _send(self, body: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        self.wfile.write(head)
        self.wfile.write(body)


def main() -> None:
    """Render the pages, print the port and serve."""
    vendor, count, paid_share = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    make = {"xero": _xero_responder, "quickbooks": _quickbooks_responder}[vendor]
    _Handler.respond = staticmethod(make(count, paid_share))
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
