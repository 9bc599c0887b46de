"""The baseline: how fast the same pages can become the same rows with nothing in between.

One keep-alive connection, msgspec decoding whole pages into typed structs with exact decimals, and one ``executemany``
upsert per table and page into SQLite, a transaction per page. No SDK, no tolerance for malformed records, no retries,
no limits, no checks of amounts, no indexes but the keys, no foreign keys: all that a mere loader can omit.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import msgspec
from msgspec import Struct, field

Row = tuple[Any, ...]
Rows = dict[str, list[Row]]

_encode = msgspec.json.Encoder(decimal_format="string").encode
HOME_CURRENCY = "USD"  # of the company, for customers whose record names none
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class XeroContactRef(Struct, gc=False):
    """The customer of an invoice."""

    ContactID: str


class XeroLine(Struct, gc=False):
    """A line of an invoice."""

    Description: str = ""
    LineAmount: Decimal = Decimal(0)
    ItemCode: str = ""


class XeroPayment(Struct, gc=False):
    """A payment on an invoice."""

    PaymentID: str
    Date: str
    Amount: Decimal


class XeroInvoice(Struct):
    """The fields of an invoice that become columns."""

    InvoiceID: str
    InvoiceNumber: str
    Contact: XeroContactRef
    CurrencyCode: str
    DateString: str
    DueDateString: str
    Total: Decimal
    AmountDue: Decimal
    Status: str
    SentToContact: bool
    Reference: str
    UpdatedDateUTC: str
    LineItems: list[XeroLine]
    Payments: list[XeroPayment]
    FullyPaidOnDate: str | None = None


class XeroContact(Struct):
    """The fields of a contact that become columns."""

    ContactID: str
    Name: str
    EmailAddress: str
    UpdatedDateUTC: str


class XeroPagination(Struct):
    """The number of pages."""

    pageCount: int


class XeroPage(Struct):
    """A page."""

    pagination: XeroPagination
    Invoices: list[XeroInvoice] = []
    Contacts: list[XeroContact] = []


_STATUSES = {"AUTHORISED": "open", "PAID": "paid"}


def _xero_at(text: str) -> str:
    return (_EPOCH + timedelta(milliseconds=int(text[6:-7]))).isoformat(" ", "microseconds")[:26]


def _xero_rows(page: XeroPage) -> Rows:
    invoices, payments, applications = [], [], []
    for one in page.Invoices:
        due, at = int(one.AmountDue * 10_000), _xero_at(one.UpdatedDateUTC)
        status, customer, currency = _STATUSES[one.Status], one.Contact.ContactID, one.CurrencyCode
        paid = one.FullyPaidOnDate
        invoices.append(
            (
                1, one.InvoiceID, one.InvoiceNumber, customer, currency, one.DateString[:10], one.DueDateString[:10],
                int(one.Total * 10_000), due, status, status == "open" and due > 0, one.SentToContact,
                _xero_at(paid)[:10] if paid else None, None, None, None, one.Reference, False, "",
                _encode([(line.Description, line.LineAmount, line.ItemCode) for line in one.LineItems]).decode(),
                "", "", "", at, None, None, one.DueDateString[:10], None, None, None,
            )
        )  # fmt: skip
        for payment in one.Payments:
            on, amount = _xero_at(payment.Date)[:10], int(payment.Amount * 10_000)
            payments.append((1, payment.PaymentID, customer, currency, on, amount, 0, at))
            applications.append((1, "payment", payment.PaymentID, one.InvoiceID, on, amount, 0, 0))
    customers = [
        (
            1,
            one.ContactID,
            one.Name,
            "",
            one.EmailAddress,
            "GB",
            "",
            "",
            True,
            None,
            False,
            _xero_at(one.UpdatedDateUTC),
            "",
            None,
            False,
            None,
            None,
            "",
            "",
            "",
            None,
        )
        for one in page.Contacts
    ]
    return {"invoice": invoices, "payment": payments, "application": applications, "customer": customers}


def _xero_pages(connection: HTTPConnection) -> Iterator[Rows]:
    decode = msgspec.json.Decoder(XeroPage).decode
    for stream in ("Invoices", "CreditNotes", "Overpayments", "Prepayments", "Contacts"):
        number = count = 1
        while number <= count:
            connection.request("GET", f"/api.xro/2.0/{stream}?page={number}&pageSize=1000&order={stream[:-1]}ID")
            page = decode(connection.getresponse().read())
            number, count = number + 1, page.pagination.pageCount
            yield _xero_rows(page)


class QbRef(Struct, gc=False):
    """A reference."""

    value: str
    name: str = ""


class QbMeta(Struct, gc=False):
    """When a record was changed."""

    LastUpdatedTime: datetime


class QbDetail(Struct, gc=False):
    """The item of a line."""

    ItemRef: QbRef


class QbLine(Struct, gc=False):
    """A line of an invoice."""

    Amount: Decimal
    DetailType: str
    Description: str = ""
    SalesItemLineDetail: QbDetail | None = None


class QbLinked(Struct, gc=False):
    """A document that a payment is linked to."""

    TxnId: str


class QbAddress(Struct, gc=False):
    """An email address."""

    Address: str


class QbInvoice(Struct):
    """The fields of an invoice that become columns."""

    Id: str
    SyncToken: str
    MetaData: QbMeta
    DocNumber: str
    TxnDate: str
    DueDate: str
    CurrencyRef: QbRef
    CustomerRef: QbRef
    TotalAmt: Decimal
    Balance: Decimal
    EmailStatus: str
    BillEmail: QbAddress
    Line: list[QbLine]
    LinkedTxn: list[QbLinked]


class QbPaymentLine(Struct, gc=False):
    """A line of a payment: what it pays."""

    Amount: Decimal
    LinkedTxn: list[QbLinked]


class QbPayment(Struct):
    """The fields of a payment that become columns."""

    Id: str
    MetaData: QbMeta
    TxnDate: str
    CustomerRef: QbRef
    CurrencyRef: QbRef
    TotalAmt: Decimal
    UnappliedAmt: Decimal
    Line: list[QbPaymentLine]


class QbBillingAddress(Struct, gc=False):
    """A postal address."""

    Country: str
    CountrySubDivisionCode: str


class QbCustomer(Struct):
    """The fields of a customer that become columns."""

    Id: str
    MetaData: QbMeta
    DisplayName: str
    PrimaryEmailAddr: QbAddress
    BillAddr: QbBillingAddress
    Active: bool


class QbRecords(Struct):
    """The records of a page."""

    Invoice: list[QbInvoice] = []
    Payment: list[QbPayment] = []
    Customer: list[QbCustomer] = []


class QbPage(Struct):
    """A page."""

    records: QbRecords = field(name="QueryResponse")


def _qb_at(meta: QbMeta) -> str:
    return meta.LastUpdatedTime.astimezone(UTC).isoformat(" ", "microseconds")[:26]


def _qb_rows(records: QbRecords, paid_on: dict[str, str]) -> Rows:
    invoices, payments, applications = [], [], []
    for one in records.Payment:
        customer, currency, at = one.CustomerRef.value, one.CurrencyRef.value, _qb_at(one.MetaData)
        total, unapplied = int(one.TotalAmt * 10_000), int(one.UnappliedAmt * 10_000)
        payments.append((1, one.Id, customer, currency, one.TxnDate, total, unapplied, at))
        applications += [
            (1, "payment", one.Id, part.LinkedTxn[0].TxnId, one.TxnDate, int(part.Amount * 10_000), 0, 0)
            for part in one.Line
        ]
        paid_on[one.Id] = one.TxnDate
    for invoice in records.Invoice:
        due = int(invoice.Balance * 10_000)
        lines = [
            (line.Description, line.Amount, line.SalesItemLineDetail.ItemRef.name if line.SalesItemLineDetail else "")
            for line in invoice.Line
            if line.DetailType != "SubTotalLineDetail"
        ]
        invoices.append(
            (
                1, invoice.Id, invoice.DocNumber, invoice.CustomerRef.value, invoice.CurrencyRef.value, invoice.TxnDate,
                invoice.DueDate, int(invoice.TotalAmt * 10_000), due, "open" if due > 0 else "paid", due > 0,
                invoice.EmailStatus != "NeedToSend", None if due > 0 else paid_on[invoice.LinkedTxn[0].TxnId], None,
                None, None, "", False, invoice.SyncToken, _encode(lines).decode(), invoice.BillEmail.Address, "", "",
                _qb_at(invoice.MetaData), None, None, invoice.DueDate, None, None, None,
            )
        )  # fmt: skip
    customers = [
        (
            1, one.Id, one.DisplayName, "", one.PrimaryEmailAddr.Address, one.BillAddr.Country,
            one.BillAddr.CountrySubDivisionCode, "", one.Active, None, False, _qb_at(one.MetaData), "",
            None, False, None, None, HOME_CURRENCY, "", "", None,
        )
        for one in records.Customer
    ]  # fmt: skip
    return {"invoice": invoices, "payment": payments, "application": applications, "customer": customers}


def _qb_pages(connection: HTTPConnection) -> Iterator[Rows]:
    decode = msgspec.json.Decoder(QbPage).decode
    paid_on: dict[str, str] = {}
    for entity in ("Customer", "CreditMemo", "Payment", "Invoice"):
        start, size = 1, 1000
        while size == 1000:
            query = quote_plus(f"SELECT * FROM {entity} ORDERBY Id STARTPOSITION {start} MAXRESULTS 1000")
            connection.request("GET", f"/v3/company/1/query?query={query}")
            found = decode(connection.getresponse().read()).records
            size = max(len(found.Invoice), len(found.Payment), len(found.Customer))
            start += 999  # the same pages as the product reads, which overlap by one record
            yield _qb_rows(found, paid_on)


PAGES: dict[str, Callable[[HTTPConnection], Iterator[Rows]]] = {"xero": _xero_pages, "quickbooks": _qb_pages}


def load(vendor: str, port: int, file: Path, on_progress: Callable[[int], None]) -> None:
    """Load all invoices into a database with our tables; report the number of invoices so far."""
    done = 0
    connection = HTTPConnection("127.0.0.1", port)
    with sqlite3.connect(file, isolation_level=None) as database:
        database.execute("PRAGMA journal_mode=WAL")
        for pragma in ("synchronous=NORMAL", "cache_size=-64000", "wal_autocheckpoint=20000", "foreign_keys=OFF"):
            database.execute(f"PRAGMA {pragma}")
        for (name,) in database.execute(
            "SELECT name FROM sqlite_master WHERE name LIKE 'ix\\_%' ESCAPE '\\'"
        ).fetchall():
            database.execute(f"DROP INDEX {name}")
        upserts = {name: _upsert_sql(database, name) for name in ("customer", "invoice", "payment", "application")}
        for rows in PAGES[vendor](connection):
            database.execute("BEGIN")
            for name, some in rows.items():
                if some:
                    database.executemany(upserts[name], some)
            database.execute("COMMIT")
            done += len(rows["invoice"])
            on_progress(done)
    database.close()


def _upsert_sql(database: sqlite3.Connection, table: str) -> str:
    columns = database.execute(f"SELECT name, pk FROM pragma_table_info('{table}')").fetchall()
    names, keys = [name for name, _pk in columns], [name for name, pk in columns if pk]
    values = [name for name in names if name not in keys]
    newer = f" WHERE excluded.updated_at >= {table}.updated_at" if "updated_at" in names else ""
    changes = ", ".join(f"{name} = excluded.{name}" for name in values)
    return (
        f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
        f" ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {changes}{newer}"
    )
