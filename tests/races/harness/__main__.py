"""Races every pair of decisions on both databases, prints the table, and exits 1 where a pair ended wrongly.

``--write`` updates docs/reliability.md. ``--keep FILE`` stores results as they come; a repetition goes on from there.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import combinations_with_replacement
from pathlib import Path

from tests.races.harness import report
from tests.races.harness.decisions import DECISIONS
from tests.races.harness.pairs import PairResult, Racer
from tests.races.harness.servers import DATABASES, quick_passwords, template_on
from tests.races.harness.syncs import HARMLESS, STOPPING, SyncResult, race_sync


def main() -> int:
    """Race the pairs, and return the exit code."""
    options = _parse_arguments()
    known = _load(options.keep)
    started_at = time.monotonic()
    for database in options.databases:
        with quick_passwords(), template_on(database) as template:
            racer = Racer(template, options.stops)
            for first, second in combinations_with_replacement(DECISIONS, 2):
                if (database, first, second) in known or options.only not in f"{first} {second}":
                    continue
                if options.of and not {first, second} & set(options.of):
                    continue
                if time.monotonic() - started_at > 60 * options.minutes:
                    break
                result = known[database, first, second] = racer.race(first, second)
                _store(options.keep, database, result)
                for each in result.failures[:3]:
                    print(f"{database}: {each}", flush=True)
    syncs = _race_syncs(options)
    results = {name: [r for (where, *_), r in known.items() if where == name] for name in options.databases}
    text = report.render(results, options.stops, datetime.now(UTC).date().isoformat())
    text += "\n\n" + report.render_syncs(syncs, options.sync_stops)
    print(text)
    if options.write:
        report.write(Path("docs/reliability.md"), text)
    wrong = [each for pairs in results.values() for each in pairs if each.failures]
    return int(bool(wrong) or any(each.failures for rows in syncs.values() for each in rows))


def _race_syncs(options: argparse.Namespace) -> dict[str, list[SyncResult]]:
    """Race decisions against a sync that is sending, on each database."""
    found: dict[str, list[SyncResult]] = {}
    for database in options.databases:
        with quick_passwords(), template_on(database) as template:
            found[database] = [race_sync(template, name, options.sync_stops) for name in (*STOPPING, *HARMLESS)]
    return found


def _load(path: Path | None) -> dict[tuple[str, str, str], PairResult]:
    if path is None or not path.exists():
        return {}
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return {(row["database"], row["pair"]["first"], row["pair"]["second"]): PairResult(**row["pair"]) for row in rows}


def _store(path: Path | None, database: str, result: PairResult) -> None:
    if path is not None:
        with path.open("a") as file:
            file.write(json.dumps({"database": database, "pair": asdict(result)}) + "\n")


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--databases", nargs="+", choices=DATABASES, default=DATABASES)
    parser.add_argument("--stops", type=int, default=0, help="at how many statements a decision is stopped; 0: at each")
    parser.add_argument(
        "--sync-stops", type=int, default=0, help="at how many statements a sync is stopped; 0: at each"
    )
    parser.add_argument("--only", default="", help="pairs with this in their names")
    parser.add_argument("--of", nargs="+", choices=DECISIONS, default=(), help="pairs with one of these decisions")
    parser.add_argument("--minutes", type=float, default=600)
    parser.add_argument("--keep", type=Path, default=None)
    parser.add_argument("--write", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
