"""Xero as the transport sees it."""

from __future__ import annotations

from typing import Final

from providers.http import Service, hosts_of
from providers.xero.error_replies import own_words

CORRELATION_HEADER: Final = "Xero-Correlation-Id"


def xero_service(*urls: str) -> Service:
    """Return Xero's description for the transport; only the hosts of these URLs may be called."""
    return Service(
        "Xero",
        hosts_of(*urls),
        trace_header=CORRELATION_HEADER,
        limit_header="X-Rate-Limit-Problem",
        own_words=own_words,
    )
