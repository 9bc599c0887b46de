"""Group A, actions: what users and services do beside the syncs, killed at every line and then repeated.

A user whose action is killed repeats it; the email service delivers its events again. Whatever the kill left, the
repeated action must be applied, and only once.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlmodel import col

from connector import policy_store
from connector.app_context import UncountedCalls
from connector.arrangements import agreements
from connector.arrangements.customer_settings import update_settings
from connector.bank import watched_folder
from connector.connections.registry import disconnect, set_mode
from connector.connections.tokens import associated_data, fresh_token
from connector.db.engine import reading, writing
from connector.db.tables import (
    Agreement,
    BankFile,
    BankMatch,
    BankReceipt,
    Connection,
    CustomerRow,
    Grant,
    InvoiceRow,
    OutboxEntry,
    SuppressedAddress,
    Task,
)
from connector.emails.inbound import statement_emails
from connector.emails.inbound.posted_statement import StatementEmail
from connector.outbox import approvals
from connector.restore.backup import restore_backup, write_backup
from connector.runtime import lease
from connector.secrets.keyring import KeyringError
from connector.services import bank_statements, fees
from connector.services.key_rotation import rotate
from connector.vocabulary import (
    AgreementKind,
    AgreementState,
    ConnectionHealth,
    ConnectionMode,
    MatchCertainty,
    MatchState,
    OutboxKind,
    OutboxState,
    TaskCode,
)
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
    """Something done to a duewell; ``check`` returns what is wrong after it was killed and repeated."""

    name: str
    prepare: Callable[[World], object]
    perform: Callable[[World], object]
    check: Callable[[World], list[str]] = lambda _world: []
    calls_service: bool = False  # so that it is killed in forks


def redo(action: Action) -> Callable[[Scene, str, Circumstances], Outcome]:
    """Return the recovery of a killed action: whoever did it repeats it."""

    def recover(scene: Scene, name: str, how: Circumstances) -> Outcome:
        world, outcome = scene.world, Outcome(name)
        world.clock.advance(timedelta(seconds=30))
        if how.redo_killed_at:  # the repetition is killed as well; it takes no more lines than the first
            with contextlib.suppress(approvals.OutboxError):
                kill_at(scene, lambda: action.perform(world), 1 + how.redo_killed_at % LINES_PER_ACTION, ALL_CODE)
            world.clock.advance(timedelta(seconds=30))
        with contextlib.suppress(approvals.OutboxError):  # it had been applied already
            action.perform(world)
        outcome.violations += action.check(world)
        with closing(sqlite3.connect(world.database)) as database:
            (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
        outcome.violations += [] if verdict == "ok" else [f"the database is damaged: {verdict}"]
        outcome.violations += invariants.check_chain(world) + scene.witness.violations
        return outcome

    return recover


def _grant(world: World) -> int:
    with reading(world.app.engine) as session:
        return session.get_one(Connection, world.connection).grant_id or 0


def _refresh(world: World) -> Any:
    return fresh_token(world.app, _grant(world), UncountedCalls())


def _token_is_usable(world: World) -> list[str]:
    token = _refresh(world)["access_token"]
    with reading(world.app.engine) as session:
        expired = session.get_one(Connection, world.connection).health == ConnectionHealth.AUTHORIZATION_EXPIRED
    return ["I8: the authorisation expired"] if expired or not token else []


def _tokens_decrypt(world: World) -> list[str]:
    with reading(world.app.engine) as session:
        encrypted = [(grant.token, associated_data(grant)) for grant in session.scalars(select(Grant))]
    try:
        decrypted = [world.app.keyring.decrypt(token, bound_to) for token, bound_to in encrypted]
    except KeyringError as error:
        return [f"a token cannot be decrypted: {error}"]
    return [] if all(decrypted) else ["a token is empty"]


def _make_unconfirmed(world: World) -> None:
    world.services.faults.append((lambda sent: sent.kind == "email", CUT_OFF))
    world.sync()
    world.services.faults.clear()


def _email_ids(world: World, *states: OutboxState) -> list[int]:
    with reading(world.app.engine) as session:
        query = select(col(OutboxEntry.id)).where(
            col(OutboxEntry.state).in_(states), col(OutboxEntry.kind) == OutboxKind.EMAIL
        )
        return [each or 0 for each in session.scalars(query)]


def _states(world: World, kind: OutboxKind) -> list[OutboxState]:
    with reading(world.app.engine) as session:
        query = select(col(OutboxEntry.state)).where(col(OutboxEntry.kind) == kind)
        return list(session.scalars(query.where(col(OutboxEntry.connection_id) == world.connection)))


def _resolved_once(world: World) -> list[str]:
    emails, notes = _states(world, OutboxKind.EMAIL), _states(world, OutboxKind.NOTE)
    expected = ([OutboxState.DONE], [OutboxState.PLANNED])
    return [] if (emails, notes) == expected else [f"I4: emails {emails}, notes {notes}"]


def _resolve(world: World) -> None:
    with writing(world.app.engine) as session:
        for entry_id in _email_ids(world, OutboxState.UNCONFIRMED):
            approvals.resolve(session, entry_id, sent=True, by="Ann", at=world.clock.now())


def _make_awaiting_approval(world: World) -> None:
    set_mode(world.app, world.connection, ConnectionMode.APPROVE)
    world.sync()


def _approve(world: World) -> None:
    with writing(world.app.engine) as session:
        approvals.approve(session, _email_ids(world, OutboxState.AWAITING_APPROVAL), by="Ann", at=world.clock.now())


def _reject(world: World) -> None:
    with writing(world.app.engine) as session:
        approvals.reject(
            session, _email_ids(world, OutboxState.AWAITING_APPROVAL), by="Ann", at=world.clock.now(), reason="not now"
        )


def _has_state(kind: OutboxKind, state: OutboxState) -> Callable[[World], list[str]]:
    def check(world: World) -> list[str]:
        states = _states(world, kind)
        return [] if states == [state] else [f"{kind}: {states} instead of {state}"]

    return check


def _waive(world: World) -> None:
    fees.waive(world.app, list_posted_fees(world), by="Ann", reason="a good customer")


def _charge_fee(world: World) -> None:
    SCENARIOS["fee"](world)
    world.sync()


def _sync_only(world: World) -> None:
    set_mode(world.app, world.connection, ConnectionMode.OBSERVE)
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


def _recorded_once(kind: AgreementKind) -> Callable[[World], list[str]]:
    """Return the check that an agreement exists once, however often it was recorded."""

    def check(world: World) -> list[str]:
        with reading(world.app.engine) as session:
            states = list(session.scalars(select(col(Agreement.state)).where(col(Agreement.kind) == kind)))
        return [] if states.count(AgreementState.OPEN) == 1 else [f"{kind}: {states}"]

    return check


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
    write_backup(world.app.engine, world.folder / "backup.db", world.app.keyring, at=world.clock.now())


def _backup_is_whole(world: World) -> list[str]:
    with closing(sqlite3.connect(world.folder / "backup.db")) as backup:
        (verdict,) = backup.execute("PRAGMA integrity_check(1)").fetchone()
    litter = [each.name for each in world.folder.iterdir() if each.name.startswith(".") and each.suffix != ".db"]
    return [] if verdict == "ok" else [f"the backup is damaged: {verdict} {litter}"]


def _restore(world: World) -> None:
    world.app.engine.dispose()
    restore_backup(f"sqlite:///{world.database}", world.backup, world.app.keyring, at=world.clock.now())


def _back_up_yesterday(world: World) -> None:
    world.backup = world.folder / "yesterday.db"
    write_backup(world.app.engine, world.backup, world.app.keyring, at=world.clock.now())
    world.clock.advance(timedelta(days=1))
    world.sync()


def _requires_approval(world: World) -> list[str]:
    with reading(world.app.engine) as session:
        mode = session.get_one(Connection, world.connection).mode
    return [] if mode == ConnectionMode.APPROVE else [f"I6: restored from a backup, the company is in mode {mode}"]


def _set_policy(world: World) -> None:
    with writing(world.app.engine) as session:
        policy_store.set_policy(session, "[thank_you]\nenabled = false\n", by="Ann", at=world.clock.now())


def _statement(world: World) -> bytes:
    """Return a statement with a payment of the company's open invoice and one of a stranger."""
    with reading(world.app.engine) as session:
        of_company = col(InvoiceRow.connection_id) == world.connection, col(InvoiceRow.is_open)
        number = session.scalars(select(col(InvoiceRow.number)).where(*of_company)).first()
    on = world.clock.now().date()
    rows = (f"{on};Ashdown Ltd;{number};300.00;GBP", f"{on};Somebody;thanks;12.34;GBP")
    return "\n".join(("Date;Name;Description;Amount;Currency", *rows)).encode()


