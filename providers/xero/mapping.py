"""Maps Xero's JSON to the records of the port: one by one, so that a malformed record does not lose the page."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

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
    RecordKind,
)
from providers.record_decoding import decode_leniently, describe_problem, text_at
from providers.record_values import is_above_total, repair_text
from providers.xero import schemas
from providers.xero.contacts import add_contact
from providers.xero.schemas import Stream
from providers.xero.values import (
    InvalidField,
    parse_amount,
    parse_currency_code,
    parse_date,
    parse_instant,
    parse_optional_date,
)

_STATUSES = {
    "DRAFT": InvoiceStatus.DRAFT,
    "SUBMITTED": InvoiceStatus.DRAFT,
    "AUTHORISED": InvoiceStatus.OPEN,
    "PAID": InvoiceStatus.PAID,
    "VOIDED": InvoiceStatus.VOIDED,
    "DELETED": InvoiceStatus.DELETED,
}
_NO_CREDIT_STATUSES = frozenset({"VOIDED", "DELETED", "DRAFT", "SUBMITTED"})  # a draft is not a credit yet
_SALES_CREDITS = frozenset(
    {"ACCRECCREDIT", "RECEIVE-OVERPAYMENT", "AROVERPAYMENT", "RECEIVE-PREPAYMENT", "ARPREPAYMENT"}
)
_PURCHASE_CREDITS = frozenset(
    {"ACCPAYCREDIT", "SPEND-OVERPAYMENT", "APOVERPAYMENT", "SPEND-PREPAYMENT", "APPREPAYMENT"}
)
_ZERO = Decimal(0)

_encode = msgspec.json.Encoder(decimal_format="string").encode


class PageSummary(NamedTuple):
    """A page's counts for the whole query (None where it has none), its own record count, and its latest change."""

    page_count: int | None
    item_count: int | None
    record_count: int
    latest_updated_at: datetime | None


def _encode_lines(lines: list[schemas.Line] | None) -> str:
    if not lines:
        return "[]"
    rows = [(line.description or "", line.amount or _ZERO, line.item or "") for line in lines]
    return _encode([row for row in rows if row[1].is_finite()]).decode()


