"""Makes of what was decided what stays: un-sent plans, each invoice's answer, tasks, and the lines that tell of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import date

from sqlalchemy import select
from sqlmodel import Session, col

from connector.arrangements import agreement_outcomes
from connector.connections.account_owners import load_team
from connector.db.tables import CompletedStep, Connection, Task
from connector.emails.outbound import digests
from connector.evaluation import decision_records, invoice_decisions
from connector.outbox import drafts as outbox_drafts
from connector.outbox import entries
from connector.runtime.run_context import RunContext
from connector.vocabulary import ConnectionMode, LogKind, TaskCode
from policies.decisions import CreateTask, DecisionKind, InvoiceDecision, NotifyOwner


@dataclass(slots=True)
class DecisionBatch:
    """The decisions of one pass, gathered for planning."""

    drafts: list[outbox_drafts.Draft] = field(default_factory=list)
    owner_alerts: list[NotifyOwner] = field(default_factory=list)
    tasks: list[CreateTask] = field(default_factory=list)
    answers: list[tuple[str, InvoiceDecision]] = field(default_factory=list)  # with the customer's id
    customer_names: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    records: list[decision_records.PackedDecision] = field(
        default_factory=list
    )  # of decisions that brought something new
    applied_policies: dict[str, tuple[int | None, str]] = field(
        default_factory=dict
    )  # version and name of a customer's policy


def plan_effects(
    ctx: RunContext,
    session: Session,
    connection: Connection,
    batch: DecisionBatch,
    version: int | None,
    customer_ids: Collection[str] | None,
) -> None:
    """Plan what was decided about some customers, or with ``None`` about all, in the caller's transaction."""
    today = ctx.today(connection)
    drafts = list(batch.drafts)
    if customer_ids is None:
        drafts += digests.plan(ctx, session, connection, drafts, batch.owner_alerts, batch.customer_names)
        _count_plans(ctx, batch, drafts)
    if ctx.dry_run:
        _log_dry_run(ctx, session, batch, drafts)
        return
    changes = entries.replan(
        session,
        connection,
        drafts,
        at=ctx.now(),
        run_id=ctx.run_id,
        policy_version=version,
        policy_versions={customer_id: own for customer_id, (own, _name) in batch.applied_policies.items()},
        customer_ids=customer_ids,
    )
    given = _apply_rejections(batch, changes)
    invoice_decisions.store_decisions(
        ctx, session, given, batch.applied_policies, customer_ids, default_version=version
    )
    decision_records.store_records(session, ctx.connection_id, ctx.run_id, ctx.now(), batch.records)
    if connection.mode != ConnectionMode.OBSERVE:
        _create_tasks(ctx, session, batch.tasks, today)
        agreement_outcomes.record_broken_from_tasks(ctx, session, batch.tasks, today)
        agreement_outcomes.record_broken_from_emails(ctx, session, batch.drafts, today)
    _log_plans(ctx, session, drafts, changes)
    for text in batch.failures:
        ctx.log(session, LogKind.ERROR, f"No decision could be made about {text}")
        ctx.failures.append(f"No decision could be made about {text}.")


def _apply_rejections(batch: DecisionBatch, changes: entries.ReplanResult) -> invoice_decisions.DecisionPairs:
    """Where an effect was refused before, the answer says so instead of promising it again."""
    if not changes.rejected:
        return batch.answers
    refused = {
        pair[0]: changes.rejected[draft.key]
        for draft in batch.drafts
        if draft.key in changes.rejected
        for pair in draft.payload["completed"]
    }
    return [
        (
            customer,
            invoice_decisions.rejected_decision(answer, refused[answer.invoice_id])
            if answer.invoice_id in refused
            else answer,
        )
        for customer, answer in batch.answers
    ]


def _create_tasks(ctx: RunContext, session: Session, tasks: Sequence[CreateTask], today: date) -> None:
    team = load_team(session, ctx.connection(session)) if tasks else None
    for task in tasks:
        key = outbox_drafts.task_key(ctx.ledger_key, task)
        if session.scalar(select(col(Task.id)).where(col(Task.key) == key)) is not None:
            continue
        row = Task(
            connection_id=ctx.connection_id,
            key=key,
            code=TaskCode(task.code),
            step=task.step.value if task.step else "",
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
        ctx.log(
            session, LogKind.TASK, task.reason, customer_id=task.customer_id, facts={"task": row.id, "code": task.code}
        )


def _record_completed_steps(ctx: RunContext, session: Session, task: CreateTask, row: Task, today: date) -> None:
    if task.step is None:
        return
    for invoice_id in task.invoice_ids:
        session.merge(
            CompletedStep(
                connection_id=ctx.connection_id,
                invoice_id=invoice_id,
                step=task.step.value,
                recurrence_key=task.recurrence_key,
                customer_id=task.customer_id,
                task_id=row.id,
                completed_at=ctx.now(),
                completed_on=today,
            )
        )


def _log_plans(
    ctx: RunContext, session: Session, drafts: Sequence[outbox_drafts.Draft], changes: entries.ReplanResult
) -> None:
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
        text = "What this mail is about has changed, so the words a person gave it are gone; it is written anew."
        ctx.log(session, LogKind.EMAIL_EDITED, text, customer_id=draft.customer_id, facts={"key": key})
    for key in changes.cancelled:
        ctx.log(session, LogKind.CANCELLED, "A planned effect no longer stands and was dropped.", facts={"key": key})


def _count_plans(ctx: RunContext, batch: DecisionBatch, drafts: Sequence[outbox_drafts.Draft]) -> None:
    ctx.tally["decisions"] = len(batch.answers)
    for kind, count in Counter(draft.kind for draft in drafts).items():
        ctx.tally[f"planned_{kind}"] = count
    holds = Counter(answer.code for _customer, answer in batch.answers if answer.kind is DecisionKind.HOLD)
    for code, count in holds.items():
        ctx.tally[f"hold_{code}"] = count


def _log_dry_run(
    ctx: RunContext, session: Session, batch: DecisionBatch, drafts: Sequence[outbox_drafts.Draft]
) -> None:
    for draft in drafts:
        name = batch.customer_names.get(draft.customer_id, "")
        ctx.log(
            session,
            LogKind.DRY_RUN,
            f"Would {draft.kind.replace('_', ' ')}: {name}: {draft.reason}",
            facts={"key": draft.key},
        )
    for task in batch.tasks:
        ctx.log(session, LogKind.DRY_RUN, f"Would make a task: {task.reason}", customer_id=task.customer_id)
