"""The Message-ID of an email: derived from its outbox key, so that what answers it can be told from all other email."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

_OURS = re.compile(r"<([0-9a-f]{32})@[^<>\s@]{1,253}>")


def message_id(key: str, domain: str) -> str:
    """Return the Message-ID for an outbox key: always the same, and meaningless to strangers."""
    return f"<{local_part(key)}@{domain}>"


def local_part(key: str) -> str:
    """Return what stands before the domain in the Message-ID for an outbox key."""
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def possible_ids(references: Iterable[str]) -> dict[str, str]:
    """Return those of some Message-IDs that have the form of ours, each with its part before the domain."""
    found = (_OURS.fullmatch(each.strip()) for each in references)
    return {match.group(0): match.group(1) for match in found if match is not None}
