"""What a ledger's provider may offer beyond the port: webhooks that announce changes, and reads that are metered.

A provider that has such a method has the ability; nothing else says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable


class ChangeNotification(NamedTuple):
    """One change that a webhook tells of. ``id`` is the same however often it is told; ``company_id`` as in the port.

    ``external_id`` is the document's or, with ``of_customer``, the customer's: the two may have the same ids.
    """

    id: str
    company_id: str
    external_id: str
    is_customer: bool = False


class InvalidWebhookSignature(Exception):
    """A request that the vendor has not signed with our key; ``str()`` says what is wrong with it."""


@runtime_checkable
class WebhookProvider(Protocol):
    """A provider whose vendor tells of changes by webhook."""

    def webhook_key_setting(self) -> str:
        """Name the setting that holds the key of the webhook's signatures."""
        ...

    def parse_webhook(self, key: str, headers: Mapping[str, str], body: bytes) -> list[ChangeNotification]:
        """Check the signature over the raw bytes, then read what is announced; what nobody can read is left out.

        Raises ``Unsigned``. ``headers`` are found whatever their case.
        """
        ...


@runtime_checkable
class MeteredProvider(Protocol):
    """A provider whose vendor counts an app's reads by the month."""

    def monthly_read_limit(self, settings: Any) -> int:
        """Give how many reads all companies of the app together may make in a month."""
        ...
