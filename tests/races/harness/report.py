"""The table of the races in docs/reliability.md: each decision against all others, with how the attempts ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.races.harness.pairs import PairResult
from tests.races.harness.syncs import SyncResult

_BEGIN, _END = "<!-- races: begin -->", "<!-- races: end -->"


@dataclass
class Totals:
    """The attempts of one decision against every other on one database."""

    pairs: int = 0
    interleavings: int = 0
    refused: int = 0
    failures: int = 0

    def add(self, result: PairResult) -> None:
        """Count a pair."""
        self.pairs += 1
        self.interleavings += result.interleavings
        self.refused += result.refused
        self.failures += len(result.failures)


def render(results: Mapping[str, Iterable[PairResult]], stops: int, on: str) -> str:
    """Return the summary and the table, by database."""
    found = {database: list(pairs) for database, pairs in results.items()}
    lines = [_summary(found, stops, on), "", *_table(found)]
    failed = [f"- {database}: {each}" for database, pairs in found.items() for pair in pairs for each in pair.failures]
    return "\n".join([*lines, *(["", "Failed:", "", *failed] if failed else [])])


def render_syncs(results: Mapping[str, Sequence[SyncResult]], stops: int) -> str:
    """Return the table of the decisions that race against a sync."""
    every = f"{stops} of its statements" if stops else "each of its statements"
    heads = [f"{_NAMES[each]}: tried | email sent before | told that it is too late | wrong" for each in results]
    lines = [
        f"A sync that is about to email the customer, stopped at {every}, and meanwhile:",
        "",
        f"| decision | {' | '.join(heads)} |",
        "|---|" + "---|---|---|---|" * len(results),
    ]
    for row in zip(*results.values(), strict=True):
        cells = [f"{each.interleavings} | {each.sent} | {each.refused} | {len(each.failures)}" for each in row]
        lines.append(f"| {row[0].decision} | {' | '.join(cells)} |")
    failed = [f"- {database}: {each}" for database, rows in results.items() for row in rows for each in row.failures]
    return "\n".join([*lines, *(["", "Failed:", "", *failed] if failed else [])])


def write(path: Path, report: str) -> None:
    """Replace the report between the marks in a document."""
    text = path.read_text()
    head, rest = text.split(_BEGIN)
    path.write_text(f"{head}{_BEGIN}\n{report}\n{_END}{rest.split(_END)[1]}")


def _summary(found: Mapping[str, list[PairResult]], stops: int, on: str) -> str:
    every = f"{stops} statements, evenly spread," if stops else "every statement"
    parts = []
    for database, pairs in found.items():
        tried, failed = sum(each.interleavings for each in pairs), sum(len(each.failures) for each in pairs)
        refused = sum(each.refused for each in pairs)
        parts.append(
            f"{_NAMES[database]}: {len(pairs):,} pairs, {tried:,} interleavings, {failed:,} wrong"
            f" ({tried - refused:,} as one of the two orders, {refused:,} of them with one told that it came too late)"
        )
    return f"Run on {on}, stopped at {every} of each of the two. {'. '.join(parts)}."


_NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}


def _table(found: Mapping[str, list[PairResult]]) -> list[str]:
    names = list(
        dict.fromkeys(name for pairs in found.values() for each in pairs for name in (each.first, each.second))
    )
    heads = [f"{_NAMES[each]}: tried | one refused | wrong" for each in found]
    lines = [
        f"| each of these, against itself and all others | {' | '.join(heads)} |",
        "|---|" + "---|---|---|" * len(found),
    ]
    for name in names:
        cells = []
        for pairs in found.values():
            totals = Totals()
            for each in pairs:
                if name in {each.first, each.second}:
                    totals.add(each)
            cells.append(f"{totals.interleavings} | {totals.refused} | {totals.failures}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines
