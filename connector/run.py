"""READ FIRST: one hour of one connection, top to bottom: read the books, decide, do it, say so."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import update
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.audit import run_summary
from connector.connections.registry import end_expired_pause, open_ledger
from connector.db.engine import reading, writing
from connector.db.tables import Connection, SyncRun
from connector.delivery import recover
from connector.delivery.deliver import deliver_follow_ups, deliver_outbox, deliver_owner_emails
from connector.emails.outbound import reconnect_email
from connector.evaluation import evaluate, exceptions
from connector.restore import rollback_detection
from connector.restore.backup import restore_gap
from connector.runtime import lease
from connector.runtime.budget import CallBudget
from connector.runtime.run_context import RunContext, ignore_progress
from connector.sync import pull, webhook_inbox
from connector.vocabulary import ConnectionHealth, LogKind, RunOutcome
from providers.capabilities import MeteredProvider
from providers.errors import AuthorizationExpired, OutcomeUnknown, ProviderError, TransientError

MAX_DEFERRAL = timedelta(
    days=1
)  # whatever a vendor asks, and whatever a clock shows: a company is looked at once a day
log = logging.getLogger("duewell.run")


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended: "ok", "later" (a vendor put it off), "action_required" (someone must act), "failed", or "busy"."""

    connection_id: int
    name: str
    outcome: str
    reason: str = ""
    report: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)


def run_connection(
    app: AppContext,
    connection_id: int,
    *,
    dry_run: bool = False,
    on_progress: Callable[[str], None] = ignore_progress,
    on_records_read: Callable[[int, int | None], None] | None = None,
) -> RunResult:
    """Run one hour of one connection. Never raises: what goes wrong is an outcome, told in words."""
    try:
        with lease.acquire(app, connection_id) as held:
            ctx = _start_run(app, held, dry_run=dry_run, on_progress=on_progress)
            rollback_detection.record_log_head(app)
            ctx.on_records_read = on_records_read
            _run_steps(ctx)
            result = _finish_run(ctx)
            rollback_detection.record_log_head(app)
            return result
    except lease.RunInProgress as busy:
        return RunResult(connection_id, _connection_name(app, connection_id), "busy", str(busy))
    except lease.LeaseLost as lost:
        return RunResult(connection_id, _connection_name(app, connection_id), "failed", str(lost))
    except Exception as broken:
        log.exception("the run of connection %s could not begin or end", connection_id)
        return RunResult(connection_id, f"connection {connection_id}", "failed", _describe_fault(broken))


def _run_steps(ctx: RunContext) -> None:
    """The hour itself. What came before a failure is kept; the next run goes on from there."""
    try:
        recover.recover_interrupted(ctx)  # calls that a killed run left without an answer
        pull.pull_changes(ctx)  # page by page, each with its cursor in one commit
        evaluate.decide_all(ctx)  # one answer per invoice; the un-sent plans are remade
        deliver_outbox(ctx)  # re-read just before; mark, call, mark
        exceptions.scan(ctx)  # what is odd in the books, for a person's eye
    except AuthorizationExpired as dead:
        ctx.action_required.append(str(dead))
        _try_after_failure(ctx, _alert_account_owners)
    except TransientError as wait:
        ctx.budget.record_limit(wait)
        ctx.deferred.append(str(wait))
        ctx.not_before_at = wait.retry_at or ctx.now() + timedelta(minutes=5)
        _try_after_failure(ctx, deliver_follow_ups)  # some of a day's calls are kept for notes of what has left
    except OutcomeUnknown as unsure:  # of a sign-in renewal: the old token is good for minutes only
        ctx.deferred.append(str(unsure))
        ctx.not_before_at = ctx.now() + timedelta(minutes=5)
    except ProviderError as odd:  # refused where nothing may be refused: a read
        ctx.failures.append(str(odd))
    except lease.LeaseLost:
        raise
    except Exception as broken:
        log.exception("the run of connection %s broke off", ctx.connection_id)
        ctx.failures.append(_describe_fault(broken))


def _try_after_failure(ctx: RunContext, action: Callable[[RunContext], None]) -> None:
    """Do what is still possible though the books can't be read now; whatever comes of it, the run has its end."""
    try:
        action(ctx)
    except ProviderError as problem:
        ctx.deferred.append(str(problem))
    except lease.LeaseLost:
        raise
    except Exception as broken:
        log.exception("the run of connection %s broke off after its books could not be read", ctx.connection_id)
        ctx.failures.append(_describe_fault(broken))


def _alert_account_owners(ctx: RunContext) -> None:
    """Mail those who mind the company, once, that its books can no longer be read."""
    reconnect_email.plan(ctx)
    deliver_owner_emails(ctx)


def _describe_fault(error: Exception) -> str:
    """Say what broke, in words without data: an exception's own text may quote a record."""
    if isinstance(error, SQLAlchemyError):
        return f"The database failed ({type(getattr(error, 'orig', None) or error).__name__}); the next run goes on."
    return f"A fault of duewell ({type(error).__name__}); its log says where. Please report it."


