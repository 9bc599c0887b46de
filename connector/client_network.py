"""Where a request comes from, for limits: an IPv4 address, or the network of an IPv6 address.

One customer of a provider has a whole /64 (RFC 6177), so each of its addresses alone would be somebody new.
"""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network

UNKNOWN = "unknown"  # what is no address, such as what a proxy passed on unchecked
_IPV6_PREFIX = 64


def network_of(address: str) -> str:
    """Return what limits count an address as: "203.0.113.9", "2001:db8:1:2::/64"; "" stays "" (this machine)."""
    if not address:
        return ""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return UNKNOWN
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ip_network((parsed, _IPV6_PREFIX), strict=False))
    return str(parsed)
