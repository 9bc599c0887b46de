"""Explains an invoice: the facts, the decisions and holds, what happened, and what comes next."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlmodel import Session, col

from connector import policy_store
from connector.app_context import AppContext
from connector.arrangements import agreement_list
from connector.arrangements.customer_settings import customer_settings
from connector.connections.registry import as_item as connection_item
from connector.connections.registry import find_connection
from connector.db.engine import reading
from connector.db.money import format_e4
from connector.db.tables import (
    ApplicationRow,
    CompletedStep,
    Connection,
    CreditRow,
    CustomerRow,
    InvoiceDecisionRow,
    InvoiceRow,
    PaymentRow,
    SyncLogEntry,
)
from connector.evaluation import decision_records, exceptions
from connector.geo import HolidayCalendar, today_in
from connector.services.invoice_explanation import (
    AppliedAmount,
    DecisionAudit,
    DecisionItem,
    InvoiceCustomer,
    InvoiceEntry,
    InvoiceExplanation,
    InvoiceFacts,
    InvoiceLogEntry,
    StepItem,
    UnappliedAmount,
)
from connector.services.invoice_recipients import list_recipients
from connector.services.invoice_timeline import find_invoice_entries, invoice_timeline
from connector.services.invoices import ActiveAgreements, active_agreements, find_invoice
from connector.services.upcoming_actions import UpcomingAction, list_customer_upcoming
from connector.services.upcoming_invoice import about_one_invoice
from connector.sync.mirror.facts import build_balance_changes
from connector.sync.mirror.pages import load_statements
from policies.currencies import plain_amount
from policies.decide import decide
from policies.policy import ReminderPolicy
from policies.receivables import CreditKind, InvoiceStatus, SettlementKind, Statement, Step

_LOG_ENTRIES_MAX = 30
_UPCOMING_DAYS = 60


def explain(app: AppContext, invoice_number: str, connection: str | None) -> InvoiceExplanation:
    """Explain the invoice with this number or id; ``connection`` (id or short name) where it is not unique.

    Raises:
        UnknownInvoiceError: there is none, or the number is not unique.

    """
    with reading(app.engine) as session:
        connection_id = find_connection(session, connection).id if connection else None
        return explain_invoice(app, session, find_invoice(session, invoice_number, connection_id))


def explain_invoice(app: AppContext, session: Session, invoice: InvoiceRow) -> InvoiceExplanation:
    """Explain an invoice."""
    row, now = session.get_one(Connection, invoice.connection_id), app.now()
    key = (invoice.connection_id, invoice.external_id)
    found = list(load_statements(session, row, now=now, customer_ids=[invoice.customer_id]))
    policy, version = policy_store.get_active_policy(session, invoice.connection_id).for_customer(invoice.customer_id)
    return InvoiceExplanation(
        id=invoice.external_id,
        invoice=_facts(invoice),
        connection=connection_item(row),
        customer=_customer(session, invoice),
        active_agreements=active_agreements(session, [key]).get(key, ActiveAgreements()),
        applied=_applied(session, invoice),
        unapplied=_unapplied(session, invoice),
        timeline=invoice_timeline(session, invoice),
        upcoming=_upcoming(session, row, invoice, found, now),
        decision_audit=[
            DecisionAudit.model_validate(each, from_attributes=True)
            for each in decision_records.audit_invoice(session, invoice)
        ],
        agreements=agreement_list.list_agreements(session, invoice),
        decision=_last_decision(session, invoice),
        current_decision=_current_decision(invoice, found, now, policy, version),
        completed_steps=_completed_steps(session, invoice),
        outbox=[InvoiceEntry.model_validate(entry) for entry in find_invoice_entries(session, invoice)],
        log=_log_entries(session, invoice),
        exceptions=exceptions.list_about(session, invoice, _recipients(found, invoice)),
        recipients=list_recipients(
            [each for some in found for each in some], invoice.external_id, policy, today_in(row.time_zone, now)
        ),
    )


def _recipients(found: Sequence[tuple[Statement, ...]], invoice: InvoiceRow) -> set[str]:
    """Return to whom emails about an invoice go."""
    statements = [each for statements in found for each in statements]
    same = [one for each in statements for one in each.invoices if one.id == invoice.external_id]
    own = {address for one in same for address in one.emails}
    return own or {address for each in statements for address in each.customer.emails}


def _facts(row: InvoiceRow) -> InvoiceFacts:
    return InvoiceFacts(
        number=row.number,
        status=InvoiceStatus(row.status),
        currency=row.currency,
        total=format_e4(row.total_e4, row.currency),
        due=format_e4(row.due_e4, row.currency),
        issued_on=row.issued_on,
        due_on=row.due_on,
        closed_on=row.closed_on,
        sent_to_customer=row.sent_to_customer,
        updated_at=row.updated_at,
    )


def _customer(session: Session, invoice: InvoiceRow) -> InvoiceCustomer:
    row = session.get(CustomerRow, (invoice.connection_id, invoice.customer_id))
    return InvoiceCustomer(
        id=invoice.customer_id,
        name=row.name if row else "",
        emails=row.emails if row else "",
        settings=customer_settings(session, invoice.connection_id, invoice.customer_id),
    )


def _applied(session: Session, invoice: InvoiceRow) -> list[AppliedAmount]:
    query = (
        select(ApplicationRow)
        .where(
            col(ApplicationRow.connection_id) == invoice.connection_id,
            col(ApplicationRow.invoice_id) == invoice.external_id,
        )
        .order_by(col(ApplicationRow.applied_on))
    )
    return [
        AppliedAmount(
            kind=CreditKind(row.source_kind) if change.kind is SettlementKind.PAYMENT else change.kind,
            id=row.source_id,
            on=row.applied_on,
            amount=plain_amount(-change.amount, invoice.currency),
        )
        for row in session.scalars(query)
        for change in build_balance_changes(row)
    ]


def _unapplied(session: Session, invoice: InvoiceRow) -> list[UnappliedAmount]:
    payments = select(PaymentRow).where(*_of_customer(PaymentRow, invoice), col(PaymentRow.unapplied_e4) > 0)
    credits_ = select(CreditRow).where(*_of_customer(CreditRow, invoice), col(CreditRow.remaining_e4) > 0)
    amounts = [(CreditKind.PAYMENT, row.external_id, row.unapplied_e4) for row in session.scalars(payments)]
    amounts += [(CreditKind(row.kind), row.external_id, row.remaining_e4) for row in session.scalars(credits_)]
    return [
        UnappliedAmount(kind=kind, id=external_id, remaining=format_e4(remaining_e4, invoice.currency))
        for kind, external_id, remaining_e4 in amounts
    ]


def _of_customer(table: Any, invoice: InvoiceRow) -> list[ColumnElement[bool]]:
    return [
        table.connection_id == invoice.connection_id,
        table.customer_id == invoice.customer_id,
        table.currency == invoice.currency,
    ]


def _last_decision(session: Session, invoice: InvoiceRow) -> DecisionItem | None:
    row = session.get(InvoiceDecisionRow, (invoice.connection_id, invoice.external_id))
    return None if row is None else DecisionItem.model_validate(row)


def _current_decision(
    invoice: InvoiceRow,
    found: Sequence[tuple[Statement, ...]],
    now: datetime,
    policy: ReminderPolicy,
    version: int | None,
) -> DecisionItem | None:
    """Apply the policy to the facts the mirror has now; None where the invoice is in no statement."""
    for statements in found:
        for each in decide(statements, policy, now, HolidayCalendar()).invoice_decisions:
            if each.invoice_id == invoice.external_id:
                return DecisionItem(
                    kind=each.kind,
                    code=each.code,
                    reason=each.reason,
                    next_step=each.next_step,
                    next_on=each.next_on,
                    policy_version=version,
                )
    return None


def _upcoming(
    session: Session, row: Connection, invoice: InvoiceRow, found: Sequence[tuple[Statement, ...]], now: datetime
) -> list[UpcomingAction]:
    items = list_customer_upcoming(session, row, invoice.customer_id, now, _UPCOMING_DAYS, found)
    return [about_one_invoice(item, invoice.external_id) for item in items if invoice.external_id in item.invoice_ids]


def _completed_steps(session: Session, invoice: InvoiceRow) -> list[StepItem]:
    query = (
        select(CompletedStep)
        .where(
            col(CompletedStep.connection_id) == invoice.connection_id,
            col(CompletedStep.invoice_id) == invoice.external_id,
        )
        .order_by(col(CompletedStep.completed_at))
    )
    return [
        StepItem(
            step=Step(row.step),
            at=row.completed_at,
            on=row.completed_on,
            outbox_id=row.outbox_id,
            task_id=row.task_id,
        )
        for row in session.scalars(query)
    ]


def _log_entries(session: Session, invoice: InvoiceRow) -> list[InvoiceLogEntry]:
    query = (
        select(SyncLogEntry)
        .where(
            col(SyncLogEntry.connection_id) == invoice.connection_id,
            col(SyncLogEntry.invoice_id) == invoice.external_id,
        )
        .order_by(col(SyncLogEntry.id).desc())
        .limit(_LOG_ENTRIES_MAX)
    )
    return [InvoiceLogEntry.model_validate(row) for row in reversed(list(session.scalars(query)))]
