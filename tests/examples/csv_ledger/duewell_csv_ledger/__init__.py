"""A ledger kept in CSV files behind the ledger port: an example of a provider outside duewell's source tree."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

from providers.calls import CallObserver
from providers.errors import PermanentError
from providers.ledger import CompanyRef, Consent, LedgerProvider
from providers.sign_in import AccessToken, ConsentRequest, JsonObject

from .ledger import CsvLedger

_SETTING = "CSV_LEDGER_FOLDER"
_NEVER = 4_102_444_800  # 2100: there is no token that could expire


class CsvProvider:
    """The provider. There is no sign-in: whoever may read the folder may connect it."""

    name = "csv"
    title = "CSV files"

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        """Read the provider's own setting from the environment: duewell's settings do not have it."""
        self._environment = environment

    def missing_settings(self, settings: object) -> list[str]:
        """Return the folder's setting unless it names a folder with invoices."""
        return [] if Path(self._environment.get(_SETTING, "")).joinpath("invoices.csv").is_file() else [_SETTING]

    def begin_consent(self, settings: object, redirect_uri: str) -> ConsentRequest:
        """Redirect back at once: the folder itself is the consent."""
        state = os.urandom(16).hex()
        return ConsentRequest(f"{redirect_uri}?{urlencode({'state': state})}", state)

    def finish_consent(
        self,
        settings: object,
        redirect_uri: str,
        redirected_url: str,
        consent_request: ConsentRequest,
        calls: CallObserver,
    ) -> Consent:
        """Return the folder as the only company."""
        if parse_qs(urlsplit(redirected_url).query).get("state") != [consent_request.state]:
            raise PermanentError("this redirect does not belong to the consent that was started", code="state")
        name = self._folder().name  # not its whole path: a company's id is part of the keys of emails
        return Consent({"access_token": "none", "expires_at": _NEVER}, name, (CompanyRef(name, name),))

    def refresh(self, settings: object, token: JsonObject, calls: CallObserver) -> JsonObject:
        """Return the same token: it does not expire."""
        return token

    def revoke(
        self, settings: object, token: JsonObject, company: CompanyRef, *, whole_grant: bool, calls: CallObserver
    ) -> None:
        """Do nothing: there is no grant to revoke."""

    def open_ledger(
        self, settings: object, company: CompanyRef, access_token: AccessToken, calls: CallObserver
    ) -> CsvLedger:
        """Build the ledger of the folder."""
        return CsvLedger(self._folder())

    def _folder(self) -> Path:
        return Path(self._environment[_SETTING]).resolve()


PROVIDER: LedgerProvider[object] = CsvProvider()
