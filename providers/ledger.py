"""The ledger port: what a sync needs of QuickBooks Online, Xero or any other accounting system.

A provider is a folder ``providers/<name>/`` whose ``__init__`` exports ``PROVIDER``, a ``LedgerProvider``.
Records are flat ``NamedTuple``s, because fifty thousand of them are built and stored within seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple, Protocol

from policies.receivables import Company, CreditKind, InvoiceStatus
from providers.calls import CallObserver
from providers.sign_in import AccessToken, JsonObject, Settings_contra, SignIn


class RecordKind(StrEnum):
    """What a record of the ledger is; payments and credits have the values of ``CreditKind``."""

    CUSTOMER = "customer"
    INVOICE = "invoice"
    PAYMENT = "payment"
    CREDIT_NOTE = "credit_note"
    OVERPAYMENT = "overpayment"
    PREPAYMENT = "prepayment"
    APPLICATION = "application"  # of a payment or credit to an invoice
    TERM = "term"  # payment terms, where the ledger keeps them as records
    DEPOSIT = "deposit"  # money that was entered on no payment


class CustomerRecord(NamedTuple):
    """A customer as the ledger has it.

    ``emails`` are comma-separated, the main one first. ``region`` is a state or province. ``groups`` are the ledger's
    own groups or types of customers, one per line. ``phones`` are joined by ``phones.join_phones``; ``contacts`` are
    further persons, one per line: ``Ann Lee <ann@example.com>``.
    ``parent_id`` is set on a sub-customer, whose invoices go to the parent where ``bill_with_parent`` is true.
    ``balance`` is the ledger's own balance of the customer, in ``balance_currency`` ("" where it adds up amounts as
    they are); ``family_balance`` has that of all sub-customers in it. ``balance_is_tracked`` is true where the ledger
    reports a customer as changed when the balance changes; elsewhere a balance is as old as it was read.
    """

    external_id: str
    name: str
    contact_name: str
    emails: str
    country: str
    region: str
    language: str
    active: bool
    merged_into: str | None
    updated_at: datetime
    groups: str = ""
    parent_id: str | None = None
    bill_with_parent: bool = False
    balance: Decimal | None = None
    family_balance: Decimal | None = None
    balance_currency: str = ""
    balance_is_tracked: bool = True
    phones: str = ""
    contacts: str = ""


class InvoiceRecord(NamedTuple):
    """A sales invoice as the ledger has it.

    ``lines`` is compact JSON: a list of ``[description, amount as text, item]``. ``discount_amount`` and
    ``discount_until_on`` come from the payment terms. ``ledger_fee`` marks a late-fee line of the ledger's own.
    ``created_at`` is when it was entered, where the ledger says so, whatever its own dates are.
    ``emails``, ``cc_emails`` and ``bcc_emails``, comma-separated, are to whom this very invoice goes, where it says so.
    """

    external_id: str
    number: str
    customer_id: str
    currency: str
    issued_on: date
    due_on: date | None
    total: Decimal
    due: Decimal
    status: InvoiceStatus
    sent_to_customer: bool
    closed_on: date | None
    promised_on: date | None
    discount_amount: Decimal | None
    discount_until_on: date | None
    reference: str
    ledger_fee: bool
    version: str
    lines: str
    updated_at: datetime
    created_at: datetime | None = None
    emails: str = ""
    cc_emails: str = ""
    bcc_emails: str = ""


class PaymentRecord(NamedTuple):
    """A received payment; ``unapplied`` is the part not linked to an invoice."""

    external_id: str
    customer_id: str
    currency: str
    paid_on: date
    total: Decimal
    unapplied: Decimal
    updated_at: datetime


class CreditRecord(NamedTuple):
    """A credit note, overpayment or prepayment; ``remaining`` is what is not applied yet."""

    external_id: str
    kind: CreditKind
    number: str
    customer_id: str
    currency: str
    dated_on: date
    total: Decimal
    remaining: Decimal
    updated_at: datetime


class ApplicationRecord(NamedTuple):
    """The ``amount`` of a payment or credit (``source_kind``, ``source_id``) that is applied to an invoice.

    Where a payment also links credits to invoices, ``credited`` and ``adjusted`` are the parts of the amount that came
    from credit notes and from journal entries. What is left is money.
    """

    source_kind: CreditKind
    source_id: str
    invoice_id: str
    applied_on: date
    amount: Decimal
    credited: Decimal = Decimal(0)
    adjusted: Decimal = Decimal(0)


class DepositRecord(NamedTuple):
    """Money that somebody entered in the ledger as received, on no payment: a line of a deposit.

    Attributes:
        external_id: That of the whole deposit; ``line`` tells its lines apart.
        customer_id: The customer that the line names, or "": it may as well be nobody's payment.
        payer: That customer's name.
        text: What somebody wrote about it.
    """

    external_id: str
    line: int
    customer_id: str
    payer: str
    text: str
    currency: str
    amount: Decimal
    received_on: date


class DeletedRecord(NamedTuple):
    """A record that no longer exists in the ledger."""

    kind: RecordKind
    external_id: str
    updated_at: datetime | None


class MalformedRecord(NamedTuple):
    """A record that could not be mapped: kept raw, logged and skipped. ``reason`` names the field and its fault.

    ``customer_id`` is whose invoice, payment or credit it is, as far as that can be read.
    """

    kind: RecordKind
    external_id: str
    reason: str
    raw: bytes
    customer_id: str = ""


@dataclass(slots=True)
class ChangePage:
    """One page of changes and the cursor to store with it, in one commit.

    Attributes:
        cursor: The provider's position, as opaque JSON text.
        applications: Replace, in the mirror, every application of ``replaced_invoice_ids`` and of
            ``replaced_sources`` (kind, id): one that was undone in the ledger disappears that way.
        expected_count: How many records this pull will bring, where known.
        full_resync: True on the first page of a pull that reads everything again, because the ledger no longer lists
            what was deleted since the cursor. What this pull does not bring no longer exists.
        write_offs: The ids of payments that brought no money: they were booked to an account of bad debts, say.
        no_write_offs: The ids of payments that did, where the ledger lets a user correct the account of a payment.
        deposits: Replace, in the mirror, every line of ``replaced_deposits`` (by id).
    """

    cursor: str
    customers: list[CustomerRecord] = field(default_factory=list)
    invoices: list[InvoiceRecord] = field(default_factory=list)
    payments: list[PaymentRecord] = field(default_factory=list)
    credits: list[CreditRecord] = field(default_factory=list)
    applications: list[ApplicationRecord] = field(default_factory=list)
    replaced_invoice_ids: list[str] = field(default_factory=list)
    replaced_sources: list[tuple[CreditKind, str]] = field(default_factory=list)
    deleted: list[DeletedRecord] = field(default_factory=list)
    malformed: list[MalformedRecord] = field(default_factory=list)
    expected_count: int | None = None
    is_last: bool = False
    full_resync: bool = False
    write_offs: list[str] = field(default_factory=list)
    no_write_offs: list[str] = field(default_factory=list)
    deposits: list[DepositRecord] = field(default_factory=list)
    replaced_deposits: list[str] = field(default_factory=list)

    def is_empty(self) -> bool:
        """Return whether the page has no record of any kind; its cursor and marks may still count."""
        records = (self.customers, self.invoices, self.payments, self.credits, self.deleted, self.malformed)
        replaced = (self.replaced_invoice_ids, self.replaced_sources, self.replaced_deposits)
        return not any((*records, self.applications, *replaced))

    def brings_only_cursor(self) -> bool:
        """Return whether nothing is to be stored but the cursor."""
        return self.is_empty() and not (self.write_offs or self.no_write_offs or self.full_resync)


class FeePosting(NamedTuple):
    """How late fees are posted, by the ledger's own ids; "" uses the ledger's default."""

    account: str = ""
    tax: str = ""
    theme: str = ""
    item: str = ""


class FeePostingOption(NamedTuple):
    """One possible value of a field of ``FeePosting``; ``reason`` explains the default and is "" for all others."""

    field: str
    id: str
    name: str
    reason: str = ""


class LateFeeInvoice(NamedTuple):
    """A late fee to post as a new invoice.

    ``number`` is derived from the original invoice, at most 21 characters. ``lines`` are the (description, amount) of
    each fee where one invoice charges several; otherwise ``description`` and ``amount`` make its one line.
    """

    number: str
    original_invoice_id: str
    original_number: str
    customer_id: str
    currency: str
    amount: Decimal
    dated_on: date
    due_on: date
    description: str
    lines: tuple[tuple[str, Decimal], ...] = ()
    posting: FeePosting = FeePosting()

    @property
    def invoice_lines(self) -> tuple[tuple[str, Decimal], ...]:
        """The (description, amount) of each line of the invoice."""
        return self.lines or ((self.description, self.amount),)


class WaivedPart(NamedTuple):
    """The part of a late fee that is waived; ``ordinal`` counts the parts of one fee, from 1."""

    amount: Decimal
    ordinal: int


def credit_note_number(fee_number: str, part: WaivedPart | None = None) -> str:
    """Return the number of the credit note that waives this fee: always the same one, at most 21 characters."""
    suffix = f".{part.ordinal}" if part else ""
    return f"CR-{fee_number.removeprefix('LF-')}"[: 21 - len(suffix)] + suffix


class DocumentRef(NamedTuple):
    """A document in the ledger: its id and, for invoices and credit notes, its number."""

    external_id: str
    number: str = ""


class NewNote(NamedTuple):
    """A note to write on an invoice, once per ``key``; the arguments of ``Ledger.add_note``."""

    invoice_id: str
    text: str
    key: str


class CompanyDetails(NamedTuple):
    """What seldom changes about a company: read on the first pull and, once a day old, before anything is sent."""

    company: Company
    subscription: str
    warnings: tuple[str, ...]


class Ledger(Protocol):
    """The ledger of one company. Every method may raise ``providers.errors``; none sleeps for more than a minute."""

    def get_company_details(self) -> CompanyDetails:
        """Read base currency, country, time zone, lock date, and whether the ledger sends reminders of its own."""
        ...

    def list_changes(self, cursor: str | None, now: datetime) -> Iterator[ChangePage]:
        """Yield what changed since ``cursor`` (everything for None), page by page, in a stable order.

        The cursor of a page resumes right after it, also in the middle of a pull. The last page has ``is_last`` and a
        cursor that starts the next pull where this one started, less an overlap. ``now`` is the start of this pull.
        """
        ...

    def reload_documents(self, invoice_ids: Sequence[str], customer_ids: Sequence[str], now: datetime) -> ChangePage:
        """Read these invoices and all unapplied credit of these customers again, right before something is sent.

        Invoices that no longer exist are returned in ``deleted``. The page's cursor is "" and must not be stored.
        """
        ...

    def list_open_documents(self, now: datetime) -> Iterator[ChangePage]:
        """Yield all open invoices, unapplied credits and customers, whatever the cursor.

        Called by the nightly reconciliation, right after ``list_changes``. These pages have the cursor "" and are
        never ``is_last``.
        """
        ...

    def add_note(self, invoice_id: str, text: str, key: str) -> DocumentRef:
        """Write a note of up to 250 characters on an invoice, once per ``key``; the text holds the key's short form."""
        ...

    def find_note(self, invoice_id: str, short_key: str) -> DocumentRef | None:
        """Find the note that holds ``short_key``: asked before an old attempt of unknown outcome is repeated."""
        ...

    def post_late_fee(self, fee: LateFeeInvoice, key: str) -> DocumentRef:
        """Create the fee invoice, once per ``key`` and once per number."""
        ...

    def list_fee_posting_options(self) -> list[FeePostingOption]:
        """List how late fees can be posted, field by field; the default of each field has a ``reason``."""
        ...

    def find_invoice(self, number: str) -> DocumentRef | None:
        """Find an invoice by its number, unless it is void: asked before ``post_late_fee`` is repeated."""
        ...

    def waive_late_fee(
        self, invoice_id: str, key: str, *, reason: str = "", on: date | None = None, part: WaivedPart | None = None
    ) -> DocumentRef:
        """Void the fee invoice, or credit it on the date ``on`` where it has payments or its period is locked.

        Balance and income are then as before, to the cent. ``reason`` names who waived the fee and why. A ``part`` is
        always credited: what is not due on the fee any more becomes credit of the customer.

        Returns:
            The voided invoice or the credit note.
        """
        ...

    def get_payment_link(self, invoice_id: str) -> str | None:
        """Return the page of the ledger where the customer can pay this invoice, None where it has none."""
        ...

    def get_invoice_pdf(self, invoice_id: str) -> bytes | None:
        """Return the invoice as the ledger prints it, None where it does not."""
        ...


class CompanyRef(NamedTuple):
    """A company that a consent covers; ``external_id`` is Xero's tenant id or QuickBooks' realm id."""

    external_id: str
    name: str
    remote_connection_id: str = ""


@dataclass(frozen=True, slots=True)
class Consent:
    """A given consent: the token as issued plus ``expires_at`` (Unix seconds), and the companies it covers."""

    token: JsonObject
    subject: str
    companies: tuple[CompanyRef, ...]


class LedgerProvider(SignIn[Settings_contra, Consent], Protocol[Settings_contra]):
    """What a provider exports as ``PROVIDER``: sign-in, tokens and clients, from the settings that it names."""

    def revoke(
        self,
        settings: Settings_contra,
        token: JsonObject,
        company: CompanyRef,
        *,
        whole_grant: bool,
        calls: CallObserver,
    ) -> None:
        """End the access to ``company``, or revoke the whole grant."""
        ...

    def open_ledger(
        self, settings: Settings_contra, company: CompanyRef, access_token: AccessToken, calls: CallObserver
    ) -> Ledger:
        """Build the client of one company."""
        ...
