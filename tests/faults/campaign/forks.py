"""Tries a case in a child of this process: everything is copied by the fork, so that nothing has to be built again."""

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
    """What came of one fault run. ``hours`` that were run; ``doubts`` shown at the end, ``arrived`` of them in fact."""

    name: str
    violations: list[str] = field(default_factory=list)
    unconfirmed: int = 0
    delivered: int = 0
    sync_runs: int = 0
    reconnects: int = 0
    cpu_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Child:
    """This very process, which is a child now: it goes on where the parent stood, and ends by ``report``."""

    name: str
    pipe: int

    def report(self, case: Callable[[], Outcome]) -> None:
        """Try the case, tell the parent what came of it, and end without cleaning anything up."""
        try:
            outcome = case()
        except BaseException:  # noqa: BLE001 - a case that breaks is a finding, not the end of the campaign
            outcome = Outcome(self.name, [f"a fault of the hour or of the campaign: {traceback.format_exc()}"])
        used = resource.getrusage(resource.RUSAGE_SELF)
        outcome.cpu_s = used.ru_utime + used.ru_stime
        with os.fdopen(self.pipe, "wb") as pipe:
            pipe.write(json.dumps(asdict(outcome)).encode())
        os._exit(0)


def fork(name: str, folder: Path) -> Child | Outcome:
    """Fork here. The child gets itself; the parent what came of the child. ``folder`` goes with the child."""
    sys.stdout.flush()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(CASE_SECONDS_MAX)  # whatever happens, the parent goes on
        return Child(name, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    _pid, status = os.waitpid(child, 0)
    shutil.rmtree(folder, ignore_errors=True)
    if status or not told:
        return Outcome(name, [f"I8: the case hung or died (status {status})"])
    return Outcome(**json.loads(told))


def try_in_child(name: str, case: Callable[[], Outcome], folder: Path) -> Outcome:
    """Run a case in a child process; a child that hangs or dies is a violation."""
    there = fork(name, folder)
    if isinstance(there, Child):
        there.report(case)
        message = "the child has not ended"
        raise RuntimeError(message)  # noqa: TRY004 - nobody's argument is wrong
    return there
