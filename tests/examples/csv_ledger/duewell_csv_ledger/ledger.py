"""A folder of CSV files as one company's books."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path

from policies.receivables import Company
from providers.errors import Rejected
from providers.ledger import (
    ApplicationRecord,
    Choice,
    CustomerRecord,
    Deleted,
    InvoiceRecord,
    LateFeeInvoice,
    LedgerFacts,
    Malformed,
    Page,
    PaymentRecord,
    Posted,
)

from . import files
from .files import Row


class CsvLedger:
    """The books of one folder."""

    def __init__(self, folder: Path) -> None:
        """Keep the folder; nothing is read yet."""
        self._folder = folder

    def facts(self) -> LedgerFacts:
        """Say what the files imply: the currency of the first invoice, and days in UTC."""
        first = next(iter(files.read(self._folder, "invoices")), {})
        company = Company(self._folder.name, first.get("currency") or "EUR", "", "UTC", None, own_reminders=False)
        return LedgerFacts(company, "", ())

    def changes(self, cursor: str | None, now: datetime) -> Iterator[Page]:
        """Read all of it as one page: files have no change feed, and are small."""
        page = self._all(now)
        page.cursor, page.last, page.afresh = "read", True, cursor is not None
        yield page

    def open_documents(self, now: datetime) -> Iterator[Page]:
        """Read all of it: whatever is open is among it."""
        yield self._all(now)

    def look(self, invoice_ids: Sequence[str], customer_ids: Sequence[str], now: datetime) -> Page:
        """Read all of it, and keep what was asked for."""
        whole, wanted = self._all(now), set(invoice_ids)
        page = Page(cursor="", last=True)
        page.invoices = [one for one in whole.invoices if one.external_id in wanted]
        page.customers = [one for one in whole.customers if one.external_id in customer_ids]
        page.payments = [one for one in whole.payments if one.customer_id in customer_ids]
        page.applications = [one for one in whole.applications if one.invoice_id in wanted]
        page.applications_of_invoices = sorted(wanted)
        page.malformed = [one for one in whole.malformed if one.external_id in wanted]
        there = {one.external_id for one in page.invoices} | {one.external_id for one in page.malformed}
        page.deleted = [Deleted("invoice", one, None) for one in invoice_ids if one not in there]
        return page

    def add_note(self, invoice_id: str, text: str, key: str) -> Posted:
        """Add a line to the notes, once per key."""
        notes = files.read(self._folder, "notes")
        if not any(row["key"] == key for row in notes):
            files.write(self._folder, "notes", [*notes, {"invoice": invoice_id, "key": key, "text": text}])
        return Posted(f"{invoice_id}/{key}")

    def find_note(self, invoice_id: str, short_key: str) -> Posted | None:
        """Find a note by the short key in its text."""
        for row in files.read(self._folder, "notes"):
            if row["invoice"] == invoice_id and short_key in row["text"]:
                return Posted(f"{invoice_id}/{row['key']}")
        return None

    def post_late_fee(self, fee: LateFeeInvoice, key: str) -> Posted:
        """Add the fee to the invoices, once per number: the number is as good as a key."""
        if self.find_invoice(fee.number) is None:
            total = sum((amount for _text, amount in fee.priced), Decimal(0))
            row = dict(zip(files.COLUMNS["invoices"], (
                fee.number, fee.customer_id, fee.currency, fee.dated_on.isoformat(), fee.due_on.isoformat(),
                str(total), "open", fee.of_number, "; ".join(text for text, _amount in fee.priced),
            ), strict=True))  # fmt: skip
            files.write(self._folder, "invoices", [*files.read(self._folder, "invoices"), row])
        return Posted(fee.number, fee.number)

    def fee_choices(self) -> list[Choice]:
        """There is nothing to choose: a file has no accounts."""
        return []

    def find_invoice(self, number: str) -> Posted | None:
        """Find a live invoice by its number."""
        rows = files.read(self._folder, "invoices")
        return next(
            (Posted(number, number) for row in rows if row["number"] == number and row["status"] != "void"), None
        )

    def waive_late_fee(self, invoice_id: str, key: str, *, reason: str = "", on: date | None = None) -> Posted:
        """Void the fee. There are no credit notes here: one with money on it is for a person."""
        if any(row["invoice"] == invoice_id for row in files.read(self._folder, "payments")):
            raise Rejected("money is on this fee, and these files have no credit notes: take it back by hand")
        rows = files.read(self._folder, "invoices")
        for row in rows:
            if row["number"] == invoice_id:
                row["status"] = "void"
        files.write(self._folder, "invoices", rows)
        return Posted(invoice_id, invoice_id)

    def pay_link(self, invoice_id: str) -> str | None:
        """Files have no page to pay at."""
        return None

    def invoice_pdf(self, invoice_id: str) -> bytes | None:
        """Files have no PDF."""
        return None

    def _all(self, now: datetime) -> Page:
        page = Page(cursor="")
        at = now.astimezone(UTC)
        read: dict[str, Callable[[Row], None]] = {
            "customers": lambda row: page.customers.append(_customer(row, at)),
            "payments": lambda row: _pay(page, row, at),
            "invoices": lambda row: page.invoices.append(_invoice(row, page, at)),
        }
        for name, add in read.items():
            for row in files.read(self._folder, name):
                try:
                    add(row)
                except (ValueError, InvalidOperation) as odd:
                    kind = name.removesuffix("s")
                    page.malformed.append(Malformed(kind, row.get("number") or row["id"], str(odd), repr(row).encode()))
        page.applications_of_invoices = [one.external_id for one in page.invoices]
        return page


def _customer(row: Row, at: datetime) -> CustomerRecord:
    return CustomerRecord(
        row["id"], row["name"], "", row["email"], row["country"], "", "", row["active"] != "no", None, at
    )


def _pay(page: Page, row: Row, at: datetime) -> None:
    amount, on = Decimal(row["amount"]), date.fromisoformat(row["on"])
    unapplied = Decimal(0) if row["invoice"] else amount
    page.payments.append(PaymentRecord(row["id"], row["customer"], row["currency"], on, amount, unapplied, at))
    if row["invoice"]:
        page.applications.append(ApplicationRecord("payment", row["id"], row["invoice"], on, amount))


def _invoice(row: Row, page: Page, at: datetime) -> InvoiceRecord:
    paid = [one for one in page.applications if one.invoice_id == row["number"]]
    total = Decimal(row["total"])
    void = row["status"] == "void"
    due = Decimal(0) if void else total - sum((one.amount for one in paid), Decimal(0))
    return InvoiceRecord(
        external_id=row["number"],
        number=row["number"],
        customer_id=row["customer"],
        currency=row["currency"],
        issued_on=date.fromisoformat(row["issued"]),
        due_on=date.fromisoformat(row["due"]) if row["due"] else None,
        total=total,
        due=due,
        status="voided" if void else "open" if due > 0 else "paid",
        sent_to_customer=True,
        settled_on=max((one.applied_on for one in paid), default=None) if due <= 0 else None,
        promised_on=None,
        discount_amount=None,
        discount_until_on=None,
        reference=row["reference"],
        ledger_fee=row["number"].startswith("LF-"),
        version="",
        lines="[]",
        updated_at=at,
    )
