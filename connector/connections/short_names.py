"""Short names of connections, which users type instead of an id."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection

_LENGTH_MAX = 32
_RESERVED = {"all", "verify", "list", "show"}  # they mean something else where a connection can be named


def build_short_name(name: str, taken: Collection[str]) -> str:
    """Build a short name such as ``smith-sons`` that is not taken and cannot be confused with an id or a command."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:_LENGTH_MAX].strip("-")
    if not slug or slug.isdigit() or slug in _RESERVED:
        slug = f"company-{slug}".strip("-")
    candidate, count = slug, 1
    while candidate in taken:
        count += 1
        candidate = f"{slug}-{count}"
    return candidate