def _watch_folder(world: World) -> None:
    world.sync()
    world.statements.mkdir()
    settings = world.app.settings.model_copy(update={"duewell_bank_folder": world.statements})
    world.app = replace(world.app, settings=settings)


def _short_name(world: World) -> str:
    with reading(world.app.engine) as session:
        return session.get_one(Connection, world.connection).short_name


def _drop(world: World) -> None:
    """Save a statement, as a bank's program does; the folder has it only once."""
    _watch_folder(world)
    folder = world.statements / _short_name(world)
    folder.mkdir()
    (folder / "june.csv").write_bytes(_statement(world))
    long_ago = world.clock.now().timestamp() - 60
    os.utime(folder / "june.csv", (long_ago, long_ago))


def _read_folder(world: World) -> None:
    assert watched_folder.import_files(world.app, world.connection, _short_name(world)) == []


def _take_email(world: World) -> None:
    """Take an email with a statement, which is posted again after a kill, and read the folder."""
    bank = "bank.example"
    settings = world.app.settings.model_copy(update={"duewell_bank_senders": bank})
    app = replace(world.app, settings=settings)
    email = StatementEmail(f"statements@{bank}", (bank,), (("june.csv", _statement(world)),))
    assert statement_emails.receive(app, world.connection, email)
    _read_folder(world)


