"""Cases in child processes: the fork copies everything, so that nothing has to be built again."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

CASE_SECONDS_MAX = 120


@dataclass(slots=True)
class Outcome:
    """The outcome of one fault run; ``delivered`` are those of the ``unconfirmed`` emails that arrived in fact."""

    name: str
    violations: list[str] = field(default_factory=list)
    unconfirmed: int = 0
    delivered: int = 0
    sync_runs: int = 0
    reconnects: int = 0
    cpu_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Child:
    """This process, forked from its parent: it continues where the parent was, and ends with ``report``."""

    name: str
    pipe: int

    def report(self, case: Callable[[], Outcome]) -> None:
        """Run the case, send its outcome to the parent, and exit without cleaning up."""
        try:
            outcome = case()
        except BaseException:  # noqa: BLE001 - a case that breaks is a finding, not the end of the campaign
            outcome = Outcome(self.name, [f"an error in the sync or in the campaign: {traceback.format_exc()}"])
        used = resource.getrusage(resource.RUSAGE_SELF)
        outcome.cpu_s = used.ru_utime + used.ru_stime
        with os.fdopen(self.pipe, "wb") as pipe:
            pipe.write(json.dumps(asdict(outcome)).encode())
        os._exit(0)


def fork(name: str, folder: Path) -> Child | Outcome:
    """Fork: return the child to itself, and its outcome to the parent. ``folder`` is deleted with the child."""
    sys.stdout.flush()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(CASE_SECONDS_MAX)  # whatever happens, the parent continues
        return Child(name, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        outcome = pipe.read()
    _pid, status = os.waitpid(child, 0)
    shutil.rmtree(folder, ignore_errors=True)
    if status or not outcome:
        return Outcome(name, [f"I8: the case hung or died (status {status})"])
    return Outcome(**json.loads(outcome))


def try_in_child(name: str, case: Callable[[], Outcome], folder: Path) -> Outcome:
    """Run a case in a child process. A child that hangs or dies is a violation."""
    forked = fork(name, folder)
    if isinstance(forked, Child):
        forked.report(case)
        message = "the child has not ended"
        raise RuntimeError(message)  # noqa: TRY004 - no argument is wrong
    return forked
