"""The jobs of a campaign, each of which builds a world and breaks it, and the tally of their outcomes."""

from __future__ import annotations

import gc
import logging
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

from tests.faults.campaign import invariants
from tests.faults.campaign.actions import ACTIONS, redo
from tests.faults.campaign.disturbances import ALL
from tests.faults.campaign.disturbed_run import Disturbance, DisturbedRun
from tests.faults.campaign.forks import Outcome, try_in_child
from tests.faults.campaign.in_place_kills import InPlaceKills
from tests.faults.campaign.in_process import Sent, is_effect
from tests.faults.campaign.invariants import LogCapture
from tests.faults.campaign.kills import ALL_CODE, EFFECT_PATH, Kills
from tests.faults.campaign.mailers import OTHERS, SENDGRID
from tests.faults.campaign.model import run_lives
from tests.faults.campaign.planted_bugs import PLANTED
from tests.faults.campaign.recovery import Expected, Scene, observe_effects, run_once
from tests.faults.campaign.witness import Witness
from tests.faults.campaign.world import LEDGERS, SCENARIOS, World, build_scenario, build_world

GROUPS = {
    "A": "the sync is killed: at every line of its path, around every call, before, in and after every commit",
    "A, actions": "what users and services do is killed at every line, and repeated",
    "B": "the network and the services fail, in 24 ways, once or for good, at every call",
    "C": "the email service's events come 46 times, backwards, or report a bounce, at every call",
    "D": "the clock jumps at every call",
    "E": "other processes run at the same time, at every call",
    "F": "the ledger or a user changes something, at every call",
    "G": "the disk is full, locked or read-only; a backup is made and restored; at every call",
    "H": "the ledger contains hostile names",
    "I": "random lives with all of it in any order",
}


class Size(NamedTuple):
    """The size of a campaign. ``varieties`` is as in ``Kills``; the others are shares and counts."""

    varieties: int
    lines_every: int
    path: tuple[str, ...]
    actions_every: (
        int  # of actions that call a service, every n-th line; of the others, which are cheaper, twice as many
    )
    actions_times: int  # of the others
    disturbance_share: float
    lives: int
    planted_share: float


SIZES = {
    "sample": Size(1, 150, EFFECT_PATH, 60, 1, 0.02, 0, 1.0),
    "commit": Size(2, 1, EFFECT_PATH, 2, 4, 0.25, 20, 0.7),
    "long": Size(0, 1, ALL_CODE, 1, 4, 10.0, 600, 1.0),
}


