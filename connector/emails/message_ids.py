"""The Message-IDs of our emails, by which what answers them can be told from all other email."""

from __future__ import annotations

import re
from collections.abc import Iterable

from providers.message import message_id
from providers.message import message_id_part as local_part

__all__ = ["local_part", "message_id", "possible_ids"]

_OURS = re.compile(r"<([0-9a-f]{32})@[^<>\s@]{1,253}>")


def possible_ids(references: Iterable[str]) -> dict[str, str]:
    """Return those of some Message-IDs that have the form of ours, each with its part before the domain."""
    found = (_OURS.fullmatch(each.strip()) for each in references)
    return {match.group(0): match.group(1) for match in found if match is not None}
