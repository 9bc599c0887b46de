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

from providers.deadline import call, keep_deadlines

Reach = Literal["off", "public", "private"]
_WHOLE_S_MAX, _CONNECT_S_MAX = 15.0, 5.0
_ANSWER_BYTES_MAX = 4096
_URL_MAX = 2000
_NAT64 = IPv6Network("64:ff9b::/96")
Resolve = Callable[[str, int], Sequence[str]]


class BadAddressError(Exception):
    """An address that must not be called; ``str()`` says why."""


class Answer(NamedTuple):
    """What came of it: a status, or None and why there was none."""

    status: int | None
    why: str


def resolved(host: str, port: int) -> list[str]:
    """Ask the system for all addresses of a name."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return [str(each[4][0]).partition("%")[0] for each in found]


def check(url: str, reach: Reach) -> SplitResult:
    """Refuse an address by its looks: another scheme, a user, a fragment, or one that can never be reached."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = 0
    if reach == "off":
        raise BadAddressError("Webhooks are off here: DUEWELL_WEBHOOKS says so.")
    if parts.scheme != "https" and not (parts.scheme == "http" and reach == "private"):
        raise BadAddressError("The address must begin with https://.")
    if not parts.hostname or port == 0 or parts.username or parts.password or parts.fragment or len(url) > _URL_MAX:
        raise BadAddressError("The address must be like https://example.com/hooks, without a user or a fragment.")
    if any(ord(letter) <= ord(" ") or ord(letter) > ord("~") for letter in url):
        raise BadAddressError("The address must be plain ASCII without blanks.")
    return parts


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    reach: Reach,
    *,
    resolve: Resolve = resolved,
    authorities: str | None = None,
) -> Answer:
    """Send, and tell the status. Raises ``BadAddressError`` before anything is sent."""
    parts = check(url, reach)
    host, port = str(parts.hostname), parts.port or {"http": 80, "https": 443}[parts.scheme]
    try:
        found = resolve(host, port)
    except (OSError, UnicodeError):
        return Answer(None, "its name cannot be resolved")
    for address in found:
        _refuse(address, reach, plain=parts.scheme == "http")
    if not found:
        return Answer(None, "its name has no address")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    sent = {**headers, "Host": parts.netloc.rpartition("@")[2], "User-Agent": "duewell"}
    try:
        return _send(parts.scheme, found[0], port, host, target, body, sent, authorities or DEFAULT_CA_BUNDLE_PATH)
    except (HTTPError, OSError) as problem:
        return Answer(None, _words(problem))


def _send(
    scheme: str, address: str, port: int, host: str, target: str, body: bytes, headers: Mapping[str, str], ca: str
) -> Answer:
    pools = urllib3.PoolManager(num_pools=1, retries=False)
    keep_deadlines(pools)
    tls: dict[str, Any] = {"cert_reqs": "CERT_REQUIRED", "ca_certs": ca}
    tls |= {"server_hostname": host, "assert_hostname": host}
    call.begin(_WHOLE_S_MAX, _WHOLE_S_MAX)
    try:
        pool = pools.connection_from_host(address, port, scheme, tls if scheme == "https" else None)
        timeout = urllib3.Timeout(connect=_CONNECT_S_MAX, read=_WHOLE_S_MAX)
        answer = pool.urlopen(
            "POST", target, body, headers, retries=False, redirect=False, timeout=timeout, preload_content=False,
            assert_same_host=False,
        )  # fmt: skip
        answer.read(_ANSWER_BYTES_MAX)
        answer.close()
        return Answer(answer.status, f"it answered {answer.status}")
    finally:
        pools.clear()


def _refuse(address: str, reach: Reach, *, plain: bool) -> None:
    """Refuse an address inside a network, or of this machine, unless they were allowed."""
    ip = _inner(ip_address(address))
    if ip.is_link_local or ip.is_unspecified or ip.is_multicast:  # among them clouds' own data about a machine
        raise BadAddressError("It leads to an address that is nobody's to call.")
    if reach == "public" and not ip.is_global:
        raise BadAddressError("It leads into a private network, which DUEWELL_WEBHOOKS does not allow.")
    if plain and not ip.is_loopback:
        raise BadAddressError("Without https:// only this machine itself is called.")


def _inner(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Unwrap an IPv4 address that is carried in an IPv6 one."""
    if isinstance(ip, IPv4Address):
        return ip
    if ip in _NAT64:
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None) or ip


def _words(problem: Exception) -> str:
    text = type(problem).__name__
    if "SSL" in text or "CERTIFICATE" in str(problem):
        return "its certificate does not hold"
    return "it did not answer in time" if "Timeout" in text else "the connection failed"
