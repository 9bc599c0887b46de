"""Kills of actions that call no service, without forks: the services stay as they are, and only files are copied.

The action is started again for each of its points, in a copy of the original files, and killed there. What the kill
left is copied once for each of the circumstances it is recovered under.
"""

from __future__ import annotations

import resource
import shutil
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from sqlalchemy import Pool

from tests.faults.campaign.forks import Outcome
from tests.faults.campaign.kills import ALL_CODE, ROOT, Killed, around_commits, cut_off, on_path
from tests.faults.campaign.recovery import Circumstances, Scene
from tests.faults.campaign.world import World


@dataclass
class InPlaceKills:
    """Kills an action at every point, ``times`` under different circumstances each, and reports each outcome."""

    scene: Scene
    label: str
    seed: int
    on_outcome: Callable[[Outcome], bool]  # returns whether to continue
    action: Callable[[World], object]
    recover: Callable[[Scene, str, Circumstances], Outcome]
    every: int = 1
    times: int = 1
    places: set[tuple[str, int]] = field(default_factory=set)
    points: Counter[str] = field(default_factory=Counter)
    _points_passed: int = 0
    _kill_at: int = 0
    _where: str = ""  # the point of the kill
    _left: Path | None = None  # a copy of the files as the kill left them on disk

    def __post_init__(self) -> None:
        world = self.scene.world
        self._traced = on_path(ALL_CODE)
        self._began_at, self._home = world.clock.now(), world.folder
        self._room = self.scene.scratch = self._home.parent / "in-place"

    def run(self) -> None:
        """Kill the action at its first point, its second, and so on, until it completes before it is killed."""
        point, continues = 1, True
        while continues and (left := self._killed_at(point)) is not None:
            kind = "commit" if "commit" in self._where else "line"
            self.points[kind] += 1
            name = f"{self.label} {kind} {point} ({self._where})"
            for time in range(self.times):
                how = Circumstances.draw(f"{self.seed}:{self.label}:{point}:{time}")
                continues = continues and self.on_outcome(self._recover_copy(left, name, how))
            point += self.every

    def _killed_at(self, point: int) -> Path | None:
        """Run the action in a copy of the files. Return a copy of what a kill left, None where it completed."""
        self._left, self._points_passed, self._kill_at = None, 0, point
        self._start_from(self._home)
        try:
            with around_commits(self.scene.world, f"{self.seed}:{self.label}", self._point):
                sys.settrace(self._enter)
                self.action(self.scene.world)
        except Killed:
            pass  # its files were copied
        finally:
            sys.settrace(None)
        self._clean_up()
        return self._left

    def _recover_copy(self, left: Path, name: str, how: Circumstances) -> Outcome:
        began = _used_s()
        self._start_from(left)
        try:
            outcome = self.recover(self.scene, name, how)
        except Exception:  # noqa: BLE001 - a case that breaks is a finding, not the end of the campaign
            outcome = Outcome(name, [f"an error in duewell or in the campaign: {traceback.format_exc()}"])
        self._clean_up()
        outcome.cpu_s = _used_s() - began
        return outcome

    def _start_from(self, files: Path) -> None:
        """Continue as a new process with a copy of these files."""
        world = self.scene.world
        world.clock.set(self._began_at)
        world.folder = files
        self._room.mkdir(exist_ok=True)
        world.move_to(self.scene.folder("begun"))

    def _clean_up(self) -> None:
        """Close what the system closes for a killed process, and delete its files."""
        world = self.scene.world
        for each in world.kept_alive:
            if isinstance(each, Pool):
                each.dispose()
        world.kept_alive.clear()
        world.app.engine.dispose()
        for folder in self._room.iterdir():
            if folder != self._left:
                shutil.rmtree(folder)

    def _enter(self, frame: FrameType, _event: str, _argument: object) -> Any:
        return self._line if self._traced(frame) else None

    def _line(self, frame: FrameType, event: str, _argument: object) -> Any:
        if event == "line":
            place = (frame.f_code.co_filename.removeprefix(ROOT), frame.f_lineno)
            self.places.add(place)
            self._point(f"{place[0]}:{place[1]}", None)
        return self._line

    def _point(self, where: str, cut: int | None) -> None:
        self._points_passed += 1
        if self._points_passed != self._kill_at:
            return
        left = self.scene.folder("left")
        self.scene.world.copy_to(left)
        cut_off(left, cut)
        self._where, self._left = where, left
        self.scene.world.reset_write_queue()
        raise Killed


def _used_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
