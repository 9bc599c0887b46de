"""Why an invoice was chased or not: the facts, the rules and holds, what happened and what comes next."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sqlalchemy import select
from sqlmodel import Session, col

from connector import policy_store
from connector.app_context import AppContext
from connector.arrangements import agreements
from connector.connections.registry import describe as describe_connection
from connector.connections.registry import find_connection
from connector.db.engine import reading
from connector.db.money import from_e4
from connector.db.tables import (
    ApplicationRow,
    CompletedStep,
    Connection,
    CreditRow,
    CustomerRow,
    CustomerSetting,
    InvoiceDecisionRow,
    InvoiceRow,
    PaymentRow,
    SyncLogEntry,
)
from connector.evaluation import decision_records
from connector.geo import HolidayCalendar
from connector.services import invoice_timeline
from connector.services.invoices import ActiveAgreements, active_agreements, find_invoice
from connector.services.upcoming_actions import list_customer_upcoming
from connector.sync.mirror.pages import load_statements
from policies.decide import decide

_LOG_LINES_MAX = 30
_UPCOMING_DAYS = 60


def explain(app: AppContext, invoice_number: str, connection: str | None) -> dict[str, Any]:
    """Gather everything that bears on one invoice; ``connection`` (id or short name) where a number is not unique."""
    with reading(app.engine) as session:
        within = find_connection(session, connection).id if connection else None
        return explain_invoice(app, session, find_invoice(session, invoice_number, within))


def explain_invoice(app: AppContext, session: Session, invoice: InvoiceRow) -> dict[str, Any]:
    """Gather everything that bears on an invoice that was found already."""
    row = session.get_one(Connection, invoice.connection_id)
    key = (invoice.connection_id, invoice.external_id)
    return {
        "id": invoice.external_id,
        "invoice": _invoice_as_dict(invoice),
        "connection": describe_connection(row),
        "customer": _customer_as_dict(session, invoice),
        "active_agreements": active_agreements(session, [key]).get(key, ActiveAgreements()),
        "applied": _applied(session, invoice),
        "unapplied": _unapplied(session, invoice),
        "timeline": invoice_timeline.invoice_timeline(session, invoice),
        "upcoming": _upcoming(app, session, row, invoice),
        "decision_audit": [asdict(each) for each in decision_records.audit_invoice(session, invoice)],
        "agreements": agreements.list_agreements(session, invoice),
        "decision": _last_decision(session, invoice),
        "current_decision": _current_decision(app, session, row, invoice),
        "completed_steps": _completed_steps(session, invoice),
        "outbox": _outbox_entries(session, invoice),
        "log": _log_lines(session, invoice),
    }


def _invoice_as_dict(row: InvoiceRow) -> dict[str, Any]:
    return {
        "number": row.number,
        "status": row.status,
        "currency": row.currency,
        "total": str(from_e4(row.total_e4)),
        "due": str(from_e4(row.due_e4)),
        "issued_on": row.issued_on,
        "due_on": row.due_on,
        "closed_on": row.closed_on,
        "sent_to_customer": row.sent_to_customer,
        "updated_at": row.updated_at,
    }


def _customer_as_dict(session: Session, invoice: InvoiceRow) -> dict[str, Any]:
    key = (invoice.connection_id, invoice.customer_id)
    row, setting = session.get(CustomerRow, key), session.get(CustomerSetting, key)
    shown = {"id": invoice.customer_id, "name": row.name if row else "", "emails": row.emails if row else ""}
    if setting is not None:
        names = (
            "segment",
            "hold_until_on",
            "no_reminders",
            "no_fees",
            "fees_agreed_on",
            "emails",
            "suppression_reason",
        )
        shown["settings"] = {name: getattr(setting, name) for name in names if getattr(setting, name)}  # type: ignore[assignment]
    return shown


def _applied(session: Session, invoice: InvoiceRow) -> list[dict[str, Any]]:
    query = (
        select(ApplicationRow)
        .where(
            col(ApplicationRow.connection_id) == invoice.connection_id,
            col(ApplicationRow.invoice_id) == invoice.external_id,
        )
        .order_by(col(ApplicationRow.applied_on))
    )
    return [
        {"kind": row.source_kind, "id": row.source_id, "on": row.applied_on, "amount": str(from_e4(row.amount_e4))}
        for row in session.scalars(query)
    ]


def _unapplied(session: Session, invoice: InvoiceRow) -> list[dict[str, Any]]:
    """Money of the customer that is not on an invoice yet, in this invoice's currency."""
    payments = select(PaymentRow).where(*_of_customer(PaymentRow, invoice), col(PaymentRow.unapplied_e4) > 0)
    notes = select(CreditRow).where(*_of_customer(CreditRow, invoice), col(CreditRow.remaining_e4) > 0)
    return [
        *(
            {"kind": "payment", "id": p.external_id, "remaining": str(from_e4(p.unapplied_e4))}
            for p in session.scalars(payments)
        ),
        *(
            {"kind": c.kind, "id": c.external_id, "remaining": str(from_e4(c.remaining_e4))}
            for c in session.scalars(notes)
        ),
    ]


