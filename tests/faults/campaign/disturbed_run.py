"""A sync that is disturbed at each of its calls.

The sync runs once. At each call, and for each thing that can go wrong there, a child is forked that continues the sync
in a copy of the database. When its sync has ended, the fault stops, and the outcome is checked.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

from connector.vocabulary import RunOutcome
from tests.faults.campaign.forks import Child, Outcome, fork
from tests.faults.campaign.in_process import Sent
from tests.faults.campaign.recovery import INTERNAL_ERROR, Scene, finish
from tests.faults.campaign.users import reconnect_and_resume


class Disturbance(NamedTuple):
    """Something that goes wrong at a call. ``strict``: what was due must be done or unconfirmed all the same."""

    group: str
    name: str
    begin: Callable[[Scene, Sent], object]
    end: Callable[[Scene], object] = lambda _scene: None
    strict: bool = True


def lock_folder(scene: Scene) -> Path:
    """Return the folder of the locks that runs hold."""
    return scene.world.app.settings.duewell_home / "locks"


@dataclass
class DisturbedRun:
    """Disturbs a sync at each of its calls, and reports each outcome."""

    scene: Scene
    label: str
    disturbances: Sequence[Disturbance]
    is_selected: Callable[[Disturbance, Sent], bool]  # whether a disturbance is tried at a call
    on_outcome: Callable[[Disturbance, Outcome], bool]  # returns whether to continue
    calls: int = 0
    stopped: bool = False
    child: tuple[Child, Disturbance] | None = None

    def run(self) -> None:
        """Run the sync, disturbed at every call."""
        world = self.scene.world
        world.services.before.append(self._before)  # after the witness, which counts the request as sent
        result = world.sync()
        if self.child is not None:
            child, disturbance = self.child
            child.report(lambda: self._finish(child.name, disturbance, result.reason))
        if result.outcome == RunOutcome.FAILED and not self.stopped:
            message = f"an undisturbed sync failed: {result.reason}"
            raise RuntimeError(message)
        world.services.before.remove(self._before)

    def _before(self, sent: Sent) -> None:
        if self.scene.in_child or self.stopped:
            return
        self.calls += 1
        engine = self.scene.world.app.engine
        pool: Any = engine.pool
        assert pool.checkedout() == 0, f"a call within a transaction: {sent}"
        for disturbance in self.disturbances:
            if self.stopped or (disturbance.group == "H" and self.calls > 1) or not self.is_selected(disturbance, sent):
                continue
            name = f"{self.label} call {self.calls} ({sent.method} {sent.path}): {disturbance.name}"
            folder = self.scene.folder("disturbed")
            forked = fork(name, folder)
            if isinstance(forked, Child):
                self.child = (forked, disturbance)
                self.scene.in_child = True
                sys.settrace(None)
                self.scene.world.move_to(folder, same_process=True)
                self.scene.scratch = folder
                for lock in lock_folder(self.scene).iterdir():
                    lock.unlink()  # the parent's: a child does not inherit locks
                disturbance.begin(self.scene, sent)
                return
            self.stopped = not self.on_outcome(disturbance, forked)

    def _finish(self, name: str, disturbance: Disturbance, reason: str) -> Outcome:
        outcome = Outcome(name, sync_runs=1)
        if INTERNAL_ERROR in reason:
            outcome.violations.append(f"I8: {reason}")
        disturbance.end(self.scene)
        self.scene.witness.forbidden_reason = ""
        outcome.reconnects += reconnect_and_resume(self.scene)
        self.scene.world.clock.advance(timedelta(minutes=5))
        finish(self.scene, outcome, strict=disturbance.strict)
        if disturbance.group == "D" and outcome.reconnects:
            outcome.violations.append("I8: the authorisation expired, though nobody revoked it and it was used in time")
        return outcome
