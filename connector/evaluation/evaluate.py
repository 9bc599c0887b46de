"""Asks the policy for decisions, about every customer or again about a few, and has them applied."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date

from sqlalchemy import select
from sqlmodel import Session, col

from connector import policy_store
from connector.arrangements import agreement_outcomes
from connector.audit import sync_log
from connector.bank_details.store import accounts_in_use
from connector.db.tables import Connection, InvoiceRow, OutboxEntry
from connector.emails.outbound import digests
from connector.evaluation import affected, decision_records, invoice_decisions, standing
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
from policies.calendar import find_time_zone
from policies.decide import decide
from policies.decisions import CreateTask, CustomerDecision, NotifyOwner
from policies.receivables import Statement
from policies.segments import segment_of

_DECIDED_KINDS = {OutboxKind.EMAIL, OutboxKind.LATE_FEE}


def decide_all(ctx: RunContext) -> None:
    """Decide about every customer whose facts may have changed since the last time, which often is nobody."""
    with ctx.reading() as session:
        connection = ctx.connection(session)
        _policy, version = policy_store.get_policy(session, ctx.connection_id)
        is_alike = not ctx.dry_run and standing.differ_by_mirror_only(
            session, connection, version, ctx.app.settings, ctx.now()
        )
        if is_alike and standing.still_stand(connection):
            ctx.tally["unchanged"] = 1
            return
    ctx.on_progress("deciding")
    if not ctx.dry_run:
        with ctx.writing() as session:
            connection = ctx.connection(session)
            policy, _version = policy_store.get_policy(session, ctx.connection_id)
            standing.begin(connection)
            agreement_outcomes.finalise_agreements(ctx, session, connection, policy, ctx.today(connection))
    times = standing.DecisionTimes(ctx.now())
    with ctx.reading() as session:  # a large company takes seconds, and others may write meanwhile
        log_head = sync_log.newest_entry_id(session)
        policies = policy_store.get_active_policy(session, ctx.connection_id)
        connection = ctx.connection(session)
        facts = affected.company_facts(session, connection, policies, ctx.today(connection))
        customer_ids = _find_affected(ctx, session, connection, facts) if is_alike else None
        if customer_ids is not None and connection.decided_until_at is not None:
            times.next_change_at = connection.decided_until_at  # also of those who are not decided about
        if customer_ids is not None:
            ctx.tally["customers"] = len(customer_ids)
        batch = _decide(ctx, session, connection, policies, customer_ids, times)
        basis = standing.DecisionBasis(log_head, connection.mirror_version, facts)
        times.add(find_time_zone(connection.time_zone), digests.digest_window(session, connection))
        times.add_readers(session, policies.policy.send_window)
        times.add_accounts(session, connection)
    with ctx.writing() as session:
        connection = ctx.connection(session)
        can_follow = apply_decisions(ctx, session, connection, batch, policies.version, customer_ids)
        # What is logged from here on was not decided about, and what these decisions bring is decided about again.
        if batch.failures:
            connection.decision_fingerprint = ""
        elif not ctx.dry_run:
            basis = basis if can_follow else basis._replace(facts="")
            standing.record(session, connection, policies.version, ctx.app.settings, times, basis)


def _find_affected(ctx: RunContext, session: Session, connection: Connection, facts: str) -> set[str] | None:
    """Return whom to decide about, where nothing but the mirror has changed since the last time; None for all."""
    is_known = ctx.mirror_changes.explain(connection.decided_mirror_version, connection.mirror_version)
    if not is_known or facts != connection.decided_facts or standing.is_logged(session, connection):
        return None
    return affected.find_affected(session, connection, ctx.mirror_changes)


def decide_again(ctx: RunContext, session: Session, customer_ids: Collection[str]) -> None:
    """Decide about a few customers whose invoices have just been read again, in the caller's transaction."""
    connection = ctx.connection(session)
    ctx.last_seen_log_id |= dict.fromkeys(customer_ids, sync_log.newest_entry_id(session))
    families = load_families(session, ctx.connection_id)
    ctx.billed_to |= {each: families.billed_to(each) for each in customer_ids}
    policies = policy_store.get_active_policy(session, ctx.connection_id)
    batch = _decide(ctx, session, connection, policies, customer_ids, standing.DecisionTimes(ctx.now()))
    apply_decisions(ctx, session, connection, batch, policies.version, customer_ids, is_recheck=True)


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
    times: standing.DecisionTimes,
) -> DecisionBatch:
    now, calendar = times.now, HolidayCalendar()
    batch, mailboxes = DecisionBatch(), SharedMailboxes(session, load_peers(session, connection))
    accounts = accounts_in_use(session, ctx.connection_id, now)
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
            times.add_customer(statements[0], own_policy.send_window)
            drafts = build_drafts(ctx.ledger_key, decision, statements, today, own_policy, accounts)
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
