"""What changed since the last email to a customer about the same invoices: what came, and what they said.

It is read from the outbox, the agreements, the replies and the mirror. An email says it, so that nobody is written to
as if they had never answered.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import ColumnElement, func, select
from sqlmodel import Session, col

from connector.db.tables import Agreement, Connection, OutboxEntry, ReceivedReply, Task
from connector.emails.outbound.email_facts import SinceLast
from connector.geo import today_in
from connector.outbox.payloads import EmailPayload, payload_as
from connector.vocabulary import AgreementKind, AgreementState, OutboxKind, OutboxState, ReplyKind, TaskCode
from policies.receivables import BalanceChange, CreditKind, Invoice, SettlementKind, Statement, Step

_BEFORE_DUE = frozenset({Step.BEFORE_DUE, Step.DUE_TODAY})
_CHASING = frozenset({Step.PAST_DUE, Step.SECOND_NOTICE, Step.PLAN_OFFER, Step.FINAL_NOTICE, Step.PROMISE_BROKEN})
_EARLIER = (
    _BEFORE_DUE
    | _CHASING
    | {
        Step.RECEIPT_CHECK,
        Step.DISCOUNT_ENDING,
        Step.PAYMENT_RETURNED,
        Step.WITHHOLDING_CERTIFICATE,
    }
)
_EMAILS_MAX = 50  # of a customer that are looked through, the newest first


def count_earlier(session: Session, connection_id: int, customer_id: str, step: Step, key: str = "") -> int:
    """Return how many emails of a step the customer was sent before the one with this outbox key."""
    query = select(func.count()).where(*_sent_to(connection_id, customer_id), col(OutboxEntry.step) == step)
    return session.scalar(query.where(col(OutboxEntry.key) != key)) or 0


def load_since_last(
    session: Session, connection: Connection, statement: Statement, step: Step, about: Sequence[Invoice], today: date
) -> SinceLast | None:
    """Return what changed since the last reminder about any of the invoices; None where there was none.

    ``paid`` is money that came for them, and for those listed beside them then, unless an email thanked for it.
    """
    if step not in _BEFORE_DUE | _CHASING:
        return None
    ids = {invoice.id for invoice in about}
    said = _load_said(session, connection.id or 0, statement.customer.id, ids)
    last = _find_last(session, connection.id or 0, statement, ids)
    if last is None or last.dispatched_at is None:
        return None
    wrote_on = today_in(connection.time_zone, last.dispatched_at)
    said_then = payload_as(EmailPayload, last)
    since = SinceLast(wrote_on=wrote_on, paid=_money_since(statement, said_then, wrote_on, today))
    if step in _BEFORE_DUE:
        return since
    found = _with_answers(since, said, last.dispatched_at, _promised_on(step, about), connection.time_zone)
    return replace(found, reported_on=None) if _may_be_in_bank(statement, ids) else found


def _may_be_in_bank(statement: Statement, ids: set[str]) -> bool:
    """Return whether money on a bank statement is or may be for the invoices: then nobody says that it is missing."""
    in_bank = {each.invoice_id for each in statement.credits if each.kind is CreditKind.BANK_RECEIPT}
    return not ids.isdisjoint(in_bank | {each.invoice_id for each in statement.possible_payments})


def _find_last(session: Session, connection_id: int, statement: Statement, ids: set[str]) -> OutboxEntry | None:
    """Return the newest email that reached the customer and listed one of the invoices; thanks are none of these."""
    query = (
        select(OutboxEntry)
        .where(*_sent_to(connection_id, statement.customer.id), col(OutboxEntry.currency) == statement.currency)
        .where(col(OutboxEntry.step).in_(_EARLIER), col(OutboxEntry.refusal) == "")
        .order_by(col(OutboxEntry.dispatched_at).desc(), col(OutboxEntry.id).desc())
        .limit(_EMAILS_MAX)
    )
    return next((each for each in session.scalars(query) if ids & set(payload_as(EmailPayload, each).listed)), None)


def _sent_to(connection_id: int, customer_id: str) -> tuple[ColumnElement[bool], ...]:
    return (
        col(OutboxEntry.connection_id) == connection_id,
        col(OutboxEntry.customer_id) == customer_id,
        col(OutboxEntry.kind) == OutboxKind.EMAIL,
        col(OutboxEntry.state) == OutboxState.DONE,
    )


def _money_since(statement: Statement, then: EmailPayload, from_on: date, today: date) -> Decimal:
    """Return the money that came for the invoices of an email since: what they fell by, as far as it was paid.

    What an invoice was raised or lowered by meanwhile is no part of it.
    """
    thanked = {each.invoice_id for each in statement.past_actions if each.acknowledged and each.on >= from_on}
    found = Decimal(0)
    for invoice in statement.invoices:
        raised = invoice.total - then.totals.get(invoice.id, invoice.total)
        fallen = then.due.get(invoice.id, invoice.due) + raised - invoice.due
        if invoice.id not in thanked and fallen > 0:
            found += max(Decimal(0), min(fallen, _sum_payments(invoice.balance_changes, from_on, today)))
    return found


def _sum_payments(changes: Iterable[BalanceChange], from_on: date, until_on: date) -> Decimal:
    paid = (each.amount for each in changes if each.kind is SettlementKind.PAYMENT and from_on <= each.on <= until_on)
    return -sum(paid, Decimal(0))


def _promised_on(step: Step, about: Sequence[Invoice]) -> date | None:
    """Return the promise that the email itself is about."""
    if step is not Step.PROMISE_BROKEN:
        return None
    return max((each.promised_on for each in about if each.promised_on), default=None)


class _Said(NamedTuple):
    """What a customer agreed, wrote and reported about some invoices, whenever that was."""

    agreements: Sequence[Agreement]
    replied_at: datetime | None
    reported_at: datetime | None


def _load_said(session: Session, connection_id: int, customer_id: str, ids: set[str]) -> _Said:
    agreements = session.scalars(
        select(Agreement)
        .where(col(Agreement.connection_id) == connection_id, col(Agreement.customer_id) == customer_id)
        .where(col(Agreement.invoice_id).in_(ids))
        .order_by(col(Agreement.id))
    ).all()
    replied_at = session.scalar(
        select(func.max(ReceivedReply.received_at))
        .where(col(ReceivedReply.connection_id) == connection_id, col(ReceivedReply.customer_id) == customer_id)
        .where(col(ReceivedReply.kind) == ReplyKind.REPLY)
    )
    reports = session.execute(
        select(col(Task.created_at), col(Task.invoice_ids))
        .where(col(Task.connection_id) == connection_id, col(Task.customer_id) == customer_id)
        .where(col(Task.code) == TaskCode.PAYMENT_REPORTED)
    ).all()
    return _Said(agreements, replied_at, max((at for at, about in reports if ids & set(about)), default=None))


def _with_answers(since: SinceLast, said: _Said, at: datetime, promised_on: date | None, time_zone: str) -> SinceLast:
    """Add what the customer said since an instant. ``promised_on`` is the promise that the email is about."""

    def day(instant: datetime | None) -> date | None:
        return today_in(time_zone, instant) if instant is not None and instant > at else None

    broken = [
        each for each in said.agreements if each.kind == AgreementKind.PROMISE and each.state == AgreementState.BROKEN
    ]
    earlier = [each.until_on for each in broken if promised_on and each.until_on and each.until_on < promised_on]
    later = [each.until_on for each in broken if not promised_on and each.until_on and each.recorded_at > at]
    closed = [
        each.since_on
        for each in said.agreements
        if each.kind == AgreementKind.DISPUTE
        and each.state == AgreementState.RESOLVED
        and each.ended_at is not None
        and each.ended_at > at
    ]
    return replace(
        since,
        promised_on=max(later, default=None),
        promised_before_on=max(earlier, default=None),
        replied_on=day(said.replied_at),
        reported_on=day(said.reported_at) if not since.paid else None,
        disputed_on=max(closed, default=None),
    )
