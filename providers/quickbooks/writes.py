"""Writes notes and late fees, each once, however often it is attempted.

Intuit documents that it repeats the first reply for the same ``requestid``. There are reports that it does not always,
so the connector searches (``find_note``, ``find_invoice``) before it repeats an old attempt.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final, TypeVar

import msgspec

from providers.calls import CallKind
from providers.errors import PermanentError, ProviderError, TransientError
from providers.http import ambiguous_reply_error
from providers.ledger import DocumentRef, FeePostingOption, LateFeeInvoice, NewNote
from providers.quickbooks import decoding, faults, mapping, queries
from providers.quickbooks.client import Client
from providers.quickbooks.schemas import (
    BatchItemReply,
    BatchReply,
    Invoice,
    ItemOrAccount,
    QueryReply,
    SingleReply,
)

FEE_ACCOUNT: Final = "Late fee income"  # QuickBooks' own name for it
NUMBER_MAX: Final = 21
UNTAXED_CODE_NAMES: Final = (
    "no vat",
    "out of scope",
    "exempt",
)  # Intuit's codes, by country; interest on late payment bears no VAT
_encode = msgspec.json.Encoder(decimal_format="number").encode

T = TypeVar("T")


class LedgerWriter:
    """Writes of one company. ``get_country`` is called only for fees: the country's taxes determine the invoice."""

    def __init__(self, client: Client, get_country: Callable[[], str]) -> None:
        self._client = client
        self._get_country = get_country
        self._fee_item_id = ""

    def add_note(self, invoice_id: str, text: str, key: str) -> DocumentRef:
        """Attach a note to an invoice; it is listed with the attachments and leaves the invoice unchanged."""
        target = {"EntityRef": {"type": "Invoice", "value": invoice_id}}
        body = self._client.create("Attachable", _encode({"AttachableRef": [target], "Note": text}), request_id(key))
        return DocumentRef(_require_created(queries.decode_reply(body, SingleReply, CallKind.WRITE).attachable).id)

    def add_notes(self, notes: Sequence[NewNote]) -> list[DocumentRef | ProviderError]:
        """Attach notes to invoices in one batch, whose operations succeed and fail apart."""
        items = [
            {
                "bId": str(n),
                "operation": "create",
                "Attachable": {
                    "AttachableRef": [{"EntityRef": {"type": "Invoice", "value": note.invoice_id}}],
                    "Note": note.text,
                },
            }
            for n, note in enumerate(notes)
        ]
        key = request_id("|".join(note.key for note in notes))
        body = self._client.batch(_encode({"BatchItemRequest": items}), key)
        replies = {one.id: one for one in queries.decode_reply(body, BatchReply, CallKind.WRITE).batch_item_response}
        return [_note_result(replies.get(str(n))) for n in range(len(notes))]

    def find_note(self, invoice_id: str, short_key: str) -> DocumentRef | None:
        """Find a note by the short key that its text holds."""
        conditions = (
            queries.equals("AttachableRef.EntityRef.Type", "Invoice"),
            queries.equals("AttachableRef.EntityRef.value", invoice_id),
        )
        body = self._client.query(queries.select("Attachable", *conditions))
        for note in queries.decode_reply(body, QueryReply, CallKind.READ).query_response.attachable:
            if short_key in (note.note or ""):
                return DocumentRef(note.id)
        return None

    def post_late_fee(self, fee: LateFeeInvoice, key: str) -> DocumentRef:
        """Create the fee invoice unless its number exists: the search costs one read, charging twice costs trust."""
        existing = self.find_invoice(fee.number)
        if existing is not None:
            return existing
        invoice = self._build_fee_invoice(fee, fee.posting.item or self._find_or_create_fee_item())
        try:
            body = self._client.create("Invoice", _encode(invoice), request_id(key))
        except PermanentError as error:
            existing = self.find_invoice(fee.number) if error.code in faults.DUPLICATE_NUMBERS else None
            if existing is None:
                raise
            return existing
        posted = _parse_invoice(queries.decode_reply(body, SingleReply, CallKind.WRITE), CallKind.WRITE)
        return DocumentRef(posted.id, posted.doc_number or "")

    def find_invoice(self, number: str) -> DocumentRef | None:
        """Find an invoice by its number, unless it is void."""
        body = self._client.query(queries.select("Invoice", queries.equals("DocNumber", number)))
        found = queries.decode_reply(body, QueryReply, CallKind.READ).query_response.invoice
        for record in decoding.decode_records(found, Invoice):
            if isinstance(record, Invoice) and not mapping.is_voided(record):
                return DocumentRef(record.id, record.doc_number or "")
        return None

    def _build_fee_invoice(self, fee: LateFeeInvoice, item_id: str) -> dict[str, Any]:
        """Return the fee invoice. Nothing in it makes QuickBooks email it: the reminder does that."""
        detail: dict[str, Any] = {"ItemRef": {"value": item_id}, "Qty": 1}
        invoice: dict[str, Any] = {
            "CustomerRef": {"value": fee.customer_id},
            "CurrencyRef": {"value": fee.currency},
            "TxnDate": fee.dated_on.isoformat(),
            "DueDate": fee.due_on.isoformat(),
            "DocNumber": fee.number[:NUMBER_MAX],
            "PrivateNote": f"{mapping.FEE_NOTE}{fee.original_number} (Id {fee.original_invoice_id})",
        }
        tax_code = fee.posting.tax or self._untaxed_code()
        if tax_code:
            detail["TaxCodeRef"] = {"value": tax_code}
        if self._get_country() != "US":
            taxed = (
                "TaxInclusive" if fee.posting.tax else "TaxExcluded"
            )  # with a chosen tax code, the total is still the fee
            invoice["GlobalTaxCalculation"] = taxed if tax_code else "NotApplicable"
        lines = [
            {
                "DetailType": "SalesItemLineDetail",
                "Amount": _plain_decimal(amount),
                "Description": text[:4000],
                "SalesItemLineDetail": {**detail, "UnitPrice": _plain_decimal(amount)},
            }
            for text, amount in fee.invoice_lines
        ]
        return {**invoice, "Line": lines}

    def list_fee_posting_options(self) -> list[FeePostingOption]:
        """List the service items for fees and, outside the United States, the tax codes."""
        body = self._client.query(queries.select("Item", queries.equals("Type", "Service")))
        items = queries.decode_reply(body, QueryReply, CallKind.READ).query_response.item
        exists = any(one.name == mapping.FEE_NAME for one in items)
        reason = (
            "QuickBooks' own name for it" if exists else f"created with the first fee, in the account {FEE_ACCOUNT!r}"
        )
        options = [FeePostingOption("item", "", mapping.FEE_NAME, reason)]
        options += [FeePostingOption("item", one.id, one.name or "") for one in items if one.active is not False]
        if self._get_country() == "US":
            return options
        default = self._untaxed_code()
        body = self._client.query(queries.select("TaxCode"))
        codes = queries.decode_reply(body, QueryReply, CallKind.READ).query_response.tax_code
        reason = "a late fee is compensation, not a supply"
        return [
            *options,
            *(FeePostingOption("tax", one.id, one.name, reason if one.id == default else "") for one in codes),
        ]

    def _untaxed_code(self) -> str:
        """Return the code for no tax. Outside the United States each line needs one, and companies define their own."""
        if self._get_country() == "US":
            return "NON"
        body = self._client.query(queries.select("TaxCode"))
        codes = queries.decode_reply(body, QueryReply, CallKind.READ).query_response.tax_code
        by_name = {code.name.casefold(): code.id for code in codes}
        chosen = [by_name[name] for name in UNTAXED_CODE_NAMES if name in by_name]
        chosen += [code.id for code in codes if code.taxable is False]
        if codes and not chosen:
            message = "QuickBooks has no tax code for untaxed amounts; add one named 'Exempt' to charge late fees"
            raise PermanentError(message, code="tax")
        return chosen[0] if chosen else ""

    def _find_or_create_fee_item(self) -> str:
        """Return the id of the service item for fees: the existing one of that name, else a new one."""
        if not self._fee_item_id:
            item = self._find_by_name("Item", mapping.FEE_NAME) or self._create_fee_item()
            if item.active is False:
                message = f"the item {mapping.FEE_NAME!r} is inactive in QuickBooks; activate it to charge late fees"
                raise PermanentError(message, code="inactive")
            self._fee_item_id = item.id
        return self._fee_item_id

    def _create_fee_item(self) -> ItemOrAccount:
        account = self._find_by_name("Account", FEE_ACCOUNT)
        if account is None:
            new = {"Name": FEE_ACCOUNT, "AccountType": "Other Income"}
            body = self._client.create("Account", _encode(new), request_id(f"account:{FEE_ACCOUNT}"))
            account = _require_created(queries.decode_reply(body, SingleReply, CallKind.WRITE).account)
        new_item = {"Name": mapping.FEE_NAME, "Type": "Service", "IncomeAccountRef": {"value": account.id}}
        body = self._client.create("Item", _encode(new_item), request_id(f"item:{mapping.FEE_NAME}:{account.id}"))
        return _require_created(queries.decode_reply(body, SingleReply, CallKind.WRITE).item)

    def _find_by_name(self, entity: str, name: str) -> ItemOrAccount | None:
        body = self._client.query(queries.select(entity, queries.equals("Name", name)))
        found = queries.decode_reply(body, QueryReply, CallKind.READ).query_response
        named = found.item if entity == "Item" else found.account
        return named[0] if named else None


