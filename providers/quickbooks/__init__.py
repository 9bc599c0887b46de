"""QuickBooks Online behind the ledger port: sign-in, tokens, and the ledger of one company. Start with README.md."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from providers.calls import CallObserver
from providers.capabilities import CallLimit, ChangeNotification
from providers.import_lock import IMPORT_LOCK
from providers.ledger import CompanyRef, Consent, Ledger, LedgerProvider
from providers.sign_in import AccessToken, ConsentRequest, JsonObject

if TYPE_CHECKING:
    from providers.quickbooks.oauth import QuickBooksSettings

# developer.intuit.com/app/developer/qbo/docs/learn/rest-api-features: limits and throttles
CALL_LIMITS: Final = (CallLimit(10, timedelta(seconds=1)), CallLimit(500, timedelta(minutes=1)))


class _QuickBooks:
    """The provider. The SDK and Authlib are imported when they are used, so that listing the providers stays cheap."""

    name = "quickbooks"
    title = "QuickBooks Online"
    bank_page_url = "https://qbo.intuit.com/app/banking"

    def missing_settings(self, settings: QuickBooksSettings) -> list[str]:
        """Return which of the Intuit app's client id and secret are missing; both are needed."""
        names = ("quickbooks_client_id", "quickbooks_client_secret")
        return [name.upper() for name in names if not getattr(settings, name)]

    def monthly_read_limit(self, settings: QuickBooksSettings) -> int:
        """Return what Intuit's tier allows the app for all its companies; beyond it, Intuit takes the app offline."""
        return settings.quickbooks_reads_a_month

    def call_limits(self) -> tuple[CallLimit, ...]:
        """Return Intuit's limits for one company."""
        return CALL_LIMITS

    def webhook_key_setting(self) -> str:
        """Return the setting that holds the signing key of the webhook."""
        return "QUICKBOOKS_WEBHOOK_TOKEN"

    def parse_webhook(self, key: str, headers: Mapping[str, str], body: bytes) -> list[ChangeNotification]:
        """Return the records that a webhook reports as changed."""
        with IMPORT_LOCK:
            from providers.quickbooks import webhook  # noqa: PLC0415

        return webhook.parse_notifications(key, headers, body)

    def begin_consent(self, settings: QuickBooksSettings, redirect_uri: str) -> ConsentRequest:
        """Build the consent URL."""
        with IMPORT_LOCK:
            from providers.quickbooks import oauth  # noqa: PLC0415

        return oauth.begin_consent(settings, redirect_uri)

    def finish_consent(
        self,
        settings: QuickBooksSettings,
        redirect_uri: str,
        redirected_url: str,
        consent_request: ConsentRequest,
        calls: CallObserver,
    ) -> Consent:
        """Exchange the code for the token of the company that the user chose."""
        with IMPORT_LOCK:
            from providers.quickbooks import oauth  # noqa: PLC0415

        token, realm_id = oauth.finish_consent(settings, redirect_uri, redirected_url, consent_request, calls)

        # Reading the company's name also shows at once whether the keys belong to this environment.
        company = CompanyRef(realm_id, "")
        details = self.open_ledger(settings, company, _FixedToken(token), calls).get_company_details()
        return Consent(token, realm_id, (company._replace(name=details.company.name),))

    def refresh(self, settings: QuickBooksSettings, token: JsonObject, calls: CallObserver) -> JsonObject:
        """Return a new token."""
        with IMPORT_LOCK:
            from providers.quickbooks import oauth  # noqa: PLC0415

        return oauth.refresh(settings, token, calls)

    def revoke(
        self,
        settings: QuickBooksSettings,
        token: JsonObject,
        company: CompanyRef,
        *,
        whole_grant: bool,
        calls: CallObserver,
    ) -> None:
        """End the grant: Intuit's covers one company only, so ``whole_grant`` makes no difference."""
        with IMPORT_LOCK:
            from providers.quickbooks import oauth  # noqa: PLC0415

        oauth.revoke(settings, token, calls)

    def open_ledger(
        self, settings: QuickBooksSettings, company: CompanyRef, access_token: AccessToken, calls: CallObserver
    ) -> Ledger:
        """Build the client of one company."""
        with IMPORT_LOCK:
            from providers.quickbooks.client import Client  # noqa: PLC0415
            from providers.quickbooks.ledger import QuickBooksLedger  # noqa: PLC0415

        return QuickBooksLedger(Client(settings.quickbooks_api_url, company.external_id, access_token, calls))


class _FixedToken:
    """The token just issued, for the one call of the consent."""

    def __init__(self, token: JsonObject) -> None:
        self._token = str(token["access_token"])

    def __call__(self, *, rejected_token: str | None = None) -> str:
        return self._token


PROVIDER: LedgerProvider[QuickBooksSettings] = _QuickBooks()
