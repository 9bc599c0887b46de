"""READ FIRST: one hour of one connection, top to bottom: read the books, decide, do it, say so."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import update
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session, col

from connector import announcements, deciding, lease, newest, pull, recover, story
from connector.access.connections import end_pause, open_ledger
from connector.backup import lost_time
from connector.budget import CallBudget
from connector.database import reading, writing
from connector.deliver import deliver, deliver_to_the_owner, deliver_what_is_owed
from connector.hour import Hour, silent
from connector.installation import Installation
from connector.letters import cut_off
from connector.people import exceptions
from connector.tables import Connection, SyncRun
from providers.errors import ProviderError, Reconnect, TryLater, Unknown
from providers.extras import Metered

WAIT_MAX = timedelta(days=1)  # whatever a vendor asks, and whatever a clock shows: a company is looked at once a day
log = logging.getLogger("duewell.run")


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended: "ok", "later" (a vendor put it off), "person" (someone must act), "failed", or "busy"."""

    connection_id: int
    name: str
    outcome: str
    why: str = ""
    story: list[str] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)


def run_connection(
    installation: Installation,
    connection_id: int,
    *,
    dry_run: bool = False,
    tell: Callable[[str], None] = silent,
    progress: Callable[[int, int | None], None] | None = None,
) -> RunResult:
    """Run one hour of one connection. Never raises: what goes wrong is an outcome, told in words."""
    try:
        with lease.hold(installation, connection_id) as held:
            hour = _begin(installation, held, dry_run=dry_run, tell=tell)
            newest.note(installation)
            hour.progress = progress
            _work(hour)
            result = _end(hour)
            newest.note(installation)
            return result
    except lease.Busy as busy:
        return RunResult(connection_id, _name(installation, connection_id), "busy", str(busy))
    except lease.LeaseLost as lost:
        return RunResult(connection_id, _name(installation, connection_id), "failed", str(lost))
    except Exception as broken:
        log.exception("the run of connection %s could not begin or end", connection_id)
        return RunResult(connection_id, f"connection {connection_id}", "failed", _fault(broken))


def _work(hour: Hour) -> None:
    """The hour itself. What came before a failure is kept; the next run goes on from there."""
    try:
        recover.settle_what_was_left(hour)  # calls that a killed run left without an answer
        pull.read_the_books(hour)  # page by page, each with its cursor in one commit
        deciding.decide_all(hour)  # one answer per invoice; the un-sent plans are remade
        deliver(hour)  # re-read just before; mark, call, mark
        exceptions.look(hour)  # what is odd in the books, for a person's eye
    except Reconnect as dead:
        hour.person.append(str(dead))
        _afterwards(hour, _tell_its_people)
    except TryLater as wait:
        hour.calls.refused(wait)
        hour.later.append(str(wait))
        hour.not_before_at = wait.not_before_at or hour.now() + timedelta(minutes=5)
        _afterwards(hour, deliver_what_is_owed)  # some of a day's calls are kept for notes of what has left
    except Unknown as unsure:  # of a sign-in renewal: the old token is good for minutes only
        hour.later.append(str(unsure))
        hour.not_before_at = hour.now() + timedelta(minutes=5)
    except ProviderError as odd:  # refused where nothing may be refused: a read
        hour.failed.append(str(odd))
    except lease.LeaseLost:
        raise
    except Exception as broken:
        log.exception("the run of connection %s broke off", hour.connection_id)
        hour.failed.append(_fault(broken))


def _afterwards(hour: Hour, act: Callable[[Hour], None]) -> None:
    """Do what is still possible though the books can't be read now; whatever comes of it, the run has its end."""
    try:
        act(hour)
    except ProviderError as problem:
        hour.later.append(str(problem))
    except lease.LeaseLost:
        raise
    except Exception as broken:
        log.exception("the run of connection %s broke off after its books could not be read", hour.connection_id)
        hour.failed.append(_fault(broken))


def _tell_its_people(hour: Hour) -> None:
    """Mail those who mind the company, once, that its books can no longer be read."""
    cut_off.plan(hour)
    deliver_to_the_owner(hour)


def _fault(broken: Exception) -> str:
    """Say what broke, in words without data: an exception's own text may quote a record."""
    if isinstance(broken, SQLAlchemyError):
        return f"The database failed ({type(getattr(broken, 'orig', None) or broken).__name__}); the next run goes on."
    return f"A fault of duewell ({type(broken).__name__}); its log says where. Please report it."


