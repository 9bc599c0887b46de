"""Domains under which anybody may have an address, so that they say nothing about whom somebody works for."""

from __future__ import annotations

from typing import Final

SHARED_DOMAINS: Final = frozenset(
    {
        *("gmail.com", "googlemail.com", "outlook.com", "hotmail.com", "live.com", "yahoo.com", "icloud.com"),
        *("aol.com", "gmx.de", "gmx.net", "web.de", "t-online.de", "orange.fr", "free.fr", "btinternet.com"),
    }
)
