"""Asks the policy about every customer, keeps each invoice's answer, and remakes the un-sent plans."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from sqlalchemy import delete, func, or_, select
from sqlmodel import Session, col

from connector import effects, outbox, policies_store, sync_log
from connector.access.team import team_of
from connector.hour import Hour
from connector.letters import digests
from connector.mirror.pages import customers_facts
from connector.mirror.places import HolidayCalendar
from connector.people import recorded, settling
from connector.tables import (
    AnswerRow,
    Connection,
    CustomerSetting,
    InvoiceRow,
    InvoiceSetting,
    OutboxEntry,
    TakenStep,
    Task,
)
from policies.decide import decide
from policies.decisions import Answer, AnswerKind, Decision, MakeTask, TellOwner
from policies.receivables import Statement

# Window openings lie on quarter hours in every time zone there is: within one, the same facts give the same decisions.
QUARTER_SECONDS = 900


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


def decide_all(hour: Hour) -> None:
    """Decide about every customer, unless not one fact has changed since the last time."""
    with hour.reading() as session:
        connection = hour.connection(session)
        _policy, version = policies_store.current(session, hour.connection_id)
        if _fingerprint(session, connection, version, hour.now()) == connection.decided_on and not hour.dry_run:
            hour.tally["unchanged"] = 1
            return
    hour.tell("deciding")
    if not hour.dry_run:
        with hour.writing() as session:
            connection = hour.connection(session)
            policy, _version = policies_store.current(session, hour.connection_id)
            settling.settle(hour, session, connection, policy, hour.today(connection))
    began_at = hour.now()
    with hour.reading() as session:  # a large company takes seconds: nobody has to wait for the database meanwhile
        newest = sync_log.newest_line(session)
        in_force = policies_store.in_force(session, hour.connection_id)
        decided = _decide(hour, session, hour.connection(session), in_force, None)
    with hour.writing() as session:
        connection = hour.connection(session)
        _plan(hour, session, connection, decided, in_force.version, None)
        # What was said meanwhile was not decided about: then the next run looks again, whatever the fingerprint.
        missed = sync_log.told_since(session, newest, connection_id=hour.connection_id, run_id=hour.run_id)
        known = "" if hour.dry_run or missed else _fingerprint(session, connection, in_force.version, began_at)
        connection.decided_on = known


def decide_again(hour: Hour, session: Session, customer_ids: Collection[str]) -> None:
    """Decide about a few customers whose invoices were just re-read, in the caller's transaction."""
    connection = hour.connection(session)
    hour.heard |= dict.fromkeys(customer_ids, sync_log.newest_line(session))
    in_force = policies_store.in_force(session, hour.connection_id)
    decided = _decide(hour, session, connection, in_force, customer_ids)
    _plan(hour, session, connection, decided, in_force.version, customer_ids)


def as_it_stands(hour: Hour, session: Session, entry_id: int) -> OutboxEntry | None:
    """Give an entry as it is right now, in the transaction that is to mark it; ``None`` where it stands no more.

    Where something was said since its customer was decided about (a dispute, a promise, "no reminders"), he is decided
    about once more: else it costs one look at the log.
    """
    entry = session.get(OutboxEntry, entry_id)
    if entry is None or entry.kind not in {"mail", "late_fee"}:
        return entry
    customer = entry.customer_id
    heard, about = hour.heard.get(customer, 0), {"connection_id": hour.connection_id, "run_id": hour.run_id}
    if not sync_log.told_since(session, heard, customer_id=customer, **about):
        return entry
    decide_again(hour, session, [customer])
    session.flush()
    return session.get(OutboxEntry, entry_id)


def _decide(
    hour: Hour,
    session: Session,
    connection: Connection,
    in_force: policies_store.InForce,
    customer_ids: Collection[str] | None,
) -> Decided:
    now, calendar = hour.now(), HolidayCalendar()
    decided = Decided()
    known = recorded.answers_known(session, hour.connection_id, customer_ids)

    def unread(customer_id: str, error: Exception) -> None:
        _set_aside(session, connection, decided, customer_id, error, hour.today(connection))

    for statements in customers_facts(session, connection, now=now, customer_ids=customer_ids, unread=unread):
        customer = statements[0].customer
        policy, version = in_force.of(customer.id)
        try:
            decision = decide(statements, policy, now, calendar)
            drafts = effects.drafts(hour.books, decision, statements)
        except Exception as error:  # noqa: BLE001 - one customer's odd facts must not stop the others
            decided.odd.append(f"{customer.name}: {type(error).__name__}")  # its text may quote a record
            decided.answers += [(customer.id, _odd(invoice.id, error)) for s in statements for invoice in s.invoices]
            continue
        decided.followed[customer.id] = (version, decision.policy)
        _gather(decided, decision, statements, drafts)
        record = recorded.record(decision, statements, now, version, known)
        decided.records += [record] if record else []
    return decided


def _set_aside(
    session: Session, connection: Connection, decided: Decided, customer_id: str, error: Exception, today: date
) -> None:
    """Leave out a customer whose rows cannot be read: he gets nothing, a person gets a task, all others go on."""
    rows = InvoiceRow.__table__.c  # type: ignore[attr-defined]
    query = select(rows.external_id).where(
        rows.connection_id == connection.id, rows.customer_id == customer_id, rows.is_open
    )
    invoices = tuple(session.scalars(query))
    why = f"The rows of customer {customer_id} in the database cannot be read ({type(error).__name__})."
    decided.odd.append(f"customer {customer_id}: {type(error).__name__}")
    decided.answers += [(customer_id, _odd(invoice_id, error)) for invoice_id in invoices]
    more = " Nothing is sent to him; please report this."
    decided.tasks.append(MakeTask(customer_id, None, "odd", invoices, today, f"{why}{more}"))


