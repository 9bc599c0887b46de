"""Decodes Intuit's records and checks them, one by one: what is deleted or cannot be read is yielded as that.

A record that cannot be read becomes a ``MalformedRecord`` that names the field, and the others are still decoded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Final, TypeVar

import msgspec
from msgspec import Raw, Struct

from policies.currencies import round_amount
from providers.ledger import DeletedRecord, MalformedRecord, RecordKind
from providers.quickbooks.schemas import CreditMemo, Customer, Deposit, Invoice, Meta, Payment, Stub, Term
from providers.record_decoding import decode_leniently, describe_problem, text_at
from providers.record_values import is_above_total, is_far_off, parse_currency, utc_instant

RECORD_KINDS: Final = {
    "Customer": RecordKind.CUSTOMER,
    "Term": RecordKind.TERM,
    "Invoice": RecordKind.INVOICE,
    "Payment": RecordKind.PAYMENT,
    "CreditMemo": RecordKind.CREDIT_NOTE,
    "Deposit": RecordKind.DEPOSIT,
}
# Fields without which a record is understood all the same
_DESCRIPTIVE: Final = {
    "Customer": (
        "GivenName", "FamilyName", "PrimaryPhone", "Mobile", "AlternatePhone", "BillAddr", "CustomerTypeRef", "Balance",
        "BalanceWithJobs", "MetaData.CreateTime",
    ),
    "CreditMemo": ("DocNumber", "MetaData.CreateTime"),
    "Invoice": ("DocNumber", "Line.Description", "MetaData.CreateTime"),
    "Payment": ("MetaData.CreateTime",),
    "Term": (),
    "Deposit": ("PrivateNote", "Line.Description", "MetaData.CreateTime"),
}  # fmt: skip
AMOUNT_MAX: Final = Decimal(10**14)
_ZERO = Decimal(0)

S = TypeVar("S", Customer, Term, Invoice, Payment, CreditMemo, Deposit)


def decode_records(
    raws: Iterable[Raw], entity: type[S], home_currency: str = ""
) -> Iterator[S | DeletedRecord | MalformedRecord]:
    """Decode records one by one; deleted and malformed ones are yielded as such, in their place.

    Amounts are rounded to their currency, ``home_currency`` where they name none: Intuit sends 111.10000000000001.
    """
    kind = RECORD_KINDS[entity.__name__]
    decode = msgspec.json.Decoder(entity).decode
    for raw in raws:
        try:
            try:
                record = decode(raw)
            except (msgspec.DecodeError, UnicodeDecodeError):
                record = decode_leniently(raw, entity, _DESCRIPTIVE[entity.__name__])
            check_values(record)
            round_amounts(record, home_currency)
        except (msgspec.MsgspecError, ValueError, InvalidOperation) as error:
            yield _decode_deleted(raw, kind) or MalformedRecord(
                kind,
                record_id(raw),
                describe_problem(error, raw, "DocNumber"),
                bytes(raw),
                text_at(raw, "CustomerRef", "value"),
            )
        else:
            yield _deleted_record(kind, record) if record.status == "Deleted" else record


def check_values(record: Struct) -> None:
    """Write the currency of a record in capitals. Raises ValueError for what nothing can be calculated with."""
    if not isinstance(record, Invoice | CreditMemo | Payment | Customer | Deposit):
        return
    utc_instant(record.meta_data.last_updated_time)
    if isinstance(record, Customer):
        return
    if is_far_off(record.txn_date):
        message = "`TxnDate` is too far off"
        raise ValueError(message)
    if record.currency_ref:
        record.currency_ref.value = parse_currency(record.currency_ref.value)


def round_amounts(record: Struct, home_currency: str) -> None:
    """Round the amounts of a record to its currency. Raises for what is no amount, naming the field."""
    if isinstance(record, Deposit):
        currency = record.currency_ref.value if record.currency_ref else home_currency
        for part in record.line:
            part.amount = _rounded(part.amount, currency, "Line.Amount")
    if isinstance(record, Invoice | CreditMemo | Payment):
        currency = record.currency_ref.value if record.currency_ref else home_currency
        record.total_amt = _rounded(record.total_amt, currency, "TotalAmt")
        if isinstance(record, Payment):
            for line in record.line:
                line.amount = _rounded(line.amount, currency, "Line.Amount")
            unapplied = _on_no_invoice(record) if record.unapplied_amt is None else record.unapplied_amt
            record.unapplied_amt = _rounded(unapplied, currency, "UnappliedAmt")
        else:
            record.balance = _rounded(record.balance, currency, "Balance")
        if isinstance(record, Invoice) and record.deposit is not None:
            record.deposit = _rounded(record.deposit, currency, "Deposit")
        if isinstance(record, Invoice) and is_above_total(record.balance, record.total_amt):
            message = "`Balance` is above `TotalAmt`"
            raise ValueError(message)


def _on_no_invoice(record: Payment) -> Decimal:
    """Return how much of a payment is on no invoice, where QuickBooks does not say how much is unapplied."""
    is_invoice = ((line.amount, any(each.txn_type == "Invoice" for each in line.linked_txn)) for line in record.line)
    return max(_ZERO, record.total_amt - sum((amount for amount, applied in is_invoice if applied), _ZERO))


def _rounded(amount: Decimal, currency: str, key: str) -> Decimal:
    if not amount.is_finite():
        message = f"`{key}` is not an amount"
        raise msgspec.ValidationError(message)
    rounded = round_amount(amount, currency) if -AMOUNT_MAX < amount < AMOUNT_MAX else amount
    if not -AMOUNT_MAX < rounded < AMOUNT_MAX:
        message = f"`{key}` is not an amount below 10^14"
        raise msgspec.ValidationError(message)
    return amount if rounded == amount else rounded


def _deleted_record(kind: RecordKind, record: Struct) -> DeletedRecord:
    meta = getattr(record, "meta_data", None)
    return DeletedRecord(kind, record.id, _deleted_at(meta))  # type: ignore[attr-defined]


def _deleted_at(meta: Meta | None) -> datetime | None:
    try:
        return utc_instant(meta.last_updated_time) if meta else None
    except ValueError:
        return None


def _decode_deleted(raw: Raw, kind: RecordKind) -> DeletedRecord | None:
    try:
        stub = msgspec.json.decode(raw, type=Stub)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return _deleted_record(kind, stub) if stub.status == "Deleted" else None


def record_id(raw: Raw) -> str:
    """Return the record's id, or one made of its bytes where even that cannot be read."""
    try:
        fields = msgspec.json.decode(raw, type=dict[str, Raw])
        found = str(msgspec.json.decode(fields["Id"]))
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError):
        return "?" + hashlib.sha256(bytes(raw)).hexdigest()[:12]
    return found
