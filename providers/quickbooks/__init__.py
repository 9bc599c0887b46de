"""QuickBooks Online: sign-in, tokens, and one company's books behind the ledger port. Start with README.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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


class _QuickBooks:
    """The provider. The SDK and Authlib are imported when they are used: looking around costs nothing."""

    name = "quickbooks"
    title = "QuickBooks Online"

    def missing_settings(self, settings: Any) -> list[str]:
        """The user's own Intuit app has an id and a secret; both are needed."""
        names = ("quickbooks_client_id", "quickbooks_client_secret")
        return [name.upper() for name in names if not getattr(settings, name)]

    def monthly_read_limit(self, settings: Any) -> int:
        """What Intuit's tier allows the app for all its companies; beyond it the app is shown as offline there."""
        return int(settings.quickbooks_reads_a_month)

    def webhook_key_setting(self) -> str:
        """The setting with the key of the webhook's signatures."""
        return "QUICKBOOKS_WEBHOOK_TOKEN"

    def parse_webhook(self, key: str, headers: Mapping[str, str], body: bytes) -> list[ChangeNotification]:
        """Which documents a webhook says have changed."""
        from providers.quickbooks import webhook  # noqa: PLC0415

        return webhook.parse_notifications(key, headers, body)

    def begin_consent(self, settings: Any, redirect_uri: str) -> ConsentRequest:
        """Where to send the person."""
        from providers.quickbooks import oauth  # noqa: PLC0415

        return oauth.begin_consent(settings, redirect_uri)

    def finish_consent(
        self,
        settings: Any,
        redirect_uri: str,
        redirected_url: str,
        consent_request: ConsentRequest,
        calls: CallObserver,
    ) -> Consent:
        """The token of the one company that the person chose there."""
        from providers.quickbooks import oauth  # noqa: PLC0415

        token, realm_id = oauth.finish_consent(settings, redirect_uri, redirected_url, consent_request, calls)

        # Reading the company's name also shows, while the person is here, whether keys and environment fit together.
        company = CompanyRef(realm_id, "")
        facts = self.open_ledger(settings, company, _FixedToken(token), calls).get_company_details()
        return Consent(token, realm_id, (company._replace(name=facts.company.name),))

    def refresh(self, settings: Any, token: JsonObject, calls: CallObserver) -> JsonObject:
        """A fresh token."""
        from providers.quickbooks import oauth  # noqa: PLC0415

        return oauth.refresh(settings, token, calls)

    def revoke(
        self, settings: Any, token: JsonObject, company: CompanyRef, *, whole_grant: bool, calls: CallObserver
    ) -> None:
        """End the grant: at Intuit it is one company's alone, so ``last`` makes no difference."""
        from providers.quickbooks import oauth  # noqa: PLC0415

        oauth.revoke(settings, token, calls)

    def open_ledger(self, settings: Any, company: CompanyRef, access_token: AccessToken, calls: CallObserver) -> Ledger:
        """The client of one company."""
        from providers.quickbooks.client import Client  # noqa: PLC0415
        from providers.quickbooks.ledger import QuickBooksLedger  # noqa: PLC0415

        return QuickBooksLedger(Client(settings.quickbooks_api_url, company.external_id, access_token, calls))


class _FixedToken:
    """The token just given, for the one call of the consent."""

    def __init__(self, token: JsonObject) -> None:
        self._token = str(token["access_token"])

    def __call__(self, *, rejected_token: str | None = None) -> str:
        return self._token


PROVIDER: LedgerProvider = _QuickBooks()
