"""The network a request comes from, as limits count it."""

from __future__ import annotations

import pytest

from connector.client_network import network_of


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("203.0.113.9\x1b[31m", "unknown"),
        ("unknown", "unknown"),
    ],
)
def test_an_ipv6_network_is_counted_as_one(address: str, network: str) -> None:
    assert network_of(address) == network
