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

from connector import policy_store
from connector.app_context import UncountedCalls
from connector.arrangements import agreements
from connector.arrangements.customer_settings import update_settings
from connector.connections.registry import disconnect, set_mode
from connector.connections.tokens import associated_data, fresh_token
from connector.db.engine import reading, writing
from connector.db.tables import Agreement, Connection, CustomerRow, Grant, OutboxEntry, SuppressedAddress, Task
from connector.outbox import approvals
from connector.restore.backup import restore_backup, write_backup
from connector.runtime import lease
from connector.secrets.keyring import KeyringError
from connector.services import fees
from connector.services.key_rotation import rotate
from connector.vocabulary import AgreementState, ConnectionHealth, OutboxKind, TaskCode
from tests.faults.campaign import invariants
from tests.faults.campaign.forks import Outcome
from tests.faults.campaign.in_process import FAULTS
from tests.faults.campaign.kills import ALL_CODE, kill_at
from tests.faults.campaign.recovery import Circumstances, Scene, deliver_events
from tests.faults.campaign.users import record_for_invoice
from tests.faults.campaign.world import SCENARIOS, World, list_posted_fees

CUT_OFF = next(fault for fault in FAULTS if fault.name == "cut off after")
LINES_PER_ACTION = 150
TOKEN_LIFETIME = timedelta(minutes=61)


class Action(NamedTuple):
    """Something that is done to a duewell; ``wrong`` says what is wrong after it was killed and done again."""

    name: str
    prepare: Callable[[World], object]
    perform: Callable[[World], object]
    check: Callable[[World], list[str]] = lambda _world: []
    calls_service: bool = False  # it calls a vendor


