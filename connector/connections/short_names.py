"""Short names of connections: what a person types instead of an id."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection

_LENGTH_MAX = 32
_RESERVED = {"all", "verify", "list", "show"}  # words that mean something else where a connection may stand


def build_short_name(name: str, taken: Collection[str]) -> str:
    """Make a short name like ``smith-sons``: nobody else's, and not to be mistaken for an id or a command."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:_LENGTH_MAX].strip("-")
    if not slug or slug.isdigit() or slug in _RESERVED:
        slug = f"company-{slug}".strip("-")
    candidate, count = slug, 1
    while candidate in taken:
        count += 1
        candidate = f"{slug}-{count}"
    return candidate
