"""READ FIRST: one sync of one connection, top to bottom: read the ledger, decide, send, report."""

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
from connector.bank import bank_step
from connector.connections.mailboxes import list_mailboxes, open_mailer
from connector.connections.pacing import Pacer
from connector.connections.registry import end_expired_pause, open_ledger
from connector.db.engine import reading, writing
from connector.db.tables import Connection, SyncRun
from connector.delivery import documents_ahead, recover
from connector.delivery.deliver import deliver_follow_ups, deliver_outbox, deliver_owner_emails
from connector.emails.inbound import mailbox, restored_tokens
from connector.emails.outbound import reconnect_email
from connector.evaluation import evaluate, exceptions
from connector.restore import rollback_detection
from connector.restore.restore_gap import restore_gap
from connector.runtime import lease
from connector.runtime.budget import CallBudget
from connector.runtime.progress_store import ProgressStore
from connector.runtime.run_context import RunContext, ignore_progress
from connector.sync import pull, webhook_inbox
from connector.vocabulary import ConnectionHealth, LogKind, RunOutcome
from providers.capabilities import MeteredProvider
from providers.errors import AuthorizationExpired, OutcomeUnknown, ProviderError, TransientError

MAX_DEFERRAL = timedelta(days=1)  # whatever a provider asks and whatever the clock shows, a company is synced daily
RETRY_DELAY = timedelta(minutes=5)  # where the provider names no time
_HEALTH = {
    RunOutcome.OK: ConnectionHealth.OK,
    RunOutcome.DEFERRED: ConnectionHealth.LIMITED,
    RunOutcome.ACTION_REQUIRED: ConnectionHealth.ACTION_REQUIRED,
    RunOutcome.FAILED: ConnectionHealth.FAILING,
}
log = logging.getLogger("duewell.run")


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended, with its report for people, line by line, and its counts."""

    connection_id: int
    name: str
    outcome: RunOutcome
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
    """Sync one connection. Never raises: whatever goes wrong becomes the outcome and its reason.

    ``on_progress`` gets a line of text per step, ``on_records_read`` the number of records read and, where the
    provider says so, how many are expected.
    """
    try:
        with lease.acquire(app, connection_id) as held:
            ctx = _start_run(app, held, dry_run=dry_run, on_progress=on_progress)
            rollback_detection.record_log_head(app)
            _watch(ctx, on_records_read)
            _run_steps(ctx)
            result = _finish_run(ctx)
            rollback_detection.record_log_head(app)
            return result
    except lease.RunInProgress as busy:
        return RunResult(connection_id, _connection_name(app, connection_id), RunOutcome.BUSY, str(busy))
    except lease.LeaseLost as lost:
        return RunResult(connection_id, _connection_name(app, connection_id), RunOutcome.FAILED, str(lost))
    except Exception as error:
        log.exception("the run of connection %s could not start or finish", connection_id)
        return RunResult(connection_id, f"connection {connection_id}", RunOutcome.FAILED, _describe_fault(error))


def _watch(ctx: RunContext, on_records_read: Callable[[int, int | None], None] | None) -> None:
    """Store the progress for the pages that show it, besides reporting it to the caller."""
    store, report = ProgressStore(ctx.app, ctx.connection_id, ctx.run_id), ctx.on_progress

    def step(text: str) -> None:
        store.step(text)
        report(text)

    def count(records: int, expected: int | None) -> None:
        store.count(records, expected)
        if on_records_read is not None:
            on_records_read(records, expected)

    ctx.on_progress, ctx.on_records_read = step, count


def _run_steps(ctx: RunContext) -> None:
    """Take the steps of a sync. What was committed before a failure stays; the next run continues from there."""
    try:
        _read_mailboxes(ctx)  # replies pause reminders; delivery reports prove what was sent
        recover.recover_interrupted(ctx)  # calls of a killed run whose outcome is not known
        pull.pull_changes(ctx)  # page by page, each with its cursor in one commit
        restored_tokens.recreate(ctx)  # after a restore: links in emails that the database no longer knows
        bank_step.update_matches(ctx)  # statements in the watched folder; money that the ledger shows by now
        evaluate.decide_all(ctx)  # one decision per invoice; unsent entries are planned anew
        deliver_outbox(ctx)  # recheck, mark as sending, call, mark as done
        exceptions.scan(ctx)  # records in the ledger that somebody should check
        documents_ahead.fetch_ahead(ctx)  # what the next emails will need, in a minute that has calls left
    except AuthorizationExpired as expired:
        ctx.action_required.append(str(expired))
        _try_after_failure(ctx, _alert_account_owners)
    except TransientError as error:
        ctx.budget.record_limit(error)
        ctx.deferred.append(str(error))
        ctx.not_before_at = error.retry_at or ctx.now() + RETRY_DELAY
        _try_after_failure(ctx, deliver_follow_ups)  # the daily reserve of calls is for these
    except OutcomeUnknown as error:  # of a token refresh: the old token works for a few minutes only
        ctx.deferred.append(str(error))
        ctx.not_before_at = ctx.now() + RETRY_DELAY
    except ProviderError as error:  # a read was rejected, which no read should be
        ctx.failures.append(str(error))
    except lease.LeaseLost:
        raise
    except Exception as error:
        log.exception("the run of connection %s failed", ctx.connection_id)
        ctx.failures.append(_describe_fault(error))


def _try_after_failure(ctx: RunContext, action: Callable[[RunContext], None]) -> None:
    """Do what is possible although the ledger cannot be read; its own failures do not keep the run from finishing."""
    try:
        action(ctx)
    except ProviderError as error:
        ctx.deferred.append(str(error))
    except lease.LeaseLost:
        raise
    except Exception as error:
        log.exception("the run of connection %s failed after its ledger could not be read", ctx.connection_id)
        ctx.failures.append(_describe_fault(error))


def _read_mailboxes(ctx: RunContext) -> None:
    """Read every connected mailbox: answers also come to one that no longer sends. The sync goes on without it."""
    for row in [] if ctx.dry_run else list_mailboxes(ctx.app):
        try:
            mailbox.read_mailbox(ctx.app, row, ctx.budget)
        except TransientError as error:
            ctx.deferred.append(f"The mailbox {row.address} could not be read: {error}")
        except ProviderError as error:
            ctx.action_required.append(f"The mailbox {row.address} could not be read: {error}")
        except Exception as error:  # noqa: BLE001 - noted without its text and trace, which may quote private email
            ctx.failures.append(_describe_fault(error))


def _alert_account_owners(ctx: RunContext) -> None:
    """Email the company's account owners, once, that its accounting system can no longer be read."""
    reconnect_email.plan(ctx)
    deliver_owner_emails(ctx)


