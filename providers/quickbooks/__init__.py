"""QuickBooks Online: sign-in, tokens, and one company's books behind the ledger port. Start with README.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from providers.extras import Announced
from providers.ledger import AccessToken, Calls, CompanyRef, Consent, ConsentRequest, JsonObject, Ledger, LedgerProvider


class _QuickBooks:
    """The provider. The SDK and Authlib are imported when they are used: looking around costs nothing."""

    name = "quickbooks"
    title = "QuickBooks Online"

    def missing_settings(self, settings: Any) -> list[str]:
        """The user's own Intuit app has an id and a secret; both are needed."""
        names = ("quickbooks_client_id", "quickbooks_client_secret")
        return [name.upper() for name in names if not getattr(settings, name)]

    def reads_a_month(self, settings: Any) -> int:
        """What Intuit's tier allows the app for all its companies; beyond it the app is shown as offline there."""
        return int(settings.quickbooks_reads_a_month)

    def webhook_setting(self) -> str:
        """The setting with the key of the webhook's signatures."""
        return "QUICKBOOKS_WEBHOOK_TOKEN"

    def read_webhook(self, key: str, headers: Mapping[str, str], body: bytes) -> list[Announced]:
        """Which documents a webhook says have changed."""
        from providers.quickbooks import webhook  # noqa: PLC0415

        return webhook.read(key, headers, body)

    def begin_consent(self, settings: Any, redirect_uri: str) -> ConsentRequest:
        """Where to send the person."""
        from providers.quickbooks import oauth  # noqa: PLC0415

        return oauth.begin(settings, redirect_uri)

    def finish_consent(
        self, settings: Any, redirect_uri: str, redirected_url: str, begun: ConsentRequest, calls: Calls
    ) -> Consent:
        """The token of the one company that the person chose there."""
        from providers.quickbooks import oauth  # noqa: PLC0415

        token, realm_id = oauth.finish(settings, redirect_uri, redirected_url, begun, calls)

        # Reading the company's name also shows, while the person is here, whether keys and environment fit together.
        company = CompanyRef(realm_id, "")
        facts = self.ledger(settings, company, _Fixed(token), calls).facts()
        return Consent(token, realm_id, (company._replace(name=facts.company.name),))

    def refresh(self, settings: Any, token: JsonObject, calls: Calls) -> JsonObject:
        """A fresh token."""
        from providers.quickbooks import oauth  # noqa: PLC0415

        return oauth.refresh(settings, token, calls)

    def revoke(self, settings: Any, token: JsonObject, company: CompanyRef, *, last: bool, calls: Calls) -> None:
        """End the grant: at Intuit it is one company's alone, so ``last`` makes no difference."""
        from providers.quickbooks import oauth  # noqa: PLC0415

        oauth.revoke(settings, token, calls)

    def ledger(self, settings: Any, company: CompanyRef, access_token: AccessToken, calls: Calls) -> Ledger:
        """The client of one company."""
        from providers.quickbooks.client import Client  # noqa: PLC0415
        from providers.quickbooks.ledger import QuickBooksLedger  # noqa: PLC0415

        return QuickBooksLedger(Client(settings.quickbooks_api_url, company.external_id, access_token, calls))


class _Fixed:
    """The token just given, for the one call of the consent."""

    def __init__(self, token: JsonObject) -> None:
        self._token = str(token["access_token"])

    def __call__(self, *, rejected: str | None = None) -> str:
        return self._token


PROVIDER: LedgerProvider = _QuickBooks()
