"""POST requests to addresses that users entered, protected against reaching internal networks (SSRF).

The host name is resolved once, all of its addresses are checked, and the connection goes to one of them, under the host
name's certificate. No redirects, no proxies, a limit of seconds, and only the status of the response is used.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import SplitResult, urlsplit

import urllib3
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.exceptions import HTTPError

from connector.webhooks.address_rules import AllowedNetworks, DisallowedAddressError, check_address
from providers.deadline import current_call, enforce_deadlines

_TOTAL_TIMEOUT_S, _CONNECT_TIMEOUT_S = 15.0, 5.0
_RESPONSE_BYTES_MAX = 4096
_URL_MAX = 2000
Resolver = Callable[[str, int], Sequence[str]]


class PostResult(NamedTuple):
    """The status of the response, or None, with the reason."""

    status: int | None
    reason: str


def resolve_host(host: str, port: int) -> list[str]:
    """Resolve a host name to all of its addresses."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return [str(each[4][0]).partition("%")[0] for each in found]


def check_url(url: str, allowed_networks: AllowedNetworks) -> SplitResult:
    """Parse an address, or raise ``DisallowedAddressError`` for a scheme, user or fragment that is not allowed."""
    try:
        parts = urlsplit(url)
    except ValueError:  # brackets without an address in them
        parts = urlsplit("")
    try:
        port = parts.port
    except ValueError:
        port = 0
    if allowed_networks == "off":
        raise DisallowedAddressError("Webhooks are switched off by DUEWELL_WEBHOOKS.")
    if parts.scheme != "https" and not (parts.scheme == "http" and allowed_networks == "private"):
        raise DisallowedAddressError("The address must begin with https://.")
    if not parts.hostname or port == 0 or parts.username or parts.password or parts.fragment or len(url) > _URL_MAX:
        raise DisallowedAddressError(
            "The address must be like https://example.com/hooks, without a user or a fragment."
        )
    if any(ord(letter) <= ord(" ") or ord(letter) > ord("~") for letter in url):
        raise DisallowedAddressError("The address must be ASCII without spaces.")
    return parts


def safe_post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    allowed_networks: AllowedNetworks,
    *,
    resolve: Resolver = resolve_host,
    ca_bundle: str | None = None,
) -> PostResult:
    """Send a POST request and return its result.

    Raises:
        DisallowedAddressError: the address is not allowed; nothing was sent.

    """
    parts = check_url(url, allowed_networks)
    host, port = str(parts.hostname), parts.port or {"http": 80, "https": 443}[parts.scheme]
    try:
        found = resolve(host, port)
    except (OSError, UnicodeError):
        return PostResult(None, "its host name cannot be resolved")
    for address in found:
        check_address(address, allowed_networks, plain=parts.scheme == "http")
    if not found:
        return PostResult(None, "its host name has no address")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    sent = {**headers, "Host": parts.netloc.rpartition("@")[2], "User-Agent": "duewell"}
    try:
        return _send(parts.scheme, found[0], port, host, target, body, sent, ca_bundle or DEFAULT_CA_BUNDLE_PATH)
    except (HTTPError, OSError) as problem:
        return PostResult(None, _describe_error(problem))


def _send(
    scheme: str, address: str, port: int, host: str, target: str, body: bytes, headers: Mapping[str, str], ca: str
) -> PostResult:
    pools = urllib3.PoolManager(num_pools=1, retries=False)
    enforce_deadlines(pools)
    tls: dict[str, Any] = {"cert_reqs": "CERT_REQUIRED", "ca_certs": ca}
    tls |= {"server_hostname": host, "assert_hostname": host}
    current_call.begin(_TOTAL_TIMEOUT_S, _TOTAL_TIMEOUT_S)
    try:
        pool = pools.connection_from_host(address, port, scheme, tls if scheme == "https" else None)
        timeout = urllib3.Timeout(connect=_CONNECT_TIMEOUT_S, read=_TOTAL_TIMEOUT_S)
        answer = pool.urlopen(
            "POST", target, body, headers, retries=False, redirect=False, timeout=timeout, preload_content=False,
            assert_same_host=False,
        )  # fmt: skip
        answer.read(_RESPONSE_BYTES_MAX)
        answer.close()
        return PostResult(answer.status, f"it responded with {answer.status}")
    finally:
        pools.clear()


def _describe_error(problem: Exception) -> str:
    text = type(problem).__name__
    if "SSL" in text or "CERTIFICATE" in str(problem):
        return "its certificate is not valid"
    return "it did not respond in time" if "Timeout" in text else "the connection failed"