def _describe_fault(error: Exception) -> str:
    """Return what failed, without the exception's own text, which may quote a record."""
    if isinstance(error, SQLAlchemyError):
        name = type(getattr(error, "orig", None) or error).__name__
        return f"The database failed ({name}); the next run continues."
    return f"Internal error in duewell ({type(error).__name__}); see its log for details. Please report it."


def _start_run(app: AppContext, held: lease.Lease, *, dry_run: bool, on_progress: Callable[[str], None]) -> RunContext:
    now = app.now()
    with reading(app.engine) as session:
        is_rolled_back = rollback_detection.detect_rollback(app, session)
        row = session.get_one(Connection, held.connection_id)
        budget = _load_budget(session, app, row)
        gap = restore_gap(session)
    if is_rolled_back:  # an older database was copied back: everything waits for approval
        with reading(app.engine) as session:
            gap = restore_gap(session)
    pacer = Pacer(app, held.connection_id, row.provider)
    ledger, mailer = open_ledger(app, held.connection_id, budget, pacer, row=row), open_mailer(app, budget)
    with writing(app.engine) as session:
        connection = session.get_one(Connection, held.connection_id)
        _close_interrupted_runs(session, held.connection_id, now)
        end_expired_pause(app, session, connection)
        run = SyncRun(connection_id=held.connection_id, started_at=now, dry_run=dry_run)
        session.add(run)
        session.flush()
        assert run.id is not None  # noqa: S101 - set by the flush
        ctx = RunContext(
            app=app,
            lease=held,
            connection_id=held.connection_id,
            run_id=run.id,
            ledger_key=f"{connection.provider}:{connection.external_id}",
            ledger=ledger,
            mailer=mailer,
            budget=budget,
            started_at=now,
            pacer=pacer,
            restore_gap=gap,
            dry_run=dry_run,
            on_progress=on_progress,
        )
        budget.authorize_call, budget.report_rejection = ctx.authorize_call, ctx.report_rejection
        paused = f", paused ({connection.pause_reason}): nothing is sent" if connection.pause_reason else ""
        text = f"Sync of {connection.name} started in {connection.mode} mode{paused}."
        ctx.log(session, LogKind.RUN_STARTED, text)
        return ctx