def _gather(
    decided: Decided, decision: Decision, statements: Sequence[Statement], drafts: Sequence[effects.Draft]
) -> None:
    customer = statements[0].customer
    decided.drafts += drafts
    decided.names[customer.id] = customer.name
    decided.told += [action for action in decision.actions if isinstance(action, TellOwner)]
    decided.tasks += [action for action in decision.actions if isinstance(action, MakeTask)]
    decided.answers += [(customer.id, answer) for answer in decision.answers]


def _plan(
    hour: Hour,
    session: Session,
    connection: Connection,
    decided: Decided,
    version: int | None,
    customer_ids: Collection[str] | None,
) -> None:
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
    _keep_answers(hour, session, _with_refusals(decided, changes), version, customer_ids)
    recorded.keep(session, hour.connection_id, hour.run_id, hour.now(), decided.records)
    if connection.mode != "observe":
        _make_tasks(hour, session, decided.tasks, today)
        settling.mark_broken(hour, session, decided.tasks, today)
        settling.mark_mailed(hour, session, decided.drafts, today)
    _log_plans(hour, session, drafts, changes)
    for text in decided.odd:
        hour.log(session, "odd", f"No decision could be made about {text}")
        hour.failed.append(f"No decision could be made about {text}.")


def _with_refusals(decided: Decided, changes: outbox.Replanned) -> Decided:
    """Where an effect was refused before, the answer says so instead of promising it again."""
    if not changes.refused:
        return decided
    refused = {
        pair[0]: changes.refused[draft.key]
        for draft in decided.drafts
        if draft.key in changes.refused
        for pair in draft.payload["taken"]
    }
    decided.answers = [
        (customer, _refused(answer, refused[answer.invoice_id]) if answer.invoice_id in refused else answer)
        for customer, answer in decided.answers
    ]
    return decided


def _keep_answers(
    hour: Hour, session: Session, decided: Decided, version: int | None, customer_ids: Collection[str] | None
) -> None:
    query = select(AnswerRow).where(col(AnswerRow.connection_id) == hour.connection_id)
    if customer_ids is not None:
        ours = [answer.invoice_id for _customer, answer in decided.answers]  # some were another customer's until now
        query = query.where(
            or_(col(AnswerRow.customer_id).in_(list(customer_ids)), col(AnswerRow.invoice_id).in_(ours))
        )
    known = {row.invoice_id: row for row in session.scalars(query)}
    for customer_id, answer in decided.answers:
        own_version, policy_name = decided.followed.get(customer_id, (version, ""))
        row = known.pop(answer.invoice_id, None)
        told = (answer.kind.value, answer.code, answer.next_step, answer.next_on)
        if row is None:
            row = AnswerRow(
                connection_id=hour.connection_id,
                invoice_id=answer.invoice_id,
                customer_id=customer_id,
                kind=answer.kind.value,
                code=answer.code,
                run_id=hour.run_id,
                since_at=hour.now(),
            )
            session.add(row)
        elif (row.kind, row.code, row.next_step, row.next_on) == told:
            if row.why != answer.why:
                row.why = answer.why  # the same answer in today's words ("6 days late"): no news for the log
            continue
        row.customer_id, row.run_id, row.since_at = customer_id, hour.run_id, hour.now()
        row.kind, row.code, row.why, row.policy_version = answer.kind.value, answer.code, answer.why, own_version
        row.next_step, row.next_on = answer.next_step, answer.next_on
        hour.log(
            session,
            "decided",
            answer.why,
            customer_id=customer_id,
            invoice_id=answer.invoice_id,
            facts={
                "kind": answer.kind.value,
                "code": answer.code,
                "policy": own_version,
                **({"policy_name": policy_name} if policy_name else {}),
            },
        )
    if known:
        session.execute(
            delete(AnswerRow).where(
                col(AnswerRow.connection_id) == hour.connection_id,
                col(AnswerRow.invoice_id).in_(list(known)),
            )
        )


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


def _odd(invoice_id: str, error: Exception) -> Answer:
    why = f"No decision could be made ({type(error).__name__}). Nothing is sent; please report this."
    return Answer(invoice_id, AnswerKind.HOLD, "odd", why)


def _refused(answer: Answer, why: str) -> Answer:
    return Answer(
        answer.invoice_id, AnswerKind.HOLD, "refused", f"Nothing is sent: {why}.", answer.next_step, answer.next_on
    )


def _fingerprint(session: Session, connection: Connection, version: int | None, now: datetime) -> str:
    """Everything a decision depends on that can change by itself or by a person, in one short text."""
    here = connection.id
    said = [
        session.execute(select(func.count(), func.max(col(table.set_at))).where(col(table.connection_id) == here)).one()
        for table in (CustomerSetting, InvoiceSetting)
    ]
    deeds = session.execute(
        select(func.count(), func.max(TakenStep.taken_at)).where(col(TakenStep.connection_id) == here)
    ).one()
    states = session.execute(
        select(col(OutboxEntry.state), func.count())
        .where(col(OutboxEntry.connection_id) == here)
        .group_by(col(OutboxEntry.state))
    ).all()
    quarter = int(now.timestamp()) // QUARTER_SECONDS
    facts = (quarter, connection.mirror_version, connection.mode, version, said, deeds, sorted(map(tuple, states)))
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:32]
