"""Past actions: the steps completed for some customers, and the emails that reached nobody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from zoneinfo import ZoneInfo

from sqlalchemy import case, or_, select

from connector.db.money import from_e4
from connector.sync.mirror.charged_fees import NO_FEE, ChargedFee, ChargedFees
from connector.sync.mirror.customer_batch import TABLES, CustomerBatch, SqlRow
from connector.sync.mirror.customer_data import CustomerData
from connector.sync.mirror.facts import email_addresses
from connector.vocabulary import OutboxKind, OutboxState, TaskState
from connector.vocabulary.tasks import UNREACHABLE_CODES
from policies.receivables import Customer, PastAction, Step
from providers.mailer import RefusalCause

_OUTBOX = TABLES["outbox"]
_UNCONFIRMED_STATES = {OutboxState.UNCONFIRMED, OutboxState.SENDING}


def load_past_actions(batch: CustomerBatch, fees: ChargedFees, zone: ZoneInfo) -> dict[str, list[PastAction]]:
    """Return the completed steps, with the state of their emails, and the emails that reached nobody."""
    found = _load_completed_steps(batch, fees)
    query = select(_OUTBOX).where(batch.of_customers(_OUTBOX), _OUTBOX.c.refusal != "").order_by(_OUTBOX.c.id)
    for row in batch.session.execute(query):
        found.setdefault(row.customer_id, []).extend(_build_refused_actions(row, zone))
    return found


def with_new_reader(action: PastAction, customer: Customer, loaded: CustomerData) -> PastAction:
    """Return a past action of who is written to by now, naming them where its email went to somebody else."""
    if action.reader_id in {"", customer.id}:
        return action
    former = email_addresses(loaded.customers.get(action.reader_id), loaded.settings.get(action.reader_id))
    current = {each.lower() for each in customer.emails}
    is_same = any(each.lower() in current for each in former)
    return action if is_same else replace(action, new_reader_id=customer.id)


def _load_completed_steps(batch: CustomerBatch, fees: ChargedFees) -> dict[str, list[PastAction]]:
    """Return the completed steps, except those whose email was rejected."""
    step, task = TABLES["completed_step"], TABLES["task"]
    notice = case((step.c.step == Step.FINAL_NOTICE.value, _OUTBOX.c.payload))  # it names a date
    of_task = (task.c.code.label("task_code"), task.c.state.label("task_state"))
    query = (
        select(step, _OUTBOX.c.key, _OUTBOX.c.kind, _OUTBOX.c.state, *of_task, notice.label("notice"))
        .add_columns(_OUTBOX.c.customer_id.label("reader_id"))
        .join_from(step, _OUTBOX, _OUTBOX.c.id == step.c.outbox_id, isouter=True)
        .join(task, task.c.id == step.c.task_id, isouter=True)
        .where(batch.of_customers(step), or_(_OUTBOX.c.state.is_(None), _OUTBOX.c.state != OutboxState.REJECTED))
        .order_by(step.c.completed_at, step.c.invoice_id, step.c.step)
    )
    return batch.many_per_key(query, "customer_id", lambda row: _build_past_action(row, fees.fees_by_entry))


def _build_past_action(row: SqlRow, fees: Mapping[int, ChargedFee]) -> PastAction:
    """Return a completed step; ``row.kind``, ``key`` and ``state`` are of its outbox entry, or it has a task."""
    fee = fees.get(row.outbox_id or 0, NO_FEE) if row.step == Step.LATE_FEE.value else None
    charged = (row.invoice_id, row.recurrence_key)
    charge, waived = (fee.charges.get(charged), fee.waived.get(charged, Decimal(0))) if fee else (None, Decimal(0))
    return PastAction(
        step=Step(row.step),
        invoice_id=row.invoice_id,
        at=row.completed_at,
        on=row.completed_on,
        email_key=row.key or "",
        is_contact=row.kind == OutboxKind.EMAIL,
        unconfirmed=row.state in _UNCONFIRMED_STATES,
        undone=row.task_code in UNREACHABLE_CODES and row.task_state != TaskState.DONE,
        recurrence_key=row.recurrence_key,
        fee_amount=charge.amount - waived if charge else None,
        fee_waived=waived,
        fee_basis=charge.basis if charge else None,
        fee_outcome=fee.outcome if fee else None,
        fee_invoice_id=fee.invoice_id if fee else "",
        acknowledged=None if row.acknowledged_e4 is None else from_e4(row.acknowledged_e4),
        announced_fee=row.announced_fee,
        fee_terms=row.fee_terms,
        reader_id=row.reader_id or "",
        suspension_on=date.fromisoformat(on) if row.notice and (on := row.notice.get("suspension_on")) else None,
    )


def _build_refused_actions(row: SqlRow, zone: ZoneInfo) -> Iterator[PastAction]:
    """Yield the steps of an email that reached nobody; it counts as a contact unless the address is to blame."""
    at = row.dispatched_at or row.planned_at
    for invoice_id, step in row.payload["completed"]:
        yield PastAction(
            step=Step(step),
            invoice_id=invoice_id,
            at=at,
            on=at.astimezone(zone).date(),
            email_key=row.key,
            is_contact=row.refusal != RefusalCause.ADDRESS,
            refused=True,
        )
