"""Which tests run which lines: measured once with coverage.py, one context per test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

# How tests are run, here and on mutants alike, so that one which passes here fails there because of the mutant.
ENVIRONMENT = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "CI": "1"}  # in CI, hypothesis tries the same examples each time
_UNUSED_PLUGINS = ("cacheprovider", "unraisableexception", "threadexception", "warnings")
OPTIONS = ["-q", "--tb=no", "--assert=plain", "--no-header", *(f"-pno:{plugin}" for plugin in _UNUSED_PLUGINS)]
_HERE = "tests.mutants.covering"


@dataclass(frozen=True)
class Covering:
    """The processor seconds of each test, and by file and line the tests that run it."""

    seconds: dict[str, float]
    lines: dict[str, dict[int, set[str]]]

    def select(self, path: str, line: int, budget_seconds: float) -> list[str]:
        """Return the tests to try on a change of a line: the module's own first, then the quickest, within a budget.

        What runs on import has no tests of its own: there, and for constants, every test of the module counts.
        """
        by_line = self.lines.get(path, {})
        found = by_line.get(line) or set().union(*by_line.values())
        stem = Path(path).stem
        selected: list[str] = []
        spent = 0.0
        for test in sorted(found, key=lambda each: (stem not in each.partition("::")[0], self.seconds[each], each)):
            spent += self.seconds[test]
            if selected and spent > budget_seconds:
                break
            selected.append(test)
        return selected


def measure(tests: Iterable[str], folder: Path) -> Covering:
    """Run tests under coverage, a file of results for each path; what was measured before is kept."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for path in tests:
        file = folder / f"{path.replace('/', '.')}.json"
        files.append(file)
        if not file.exists():
            print(f"measuring which lines {path} runs", flush=True)
            command = [sys.executable, "-m", "pytest", *OPTIONS, "-p", _HERE, f"--covering={file}", path]
            subprocess.run(command, check=False, env={**os.environ, **ENVIRONMENT})
    return _load(file for file in files if file.exists())


def _load(files: Iterable[Path]) -> Covering:
    seconds: dict[str, float] = {}
    lines: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    for file in files:
        stored = json.loads(file.read_text("utf-8"))
        tests = list(stored["seconds"])
        seconds |= stored["seconds"]
        for path, by_line in stored["lines"].items():
            for line, indexes in by_line.items():
                lines[path][int(line)].update(tests[index] for index in indexes)
    return Covering(seconds, {path: dict(by_line) for path, by_line in lines.items()})


class _Recorder:
    def __init__(self, output: Path) -> None:
        from coverage import Coverage  # noqa: PLC0415 # installed for this alone

        self._output = output
        self._coverage = Coverage(data_file=None, include=["policies/*", "connector/*"], messages=False)
        self._seconds: dict[str, float] = {}
        self._failed: set[str] = set()
        self._coverage.start()

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None]:
        self._coverage.switch_context(item.nodeid)
        started = time.process_time()
        yield
        self._seconds[item.nodeid] = round(time.process_time() - started, 3)
        self._coverage.switch_context("")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not report.passed:
            self._failed.add(report.nodeid)

    def pytest_sessionfinish(self) -> None:
        self._coverage.stop()
        passed = {test: seconds for test, seconds in self._seconds.items() if test not in self._failed}
        indexes = {test: index for index, test in enumerate(passed)}
        data = self._coverage.get_data()
        lines: dict[str, dict[int, list[int]]] = defaultdict(dict)
        for path in data.measured_files():
            for line, contexts in data.contexts_by_lineno(path).items():
                found = sorted(indexes[test] for test in contexts if test in indexes)
                if found:
                    lines[str(Path(path).relative_to(Path.cwd()))][line] = found
        self._output.write_text(json.dumps({"seconds": passed, "lines": lines}), "utf-8")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--covering", type=Path)


def pytest_configure(config: pytest.Config) -> None:
    output = config.getoption("--covering")
    if output:
        config.pluginmanager.register(_Recorder(output))
