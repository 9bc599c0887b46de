"""The ledger port: what the hour needs of QuickBooks Online, Xero or any other accounting system.

A provider is a folder ``providers/<name>/`` whose ``__init__`` exports ``PROVIDER``, a ``LedgerProvider``.
Records are flat ``NamedTuple``s in our words, because fifty thousand of them are made and stored in seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple, Protocol

from policies.receivables import Company

JsonObject = dict[str, Any]  # a JSON object, as the vendor or the database has it


class CustomerRecord(NamedTuple):
    """A customer as the ledger has it; ``emails`` comma-joined, the main one first; ``region`` a state or province.

    ``groups`` are the ledger's own groups or kinds of customers, one a line.
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


class InvoiceRecord(NamedTuple):
    """A sales invoice as the ledger has it.

    ``status`` is an ``InvoiceStatus`` value. ``lines`` is compact JSON: a list of
    ``[description, amount as text, item]``. ``discount_amount``/``discount_until_on`` come from the terms;
    ``ledger_fee`` marks a late-fee line of the ledger's own.
    """

    external_id: str
    number: str
    customer_id: str
    currency: str
    issued_on: date
    due_on: date | None
    total: Decimal
    due: Decimal
    status: str
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
    """A credit note, over- or prepayment; ``kind`` is a ``CreditKind`` value, ``remaining`` what is not yet applied."""

    external_id: str
    kind: str
    number: str
    customer_id: str
    currency: str
    dated_on: date
    total: Decimal
    remaining: Decimal
    updated_at: datetime


class ApplicationRecord(NamedTuple):
    """``amount`` of a source (``source_kind`` "payment" or a ``CreditKind``, ``source_id``) applied to an invoice."""

    source_kind: str
    source_id: str
    invoice_id: str
    applied_on: date
    amount: Decimal


class DeletedRecord(NamedTuple):
    """Something the ledger says is gone: ``kind`` is "customer", "invoice", "payment" or a ``CreditKind`` value."""

    kind: str
    external_id: str
    updated_at: datetime | None


class MalformedRecord(NamedTuple):
    """A record that could not be mapped: kept raw, logged, skipped; ``why`` names the field and what is wrong."""

    kind: str
    external_id: str
    reason: str
    raw: bytes


@dataclass(slots=True)
class ChangePage:
    """One page of changes and the cursor to store with it, in one commit.

    ``applications`` replace, in the mirror, every application of the invoices in ``replaced_invoice_ids`` and of
    the sources (kind, id) in ``replaced_sources``: so one that was undone in the ledger goes away.
    ``afresh`` marks the first page of a pull that brings everything anew, because the ledger no longer tells what was
    deleted since the cursor: what the mirror holds of it, and this pull does not bring, is gone.
    ``cursor`` is opaque JSON text of the provider. ``expected`` is how many records this pull will bring, where known.
    """

    cursor: str
    customers: list[CustomerRecord] = field(default_factory=list)
    invoices: list[InvoiceRecord] = field(default_factory=list)
    payments: list[PaymentRecord] = field(default_factory=list)
    credits: list[CreditRecord] = field(default_factory=list)
    applications: list[ApplicationRecord] = field(default_factory=list)
    replaced_invoice_ids: list[str] = field(default_factory=list)
    replaced_sources: list[tuple[str, str]] = field(default_factory=list)
    deleted: list[DeletedRecord] = field(default_factory=list)
    malformed: list[MalformedRecord] = field(default_factory=list)
    expected_count: int | None = None
    is_last: bool = False
    full_resync: bool = False


class FeePosting(NamedTuple):
    """How a person wants late fees booked, by the ledger's own ids; "" leaves it to the ledger's default."""

    account: str = ""
    tax: str = ""
    theme: str = ""
    item: str = ""


class FeePostingOption(NamedTuple):
    """One way a part of a ``Booking`` can be; ``why`` says why it is taken where nobody chose, "" for all others."""

    field: str
    id: str
    name: str
    reason: str = ""


