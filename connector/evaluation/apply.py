"""Applies decisions: plans outbox entries, stores each invoice's decision, creates tasks, and logs all of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import date

from sqlalchemy import select
from sqlmodel import Session, col

from connector.arrangements import agreement_outcomes, set_aside_records
from connector.arrangements.moved_tasks import join_call
from connector.arrangements.review_tasks import reopen_task
from connector.connections.account_owners import load_team
from connector.db.tables import CompletedStep, Connection, OutboxEntry, Task
from connector.emails.outbound import digests
from connector.evaluation import decision_records, reported_payments, standing_alerts, undelivered_emails
from connector.evaluation.invoice_decisions import AppliedPolicy, CustomerInvoice, rejected_decision, store_decisions
from connector.outbox import replanning
from connector.outbox.drafts import Draft, task_key
from connector.outbox.payloads import invoice_ids
from connector.runtime.run_context import RunContext
from connector.vocabulary import ConnectionMode, LogKind, OutboxKind, TaskCode, TaskState
from connector.vocabulary.tasks import CALL_CODES
from policies.decisions import CreateTask, DecisionKind, NotifyOwner
from policies.receivables import Segment

_DRY_RUN_VERBS = {
    OutboxKind.EMAIL: "Would email",
    OutboxKind.OWNER_EMAIL: "Would notify the account owner",
    OutboxKind.LATE_FEE: "Would charge a late fee",
}

# The tasks that every decision asks for again while their reason lasts, so that their text follows what is known, and
# their outcome when it is gone
_CANCELLED_OUTCOMES = {
    TaskCode.APPLY_CREDIT: "the credit has been applied or used",
    TaskCode.BOOK_PAYMENT: "the payment is booked, or the money is for something else",
    TaskCode.PAYMENT_RETURNED: "as much is settled again as the customer was thanked for",
    TaskCode.PAYMENT_NOT_BOOKED: "the payment is booked, or the money is for something else",
    TaskCode.PROPOSE_WAIVER: "the reason to waive the fee is gone",
    TaskCode.UNPAID_FEE: "the fee is no longer the only thing left unpaid",
    TaskCode.UNREADABLE_DATA: set_aside_records.READABLE_AGAIN,
}


@dataclass(slots=True)
class DecisionBatch:
    """The decisions of one pass over all customers, or over a few."""

    drafts: list[Draft] = field(default_factory=list)
    owner_alerts: list[NotifyOwner] = field(default_factory=list)
    tasks: list[CreateTask] = field(default_factory=list)
    invoice_decisions: list[CustomerInvoice] = field(default_factory=list)
    customer_names: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)  # customers about whom no decision was possible, and why
    records: list[decision_records.PackedDecision] = field(default_factory=list)  # of decisions that have changed
    applied_policies: dict[str, AppliedPolicy] = field(default_factory=dict)  # by customer
    segments: dict[str, Segment] = field(default_factory=dict)  # by customer


def apply_decisions(
    ctx: RunContext,
    session: Session,
    connection: Connection,
    batch: DecisionBatch,
    version: int | None,
    customer_ids: Collection[str] | None,
    *,
    is_recheck: bool = False,
) -> bool:
    """Apply the decisions about some customers, or with None about all, in the caller's transaction.

    ``version`` is the policy version of customers that ``batch.applied_policies`` does not name; ``is_recheck`` is
    whether they are about to be sent something. Returns whether a later run can decide about some of them alone: an
    email that was rejected is on no list but the drafts'.
    """
    today = ctx.today(connection)
    drafts = list(batch.drafts)
    if not is_recheck:
        drafts += _plan_digests(ctx, session, connection, batch, customer_ids)
        _count_plans(ctx, batch, drafts)
    if ctx.dry_run:
        _log_dry_run(ctx, session, batch, drafts)
        return False
    changes = replanning.replan(
        session,
        connection,
        drafts,
        at=ctx.now(),
        run_id=ctx.run_id,
        policy_version=version,
        policy_versions={customer_id: applied.version for customer_id, applied in batch.applied_policies.items()},
        scope=replanning.PlanScope(customer_ids, is_recheck),
    )
    decisions = _apply_rejections(batch, changes)
    store_decisions(
        ctx, session, decisions, batch.applied_policies, customer_ids, default_version=version, segments=batch.segments
    )
    decision_records.store_records(session, ctx.connection_id, ctx.run_id, ctx.now(), batch.records)
    if connection.mode != ConnectionMode.OBSERVE:
        _create_tasks(ctx, session, batch.tasks, today)
        agreement_outcomes.record_broken_from_tasks(ctx, session, batch.tasks, today)
        agreement_outcomes.record_broken_from_emails(ctx, session, batch.drafts, today)
    _cancel_unwanted(ctx, session, batch)  # in observe mode as well, where unreadable data become a task too
    reported_payments.cancel_seen(ctx, session)
    if not is_recheck:
        undelivered_emails.cancel_reached(ctx, session)
    _log_plans(ctx, session, drafts, changes)
    for text in batch.failures:
        ctx.log(session, LogKind.ERROR, f"No decision was possible about {text}")
        ctx.failures.append(f"No decision was possible about {text}.")
    return not (batch.failures or changes.rejected or len(batch.owner_alerts) > standing_alerts.ALERTS_MAX)


def _plan_digests(
    ctx: RunContext,
    session: Session,
    connection: Connection,
    batch: DecisionBatch,
    customer_ids: Collection[str] | None,
) -> list[Draft]:
    """Draft the digests, which are also about the customers who were not decided about again."""
    emails: list[Draft | OutboxEntry] = [*batch.drafts]
    if customer_ids is not None:
        emails += replanning.list_unsent_of_others(session, connection, customer_ids)
        for other in standing_alerts.load_alerts(session, ctx.connection_id, customer_ids):
            batch.owner_alerts.append(other.alert)
            batch.customer_names[other.alert.customer_id] = other.name
    alerts = batch.owner_alerts if len(batch.owner_alerts) <= standing_alerts.ALERTS_MAX else ()
    if not ctx.dry_run:
        standing_alerts.store_alerts(session, ctx.connection_id, alerts, batch.customer_names, ctx.now())
    return digests.plan(ctx, session, connection, emails, batch.owner_alerts, batch.customer_names)


def _apply_rejections(batch: DecisionBatch, changes: replanning.ReplanResult) -> list[CustomerInvoice]:
    """Replace the decisions whose email or fee was rejected before, so that they do not announce it again."""
    reasons = {
        (invoice_id, draft.kind == OutboxKind.LATE_FEE): changes.rejected[draft.key]
        for draft in batch.drafts
        if draft.key in changes.rejected
        for invoice_id in invoice_ids(draft.payload.completed)
    }
    found = []
    for customer_id, each in batch.invoice_decisions:
        reason = reasons.get((each.invoice_id, each.kind is DecisionKind.FEE))  # a rejected fee stops no email
        found.append((customer_id, rejected_decision(each, reason) if reason is not None else each))
    return found


def _create_tasks(ctx: RunContext, session: Session, tasks: Sequence[CreateTask], today: date) -> None:
    team = load_team(session, ctx.connection(session)) if tasks else None
    for task in tasks:
        key = task_key(ctx.ledger_key, task)
        known = session.scalar(select(Task).where(col(Task.key) == key))
        if known is not None:
            is_right_again = known.code in _CANCELLED_OUTCOMES and known.state == TaskState.CANCELLED
            if known.code in _CANCELLED_OUTCOMES and (is_right_again or known.state == TaskState.OPEN):
                known.reason = task.reason
            if is_right_again:
                reopen_task(session, known, at=ctx.now(), run_id=ctx.run_id)
            continue
        if (call := _find_open_call(session, ctx.connection_id, task)) is not None:
            join_call(call, task)
            _record_completed_steps(ctx, session, task, call, today)
            facts = {"task": call.id, "code": task.code}
            ctx.log(session, LogKind.TASK, task.reason, customer_id=task.customer_id, facts=facts)
            continue
        row = Task(
            connection_id=ctx.connection_id,
            key=key,
            code=TaskCode(task.code),
            step=task.step or "",
            customer_id=task.customer_id,
            invoice_ids=list(task.invoice_ids),
            due_on=task.due_on,
            reason=task.reason,
            owner=team.owner_of(task.customer_id) if team else "",
            created_at=ctx.now(),
        )
        session.add(row)
        session.flush()
        _record_completed_steps(ctx, session, task, row, today)
        ctx.tally["tasks"] += 1
        facts = {"task": row.id, "code": task.code}
        ctx.log(session, LogKind.TASK, task.reason, customer_id=task.customer_id, facts=facts)


def _find_open_call(session: Session, connection_id: int, task: CreateTask) -> Task | None:
    """Return the customer's open call, which a further reason to call them joins: they are called once."""
    if task.code not in CALL_CODES:
        return None
    query = select(Task).where(
        col(Task.connection_id) == connection_id,
        col(Task.customer_id) == task.customer_id,
        col(Task.code).in_(CALL_CODES),
        col(Task.state) == TaskState.OPEN,
    )
    return session.scalars(query.order_by(col(Task.id)).limit(1)).first()


