"""Gmail behind the mailbox port. Start with README.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from providers.import_lock import IMPORT_LOCK

if TYPE_CHECKING:
    from providers.calls import CallObserver
    from providers.mailbox import Mailbox, MailboxConsent
    from providers.sign_in import AccessToken, ConsentRequest, JsonObject


class GmailSettings(Protocol):
    """The settings that are read here."""

    gmail_client_id: str
    gmail_client_secret: str
    gmail_login_url: str
    gmail_identity_url: str
    gmail_api_url: str


class GmailProvider:
    """Sign-in at Google, and Gmail mailboxes; its libraries load when they are used."""

    name: Final = "gmail"
    title: Final = "Gmail"

    def missing_settings(self, settings: GmailSettings) -> list[str]:
        """Return the names of the settings that are needed before a mailbox can be connected."""
        needed = {
            "GMAIL_CLIENT_ID": settings.gmail_client_id,
            "GMAIL_CLIENT_SECRET": settings.gmail_client_secret,
        }
        return [name for name, value in needed.items() if not value]

    def begin_consent(self, settings: GmailSettings, redirect_uri: str) -> ConsentRequest:
        """Build the consent URL with its state and PKCE."""
        with IMPORT_LOCK:
            from providers.gmail import oauth  # noqa: PLC0415

        return oauth.begin_consent(settings, redirect_uri)

    def finish_consent(
        self,
        settings: GmailSettings,
        redirect_uri: str,
        redirected_url: str,
        consent_request: ConsentRequest,
        calls: CallObserver,
    ) -> MailboxConsent:
        """Exchange the code of the redirect for a token, and read the mailbox's address."""
        with IMPORT_LOCK:
            from providers.gmail import oauth  # noqa: PLC0415

        return oauth.finish_consent(settings, redirect_uri, redirected_url, consent_request, calls)

    def refresh(self, settings: GmailSettings, token: JsonObject, calls: CallObserver) -> JsonObject:
        """Return a new token with its refresh token. Raises ``AuthorizationExpired`` when the grant is dead."""
        with IMPORT_LOCK:
            from providers.gmail import oauth  # noqa: PLC0415

        return oauth.refresh(settings, token, calls)

    def revoke(self, settings: GmailSettings, token: JsonObject, calls: CallObserver) -> str:
        """End the access at Google."""
        with IMPORT_LOCK:
            from providers.gmail import oauth  # noqa: PLC0415

        oauth.revoke(settings, token, calls)
        return ""

    def is_same_account(
        self, settings: GmailSettings, token: JsonObject, consent: MailboxConsent, calls: CallObserver
    ) -> bool:
        """Ask whose token it is: Google's subject here is the address, which may have been renamed."""
        with IMPORT_LOCK:
            from providers.gmail import oauth  # noqa: PLC0415

        return oauth.read_address(settings, token, calls).lower() == consent.subject

    def open_mailbox(
        self, settings: GmailSettings, address: str, access_token: AccessToken, calls: CallObserver
    ) -> Mailbox:
        """Build the client of one mailbox; nothing is called yet."""
        with IMPORT_LOCK:
            from providers.gmail.client import Client  # noqa: PLC0415
            from providers.gmail.mailbox import GmailMailbox  # noqa: PLC0415

        return GmailMailbox(Client(settings.gmail_api_url, access_token, calls), address)


MAILBOX: Final = GmailProvider()
