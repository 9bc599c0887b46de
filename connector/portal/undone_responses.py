"""How a response of a customer is undone: its agreements, settings, task, notes and files."""

from __future__ import annotations

from sqlalchemy import select
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.arrangements import agreements, review_tasks, undone_agreements
from connector.arrangements.agreements import AgreementError, Attribution
from connector.db.tables import (
    Agreement,
    Connection,
    CustomerSetting,
    InvoiceRow,
    InvoiceSetting,
    OutboxEntry,
    PortalResponse,
)
from connector.emails.inbound import stopped_addresses
from connector.emails.inbound.reminder_stops import ALL_READERS
from connector.emails.portal_links import PortalVisitor
from connector.outbox.drafts import note_key
from connector.outbox.entries import UNSENT_STATES
from connector.portal import files
from connector.portal.customer_response import CustomerResponse, ResponseRejected
from connector.portal.response_context import ResponseContext, build_context, note_recurrence
from connector.vocabulary import AgreementKind, AgreementState, OutboxKind, ResponseKind, TaskCode

_UNDONE = "the customer took it back"


def undo(
    app: AppContext, session: Session, visitor: PortalVisitor, row: PortalResponse, content: CustomerResponse
) -> None:
    """Undo a response, as far as nothing else was agreed meanwhile. Raises ``ResponseRejected``."""
    attribution = Attribution(row.recorded_by, app.now())
    query = select(Agreement).where(
        col(Agreement.connection_id) == row.connection_id,
        col(Agreement.invoice_id).in_(content.invoices),
        col(Agreement.recorded_by) == row.recorded_by,
        col(Agreement.recorded_at) == row.responded_at,
        col(Agreement.state).in_([AgreementState.OPEN, AgreementState.REPLACED]),
    )
    found = {(each.invoice_id, each.kind): each for each in session.scalars(query.order_by(col(Agreement.id)))}
    for agreement in found.values():
        invoice = session.get_one(InvoiceRow, (agreement.connection_id, agreement.invoice_id))
        if agreement.state == AgreementState.REPLACED:
            if agreement.kind in undone_agreements.UNDOABLE:
                undone_agreements.undo_replaced(session, agreement, attribution)
        elif agreement.kind == AgreementKind.PAYMENT_PLAN:
            _end_plan(session, invoice, agreement, attribution)
        else:
            try:
                undone_agreements.undo_agreement(session, invoice, agreement.id or 0, attribution)
            except AgreementError as error:
                raise ResponseRejected("error_undo") from error
    context = build_context(app, session, visitor, CustomerResponse(ResponseKind.STOP), row.key)
    context.response = content
    context.invoices = [each for each in context.invoices if each.external_id in content.invoices]
    _undo_settings(context)
    if row.task_code is not None:
        review_tasks.cancel_review_tasks(app, session, context.customer, row.task_code, row.key, _UNDONE)
    _undo_notes(context)
    files.delete_files(session, row.key)


def _end_plan(session: Session, invoice: InvoiceRow, plan: Agreement, attribution: Attribution) -> None:
    """Withdraw a payment plan; the promise whose place it took applies again."""
    agreements.set_payment_plan(session, invoice, attribution, instalments=None)
    query = select(Agreement).where(
        col(Agreement.connection_id) == plan.connection_id,
        col(Agreement.invoice_id) == plan.invoice_id,
        col(Agreement.kind) == AgreementKind.PROMISE,
        col(Agreement.state) == AgreementState.REPLACED,
        col(Agreement.ended_at) == plan.recorded_at,
    )
    promise = session.scalars(query).first()
    if promise is not None:
        promise.state, promise.ended_at, promise.ended_by = AgreementState.OPEN, None, ""
        setting = session.get_one(InvoiceSetting, (invoice.connection_id, invoice.external_id))
        setting.promised_on, setting.promised_e4 = promise.until_on, promise.amount_e4 or None


def _undo_settings(context: ResponseContext) -> None:
    setting = context.session.get(CustomerSetting, context.customer_key)
    address = context.response.email.strip().lower()
    stopped = stopped_addresses.split_stopped(setting)
    if context.response.kind is ResponseKind.STOP:
        if address in stopped:
            context.apply_settings({"stopped_emails": ",".join(each for each in stopped if each != address)})
        else:
            context.apply_settings({"no_reminders": False})
        start = f"{address if address in stopped else ALL_READERS} "  # other readers' stops stay, and so do their tasks
        review_tasks.cancel_review_tasks(
            context.app, context.session, context.customer, TaskCode.REMINDERS_STOPPED, start, _UNDONE
        )
    elif context.response.kind is ResponseKind.CONTACT and setting is not None and setting.emails:
        email = context.response.email.strip().lower()
        kept = [each for each in setting.emails.split(",") if each.strip().lower() != email]
        if len(kept) < len(setting.emails.split(",")):
            is_ledgers = [each.strip() for each in kept] == [
                each.strip() for each in context.customer.emails.split(",")
            ]
            context.apply_settings({"emails": "" if is_ledgers else ",".join(kept)})


def _undo_notes(context: ResponseContext) -> None:
    """Delete the notes that are not in the ledger yet; where one is, another one says that it no longer applies."""
    connection = context.session.get_one(Connection, context.customer.connection_id)
    start = f"{connection.provider}:{connection.external_id}:{note_recurrence(context.response.kind, context.key)}"
    query = select(OutboxEntry).where(
        col(OutboxEntry.connection_id) == connection.id,
        col(OutboxEntry.kind) == OutboxKind.NOTE,
        col(OutboxEntry.key).startswith(note_key(start, ""), autoescape=True),
    )
    entries = context.session.scalars(query).all()
    for entry in entries:
        if entry.state in UNSENT_STATES:
            context.session.delete(entry)
    noted = {entry.invoice_id for entry in entries if entry.state not in UNSENT_STATES}
    context.invoices = [each for each in context.invoices if each.external_id in noted]
    context.key = f"{context.key}:undone"
    if noted:
        context.plan_notes("takes back what they reported")
