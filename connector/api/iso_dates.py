"""Dates and instants of requests, in the one form that the OpenAPI document names: RFC 3339.

Pydantic alone would take a number for either: ``0.5`` for half a second after 1970 began.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Annotated

from pydantic import BeforeValidator

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INSTANT = re.compile(_DATE.pattern + r"[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})")


def _date_text(value: object) -> object:
    if value is not None and not (isinstance(value, str) and _DATE.fullmatch(value)):
        message = "must be a date like 2026-11-30"
        raise ValueError(message)
    return value


def _instant_text(value: object) -> object:
    if value is not None and not (isinstance(value, str) and _INSTANT.fullmatch(value)):
        message = "must be an instant with its time zone, like 2026-11-30T08:00:00Z"
        raise ValueError(message)
    return value


IsoDate = Annotated[date, BeforeValidator(_date_text)]
IsoInstant = Annotated[datetime, BeforeValidator(_instant_text)]
