"""One mutant against its tests, in a forked process that has imported everything which the mutant cannot change."""

from __future__ import annotations

import gc
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import grimp
import pytest

from tests.mutants.covering import ENVIRONMENT, OPTIONS
from tests.mutants.mutations import Mutant

_OURS = ("connector", "providers", "policies", "sandbox", "migrations")
_CPU_SECONDS = 60  # processor time, so that a busy machine kills nothing
_WALL_SECONDS = 900  # for a mutant that waits for ever


class Verdict(StrEnum):
    """What the tests made of a mutant."""

    KILLED = "killed"
    SURVIVED = "survived"
    TIMEOUT = "timeout"
    UNTESTED = "untested"  # no test runs the line
    SAME = "same"  # the operator changed nothing


def preload() -> grimp.ImportGraph:
    """Import every library that our modules use, none of ours; return the graph of our own imports."""
    for name in _libraries():
        try:
            importlib.import_module(name)
        except ImportError:
            continue
    graph = grimp.build_graph(*_OURS, cache_dir=None)
    for folder in graph.find_children("providers"):  # imported by name, which no import statement shows
        graph.add_import(importer="providers", imported=folder)
    for module in graph.modules:  # a module imports the packages it is in first
        if "." in module:
            graph.add_import(importer=module, imported=module.rpartition(".")[0])
    return graph


def import_others(graph: grimp.ImportGraph, path: str) -> None:
    """Import those of our modules that do not import this one, even indirectly: a change cannot reach them."""
    changed = _module_name(path)
    reached = {changed, *graph.find_downstream_modules(changed)}
    for name in _our_modules():
        if name not in reached:
            importlib.import_module(name)
    if changed in sys.modules:
        raise RuntimeError(f"{changed} is imported already, so that its mutants would not be")


def try_mutant(mutant: Mutant, tests: Sequence[str]) -> Verdict:
    """Run the tests on a mutant until one fails."""
    if not tests:
        return Verdict.UNTESTED
    status = _in_fork(lambda: _run(mutant, tests))
    if status is None:
        return Verdict.TIMEOUT
    return Verdict.SURVIVED if status == pytest.ExitCode.OK else Verdict.KILLED


def _run(mutant: Mutant, tests: Sequence[str]) -> int:
    gc.disable()
    os.environ.update(ENVIRONMENT)
    sys.meta_path.insert(0, _Finder(mutant))
    first_file = tests[0].partition("::")[0]
    for batch in (
        [test for test in tests if test.partition("::")[0] == first_file],  # most mutants are killed here
        [test for test in tests if test.partition("::")[0] != first_file],
    ):
        files = sorted({test.partition("::")[0] for test in batch if Path(test.partition("::")[0]).exists()})
        status = pytest.main(["-x", *OPTIONS, *files], plugins=[_Selection(batch)]) if files else 0
        if status not in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
            return int(status)
    return 0


class _Selection:
    """Keeps the tests to run, in their order; one that is not there any more is no reason to call a mutant killed."""

    def __init__(self, tests: Sequence[str]) -> None:
        self._order = {test: index for index, test in enumerate(tests)}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted((i for i in items if i.nodeid in self._order), key=lambda item: self._order[item.nodeid])


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports the mutant in place of its module."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant, self._name = mutant, _module_name(mutant.path)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        file = Path(self._mutant.path).resolve()
        return importlib.util.spec_from_file_location(fullname, file, loader=self)

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self._mutant.source, str(Path(self._mutant.path).resolve()), "exec"), vars(module))


def _in_fork(task: Callable[[], int], cpu_seconds: int = _CPU_SECONDS) -> int | None:
    """Run a task in a fork of this process, and return its exit code, or None where it took too long."""
    child = os.fork()
    if not child:
        _run_and_exit(task, cpu_seconds)
    deadline = time.monotonic() + _WALL_SECONDS
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return None if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        time.sleep(0.01)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def _run_and_exit(task: Callable[[], int], cpu_seconds: int) -> NoReturn:
    os.setpgid(0, 0)
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nowhere, stream)
    try:
        code = task()
    except BaseException:  # noqa: BLE001 # whatever it is, the mutant did not pass
        code = 1
    os._exit(code)


def _libraries() -> list[str]:
    """Return the names of the modules that importing all of ours imports, without ours."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        for name in _our_modules():
            importlib.import_module(name)
        names = [name for name in sys.modules if name.partition(".")[0] not in {*_OURS, "__main__", "tests"}]
        with os.fdopen(writer, "w") as pipe:
            pipe.write("\n".join(names))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        names = pipe.read().split()
    os.waitpid(child, 0)
    return names


def _our_modules() -> list[str]:
    files = (file for package in _OURS for file in Path(package).rglob("*.py"))
    names = [_module_name(str(file)) for file in files if "versions" not in file.parts]
    return sorted(name for name in names if not name.endswith(("__main__", "migrations.env")))


def _module_name(path: str) -> str:
    return ".".join(Path(path).with_suffix("").parts).removesuffix(".__init__")
