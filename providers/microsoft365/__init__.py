"""A mailbox at Microsoft 365, through Microsoft Graph: ``oauth.py`` signs in, ``mailbox.py`` sends and reads.

README.md lists the quirks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from providers.import_lock import IMPORT_LOCK

if TYPE_CHECKING:
    from providers.calls import CallObserver
    from providers.mailbox import Mailbox, MailboxConsent, MailboxProvider
    from providers.microsoft365.oauth import Microsoft365Settings
    from providers.sign_in import AccessToken, ConsentRequest, JsonObject


class Microsoft365:
    """The provider. Its modules are imported when they are used."""

    name = "microsoft365"
    title = "Microsoft 365"

    def missing_settings(self, settings: Microsoft365Settings) -> list[str]:
        """Return the client id's setting if it is missing; without a secret, PKCE alone is used."""
        return [] if settings.microsoft365_client_id else ["MICROSOFT365_CLIENT_ID"]

    def begin_consent(self, settings: Microsoft365Settings, redirect_uri: str) -> ConsentRequest:
        """Build the consent URL with state and PKCE."""
        with IMPORT_LOCK:
            from providers.microsoft365 import oauth  # noqa: PLC0415

        return oauth.begin_consent(settings, redirect_uri)

    def finish_consent(
        self,
        settings: Microsoft365Settings,
        redirect_uri: str,
        redirected_url: str,
        consent_request: ConsentRequest,
        calls: CallObserver,
    ) -> MailboxConsent:
        """Exchange the code, and read the mailbox's address."""
        with IMPORT_LOCK:
            from providers.microsoft365 import oauth  # noqa: PLC0415

        return oauth.finish_consent(settings, redirect_uri, redirected_url, consent_request, calls)

    def refresh(self, settings: Microsoft365Settings, token: JsonObject, calls: CallObserver) -> JsonObject:
        """Return a new pair of tokens."""
        with IMPORT_LOCK:
            from providers.microsoft365 import oauth  # noqa: PLC0415

        return oauth.refresh(settings, token, calls)

    def revoke(self, settings: Microsoft365Settings, token: JsonObject, calls: CallObserver) -> str:
        """Return where the owner ends the access: no app can end its own (README.md)."""
        del settings, token, calls
        return "To end the access at Microsoft as well, its owner removes duewell at https://myapps.microsoft.com."

    def is_same_account(
        self, settings: Microsoft365Settings, token: JsonObject, consent: MailboxConsent, calls: CallObserver
    ) -> bool:
        """Return False: the subject here is the account's id, which no new address changes."""
        del settings, token, consent, calls
        return False

    def open_mailbox(
        self, settings: Microsoft365Settings, address: str, access_token: AccessToken, calls: CallObserver
    ) -> Mailbox:
        """Build the client of one mailbox."""
        del address  # the token's own
        with IMPORT_LOCK:
            from providers.microsoft365.mailbox import Microsoft365Mailbox  # noqa: PLC0415

        domain = settings.mail_from.rpartition("@")[2]
        return Microsoft365Mailbox(settings.microsoft365_api_url, domain, access_token, calls)


MAILBOX: Final[MailboxProvider[Microsoft365Settings]] = Microsoft365()