def _begin(installation: Installation, held: lease.Lease, *, dry_run: bool, tell: Callable[[str], None]) -> Hour:
    now = installation.now()
    newest.notice(installation)  # an older database, copied back by hand: everything waits for a person
    with reading(installation.engine) as session:
        calls = _budget(session, installation, held)
        lost = lost_time(session)
    ledger, mailer = open_ledger(installation, held.connection_id, calls), installation.mailer(calls)
    with writing(installation.engine) as session:
        connection = session.get_one(Connection, held.connection_id)
        _close_what_broke_off(session, held.connection_id, now)
        end_pause(installation, session, connection)
        run = SyncRun(connection_id=held.connection_id, started_at=now, dry=dry_run)
        session.add(run)
        session.flush()
        assert run.id is not None  # noqa: S101 - the flush gave it
        hour = Hour(
            installation=installation,
            lease=held,
            connection_id=held.connection_id,
            run_id=run.id,
            books=f"{connection.provider}:{connection.external_id}",
            ledger=ledger,
            mailer=mailer,
            calls=calls,
            started_at=now,
            lost_time=lost,
            dry_run=dry_run,
            tell=tell,
        )
        calls.may_act = hour.may_act
        paused = f", paused ({connection.paused_why}): nothing leaves" if connection.paused_why else ""
        hour.log(session, "run_started", f"Run of {connection.name} started, mode {connection.mode}{paused}.")
        return hour


def _close_what_broke_off(session: Session, connection_id: int, now: datetime) -> None:
    """Give an end to runs that were killed: whoever holds the lease knows that none is under way."""
    why = "it broke off before its end; the next run went on from there"
    session.execute(
        update(SyncRun)
        .where(col(SyncRun.connection_id) == connection_id, col(SyncRun.ended_at).is_(None))
        .values(ended_at=now, outcome="failed", why=why)
    )


def _end(hour: Hour) -> RunResult:
    outcome = "failed" if hour.failed else "person" if hour.person else "later" if hour.later else "ok"
    why = " ".join([*hour.failed, *hour.person, *hour.later])
    with hour.writing() as session:
        connection = hour.connection(session)
        hour.calls.save(session)
        numbers = {**hour.tally, **{f"calls_{kind}": made for kind, made in hour.calls.made.items()}}
        run = session.get_one(SyncRun, hour.run_id)
        run.ended_at, run.outcome, run.why, run.numbers = hour.now(), outcome, why, numbers
        connection.last_run_at = hour.started_at
        if connection.health != "disconnected" and (connection.health != "reconnect" or outcome == "ok"):
            connection.health = {"ok": "ok", "later": "limited", "person": "person", "failed": "failing"}[outcome]
            connection.health_why = why
        wait = min(hour.not_before_at, hour.now() + WAIT_MAX) if hour.not_before_at else None
        connection.next_run_at = wait or _next_turn(hour, session, connection)
        told = story.tell_run(session, connection, hour.run_id, numbers)
        hour.log(session, "run_ended", story.summary(outcome, why, numbers), facts=numbers)
        return RunResult(hour.connection_id, connection.name, outcome, why, told, numbers)


def _next_turn(hour: Hour, session: Session, connection: Connection) -> datetime:
    """Give the next turn; a later one where too few of the vendor's calls are left for one every interval."""
    apart = hour.calls.turns_apart()
    slot = lease.next_slot(hour.installation, connection)
    if apart is not None:
        return max(slot, hour.started_at + min(apart, WAIT_MAX))
    return announcements.sooner(session, connection, slot, hour.started_at, hour.now())


def _budget(session: Session, installation: Installation, held: lease.Lease) -> CallBudget:
    connection = session.get_one(Connection, held.connection_id)
    provider = installation.providers[connection.provider]
    return CallBudget(
        session,
        held.connection_id,
        installation.now,
        interval=timedelta(minutes=installation.settings.duewell_interval_minutes),
        reads_a_month=provider.reads_a_month(installation.settings) if isinstance(provider, Metered) else None,
    )


def _name(installation: Installation, connection_id: int) -> str:
    with reading(installation.engine) as session:
        return session.get_one(Connection, connection_id).name
