"""Waives a late fee: voids its invoice, or credits it where it has payments or its period is closed."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any, Final

import msgspec

from providers.calls import CallKind
from providers.errors import PermanentError
from providers.http import ambiguous_reply_error
from providers.ledger import DocumentRef, WaivedPart, credit_note_number
from providers.quickbooks import decoding, faults, mapping, queries
from providers.quickbooks.client import Client
from providers.quickbooks.schemas import CreditMemo, Invoice, QueryReply, SingleReply
from providers.quickbooks.writes import request_id

_encode = msgspec.json.Encoder(decimal_format="number").encode
_decode = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode
# The fields of a line that are copied to the credit memo, so that income is as before.
_COPIED_FIELDS: Final = ("ItemRef", "Qty", "UnitPrice", "TaxCodeRef", "ClassRef")


def waive(
    client: Client, invoice_id: str, key: str, reason: str, on: date | None, part: WaivedPart | None = None
) -> DocumentRef:
    """Void the fee invoice. Its SyncToken is read right before; if the invoice changes meanwhile, once more."""
    for is_last_attempt in (False, True):
        raw = _get_raw_invoice(client, invoice_id)
        if raw is None:  # it was deleted, so there is nothing left to pay
            return DocumentRef(invoice_id)
        fee = _parse_invoice(raw)
        fee_ref = DocumentRef(fee.id, fee.doc_number or "")
        if mapping.is_voided(fee):
            return fee_ref
        if part is not None or fee.balance != fee.total_amt:
            return _waive_by_credit_memo(client, raw, key, reason, on, part)
        try:
            body = _encode({"Id": fee.id, "SyncToken": fee.sync_token})
            client.void("Invoice", body, request_id(f"{key}:{fee.sync_token}"))
        except PermanentError as error:
            if error.code == faults.STALE_OBJECT and not is_last_attempt:
                continue
            if "clos" not in str(error).casefold():  # in a closed period, it is credited instead
                raise
            return _waive_by_credit_memo(client, raw, key, reason, on, None)
        return fee_ref
    message = "the fee was changed in QuickBooks twice while it was being voided; the next sync tries again"
    raise PermanentError(message, code=faults.STALE_OBJECT)


def _waive_by_credit_memo(
    client: Client, raw: msgspec.Raw, key: str, reason: str, on: date | None, part: WaivedPart | None
) -> DocumentRef:
    """Credit the fee, or a part, and apply that to its balance; the rest stays the customer's unapplied credit."""
    fee = _parse_invoice(raw)
    number = credit_note_number(fee.doc_number or fee.id, part)
    memo = _find_credit_memo(client, number) or _create_credit_memo(client, raw, key, reason, on, number, part)
    current = _get_raw_invoice(client, fee.id)  # QuickBooks may be set to apply credits automatically
    balance = _parse_invoice(current).balance if current is not None else Decimal(0)
    amount = min(balance, memo.balance)
    if amount > 0:
        links = [
            {"Amount": amount, "LinkedTxn": [{"TxnId": number, "TxnType": kind}]}
            for kind, number in (("Invoice", fee.id), ("CreditMemo", memo.id))
        ]
        payment = {"CustomerRef": {"value": fee.customer_ref.value}, "TotalAmt": 0, **_date_fields(on), "Line": links}
        client.create("Payment", _encode({**payment, **_currency_fields(fee)}), request_id(f"{key}:apply"))
    return DocumentRef(memo.id, memo.doc_number or "")


def _credit_lines(fields: dict[str, Any], description: str, part: WaivedPart | None) -> list[dict[str, Any]]:
    """Return the lines of the fee for its credit memo, or one line of a part of it, with the same item and tax."""
    lines = [
        {
            "DetailType": "SalesItemLineDetail",
            "Amount": line["Amount"],
            "Description": description[:4000],
            "SalesItemLineDetail": {
                name: line["SalesItemLineDetail"][name]
                for name in _COPIED_FIELDS
                if name in line["SalesItemLineDetail"]
            },
        }
        for line in fields["Line"]
        if line.get("DetailType") == "SalesItemLineDetail"
    ]
    if part is None or not lines:
        return lines
    detail = {**lines[0]["SalesItemLineDetail"], "Qty": 1, "UnitPrice": part.amount}
    return [{**lines[0], "Amount": part.amount, "SalesItemLineDetail": detail}]


def _create_credit_memo(
    client: Client,
    raw: msgspec.Raw,
    key: str,
    reason: str,
    on: date | None,
    number: str,
    part: WaivedPart | None,
) -> CreditMemo:
    fields, fee = _decode(raw), _parse_invoice(raw)
    lines = _credit_lines(fields, f"{reason or 'Waived'}: late fee {fee.doc_number}", part)
    tax = {name: fields[name] for name in ("GlobalTaxCalculation",) if name in fields}
    memo = {
        "CustomerRef": {"value": fee.customer_ref.value},
        "DocNumber": number,
        "PrivateNote": f"{reason or 'Waived'}: late fee {fee.doc_number} (Id {fee.id})"[:4000],
        "Line": lines,
        **_date_fields(on),
        **_currency_fields(fee),
        **tax,
    }
    body = client.create("CreditMemo", _encode(memo), request_id(f"{key}:credit"))
    created = _parse_credit_memo(queries.decode_reply(body, SingleReply, CallKind.WRITE).credit_memo)
    if created is None:
        raise ambiguous_reply_error(CallKind.WRITE, "QuickBooks' reply does not hold a readable credit memo")
    return created


def _find_credit_memo(client: Client, number: str) -> CreditMemo | None:
    """Return the credit memo of an earlier attempt, found by its number."""
    body = client.query(queries.select("CreditMemo", queries.equals("DocNumber", number)))
    found = queries.decode_reply(body, QueryReply, CallKind.READ).query_response.credit_memo
    return next((memo for raw in found if (memo := _parse_credit_memo(raw)) is not None), None)


def _parse_credit_memo(raw: msgspec.Raw) -> CreditMemo | None:
    return next((memo for memo in decoding.decode_records([raw], CreditMemo) if isinstance(memo, CreditMemo)), None)


def _get_raw_invoice(client: Client, invoice_id: str) -> msgspec.Raw | None:
    try:
        return queries.decode_reply(client.read("Invoice", invoice_id), SingleReply, CallKind.READ).invoice
    except PermanentError as error:
        if error.code == faults.NOT_FOUND:
            return None
        raise


def _parse_invoice(raw: msgspec.Raw) -> Invoice:
    for record in decoding.decode_records([raw], Invoice):
        if isinstance(record, Invoice):
            return record
    raise ambiguous_reply_error(CallKind.READ, "QuickBooks' reply does not hold a readable invoice")


def _date_fields(on: date | None) -> dict[str, str]:
    return {"TxnDate": on.isoformat()} if on else {}


def _currency_fields(fee: Invoice) -> dict[str, Any]:
    return {"CurrencyRef": {"value": fee.currency_ref.value}} if fee.currency_ref else {}
