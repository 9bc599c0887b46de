"""Takes a fee back: voids its invoice, or credits it where money is on it or its period is closed."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any, Final

import msgspec

from providers.errors import PermanentError
from providers.http import READ, WRITE, ambiguous_reply_error
from providers.ledger import DocumentRef, credit_note_number
from providers.quickbooks import faults, mapping, queries
from providers.quickbooks.client import Client
from providers.quickbooks.schemas import CreditMemo, Invoice, QueryReply, SingleReply
from providers.quickbooks.writes import request_id

_encode = msgspec.json.Encoder(decimal_format="number").encode
_decode = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode
_COPIED_FIELDS: Final = (
    "ItemRef",
    "Qty",
    "UnitPrice",
    "TaxCodeRef",
    "ClassRef",
)  # of a line, so that income is as before


def waive(client: Client, invoice_id: str, key: str, reason: str, on: date | None) -> DocumentRef:
    """Void the fee's invoice. Its SyncToken is read just before; if someone changed it meanwhile, once more."""
    for last in (False, True):
        raw = _get_raw_invoice(client, invoice_id)
        if raw is None:  # someone deleted it, so nothing is owed of it
            return DocumentRef(invoice_id)
        fee = _parse_invoice(raw)
        posted = DocumentRef(fee.id, fee.doc_number or "")
        if mapping.is_voided(fee):
            return posted
        if fee.balance != fee.total_amt:
            return _waive_by_credit_memo(client, raw, key, reason, on)
        try:
            body = _encode({"Id": fee.id, "SyncToken": fee.sync_token})
            client.void("Invoice", body, request_id(f"{key}:{fee.sync_token}"))
        except PermanentError as refused:
            if refused.code == faults.STALE_OBJECT and not last:
                continue
            if "clos" not in str(refused).casefold():  # a closed period: it is credited today instead
                raise
            return _waive_by_credit_memo(client, raw, key, reason, on)
        return posted
    message = "QuickBooks changed this fee twice while it was being voided; the next run tries again"
    raise PermanentError(message, code=faults.STALE_OBJECT)


def _waive_by_credit_memo(client: Client, raw: msgspec.Raw, key: str, reason: str, on: date | None) -> DocumentRef:
    """Credit the whole fee, and set the credit against what is still owed of it; the rest is the customer's."""
    fee = _parse_invoice(raw)
    memo = _find_credit_memo(client, fee) or _create_credit_memo(client, raw, key, reason, on)
    fresh = _get_raw_invoice(client, fee.id)  # QuickBooks may be set to apply credits by itself
    owed = _parse_invoice(fresh).balance if fresh is not None else Decimal(0)
    amount = min(owed, memo.balance)
    if amount > 0:
        links = [
            {"Amount": amount, "LinkedTxn": [{"TxnId": number, "TxnType": kind}]}
            for kind, number in (("Invoice", fee.id), ("CreditMemo", memo.id))
        ]
        payment = {"CustomerRef": {"value": fee.customer_ref.value}, "TotalAmt": 0, **_date_fields(on), "Line": links}
        client.create("Payment", _encode({**payment, **_currency_fields(fee)}), request_id(f"{key}:apply"))
    return DocumentRef(memo.id, memo.doc_number or "")


def _create_credit_memo(client: Client, raw: msgspec.Raw, key: str, reason: str, on: date | None) -> CreditMemo:
    whole, fee = _decode(raw), _parse_invoice(raw)
    lines = [
        {
            "DetailType": "SalesItemLineDetail",
            "Amount": line["Amount"],
            "Description": f"{reason or 'Waived'}: late fee {fee.doc_number}"[:4000],
            "SalesItemLineDetail": {
                name: line["SalesItemLineDetail"][name]
                for name in _COPIED_FIELDS
                if name in line["SalesItemLineDetail"]
            },
        }
        for line in whole["Line"]
        if line.get("DetailType") == "SalesItemLineDetail"
    ]
    tax = {name: whole[name] for name in ("GlobalTaxCalculation",) if name in whole}
    memo = {
        "CustomerRef": {"value": fee.customer_ref.value},
        "DocNumber": credit_note_number(fee.doc_number or fee.id),
        "PrivateNote": f"{reason or 'Waived'}: late fee {fee.doc_number} (Id {fee.id})"[:4000],
        "Line": lines,
        **_date_fields(on),
        **_currency_fields(fee),
        **tax,
    }
    body = client.create("CreditMemo", _encode(memo), request_id(f"{key}:credit"))
    made = _parse_credit_memo(queries.decode_reply(body, SingleReply, WRITE).credit_memo)
    if made is None:
        raise ambiguous_reply_error(WRITE, "QuickBooks' answer does not hold a readable credit memo")
    return made


def _find_credit_memo(client: Client, fee: Invoice) -> CreditMemo | None:
    """Find the credit of an earlier attempt by its number."""
    number = credit_note_number(fee.doc_number or fee.id)
    body = client.query(queries.select("CreditMemo", queries.equals("DocNumber", number)))
    found = queries.decode_reply(body, QueryReply, READ).query_response.credit_memo
    return next((memo for raw in found if (memo := _parse_credit_memo(raw)) is not None), None)


def _parse_credit_memo(raw: msgspec.Raw) -> CreditMemo | None:
    return next((memo for memo in mapping.decode_records([raw], CreditMemo) if isinstance(memo, CreditMemo)), None)


def _get_raw_invoice(client: Client, invoice_id: str) -> msgspec.Raw | None:
    try:
        return queries.decode_reply(client.read("Invoice", invoice_id), SingleReply, READ).invoice
    except PermanentError as refused:
        if refused.code == faults.NOT_FOUND:
            return None
        raise


def _parse_invoice(raw: msgspec.Raw) -> Invoice:
    for record in mapping.decode_records([raw], Invoice):
        if isinstance(record, Invoice):
            return record
    raise ambiguous_reply_error(READ, "QuickBooks' answer does not hold a readable invoice")


def _date_fields(on: date | None) -> dict[str, str]:
    return {"TxnDate": on.isoformat()} if on else {}


def _currency_fields(fee: Invoice) -> dict[str, Any]:
    return {"CurrencyRef": {"value": fee.currency_ref.value}} if fee.currency_ref else {}
