"""Asks the policy for decisions, about every customer or again about a few, and has them applied."""

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
from connector.evaluation import decision_records, invoice_decisions
from connector.evaluation.apply import DecisionBatch, apply_decisions
from connector.evaluation.invoice_decisions import AppliedPolicy
from connector.evaluation.shared_mailboxes import SharedMailboxes
from connector.geo import HolidayCalendar
from connector.outbox.drafts import Draft, build_drafts
from connector.runtime.run_context import RunContext
from connector.sync.mirror.families import load_families
from connector.sync.mirror.mailboxes import load_peers
from connector.sync.mirror.pages import load_statements
from connector.vocabulary import OutboxKind, TaskCode
from policies.decide import decide
from policies.decisions import CreateTask, CustomerDecision, NotifyOwner
from policies.receivables import Statement
from policies.segments import segment_of

# Send windows open on quarter hours in every time zone: within a quarter hour the same facts give the same decisions.
QUARTER_SECONDS = 900
_DECIDED_KINDS = {OutboxKind.EMAIL, OutboxKind.LATE_FEE}


def decide_all(ctx: RunContext) -> None:
    """Decide about every customer, unless nothing has changed since the last time."""
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
    started_at = ctx.now()
    with ctx.reading() as session:  # a large company takes seconds, and others may write meanwhile
        log_head = sync_log.newest_entry_id(session)
        policies = policy_store.get_active_policy(session, ctx.connection_id)
        batch = _decide(ctx, session, ctx.connection(session), policies, None)
    with ctx.writing() as session:
        connection = ctx.connection(session)
        apply_decisions(ctx, session, connection, batch, policies.version, None)
        # What was logged meanwhile was not decided about: without a fingerprint the next run decides again.
        is_stale = sync_log.logged_since(session, log_head, connection_id=ctx.connection_id, run_id=ctx.run_id)
        fingerprint = _fingerprint(session, connection, policies.version, started_at)
        connection.decision_fingerprint = "" if ctx.dry_run or is_stale else fingerprint


def decide_again(ctx: RunContext, session: Session, customer_ids: Collection[str]) -> None:
    """Decide about a few customers whose invoices have just been read again, in the caller's transaction."""
    connection = ctx.connection(session)
    ctx.last_seen_log_id |= dict.fromkeys(customer_ids, sync_log.newest_entry_id(session))
    families = load_families(session, ctx.connection_id)
    ctx.billed_to |= {each: families.billed_to(each) for each in customer_ids}
    policies = policy_store.get_active_policy(session, ctx.connection_id)
    batch = _decide(ctx, session, connection, policies, customer_ids)
    apply_decisions(ctx, session, connection, batch, policies.version, customer_ids)


def refresh_entry(ctx: RunContext, session: Session, entry_id: int) -> OutboxEntry | None:
    """Return an entry as it stands, in the transaction that is to mark it as sending; None where it was cancelled.

    Its customer is decided about again where something has been logged since: a dispute, a promise, an opt-out.
    """
    entry = session.get(OutboxEntry, entry_id)
    if entry is None or entry.kind not in _DECIDED_KINDS:
        return entry
    customer = entry.customer_id
    last_seen = ctx.last_seen_log_id.get(customer, 0)
    if not any(
        sync_log.logged_since(session, last_seen, connection_id=ctx.connection_id, run_id=ctx.run_id, customer_id=each)
        for each in ctx.billed_to.get(customer, [customer])
    ):
        return entry
    decide_again(ctx, session, [customer])
    session.flush()
    return session.get(OutboxEntry, entry_id)