def _of_customer(table: Any, invoice: InvoiceRow) -> list[Any]:
    return [
        table.connection_id == invoice.connection_id,
        table.customer_id == invoice.customer_id,
        table.currency == invoice.currency,
    ]


def _last_decision(session: Session, invoice: InvoiceRow) -> dict[str, Any] | None:
    row = session.get(InvoiceDecisionRow, (invoice.connection_id, invoice.external_id))
    if row is None:
        return None
    names = ("kind", "code", "reason", "next_step", "next_on", "policy_version", "since_at")
    return {name: getattr(row, name) for name in names}


def _current_decision(app: AppContext, session: Session, row: Connection, invoice: InvoiceRow) -> dict[str, Any] | None:
    """Ask the policy again, with the facts the mirror has now."""
    policy, version = policy_store.get_active_policy(session, invoice.connection_id).for_customer(invoice.customer_id)
    now = app.now()
    for statements in load_statements(session, row, now=now, customer_ids=[invoice.customer_id]):
        for answer in decide(statements, policy, now, HolidayCalendar()).invoice_decisions:
            if answer.invoice_id == invoice.external_id:
                step = answer.next_step.value if answer.next_step else None
                shown = {"kind": answer.kind.value, "code": answer.code, "reason": answer.reason}
                return {**shown, "next_step": step, "next_on": answer.next_on, "policy_version": version}
    return None


def _upcoming(app: AppContext, session: Session, row: Connection, invoice: InvoiceRow) -> list[dict[str, Any]]:
    """Tell what comes, if the books stay as they are and nobody says anything: the coming weeks, asked day by day."""
    items = list_customer_upcoming(session, row, invoice.customer_id, app.now(), _UPCOMING_DAYS)
    names = ("on", "kind", "step", "reason")
    return [{name: item[name] for name in names} for item in items if invoice.number in item["invoices"]]


def _completed_steps(session: Session, invoice: InvoiceRow) -> list[dict[str, Any]]:
    query = (
        select(CompletedStep)
        .where(
            col(CompletedStep.connection_id) == invoice.connection_id,
            col(CompletedStep.invoice_id) == invoice.external_id,
        )
        .order_by(col(CompletedStep.completed_at))
    )
    return [
        {
            "step": row.step,
            "at": row.completed_at,
            "on": row.completed_on,
            "outbox_id": row.outbox_id,
            "task_id": row.task_id,
        }
        for row in session.scalars(query)
    ]


def _outbox_entries(session: Session, invoice: InvoiceRow) -> list[dict[str, Any]]:
    names = ("id", "kind", "state", "step", "key", "reason", "response", "planned_at", "dispatched_at", "ended_at")
    return [
        {name: getattr(row, name) for name in names} for row in invoice_timeline.find_invoice_entries(session, invoice)
    ]


def _log_lines(session: Session, invoice: InvoiceRow) -> list[dict[str, Any]]:
    query = (
        select(SyncLogEntry)
        .where(
            col(SyncLogEntry.connection_id) == invoice.connection_id,
            col(SyncLogEntry.invoice_id) == invoice.external_id,
        )
        .order_by(col(SyncLogEntry.id).desc())
        .limit(_LOG_LINES_MAX)
    )
    rows = list(session.scalars(query))[::-1]
    return [{"id": row.id, "at": row.at, "kind": row.kind, "text": row.text} for row in rows]
