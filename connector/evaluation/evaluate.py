"""Asks the policy about every customer, or again about a few, and hands what it decides on to ``planning``."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from datetime import date, datetime

from sqlalchemy import func, select
from sqlmodel import Session, col

from connector import policy_store
from connector.arrangements import agreement_outcomes
from connector.audit import sync_log
from connector.db.tables import CompletedStep, Connection, CustomerSetting, InvoiceRow, InvoiceSetting, OutboxEntry
from connector.evaluation import apply, decision_records, invoice_decisions
from connector.geo import HolidayCalendar
from connector.outbox import drafts as outbox_drafts
from connector.runtime.run_context import RunContext
from connector.sync.mirror.pages import load_statements
from connector.vocabulary import OutboxKind
from policies.decide import decide
from policies.decisions import CreateTask, CustomerDecision, NotifyOwner
from policies.receivables import Statement

# Window openings lie on quarter hours in every time zone there is: within one, the same facts give the same decisions.
QUARTER_SECONDS = 900


def decide_all(ctx: RunContext) -> None:
    """Decide about every customer, unless not one fact has changed since the last time."""
    with ctx.reading() as session:
        connection = ctx.connection(session)
        _policy, version = policy_store.get_policy(session, ctx.connection_id)
        if _fingerprint(session, connection, version, ctx.now()) == connection.decision_fingerprint and not ctx.dry_run:
            ctx.tally["unchanged"] = 1
            return
    ctx.on_progress("deciding")
    if not ctx.dry_run:
        with ctx.writing() as session:
            connection = ctx.connection(session)
            policy, _version = policy_store.get_policy(session, ctx.connection_id)
            agreement_outcomes.finalise_agreements(ctx, session, connection, policy, ctx.today(connection))
    began_at = ctx.now()
    with ctx.reading() as session:  # a large company takes seconds: nobody has to wait for the database meanwhile
        newest = sync_log.newest_entry_id(session)
        in_force = policy_store.get_active_policy(session, ctx.connection_id)
        decided = _decide(ctx, session, ctx.connection(session), in_force, None)
    with ctx.writing() as session:
        connection = ctx.connection(session)
        apply.plan_effects(ctx, session, connection, decided, in_force.version, None)
        # What was said meanwhile was not decided about: then the next run looks again, whatever the fingerprint.
        missed = sync_log.logged_since(session, newest, connection_id=ctx.connection_id, run_id=ctx.run_id)
        known = "" if ctx.dry_run or missed else _fingerprint(session, connection, in_force.version, began_at)
        connection.decision_fingerprint = known


def decide_again(ctx: RunContext, session: Session, customer_ids: Collection[str]) -> None:
    """Decide about a few customers whose invoices were just re-read, in the caller's transaction."""
    connection = ctx.connection(session)
    ctx.last_seen_log_id |= dict.fromkeys(customer_ids, sync_log.newest_entry_id(session))
    in_force = policy_store.get_active_policy(session, ctx.connection_id)
    decided = _decide(ctx, session, connection, in_force, customer_ids)
    apply.plan_effects(ctx, session, connection, decided, in_force.version, customer_ids)


def refresh_entry(ctx: RunContext, session: Session, entry_id: int) -> OutboxEntry | None:
    """Give an entry as it is right now, in the transaction that is to mark it; ``None`` where it stands no more.

    Where something was said since its customer was decided about (a dispute, a promise, "no reminders"), he is decided
    about once more: else it costs one look at the log.
    """
    entry = session.get(OutboxEntry, entry_id)
    if entry is None or entry.kind not in {OutboxKind.EMAIL, OutboxKind.LATE_FEE}:
        return entry
    customer = entry.customer_id
    last_seen_log_id, about = (
        ctx.last_seen_log_id.get(customer, 0),
        {"connection_id": ctx.connection_id, "run_id": ctx.run_id},
    )
    if not sync_log.logged_since(session, last_seen_log_id, customer_id=customer, **about):
        return entry
    decide_again(ctx, session, [customer])
    session.flush()
    return session.get(OutboxEntry, entry_id)


