"""Xero behind the ledger port: sign-in is in ``oauth.py``, the books in ``ledger.py``, the quirks in README.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from providers.capabilities import ChangeNotification
    from providers.ledger import (
        AccessToken,
        CallObserver,
        CompanyRef,
        Consent,
        ConsentRequest,
        JsonObject,
        Ledger,
        LedgerProvider,
    )


class Xero:
    """The provider. Its parts are imported when they are used: the SDK alone takes half a second."""

    name = "xero"
    title = "Xero"

    def missing_settings(self, settings: Any) -> list[str]:
        """The client id is all that must be given: without a secret, PKCE alone is used."""
        return [] if settings.xero_client_id else ["XERO_CLIENT_ID"]

    def webhook_key_setting(self) -> str:
        """The setting with the key of the webhook's signatures."""
        return "XERO_WEBHOOK_KEY"

    def parse_webhook(self, key: str, headers: Mapping[str, str], body: bytes) -> list[ChangeNotification]:
        """Which documents a webhook says have changed."""
        from providers.xero import webhook  # noqa: PLC0415

        return webhook.parse_notifications(key, headers, body)

    def begin_consent(self, settings: Any, redirect_uri: str) -> ConsentRequest:
        """Make the consent URL with state and PKCE."""
        from providers.xero import oauth  # noqa: PLC0415

        return oauth.begin_consent(settings, redirect_uri)

    def finish_consent(
        self,
        settings: Any,
        redirect_uri: str,
        redirected_url: str,
        consent_request: ConsentRequest,
        calls: CallObserver,
    ) -> Consent:
        """Exchange the code and list the organisations of this consent."""
        from providers.xero import oauth  # noqa: PLC0415

        return oauth.finish_consent(settings, redirect_uri, redirected_url, consent_request, calls)

    def refresh(self, settings: Any, token: JsonObject, calls: CallObserver) -> JsonObject:
        """Return a fresh pair of tokens."""
        from providers.xero import oauth  # noqa: PLC0415

        return oauth.refresh(settings, token, calls)

    def revoke(
        self, settings: Any, token: JsonObject, company: CompanyRef, *, whole_grant: bool, calls: CallObserver
    ) -> None:
        """Disconnect one organisation, or everything the grant opened."""
        from providers.xero import oauth  # noqa: PLC0415

        oauth.revoke(settings, token, company, calls, whole_grant=whole_grant)

    def open_ledger(self, settings: Any, company: CompanyRef, access_token: AccessToken, calls: CallObserver) -> Ledger:
        """Open one organisation's books."""
        from providers.xero.client import Client  # noqa: PLC0415
        from providers.xero.ledger import XeroLedger  # noqa: PLC0415

        return XeroLedger(Client(settings.xero_api_url, company.external_id, access_token, calls))


PROVIDER: Final[LedgerProvider] = Xero()
