"""Xero as the transport knows it."""

from __future__ import annotations

from typing import Final

from providers.http import Vendor, hosts_of

CORRELATION_HEADER: Final = "Xero-Correlation-Id"


def vendor(*urls: str) -> Vendor:
    """Xero at the hosts of these URLs."""
    return Vendor("Xero", hosts_of(*urls), trace_header=CORRELATION_HEADER, limit_header="X-Rate-Limit-Problem")
