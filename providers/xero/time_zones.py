"""Maps Xero's names of time zones to IANA zones.

Xero writes a zone as Windows does, in capitals and without spaces and dots ("EEUROPESTANDARDTIME").
"""

from __future__ import annotations

import re
from functools import lru_cache

from providers.import_lock import IMPORT_LOCK

_EXTRA_WINDOWS_ZONES = {"KAMCHATKASTANDARDTIME": "Asia/Kamchatka", "MIDATLANTICSTANDARDTIME": "Atlantic/South_Georgia"}


def time_zone(name: str) -> str | None:
    """Return the IANA zone of an organisation's time zone, None if it is unknown."""
    return _zones_by_windows_name().get(name.upper())


@lru_cache(maxsize=1)
def _zones_by_windows_name() -> dict[str, str]:
    with IMPORT_LOCK:
        from tzlocal.windows_tz import win_tz  # noqa: PLC0415 - a long table that is needed once a day

    return {re.sub(r"[ .\-]", "", name).upper(): zone for name, zone in win_tz.items()} | _EXTRA_WINDOWS_ZONES
