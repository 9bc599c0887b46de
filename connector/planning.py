"""Makes of what was decided what stays: un-sent plans, each invoice's answer, tasks, and the lines that tell of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import date

from sqlalchemy import select
from sqlmodel import Session, col

from connector import answers, effects, outbox
from connector.access.team import team_of
from connector.hour import Hour
from connector.letters import digests
from connector.people import recorded, settling
from connector.tables import Connection, TakenStep, Task
from policies.decisions import Answer, AnswerKind, MakeTask, TellOwner


@dataclass(slots=True)
class Decided:
    """The decisions of one pass, gathered for planning."""

    drafts: list[effects.Draft] = field(default_factory=list)
    told: list[TellOwner] = field(default_factory=list)
    tasks: list[MakeTask] = field(default_factory=list)
    answers: list[tuple[str, Answer]] = field(default_factory=list)  # with the customer's id
    names: dict[str, str] = field(default_factory=dict)
    odd: list[str] = field(default_factory=list)
    records: list[recorded.Record] = field(default_factory=list)  # of decisions that brought something new
    followed: dict[str, tuple[int | None, str]] = field(default_factory=dict)  # version and name of a customer's policy


def plan(
    hour: Hour,
    session: Session,
    connection: Connection,
    decided: Decided,
    version: int | None,
    customer_ids: Collection[str] | None,
) -> None:
    """Plan what was decided about some customers, or with ``None`` about all, in the caller's transaction."""
    today = hour.today(connection)
    drafts = list(decided.drafts)
    if customer_ids is None:
        drafts += digests.plan(hour, session, connection, drafts, decided.told, decided.names)
        _count(hour, decided, drafts)
    if hour.dry_run:
        _tell_dry(hour, session, decided, drafts)
        return
    changes = outbox.replan(
        session,
        connection,
        drafts,
        at=hour.now(),
        run_id=hour.run_id,
        policy_version=version,
        policy_versions={customer_id: own for customer_id, (own, _name) in decided.followed.items()},
        customer_ids=customer_ids,
    )
    given = _with_refusals(decided, changes)
    answers.keep(hour, session, given, decided.followed, customer_ids, otherwise=version)
    recorded.keep(session, hour.connection_id, hour.run_id, hour.now(), decided.records)
    if connection.mode != "observe":
        _make_tasks(hour, session, decided.tasks, today)
        settling.mark_broken(hour, session, decided.tasks, today)
        settling.mark_mailed(hour, session, decided.drafts, today)
    _log_plans(hour, session, drafts, changes)
    for text in decided.odd:
        hour.log(session, "odd", f"No decision could be made about {text}")
        hour.failed.append(f"No decision could be made about {text}.")


def _with_refusals(decided: Decided, changes: outbox.Replanned) -> answers.Given:
    """Where an effect was refused before, the answer says so instead of promising it again."""
    if not changes.refused:
        return decided.answers
    refused = {
        pair[0]: changes.refused[draft.key]
        for draft in decided.drafts
        if draft.key in changes.refused
        for pair in draft.payload["taken"]
    }
    return [
        (customer, answers.refused(answer, refused[answer.invoice_id]) if answer.invoice_id in refused else answer)
        for customer, answer in decided.answers
    ]


def _make_tasks(hour: Hour, session: Session, tasks: Sequence[MakeTask], today: date) -> None:
    team = team_of(session, hour.connection(session)) if tasks else None
    for task in tasks:
        key = effects.task_key(hour.books, task)
        if session.scalar(select(col(Task.id)).where(col(Task.key) == key)) is not None:
            continue
        row = Task(
            connection_id=hour.connection_id,
            key=key,
            code=task.code,
            step=task.step.value if task.step else "",
            customer_id=task.customer_id,
            invoice_ids=list(task.invoice_ids),
            due_on=task.due_on,
            why=task.why,
            owner=team.owner_of(task.customer_id) if team else "",
            made_at=hour.now(),
        )
        session.add(row)
        session.flush()
        _take_steps(hour, session, task, row, today)
        hour.tally["tasks"] += 1
        hour.log(session, "task", task.why, customer_id=task.customer_id, facts={"task": row.id, "code": task.code})


def _take_steps(hour: Hour, session: Session, task: MakeTask, row: Task, today: date) -> None:
    if task.step is None:
        return
    for invoice_id in task.invoice_ids:
        session.merge(
            TakenStep(
                connection_id=hour.connection_id,
                invoice_id=invoice_id,
                step=task.step.value,
                occasion=task.occasion,
                customer_id=task.customer_id,
                task_id=row.id,
                taken_at=hour.now(),
                taken_on=today,
            )
        )


def _log_plans(hour: Hour, session: Session, drafts: Sequence[effects.Draft], changes: outbox.Replanned) -> None:
    by_key = {draft.key: draft for draft in drafts}
    for key in changes.added:
        draft = by_key[key]
        hour.log(
            session,
            "planned",
            draft.why,
            customer_id=draft.customer_id,
            invoice_id=draft.invoice_id,
            facts={"key": key, "kind": draft.kind, "step": draft.step},
        )
    for key in changes.reworded:
        draft = by_key[key]
        text = "What this mail is about has changed, so the words a person gave it are gone; it is written anew."
        hour.log(session, "edited", text, customer_id=draft.customer_id, facts={"key": key})
    for key in changes.dropped:
        hour.log(session, "unplanned", "A planned effect no longer stands and was dropped.", facts={"key": key})


def _count(hour: Hour, decided: Decided, drafts: Sequence[effects.Draft]) -> None:
    hour.tally["answers"] = len(decided.answers)
    for kind, count in Counter(draft.kind for draft in drafts).items():
        hour.tally[f"planned_{kind}"] = count
    holds = Counter(answer.code for _customer, answer in decided.answers if answer.kind is AnswerKind.HOLD)
    for code, count in holds.items():
        hour.tally[f"hold_{code}"] = count


def _tell_dry(hour: Hour, session: Session, decided: Decided, drafts: Sequence[effects.Draft]) -> None:
    for draft in drafts:
        name = decided.names.get(draft.customer_id, "")
        hour.log(
            session, "would", f"Would {draft.kind.replace('_', ' ')}: {name}: {draft.why}", facts={"key": draft.key}
        )
    for task in decided.tasks:
        hour.log(session, "would", f"Would make a task: {task.why}", customer_id=task.customer_id)
