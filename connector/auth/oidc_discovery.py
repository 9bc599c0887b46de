"""What a single sign-on service publishes about itself: its endpoints and its keys.

The issuer in the settings is trusted, and what it publishes stays with it: endpoints are at the issuer's own origin, or
at https hosts that were named as well. A document that was tampered with on the way, or an open redirect there, cannot
move the browser, the code or the client secret elsewhere.
"""

from __future__ import annotations

import binascii
import json
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import requests
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from connector.app_context import UncountedCalls
from connector.auth.sign_in import SignInError
from connector.settings import Settings
from providers.calls import CallKind
from providers.errors import ProviderError
from providers.http import Service, TransportLimits, hosts_of, install_transport, require_json

SERVICE_NAME = "The single sign-on service"
LIMITS = TransportLimits(call_timeout_s=20, attempts_max=1)
_DEFAULT_PORTS = {"https": 443, "http": 80}
_KEYS_MAX = 100
# Services known to spread over several hosts (their own discovery documents)
_KNOWN_HOSTS = {"accounts.google.com": frozenset({"oauth2.googleapis.com", "www.googleapis.com"})}


class OidcError(SignInError):
    """Single sign-on failed; the message says why."""


class Metadata(NamedTuple):
    """The service's endpoints, checked."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str


class _Origin(NamedTuple):
    scheme: str
    host: str
    port: int


def service_host(settings: Settings) -> str:
    """Return the host name of the single sign-on service, "" where none is set up."""
    return urlsplit(settings.oidc_issuer).hostname or "" if settings.oidc_issuer and settings.oidc_client_id else ""


def discover(settings: Settings) -> Metadata:
    """Return the service's endpoints. Its issuer must be the one in the settings.

    Raises:
        OidcError: the service does not respond as expected, or publishes what it must not.

    """
    if not service_host(settings):
        message = "Single sign-on is not set up."
        raise OidcError(message)
    issuer = settings.oidc_issuer
    found = _fetch_json(settings, f"{issuer}/.well-known/openid-configuration")
    if str(found.get("issuer", "")).rstrip("/") != issuer:
        message = f"{SERVICE_NAME} names another issuer than OIDC_ISSUER."
        raise OidcError(message)
    if not all(isinstance(found.get(name), str) for name in Metadata._fields):
        message = f"{SERVICE_NAME} does not publish its endpoints."
        raise OidcError(message)
    metadata = Metadata(*(found[name] for name in Metadata._fields))
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
        _check_endpoint(settings, name, getattr(metadata, name))
    return metadata


def fetch_keys(settings: Settings, metadata: Metadata) -> KeySet:
    """Return the keys that sign the service's ID tokens. Raises ``OidcError``."""
    keys = _fetch_json(settings, metadata.jwks_uri).get("keys")
    if not isinstance(keys, list) or not 0 < len(keys) <= _KEYS_MAX:
        message = f"{SERVICE_NAME} publishes no keys at {metadata.jwks_uri}."
        raise OidcError(message)
    try:
        return KeySet.import_key_set({"keys": keys})
    except (JoseError, ValueError, TypeError, LookupError, AttributeError, binascii.Error) as problem:
        message = f"{SERVICE_NAME} publishes keys that cannot be read."
        raise OidcError(message) from problem


def _check_endpoint(settings: Settings, name: str, url: str) -> None:
    issuer, endpoint = _origin(settings.oidc_issuer), _origin(url)
    named = {*settings.oidc_host_names(), *_KNOWN_HOSTS.get(issuer.host if issuer else "", ())}
    if endpoint is not None and (endpoint == issuer or endpoint in {_Origin("https", host, 443) for host in named}):
        return
    where = "an address that is no plain https address"
    if endpoint is not None and endpoint.scheme == "https":
        where = f"{endpoint.host[:100]}, another host than OIDC_ISSUER's. If that is right, add it to OIDC_HOSTS"
    message = f"{SERVICE_NAME} ({service_host(settings)}) has its {name} at {where}."
    raise OidcError(message)


def _origin(url: str) -> _Origin | None:
    """Return the origin of a plain address, None for any other."""
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
    except ValueError:
        return None
    is_plain = url.isascii() and url.isprintable() and " " not in url and "\\" not in url and "@" not in parts.netloc
    return _Origin(parts.scheme, parts.hostname, port) if is_plain and parts.hostname and not parts.fragment else None


def _fetch_json(settings: Settings, url: str) -> dict[str, Any]:
    """Fetch a JSON object. Raises ``OidcError``."""
    service = Service(SERVICE_NAME, hosts_of(url))
    try:
        with requests.Session() as session:
            install_transport(session, service, UncountedCalls(), limits=LIMITS)
            found = json.loads(require_json(session.get(url), service, CallKind.TOKEN))
    except (ProviderError, requests.RequestException, ValueError, RecursionError) as problem:
        message = f"{SERVICE_NAME} ({service_host(settings)}) does not respond as expected. Try again later."
        raise OidcError(message) from problem
    if not isinstance(found, dict):
        message = f"{SERVICE_NAME} ({service_host(settings)}) does not respond as expected. Try again later."
        raise OidcError(message)
    return found