@dataclass
class Tally:
    """The outcomes of the fault runs of one group."""

    group: str
    runs: int = 0
    covered: int = 0
    sync_runs: int = 0
    unconfirmed: int = 0
    delivered: int = 0
    reconnects: int = 0
    cpu_s: float = 0.0
    points: Counter[str] = field(default_factory=Counter)
    places: set[tuple[str, int]] = field(default_factory=set)
    failures: list[tuple[str, list[str]]] = field(default_factory=list)

    def add(self, outcome: Outcome) -> bool:
        """Add an outcome, and return whether it has no violation."""
        self.runs += 1
        self.sync_runs += outcome.sync_runs
        self.unconfirmed += outcome.unconfirmed
        self.delivered += outcome.delivered
        self.reconnects += outcome.reconnects
        self.cpu_s += outcome.cpu_s
        if outcome.violations:
            self.failures.append((outcome.name, outcome.violations))
        return not outcome.violations

    def merge(self, other: Tally) -> None:
        """Add another tally of the same group."""
        for name in ("runs", "covered", "sync_runs", "unconfirmed", "delivered", "reconnects", "cpu_s"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.points += other.points
        self.places |= other.places
        self.failures += other.failures


class Job(NamedTuple):
    """One world to break: ``kind`` is kills, acts, disturbances, lives or planted; ``what`` is a day or a number.

    ``honours_keys``: whether the ledgers repeat their reply to a write that comes again under the same key.
    """

    kind: str
    provider: str
    subject: str
    size: Size
    seed: int
    until: float = inf  # by the monotonic clock: then it ends early
    honours_keys: bool = True
    mailer: str = SENDGRID

    def add_outcome(self, tally: Tally, outcome: Outcome) -> bool:
        """Add an outcome, and return whether to continue: there is time, and not everything fails."""
        tally.add(outcome)
        return len(tally.failures) < FAILURES_MAX and time.monotonic() < self.until

    @property
    def label(self) -> str:
        """Return the job's name in reports."""
        mailer = "" if self.mailer == SENDGRID else f" by {self.mailer}"
        return f"{self.provider} {self.subject}{'' if self.honours_keys else ', keys ignored'}{mailer}"


PLANTED_LINES = 40  # a planted bug is searched for at every n-th line
PLANTED_TIMES = 3  # circumstances of each kill: a payment in the meantime, or a nightly comparison, can hide a bug
OTHER_CALLS = 0.1  # share of the calls without an effect that are disturbed: there are many of them
KEYLESS = {"email", "fee", "life"}  # what is also tried on ledgers that ignore the keys of writes
SAMPLE_BUG = 5  # the planted bug of the sample
FAILURES_MAX = 20  # of one job, after which it stops


def list_jobs(name: str, seed: int) -> list[Job]:
    """Return the jobs of a campaign, the longest first."""
    size = SIZES[name]
    scenarios = [(provider, scenario) for scenario in SCENARIOS for provider in LEDGERS]
    if name == "sample":
        scenarios = [("xero" if seed % 2 else "quickbooks", "email")]
    found = [
        Job(kind, provider, scenario, size, seed)
        for provider, scenario in scenarios
        for kind in ("kills", "disturbances")
    ]
    found += [Job("lives", provider, "life", size, seed) for provider in LEDGERS if size.lives]
    if name != "sample":
        found += [each._replace(honours_keys=False) for each in found if each.subject in KEYLESS]
        found += [
            Job("disturbances", LEDGERS[(n + seed) % 2], "email", size, seed, mailer=mailer)
            for n, mailer in enumerate(OTHERS)
        ]
    if name == "long":
        found += [Job("kills", provider, "email", size, seed, mailer=each) for provider in LEDGERS for each in OTHERS]
    actions = range(len(ACTIONS)) if name != "sample" else [seed % len(ACTIONS)]
    found += [Job("actions", LEDGERS[(n + seed) % 2], str(n), size, seed) for n in actions]
    found += [Job("actions", LEDGERS[(n + seed + 1) % 2], str(n), size, seed) for n in actions if name == "long"]
    planted = range(len(PLANTED)) if name != "sample" else [SAMPLE_BUG]
    return found + [
        Job("planted", PLANTED[n].provider, str(n), size, seed, honours_keys=PLANTED[n].honours_keys) for n in planted
    ]


def run_job(job: Job) -> list[Tally]:
    """Run a job, in a process of its own."""
    if time.monotonic() >= job.until:
        return []
    logging.getLogger().handlers[:] = [LogCapture()]
    logging.getLogger().setLevel(logging.DEBUG)
    with tempfile.TemporaryDirectory(dir=_memory_folder(), prefix="duewell-faults-") as folder:
        return _RUNNERS[job.kind](job, Path(folder))


def _memory_folder() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def _build_scene(world: World, folder: Path) -> Scene:
    return Scene(world, Witness(world), invariants.snapshot_neighbour(world), folder)


def _prepare_scene(job: Job, scenario: str, folder: Path) -> Scene:
    """Build the world, record what an undisturbed sync does, and make forks cheap."""
    world = build_scenario(job.provider, scenario, folder / "home", job.mailer)
    if not job.honours_keys:
        world.ignore_write_keys()
    scene = _build_scene(world, folder)
    base = folder / "undisturbed"

    def undisturbed() -> Outcome:
        world.move_to(base)
        outcome = Outcome("undisturbed")
        run_once(scene, outcome)
        assert not scene.witness.violations + outcome.violations
        outcome.violations = observe_effects(world).to_lines()
        return outcome

    scene.expected = Expected.from_lines(try_in_child("undisturbed", undisturbed, base).violations)
    if scene.expected == Expected():
        raise AssertionError(f"{job.label}: the undisturbed sync does nothing, so that nothing could go wrong")
    _freeze()
    return scene


def _freeze() -> None:
    gc.collect()
    gc.freeze()
    gc.disable()


def _kills(job: Job, folder: Path) -> list[Tally]:
    tally = Tally("A")
    scene = _prepare_scene(job, job.subject, folder)
    on_outcome = partial(job.add_outcome, tally)
    kills = Kills(
        scene,
        job.label,
        job.seed,
        on_outcome,
        traced_paths=job.size.path,
        varieties=job.size.varieties,
        every=job.size.lines_every,
    )
    kills.run()
    tally.covered, tally.points, tally.places = kills.covered, kills.points, kills.places
    return [tally]


def _actions(job: Job, folder: Path) -> list[Tally]:
    action, tally = ACTIONS[int(job.subject)], Tally("A, actions")
    world = build_world(job.provider, folder / "home")
    action.prepare(world)
    world.checkpoint()
    scene = _build_scene(world, folder)
    label = f"{job.provider}, {action.name}"
    kills: Kills | InPlaceKills
    on_outcome = partial(job.add_outcome, tally)
    how: dict[str, Any] = {"action": action.perform, "recover": redo(action)}
    if action.calls_service:
        _freeze()
        kills = Kills(scene, label, job.seed, on_outcome, traced_paths=ALL_CODE, every=job.size.actions_every, **how)
    else:
        kills = InPlaceKills(
            scene,
            label,
            job.seed,
            on_outcome,
            every=max(1, job.size.actions_every // 2),
            times=job.size.actions_times,
            **how,
        )
    kills.run()
    tally.points, tally.places = kills.points, kills.places
    return [tally]


def _disturbances(job: Job, folder: Path) -> list[Tally]:
    tallies: dict[str, Tally] = {}
    scene = _prepare_scene(job, job.subject, folder)
    dice = random.Random(f"{job.seed} {job.label}")

    def is_selected(_disturbance: Disturbance, sent: Sent) -> bool:
        return dice.random() < job.size.disturbance_share * (1 if is_effect(sent) else OTHER_CALLS)

    def on_outcome(disturbance: Disturbance, outcome: Outcome) -> bool:
        return job.add_outcome(tallies.setdefault(disturbance.group, Tally(disturbance.group)), outcome)

    disturbed = DisturbedRun(scene, job.label, ALL, is_selected, on_outcome)
    disturbed.run()
    return list(tallies.values())


def _lives(job: Job, folder: Path) -> list[Tally]:
    tally = Tally("I")
    world = build_world(job.provider, folder / "home")
    if not job.honours_keys:
        world.ignore_write_keys()
    world.checkpoint()
    scene = _build_scene(world, folder)
    _freeze()
    on_outcome = partial(job.add_outcome, tally)
    run_lives(scene, job.size.lives, job.seed, on_outcome, job.label)
    return [tally]


def _planted(job: Job, folder: Path) -> list[Tally]:
    """Search for a planted bug until it is found, among the faults that can reveal it, at random points."""
    bug = PLANTED[int(job.subject)]
    tally = Tally(f"J: {bug.name}")
    scene = _prepare_scene(job, bug.scenario, folder)
    bug.plant()
    dice = random.Random(f"{job.seed} {bug.name}")

    def is_selected(disturbance: Disturbance, sent: Sent) -> bool:
        is_candidate = disturbance.group in bug.groups and (disturbance.group != "B" or is_effect(sent))
        return is_candidate and dice.random() < job.size.planted_share

    if "A" in bug.groups:
        Kills(scene, bug.name, job.seed, tally.add, varieties=1, every=PLANTED_LINES, times=PLANTED_TIMES).run()
    else:
        DisturbedRun(scene, bug.name, ALL, is_selected, lambda _disturbance, outcome: tally.add(outcome)).run()
    return [tally]


_RUNNERS: dict[str, Callable[[Job, Path], list[Tally]]] = {
    "kills": _kills,
    "actions": _actions,
    "disturbances": _disturbances,
    "lives": _lives,
    "planted": _planted,
}
