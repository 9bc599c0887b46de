"""Xero behind the ledger port: ``oauth.py`` signs in, ``ledger.py`` reads and writes, README.md lists the quirks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from providers.capabilities import CallLimit
from providers.import_lock import IMPORT_LOCK

if TYPE_CHECKING:
    from providers.calls import CallObserver
    from providers.capabilities import ChangeNotification
    from providers.ledger import CompanyRef, Consent, Ledger, LedgerProvider
    from providers.sign_in import AccessToken, ConsentRequest, JsonObject
    from providers.xero.oauth import XeroSettings

_MINUTE: Final = timedelta(minutes=1)
# developer.xero.com/documentation/guides/oauth2/limits; the connector never makes more than five calls at once
CALL_LIMITS: Final = (CallLimit(60, _MINUTE), CallLimit(10_000, _MINUTE, of_app=True))


class Xero:
    """The provider. Its modules are imported when they are used: the SDK alone takes half a second."""

    name = "xero"
    title = "Xero"
    bank_page_url = "https://go.xero.com/Bank/BankAccounts.aspx"

    def missing_settings(self, settings: XeroSettings) -> list[str]:
        """Return the client id's setting if it is missing; without a secret, PKCE alone is used."""
        return [] if settings.xero_client_id else ["XERO_CLIENT_ID"]

    def call_limits(self) -> tuple[CallLimit, ...]:
        """Return Xero's limits by the minute; what is left of the day, each reply tells."""
        return CALL_LIMITS

    def webhook_key_setting(self) -> str:
        """Return the setting that holds the signing key of the webhook."""
        return "XERO_WEBHOOK_KEY"

    def parse_webhook(self, key: str, headers: Mapping[str, str], body: bytes) -> list[ChangeNotification]:
        """Return the documents that a webhook reports as changed."""
        with IMPORT_LOCK:
            from providers.xero import webhook  # noqa: PLC0415

        return webhook.parse_notifications(key, headers, body)

    def begin_consent(self, settings: XeroSettings, redirect_uri: str) -> ConsentRequest:
        """Build the consent URL with state and PKCE."""
        with IMPORT_LOCK:
            from providers.xero import oauth  # noqa: PLC0415

        return oauth.begin_consent(settings, redirect_uri)

    def finish_consent(
        self,
        settings: XeroSettings,
        redirect_uri: str,
        redirected_url: str,
        consent_request: ConsentRequest,
        calls: CallObserver,
    ) -> Consent:
        """Exchange the code and list the organisations that this consent covers."""
        with IMPORT_LOCK:
            from providers.xero import oauth  # noqa: PLC0415

        return oauth.finish_consent(settings, redirect_uri, redirected_url, consent_request, calls)

    def refresh(self, settings: XeroSettings, token: JsonObject, calls: CallObserver) -> JsonObject:
        """Return a new pair of tokens."""
        with IMPORT_LOCK:
            from providers.xero import oauth  # noqa: PLC0415

        return oauth.refresh(settings, token, calls)

    def revoke(
        self, settings: XeroSettings, token: JsonObject, company: CompanyRef, *, whole_grant: bool, calls: CallObserver
    ) -> None:
        """Disconnect one organisation, or every organisation of the grant."""
        with IMPORT_LOCK:
            from providers.xero import oauth  # noqa: PLC0415

        oauth.revoke(settings, token, company, calls, whole_grant=whole_grant)

    def open_ledger(
        self, settings: XeroSettings, company: CompanyRef, access_token: AccessToken, calls: CallObserver
    ) -> Ledger:
        """Build the client of one organisation."""
        with IMPORT_LOCK:
            from providers.xero.client import Client  # noqa: PLC0415
            from providers.xero.ledger import XeroLedger  # noqa: PLC0415

        return XeroLedger(Client(settings.xero_api_url, company.external_id, access_token, calls))


PROVIDER: Final[LedgerProvider[XeroSettings]] = Xero()
