"""Which addresses outgoing webhooks may go to: in mode ``public`` only what the whole internet can route to.

Allowed is what is known to be ordinary (global unicast), not what is not known to be bad: whatever is reserved later is
refused until it stands here. Source: IANA's special-purpose address registries for IPv4 and IPv6.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Literal

AllowedNetworks = Literal["off", "public", "private"]
_GLOBAL_IPV6 = IPv6Network("2000::/3")
_SPECIAL_IPV6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments: Teredo, benchmarking, ORCHID …
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4: an IPv4 address in disguise
            "2620:4f:8000::/48",  # AS112
            "3fff::/20",  # documentation
        ),
    )
)
_SPECIAL_IPV4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",
            "100.64.0.0/10",  # shared by the customers of a provider
            "127.0.0.0/8",
            "169.254.0.0/16",  # link-local
            "172.16.0.0/12",
            "192.0.0.0/24",  # protocol assignments
            "192.0.2.0/24",  # documentation
            "192.31.196.0/24",  # AS112
            "192.52.193.0/24",  # AMT
            "192.88.99.0/24",  # 6to4 relays
            "192.168.0.0/16",
            "192.175.48.0/24",  # AS112
            "198.18.0.0/15",  # benchmarking
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/3",  # multicast, reserved, broadcast
        ),
    )
)
# Services of cloud providers that hand out a machine's credentials, beside the link-local one. Refused in every mode.
_METADATA_SERVICES = tuple(
    map(ip_address, ("168.63.129.16", "100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"))
)
_NAT64 = IPv6Network("64:ff9b::/96")  # the IPv4 internet, as a machine without IPv4 sees it
_IPV4_COMPATIBLE = IPv6Network("::/96")


class DisallowedAddressError(Exception):
    """An address is not allowed; ``str()`` says why."""


def check_address(address: str, allowed_networks: AllowedNetworks, *, plain: bool) -> None:
    """Reject an address of this machine, a private network or a reserved range, unless ``allowed_networks`` has it.

    ``plain``: without https, which only this machine may be called by.
    """
    given = ip_address(address)
    ip = _embedded_ipv4(given) or given
    if ip.is_link_local or ip.is_unspecified or ip.is_multicast or ip in _METADATA_SERVICES:
        raise DisallowedAddressError("It leads to a reserved address.")
    if allowed_networks == "public" and not _is_public(given):
        raise DisallowedAddressError("It leads into a private network, which DUEWELL_WEBHOOKS does not allow.")
    if plain and not ip.is_loopback:
        raise DisallowedAddressError("Without https:// only this machine can be called.")


def _is_public(ip: IPv4Address | IPv6Address) -> bool:
    if isinstance(ip, IPv6Address):
        translated = ip.ipv4_mapped or (_lower_32_bits(ip) if ip in _NAT64 else None)
        if translated is None:
            return ip in _GLOBAL_IPV6 and not any(ip in network for network in _SPECIAL_IPV6)
        ip = translated
    return not any(ip in network for network in _SPECIAL_IPV4)


def _embedded_ipv4(ip: IPv4Address | IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that an IPv6 address stands for by one of the known translations."""
    if isinstance(ip, IPv4Address):
        return None
    if ip in _NAT64 or (ip in _IPV4_COMPATIBLE and not (ip.is_loopback or ip.is_unspecified)):
        return _lower_32_bits(ip)
    return ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)


def _lower_32_bits(ip: IPv6Address) -> IPv4Address:
    return IPv4Address(int(ip) & 0xFFFFFFFF)
