"""Stores the documents of one kind by id and by the time of their change; the last list is cached until a change."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Callable, Hashable, Iterator
from datetime import datetime
from typing import Generic, TypeVar

from sandbox.xero.documents import Document

D = TypeVar("D", bound=Document)


class DocumentStore(Generic[D]):
    """Documents by id, with an index by the time of their last change."""

    def __init__(self) -> None:
        self._by_id: dict[str, D] = {}
        self._changes: list[tuple[datetime, int, D]] = []
        self._count = 0
        self._cached: tuple[Hashable, list[D]] | None = None

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[D]:
        return iter(self._by_id.values())

    def get(self, document_id: str) -> D | None:
        """Return the document with this id, whatever its case."""
        return self._by_id.get(document_id.lower())

    def put(self, document: D, at: datetime) -> D:
        """Add a document, or record that it changed."""
        document.updated_at = at
        document.json = None
        self._by_id[document.id] = document
        self._count += 1
        entry = (at, self._count, document)
        if self._changes and at < self._changes[-1][0]:
            insort(self._changes, entry, key=lambda change: change[:2])
        else:
            self._changes.append(entry)
        self._cached = None
        return document

    def remove(self, document: D) -> None:
        """Remove a document as if it had never existed."""
        del self._by_id[document.id]
        self._changes = [change for change in self._changes if change[2] is not document]
        self._cached = None

    def changed_after(self, since: datetime | None) -> list[D]:
        """Return the documents changed after ``since`` (all for None), in the order of their change."""
        first = 0 if since is None else bisect_right(self._changes, since, key=lambda change: change[0])
        if since is None and len(self._changes) > 4 * len(self._by_id) + 100:
            self._changes = [change for change in self._changes if change[2].updated_at == change[0]]
        latest = {document.id: document for at, _, document in self._changes[first:] if document.updated_at == at}
        return list(latest.values())

    def cached_list(self, key: Hashable, find: Callable[[], list[D]]) -> list[D]:
        """Return the result of ``find``, cached for this key until something changes: the pages of a list share it."""
        if self._cached is None or self._cached[0] != key:
            self._cached = (key, find())
        return self._cached[1]
