"""Kills work that calls no vendor, without forks: the vendors stay as they are, so that only files have to be copied.

The work is begun anew for each of its points, in a copy of the files as they were before, and killed there. What the
kill left is copied once for each of the circumstances that it is mended under.
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
    """Kills some work at every point of it, ``times`` under other circumstances each, and keeps what came of it."""

    scene: Scene
    label: str
    seed: int
    on_outcome: Callable[[Outcome], bool]  # hears each outcome; says whether to go on
    work: Callable[[World], object]
    recover: Callable[[Scene, str, Circumstances], Outcome]
    every: int = 1
    times: int = 1
    places: set[tuple[str, int]] = field(default_factory=set)
    points: Counter[str] = field(default_factory=Counter)
    _points_passed: int = 0
    _kill_at: int = 0
    _where: str = ""  # it was killed
    _left: Path | None = None  # by the kill: a copy of the files as they lay on the disk

    def __post_init__(self) -> None:
        world = self.scene.world
        self._traced = on_path(ALL_CODE)
        self._began_at, self._home = world.clock.now(), world.folder
        self._room = self.scene.scratch = self._home.parent / "in-place"

    def run(self) -> None:
        """Kill it at its first point, its second, and so on, until it comes to its end before it is killed."""
        wanted, goes_on = 1, True
        while goes_on and (left := self._killed_at(wanted)) is not None:
            kind = "commit" if "commit" in self._where else "line"
            self.points[kind] += 1
            name = f"{self.label} {kind} {wanted} ({self._where})"
            for time in range(self.times):
                how = Circumstances.draw(f"{self.seed}:{self.label}:{wanted}:{time}")
                goes_on = goes_on and self.on_outcome(self._recover_copy(left, name, how))
            wanted += self.every

    def _killed_at(self, wanted: int) -> Path | None:
        """Do the work in a copy of the files; give a copy of what is left when it is killed, ``None`` if it is not."""
        self._left, self._points_passed, self._kill_at = None, 0, wanted
        self._start_from(self._home)
        try:
            with around_commits(self.scene.world, f"{self.seed}:{self.label}", self._point):
                sys.settrace(self._enter)
                self.work(self.scene.world)
        except Killed:
            pass  # what it left was copied
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
            outcome = Outcome(name, [f"a fault of duewell or of the campaign: {traceback.format_exc()}"])
        self._clean_up()
        outcome.cpu_s = _used_s() - began
        return outcome

    def _start_from(self, files: Path) -> None:
        """Be a new process with a copy of these files."""
        world = self.scene.world
        world.clock.set(self._began_at)
        world.folder = files
        self._room.mkdir(exist_ok=True)
        world.move_to(self.scene.folder("begun"))

    def _clean_up(self) -> None:
        """Close what a killed process would have left to the system, and remove its files."""
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
