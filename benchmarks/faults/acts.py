"""Class A, beside the hour: what people and vendors do to a duewell, killed at every line of it and then done again.

A token is renewed, events come in, somebody approves, settles, waives, disputes, backs up, restores, connects. After
the kill the act is done once more, as whoever did it would, and everything must be as if it had been done once.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlmodel import col

from benchmarks.faults import invariants
from benchmarks.faults.forks import Outcome
from benchmarks.faults.in_process import FAULTS
from benchmarks.faults.kills import EVERYTHING, die_at
from benchmarks.faults.mending import Circumstances, Scene, deliver_events
from benchmarks.faults.people import say
from benchmarks.faults.world import EVES, World, posted
from connector import lease, policies_store
from connector.access.connections import disconnect, set_mode
from connector.access.keyring import KeyringError
from connector.access.rotation import rotate
from connector.access.tokens import bound_to, fresh_token
from connector.backup import restore_backup, write_backup
from connector.database import reading, writing
from connector.installation import Uncounted
from connector.people import agreements, approvals, fees
from connector.people.customers import set_customer
from connector.tables import Agreement, Connection, CustomerRow, Grant, OutboxEntry, SuppressedAddress, Task

CUT_OFF = next(fault for fault in FAULTS if fault.name == "cut off after")
LINES_OF_AN_ACT = 150
TOKEN_ENDS = timedelta(minutes=61)


class Act(NamedTuple):
    """Something that is done to a duewell; ``wrong`` says what is wrong after it was killed and done again."""

    name: str
    prepare: Callable[[World], object]
    do: Callable[[World], object]
    wrong: Callable[[World], list[str]] = lambda _world: []
    calls: bool = False  # it calls a vendor


def again(act: Act) -> Callable[[Scene, str, Circumstances], Outcome]:
    """Make the mending of a killed act: it is done again, by whoever did it."""

    def mending(scene: Scene, name: str, how: Circumstances) -> Outcome:
        world, outcome = scene.world, Outcome(name)
        world.clock.advance(timedelta(seconds=30))
        if how.dies:  # in the second try as well, which takes no more lines than the first
            with contextlib.suppress(approvals.OutboxError):
                die_at(scene, lambda: act.do(world), 1 + how.dies % LINES_OF_AN_ACT, EVERYTHING)
            world.clock.advance(timedelta(seconds=30))
        with contextlib.suppress(approvals.OutboxError):  # it was done already
            act.do(world)
        outcome.violations += act.wrong(world)
        with closing(sqlite3.connect(world.database)) as database:
            (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
        outcome.violations += [] if verdict == "ok" else [f"the database is damaged: {verdict}"]
        outcome.violations += invariants.chain(world) + scene.witness.violations
        return outcome

    return mending


def _grant(world: World) -> int:
    with reading(world.installation.engine) as session:
        return session.get_one(Connection, world.connection).grant_id or 0


def _renew(world: World) -> Any:
    return fresh_token(world.installation, _grant(world), Uncounted())


def _usable(world: World) -> list[str]:
    token = _renew(world)["access_token"]
    with reading(world.installation.engine) as session:
        cut_off = session.get_one(Connection, world.connection).health == "reconnect"
    return ["I8: the grant died of it"] if cut_off or not token else []


def _opens(world: World) -> list[str]:
    with reading(world.installation.engine) as session:
        sealed = [(grant.token, bound_to(grant)) for grant in session.scalars(select(Grant))]
    try:
        opened = [world.installation.keyring.decrypt(token, place) for token, place in sealed]
    except KeyringError as closed:
        return [f"a token cannot be opened: {closed}"]
    return [] if all(opened) else ["a token is empty"]


def _doubtful(world: World) -> None:
    world.vendors.faults.append((lambda sent: sent.kind == "mail", CUT_OFF))
    world.hour()
    world.vendors.faults.clear()


def _ids(world: World, *states: str) -> list[int]:
    with reading(world.installation.engine) as session:
        query = select(col(OutboxEntry.id)).where(col(OutboxEntry.state).in_(states), col(OutboxEntry.kind) == "mail")
        return [each or 0 for each in session.scalars(query)]


def _states(world: World, kind: str) -> list[str]:
    with reading(world.installation.engine) as session:
        query = select(col(OutboxEntry.state)).where(col(OutboxEntry.kind) == kind)
        return list(session.scalars(query.where(col(OutboxEntry.connection_id) == world.connection)))


def _told_once(world: World) -> list[str]:
    mails, notes = _states(world, "mail"), _states(world, "note")
    return [] if (mails, notes) == (["done"], ["planned"]) else [f"I4: mails {mails}, notes {notes}"]


def _settle(world: World) -> None:
    with writing(world.installation.engine) as session:
        for entry_id in _ids(world, "doubt"):
            approvals.resolve(session, entry_id, sent=True, by="Ann", at=world.clock.now())


def _asked(world: World) -> None:
    set_mode(world.installation, world.connection, "approve")
    world.hour()


def _approve(world: World) -> None:
    with writing(world.installation.engine) as session:
        approvals.approve(session, _ids(world, "waiting"), by="Ann", at=world.clock.now())


def _reject(world: World) -> None:
    with writing(world.installation.engine) as session:
        approvals.reject(session, _ids(world, "waiting"), by="Ann", at=world.clock.now(), why="not now")


def _is(kind: str, state: str) -> Callable[[World], list[str]]:
    def wrong(world: World) -> list[str]:
        states = _states(world, kind)
        return [] if states == [state] else [f"{kind}: {states} instead of {state}"]

    return wrong


def _waive(world: World) -> None:
    fees.waive(world.installation, posted(world), by="Ann", why="a good customer")


def _charged(world: World) -> None:
    EVES["fee"](world)
    world.hour()


def _read(world: World) -> None:
    set_mode(world.installation, world.connection, "observe")
    world.hour()


def _dispute(world: World) -> None:
    say(world, world.books.numbers[0], agreements.dispute, why="wrong goods")


def _promise(world: World) -> None:
    say(world, world.books.numbers[0], agreements.promise, on=world.clock.now().date() + timedelta(days=9))


def _pause_invoice(world: World) -> None:
    say(world, world.books.numbers[0], agreements.pause, until=world.clock.now().date() + timedelta(days=9))


def _said_once(kind: str) -> Callable[[World], list[str]]:
    """Look that it stands once among what was agreed, however often it was said."""

    def wrong(world: World) -> list[str]:
        with reading(world.installation.engine) as session:
            states = list(session.scalars(select(col(Agreement.state)).where(col(Agreement.kind) == kind)))
        return [] if states.count("open") == 1 else [f"{kind}: {states}"]

    return wrong


def _set_customer(world: World) -> None:
    with reading(world.installation.engine) as session:
        customer = session.scalars(
            select(CustomerRow).where(col(CustomerRow.connection_id) == world.connection)
        ).first()
    assert customer is not None  # noqa: S101 - his invoice was read
    set_customer(world.installation, world.connection, customer.external_id, {"no_fees": True}, by="Ann")


def _bounced(world: World) -> None:
    world.hour()
    world.sandbox.sendgrid.bounce(1)


def _told(world: World) -> list[str]:
    with reading(world.installation.engine) as session:
        tasks = len(session.scalars(select(Task).where(col(Task.code) == "undelivered")).all())
        suppressed = len(session.scalars(select(SuppressedAddress)).all())
    return [] if (tasks, suppressed) == (1, 1) else [f"{tasks} tasks and {suppressed} addresses after one bounce"]


def _hold(world: World) -> None:
    with lease.hold(world.installation, world.connection):
        pass


def _free(world: World) -> list[str]:
    with reading(world.installation.engine) as session:
        owner = session.get_one(Connection, world.connection).lease_owner
    return [f"still held by {owner}"] if owner else []


def _back_up(world: World) -> None:
    write_backup(world.installation.engine, world.folder / "backup.db", at=world.clock.now())


def _whole(world: World) -> list[str]:
    with closing(sqlite3.connect(world.folder / "backup.db")) as backup:
        (verdict,) = backup.execute("PRAGMA integrity_check(1)").fetchone()
    litter = [each.name for each in world.folder.iterdir() if each.name.startswith(".") and each.suffix != ".db"]
    return [] if verdict == "ok" else [f"the backup is damaged: {verdict} {litter}"]


def _put_back(world: World) -> None:
    world.installation.engine.dispose()
    restore_backup(f"sqlite:///{world.database}", world.backup, at=world.clock.now())


def _yesterday(world: World) -> None:
    world.backup = world.folder / "yesterday.db"
    write_backup(world.installation.engine, world.backup, at=world.clock.now())
    world.clock.advance(timedelta(days=1))
    world.hour()


def _asks(world: World) -> list[str]:
    with reading(world.installation.engine) as session:
        mode = session.get_one(Connection, world.connection).mode
    return [] if mode == "approve" else [f"I6: put back from a backup, the company is {mode}"]


def _set_policy(world: World) -> None:
    with writing(world.installation.engine) as session:
        policies_store.set_policy(session, "[thank_you]\nenabled = false\n", by="Ann", at=world.clock.now())


ACTS = (
    Act("a token is renewed", lambda world: world.clock.advance(TOKEN_ENDS), _renew, _usable, calls=True),
    Act("a person connects anew", lambda _world: None, lambda world: world.connect(world.books), _usable, calls=True),
    Act(
        "a person disconnects",
        lambda _world: None,
        lambda world: disconnect(world.installation, world.connection),
        calls=True,
    ),
    Act("events settle a doubt", _doubtful, lambda world: deliver_events(world, 2), _told_once),
    Act("a person settles a doubt", _doubtful, _settle, _told_once),
    Act("a person approves", _asked, _approve, _is("mail", "planned")),
    Act("a person rejects", _asked, _reject, _is("mail", "refused")),
    Act("a person waives a fee", _charged, _waive, _is("waive_fee", "planned")),
    Act("a person disputes", _read, _dispute),
    Act("a person takes a promise", _read, _promise, _said_once("promise")),
    Act("a person pauses an invoice", _read, _pause_invoice, _said_once("pause")),
    Act("a person sets something for a customer", _read, _set_customer),
    Act("a mail bounces", _bounced, lambda world: deliver_events(world, 2), _told),
    Act("keys are rotated", lambda _world: None, lambda world: rotate(world.installation), _opens),
    Act("a company is taken and let go", lambda _world: None, _hold, _free),
    Act("a person goes live", _read, lambda world: set_mode(world.installation, world.connection, "live")),
    Act("a policy is set", lambda _world: None, _set_policy),
    Act("a backup is made", lambda _world: None, _back_up, _whole),
    Act("yesterday's backup is put back", _yesterday, _put_back, _asks),
)