class LateFeeInvoice(NamedTuple):
    """A late fee to post as a new invoice; ``number`` is deterministic (at most 21), ``of_number`` the original's.

    ``lines`` are (description, amount) of each fee where several make one invoice; else ``description`` and ``amount``.
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
        """Give the lines of the invoice."""
        return self.lines or ((self.description, self.amount),)


def credit_note_number(fee_number: str) -> str:
    """Name the credit of a waived fee after the fee: the same fee, always the same number, and no longer."""
    return f"CR-{fee_number.removeprefix('LF-')}"[:21]


class DocumentRef(NamedTuple):
    """What the ledger answered to a write: its id and, for invoices, the number it has there."""

    external_id: str
    number: str = ""


class CompanyDetails(NamedTuple):
    """Facts of the company that change seldom: read at the first pull and, when a day old, before something leaves."""

    company: Company
    subscription: str
    warnings: tuple[str, ...]


class Ledger(Protocol):
    """One company's books. Every method may raise ``providers.errors``; none sleeps for more than a minute."""

    def get_company_details(self) -> CompanyDetails:
        """Read the organisation: base currency, country, time zone, lock date, whether it mails reminders by itself."""
        ...

    def list_changes(self, cursor: str | None, now: datetime) -> Iterator[ChangePage]:
        """Yield what changed since ``cursor`` (all there is for ``None``), page by page, in an order that stays.

        The cursor of a page resumes right after it, also in the middle of a pull. The last page has ``last=True`` and a
        cursor that starts the next pull at this pull's start less an overlap. ``now`` is the pull's start.
        """
        ...

    def reload_documents(self, invoice_ids: Sequence[str], customer_ids: Sequence[str], now: datetime) -> ChangePage:
        """Re-read these invoices and everything unapplied of these customers, right before something leaves.

        Invoices that are gone come back in ``deleted``. ``cursor`` of the page is "" and must not be stored.
        """
        ...

    def list_open_documents(self, now: datetime) -> Iterator[ChangePage]:
        """Yield everything that is open, whatever a cursor knows of it: invoices, unapplied credits, and customers.

        Asked right after ``changes``, by the nightly comparison. The cursor of these pages is "", none is the last.
        """
        ...

    def add_note(self, invoice_id: str, text: str, key: str) -> DocumentRef:
        """Write a note (<= 250 characters, holding the key's short form) on an invoice, idempotent under ``key``."""
        ...

    def find_note(self, invoice_id: str, short_key: str) -> DocumentRef | None:
        """Find the note whose text holds ``short_key``: the look before a retry whose outcome is old."""
        ...

    def post_late_fee(self, fee: LateFeeInvoice, key: str) -> DocumentRef:
        """Create the fee invoice, idempotent under ``key`` and by its deterministic number."""
        ...

    def list_fee_posting_options(self) -> list[FeePostingOption]:
        """List how late fees can be booked here, part by part; each part's default has a ``why``."""
        ...

    def find_invoice(self, number: str) -> DocumentRef | None:
        """Find a live (not voided) invoice by its number: the look before a retry of ``post_late_fee``."""
        ...

    def waive_late_fee(self, invoice_id: str, key: str, *, reason: str = "", on: date | None = None) -> DocumentRef:
        """Void the fee invoice, or credit it on ``on`` where money is applied to it or its period is closed.

        Balance and income are then as before to the cent; ``reason`` names who waived it and why. What it answers is
        the voided invoice, or the credit.
        """
        ...

    def get_payment_link(self, invoice_id: str) -> str | None:
        """The ledger's own page where the customer can pay this invoice, or None."""
        ...

    def get_invoice_pdf(self, invoice_id: str) -> bytes | None:
        """The invoice as PDF as the ledger renders it, or None where it has none."""
        ...


class CallObserver(Protocol):
    """What the connector wants to know of every outgoing call; given to a provider's client."""

    def before(self, kind: str) -> None:
        """Say that a call of ``kind`` ("read", "write", "token", "email") is about to leave.

        Raises ``RateLimited`` where the budget is used up.
        """
        ...

    def after(self, kind: str, status: int, headers: Mapping[str, str]) -> None:
        """Say what came back: status (0 for none) and headers, which carry what is left of the vendor's limits."""
        ...


class CompanyRef(NamedTuple):
    """One company a consent opened: ``external_id`` is Xero's tenant id or QuickBooks' realm id."""

    external_id: str
    name: str
    remote_connection_id: str = ""


@dataclass(frozen=True, slots=True)
class ConsentRequest:
    """Where to send the person, and what to keep (encrypted) until he comes back."""

    url: str
    state: str
    code_verifier: str = ""


@dataclass(frozen=True, slots=True)
class Consent:
    """What came of a consent: the token as the vendor gave it plus ``expires_at`` (Unix seconds), and the companies."""

    token: JsonObject
    subject: str
    companies: tuple[CompanyRef, ...]


class LedgerProvider(Protocol):
    """What a provider's folder exports as ``PROVIDER``: sign-in, tokens, clients; ``settings``: the installation's."""

    name: str
    title: str

    def missing_settings(self, settings: Any) -> list[str]:
        """Names of the settings that must be given before this provider can be connected."""
        ...

    def begin_consent(self, settings: Any, redirect_uri: str) -> ConsentRequest:
        """Make the consent URL with state (and PKCE where the vendor has it)."""
        ...

    def finish_consent(
        self,
        settings: Any,
        redirect_uri: str,
        redirected_url: str,
        consent_request: ConsentRequest,
        calls: CallObserver,
    ) -> Consent:
        """Exchange the redirect's code for a token, list the companies. Raises ``Rejected`` with words if refused."""
        ...

    def refresh(self, settings: Any, token: JsonObject, calls: CallObserver) -> JsonObject:
        """Return a fresh token (with the new refresh token). Raises ``Reconnect`` when the grant is dead."""
        ...

    def revoke(
        self, settings: Any, token: JsonObject, company: CompanyRef, *, whole_grant: bool, calls: CallObserver
    ) -> None:
        """End the access to ``company``; with ``last`` revoke the whole grant."""
        ...

    def open_ledger(self, settings: Any, company: CompanyRef, access_token: AccessToken, calls: CallObserver) -> Ledger:
        """Make the client of one company."""
        ...


class AccessToken(Protocol):
    """Gives the current access token; the connector refreshes it under a lock when it is about to expire."""

    def __call__(self, *, rejected_token: str | None = None) -> str:
        """Return a token good for the next minute; ``rejected`` is one the vendor just answered 401 to."""
        ...