def _imported_once(world: World) -> list[str]:
    with reading(world.app.engine) as session:
        amounts = sorted(session.scalars(select(col(BankReceipt.amount_e4))))
        files = len(session.scalars(select(BankFile)).all())
        states = [(each.state, each.certainty) for each in session.scalars(select(BankMatch))]
    left = [each.name for each in world.statements.glob("*/*.csv")] if world.statements.is_dir() else []
    is_right = (amounts, files, left) == ([123_400, 3_000_000], 1, [])
    sure = [(MatchState.OPEN, MatchCertainty.SURE)]
    return [] if is_right and states == sure else [f"imported {amounts} of {files} files, {states}, left {left}"]


def _import(world: World) -> None:
    bank_statements.import_file(world.app, world.connection, _statement(world), name="june.csv", by="Ann")


ACTIONS = (
    Action(
        "a token is refreshed",
        lambda world: world.clock.advance(TOKEN_LIFETIME),
        _refresh,
        _token_is_usable,
        calls_service=True,
    ),
    Action(
        "a user reconnects",
        lambda _world: None,
        lambda world: world.connect(world.company),
        _token_is_usable,
        calls_service=True,
    ),
    Action(
        "a user disconnects",
        lambda _world: None,
        lambda world: disconnect(world.app, world.connection),
        calls_service=True,
    ),
    Action("events confirm a delivery", _make_unconfirmed, lambda world: deliver_events(world, 2), _resolved_once),
    Action("a user confirms a delivery", _make_unconfirmed, _resolve, _resolved_once),
    Action("a user approves", _make_awaiting_approval, _approve, _has_state(OutboxKind.EMAIL, OutboxState.PLANNED)),
    Action("a user rejects", _make_awaiting_approval, _reject, _has_state(OutboxKind.EMAIL, OutboxState.REJECTED)),
    Action("a user waives a fee", _charge_fee, _waive, _has_state(OutboxKind.FEE_WAIVER, OutboxState.PLANNED)),
    Action("a user records a dispute", _sync_only, _dispute),
    Action("a user records a promise", _sync_only, _promise, _recorded_once(AgreementKind.PROMISE)),
    Action("a user pauses reminders", _sync_only, _pause_invoice, _recorded_once(AgreementKind.PAUSE)),
    Action("a user changes a customer's settings", _sync_only, _set_customer),
    Action("an email bounces", _bounce, lambda world: deliver_events(world, 2), _bounce_handled_once),
    Action("keys are rotated", lambda _world: None, lambda world: rotate(world.app), _tokens_decrypt),
    Action("a lease is taken and released", lambda _world: None, _take_lease, _lease_released),
    Action("a user goes live", _sync_only, lambda world: set_mode(world.app, world.connection, ConnectionMode.LIVE)),
    Action("a policy is set", lambda _world: None, _set_policy),
    Action("a backup is made", lambda _world: None, _back_up, _backup_is_whole),
    Action("yesterday's backup is restored", _back_up_yesterday, _restore, _requires_approval),
    Action("a user imports a bank statement", _sync_only, _import, _imported_once),
    Action("a statement in the watched folder is imported", _drop, _read_folder, _imported_once),
    Action("a statement comes by email", _watch_folder, _take_email, _imported_once),
)
