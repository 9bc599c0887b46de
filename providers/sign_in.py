"""The sign-in that ledgers and mailboxes have in common: OAuth consent, its redirect, and tokens."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar
from urllib.parse import parse_qs, urlsplit

from providers.calls import CallObserver
from providers.errors import PermanentError

Settings_contra = TypeVar("Settings_contra", contravariant=True)
Consent_co = TypeVar("Consent_co", covariant=True)
GRANT_LIFETIME = "grant_lifetime_s"  # in a token: the seconds until only a new consent helps, if the provider tells
JsonObject = dict[str, Any]  # a JSON object, as the service or the database has it


@dataclass(frozen=True, slots=True)
class ConsentRequest:
    """The consent URL, and what to keep (encrypted) until the user is redirected back."""

    url: str
    state: str
    code_verifier: str = ""


class SignIn(Protocol[Settings_contra, Consent_co]):
    """How a user grants access to an account, from the settings that a provider names."""

    name: str
    title: str

    def missing_settings(self, settings: Settings_contra) -> list[str]:
        """Return the names of the settings that are still needed before anything can be connected."""
        ...

    def begin_consent(self, settings: Settings_contra, redirect_uri: str) -> ConsentRequest:
        """Build the consent URL with its state (and PKCE where the provider supports it)."""
        ...

    def finish_consent(
        self,
        settings: Settings_contra,
        redirect_uri: str,
        redirected_url: str,
        consent_request: ConsentRequest,
        calls: CallObserver,
    ) -> Consent_co:
        """Exchange the code of the redirect for a token, and read what it gives access to.

        Raises ``PermanentError`` if it was denied, or does not cover all that is needed.
        """
        ...

    def refresh(self, settings: Settings_contra, token: JsonObject, calls: CallObserver) -> JsonObject:
        """Return a new token with its refresh token. Raises ``AuthorizationExpired`` when the grant is dead."""
        ...


class AccessToken(Protocol):
    """Returns the current access token; the connector refreshes it under a lock when it is about to expire."""

    def __call__(self, *, rejected_token: str | None = None) -> str:
        """Return a token that is valid for the next minute; ``rejected_token`` is one that was just answered 401."""
        ...


def check_redirect(redirected_url: str, state: str, service: str, issuer: str = "") -> None:
    """Raise ``PermanentError`` unless the redirect belongs to the sign-in of ``state`` and holds a code.

    Args:
        redirected_url: The whole URL that the browser was sent to.
        state: What the consent URL was made with.
        service: The name of the service, for the message.
        issuer: Who must be named, if anybody is (RFC 9207); "" accepts any.
    """
    query = {name: values[0] for name, values in parse_qs(urlsplit(redirected_url).query).items()}
    if not hmac.compare_digest(query.get("state", "").encode(), state.encode()):
        message = "This redirect does not belong to the sign-in that was started here; connect again"
        raise PermanentError(message, code="state")
    if issuer and query.get("iss", issuer).rstrip("/") != issuer:
        message = f"This redirect does not come from {service}; connect again"
        raise PermanentError(message, code="iss")
    if "error" in query:
        code = clean_code(query["error"])
        cause = "access was denied" if code == "access_denied" else f"{service} replied {code}"
        message = f"The sign-in failed: {cause}"
        raise PermanentError(message, code=code)
    if "code" not in query:
        message = f"The URL that {service} redirected you to holds no code; copy the complete URL"
        raise PermanentError(message, code="code")


def clean_code(text: str) -> str:
    """Return an error code that a service or a URL names, with nothing that a page or a log could take for more."""
    return "".join(letter for letter in text[:60] if letter.isalnum() or letter in "_-. ")
