"""Why an invoice was chased or not: the facts, the rules and holds, what happened and what comes next."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlmodel import Session, col

from connector import policies_store
from connector.access.connections import describe as describe_connection
from connector.access.connections import find_connection
from connector.database import reading
from connector.installation import Installation
from connector.mirror.pages import customers_facts
from connector.mirror.places import HolidayCalendar
from connector.money import from_e4
from connector.people import agreements, invoice_story, recorded
from connector.people.invoices import find_invoice, said_about
from connector.people.plan import coming
from connector.tables import (
    AnswerRow,
    ApplicationRow,
    Connection,
    CreditRow,
    CustomerRow,
    CustomerSetting,
    InvoiceRow,
    PaymentRow,
    SyncLogEntry,
    TakenStep,
)
from policies.decide import decide

_LOG_LINES_MAX = 30
_NEXT_DAYS = 60


def explain(installation: Installation, invoice_number: str, connection: str | None) -> dict[str, Any]:
    """Gather everything that bears on one invoice; ``connection`` (id or short name) where a number is not unique."""
    with reading(installation.engine) as session:
        within = find_connection(session, connection).id if connection else None
        return explained(installation, session, find_invoice(session, invoice_number, within))


def explained(installation: Installation, session: Session, invoice: InvoiceRow) -> dict[str, Any]:
    """Gather everything that bears on an invoice that was found already."""
    row = session.get_one(Connection, invoice.connection_id)
    key = (invoice.connection_id, invoice.external_id)
    return {
        "id": invoice.external_id,
        "invoice": _invoice(invoice),
        "connection": describe_connection(row),
        "customer": _customer(session, invoice),
        "said": said_about(session, [key]).get(key, {}),
        "applied": _applied(session, invoice),
        "unapplied": _unapplied(session, invoice),
        "story": invoice_story.story(session, invoice),
        "next": _next(installation, session, row, invoice),
        "decisions": recorded.of_invoice(session, invoice),
        "agreements": agreements.history(session, invoice),
        "answer": _standing_answer(session, invoice),
        "now": _answer_now(installation, session, row, invoice),
        "done": _done(session, invoice),
        "outbox": _entries(session, invoice),
        "log": _log(session, invoice),
    }


def _invoice(row: InvoiceRow) -> dict[str, Any]:
    return {
        "number": row.number,
        "status": row.status,
        "currency": row.currency,
        "total": str(from_e4(row.total_e4)),
        "due": str(from_e4(row.due_e4)),
        "issued_on": row.issued_on,
        "due_on": row.due_on,
        "settled_on": row.settled_on,
        "sent_to_customer": row.sent_to_customer,
        "updated_at": row.updated_at,
    }


def _customer(session: Session, invoice: InvoiceRow) -> dict[str, Any]:
    key = (invoice.connection_id, invoice.customer_id)
    row, setting = session.get(CustomerRow, key), session.get(CustomerSetting, key)
    shown = {"id": invoice.customer_id, "name": row.name if row else "", "emails": row.emails if row else ""}
    if setting is not None:
        names = ("segment", "hold_until_on", "no_reminders", "no_fees", "fees_agreed_on", "emails", "suppressed_why")
        shown["set"] = {name: getattr(setting, name) for name in names if getattr(setting, name)}  # type: ignore[assignment]
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
            {"kind": "payment", "id": p.external_id, "left": str(from_e4(p.unapplied_e4))}
            for p in session.scalars(payments)
        ),
        *({"kind": c.kind, "id": c.external_id, "left": str(from_e4(c.remaining_e4))} for c in session.scalars(notes)),
    ]


def _of_customer(table: Any, invoice: InvoiceRow) -> list[Any]:
    return [
        table.connection_id == invoice.connection_id,
        table.customer_id == invoice.customer_id,
        table.currency == invoice.currency,
    ]


def _standing_answer(session: Session, invoice: InvoiceRow) -> dict[str, Any] | None:
    row = session.get(AnswerRow, (invoice.connection_id, invoice.external_id))
    if row is None:
        return None
    names = ("kind", "code", "why", "next_step", "next_on", "policy_version", "since_at")
    return {name: getattr(row, name) for name in names}


def _answer_now(
    installation: Installation, session: Session, row: Connection, invoice: InvoiceRow
) -> dict[str, Any] | None:
    """Ask the policy again, with the facts the mirror has now."""
    policy, version = policies_store.in_force(session, invoice.connection_id).of(invoice.customer_id)
    now = installation.now()
    for statements in customers_facts(session, row, now=now, customer_ids=[invoice.customer_id]):
        for answer in decide(statements, policy, now, HolidayCalendar()).answers:
            if answer.invoice_id == invoice.external_id:
                step = answer.next_step.value if answer.next_step else None
                shown = {"kind": answer.kind.value, "code": answer.code, "why": answer.why}
                return {**shown, "next_step": step, "next_on": answer.next_on, "policy_version": version}
    return None


def _next(installation: Installation, session: Session, row: Connection, invoice: InvoiceRow) -> list[dict[str, Any]]:
    """Tell what comes, if the books stay as they are and nobody says anything: the coming weeks, asked day by day."""
    items = coming(session, row, invoice.customer_id, installation.now(), _NEXT_DAYS)
    names = ("on", "kind", "step", "why")
    return [{name: item[name] for name in names} for item in items if invoice.number in item["invoices"]]


def _done(session: Session, invoice: InvoiceRow) -> list[dict[str, Any]]:
    query = (
        select(TakenStep)
        .where(col(TakenStep.connection_id) == invoice.connection_id, col(TakenStep.invoice_id) == invoice.external_id)
        .order_by(col(TakenStep.taken_at))
    )
    return [
        {"step": row.step, "at": row.taken_at, "on": row.taken_on, "outbox_id": row.outbox_id, "task_id": row.task_id}
        for row in session.scalars(query)
    ]


def _entries(session: Session, invoice: InvoiceRow) -> list[dict[str, Any]]:
    names = ("id", "kind", "state", "step", "key", "why", "answer", "planned_at", "called_at", "ended_at")
    return [{name: getattr(row, name) for name in names} for row in invoice_story.entries_of(session, invoice)]


def _log(session: Session, invoice: InvoiceRow) -> list[dict[str, Any]]:
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
