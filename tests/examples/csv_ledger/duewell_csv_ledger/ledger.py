"""A folder of CSV files as the ledger of one company."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path

from policies.receivables import Company, CreditKind, InvoiceStatus
from providers.errors import PermanentError
from providers.ledger import (
    ApplicationRecord,
    ChangePage,
    CompanyDetails,
    CustomerRecord,
    DeletedRecord,
    DocumentRef,
    FeePostingOption,
    InvoiceRecord,
    LateFeeInvoice,
    MalformedRecord,
    PaymentRecord,
    RecordKind,
    WaivedPart,
)

from . import files
from .files import Row


class CsvLedger:
    """The ledger in one folder."""

    def __init__(self, folder: Path) -> None:
        """Store the folder; nothing is read yet."""
        self._folder = folder

    def get_company_details(self) -> CompanyDetails:
        """Return what the files imply: the currency of the first invoice, and UTC."""
        first = next(iter(files.read(self._folder, "invoices")), {})
        company = Company(self._folder.name, first.get("currency") or "EUR", "", "UTC", None, ledger_reminders=False)
        return CompanyDetails(company, "", ())

    def list_changes(self, cursor: str | None, now: datetime) -> Iterator[ChangePage]:
        """Read everything as one page: files have no change feed and are small."""
        page = self._read_all(now)
        page.cursor, page.is_last, page.full_resync = "read", True, cursor is not None
        yield page

    def list_open_documents(self, now: datetime) -> Iterator[ChangePage]:
        """Read everything, open documents included."""
        yield self._read_all(now)

    def reload_documents(self, invoice_ids: Sequence[str], customer_ids: Sequence[str], now: datetime) -> ChangePage:
        """Read everything and keep what was requested."""
        everything, wanted = self._read_all(now), set(invoice_ids)
        page = ChangePage(cursor="", is_last=True)
        page.invoices = [one for one in everything.invoices if one.external_id in wanted]
        page.customers = [one for one in everything.customers if one.external_id in customer_ids]
        page.payments = [one for one in everything.payments if one.customer_id in customer_ids]
        page.applications = [one for one in everything.applications if one.invoice_id in wanted]
        page.replaced_invoice_ids = sorted(wanted)
        page.malformed = [one for one in everything.malformed if one.external_id in wanted]
        received = {one.external_id for one in page.invoices} | {one.external_id for one in page.malformed}
        page.deleted = [DeletedRecord(RecordKind.INVOICE, one, None) for one in invoice_ids if one not in received]
        return page

    def add_note(self, invoice_id: str, text: str, key: str) -> DocumentRef:
        """Add a line to the notes, once per key."""
        notes = files.read(self._folder, "notes")
        if not any(row["key"] == key for row in notes):
            files.write(self._folder, "notes", [*notes, {"invoice": invoice_id, "key": key, "text": text}])
        return DocumentRef(f"{invoice_id}/{key}")

    def find_note(self, invoice_id: str, short_key: str) -> DocumentRef | None:
        """Find a note by the short key that its text holds."""
        for row in files.read(self._folder, "notes"):
            if row["invoice"] == invoice_id and short_key in row["text"]:
                return DocumentRef(f"{invoice_id}/{row['key']}")
        return None

    def post_late_fee(self, fee: LateFeeInvoice, key: str) -> DocumentRef:
        """Add the fee to the invoices, once per number."""
        if self.find_invoice(fee.number) is None:
            total = sum((amount for _text, amount in fee.invoice_lines), Decimal(0))
            row = dict(zip(files.COLUMNS["invoices"], (
                fee.number, fee.customer_id, fee.currency, fee.dated_on.isoformat(), fee.due_on.isoformat(),
                str(total), "open", fee.original_number, "; ".join(text for text, _amount in fee.invoice_lines),
            ), strict=True))  # fmt: skip
            files.write(self._folder, "invoices", [*files.read(self._folder, "invoices"), row])
        return DocumentRef(fee.number, fee.number)

    def list_fee_posting_options(self) -> list[FeePostingOption]:
        """Return nothing to choose from: a file has no accounts."""
        return []

    def find_invoice(self, number: str) -> DocumentRef | None:
        """Find an invoice by its number, unless it is void."""
        rows = files.read(self._folder, "invoices")
        return next(
            (DocumentRef(number, number) for row in rows if row["number"] == number and row["status"] != "void"), None
        )

    def waive_late_fee(
        self, invoice_id: str, key: str, *, reason: str = "", on: date | None = None, part: WaivedPart | None = None
    ) -> DocumentRef:
        """Void the fee. These files have no credit notes, so a part, or one with payments, must be waived manually."""
        if part is not None:
            raise PermanentError("these files have no credit notes: reduce the fee manually")
        if any(row["invoice"] == invoice_id for row in files.read(self._folder, "payments")):
            raise PermanentError("this fee has payments, and these files have no credit notes: waive it manually")
        rows = files.read(self._folder, "invoices")
        for row in rows:
            if row["number"] == invoice_id:
                row["status"] = "void"
        files.write(self._folder, "invoices", rows)
        return DocumentRef(invoice_id, invoice_id)

    def get_payment_link(self, invoice_id: str) -> str | None:
        """Return None: files have no payment page."""
        return None

    def get_invoice_pdf(self, invoice_id: str) -> bytes | None:
        """Return None: files have no PDF."""
        return None

    def _read_all(self, now: datetime) -> ChangePage:
        page = ChangePage(cursor="")
        at = now.astimezone(UTC)
        add_row: dict[RecordKind, Callable[[Row], None]] = {
            RecordKind.CUSTOMER: lambda row: page.customers.append(_map_customer(row, at)),
            RecordKind.PAYMENT: lambda row: _add_payment(page, row, at),
            RecordKind.INVOICE: lambda row: page.invoices.append(_map_invoice(row, page, at)),
        }
        for kind, add in add_row.items():
            for row in files.read(self._folder, f"{kind}s"):
                try:
                    add(row)
                except (ValueError, InvalidOperation) as error:
                    external_id = row.get("number") or row["id"]
                    page.malformed.append(MalformedRecord(kind, external_id, str(error), repr(row).encode()))
        page.replaced_invoice_ids = [one.external_id for one in page.invoices]
        return page


def _map_customer(row: Row, at: datetime) -> CustomerRecord:
    return CustomerRecord(
        row["id"], row["name"], "", row["email"], row["country"], "", "", row["active"] != "no", None, at
    )


def _add_payment(page: ChangePage, row: Row, at: datetime) -> None:
    amount, on = Decimal(row["amount"]), date.fromisoformat(row["on"])
    unapplied = Decimal(0) if row["invoice"] else amount
    page.payments.append(PaymentRecord(row["id"], row["customer"], row["currency"], on, amount, unapplied, at))
    if row["invoice"]:
        page.applications.append(ApplicationRecord(CreditKind.PAYMENT, row["id"], row["invoice"], on, amount))


def _map_invoice(row: Row, page: ChangePage, at: datetime) -> InvoiceRecord:
    paid = [one for one in page.applications if one.invoice_id == row["number"]]
    total = Decimal(row["total"])
    is_void = row["status"] == "void"
    due = Decimal(0) if is_void else total - sum((one.amount for one in paid), Decimal(0))
    return InvoiceRecord(
        external_id=row["number"],
        number=row["number"],
        customer_id=row["customer"],
        currency=row["currency"],
        issued_on=date.fromisoformat(row["issued"]),
        due_on=date.fromisoformat(row["due"]) if row["due"] else None,
        total=total,
        due=due,
        status=InvoiceStatus.VOIDED if is_void else InvoiceStatus.OPEN if due > 0 else InvoiceStatus.PAID,
        sent_to_customer=True,
        closed_on=max((one.applied_on for one in paid), default=None) if due <= 0 else None,
        promised_on=None,
        discount_amount=None,
        discount_until_on=None,
        reference=row["reference"],
        ledger_fee=row["number"].startswith("LF-"),
        version="",
        lines="[]",
        updated_at=at,
    )
