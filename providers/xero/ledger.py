"""The ledger of one Xero organisation behind the port: what is read right before sending, and what is written."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from policies.receivables import Company
from providers.calls import CallKind
from providers.errors import AuthorizationExpired, PermanentError, TransientError
from providers.geo import holiday_region
from providers.ledger import (
    ChangePage,
    CompanyDetails,
    DeletedRecord,
    DocumentRef,
    FeePostingOption,
    LateFeeInvoice,
    RecordKind,
    WaivedPart,
)
from providers.xero import reply_schemas, waivers
from providers.xero.fee_account import FeeAccount, choose_fee_account, list_fee_posting_options
from providers.xero.pull import PAGE_SIZE, Cursor, has_more, pull, read_into, read_stream
from providers.xero.schemas import Address, Stream
from providers.xero.time_zones import time_zone
from providers.xero.values import parse_optional_date
from providers.xero.write_offs import find_write_offs

if TYPE_CHECKING:
    from providers.xero.client import Client, Schema

NOTE_LENGTH_MAX: Final = 250  # developer.xero.com/documentation/api/history-and-notes
KEY_LENGTH_MAX: Final = 128  # Idempotency-Key, Xero's OpenAPI document
_IDS_PER_CALL: Final = 40  # 37 characters each: the URL stays under the 2,048 that any server accepts
_BEFORE_SENDING: Final = timedelta(days=1)  # every payment before that was read by a pull
_CREDITS: Final = {
    Stream.CREDIT_NOTES: ("get_credit_notes", "CreditNoteID"),
    Stream.OVERPAYMENTS: ("get_overpayments", "OverpaymentID"),
    Stream.PREPAYMENTS: ("get_prepayments", "PrepaymentID"),
}
_REMINDERS_UNKNOWN: Final = (
    "Xero does not say whether it sends invoice reminders itself. Check Settings > Invoice settings > Invoice reminders"
    " in Xero and switch them off, so that no customer is reminded twice."
)


class XeroLedger:
    """The ledger of one organisation."""

    def __init__(self, client: Client) -> None:
        """Store the client; nothing is read yet."""
        self._client = client
        self._fee_account: FeeAccount | None = None
        self._money_accounts: list[str] = []  # known to the last pull

    def get_company_details(self) -> CompanyDetails:
        """Read the organisation, and whether Xero sends reminders of its own."""
        found = self._read(reply_schemas.Organisations, "get_organisations").organisations
        if not found:
            raise self._client.unexpected_reply_error(CallKind.READ)
        organisation = found[0]
        own_reminders, warnings = self._read_reminder_settings()
        zone = time_zone(organisation.zone or "")
        if zone is None:
            warnings.append("The organisation's time zone in Xero is not known; its days are taken as UTC.")
        if organisation.demo:
            warnings.append("This is Xero's demo company: Xero resets it, and then the connection is lost.")
        locks = [
            parse_optional_date("PeriodLockDate", organisation.period_lock),
            parse_optional_date("EndOfYearLockDate", organisation.year_lock),
        ]
        company = Company(
            organisation.name,
            organisation.currency,
            organisation.country or "",
            zone or "UTC",
            max((lock for lock in locks if lock), default=None),
            own_reminders,
            holiday_region(organisation.country or "", _region(organisation.addresses or [])),
        )
        return CompanyDetails(company, organisation.subscription or "", tuple(warnings))

    def _read_reminder_settings(self) -> tuple[bool, list[str]]:
        try:
            found = self._read(reply_schemas.ReminderSettings, "get_invoice_reminders").settings
        except (AuthorizationExpired, PermanentError):  # the organisation was just read: only a scope can be missing
            return False, [_REMINDERS_UNKNOWN]
        return any(setting.enabled for setting in found), []

    def list_changes(self, cursor: str | None, now: datetime) -> Iterator[ChangePage]:
        """Yield what changed since ``cursor``, page by page."""
        for page in pull(self._client, cursor, now):
            self._money_accounts = Cursor.parse(page.cursor).money_accounts
            yield page

    def reload_documents(self, invoice_ids: Sequence[str], customer_ids: Sequence[str], now: datetime) -> ChangePage:
        """Read these invoices, these customers and their open credits again; for several customers all open credits."""
        page = ChangePage(cursor="", is_last=True)
        for start in range(0, len(invoice_ids), _IDS_PER_CALL):
            ids = list(invoice_ids[start : start + _IDS_PER_CALL])
            read_into(page, self._client, Stream.INVOICES, "get_invoices", i_ds=ids, page=1, page_size=_IDS_PER_CALL)
        received = {one.external_id for one in page.invoices} | {one.external_id for one in page.malformed}
        page.deleted += [DeletedRecord(RecordKind.INVOICE, one, None) for one in invoice_ids if one not in received]
        if customer_ids:
            for stream in _CREDITS:
                self._reload_credits(page, stream, customer_ids)
            self._reload_contacts(page, customer_ids)
        self._reload_write_offs(page, now)
        return page

    def list_open_documents(self, now: datetime) -> Iterator[ChangePage]:
        """Yield all approved invoices, all credits that are not fully applied, and all contacts."""
        approved = {"where": 'Type=="ACCREC" AND Status=="AUTHORISED"', "order": "InvoiceID"}
        yield from self._list_pages(Stream.INVOICES, "get_invoices", **approved)
        for stream, (operation, order) in _CREDITS.items():
            yield from self._list_pages(stream, operation, where='Status=="AUTHORISED"', order=order)
        yield from self._list_pages(Stream.CONTACTS, "get_contacts", order="ContactID", include_archived="true")

    def _list_pages(self, stream: Stream, operation: str, **query: str) -> Iterator[ChangePage]:
        number = 0
        while True:
            number += 1
            page = ChangePage(cursor="")
            found = read_into(page, self._client, stream, operation, page=number, page_size=PAGE_SIZE, **query)
            yield page
            if not has_more(found, number):
                return

    def _reload_contacts(self, page: ChangePage, customer_ids: Sequence[str]) -> None:
        """Read contacts again: email goes to the address as it is now."""
        for start in range(0, len(customer_ids), _IDS_PER_CALL):
            ids = list(customer_ids[start : start + _IDS_PER_CALL])
            query = {"i_ds": ids, "include_archived": "true", "page": 1, "page_size": _IDS_PER_CALL}
            read_into(page, self._client, Stream.CONTACTS, "get_contacts", **query)

    def _reload_write_offs(self, page: ChangePage, now: datetime) -> None:
        """Read which of the latest payments of these invoices are write-offs: an invoice does not name the account."""
        paid = {payment.external_id for payment in page.payments}
        number = 0
        while paid:
            number += 1
            reply = read_stream(self._client, Stream.PAYMENTS, number, ChangePage(cursor=""), now - _BEFORE_SENDING)
            found, self._money_accounts = find_write_offs(self._client, reply.body, self._money_accounts)
            page.write_offs += sorted(paid.intersection(found))
            if not has_more(reply.summary, number):
                return

    def _reload_credits(self, page: ChangePage, stream: Stream, customer_ids: Sequence[str]) -> None:
        # Xero's optimised filters cannot select several contacts in one call
        several = len(set(customer_ids)) > 1
        where = 'Status=="AUTHORISED"' if several else f'Contact.ContactID==Guid("{customer_ids[0]}")'
        operation, order = _CREDITS[stream]
        number = 0
        while True:
            number += 1
            found = read_into(
                page, self._client, stream, operation, where=where, order=order, page=number, page_size=PAGE_SIZE
            )
            if not has_more(found, number):
                return

    def add_note(self, invoice_id: str, text: str, key: str) -> DocumentRef:
        """Write a note into the invoice's history."""
        if len(text) > NOTE_LENGTH_MAX:
            message = f"a note in Xero holds {NOTE_LENGTH_MAX} characters, this one has {len(text)}; nothing was sent"
            raise PermanentError(message, code="length")
        body = {"HistoryRecords": [{"Details": text}]}
        self._client.write("create_invoice_history", invoice_id, body, idempotency_key=_idempotency_key(key))
        return DocumentRef(f"{invoice_id}/history")

    def find_note(self, invoice_id: str, short_key: str) -> DocumentRef | None:
        """Find a note by the short key that its text holds."""
        history = self._read(reply_schemas.History, "get_invoice_history", invoice_id)
        found = any(short_key in (record.details or "") for record in history.records)
        return DocumentRef(f"{invoice_id}/history") if found else None

    def post_late_fee(self, fee: LateFeeInvoice, key: str) -> DocumentRef:
        """Create the fee invoice. Where Xero rejects it because its number exists, return the existing one."""
        body = {"Invoices": [self._build_fee_invoice(fee)]}
        try:
            return self._write_invoice("create_invoices", body, idempotency_key=_idempotency_key(key))
        except PermanentError:
            posted = self.find_invoice(fee.number)
            if posted is None:
                raise
            return posted

    def _build_fee_invoice(self, fee: LateFeeInvoice) -> dict[str, Any]:
        original, posting = self._get_invoice(fee.original_invoice_id), fee.posting
        if self._fee_account is None:
            self._fee_account = choose_fee_account(self._list_accounts())
        untaxed = posting.tax in {"", self._fee_account.tax_type}
        coding = {
            "AccountCode": posting.account or self._fee_account.code,
            "TaxType": posting.tax or self._fee_account.tax_type,
        }
        lines = [
            {"Description": text, "Quantity": 1, "UnitAmount": amount, **coding} for text, amount in fee.invoice_lines
        ]
        theme_id = posting.theme or original.branding_theme
        theme = {"BrandingThemeID": theme_id} if theme_id else {}
        return {
            "Type": "ACCREC",
            "Status": "AUTHORISED",
            "InvoiceNumber": fee.number,
            "Reference": fee.original_number,
            "Contact": {"ContactID": fee.customer_id},
            "CurrencyCode": fee.currency,
            "Date": fee.dated_on.isoformat(),
            "DueDate": fee.due_on.isoformat(),
            "LineAmountTypes": "NoTax" if untaxed else "Inclusive",  # either way the total is the fee, to the cent
            "LineItems": lines,
            **theme,
        }

    def _list_accounts(self) -> list[reply_schemas.Account]:
        return self._read(reply_schemas.Accounts, "get_accounts", where='Status=="ACTIVE"').accounts

    def list_fee_posting_options(self) -> list[FeePostingOption]:
        """List the accounts, tax rates and branding themes a fee can have."""
        rates = self._read(reply_schemas.TaxRates, "get_tax_rates").rates
        return list_fee_posting_options(
            self._list_accounts(), rates, self._read(reply_schemas.BrandingThemes, "get_branding_themes").themes
        )

    def find_invoice(self, number: str) -> DocumentRef | None:
        """Find a sales invoice by its number, unless it is void."""
        for invoice in self._read(
            reply_schemas.FullInvoices, "get_invoices", invoice_numbers=[number], page=1
        ).invoices:
            if invoice.number == number and invoice.type == "ACCREC" and invoice.status in waivers.LIVE_STATUSES:
                return DocumentRef(invoice.id, invoice.number)
        return None

    def waive_late_fee(
        self, invoice_id: str, key: str, *, reason: str = "", on: date | None = None, part: WaivedPart | None = None
    ) -> DocumentRef:
        """Void the fee invoice, or credit it where it cannot be voided, or only a part of it is waived."""
        return waivers.waive(self._client, invoice_id, _idempotency_key(key), reason, on, part)

    def get_payment_link(self, invoice_id: str) -> str | None:
        """Return the URL of Xero's online invoice with its payment buttons; drafts have none."""
        try:
            found = self._read(reply_schemas.OnlineInvoices, "get_online_invoice", invoice_id).invoices
        except PermanentError:
            return None
        url = found[0].url if found else None
        return url if url and urlsplit(url).scheme in {"https", "http"} else None

    def get_invoice_pdf(self, invoice_id: str) -> bytes | None:
        """Return the invoice as Xero prints it."""
        try:
            pdf = self._client.read_file("get_invoice_as_pdf", invoice_id)
        except PermanentError:
            return None
        if not pdf.startswith(b"%PDF"):
            message = "Xero did not reply with a PDF of the invoice"
            raise TransientError(message)
        return pdf

    def _get_invoice(self, invoice_id: str) -> reply_schemas.FullInvoice:
        found = self._read(reply_schemas.FullInvoices, "get_invoice", invoice_id).invoices
        if not found:
            raise self._client.unexpected_reply_error(CallKind.READ)
        return found[0]

    def _read(self, schema: type[Schema], operation: str, *args: Any, **params: Any) -> Schema:
        return self._decode(schema, self._client.read(operation, *args, **params), CallKind.READ)

    def _write_invoice(self, operation: str, *args: Any, **params: Any) -> DocumentRef:
        reply = self._decode(reply_schemas.FullInvoices, self._client.write(operation, *args, **params), CallKind.WRITE)
        if not reply.invoices:
            raise self._client.unexpected_reply_error(CallKind.WRITE)
        invoice = reply.invoices[0]
        if invoice.has_errors:
            reason = "; ".join(one.text for one in invoice.errors or ()) or "no reason given"
            message = f"Xero rejected the write: {reason[:300]}"
            raise PermanentError(message, code="ValidationException")
        return DocumentRef(invoice.id, invoice.number or "")

    def _decode(self, schema: type[Schema], body: bytes, kind: CallKind) -> Schema:
        return self._client.decode(schema, body, kind)


def _idempotency_key(key: str) -> str:
    """Return the key itself, or its hash where it is longer than Xero accepts."""
    return key if len(key) <= KEY_LENGTH_MAX else hashlib.sha256(key.encode()).hexdigest()


def _region(addresses: Sequence[Address]) -> str:
    """Return the region of an organisation's address; that of its premises comes first."""
    regions = {each.type: each.region for each in addresses if each.region}
    return regions.get("STREET") or next(iter(regions.values()), None) or ""