def _close_interrupted_runs(session: Session, connection_id: int, now: datetime) -> None:
    """Mark killed runs as failed: none is under way while we hold the lease."""
    session.execute(
        update(SyncRun)
        .where(col(SyncRun.connection_id) == connection_id, col(SyncRun.ended_at).is_(None))
        .values(
            ended_at=now,
            outcome=RunOutcome.FAILED,
            reason="interrupted; the next run continued from there",
            progress="",
        )
    )


def _finish_run(ctx: RunContext) -> RunResult:
    outcome = _outcome(ctx)
    reason = " ".join([*ctx.failures, *ctx.action_required, *ctx.deferred])
    with ctx.writing() as session:
        connection = ctx.connection(session)
        ctx.budget.save(session)
        counts = {**ctx.tally, **{f"calls_{kind}": count for kind, count in ctx.budget.calls_made.items()}}
        run = session.get_one(SyncRun, ctx.run_id)
        run.ended_at, run.outcome, run.reason, run.counts, run.progress = ctx.now(), outcome, reason, counts, ""
        connection.last_run_at = ctx.started_at
        if _may_change_health(connection, outcome):
            connection.health, connection.health_reason = _HEALTH[outcome], reason
        connection.next_run_at = _next_run_time(ctx, session, connection)
        report = run_summary.summarise_run(session, connection, ctx.run_id, counts)
        ctx.log(session, LogKind.RUN_ENDED, run_summary.format_outcome(outcome, reason, counts), facts=counts)
        ctx.lease.release(session)
    ctx.lease.is_released = True  # from here on the run writes nothing
    return RunResult(ctx.connection_id, connection.name, outcome, reason, report, counts)


def _outcome(ctx: RunContext) -> RunOutcome:
    if ctx.failures:
        return RunOutcome.FAILED
    if ctx.action_required:
        return RunOutcome.ACTION_REQUIRED
    return RunOutcome.DEFERRED if ctx.deferred else RunOutcome.OK


def _may_change_health(connection: Connection, outcome: RunOutcome) -> bool:
    """Return whether a run's outcome replaces the health; only success replaces an expired authorisation."""
    if connection.health == ConnectionHealth.AUTHORIZATION_EXPIRED:
        return outcome is RunOutcome.OK
    return connection.health != ConnectionHealth.DISCONNECTED


def _next_run_time(ctx: RunContext, session: Session, connection: Connection) -> datetime:
    """Return when the next run starts: as a provider asked, later where calls are scarce, sooner after a webhook."""
    if ctx.not_before_at:
        return min(ctx.not_before_at, ctx.now() + MAX_DEFERRAL)
    slot = lease.next_run_slot(ctx.app, connection)
    spacing = ctx.budget.run_spacing()
    if spacing is not None:
        return max(slot, ctx.started_at + min(spacing, MAX_DEFERRAL))
    return webhook_inbox.earlier_run_at(session, connection, slot, ctx.started_at, ctx.now())


def _load_budget(session: Session, app: AppContext, connection: Connection) -> CallBudget:
    provider = app.providers[connection.provider]
    return CallBudget(
        session,
        connection.id or 0,
        app.now,
        interval=timedelta(minutes=app.settings.duewell_interval_minutes),
        monthly_read_limit=provider.monthly_read_limit(app.settings) if isinstance(provider, MeteredProvider) else None,
    )


def _connection_name(app: AppContext, connection_id: int) -> str:
    with reading(app.engine) as session:
        return session.get_one(Connection, connection_id).name
