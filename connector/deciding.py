"""Asks the policy about every customer, or again about a few, and hands what it decides on to ``planning``."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from datetime import date, datetime

from sqlalchemy import func, select
from sqlmodel import Session, col

from connector import answers, effects, planning, policies_store, sync_log
from connector.hour import Hour
from connector.mirror.pages import customers_facts
from connector.mirror.places import HolidayCalendar
from connector.people import recorded, settling
from connector.tables import Connection, CustomerSetting, InvoiceRow, InvoiceSetting, OutboxEntry, TakenStep
from policies.decide import decide
from policies.decisions import Decision, MakeTask, TellOwner
from policies.receivables import Statement

# Window openings lie on quarter hours in every time zone there is: within one, the same facts give the same decisions.
QUARTER_SECONDS = 900


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
        planning.plan(hour, session, connection, decided, in_force.version, None)
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
    planning.plan(hour, session, connection, decided, in_force.version, customer_ids)


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
) -> planning.Decided:
    now, calendar = hour.now(), HolidayCalendar()
    decided = planning.Decided()
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
            decided.answers += [
                (customer.id, answers.odd(invoice.id, error)) for s in statements for invoice in s.invoices
            ]
            continue
        decided.followed[customer.id] = (version, decision.policy)
        _gather(decided, decision, statements, drafts)
        record = recorded.record(decision, statements, now, version, known)
        decided.records += [record] if record else []
    return decided


def _set_aside(
    session: Session, connection: Connection, decided: planning.Decided, customer_id: str, error: Exception, today: date
) -> None:
    """Leave out a customer whose rows cannot be read: he gets nothing, a person gets a task, all others go on."""
    rows = InvoiceRow.__table__.c  # type: ignore[attr-defined]
    query = select(rows.external_id).where(
        rows.connection_id == connection.id, rows.customer_id == customer_id, rows.is_open
    )
    invoices = tuple(session.scalars(query))
    why = f"The rows of customer {customer_id} in the database cannot be read ({type(error).__name__})."
    decided.odd.append(f"customer {customer_id}: {type(error).__name__}")
    decided.answers += [(customer_id, answers.odd(invoice_id, error)) for invoice_id in invoices]
    more = " Nothing is sent to him; please report this."
    decided.tasks.append(MakeTask(customer_id, None, "odd", invoices, today, f"{why}{more}"))


def _gather(
    decided: planning.Decided, decision: Decision, statements: Sequence[Statement], drafts: Sequence[effects.Draft]
) -> None:
    customer = statements[0].customer
    decided.drafts += drafts
    decided.names[customer.id] = customer.name
    decided.told += [action for action in decision.actions if isinstance(action, TellOwner)]
    decided.tasks += [action for action in decision.actions if isinstance(action, MakeTask)]
    decided.answers += [(customer.id, answer) for answer in decision.answers]


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