def _decide(
    ctx: RunContext,
    session: Session,
    connection: Connection,
    policies: policy_store.ActivePolicy,
    customer_ids: Collection[str] | None,
) -> DecisionBatch:
    now, calendar = ctx.now(), HolidayCalendar()
    batch, mailboxes = DecisionBatch(), SharedMailboxes(session, load_peers(session, connection))
    known = decision_records.load_signatures(session, ctx.connection_id, customer_ids)

    def on_unreadable(customer_id: str, error: Exception) -> None:
        _skip_unreadable(session, connection, batch, customer_id, error, ctx.today(connection))

    for statements in load_statements(
        session, connection, now=now, customer_ids=customer_ids, on_unreadable=on_unreadable
    ):
        customer = statements[0].customer
        policy, version = policies.for_customer(customer.id)
        try:
            statements = mailboxes.mark_taken(statements)  # noqa: PLW2901 - the same facts, with who comes first
            decision = decide(statements, policy, now, calendar)
            today = ctx.today(connection)
            own_policy = policy.policy_for(customer, today)
            drafts = build_drafts(ctx.ledger_key, decision, statements, today, own_policy)
            batch.segments[customer.id] = segment_of(customer, own_policy.segments, today)
            mailboxes.take(customer, drafts)
        except Exception as error:  # noqa: BLE001 - one customer's unusual facts must not stop the others
            batch.failures.append(f"{customer.name}: {type(error).__name__}")  # the error's text may quote a record
            batch.invoice_decisions += [
                (customer.id, invoice_decisions.failed_decision(invoice.id, error))
                for statement in statements
                for invoice in statement.invoices
            ]
            continue
        batch.applied_policies[customer.id] = AppliedPolicy(version, decision.policy)
        _collect(batch, decision, statements, drafts)
        record = decision_records.pack_decision(decision, statements, now, version, known)
        batch.records += [record] if record else []
    return batch


def _skip_unreadable(
    session: Session, connection: Connection, batch: DecisionBatch, customer_id: str, error: Exception, today: date
) -> None:
    """Skip a customer whose rows cannot be read, and create a task about it."""
    query = select(col(InvoiceRow.external_id)).where(
        col(InvoiceRow.connection_id) == connection.id,
        col(InvoiceRow.customer_id) == customer_id,
        col(InvoiceRow.is_open),
    )
    invoices = tuple(session.scalars(query))
    batch.failures.append(f"customer {customer_id}: {type(error).__name__}")
    batch.invoice_decisions += [
        (customer_id, invoice_decisions.failed_decision(invoice_id, error)) for invoice_id in invoices
    ]
    reason = (
        f"The stored data of customer {customer_id} cannot be read ({type(error).__name__})."
        " Nothing is sent to them; please report this."
    )
    batch.tasks.append(CreateTask(customer_id, None, TaskCode.UNREADABLE_DATA, invoices, today, reason))


def _collect(
    batch: DecisionBatch, decision: CustomerDecision, statements: Sequence[Statement], drafts: Sequence[Draft]
) -> None:
    customer = statements[0].customer
    batch.drafts += drafts
    batch.customer_names[customer.id] = customer.name
    batch.owner_alerts += [action for action in decision.actions if isinstance(action, NotifyOwner)]
    batch.tasks += [action for action in decision.actions if isinstance(action, CreateTask)]
    batch.invoice_decisions += [(customer.id, each) for each in decision.invoice_decisions]


def _fingerprint(session: Session, connection: Connection, version: int | None, now: datetime) -> str:
    """Hash everything decisions depend on: time, mirror, mode, policy, settings, and what has been done."""
    settings = [
        session.execute(
            select(func.count(), func.max(col(table.set_at))).where(col(table.connection_id) == connection.id)
        ).one()
        for table in (CustomerSetting, InvoiceSetting)
    ]
    completed = session.execute(
        select(func.count(), func.max(CompletedStep.completed_at)).where(
            col(CompletedStep.connection_id) == connection.id
        )
    ).one()
    states = session.execute(
        select(col(OutboxEntry.state), func.count())
        .where(col(OutboxEntry.connection_id) == connection.id)
        .group_by(col(OutboxEntry.state))
    ).all()
    quarter = int(now.timestamp()) // QUARTER_SECONDS
    counts = sorted((str(state), count) for state, count in states)
    facts = (quarter, connection.mirror_version, str(connection.mode), version, settings, completed, counts)
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:32]