def _cancel_unwanted(ctx: RunContext, session: Session, batch: DecisionBatch) -> None:
    """Cancel the tasks of the customers just decided about whose reason is gone: credits, fees, unreadable data."""
    query = select(Task).where(
        col(Task.connection_id) == ctx.connection_id,
        col(Task.code).in_(list(_CANCELLED_OUTCOMES)),
        col(Task.state) == TaskState.OPEN,
    )
    wanted = {task_key(ctx.ledger_key, task) for task in batch.tasks}
    unreadable = set_aside_records.unreadable_invoice_ids(session, ctx.connection_id)
    for row in session.scalars(query):
        is_unreadable = row.code == TaskCode.UNREADABLE_DATA and not unreadable.isdisjoint(row.invoice_ids)
        if row.customer_id in batch.applied_policies and row.key not in wanted and not is_unreadable:
            row.state, row.ended_at, row.outcome = TaskState.CANCELLED, ctx.now(), _CANCELLED_OUTCOMES[row.code]
            text = f"Task {row.id} was cancelled: {row.outcome}."
            ctx.log(session, LogKind.TASK_OUTCOME, text, customer_id=row.customer_id, facts={"task": row.id})


def _record_completed_steps(ctx: RunContext, session: Session, task: CreateTask, row: Task, today: date) -> None:
    if task.step is None:
        return
    for invoice_id in task.invoice_ids:
        session.merge(
            CompletedStep(
                connection_id=ctx.connection_id,
                invoice_id=invoice_id,
                step=task.step,
                recurrence_key=task.recurrence_key,
                customer_id=task.customer_id,
                task_id=row.id,
                completed_at=ctx.now(),
                completed_on=today,
            )
        )