def _start_run(app: AppContext, held: lease.Lease, *, dry_run: bool, on_progress: Callable[[str], None]) -> RunContext:
    now = app.now()
    rollback_detection.detect_rollback(app)  # an older database, copied back by hand: everything waits for a person
    with reading(app.engine) as session:
        calls = _load_budget(session, app, held)
        lost = restore_gap(session)
    ledger, mailer = open_ledger(app, held.connection_id, calls), app.mailer(calls)
    with writing(app.engine) as session:
        connection = session.get_one(Connection, held.connection_id)
        _close_interrupted_runs(session, held.connection_id, now)
        end_expired_pause(app, session, connection)
        run = SyncRun(connection_id=held.connection_id, started_at=now, dry_run=dry_run)
        session.add(run)
        session.flush()
        assert run.id is not None  # noqa: S101 - the flush gave it
        ctx = RunContext(
            app=app,
            lease=held,
            connection_id=held.connection_id,
            run_id=run.id,
            ledger_key=f"{connection.provider}:{connection.external_id}",
            ledger=ledger,
            mailer=mailer,
            budget=calls,
            started_at=now,
            restore_gap=lost,
            dry_run=dry_run,
            on_progress=on_progress,
        )
        calls.authorize_call = ctx.authorize_call
        paused = f", paused ({connection.pause_reason}): nothing leaves" if connection.pause_reason else ""
        ctx.log(session, LogKind.RUN_STARTED, f"Run of {connection.name} started, mode {connection.mode}{paused}.")
        return ctx


def _close_interrupted_runs(session: Session, connection_id: int, now: datetime) -> None:
    """Give an end to runs that were killed: whoever holds the lease knows that none is under way."""
    reason = "it broke off before its end; the next run went on from there"
    session.execute(
        update(SyncRun)
        .where(col(SyncRun.connection_id) == connection_id, col(SyncRun.ended_at).is_(None))
        .values(ended_at=now, outcome=RunOutcome.FAILED, reason=reason)
    )


_HEALTH_AFTER = {
    RunOutcome.OK: ConnectionHealth.OK,
    RunOutcome.DEFERRED: ConnectionHealth.LIMITED,
    RunOutcome.ACTION_REQUIRED: ConnectionHealth.ACTION_REQUIRED,
    RunOutcome.FAILED: ConnectionHealth.FAILING,
}


def _finish_run(ctx: RunContext) -> RunResult:
    outcome = (
        RunOutcome.FAILED
        if ctx.failures
        else RunOutcome.ACTION_REQUIRED
        if ctx.action_required
        else RunOutcome.DEFERRED
        if ctx.deferred
        else RunOutcome.OK
    )
    reason = " ".join([*ctx.failures, *ctx.action_required, *ctx.deferred])
    with ctx.writing() as session:
        connection = ctx.connection(session)
        ctx.budget.save(session)
        numbers = {**ctx.tally, **{f"calls_{kind}": made for kind, made in ctx.budget.calls_made.items()}}
        run = session.get_one(SyncRun, ctx.run_id)
        run.ended_at, run.outcome, run.reason, run.counts = ctx.now(), outcome, reason, numbers
        connection.last_run_at = ctx.started_at
        if connection.health != ConnectionHealth.DISCONNECTED and (
            connection.health != ConnectionHealth.AUTHORIZATION_EXPIRED or outcome == RunOutcome.OK
        ):
            connection.health = _HEALTH_AFTER[outcome]
            connection.health_reason = reason
        wait = min(ctx.not_before_at, ctx.now() + MAX_DEFERRAL) if ctx.not_before_at else None
        connection.next_run_at = wait or _next_run_time(ctx, session, connection)
        told = run_summary.summarise_run(session, connection, ctx.run_id, numbers)
        ctx.log(session, LogKind.RUN_ENDED, run_summary.format_outcome(outcome, reason, numbers), facts=numbers)
        return RunResult(ctx.connection_id, connection.name, outcome, reason, told, numbers)


def _next_run_time(ctx: RunContext, session: Session, connection: Connection) -> datetime:
    """Give the next turn; a later one where too few of the vendor's calls are left for one every interval."""
    apart = ctx.budget.run_spacing()
    slot = lease.next_run_slot(ctx.app, connection)
    if apart is not None:
        return max(slot, ctx.started_at + min(apart, MAX_DEFERRAL))
    return webhook_inbox.earlier_run_at(session, connection, slot, ctx.started_at, ctx.now())


def _load_budget(session: Session, app: AppContext, held: lease.Lease) -> CallBudget:
    connection = session.get_one(Connection, held.connection_id)
    provider = app.providers[connection.provider]
    return CallBudget(
        session,
        held.connection_id,
        app.now,
        interval=timedelta(minutes=app.settings.duewell_interval_minutes),
        monthly_read_limit=provider.monthly_read_limit(app.settings) if isinstance(provider, MeteredProvider) else None,
    )


def _connection_name(app: AppContext, connection_id: int) -> str:
    with reading(app.engine) as session:
        return session.get_one(Connection, connection_id).name