def add_invoice(page: ChangePage, invoice: schemas.Invoice) -> datetime | None:
    """Add a sales invoice with its payments and applied credits; bills are skipped."""
    if invoice.type != "ACCREC":
        return None
    status = _STATUSES.get(invoice.status)
    if status is None:
        raise InvalidField(_unknown("Status"))
    currency = parse_currency_code("CurrencyCode", invoice.currency)
    total, due = parse_amount("Total", invoice.total, currency), parse_amount("AmountDue", invoice.due, currency)
    if is_above_total(due, total):
        message = "AmountDue is above Total"
        raise InvalidField(message)
    updated_at = parse_instant("UpdatedDateUTC", invoice.updated)
    issued_on = parse_date("Date", invoice.date_text or invoice.date or "")
    record = InvoiceRecord(
        invoice.id,
        (invoice.number or "").strip(),
        invoice.contact.id,
        currency,
        issued_on,
        parse_optional_date("DueDate", invoice.due_date_text or invoice.due_date),
        total,
        due,
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
        payments = _map_payments(invoice, currency, issued_on, updated_at)
        applications = _map_applications(invoice, currency, issued_on)
        page.payments += payments
        page.applications += applications
    page.invoices.append(record)
    page.replaced_invoice_ids.append(invoice.id)
    return updated_at


def _unknown(field: str) -> str:
    return f"{field} is not a known one"


def _map_payments(
    invoice: schemas.Invoice, currency: str, issued_on: date, updated_at: datetime
) -> list[PaymentRecord]:
    return [
        PaymentRecord(
            payment.id,
            invoice.contact.id,
            currency,
            parse_optional_date("Payments.Date", payment.date) or issued_on,
            parse_amount("Payments.Amount", payment.amount, currency),
            _ZERO,
            updated_at,
        )
        for payment in invoice.payments or ()
        if payment.status != "DELETED"
    ]


def _map_applications(invoice: schemas.Invoice, currency: str, issued_on: date) -> list[ApplicationRecord]:
    """Return what is applied to the invoice, added up per source, because the mirror has one row per pair."""
    parts: list[tuple[CreditKind, str, Decimal | None, str | None]] = []
    if invoice.payments:
        parts += [
            (CreditKind.PAYMENT, one.id, one.amount, one.date) for one in invoice.payments if one.status != "DELETED"
        ]
    if invoice.credit_notes:
        parts += [(CreditKind.CREDIT_NOTE, one.id, one.amount, one.date) for one in invoice.credit_notes]
    if invoice.overpayments:
        parts += [(CreditKind.OVERPAYMENT, one.id, one.amount, one.date) for one in invoice.overpayments]
    if invoice.prepayments:
        parts += [(CreditKind.PREPAYMENT, one.id, one.amount, one.date) for one in invoice.prepayments]
    return _merge_applications(
        ApplicationRecord(
            kind,
            source_id,
            invoice.id,
            parse_optional_date("Date", on) or issued_on,
            parse_amount("AppliedAmount", amount, currency),
        )
        for kind, source_id, amount, on in parts
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
    """Add a customer's credit with its allocations; a supplier's is skipped, a draft or voided one does not exist."""
    if credit.type in _PURCHASE_CREDITS:
        return None
    if credit.type not in _SALES_CREDITS:
        raise InvalidField(_unknown("Type"))
    if credit.status not in _STATUSES:
        raise InvalidField(_unknown("Status"))
    kind = _KINDS[type(credit)]
    currency = parse_currency_code("CurrencyCode", credit.currency)
    updated_at = parse_instant("UpdatedDateUTC", credit.updated)
    source = (kind, credit.id)
    if credit.status in _NO_CREDIT_STATUSES:
        page.deleted.append(DeletedRecord(RecordKind(kind), credit.id, updated_at))
        page.replaced_sources.append(source)
        return updated_at
    dated_on = parse_date("Date", credit.date_text or credit.date or "")
    usable = credit.status == "AUTHORISED"  # a paid one is fully applied
    record = CreditRecord(
        credit.id,
        kind,
        credit.number or "",
        credit.contact.id,
        currency,
        dated_on,
        parse_amount("Total", credit.total, currency),
        parse_amount("RemainingCredit", _remaining(credit), currency) if usable else _ZERO,
        updated_at,
    )
    applications = _merge_applications(
        ApplicationRecord(
            kind,
            credit.id,
            one.invoice.id,
            parse_optional_date("Allocations.Date", one.date) or dated_on,
            parse_amount("Allocations.Amount", one.amount, currency),
        )
        for one in credit.allocations or ()
        if one.invoice is not None and not one.deleted and one.amount
    )
    page.credits.append(record)
    page.applications.extend(applications)
    page.replaced_sources.append(source)
    return updated_at


def _remaining(credit: schemas.Credit) -> Decimal:
    """Return what is left of a credit; where Xero does not say so, what is not allocated."""
    if credit.remaining is not None:
        return credit.remaining
    allocated = sum((each.amount for each in credit.allocations or () if not each.deleted), _ZERO)
    return max(_ZERO, credit.total - allocated)


_KINDS = {
    schemas.CreditNote: CreditKind.CREDIT_NOTE,
    schemas.Overpayment: CreditKind.OVERPAYMENT,
    schemas.Prepayment: CreditKind.PREPAYMENT,
}


def add_payment(page: ChangePage, payment: schemas.Payment) -> datetime | None:
    """Add a deleted payment; all others are part of their invoices."""
    updated_at = parse_instant("UpdatedDateUTC", payment.updated)
    if payment.status == "DELETED":
        page.deleted.append(DeletedRecord(RecordKind.PAYMENT, payment.id, updated_at))
    return updated_at


class _RecordReader(NamedTuple):
    """How the records of a stream are decoded and added to a page; ``descriptive`` fields may be left out."""

    kind: RecordKind
    id_field: str
    schema: type[msgspec.Struct]
    decode_documented: Callable[[Raw], Any]
    add: Callable[[ChangePage, Any], datetime | None]
    descriptive: tuple[str, ...]

    def decode(self, raw: Raw) -> Any:
        """Decode a record; one with odd values is read where their meaning is plain."""
        try:
            return self.decode_documented(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return decode_leniently(raw, self.schema, self.descriptive)

    def malformed(self, raw: Raw, error: Exception) -> MalformedRecord:
        data = bytes(raw)
        external_id = text_at(data, self.id_field) or f"unnamed-{hashlib.sha256(data).hexdigest()[:16]}"
        reason = describe_problem(error, data, "InvoiceNumber", "CreditNoteNumber")
        return MalformedRecord(self.kind, external_id, reason, data, text_at(data, "Contact", "ContactID"))


def _record_reader(
    kind: RecordKind,
    id_field: str,
    schema: type[msgspec.Struct],
    add: Callable[[ChangePage, Any], datetime | None],
    descriptive: tuple[str, ...] = (),
) -> _RecordReader:
    decode = msgspec.json.Decoder(schema, strict=False).decode
    return _RecordReader(kind, id_field, schema, decode, add, descriptive)


_OF_CONTACTS = ("FirstName", "LastName", "ContactPersons", "Addresses", "Phones", "ContactGroups", "Balances")
_READERS = {
    Stream.INVOICES: _record_reader(RecordKind.INVOICE, "InvoiceID", schemas.Invoice, add_invoice, ("LineItems",)),
    Stream.CREDIT_NOTES: _record_reader(
        RecordKind.CREDIT_NOTE, "CreditNoteID", schemas.CreditNote, add_credit, ("CreditNoteNumber",)
    ),
    Stream.OVERPAYMENTS: _record_reader(
        RecordKind.OVERPAYMENT, "OverpaymentID", schemas.Overpayment, add_credit, ("Reference",)
    ),
    Stream.PREPAYMENTS: _record_reader(
        RecordKind.PREPAYMENT, "PrepaymentID", schemas.Prepayment, add_credit, ("Reference",)
    ),
    Stream.PAYMENTS: _record_reader(RecordKind.PAYMENT, "PaymentID", schemas.Payment, add_payment),
    Stream.CONTACTS: _record_reader(RecordKind.CUSTOMER, "ContactID", schemas.Contact, add_contact, _OF_CONTACTS),
}
_envelope = msgspec.json.Decoder(schemas.Envelope)


def decode_envelope(body: bytes) -> schemas.Envelope:
    """Decode a reply. Raises ``msgspec.DecodeError`` if it is not a page."""
    try:
        return _envelope.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _envelope.decode(repair_text(body))


def read_page(stream: Stream, body: bytes, page: ChangePage) -> PageSummary:
    """Add the records of a reply to ``page``.

    Raises:
        msgspec.DecodeError: The reply as a whole is not a page of this stream: an error that comes under status 200
            has no list of records, and must not be taken for an empty one, or all open invoices would seem deleted.
    """
    envelope = decode_envelope(body)
    reader = _READERS[stream]
    raws: list[Raw] | None = getattr(envelope, stream)
    if raws is None:
        message = f"the reply has no list of {stream}"
        raise msgspec.DecodeError(message)
    latest: datetime | None = None
    for raw in raws:
        try:
            updated_at = reader.add(page, reader.decode(raw))
        except (msgspec.DecodeError, UnicodeDecodeError, InvalidField, ArithmeticError) as error:
            page.malformed.append(reader.malformed(raw, error))
        else:
            if updated_at is not None and (latest is None or updated_at > latest):
                latest = updated_at
    counts = envelope.pagination
    if counts is None:
        return PageSummary(None, None, len(raws), latest)
    return PageSummary(counts.pages, counts.items, len(raws), latest)