def _log_plans(ctx: RunContext, session: Session, drafts: Sequence[Draft], changes: replanning.ReplanResult) -> None:
    by_key = {draft.key: draft for draft in drafts}
    for key in changes.added:
        draft = by_key[key]
        ctx.log(
            session,
            LogKind.PLANNED,
            draft.reason,
            customer_id=draft.customer_id,
            invoice_id=draft.invoice_id,
            facts={"key": key, "kind": draft.kind, "step": draft.step},
        )
    for key in changes.custom_text_lost:
        draft = by_key[key]
        text = "The facts of this email have changed, so its custom text was discarded; the template is used again."
        ctx.log(session, LogKind.EMAIL_EDITED, text, customer_id=draft.customer_id, facts={"key": key})
    for key in changes.cancelled:
        ctx.log(session, LogKind.CANCELLED, "A planned entry no longer applies and was cancelled.", facts={"key": key})


def _count_plans(ctx: RunContext, batch: DecisionBatch, drafts: Sequence[Draft]) -> None:
    ctx.tally["decisions"] = len(batch.invoice_decisions)
    for kind, count in Counter(draft.kind for draft in drafts).items():
        ctx.tally[f"planned_{kind}"] = count
    idle = (DecisionKind.HOLD, DecisionKind.WAITING)
    held = Counter((each.kind, each.code) for _customer_id, each in batch.invoice_decisions if each.kind in idle)
    for (idle_kind, code), count in held.items():
        ctx.tally[f"{idle_kind}_{code}"] = count


def _log_dry_run(ctx: RunContext, session: Session, batch: DecisionBatch, drafts: Sequence[Draft]) -> None:
    for draft in drafts:
        name = batch.customer_names.get(draft.customer_id, "")
        text = f"{_DRY_RUN_VERBS[draft.kind]}: {f'{name}: ' if name else ''}{draft.reason}"
        ctx.log(session, LogKind.DRY_RUN, text, facts={"key": draft.key})
    for task in batch.tasks:
        text = f"Would create a task: {task.reason}"
        ctx.log(session, LogKind.DRY_RUN, text, customer_id=task.customer_id)
