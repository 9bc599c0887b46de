"""Runs two decisions in two threads, and stops one of them at a chosen statement until the other is done or waits."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine, event

from tests.races.harness.decisions import REFUSALS, Decision
from tests.races.harness.world import World

WAIT_S = 0.012  # without any statement for so long, a decision waits for a lock
_HANG_S = 40.0  # longer than either database waits for a lock


@dataclass(frozen=True)
class Outcome:
    """How a decision ended: what it returned, or the message of its refusal, or the type of an error."""

    kind: str  # done, refused or error
    text: str = ""


@dataclass
class _Actor:
    """A decision under way in a thread of its own."""

    world: World
    decision: Decision
    stops_at: int = -1  # the statement before which it waits to be told
    alternates: bool = False
    statements: int = 0
    outcome: Outcome | None = None
    stopped: threading.Event = field(default_factory=threading.Event)
    resumed: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None

    def start(self) -> None:
        self.thread = threading.Thread(target=self._decide, daemon=True)
        self.thread.start()

    def before_statement(self) -> None:
        number, self.statements = self.statements, self.statements + 1
        if number == self.stops_at:
            self.stopped.set()
            self.resumed.wait(_HANG_S)

    def wait_until_idle(self) -> None:
        """Wait until it has stopped, has ended, or makes no progress because it waits for a lock."""
        seen = -1
        while not self.ended.wait(WAIT_S):
            if self.stopped.is_set() or seen == self.statements:
                return
            seen = self.statements

    def _decide(self) -> None:
        _ACTORS.actor = self
        try:
            returned = self.decision(self.world)
            self.outcome = Outcome("done", _told(returned))
        except REFUSALS as refusal:
            self.outcome = Outcome("refused", str(refusal))
        except Exception as error:  # noqa: BLE001 - any other error is the finding
            self.outcome = Outcome("error", f"{type(error).__name__}: {str(error)[:200]}")
        finally:
            self.ended.set()


_ACTORS = threading.local()


def decide_alone(world: World, decision: Decision) -> tuple[Outcome, int]:
    """Run one decision; return its outcome and how many statements it executes."""
    actor = _Actor(world, decision)
    with _gates(world.app.engine):
        actor.start()
        _join(actor)
    return actor.outcome or Outcome("error", "hangs"), actor.statements


def decide_together(world: World, first: Decision, second: Decision, stop_at: int) -> tuple[Outcome, Outcome]:
    """Stop the first decision before its statement ``stop_at``, run the second as far as it goes, then go on."""
    one, two = _Actor(world, first, stops_at=stop_at), _Actor(world, second)
    with _gates(world.app.engine):
        one.start()
        while not one.stopped.wait(0.002) and not one.ended.is_set():
            pass
        two.start()
        two.wait_until_idle()
        one.resumed.set()
        _join(one)
        _join(two)
    return one.outcome or Outcome("error", "hangs"), two.outcome or Outcome("error", "hangs")


def _join(actor: _Actor) -> None:
    actor.ended.wait(_HANG_S)


def _told(returned: object) -> str:
    return "" if returned is None or not isinstance(returned, str | bool | int) else str(returned)


@contextmanager
def _gates(engine: Engine) -> Iterator[None]:
    """Pass the gate of a decision before each of its statements and commits."""

    def on_statement(*_details: Any) -> None:
        actor = getattr(_ACTORS, "actor", None)
        if actor is not None:
            actor.before_statement()

    names = ("before_cursor_execute", "commit")
    for name in names:
        event.listen(engine, name, on_statement)
    try:
        yield
    finally:
        for name in names:
            event.remove(engine, name, on_statement)