def _decide(
    ctx: RunContext,
    session: Session,
    connection: Connection,
    in_force: policy_store.ActivePolicy,
    customer_ids: Collection[str] | None,
) -> apply.DecisionBatch:
    now, calendar = ctx.now(), HolidayCalendar()
    decided = apply.DecisionBatch()
    known = decision_records.load_signatures(session, ctx.connection_id, customer_ids)

    def unread(customer_id: str, error: Exception) -> None:
        _skip_unreadable(session, connection, decided, customer_id, error, ctx.today(connection))

    for statements in load_statements(session, connection, now=now, customer_ids=customer_ids, on_unreadable=unread):
        customer = statements[0].customer
        policy, version = in_force.for_customer(customer.id)
        try:
            decision = decide(statements, policy, now, calendar)
            drafts = outbox_drafts.build_drafts(ctx.ledger_key, decision, statements)
        except Exception as error:  # noqa: BLE001 - one customer's odd facts must not stop the others
            decided.failures.append(f"{customer.name}: {type(error).__name__}")  # its text may quote a record
            decided.answers += [
                (customer.id, invoice_decisions.failed_decision(invoice.id, error))
                for s in statements
                for invoice in s.invoices
            ]
            continue
        decided.applied_policies[customer.id] = (version, decision.policy)
        _collect(decided, decision, statements, drafts)
        record = decision_records.pack_decision(decision, statements, now, version, known)
        decided.records += [record] if record else []
    return decided


def _skip_unreadable(
    session: Session,
    connection: Connection,
    batch: apply.DecisionBatch,
    customer_id: str,
    error: Exception,
    today: date,
) -> None:
    """Leave out a customer whose rows cannot be read: he gets nothing, a person gets a task, all others go on."""
    rows = InvoiceRow.__table__.c  # type: ignore[attr-defined]
    query = select(rows.external_id).where(
        rows.connection_id == connection.id, rows.customer_id == customer_id, rows.is_open
    )
    invoices = tuple(session.scalars(query))
    reason = f"The rows of customer {customer_id} in the database cannot be read ({type(error).__name__})."
    batch.failures.append(f"customer {customer_id}: {type(error).__name__}")
    batch.answers += [(customer_id, invoice_decisions.failed_decision(invoice_id, error)) for invoice_id in invoices]
    more = " Nothing is sent to him; please report this."
    batch.tasks.append(CreateTask(customer_id, None, "unreadable_data", invoices, today, f"{reason}{more}"))


def _collect(
    batch: apply.DecisionBatch,
    decision: CustomerDecision,
    statements: Sequence[Statement],
    drafts: Sequence[outbox_drafts.Draft],
) -> None:
    customer = statements[0].customer
    batch.drafts += drafts
    batch.customer_names[customer.id] = customer.name
    batch.owner_alerts += [action for action in decision.actions if isinstance(action, NotifyOwner)]
    batch.tasks += [action for action in decision.actions if isinstance(action, CreateTask)]
    batch.answers += [(customer.id, answer) for answer in decision.invoice_decisions]


def _fingerprint(session: Session, connection: Connection, version: int | None, now: datetime) -> str:
    """Everything a decision depends on that can change by itself or by a person, in one short text."""
    here = connection.id
    said = [
        session.execute(select(func.count(), func.max(col(table.set_at))).where(col(table.connection_id) == here)).one()
        for table in (CustomerSetting, InvoiceSetting)
    ]
    past_actions = session.execute(
        select(func.count(), func.max(CompletedStep.completed_at)).where(col(CompletedStep.connection_id) == here)
    ).one()
    states = session.execute(
        select(col(OutboxEntry.state), func.count())
        .where(col(OutboxEntry.connection_id) == here)
        .group_by(col(OutboxEntry.state))
    ).all()
    quarter = int(now.timestamp()) // QUARTER_SECONDS
    facts = (
        quarter,
        connection.mirror_version,
        connection.mode,
        version,
        said,
        past_actions,
        sorted(map(tuple, states)),
    )
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:32]
