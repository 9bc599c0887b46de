"""Group A: a sync is killed at every line it executes, at every call, and before, within and after every commit.

The sync runs once, under a trace. At each point a child is forked that continues as the world would after SIGKILL: with
the files as they are on disk at that instant, the services as they are, and nothing of the dead process's memory.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from tests.faults.campaign.forks import Outcome, try_in_child
from tests.faults.campaign.in_process import Sent
from tests.faults.campaign.recovery import Circumstances, Scene, recover
from tests.faults.campaign.world import World

ROOT = str(Path(__file__).resolve().parents[3]) + "/"
# The path of an effect: what decides, marks, calls and records. Formatting an amount is not on it.
EFFECT_PATH = (
    "connector/run.py", "connector/runtime/run_context.py", "connector/runtime/lease.py", "connector/sync/pull.py",
    "connector/evaluation/evaluate.py", "connector/evaluation/apply.py", "connector/evaluation/invoice_decisions.py",
    "connector/outbox/drafts.py", "connector/outbox/replanning.py", "connector/outbox/entries.py",
    "connector/delivery/deliver.py", "connector/delivery/recheck.py", "connector/delivery/circuit_breaker.py",
    "connector/delivery/ledger_writes.py", "connector/delivery/recover.py", "connector/delivery/after_restore.py",
    "connector/audit/sync_log.py", "connector/db/engine.py",
    "connector/connections/tokens.py", "connector/arrangements/suppressions.py",
    "connector/emails/outbound/compose.py", "connector/sync/mirror/pages.py", "providers/http.py", "providers/xero/",
    "providers/quickbooks/", "providers/sendgrid/", "providers/microsoft365/",
    "providers/gmail/", "connector/emails/inbound/mailbox.py", "connector/connections/mailboxes.py",
)  # fmt: skip
CALL_OVERSAMPLING = 25  # where only some lines are tried, calls and commits are tried so many times more often
ALL_CODE = ("connector/", "providers/")


def on_path(paths: tuple[str, ...]) -> Callable[[FrameType], bool]:
    """Return the test whether a frame belongs to one of these paths; the sandbox never does."""
    starts = tuple(ROOT + path for path in paths)
    sandbox = f"{ROOT}sandbox/"

    def traced(frame: FrameType) -> bool:
        name = frame.f_code.co_filename
        return name.startswith(starts) and not name.startswith(sandbox)

    return traced


AFTER_COMMIT = "after a commit"


@contextmanager
def around_commits(world: World, seed: str, at: Callable[[str, int | None], None]) -> Iterator[None]:
    """Call ``at`` before, within and after every commit; within: with the size to truncate the write-ahead log to."""
    dialect: Any = world.app.engine.dialect
    commit, done = dialect.do_commit, 0

    def do_commit(connection: Any) -> None:
        nonlocal done
        at("before a commit", None)
        size = log_size(world)
        commit(connection)
        done += 1
        written = log_size(world) - size
        dice = random.Random(f"{seed}:{done}")
        for cut in sorted(dice.randrange(1, written) for _ in range(2)) if written > 1 else ():
            at(f"in a commit, {cut} of {written} bytes written", size + cut)
        at(AFTER_COMMIT, None)

    dialect.do_commit = do_commit
    try:
        yield
    finally:
        dialect.do_commit = commit


def log_size(world: World) -> int:
    """Return the size of the write-ahead log in bytes."""
    log = world.database.with_name("duewell.db-wal")
    return log.stat().st_size if log.exists() else 0


def cut_off(folder: Path, size: int | None) -> None:
    """Truncate the write-ahead log of a copy, as a kill within a commit does."""
    if size is not None:
        with (folder / "duewell.db-wal").open("rb+") as log:
            log.truncate(size)


class Killed(BaseException):
    """Unwinds the frames of what was killed; what they still write goes to files that nobody reads."""


def kill_at(scene: Scene, action: Callable[[], object], line: int, paths: tuple[str, ...]) -> None:
    """Run an action, kill it at its n-th line, and continue with what is on disk then; or run it to its end."""
    left, traced, folder = line, on_path(paths), scene.folder("killed")

    def each(_frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal left
        left -= event == "line"
        if left == 0:
            left = -1
            scene.world.copy_to(folder)
            scene.world.reset_write_queue()
            raise Killed
        return each

    sys.settrace(lambda frame, _event, _argument: each if traced(frame) else None)
    try:
        action()
    except Killed:
        scene.world.resume_in(folder)
    finally:
        sys.settrace(None)


Recovery = Callable[[Scene, str, Circumstances], Outcome]


@dataclass
class Kills:
    """Kills an action at every point, and reports the outcome of each kill.

    Between two commits or calls, nothing reaches the disk or a service: kills at all lines there leave the same state.
    With ``varieties``, each such state is recovered from under so many different circumstances, the lines taking turns;
    a line whose state and circumstances were tried already counts as ``covered`` and is not tried again. 0: try all.
    """

    scene: Scene
    label: str
    seed: int
    on_outcome: Callable[[Outcome], bool]  # returns whether to continue
    action: Callable[[World], object] = World.sync
    recover: Recovery | None = None
    traced_paths: tuple[str, ...] = EFFECT_PATH
    varieties: int = 0
    every: int = 1  # kill only at every n-th line
    times: int = 1  # how often each point is tried, each time under different circumstances
    places: set[tuple[str, int]] = field(default_factory=set)
    points: Counter[str] = field(default_factory=Counter)
    states: dict[tuple[int, int, int], int] = field(default_factory=dict)
    tried: set[tuple[int, int]] = field(default_factory=set)
    commits: int = 0
    covered: int = 0
    stopped: bool = False

    def __post_init__(self) -> None:
        self.traced = on_path(self.traced_paths)

    def run(self) -> None:
        """Run the action once, and kill it everywhere."""
        world = self.scene.world
        world.services.before.append(self._before)
        world.services.after.append(self._after)
        try:
            with around_commits(world, f"{self.seed}:{self.label}", self._commit):
                sys.settrace(self._enter)
                self.action(world)
        finally:
            sys.settrace(None)
            world.services.before.remove(self._before)
            world.services.after.remove(self._after)

    def _enter(self, frame: FrameType, _event: str, _argument: object) -> Any:
        return self._line if self.traced(frame) and not self.stopped else None

    def _line(self, frame: FrameType, event: str, _argument: object) -> Any:
        if event == "line":
            place = (frame.f_code.co_filename.removeprefix(ROOT), frame.f_lineno)
            self.places.add(place)
            self._at("line", f"{place[0]}:{place[1]}")
        return self._line

    def _before(self, sent: Sent) -> None:
        self._at("call", f"before {sent.method} {sent.path}")

    def _after(self, sent: Sent) -> None:
        self._at("call", f"during {sent.method} {sent.path}")

    def _commit(self, where: str, cut: int | None) -> None:
        self.commits += where == AFTER_COMMIT
        self._at("commit", where, cut)

    def _at(self, kind: str, where: str, cut: int | None = None) -> None:
        if self.stopped or self.scene.in_child:
            return
        self.points[kind] += 1
        number = self.points[kind]
        if number % (self.every if kind == "line" else 1 + self.every // CALL_OVERSAMPLING):
            return
        how = f"{kind} {number}"
        if self.varieties and cut is None:
            state = (self.commits, log_size(self.scene.world), self.scene.world.services.count)
            place = self.states.setdefault(state, len(self.states))
            variety = number % self.varieties
            if (place, variety) in self.tried:
                self.covered += 1
                return
            self.tried.add((place, variety))
            how = f"state {place} {variety}"
        name = f"{self.label} {kind} {number} ({where})"
        for time in range(self.times):
            self._try(name, Circumstances.draw(f"{self.seed}:{self.label}:{how}:{time}"), cut)

    def _try(self, name: str, how: Circumstances, cut: int | None) -> None:
        if not self.stopped and not self.scene.in_child:
            folder = self.scene.folder("killed")
            outcome = try_in_child(name, lambda: self._die(name, folder, how, cut), folder)
            self.stopped = not self.on_outcome(outcome)

    def _die(self, name: str, folder: Path, how: Circumstances, cut: int | None) -> Outcome:
        self.scene.in_child = True
        sys.settrace(None)
        self.scene.world.move_to(folder)
        self.scene.scratch = folder  # what the case creates is deleted with its folder
        cut_off(folder, cut)
        if self.recover is not None:
            return self.recover(self.scene, name, how)
        return recover(self.scene, name, how, self.traced)