def _note_result(reply: BatchItemReply | None) -> DocumentRef | ProviderError:
    """Return how one note of a batch ended. One without a reply may have been written."""
    if reply is not None and reply.fault is not None:
        error = faults.inner_fault_error(reply.fault, CallKind.WRITE)
        if isinstance(error, PermanentError) and error.code == faults.STALE_OBJECT:
            return TransientError(str(error))  # somebody wrote to the invoice in the same moment
        return error
    if reply is None or reply.attachable is None:
        return ambiguous_reply_error(CallKind.WRITE, "QuickBooks' reply does not name the note")
    return DocumentRef(reply.attachable.id)


def request_id(key: str) -> str:
    """Return Intuit's idempotency key of a write, at most 36 characters: always the same for the same key."""
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def _plain_decimal(amount: Decimal) -> Decimal:
    """Return the amount without an exponent, as JSON requires."""
    return Decimal(f"{amount:f}")


def _require_created(created: T | None) -> T:
    if created is None:
        raise ambiguous_reply_error(CallKind.WRITE, "QuickBooks' reply does not name what was created")
    return created


def _parse_invoice(single: SingleReply, kind: CallKind) -> Invoice:
    for record in decoding.decode_records([single.invoice], Invoice):
        if isinstance(record, Invoice):
            return record
    raise ambiguous_reply_error(kind, "QuickBooks' reply does not hold a readable invoice")
