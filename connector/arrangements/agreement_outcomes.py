"""What became of what was said, on every run: promises and plans kept or broken, pauses over, tasks without object."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from sqlalchemy import select
from sqlmodel import Session, col

from connector.arrangements import tasks
from connector.db.tables import Agreement, Connection, CustomerRow, InvoiceRow, InvoiceSetting
from connector.geo import HolidayCalendar
from connector.outbox.drafts import Draft
from connector.runtime.run_context import RunContext
from connector.vocabulary import AgreementKind, AgreementState, LogKind, OutboxKind, TaskCode
from policies.agreements import grace_ends_on
from policies.decisions import CreateTask
from policies.formatting import format_date, format_days
from policies.policy import ReminderPolicy
from policies.receivables import InvoiceStatus
from providers.geo import country_code

_BROKEN_KINDS: dict[str, AgreementKind] = {
    TaskCode.PROMISE_BROKEN: AgreementKind.PROMISE,
    TaskCode.PLAN_BROKEN: AgreementKind.PAYMENT_PLAN,
}


def finalise_agreements(
    ctx: RunContext, session: Session, connection: Connection, policy: ReminderPolicy, today: date
) -> None:
    """End what is over: what was said about settled invoices, pauses whose day has come, tasks about nothing."""
    for agreement, invoice in _find_finished(session, ctx.connection_id, today):
        if invoice.is_open:
            _close(ctx, session, agreement, AgreementState.ENDED, f"The pause of invoice {invoice.number} is over.")
            _clear_pause(session, agreement)
        else:
            state, words = _judge(session, connection, policy, agreement, invoice)
            _close(ctx, session, agreement, state, words)
    for task in tasks.cancel_obsolete(session, ctx.connection_id, ctx.now()):
        text = f"Task {task.id} is moot: nothing is owed any more on what it is about."
        ctx.log(session, LogKind.TASK_OUTCOME, text, customer_id=task.customer_id, facts={"task": task.id})


def record_broken_from_tasks(ctx: RunContext, session: Session, created: Sequence[CreateTask], today: date) -> None:
    """Keep for good which promises and plans were broken: a voided plan stays void, and habits remember."""
    for task in created:
        kind = _BROKEN_KINDS.get(task.code)
        if kind is None:
            continue
        invoice_id = task.invoice_ids[0]
        query = select(Agreement).where(
            col(Agreement.connection_id) == ctx.connection_id,
            col(Agreement.invoice_id) == invoice_id,
            col(Agreement.kind) == kind,
            col(Agreement.state) == AgreementState.OPEN,
        )
        agreement = session.scalars(query).first() or _create_from_ledger(
            ctx, session, kind, (task.customer_id, invoice_id), today
        )
        _close(ctx, session, agreement, AgreementState.BROKEN, task.reason)


def record_broken_from_emails(ctx: RunContext, session: Session, drafts: Sequence[Draft], today: date) -> None:
    """Keep for good which promises were broken that a mail asks about, once each, though it is planned every run."""
    for draft in drafts:
        for invoice_id, promised in (
            draft.payload.get("recurrence_keys", {}).items() if draft.kind == OutboxKind.EMAIL else ()
        ):
            promised_on = date.fromisoformat(promised)
            query = select(Agreement).where(
                col(Agreement.connection_id) == ctx.connection_id,
                col(Agreement.invoice_id) == invoice_id,
                col(Agreement.kind) == AgreementKind.PROMISE,
                col(Agreement.until_on) == promised_on,
                col(Agreement.state).in_([AgreementState.OPEN, AgreementState.BROKEN]),
            )
            known = session.scalars(query.order_by(col(Agreement.state))).first()  # a broken one before an open one
            if known is None:
                known = _create_from_ledger(ctx, session, AgreementKind.PROMISE, (draft.customer_id, invoice_id), today)
                known.until_on = promised_on
            if known.state == "open":
                _close(
                    ctx,
                    session,
                    known,
                    AgreementState.BROKEN,
                    f"What was promised for {format_date(promised_on)} did not come.",
                )


def _find_finished(session: Session, connection_id: int, today: date) -> Sequence[tuple[Agreement, InvoiceRow]]:
    join = (col(InvoiceRow.connection_id) == col(Agreement.connection_id)) & (
        col(InvoiceRow.external_id) == col(Agreement.invoice_id)
    )
    query = (
        select(Agreement, InvoiceRow)
        .join(InvoiceRow, join)
        .where(
            col(Agreement.connection_id) == connection_id,
            col(Agreement.state) == AgreementState.OPEN,
            ~col(InvoiceRow.is_open)
            | ((col(Agreement.kind) == AgreementKind.PAUSE) & (col(Agreement.until_on) <= today)),
        )
        .order_by(col(Agreement.id))
    )
    return [(agreement, invoice) for agreement, invoice in session.execute(query)]


def _judge(
    session: Session, connection: Connection, policy: ReminderPolicy, agreement: Agreement, invoice: InvoiceRow
) -> tuple[AgreementState, str]:
    """Judge by the days in the books, not by when we looked: an invoice paid after the promised day broke it."""
    number = invoice.number
    if invoice.status != InvoiceStatus.PAID.value or invoice.closed_on is None:
        return AgreementState.ENDED, f"Invoice {number} is {invoice.status}: the {agreement.kind} is without object."
    if agreement.kind not in {AgreementKind.PROMISE, AgreementKind.PAYMENT_PLAN} or agreement.until_on is None:
        return (
            AgreementState.RESOLVED,
            f"Invoice {number} was paid on {format_date(invoice.closed_on)}: the {agreement.kind} is over.",
        )
    customer = session.get(CustomerRow, (agreement.connection_id, agreement.customer_id))
    country = country_code(customer.country) if customer and customer.country else connection.country
    if invoice.closed_on < grace_ends_on(agreement.until_on, policy, country, HolidayCalendar()):
        return (
            AgreementState.KEPT,
            f"The {agreement.kind} about invoice {number} was kept: it was paid on {format_date(invoice.closed_on)}.",
        )
    late = format_days((invoice.closed_on - agreement.until_on).days)
    return AgreementState.BROKEN, f"Invoice {number} was paid {late} after the day of the {agreement.kind}."


def _close(ctx: RunContext, session: Session, agreement: Agreement, state: AgreementState, outcome: str) -> None:
    agreement.state, agreement.outcome, agreement.ended_at = state, outcome, ctx.now()
    ctx.log(
        session,
        LogKind.AGREEMENT,
        outcome,
        customer_id=agreement.customer_id,
        invoice_id=agreement.invoice_id,
        facts={"kind": agreement.kind, "state": state},
    )


def _clear_pause(session: Session, agreement: Agreement) -> None:
    row = session.get(InvoiceSetting, (agreement.connection_id, agreement.invoice_id))
    if row is not None:
        row.paused, row.paused_until_on = False, None


def _create_from_ledger(
    ctx: RunContext, session: Session, kind: AgreementKind, customer_and_invoice: tuple[str, str], today: date
) -> Agreement:
    """Keep a promise that only the ledger knew (its expected day of payment), now that it was broken."""
    row = Agreement(
        connection_id=ctx.connection_id,
        kind=kind,
        customer_id=customer_and_invoice[0],
        invoice_id=customer_and_invoice[1],
        since_on=today,
        state=AgreementState.OPEN,
        reason="the expected day of payment in the ledger",
        recorded_at=ctx.now(),
    )
    session.add(row)
    return row
