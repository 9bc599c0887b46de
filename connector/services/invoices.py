"""Invoices as a person sees them: which are open, which one he means, and what he says about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import or_, select
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.arrangements.agreements import Attribution
from connector.db.engine import writing
from connector.db.money import from_e4
from connector.db.paging import Page, cut, matches_keys
from connector.db.tables import Agreement, Connection, CustomerRow, InvoiceRow, InvoiceSetting

_SHOWN_MAX = 5


class UnknownInvoiceError(Exception):
    """No invoice, or more than one, has this number; ``str()`` says what would do."""


def find_invoices(
    session: Session, connection_id: int | None = None, *, only_open: bool = True, page: Page | None = None
) -> list[dict[str, Any]]:
    """List invoices, the longest due first, with what a person said about them."""
    query = _invoices_query(connection_id).order_by(col(InvoiceRow.due_on), col(InvoiceRow.external_id))
    if only_open:
        query = query.where(col(InvoiceRow.is_open))
    query = cut(query, page, col(InvoiceRow.connection_id), InvoiceRow.connection_id, InvoiceRow.external_id)
    rows = session.execute(query).all()
    some = None if page is None else [(row.connection_id, row.external_id) for row, _name, _customer in rows]
    said = active_agreements(session, some)
    return [
        {
            "id": row.external_id,
            "connection": short_name,
            "number": row.number,
            "customer": customer or row.customer_id,
            "currency": row.currency,
            "total": str(from_e4(row.total_e4)),
            "due": str(from_e4(row.due_e4)),
            "due_on": row.due_on,
            "status": row.status,
            "active_agreements": said.get((row.connection_id, row.external_id), {}),
        }
        for row, short_name, customer in rows
    ]


def find_invoice(session: Session, number_or_id: str, connection_id: int | None = None) -> InvoiceRow:
    """Find an invoice by its number or the ledger's id."""
    named = or_(col(InvoiceRow.number) == number_or_id, col(InvoiceRow.external_id) == number_or_id)
    found: Sequence[tuple[InvoiceRow, str, str]] = session.execute(_invoices_query(connection_id).where(named)).all()
    if len(found) == 1:
        return found[0][0]
    if found:
        where = ", ".join(f"{row.external_id} of {customer} in {name}" for row, name, customer in found[:_SHOWN_MAX])
        raise UnknownInvoiceError(
            f"{len(found)} invoices have the number {number_or_id!r}: {where}. Say which: --connection, or the id."
        )
    raise UnknownInvoiceError(
        f"There is no invoice {number_or_id!r} in the mirror. If it is new in the books, it comes with: duewell run"
    )


def record_agreement(
    app: AppContext, invoice: InvoiceRow, action: Callable[..., InvoiceSetting], *, by: str, **arguments: Any
) -> dict[str, Any]:
    """Keep what a person says about an invoice: ``act`` is one of ``agreements``, ``more`` what it asks for besides."""
    with writing(app.engine) as session:
        row = action(session, invoice, Attribution(by, app.now()), **arguments)
        session.flush()
        key = (invoice.connection_id, invoice.external_id)
        return {
            "id": row.invoice_id,
            "number": invoice.number,
            "active_agreements": active_agreements(session, [key]).get(key, {}),
        }


def active_agreements(
    session: Session, keys: Sequence[tuple[int, str]] | None
) -> dict[tuple[int, str], dict[str, Any]]:
    """Show what a person said about some invoices (company and id of each), or all; who is left out has no word."""
    settings, plans = _settings(session, keys), _payment_plans(session, keys)
    return {key: {**setting_as_dict(settings.get(key)), **plans.get(key, {})} for key in settings.keys() | plans.keys()}


def setting_as_dict(row: InvoiceSetting | None) -> dict[str, Any]:
    """Show what a person said about an invoice."""
    if row is None:
        return {}
    names = ("disputed_on", "dispute_reason", "promised_on", "paused", "paused_until_on")
    return {name: getattr(row, name) for name in names if getattr(row, name)}


def _settings(session: Session, keys: Sequence[tuple[int, str]] | None) -> dict[tuple[int, str], InvoiceSetting]:
    query = select(InvoiceSetting)
    if keys is not None:
        query = query.where(matches_keys(col(InvoiceSetting.connection_id), col(InvoiceSetting.invoice_id), keys))
    return {(row.connection_id, row.invoice_id): row for row in session.scalars(query)}


def _payment_plans(session: Session, keys: Sequence[tuple[int, str]] | None) -> dict[tuple[int, str], dict[str, str]]:
    query = select(Agreement).where(col(Agreement.kind) == "payment_plan", col(Agreement.state) == "open")
    if keys is not None:
        query = query.where(matches_keys(col(Agreement.connection_id), col(Agreement.invoice_id), keys))
    return {
        (row.connection_id, row.invoice_id): {
            "payment_plan": ", ".join(f"{amount} on {on}" for on, amount in row.instalments)
        }
        for row in session.scalars(query)
    }


def _invoices_query(connection_id: int | None) -> Any:
    query = (
        select(InvoiceRow, col(Connection.short_name), col(CustomerRow.name))
        .join(Connection, col(Connection.id) == col(InvoiceRow.connection_id))
        .outerjoin(
            CustomerRow,
            (col(CustomerRow.connection_id) == col(InvoiceRow.connection_id))
            & (col(CustomerRow.external_id) == col(InvoiceRow.customer_id)),
        )
    )
    return query if connection_id is None else query.where(col(InvoiceRow.connection_id) == connection_id)
