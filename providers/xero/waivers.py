"""Waives a late fee: voids its invoice, or credits it where it has payments or its period is locked."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from msgspec import Struct, structs

from providers.calls import CallKind
from providers.errors import PermanentError
from providers.ledger import DocumentRef, WaivedPart, credit_note_number
from providers.xero.client import Client
from providers.xero.reply_schemas import FullInvoice, FullInvoices

LIVE_STATUSES = frozenset({"DRAFT", "SUBMITTED", "AUTHORISED", "PAID"})


class _Contact(Struct, rename={"id": "ContactID"}):
    id: str


class _Line(Struct, rename={"amount": "LineAmount", "account": "AccountCode", "tax": "TaxType"}):
    amount: Decimal
    account: str | None = None
    tax: str | None = None


class _Fee(
    Struct,
    kw_only=True,
    rename={
        "id": "InvoiceID",
        "number": "InvoiceNumber",
        "status": "Status",
        "due": "AmountDue",
        "currency": "CurrencyCode",
        "amounts": "LineAmountTypes",
        "contact": "Contact",
        "lines": "LineItems",
    },
):
    id: str
    number: str | None = None
    status: str = ""
    due: Decimal = Decimal(0)
    currency: str | None = None
    amounts: str | None = None
    contact: _Contact | None = None
    lines: list[_Line] = []


class _Fees(Struct, rename={"fees": "Invoices"}):
    fees: list[_Fee]


class _Credit(
    Struct, kw_only=True, rename={"id": "CreditNoteID", "number": "CreditNoteNumber", "remaining": "RemainingCredit"}
):
    id: str
    number: str | None = None
    remaining: Decimal = Decimal(0)


class _Credits(Struct, rename={"notes": "CreditNotes"}):
    notes: list[_Credit]


def waive(
    client: Client, invoice_id: str, key: str, reason: str, on: date | None, part: WaivedPart | None = None
) -> DocumentRef:
    """Void the fee invoice; where Xero rejects that, credit it to the same accounts, so that income is as before."""
    if part is not None:
        fee = _get_fee(client, invoice_id)
        if fee.status not in LIVE_STATUSES:
            return DocumentRef(fee.id, fee.number or "")
        if not _can_credit(fee):
            raise client.unexpected_reply_error(CallKind.READ)
        return _credit(client, fee, key, reason, on, part)
    body = {"Invoices": [{"InvoiceID": invoice_id, "Status": "VOIDED"}]}
    try:
        return _parse_document_ref(client, client.write("update_invoice", invoice_id, body, idempotency_key=key))
    except PermanentError:
        fee = _get_fee(client, invoice_id)
        if fee.status not in LIVE_STATUSES:  # it is void already
            return DocumentRef(fee.id, fee.number or "")
        if not _can_credit(fee):
            raise
    return _credit(client, fee, key, reason, on, None)


def _can_credit(fee: _Fee) -> bool:
    return bool(fee.contact and fee.lines and fee.number)


def _credit(client: Client, fee: _Fee, key: str, reason: str, on: date | None, part: WaivedPart | None) -> DocumentRef:
    """Credit the fee, or a part of it, and apply the credit to what is due on it; the rest stays the customer's."""
    note = _find_or_create_credit_note(client, fee, key, reason, on, part)
    amount = min(fee.due, note.remaining)
    if amount > 0:
        dated = {"Date": on.isoformat()} if on else {}
        allocation = {"Allocations": [{"Invoice": {"InvoiceID": fee.id}, "Amount": amount, **dated}]}
        client.write("create_credit_note_allocation", note.id, allocation, idempotency_key=_derive_key(key, "allocate"))
    return DocumentRef(note.id, note.number or "")


def _find_or_create_credit_note(
    client: Client, fee: _Fee, key: str, reason: str, on: date | None, part: WaivedPart | None
) -> _Credit:
    """Return the credit note of an earlier attempt, found by its number, or create it."""
    number = credit_note_number(fee.number or "", part)
    found = client.read("get_credit_notes", where=f'CreditNoteNumber=="{number}"', page=1)
    existing = [note for note in client.decode(_Credits, found, CallKind.READ).notes if note.number == number]
    if existing:
        return existing[0]
    lines = fee.lines if part is None else [structs.replace(fee.lines[0], amount=part.amount)]
    body = {"CreditNotes": [_build_credit_note(fee, lines, number, reason, on)]}
    created = client.write("create_credit_notes", body, idempotency_key=_derive_key(key, "credit"))
    notes = client.decode(_Credits, created, CallKind.WRITE).notes
    if not notes:
        raise client.unexpected_reply_error(CallKind.WRITE)
    return notes[0]


def _derive_key(key: str, step: str) -> str:
    """Return the idempotency key of one step of the waiver: always the same for the same step."""
    return hashlib.sha256(f"{key}:{step}".encode()).hexdigest()


def _build_credit_note(
    fee: _Fee, fee_lines: Sequence[_Line], number: str, reason: str, on: date | None
) -> dict[str, Any]:
    lines = [
        {
            "Description": f"{reason or 'Waived'}: late fee {fee.number}"[:4000],
            "Quantity": 1,
            "UnitAmount": line.amount,
            **({"AccountCode": line.account} if line.account else {}),
            **({"TaxType": line.tax} if line.tax else {}),
        }
        for line in fee_lines
    ]
    return {
        "Type": "ACCRECCREDIT",
        "Status": "AUTHORISED",
        "CreditNoteNumber": number,
        "Reference": fee.number,
        "Contact": {"ContactID": fee.contact.id if fee.contact else ""},
        **({"CurrencyCode": fee.currency} if fee.currency else {}),
        **({"Date": on.isoformat()} if on else {}),
        "LineAmountTypes": fee.amounts or "NoTax",
        "LineItems": lines,
    }


def _get_fee(client: Client, invoice_id: str) -> _Fee:
    found = client.decode(_Fees, client.read("get_invoice", invoice_id), CallKind.READ).fees
    if not found:
        raise client.unexpected_reply_error(CallKind.READ)
    return found[0]


def _parse_document_ref(client: Client, body: bytes) -> DocumentRef:
    found: list[FullInvoice] = client.decode(FullInvoices, body, CallKind.WRITE).invoices
    if not found:
        raise client.unexpected_reply_error(CallKind.WRITE)
    return DocumentRef(found[0].id, found[0].number or "")
