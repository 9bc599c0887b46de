"""What a provider or its ledger may offer beyond the port: webhooks, known limits, many notes or links in one call.

They offer one by having its methods; nothing else needs to be declared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple, Protocol, runtime_checkable

from providers.errors import ProviderError
from providers.ledger import DocumentRef, NewNote
from providers.sign_in import Settings_contra


class ChangeNotification(NamedTuple):
    """One change that a webhook reports.

    ``id`` stays the same however often the change is reported; ``company_id`` is the ``external_id`` of its company.
    ``external_id`` is the document's or, with ``is_customer``, the customer's: the two may have the same ids.
    ``merged_id`` is set where another customer was merged into this one, and is that customer's.
    """

    id: str
    company_id: str
    external_id: str
    is_customer: bool = False
    merged_id: str = ""


class InvalidWebhookSignature(Exception):
    """A request that is not signed with our webhook key; ``str()`` says what is wrong with it."""


@runtime_checkable
class WebhookProvider(Protocol):
    """A provider that reports changes by webhook."""

    def webhook_key_setting(self) -> str:
        """Return the name of the setting that holds the signing key of the webhook."""
        ...

    def parse_webhook(self, key: str, headers: Mapping[str, str], body: bytes) -> list[ChangeNotification]:
        """Check the signature over the raw bytes and return the reported changes; what is not understood is left out.

        Raises ``InvalidWebhookSignature``. ``headers`` are looked up whatever their case.
        """
        ...


@runtime_checkable
class MeteredProvider(Protocol[Settings_contra]):
    """A provider that counts an app's reads by the month."""

    def monthly_read_limit(self, settings: Settings_contra) -> int:
        """Return how many reads all companies of the app together may make in a month."""
        ...


class CallLimit(NamedTuple):
    """How many calls may start within a time: to one company's ledger or, with ``of_app``, to all of an app's."""

    calls: int
    within: timedelta
    of_app: bool = False


@runtime_checkable
class PacedProvider(Protocol):
    """A provider whose limits are known, so that they need not be found by hitting them."""

    def call_limits(self) -> tuple[CallLimit, ...]:
        """Return the limits of its calls."""
        ...


@runtime_checkable
class BankPageProvider(Protocol):
    """A provider whose accounting system has a page on which money in the bank is applied to invoices."""

    bank_page_url: str


@runtime_checkable
class NotesInBatches(Protocol):
    """A ledger that takes up to ``notes_per_batch`` notes in one call."""

    notes_per_batch: int

    def add_notes(self, notes: Sequence[NewNote]) -> list[DocumentRef | ProviderError]:
        """Write notes, on an invoice each; return how each of them ended, in their order.

        Raises what ``add_note`` does where it concerns the call: ``OutcomeUnknown`` where any of them may be written.
        """
        ...


@runtime_checkable
class PaymentLinksInBulk(Protocol):
    """A ledger that tells the payment pages of many invoices in one call."""

    def get_payment_links(self, invoice_ids: Sequence[str]) -> dict[str, str | None]:
        """Return what ``get_payment_link`` does, for each of these invoices."""
        ...