def redo(action: Action) -> Callable[[Scene, str, Circumstances], Outcome]:
    """Make the mending of a killed act: it is done again, by whoever did it."""

    def mending(scene: Scene, name: str, how: Circumstances) -> Outcome:
        world, outcome = scene.world, Outcome(name)
        world.clock.advance(timedelta(seconds=30))
        if how.redo_killed_at:  # in the second try as well, which takes no more lines than the first
            with contextlib.suppress(approvals.OutboxError):
                kill_at(scene, lambda: action.perform(world), 1 + how.redo_killed_at % LINES_PER_ACTION, ALL_CODE)
            world.clock.advance(timedelta(seconds=30))
        with contextlib.suppress(approvals.OutboxError):  # it was done already
            action.perform(world)
        outcome.violations += action.check(world)
        with closing(sqlite3.connect(world.database)) as database:
            (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
        outcome.violations += [] if verdict == "ok" else [f"the database is damaged: {verdict}"]
        outcome.violations += invariants.check_chain(world) + scene.witness.violations
        return outcome

    return mending


def _grant(world: World) -> int:
    with reading(world.app.engine) as session:
        return session.get_one(Connection, world.connection).grant_id or 0


def _renew(world: World) -> Any:
    return fresh_token(world.app, _grant(world), UncountedCalls())


def _token_is_usable(world: World) -> list[str]:
    token = _renew(world)["access_token"]
    with reading(world.app.engine) as session:
        cut_off = session.get_one(Connection, world.connection).health == ConnectionHealth.AUTHORIZATION_EXPIRED
    return ["I8: the grant died of it"] if cut_off or not token else []


def _tokens_decrypt(world: World) -> list[str]:
    with reading(world.app.engine) as session:
        sealed = [(grant.token, associated_data(grant)) for grant in session.scalars(select(Grant))]
    try:
        opened = [world.app.keyring.decrypt(token, place) for token, place in sealed]
    except KeyringError as closed:
        return [f"a token cannot be opened: {closed}"]
    return [] if all(opened) else ["a token is empty"]


def _make_unconfirmed(world: World) -> None:
    world.services.faults.append((lambda sent: sent.kind == "email", CUT_OFF))
    world.sync()
    world.services.faults.clear()


def _ids(world: World, *states: str) -> list[int]:
    with reading(world.app.engine) as session:
        query = select(col(OutboxEntry.id)).where(
            col(OutboxEntry.state).in_(states), col(OutboxEntry.kind) == OutboxKind.EMAIL
        )
        return [each or 0 for each in session.scalars(query)]


def _states(world: World, kind: str) -> list[str]:
    with reading(world.app.engine) as session:
        query = select(col(OutboxEntry.state)).where(col(OutboxEntry.kind) == kind)
        return list(session.scalars(query.where(col(OutboxEntry.connection_id) == world.connection)))


def _resolved_once(world: World) -> list[str]:
    mails, notes = _states(world, "email"), _states(world, "note")
    return [] if (mails, notes) == (["done"], ["planned"]) else [f"I4: mails {mails}, notes {notes}"]


def _resolve(world: World) -> None:
    with writing(world.app.engine) as session:
        for entry_id in _ids(world, "unconfirmed"):
            approvals.resolve(session, entry_id, sent=True, by="Ann", at=world.clock.now())


def _make_awaiting_approval(world: World) -> None:
    set_mode(world.app, world.connection, "approve")
    world.sync()


def _approve(world: World) -> None:
    with writing(world.app.engine) as session:
        approvals.approve(session, _ids(world, "awaiting_approval"), by="Ann", at=world.clock.now())


def _reject(world: World) -> None:
    with writing(world.app.engine) as session:
        approvals.reject(session, _ids(world, "awaiting_approval"), by="Ann", at=world.clock.now(), reason="not now")


def _has_state(kind: str, state: str) -> Callable[[World], list[str]]:
    def wrong(world: World) -> list[str]:
        states = _states(world, kind)
        return [] if states == [state] else [f"{kind}: {states} instead of {state}"]

    return wrong


def _waive(world: World) -> None:
    fees.waive(world.app, list_posted_fees(world), by="Ann", reason="a good customer")


def _charge_fee(world: World) -> None:
    SCENARIOS["fee"](world)
    world.sync()


def _sync_only(world: World) -> None:
    set_mode(world.app, world.connection, "observe")
    world.sync()


def _dispute(world: World) -> None:
    record_for_invoice(world, world.company.numbers[0], agreements.record_dispute, reason="wrong goods")


def _promise(world: World) -> None:
    record_for_invoice(
        world, world.company.numbers[0], agreements.set_promise, on=world.clock.now().date() + timedelta(days=9)
    )


def _pause_invoice(world: World) -> None:
    record_for_invoice(
        world, world.company.numbers[0], agreements.pause_reminders, until=world.clock.now().date() + timedelta(days=9)
    )


def _recorded_once(kind: str) -> Callable[[World], list[str]]:
    """Look that it stands once among what was agreed, however often it was said."""

    def wrong(world: World) -> list[str]:
        with reading(world.app.engine) as session:
            states = list(session.scalars(select(col(Agreement.state)).where(col(Agreement.kind) == kind)))
        return [] if states.count(AgreementState.OPEN) == 1 else [f"{kind}: {states}"]

    return wrong


def _set_customer(world: World) -> None:
    with reading(world.app.engine) as session:
        customer = session.scalars(
            select(CustomerRow).where(col(CustomerRow.connection_id) == world.connection)
        ).first()
    assert customer is not None
    update_settings(world.app, world.connection, customer.external_id, {"no_fees": True}, by="Ann")


def _bounce(world: World) -> None:
    world.sync()
    world.sandbox.sendgrid.bounce(1)


def _bounce_handled_once(world: World) -> list[str]:
    with reading(world.app.engine) as session:
        tasks = len(session.scalars(select(Task).where(col(Task.code) == TaskCode.UNDELIVERED)).all())
        suppressed = len(session.scalars(select(SuppressedAddress)).all())
    return [] if (tasks, suppressed) == (1, 1) else [f"{tasks} tasks and {suppressed} addresses after one bounce"]


def _take_lease(world: World) -> None:
    with lease.acquire(world.app, world.connection):
        pass


def _lease_released(world: World) -> list[str]:
    with reading(world.app.engine) as session:
        owner = session.get_one(Connection, world.connection).lease_owner
    return [f"still held by {owner}"] if owner else []


def _back_up(world: World) -> None:
    write_backup(world.app.engine, world.folder / "backup.db", at=world.clock.now())


def _backup_is_whole(world: World) -> list[str]:
    with closing(sqlite3.connect(world.folder / "backup.db")) as backup:
        (verdict,) = backup.execute("PRAGMA integrity_check(1)").fetchone()
    litter = [each.name for each in world.folder.iterdir() if each.name.startswith(".") and each.suffix != ".db"]
    return [] if verdict == "ok" else [f"the backup is damaged: {verdict} {litter}"]


def _restore(world: World) -> None:
    world.app.engine.dispose()
    restore_backup(f"sqlite:///{world.database}", world.backup, at=world.clock.now())


def _back_up_yesterday(world: World) -> None:
    world.backup = world.folder / "yesterday.db"
    write_backup(world.app.engine, world.backup, at=world.clock.now())
    world.clock.advance(timedelta(days=1))
    world.sync()


def _requires_approval(world: World) -> list[str]:
    with reading(world.app.engine) as session:
        mode = session.get_one(Connection, world.connection).mode
    return [] if mode == "approve" else [f"I6: put back from a backup, the company is {mode}"]


def _set_policy(world: World) -> None:
    with writing(world.app.engine) as session:
        policy_store.set_policy(session, "[thank_you]\nenabled = false\n", by="Ann", at=world.clock.now())


ACTIONS = (
    Action(
        "a token is renewed",
        lambda world: world.clock.advance(TOKEN_LIFETIME),
        _renew,
        _token_is_usable,
        calls_service=True,
    ),
    Action(
        "a person connects anew",
        lambda _world: None,
        lambda world: world.connect(world.company),
        _token_is_usable,
        calls_service=True,
    ),
    Action(
        "a person disconnects",
        lambda _world: None,
        lambda world: disconnect(world.app, world.connection),
        calls_service=True,
    ),
    Action("events settle a doubt", _make_unconfirmed, lambda world: deliver_events(world, 2), _resolved_once),
    Action("a person settles a doubt", _make_unconfirmed, _resolve, _resolved_once),
    Action("a person approves", _make_awaiting_approval, _approve, _has_state("email", "planned")),
    Action("a person rejects", _make_awaiting_approval, _reject, _has_state("email", "rejected")),
    Action("a person waives a fee", _charge_fee, _waive, _has_state("fee_waiver", "planned")),
    Action("a person disputes", _sync_only, _dispute),
    Action("a person takes a promise", _sync_only, _promise, _recorded_once("promise")),
    Action("a person pauses an invoice", _sync_only, _pause_invoice, _recorded_once("pause")),
    Action("a person sets something for a customer", _sync_only, _set_customer),
    Action("a mail bounces", _bounce, lambda world: deliver_events(world, 2), _bounce_handled_once),
    Action("keys are rotated", lambda _world: None, lambda world: rotate(world.app), _tokens_decrypt),
    Action("a company is taken and let go", lambda _world: None, _take_lease, _lease_released),
    Action("a person goes live", _sync_only, lambda world: set_mode(world.app, world.connection, "live")),
    Action("a policy is set", lambda _world: None, _set_policy),
    Action("a backup is made", lambda _world: None, _back_up, _backup_is_whole),
    Action("yesterday's backup is put back", _back_up_yesterday, _restore, _requires_approval),
)
