"""Ids in batches: no query lists more values than a database takes at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

_BATCH_SIZE = 500
T = TypeVar("T")


def batched_ids(ids: Iterable[T]) -> Iterator[list[T]]:
    """Yield the ids, a few hundred at a time, each once."""
    rest = iter(dict.fromkeys(ids))
    while batch := list(islice(rest, _BATCH_SIZE)):
        yield batch
