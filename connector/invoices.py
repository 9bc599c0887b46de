"""What a person says about an invoice: a dispute, a promise, a pause. It survives every pull."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import or_, select
from sqlmodel import Session, col

from connector import sync_log
from connector.database import reading, writing
from connector.installation import Installation
from connector.money import from_e4
from connector.tables import Connection, CustomerRow, InvoiceRow, InvoiceSetting

_SHOWN_MAX = 5
Change = Callable[[InvoiceSetting], str]


class UnknownInvoiceError(Exception):
    """No invoice, or more than one, has this number; ``str()`` says what would do."""


def listing(session: Session, connection_id: int | None = None, *, only_open: bool = True) -> list[dict[str, Any]]:
    """List invoices, the longest due first, with what a person said about them."""
    query = _invoices(connection_id).order_by(col(InvoiceRow.due_on), col(InvoiceRow.external_id))
    if only_open:
        query = query.where(col(InvoiceRow.is_open))
    said = {(row.connection_id, row.invoice_id): row for row in session.scalars(select(InvoiceSetting))}
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
            "said": describe(said.get((row.connection_id, row.external_id))),
        }
        for row, short_name, customer in session.execute(query)
    ]


def find_invoice(session: Session, wanted: str, connection_id: int | None = None) -> InvoiceRow:
    """Find an invoice by its number or the ledger's id."""
    named = or_(col(InvoiceRow.number) == wanted, col(InvoiceRow.external_id) == wanted)
    found: Sequence[tuple[InvoiceRow, str, str]] = session.execute(_invoices(connection_id).where(named)).all()
    if len(found) == 1:
        return found[0][0]
    if found:
        where = ", ".join(f"{row.external_id} of {customer} in {name}" for row, name, customer in found[:_SHOWN_MAX])
        raise UnknownInvoiceError(
            f"{len(found)} invoices have the number {wanted!r}: {where}. Say which: --connection, or the id."
        )
    raise UnknownInvoiceError(
        f"There is no invoice {wanted!r} in the mirror. If it is new in the books, it comes with: duewell run"
    )


def dispute(installation: Installation, invoice: InvoiceRow, *, why: str, by: str) -> dict[str, Any]:
    """Stop chasing the invoice: the customer disputes it."""

    def change(row: InvoiceSetting) -> str:
        row.disputed_on, row.dispute_why = _today(installation, invoice), why
        return "is disputed" + (f": {why}" if why else "")

    return _set(installation, invoice, change, by)


def undispute(installation: Installation, invoice: InvoiceRow, *, by: str) -> dict[str, Any]:
    """Chase the invoice again: the dispute is settled."""

    def change(row: InvoiceSetting) -> str:
        row.disputed_on, row.dispute_why = None, ""
        return "is no longer disputed"

    return _set(installation, invoice, change, by)


def promise(installation: Installation, invoice: InvoiceRow, *, on: date | None, by: str) -> dict[str, Any]:
    """Wait until the day the customer promised to pay on; None takes the promise back."""

    def change(row: InvoiceSetting) -> str:
        row.promised_on = on
        return f"is promised to be paid on {on}" if on else "has no promise any more"

    return _set(installation, invoice, change, by)


def pause(installation: Installation, invoice: InvoiceRow, *, until: date | None, by: str) -> dict[str, Any]:
    """Leave the invoice alone, until a day or until a person resumes it."""

    def change(row: InvoiceSetting) -> str:
        row.paused, row.paused_until_on = True, until
        return f"is paused until {until}" if until else "is paused"

    return _set(installation, invoice, change, by)


def resume(installation: Installation, invoice: InvoiceRow, *, by: str) -> dict[str, Any]:
    """End the pause."""

    def change(row: InvoiceSetting) -> str:
        row.paused, row.paused_until_on = False, None
        return "is no longer paused"

    return _set(installation, invoice, change, by)


def describe(row: InvoiceSetting | None) -> dict[str, Any]:
    """Show what a person said about an invoice."""
    if row is None:
        return {}
    names = ("disputed_on", "dispute_why", "promised_on", "paused", "paused_until_on")
    return {name: getattr(row, name) for name in names if getattr(row, name)}


def _set(installation: Installation, invoice: InvoiceRow, change: Change, by: str) -> dict[str, Any]:
    now, key = installation.now(), (invoice.connection_id, invoice.external_id)
    with writing(installation.engine) as session:
        row = session.get(InvoiceSetting, key)
        if row is None:
            row = InvoiceSetting(connection_id=key[0], invoice_id=key[1], set_at=now)
            session.add(row)
        said = change(row)
        row.set_at = now
        session.get_one(Connection, invoice.connection_id).decided_on = ""
        sync_log.write(
            session,
            at=now,
            kind="invoice_set",
            text=f"{by} said: invoice {invoice.number} {said}.",
            connection_id=invoice.connection_id,
            customer_id=invoice.customer_id,
            invoice_id=invoice.external_id,
        )
        return {"id": invoice.external_id, "number": invoice.number, "said": describe(row)}


def _today(installation: Installation, invoice: InvoiceRow) -> date:
    with reading(installation.engine) as session:
        zone = session.get_one(Connection, invoice.connection_id).time_zone
    return installation.now().astimezone(ZoneInfo(zone)).date()


def _invoices(connection_id: int | None) -> Any:
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
