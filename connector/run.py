"""READ FIRST: one hour of one connection, top to bottom: read the books, decide, do it, say so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from connector import deciding, lease, pull, recover, story
from connector.budget import CallBudget
from connector.connections import open_ledger
from connector.database import reading, writing
from connector.deliver import deliver
from connector.hour import Hour, silent
from connector.installation import Installation
from connector.tables import Connection, SyncRun
from providers.errors import ProviderError, Reconnect, TryLater


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
    """Run one hour of one connection. Never raises for what a vendor does: that is an outcome, told in words."""
    try:
        with lease.hold(installation, connection_id) as held:
            hour = _begin(installation, held, dry_run=dry_run, tell=tell)
            hour.progress = progress
            _work(hour)
            return _end(hour)
    except lease.Busy as busy:
        return RunResult(connection_id, _name(installation, connection_id), "busy", str(busy))
    except lease.LeaseLost as lost:
        return RunResult(connection_id, _name(installation, connection_id), "failed", str(lost))


def _work(hour: Hour) -> None:
    """The hour itself. What came before a failure is kept; the next run goes on from there."""
    try:
        recover.settle_what_was_left(hour)  # calls that a killed run left without an answer
        pull.read_the_books(hour)  # page by page, each with its cursor in one commit
        deciding.decide_all(hour)  # one answer per invoice; the un-sent plans are remade
        deliver(hour)  # re-read just before; mark, call, mark
    except Reconnect as dead:
        hour.person.append(str(dead))
    except TryLater as wait:
        hour.later.append(str(wait))
        hour.not_before_at = wait.not_before_at or hour.now() + timedelta(minutes=5)
    except ProviderError as odd:  # refused or unknown where nothing may be refused: a read
        hour.failed.append(str(odd))


def _begin(installation: Installation, held: lease.Lease, *, dry_run: bool, tell: Callable[[str], None]) -> Hour:
    now = installation.now()
    with writing(installation.engine) as session:
        connection = session.get_one(Connection, held.connection_id)
        calls = CallBudget(session, held.connection_id, installation.now)
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
            ledger=open_ledger(installation, held.connection_id, calls),
            mailer=installation.mailer(calls),
            calls=calls,
            started_at=now,
            dry_run=dry_run,
            tell=tell,
        )
        hour.log(session, "run_started", f"Run of {connection.name} started, mode {connection.mode}.")
        return hour


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
        if connection.health not in {"reconnect", "disconnected"} or outcome == "ok":
            connection.health = {"ok": "ok", "later": "limited", "person": "person", "failed": "failing"}[outcome]
            connection.health_why = why
        connection.next_run_at = hour.not_before_at or lease.next_slot(hour.installation, connection)
        told = story.tell_run(session, connection, hour.run_id, numbers)
        hour.log(session, "run_ended", story.summary(outcome, why, numbers), facts=numbers)
        return RunResult(hour.connection_id, connection.name, outcome, why, told, numbers)


def _name(installation: Installation, connection_id: int) -> str:
    with reading(installation.engine) as session:
        return session.get_one(Connection, connection_id).name
