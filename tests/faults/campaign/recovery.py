"""Recovery: after a fault time passes, perhaps more goes wrong, syncs run again, and everything is checked."""

from __future__ import annotations

import json
import random
import socket
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

from connector.db.engine import reading
from connector.db.tables import Connection
from connector.emails.inbound import events as inbound_events
from connector.run import _describe_fault
from connector.vocabulary import ConnectionHealth, RunOutcome
from providers.sendgrid import webhook
from tests.faults.campaign import invariants, mailers
from tests.faults.campaign.forks import Outcome
from tests.faults.campaign.in_process import FAULTS
from tests.faults.campaign.invariants import NeighbourSnapshot
from tests.faults.campaign.witness import MARK, Witness, dues_by_id
from tests.faults.campaign.world import World

WAITS = {  # how long until duewell is started again, with the weight of each
    timedelta(minutes=1): 70,
    timedelta(minutes=61): 14,
    timedelta(days=1): 6,
    timedelta(days=4): 4,
    timedelta(hours=-1): 6,  # the machine restarts with its clock an hour slow
}
INTERNAL_ERROR = _describe_fault(RuntimeError()).partition(" (")[0]  # starts the reason of a run with a bug
LOG_BEHAVIOURS = {"prompt": 75, "lag": 15, "fail": 10}
BUSY = next(fault for fault in FAULTS if fault.name == "busy")
LINES_PER_RUN = 3000
LEASE = timedelta(minutes=11)
GRACE = timedelta(minutes=20)  # Xero's is thirty
Traced = Callable[[FrameType], bool]


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Under what circumstances a killed sync is recovered from."""

    wait: timedelta = timedelta(minutes=1)
    logs: str = "prompt"  # whether the email service's log shows emails at once, lags, or fails
    paid: bool = False  # the customer pays in the meantime
    events: bool = False  # the email service's events arrive meanwhile, three times each
    other_machine: bool = False  # another machine takes the lease
    killed_again_at: int = 0  # a line of the recovering sync
    redo_killed_at: int = 0  # of an action: a line of its repetition

    @classmethod
    def draw(cls, seed: str) -> Circumstances:
        """Draw random circumstances by a seed."""
        dice = random.Random(seed)
        return cls(
            wait=dice.choices(list(WAITS), list(WAITS.values()))[0],
            logs=dice.choices(list(LOG_BEHAVIOURS), list(LOG_BEHAVIOURS.values()))[0],
            paid=dice.random() < 0.08,
            events=dice.random() < 0.1,
            other_machine=dice.random() < 0.03,
            killed_again_at=dice.randrange(1, LINES_PER_RUN) if dice.random() < 0.15 else 0,
            redo_killed_at=dice.randrange(1, LINES_PER_RUN) if dice.random() < 0.5 else 0,
        )

    @property
    def is_ordinary(self) -> bool:
        """Return whether what was due before the fault must be done, or unconfirmed, after it."""
        return timedelta(0) <= self.wait < timedelta(hours=2) and not self.paid


@dataclass(frozen=True, slots=True)
class Expected:
    """What an undisturbed sync does: keys of emails, marks of notes, numbers of fees."""

    emails: frozenset[str] = frozenset()
    notes: frozenset[str] = frozenset()
    fees: frozenset[str] = frozenset()

    def to_lines(self) -> list[str]:
        """Return it as lines that a child sends to its parent."""
        return [f"{kind} {each}" for kind, found in asdict(self).items() for each in sorted(found)]

    @classmethod
    def from_lines(cls, lines: Iterable[str]) -> Expected:
        """Parse such lines."""
        found: dict[str, set[str]] = {"emails": set(), "notes": set(), "fees": set()}
        for line in lines:
            kind, _, each = line.partition(" ")
            found[kind].add(each)
        return cls(**{kind: frozenset(each) for kind, each in found.items()})


def observe_effects(world: World) -> Expected:
    """Return the effects at the services."""
    company = world.company
    return Expected(
        frozenset(email.key for email in mailers.list_arrived(world)),
        frozenset(mark for each in dues_by_id(company) for note in company.notes(each) for mark in MARK.findall(note)),
        frozenset(invariants.fee_numbers(company)),
    )


@dataclass(slots=True)
class Scene:
    """The world with its witness and what is expected of it: the starting point of every case."""

    world: World
    witness: Witness
    before: NeighbourSnapshot
    scratch: Path
    expected: Expected = Expected()
    in_child: bool = False  # this process recovers a case; nothing more is broken in it

    def folder(self, name: str) -> Path:
        """Return the path of a folder for a copy of the world."""
        return self.scratch / f"{name}-{self.world.moves}"


def recover(scene: Scene, name: str, how: Circumstances, traced: Traced | None = None) -> Outcome:
    """Recover from a kill, once the world is in the state after it: run until nothing is unfinished, and check."""
    outcome = Outcome(name)
    _meanwhile(scene, how)
    if how.killed_again_at and traced is not None:
        try:
            _killed_again(scene, outcome, how, traced)
        except _RunAbandoned:
            return outcome
    if how.other_machine:
        elsewhere: Any = socket
        elsewhere.gethostname = lambda: "elsewhere"
        run_once(scene, outcome)
        scene.world.clock.advance(LEASE)
    finish(scene, outcome, strict=how.is_ordinary)
    if outcome.reconnects and how.wait < GRACE:
        outcome.violations.append("I8: a kill cost the authorisation, though the old token was valid for half an hour")
    return outcome


def finish(scene: Scene, outcome: Outcome, *, strict: bool) -> Outcome:
    """Run until nothing is left to do, at most two hours of syncs after the faults stop, and check everything."""
    world = scene.world
    result = run_once(scene, outcome)
    if result != RunOutcome.OK or invariants.find_unfinished(world):  # the longest limit asks for a day
        patience = timedelta(minutes=61) if not _is_deferred(world) else timedelta(hours=25)
        world.services.faults.clear()
        mailers.delay_search(world, timedelta())
        world.clock.advance(patience)
        result = run_once(scene, outcome)
    if strict and find_missing(scene):  # deferred by a limit that asked for a day
        world.clock.advance(timedelta(hours=25))
        result = run_once(scene, outcome)
    if result == RunOutcome.OK and invariants.check_mirror(world):  # a fee of this sync is read by the next
        world.clock.advance(timedelta(minutes=10))
        result = run_once(scene, outcome)
    found = invariants.find_violations(world, scene.witness, scene.before, read=result == RunOutcome.OK)
    outcome.unconfirmed, outcome.delivered = invariants.count_unconfirmed(world)
    if result not in {RunOutcome.OK, RunOutcome.DEFERRED}:
        found.append(f"I8: the run after the faults ended as {result}")
    if strict:
        found += find_missing(scene)
    outcome.violations += found
    return outcome


def _is_deferred(world: World) -> bool:
    """Return whether a service deferred the company by more than an hour."""
    with reading(world.app.engine) as session:
        next_run_at = session.get_one(Connection, world.connection).next_run_at
    return next_run_at is not None and next_run_at - world.clock.now() > timedelta(hours=1)


def run_once(scene: Scene, outcome: Outcome) -> RunOutcome:
    """Run a sync; where the authorisation expired, reconnect first, as a user does."""
    world = scene.world
    with reading(world.app.engine) as session:
        if session.get_one(Connection, world.connection).health == ConnectionHealth.AUTHORIZATION_EXPIRED:
            outcome.reconnects += 1
            world.connect(world.company)
    outcome.sync_runs += 1
    result = world.sync()
    if INTERNAL_ERROR in result.reason or result.outcome == RunOutcome.FAILED:
        outcome.violations.append(f"I8: {result.outcome}: {result.reason}")
    return result.outcome


def find_missing(scene: Scene) -> list[str]:
    """Return what an undisturbed sync would have done, but is neither done nor shown as open now."""
    done, expected = observe_effects(scene.world), scene.expected
    known = invariants.find_visible(scene.world)
    lost = [*(expected.emails - done.emails), *(expected.notes - done.notes), *(expected.fees - done.fees)]
    return [f"I8: {each} was due, and is neither done nor unconfirmed" for each in lost if each not in known]


def _meanwhile(scene: Scene, how: Circumstances) -> None:
    world = scene.world
    if how.events:
        deliver_events(world, 3)
    if how.logs == "lag":
        mailers.delay_search(world, timedelta(hours=2))
    elif how.logs == "fail":
        world.services.faults.append((mailers.is_search, BUSY))
    if how.wait < timedelta(0):  # our own clock; the services' go on
        world.delay_clock(-how.wait)
    else:
        world.clock.advance(how.wait)
    if how.paid:
        unpaid = [
            number for number, due in world.company.open_balances().items() if due and number in world.company.numbers
        ]
        for number in unpaid:
            world.company.pay(number)


def deliver_events(world: World, copies: int, *, backwards: bool = False) -> None:
    """Deliver all events of the email service so many times, as its webhook does; a mailbox has none."""
    flat = [{**event.get("custom_args", {}), **event} for event in world.sandbox.sendgrid.store.events]
    for event in flat:
        event.pop("custom_args", None)
    events = webhook.parse_events(json.dumps(flat[::-1] if backwards else flat).encode(), world.app.now())
    for _copy in range(copies):
        inbound_events.receive_events(world.app, events)


class _RunAbandoned(BaseException):
    """Unwinds the frames of a killed sync, whose world has moved on."""


def _killed_again(scene: Scene, outcome: Outcome, how: Circumstances, traced: Traced) -> None:
    """Run a sync and kill it at its n-th line; recover from that, and raise ``_RunAbandoned``."""
    left = how.killed_again_at

    def line(_frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal left
        left -= event == "line"
        if left == 0:
            left = -1
            scene.world.move_to(scene.folder("again"))
            scene.world.clock.advance(timedelta(minutes=1))
            finish(scene, outcome, strict=how.is_ordinary)
            raise _RunAbandoned
        return line

    def enter(frame: FrameType, _event: str, _argument: object) -> Any:
        return line if traced(frame) else None

    sys.settrace(enter)
    try:
        run_once(scene, outcome)
    finally:
        sys.settrace(None)
