"""Mutation testing: changes the code in small ways, one at a time, and lists the changes that no test notices.

A sample of all mutants is drawn by a seed, and each is tried against the tests that run its line, the module's own and
the quickest first. Results are kept in build/mutants, so that a run that was stopped goes on where it was. Survivors
that cannot be noticed are explained in explained.toml; the others are printed, and make it exit 1 below 90 % killed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import sys
import time
import tomllib
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from grimp import ImportGraph

from tests.mutants import covering
from tests.mutants.covering import Covering
from tests.mutants.mutations import Mutant, Place, draw, mutate
from tests.mutants.trial import Verdict, import_others, preload, try_mutant

_CORE = ("connector/run.py", *(f"connector/{each}" for each in ("evaluation", "outbox", "delivery", "runtime")))
_TESTS = (
    *("tests/policies", *(f"tests/connector/{each}" for each in ("evaluation", "outbox", "delivery", "runtime"))),
    *(f"tests/connector/test_run{each}.py" for each in ("", "_families", "_fee_reviews", "_settlement", "_situations")),
    *("tests/connector/arrangements", "tests/connector/restore", "tests/connector/emails/inbound"),
)
_EXPLAINED = Path(__file__).with_name("explained.toml")
_OUTPUT = Path("build/mutants")
_WANTED_PERCENT = 90
_NORMAL_95 = 1.96
_KILLED = {Verdict.KILLED, Verdict.TIMEOUT}
Key = tuple[str, str, int]


def main() -> int:
    """Try the mutants that have no result yet, and return the exit code."""
    options = _parse_arguments()
    modules = [module for each in options.modules for module in _modules(Path(each))]
    places, generated = draw(modules, options.sample, options.seed)
    tests = covering.measure(options.tests, _OUTPUT / "covering")
    known = _read(options.results)
    graph = preload()
    stops_at = time.monotonic() + options.minutes * 60 if options.minutes else math.inf
    for path, group in itertools.groupby(places, key=lambda place: place.path):
        left = [place for place in group if path.startswith(options.only) and _key(place) not in known]
        if not left or time.monotonic() > stops_at:
            continue
        child = os.fork()  # so that what is imported for one module stays there
        if not child:
            _try_module(graph, path, left, tests, options, stops_at)
        _, status = os.waitpid(child, 0)
        if status:
            return 1
    return _report(_read(options.results), places, generated)


def _try_module(
    graph: ImportGraph, path: str, left: list[Place], tests: Covering, options: argparse.Namespace, stops_at: float
) -> NoReturn:
    code = 1
    try:
        import_others(graph, path)
        for place in left:
            if time.monotonic() <= stops_at:
                _try(place, tests, options)
        code = 0
    except Exception:  # noqa: BLE001 - the parent stops
        traceback.print_exc()
    finally:
        os._exit(code)


def _try(place: Place, tests: Covering, options: argparse.Namespace) -> None:
    mutant = mutate(place)
    if mutant is None:
        verdict, line = Verdict.SAME, ""
    else:
        if options.control:  # the module as it is: whatever fails now would count as killed by mistake
            mutant = Mutant(mutant.path, mutant.line, "", "", Path(mutant.path).read_text("utf-8"))
        verdict = try_mutant(mutant, tests.select(mutant.path, mutant.line, options.budget))
        line = str(mutant)
    with options.results.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"place": _key(place), "verdict": verdict, "mutant": line}) + "\n")


def _report(results: dict[Key, tuple[Verdict, str]], places: list[Place], generated: int) -> int:
    found = [results[_key(place)] for place in places if _key(place) in results]
    verdicts = Counter(verdict for verdict, _ in found)
    explained = _explained()
    unexplained = 0
    for verdict, mutant in found:
        if verdict not in {*_KILLED, Verdict.SAME}:
            reason = explained.get(mutant.partition(": ")[2])
            unexplained += reason is None
            print(f"{verdict} {mutant}" + (f"\n  explained: {reason}" if reason else ""))
    tried, killed = sum(verdicts.values()) - verdicts[Verdict.SAME], sum(verdicts[each] for each in _KILLED)
    if not tried:
        return 1
    low, high = _interval(killed, tried)
    print(f"{len(found)} of {len(places)} drawn from {generated} mutants have a result")
    print(f"{killed} of {tried} killed: {killed / tried:.1%}, 95 % interval {low:.1%} to {high:.1%}")
    print(f"{unexplained} survivors are not explained")
    return int(100 * killed < _WANTED_PERCENT * tried)


def _interval(killed: int, tried: int) -> tuple[float, float]:
    """Wilson's interval for a share."""
    share, z2 = killed / tried, _NORMAL_95**2
    middle = (share + z2 / (2 * tried)) / (1 + z2 / tried)
    half = _NORMAL_95 / (1 + z2 / tried) * math.sqrt(share * (1 - share) / tried + z2 / (4 * tried**2))
    return middle - half, middle + half


def _read(file: Path) -> dict[Key, tuple[Verdict, str]]:
    if not file.exists():
        return {}
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    return {tuple(row["place"]): (Verdict(row["verdict"]), row["mutant"]) for row in rows}


def _key(place: Place) -> Key:
    return place.path, place.operator, place.occurrence


def _explained() -> dict[str, str]:
    entries = tomllib.loads(_EXPLAINED.read_text("utf-8")).get("mutant", [])
    return {f"`{entry['line']}` becomes `{entry['becomes']}`": entry["reason"] for entry in entries}


def _modules(path: Path) -> Iterator[Path]:
    files = [path] if path.is_file() else sorted(path.rglob("*.py"))
    return (file for file in files if file.name != "__init__.py")


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", default=["policies", *_CORE], help="files or folders to change")
    parser.add_argument("--sample", type=int, default=400, help="how many mutants to draw; 0 tries all")
    parser.add_argument("--only", default="", help="try now only those whose path starts so")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--budget", type=float, default=20, help="processor seconds of tests for each mutant")
    parser.add_argument("--minutes", type=float, default=0, help="stop after so long; another call goes on")
    parser.add_argument("--tests", nargs="*", default=_TESTS, help="what covers the modules")
    parser.add_argument("--results", type=Path, default=_OUTPUT / "results.jsonl")
    parser.add_argument("--control", action="store_true", help="change nothing: every one must survive")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
