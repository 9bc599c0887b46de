"""Stores all objects of one entity in two orders: by id, and by the time of the last change."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from sandbox.core import JsonObject

LOG_SLACK = 64  # outdated entries of the log that are tolerated, whatever the number of objects


@dataclass(slots=True)
class Entry:
    """An object; the parts of its JSON ``body`` are replaced, never changed in place."""

    entity: str
    number: int
    body: JsonObject
    updated_at: datetime


class EntityStore:
    """The entries of one entity; deleted ones remain as stubs for change data capture."""

    def __init__(self) -> None:
        self.entries: dict[int, Entry] = {}
        self.deleted: dict[int, Entry] = {}
        self._numbers: list[int] = []
        self._log: list[tuple[datetime, int]] = []

    def __len__(self) -> int:
        return len(self.entries)

    def put(self, entry: Entry) -> None:
        """Add an entry, or record that it changed at its ``updated_at``."""
        if entry.number not in self.entries:
            self.entries[entry.number] = entry
            insort(self._numbers, entry.number)
        self._log_change(entry)

    def mark_deleted(self, stub: Entry) -> None:
        """Remove an entry and keep its stub."""
        del self.entries[stub.number]
        del self._numbers[bisect_left(self._numbers, stub.number)]
        self.deleted[stub.number] = stub
        self._log_change(stub)

    def by_id(self, above: int = 0) -> Iterator[Entry]:
        """Yield entries with ids above ``above``, by id."""
        at = bisect_left(self._numbers, above + 1)
        return (self.entries[number] for number in islice(self._numbers, at, None))

    def newest_first(self) -> Iterator[Entry]:
        """Yield entries, the last changed first."""
        return (entry for entry in self.changed_since(None) if entry.number in self.entries)

    def changed_since(self, since: datetime | None) -> Iterator[Entry]:
        """Yield entries and stubs changed at or after ``since``, the last changed first."""
        first = 0 if since is None else bisect_left(self._log, (since, -1))
        for at in range(len(self._log) - 1, first - 1, -1):
            updated_at, number = self._log[at]
            entry = self.entries.get(number) or self.deleted[number]
            if entry.updated_at == updated_at:
                yield entry

    def _log_change(self, entry: Entry) -> None:
        line = (entry.updated_at, entry.number)
        if not self._log or line > self._log[-1]:
            self._log.append(line)
        else:
            at = bisect_left(self._log, line)
            if at == len(self._log) or self._log[at] != line:
                self._log.insert(at, line)
        if len(self._log) > 2 * (len(self.entries) + len(self.deleted)) + LOG_SLACK:
            living = [*self.entries.values(), *self.deleted.values()]
            self._log = sorted((each.updated_at, each.number) for each in living)
