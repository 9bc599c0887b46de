"""Where a request comes from, as limits count it."""

from __future__ import annotations

import pytest

from connector.client_place import place_of


@pytest.mark.parametrize(
    ("address", "place"),
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
def test_an_ipv6_network_is_one_place(address: str, place: str) -> None:
    assert place_of(address) == place
