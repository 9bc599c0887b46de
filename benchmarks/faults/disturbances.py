"""Classes B to H: at every call of an hour something goes wrong around it, and the hour goes on with that.

The hour runs once. At each call, and for each thing that can go wrong there, a child is forked that goes on with the
hour, in a copy of the database; when its hour has ended the fault stops, and what came of it is checked.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock
from sqlalchemy import select, update
from sqlmodel import col

from benchmarks.faults.forks import Child, Outcome, split
from benchmarks.faults.in_process import FAULTS, Fault, Sent
from benchmarks.faults.mending import Scene, deliver_events, settle
from benchmarks.faults.world import World
from connector.access.connections import disconnect, pause, resume, set_mode
from connector.access.tokens import fresh_token
from connector.backup import restore_backup, write_backup
from connector.database import reading, writing
from connector.installation import Uncounted
from connector.people import agreements
from connector.tables import Connection, InvoiceRow


class Disturbance(NamedTuple):
    """Something that goes wrong at a call. ``strict``: what was due must be done, or in doubt, all the same."""

    group: str
    what: str
    begin: Callable[[Scene, Sent], object]
    end: Callable[[Scene], object] = lambda _scene: None
    strict: bool = True


# B: the network and the vendors.


def _fault(fault: Fault, *, once: bool) -> Callable[[Scene, Sent], None]:
    def begin(scene: Scene, at: Sent) -> None:
        def matches(sent: Sent) -> bool:
            same = (sent.vendor, sent.kind, sent.method) == (at.vendor, at.kind, at.method)
            return sent.n == at.n if once else same

        scene.world.vendors.faults.append((matches, fault))

    return begin


def _clear(scene: Scene) -> None:
    scene.world.vendors.faults.clear()


NETWORK = [
    Disturbance("B", f"{fault.name}, {'once' if once else 'from now on'}", _fault(fault, once=once), _clear)
    for fault in FAULTS
    for once in (True, False)
]


# F: the ledger, or a person, changes something between decision and send.


def _numbers(world: World) -> list[str]:
    return [number for number in world.books.numbers if world.books.dues().get(number)]


def _each(change: Callable[[World, str], object]) -> Callable[[Scene, Sent], None]:
    def begin(scene: Scene, _at: Sent) -> None:
        for number in _numbers(scene.world):
            change(scene.world, number)

    return begin


def _move_due(world: World, number: str) -> None:
    later = (world.clock.now().date() + timedelta(days=40)).isoformat()
    due = {"xero": "due_on", "quickbooks": "DueDate"}[world.books.provider]
    world.books.desk.edit(number, **world.books.where, **{due: later})


def say(world: World, number: str, what: Callable[..., object], **said: Any) -> None:
    """Let a person say something about an invoice."""
    with writing(world.installation.engine) as session:
        row = session.scalars(
            select(InvoiceRow).where(
                col(InvoiceRow.number) == number, col(InvoiceRow.connection_id) == world.connection
            )
        ).one()
        what(session, row, agreements.Word("Ann", world.installation.now()), **said)


def live_again(scene: Scene) -> bool:
    """Do what a person does after it: connect again, resume, go live. Tell whether the grant had died."""
    world = scene.world
    with reading(world.installation.engine) as session:
        health = session.get_one(Connection, world.connection).health
    if health in {"disconnected", "reconnect"}:
        world.connect(world.books)
    resume(world.installation, world.connection)
    set_mode(world.installation, world.connection, "live")
    return health == "reconnect"


def _loosely(what: str, begin: Callable[[Scene, Sent], object]) -> Disturbance:
    return Disturbance("F", what, begin, live_again, strict=False)


MOVED = [
    _loosely("paid", _each(lambda world, number: world.books.pay(number))),
    _loosely("paid in part", _each(lambda world, number: world.books.pay(number, "100.00"))),
    _loosely("voided", _each(lambda world, number: world.books.void(number))),
    _loosely("credited", lambda scene, _at: scene.world.books.credit("Ashdown Ltd", "500.00")),
    _loosely("due date moved", _each(_move_due)),
    _loosely(
        "address changed",
        lambda scene, _at: scene.world.books.desk.set_email(
            "Ashdown Ltd", "new@ashdown.example", **scene.world.books.where
        ),
    ),
    _loosely("disputed", _each(lambda world, number: say(world, number, agreements.dispute, why="wrong goods"))),
    _loosely(
        "promised",
        _each(lambda world, number: say(world, number, agreements.promise, on=world.clock.now().date() + timedelta(9))),
    ),
    _loosely("paused", lambda scene, _at: pause(scene.world.installation, scene.world.connection, by="Ann")),
    _loosely("observed", lambda scene, _at: set_mode(scene.world.installation, scene.world.connection, "observe")),
    _loosely("asked to wait", lambda scene, _at: set_mode(scene.world.installation, scene.world.connection, "approve")),
    _loosely("disconnected", lambda scene, _at: disconnect(scene.world.installation, scene.world.connection)),
]


# E: others at work at the same time.


def _takes_over(scene: Scene, _at: Sent) -> None:
    """Another machine has declared this one dead: every later write of it must be refused."""
    with writing(scene.world.installation.engine) as session:
        session.execute(update(Connection).values(fence=col(Connection.fence) + 1, lease_owner="", lease_until_at=None))
    scene.witness.forbidden = "another machine had taken over"


def _tries(scene: Scene, _at: Sent) -> None:
    running = FileLock(
        _locks(scene) / f"run-{scene.world.connection}.lock"
    )  # stands for the hour's own, which is its parent's
    running.acquire(blocking=False)
    result = scene.world.hour()
    running.release()
    assert result.outcome == "busy", result  # noqa: S101 - two hours of one company beside each other


def _locks(scene: Scene) -> Path:
    return scene.world.installation.settings.duewell_home / "locks"


def _refreshes(scene: Scene, at: Sent) -> None:
    if at.kind == "token":
        return  # it would wait for this very call
    installation = scene.world.installation
    with reading(installation.engine) as session:
        grant = session.get_one(Connection, scene.world.connection).grant_id or 0
    fresh_token(installation, grant, Uncounted())


TOGETHER = [
    Disturbance("E", "another machine takes over", _takes_over),
    Disturbance("E", "a second run begins", _tries),
    Disturbance("E", "another process asks for the token", _refreshes),
]

# C: what the mail system tells, in any order and any number of times.


def _bounces(scene: Scene, _at: Sent) -> None:
    post = scene.world.sandbox.sendgrid
    if post.mails():
        post.bounce(len(post.mails()))
    deliver_events(scene.world, 2)


EVENTS = [
    Disturbance("C", "events, 46 times each", lambda scene, _at: deliver_events(scene.world, 46)),
    Disturbance("C", "events, the last first", lambda scene, _at: deliver_events(scene.world, 2, backwards=True)),
    Disturbance("C", "a bounce", _bounces, strict=False),
]

# D: the clock jumps in the middle of an hour.


def _jump(by: timedelta) -> Callable[[Scene, Sent], None]:
    return lambda scene, _at: scene.world.clock.advance(by)


JUMPS = [
    Disturbance("D", f"the clock jumps by {by}", _jump(by), strict=False)
    for by in (timedelta(minutes=2), timedelta(hours=1), timedelta(hours=14), timedelta(days=3), timedelta(days=40))
]

# H: what a ledger may say.

HOSTILE = (
    "<script>alert(1)</script> Ltd",
    "Robert'); DROP TABLE outbox;-- Ltd",
    "=cmd|'/C calc'!A0 Ltd",
    "{{7*7}} {% for x in y %} Ltd",
    "${jndi:ldap://x} %s %n {0} Ltd",
    "Line\r\nBcc: all@example.com Ltd",
    "\u202eevissergga Ltd",
    "Zero\u200bwidth\ufeff Ltd",
    "🧾🔥 Ltd",
    "Ö" * 200,
    "A\u0301\u0302\u0303" * 30,
    "-- ; /* */ # Ltd",
    '"quoted" \\back\\ Ltd',
    "\x7f\x1b[31mred Ltd",
)


def _named(name: str) -> Callable[[Scene, Sent], object]:
    return lambda scene, _at: scene.world.late(name, 9)


ODD = [Disturbance("H", f"a customer is named {name[:20]!r}", _named(name)) for name in HOSTILE]

# G: the disk.


def _at_every_begin(statement: str) -> Callable[[Scene, Sent], None]:
    return lambda scene, _at: scene.world.spoil(statement)


def _locked(scene: Scene, _at: Sent) -> None:
    scene.world.spoil("", patience_s=0.01)
    holder = sqlite3.connect(scene.world.database, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    scene.world.kept.append(holder)


def _unlocked(scene: Scene) -> None:
    scene.world.kept.pop().close()
    _whole_again(scene)


def _whole_again(scene: Scene) -> None:
    scene.world.spoil("")


def _back_up(scene: Scene, _at: Sent) -> None:
    world = scene.world
    write_backup(world.installation.engine, world.folder / "backup.db", at=world.clock.now())


def _put_back(scene: Scene) -> None:
    world = scene.world
    world.clock.advance(timedelta(hours=1))
    world.installation.engine.dispose()
    restore_backup(f"sqlite:///{world.database}", world.folder / "backup.db", at=world.clock.now())
    world.connect(world.books)  # the tokens of the backup were used up since
    set_mode(world.installation, world.connection, "live")


def _copy_by_hand(scene: Scene, _at: Sent) -> None:
    world = scene.world
    with closing(sqlite3.connect(world.database)) as source, closing(sqlite3.connect(world.folder / "copy")) as copy:
        source.backup(copy)


def _copy_back_by_hand(scene: Scene) -> None:
    world = scene.world
    world.clock.advance(timedelta(hours=1))
    world.installation.engine.dispose()
    for ending in ("-wal", "-shm"):
        world.database.with_name(f"duewell.db{ending}").unlink(missing_ok=True)
    (world.folder / "copy").replace(world.database)
    world.database.chmod(0o600)
    world.connect(world.books)
    world.hour()  # notices, and lets everything wait for a person, who says:
    set_mode(world.installation, world.connection, "live")


DISK = [
    Disturbance(
        "G", "the file is copied, and copied back an hour later", _copy_by_hand, _copy_back_by_hand, strict=False
    ),
    Disturbance("G", "the disk is full", _at_every_begin("PRAGMA max_page_count = 1"), _whole_again),
    Disturbance("G", "the database is read-only", _at_every_begin("PRAGMA query_only = ON"), _whole_again),
    Disturbance("G", "the database is locked", _locked, _unlocked),
    Disturbance("G", "a backup is made, and put back an hour later", _back_up, _put_back, strict=False),
]

ALL = [*NETWORK, *MOVED, *TOGETHER, *EVENTS, *JUMPS, *ODD, *DISK]


@dataclass
class Disturbed:
    """Lets an hour be disturbed at each of its calls, and keeps what came of it."""

    scene: Scene
    label: str
    chosen: Callable[[Disturbance, Sent], bool]  # a disturbance at a call: is it tried?
    tell: Callable[[Disturbance, Outcome], bool]  # hears each outcome; says whether to go on
    calls: int = 0
    stopped: bool = False
    child: tuple[Child, Disturbance] | None = None

    def run(self) -> None:
        """Run the hour, disturbed at every call."""
        world = self.scene.world
        world.vendors.before.append(self._before)  # after the witness: what is on its way has left
        result = world.hour()
        if self.child is not None:
            child, disturbance = self.child
            child.report(lambda: self._finish(child.name, disturbance, result.why))
        if result.outcome == "failed" and not self.stopped:
            message = f"an undisturbed hour failed: {result.why}"
            raise RuntimeError(message)
        world.vendors.before.remove(self._before)

    def _before(self, sent: Sent) -> None:
        if self.scene.in_child or self.stopped:
            return
        self.calls += 1
        engine = self.scene.world.installation.engine
        pool: Any = engine.pool
        assert pool.checkedout() == 0, f"a call within a transaction: {sent}"  # noqa: S101
        for disturbance in ALL:
            if self.stopped or (disturbance.group == "H" and self.calls > 1) or not self.chosen(disturbance, sent):
                continue
            name = f"{self.label} call {self.calls} ({sent.method} {sent.path}): {disturbance.what}"
            folder = self.scene.folder("disturbed")
            there = split(name, folder)
            if isinstance(there, Child):
                self.child = (there, disturbance)
                self.scene.in_child = True
                sys.settrace(None)
                self.scene.world.move(folder, same_process=True)
                self.scene.scratch = folder
                for lock in _locks(self.scene).iterdir():
                    lock.unlink()  # it is the parent's: a lock is not inherited by a child
                disturbance.begin(self.scene, sent)
                return
            self.stopped = not self.tell(disturbance, there)

    def _finish(self, name: str, disturbance: Disturbance, why: str) -> Outcome:
        outcome = Outcome(name, hours=1)
        if "fault of duewell" in why:
            outcome.violations.append(f"I8: {why}")
        disturbance.end(self.scene)
        self.scene.witness.forbidden = ""
        outcome.reconnects += live_again(self.scene)
        self.scene.world.clock.advance(timedelta(minutes=5))
        settle(self.scene, outcome, strict=disturbance.strict)
        if disturbance.group == "D" and outcome.reconnects:
            outcome.violations.append("I8: the grant died, though nobody ended it and it was used in time")
        return outcome
