"""Sends one POST to an address that a user entered, and to nowhere else: what it may reach is looked at before it does.

The name is resolved once, every address it has is checked, and one of those very addresses is connected to, under the
name's certificate. No redirects, no proxies, a few seconds in all, and of the answer only its status counts.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any, Literal, NamedTuple
from urllib.parse import SplitResult, urlsplit

import urllib3
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.exceptions import HTTPError

from providers.deadline import current_call, enforce_deadlines

AllowedNetworks = Literal["off", "public", "private"]
_TOTAL_TIMEOUT_S, _CONNECT_TIMEOUT_S = 15.0, 5.0
_RESPONSE_BYTES_MAX = 4096
_URL_MAX = 2000
_NAT64 = IPv6Network("64:ff9b::/96")
Resolver = Callable[[str, int], Sequence[str]]


class DisallowedAddressError(Exception):
    """An address that must not be called; ``str()`` says why."""


class PostResult(NamedTuple):
    """What came of it: a status, or None and why there was none."""

    status: int | None
    reason: str


def resolve_host(host: str, port: int) -> list[str]:
    """Ask the system for all addresses of a name."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return [str(each[4][0]).partition("%")[0] for each in found]


def check_url(url: str, allowed_networks: AllowedNetworks) -> SplitResult:
    """Refuse an address by its looks: another scheme, a user, a fragment, or one that can never be reached."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = 0
    if allowed_networks == "off":
        raise DisallowedAddressError("Webhooks are off here: DUEWELL_WEBHOOKS says so.")
    if parts.scheme != "https" and not (parts.scheme == "http" and allowed_networks == "private"):
        raise DisallowedAddressError("The address must begin with https://.")
    if not parts.hostname or port == 0 or parts.username or parts.password or parts.fragment or len(url) > _URL_MAX:
        raise DisallowedAddressError(
            "The address must be like https://example.com/hooks, without a user or a fragment."
        )
    if any(ord(letter) <= ord(" ") or ord(letter) > ord("~") for letter in url):
        raise DisallowedAddressError("The address must be plain ASCII without blanks.")
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
    """Send, and tell the status. Raises ``BadAddressError`` before anything is sent."""
    parts = check_url(url, allowed_networks)
    host, port = str(parts.hostname), parts.port or {"http": 80, "https": 443}[parts.scheme]
    try:
        found = resolve(host, port)
    except (OSError, UnicodeError):
        return PostResult(None, "its name cannot be resolved")
    for address in found:
        _check_address(address, allowed_networks, plain=parts.scheme == "http")
    if not found:
        return PostResult(None, "its name has no address")
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
        return PostResult(answer.status, f"it answered {answer.status}")
    finally:
        pools.clear()


def _check_address(address: str, allowed_networks: AllowedNetworks, *, plain: bool) -> None:
    """Refuse an address inside a network, or of this machine, unless they were allowed."""
    ip = _unwrap_ipv4(ip_address(address))
    if ip.is_link_local or ip.is_unspecified or ip.is_multicast:  # among them clouds' own data about a machine
        raise DisallowedAddressError("It leads to an address that is nobody's to call.")
    if allowed_networks == "public" and not ip.is_global:
        raise DisallowedAddressError("It leads into a private network, which DUEWELL_WEBHOOKS does not allow.")
    if plain and not ip.is_loopback:
        raise DisallowedAddressError("Without https:// only this machine itself is called.")


def _unwrap_ipv4(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Unwrap an IPv4 address that is carried in an IPv6 one."""
    if isinstance(ip, IPv4Address):
        return ip
    if ip in _NAT64:
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None) or ip


def _describe_error(problem: Exception) -> str:
    text = type(problem).__name__
    if "SSL" in text or "CERTIFICATE" in str(problem):
        return "its certificate does not hold"
    return "it did not answer in time" if "Timeout" in text else "the connection failed"
