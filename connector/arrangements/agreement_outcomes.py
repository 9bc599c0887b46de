"""Closes agreements on every run: promises and plans kept or broken, pauses that are over, obsolete tasks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from typing import NamedTuple

from sqlalchemy import select
from sqlmodel import Session, col

from connector.arrangements import moved_tasks, partial_promises, tasks
from connector.db.invoice_names import title_of
from connector.db.tables import Agreement, Connection, CustomerRow, InvoiceRow, InvoiceSetting
from connector.geo import HolidayCalendar
from connector.outbox.drafts import Draft
from connector.outbox.payloads import EmailPayload
from connector.runtime.run_context import RunContext
from connector.sync.mirror.customer_behaviour import is_settled_by_money
from connector.vocabulary import AgreementKind, AgreementState, LogKind, TaskCode
from connector.vocabulary.labels import in_sentence, label
from policies.agreements import grace_ends_on
from policies.decisions import CreateTask
from policies.formatting import format_date, format_days
from policies.policy import ReminderPolicy
from policies.receivables import InvoiceStatus, Step
from providers.geo import holiday_region

_BROKEN_KINDS: dict[str, AgreementKind] = {
    TaskCode.PROMISE_BROKEN: AgreementKind.PROMISE,
    TaskCode.PLAN_BROKEN: AgreementKind.PAYMENT_PLAN,
}
LEDGER_PROMISE = "the expected payment date in the accounting system"  # the reason of a promise that nobody recorded
_DATED_KINDS = {AgreementKind.PROMISE, AgreementKind.PAYMENT_PLAN}


_OF_INVOICE = (col(InvoiceRow.connection_id) == col(Agreement.connection_id)) & (
    col(InvoiceRow.external_id) == col(Agreement.invoice_id)
)


class _Outcome(NamedTuple):
    state: AgreementState
    text: str


def finalise_agreements(
    ctx: RunContext, session: Session, connection: Connection, policy: ReminderPolicy, today: date
) -> None:
    """Close what is over: agreements about closed invoices, parts paid as promised, pauses that end, obsolete tasks."""
    for agreement, invoice in _find_partial_promises(session, ctx.connection_id):
        if _is_part_kept(session, connection, policy, agreement, invoice):
            _close(ctx, session, agreement, _part_kept(session, agreement, invoice))
            _clear_promise(ctx, session, agreement)
    for agreement, invoice in _find_finished(session, ctx.connection_id, today):
        if invoice.is_open:
            text = f"The pause of {title_of(session, invoice)} is over."
            _close(ctx, session, agreement, _Outcome(AgreementState.ENDED, text))
            _clear_pause(session, agreement)
        else:
            _close(ctx, session, agreement, _judge(session, connection, policy, agreement, invoice))
    moved_tasks.follow_customers(session, ctx.connection_id, at=ctx.now(), run_id=ctx.run_id)
    for task in tasks.cancel_obsolete(session, connection, at=ctx.now(), run_id=ctx.run_id):
        text = f"Task {task.id} was cancelled: {task.outcome}."
        ctx.log(session, LogKind.TASK_OUTCOME, text, customer_id=task.customer_id, facts={"task": task.id})


def record_broken_from_tasks(ctx: RunContext, session: Session, created: Sequence[CreateTask], today: date) -> None:
    """Record the promises and plans that tasks report as broken: a broken plan stays void, whatever is paid later."""
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
        agreement = session.scalars(query).first()
        if agreement is None:
            agreement = _create_from_ledger(ctx, session, kind, task.customer_id, invoice_id, today)
        _close(ctx, session, agreement, _Outcome(AgreementState.BROKEN, task.reason))


def record_broken_from_emails(ctx: RunContext, session: Session, drafts: Sequence[Draft], today: date) -> None:
    """Record the broken promises that emails ask about, once each, though every run plans the emails again."""
    for draft in drafts:
        payload = draft.payload
        for invoice_id, promised_on in _broken_promises(payload) if isinstance(payload, EmailPayload) else ():
            query = select(Agreement).where(
                col(Agreement.connection_id) == ctx.connection_id,
                col(Agreement.invoice_id) == invoice_id,
                col(Agreement.kind) == AgreementKind.PROMISE,
                col(Agreement.until_on) == promised_on,
                col(Agreement.state).in_([AgreementState.OPEN, AgreementState.BROKEN]),
            )
            agreement = session.scalars(query.order_by(col(Agreement.state))).first()  # "broken" sorts before "open"
            if agreement is None:
                kind = AgreementKind.PROMISE
                agreement = _create_from_ledger(ctx, session, kind, draft.customer_id, invoice_id, today)
                agreement.until_on = promised_on
            if agreement.state == AgreementState.OPEN:
                text = f"The payment promised for {format_date(promised_on)} did not arrive."
                _close(ctx, session, agreement, _Outcome(AgreementState.BROKEN, text))


def _broken_promises(payload: EmailPayload) -> Iterator[tuple[str, date]]:
    """Yield the invoices whose broken promise an email asks about, with the promised dates."""
    for invoice_id, step in payload.completed:
        if step == Step.PROMISE_BROKEN:
            yield invoice_id, date.fromisoformat(payload.recurrence_keys[invoice_id])


def _find_partial_promises(session: Session, connection_id: int) -> Sequence[tuple[Agreement, InvoiceRow]]:
    """Return the open promises of part of an open invoice."""
    query = select(Agreement, InvoiceRow).join(InvoiceRow, _OF_INVOICE)
    found = query.where(
        col(Agreement.connection_id) == connection_id,
        col(Agreement.kind) == AgreementKind.PROMISE,
        col(Agreement.state) == AgreementState.OPEN,
        col(Agreement.paid_before_e4).is_not(None),
        col(InvoiceRow.is_open),
    )
    return [(agreement, invoice) for agreement, invoice in session.execute(found.order_by(col(Agreement.id)))]


def _is_part_kept(
    session: Session, connection: Connection, policy: ReminderPolicy, agreement: Agreement, invoice: InvoiceRow
) -> bool:
    if agreement.until_on is None or agreement.kind != AgreementKind.PROMISE:
        return False
    late_on = _late_on(session, connection, policy, agreement, agreement.until_on)
    return partial_promises.has_arrived(session, agreement, invoice, late_on)


def _part_kept(session: Session, agreement: Agreement, invoice: InvoiceRow) -> _Outcome:
    name, title = label(agreement.kind, "agreement_kind"), title_of(session, invoice)
    text = f"{name} kept: {partial_promises.format_part(agreement)} of {title} was paid as promised."
    return _Outcome(AgreementState.KEPT, text + (" The rest is chased on." if invoice.is_open else ""))


def _clear_promise(ctx: RunContext, session: Session, agreement: Agreement) -> None:
    row = session.get(InvoiceSetting, (agreement.connection_id, agreement.invoice_id))
    if row is not None:
        row.promised_on, row.promised_e4, row.set_at = None, None, ctx.now()


def _find_finished(session: Session, connection_id: int, today: date) -> Sequence[tuple[Agreement, InvoiceRow]]:
    pause_is_over = (col(Agreement.kind) == AgreementKind.PAUSE) & (col(Agreement.until_on) <= today)
    query = (
        select(Agreement, InvoiceRow)
        .join(InvoiceRow, _OF_INVOICE)
        .where(
            col(Agreement.connection_id) == connection_id,
            col(Agreement.state) == AgreementState.OPEN,
            ~col(InvoiceRow.is_open) | pause_is_over,
        )
        .order_by(col(Agreement.id))
    )
    return [(agreement, invoice) for agreement, invoice in session.execute(query)]


def _judge(
    session: Session, connection: Connection, policy: ReminderPolicy, agreement: Agreement, invoice: InvoiceRow
) -> _Outcome:
    """Judge by the dates in the ledger, not by when we read them: paid after the promised date, it was broken."""
    title, name = title_of(session, invoice), label(agreement.kind, "agreement_kind")
    if invoice.status != InvoiceStatus.PAID or invoice.closed_on is None:
        status = in_sentence(label(invoice.status, "invoice_status"))
        return _Outcome(AgreementState.ENDED, f"{name} ended: {title} is {status}.")
    paid_on = format_date(invoice.closed_on)
    if not _is_paid(session, invoice):
        text = f"{name} ended: {title} was credited or written off on {paid_on}."
        return _Outcome(AgreementState.ENDED, text)
    if agreement.kind not in _DATED_KINDS or agreement.until_on is None:
        return _Outcome(AgreementState.RESOLVED, f"{name} ended: {title} was paid on {paid_on}.")
    if _is_part_kept(session, connection, policy, agreement, invoice):
        return _part_kept(session, agreement, invoice)
    if invoice.closed_on < _late_on(session, connection, policy, agreement, agreement.until_on):
        return _Outcome(AgreementState.KEPT, f"{name} kept: {title} was paid on {paid_on}.")
    late = format_days((invoice.closed_on - agreement.until_on).days)
    return _Outcome(AgreementState.BROKEN, f"{name} broken: {title} was paid {late} late, on {paid_on}.")


def _late_on(
    session: Session, connection: Connection, policy: ReminderPolicy, agreement: Agreement, promised_on: date
) -> date:
    """Return the first date on which a payment that was promised for a day is late."""
    customer = session.get(CustomerRow, (agreement.connection_id, agreement.customer_id))
    region = holiday_region(customer.country, customer.region) if customer and customer.country else connection.country
    return grace_ends_on(promised_on, policy, region, HolidayCalendar())


def _is_paid(session: Session, invoice: InvoiceRow) -> bool:
    """Return whether money settled the invoice: a credit neither keeps nor breaks a promise to pay."""
    query = select(col(InvoiceRow.external_id)).where(
        col(InvoiceRow.connection_id) == invoice.connection_id,
        col(InvoiceRow.external_id) == invoice.external_id,
        is_settled_by_money(),
    )
    return session.scalar(query) is not None


def _close(ctx: RunContext, session: Session, agreement: Agreement, outcome: _Outcome) -> None:
    agreement.state, agreement.outcome, agreement.ended_at = outcome.state, outcome.text, ctx.now()
    ctx.log(
        session,
        LogKind.AGREEMENT,
        outcome.text,
        customer_id=agreement.customer_id,
        invoice_id=agreement.invoice_id,
        facts={"kind": agreement.kind, "state": outcome.state},
    )


def _clear_pause(session: Session, agreement: Agreement) -> None:
    row = session.get(InvoiceSetting, (agreement.connection_id, agreement.invoice_id))
    if row is not None:
        row.paused, row.paused_until_on = False, None


def _create_from_ledger(
    ctx: RunContext, session: Session, kind: AgreementKind, customer_id: str, invoice_id: str, today: date
) -> Agreement:
    """Create the agreement for a promise known from the ledger only (its expected payment date), now broken."""
    row = Agreement(
        connection_id=ctx.connection_id,
        kind=kind,
        customer_id=customer_id,
        invoice_id=invoice_id,
        since_on=today,
        state=AgreementState.OPEN,
        reason=LEDGER_PROMISE,
        recorded_at=ctx.now(),
    )
    session.add(row)
    return row
