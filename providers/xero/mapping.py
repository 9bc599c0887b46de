"""Xero's JSON to our words: pure, record by record, so that an odd record is set aside and the page goes on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Raw

from policies.receivables import CreditKind, InvoiceStatus
from providers.ledger import (
    ApplicationRecord,
    ChangePage,
    CreditRecord,
    DeletedRecord,
    InvoiceRecord,
    MalformedRecord,
    PaymentRecord,
)
from providers.xero import schemas
from providers.xero.contacts import add_contact
from providers.xero.values import InvalidField, check_amount, parse_date, parse_instant, parse_optional_date

PAYMENT: Final = "payment"

_STATUSES = {
    "DRAFT": InvoiceStatus.DRAFT.value,
    "SUBMITTED": InvoiceStatus.DRAFT.value,
    "AUTHORISED": InvoiceStatus.OPEN.value,
    "PAID": InvoiceStatus.PAID.value,
    "VOIDED": InvoiceStatus.VOIDED.value,
    "DELETED": InvoiceStatus.DELETED.value,
}
_REMOVED_STATUSES = frozenset({"VOIDED", "DELETED"})
_SALES_CREDITS = frozenset(
    {"ACCRECCREDIT", "RECEIVE-OVERPAYMENT", "AROVERPAYMENT", "RECEIVE-PREPAYMENT", "ARPREPAYMENT"}
)
_ZERO = Decimal(0)

_encode = msgspec.json.Encoder(decimal_format="string").encode


class PageSummary(NamedTuple):
    """What a page said of its query (pages and items, where it did) and how many records it held itself."""

    page_count: int | None
    item_count: int | None
    record_count: int
    latest_updated_at: datetime | None


def _encode_lines(lines: list[schemas.Line] | None) -> str:
    if not lines:
        return "[]"
    return _encode([(line.description or "", line.amount or _ZERO, line.item or "") for line in lines]).decode()


def add_invoice(page: ChangePage, invoice: schemas.Invoice) -> datetime | None:
    """Add a sales invoice with the payments and credits that ride on it; bills are passed over."""
    if invoice.type != "ACCREC":
        return None
    status = _STATUSES.get(invoice.status)
    if status is None:
        message = "Status is none of the known ones"
        raise InvalidField(message)
    updated_at = parse_instant("UpdatedDateUTC", invoice.updated)
    issued_on = parse_date("Date", invoice.date_text or invoice.date or "")
    record = InvoiceRecord(
        invoice.id,
        invoice.number or "",
        invoice.contact.id,
        invoice.currency,
        issued_on,
        parse_optional_date("DueDate", invoice.due_date_text or invoice.due_date),
        check_amount("Total", invoice.total),
        check_amount("AmountDue", invoice.due),
        status,
        invoice.sent is not False,
        parse_optional_date("FullyPaidOnDate", invoice.paid_date),
        parse_optional_date("ExpectedPaymentDate", invoice.expected_date),
        None,
        None,
        invoice.reference or "",
        False,  # noqa: FBT003 - Xero puts no late fees on invoices
        "",
        _encode_lines(invoice.lines),
        updated_at,
    )
    if invoice.payments or invoice.credit_notes or invoice.overpayments or invoice.prepayments:
        payments, applications = _map_payments(invoice, issued_on, updated_at), _map_applications(invoice, issued_on)
        page.payments += payments
        page.applications += applications
    page.invoices.append(record)
    page.replaced_invoice_ids.append(invoice.id)
    return updated_at


def _map_payments(invoice: schemas.Invoice, issued_on: date, updated_at: datetime) -> list[PaymentRecord]:
    return [
        PaymentRecord(
            payment.id,
            invoice.contact.id,
            invoice.currency,
            parse_optional_date("Payments.Date", payment.date) or issued_on,
            check_amount("Payments.Amount", payment.amount),
            _ZERO,
            updated_at,
        )
        for payment in invoice.payments or ()
        if payment.status != "DELETED"
    ]


def _map_applications(invoice: schemas.Invoice, issued_on: date) -> list[ApplicationRecord]:
    """What settled the invoice; parts of one credit are added up, because the mirror keeps one row for the pair."""
    parts: list[tuple[str, str, Decimal | None, str | None]] = []
    if invoice.payments:
        parts += [(PAYMENT, one.id, one.amount, one.date) for one in invoice.payments if one.status != "DELETED"]
    if invoice.credit_notes:
        parts += [(CreditKind.CREDIT_NOTE.value, one.id, one.amount, one.date) for one in invoice.credit_notes]
    if invoice.overpayments:
        parts += [(CreditKind.OVERPAYMENT.value, one.id, one.amount, one.date) for one in invoice.overpayments]
    if invoice.prepayments:
        parts += [(CreditKind.PREPAYMENT.value, one.id, one.amount, one.date) for one in invoice.prepayments]
    return _merge_applications(
        ApplicationRecord(
            kind,
            source,
            invoice.id,
            parse_optional_date("Date", on) or issued_on,
            check_amount("AppliedAmount", amount),
        )
        for kind, source, amount, on in parts
        if amount
    )


def _merge_applications(applications: Iterable[ApplicationRecord]) -> list[ApplicationRecord]:
    pairs: dict[tuple[str, str, str], ApplicationRecord] = {}
    for one in applications:
        pair = one[:3]
        other = pairs.get(pair)
        pairs[pair] = (
            one
            if other is None
            else one._replace(amount=one.amount + other.amount, applied_on=max(one.applied_on, other.applied_on))
        )
    return list(pairs.values())


def add_credit(
    page: ChangePage, credit: schemas.CreditNote | schemas.Overpayment | schemas.Prepayment
) -> datetime | None:
    """Add a customer's credit with its allocations; a supplier's is passed over, a voided one is gone."""
    if credit.type not in _SALES_CREDITS:
        return None
    kind = _KINDS[type(credit)].value
    updated_at = parse_instant("UpdatedDateUTC", credit.updated)
    page_source = (kind, credit.id)
    if credit.status in _REMOVED_STATUSES:
        page.deleted.append(DeletedRecord(kind, credit.id, updated_at))
        page.replaced_sources.append(page_source)
        return updated_at
    dated_on = parse_date("Date", credit.date_text or credit.date or "")
    usable = credit.status == "AUTHORISED"  # a draft is no credit yet, a paid one is used up
    record = CreditRecord(
        credit.id,
        kind,
        credit.number or "",
        credit.contact.id,
        credit.currency,
        dated_on,
        check_amount("Total", credit.total),
        check_amount("RemainingCredit", credit.remaining or _ZERO) if usable else _ZERO,
        updated_at,
    )
    applications = _merge_applications(
        ApplicationRecord(
            kind,
            credit.id,
            one.invoice.id,
            parse_optional_date("Allocations.Date", one.date) or dated_on,
            check_amount("Allocations.Amount", one.amount),
        )
        for one in credit.allocations or ()
        if one.invoice is not None and not one.deleted and one.amount
    )
    page.credits.append(record)
    page.applications.extend(applications)
    page.replaced_sources.append(page_source)
    return updated_at


_KINDS = {
    schemas.CreditNote: CreditKind.CREDIT_NOTE,
    schemas.Overpayment: CreditKind.OVERPAYMENT,
    schemas.Prepayment: CreditKind.PREPAYMENT,
}


def add_payment(page: ChangePage, payment: schemas.Payment) -> datetime | None:
    """Add a deleted payment; the living ones come with their invoices."""
    updated_at = parse_instant("UpdatedDateUTC", payment.updated)
    if payment.status == "DELETED":
        page.deleted.append(DeletedRecord(PAYMENT, payment.id, updated_at))
    return updated_at


class _RecordIds(msgspec.Struct):
    """Whatever names a record that cannot be read otherwise."""

    InvoiceID: str | None = None
    CreditNoteID: str | None = None
    OverpaymentID: str | None = None
    PrepaymentID: str | None = None
    PaymentID: str | None = None
    ContactID: str | None = None


def _malformed(kind: str, raw: Raw, error: Exception) -> MalformedRecord:
    data = bytes(raw)
    try:
        ids = msgspec.json.decode(data, type=_RecordIds)
        external_id = getattr(ids, _ID_FIELDS[kind])
    except msgspec.ValidationError:
        external_id = None
    return MalformedRecord(kind, external_id or f"unnamed-{hashlib.sha256(data).hexdigest()[:16]}", str(error), data)


class _RecordReader(NamedTuple):
    """How the records of one kind are read."""

    kind: str
    decode: Callable[[Raw], Any]
    add: Callable[[ChangePage, Any], datetime | None]


def _record_reader(
    kind: str, schema: type[msgspec.Struct], add: Callable[[ChangePage, Any], datetime | None]
) -> _RecordReader:
    return _RecordReader(kind, msgspec.json.Decoder(schema, strict=False).decode, add)


_ID_FIELDS = {
    "invoice": "InvoiceID",
    CreditKind.CREDIT_NOTE.value: "CreditNoteID",
    CreditKind.OVERPAYMENT.value: "OverpaymentID",
    CreditKind.PREPAYMENT.value: "PrepaymentID",
    PAYMENT: "PaymentID",
    "customer": "ContactID",
}
_READERS = {
    "invoices": _record_reader("invoice", schemas.Invoice, add_invoice),
    "credit_notes": _record_reader(CreditKind.CREDIT_NOTE.value, schemas.CreditNote, add_credit),
    "overpayments": _record_reader(CreditKind.OVERPAYMENT.value, schemas.Overpayment, add_credit),
    "prepayments": _record_reader(CreditKind.PREPAYMENT.value, schemas.Prepayment, add_credit),
    "payments": _record_reader(PAYMENT, schemas.Payment, add_payment),
    "contacts": _record_reader("customer", schemas.Contact, add_contact),
}
_envelope = msgspec.json.Decoder(schemas.Envelope)


def read_page(stream: str, body: bytes, page: ChangePage) -> PageSummary:
    """Add the records of a reply to ``page``; raises ``msgspec.DecodeError`` only if the whole is no page."""
    envelope = _envelope.decode(body)
    kind, decode, add = _READERS[stream]
    raws: list[Raw] = getattr(envelope, stream) or []
    newest_at: datetime | None = None
    for raw in raws:
        try:
            updated_at = add(page, decode(raw))
        except (msgspec.ValidationError, InvalidField) as error:
            page.malformed.append(_malformed(kind, raw, error))
        else:
            if updated_at is not None and (newest_at is None or updated_at > newest_at):
                newest_at = updated_at
    counts = envelope.pagination
    if counts is None:
        return PageSummary(None, None, len(raws), newest_at)
    return PageSummary(counts.pages, counts.items, len(raws), newest_at)
