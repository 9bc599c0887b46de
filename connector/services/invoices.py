"""Invoices: the list of them, one by its number, and the agreements that apply to them now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any, Concatenate, ParamSpec

from sqlalchemy import or_, select
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.arrangements.agreement_list import format_instalments
from connector.arrangements.agreements import Attribution
from connector.db.engine import writing
from connector.db.ids import matches_keys
from connector.db.money import format_e4
from connector.db.tables import Agreement, Connection, CustomerRow, InvoiceRow, InvoiceSetting
from connector.results import Amount, Result, optional
from connector.vocabulary import AgreementKind, AgreementState
from policies.formatting import format_date

P = ParamSpec("P")
Key = tuple[int, str]  # of an invoice: the company's id, and the ledger's

_MATCHES_SHOWN = 5


class UnknownInvoiceError(Exception):
    """No invoice, or more than one, has this number; the message says how to name it."""


class ActiveAgreements(Result):
    """The agreements that apply to an invoice now; those that do not are left out of JSON."""

    disputed_on: date | None = optional()
    dispute_reason: str = optional("")
    promised_on: date | None = optional()
    payment_plan: str = optional("")
    paused: bool = optional(default=False)
    paused_until_on: date | None = optional()

    def __bool__(self) -> bool:
        """Return whether any agreement applies."""
        return bool(self.disputed_on or self.promised_on or self.payment_plan or self.paused)


class InvoiceItem(Result):
    """An invoice in a list."""

    id: str
    connection: str
    number: str
    customer: str
    currency: str
    total: Amount
    due: Amount
    issued_on: date
    due_on: date | None
    status: str
    active_agreements: ActiveAgreements


class InvoiceAgreements(Result):
    """An invoice with the agreements that apply after a change."""

    id: str
    number: str
    active_agreements: ActiveAgreements


def find_invoices(
    session: Session, connection_id: int | None = None, *, only_open: bool = True, keys: Sequence[Key] | None = None
) -> list[InvoiceItem]:
    """List invoices with the agreements that apply to them, the longest due first; or those with these keys."""
    query = _invoices_query(connection_id).order_by(col(InvoiceRow.due_on), col(InvoiceRow.external_id))
    if keys is not None:
        query = query.where(matches_keys(col(InvoiceRow.connection_id), col(InvoiceRow.external_id), keys))
    elif only_open:
        query = query.where(col(InvoiceRow.is_open))
    rows = session.execute(query).all()
    agreements = active_agreements(session, keys)
    return [
        InvoiceItem(
            id=row.external_id,
            connection=short_name,
            number=row.number,
            customer=customer or row.customer_id,
            currency=row.currency,
            total=format_e4(row.total_e4, row.currency),
            due=format_e4(row.due_e4, row.currency),
            issued_on=row.issued_on,
            due_on=row.due_on,
            status=row.status,
            active_agreements=agreements.get((row.connection_id, row.external_id), ActiveAgreements()),
        )
        for row, short_name, customer in rows
    ]


def find_invoice(session: Session, number_or_id: str, connection_id: int | None = None) -> InvoiceRow:
    """Return the invoice with this number, or with this id in the ledger.

    Raises:
        UnknownInvoiceError: there is none, or the number is not unique.

    """
    named = or_(col(InvoiceRow.number) == number_or_id, col(InvoiceRow.external_id) == number_or_id)
    found: Sequence[tuple[InvoiceRow, str, str]] = session.execute(_invoices_query(connection_id).where(named)).all()
    if len(found) == 1:
        return found[0][0]
    if found:
        matches = ", ".join(
            f"{row.external_id} of {customer} in {name}" for row, name, customer in found[:_MATCHES_SHOWN]
        )
        raise UnknownInvoiceError(
            f"{len(found)} invoices have the number {number_or_id!r}: {matches}. Use --connection, or the id."
        )
    raise UnknownInvoiceError(
        f"There is no invoice {number_or_id!r}. If it was created recently, sync first: duewell run"
    )


def record_agreement(
    app: AppContext,
    invoice: InvoiceRow,
    by: str,
    change: Callable[Concatenate[Session, InvoiceRow, Attribution, P], InvoiceSetting],
    *arguments: P.args,
    **details: P.kwargs,
) -> InvoiceAgreements:
    """Change the agreements about an invoice, and return those that apply now.

    ``change`` is one of the functions of ``connector.arrangements.agreements``; what it needs follows it.
    """
    with writing(app.engine) as session:
        row = change(session, invoice, Attribution(by, app.now()), *arguments, **details)
        session.flush()
        key = (invoice.connection_id, invoice.external_id)
        return InvoiceAgreements(
            id=row.invoice_id,
            number=invoice.number,
            active_agreements=active_agreements(session, [key]).get(key, ActiveAgreements()),
        )


def active_agreements(session: Session, keys: Sequence[Key] | None) -> dict[Key, ActiveAgreements]:
    """Return the agreements that apply to some invoices, or to all of them; those without any are left out."""
    settings, plans = _settings(session, keys), _payment_plans(session, keys)
    return {key: _active(settings.get(key), plans.get(key, "")) for key in settings.keys() | plans.keys()}


def format_active_agreements(agreements: ActiveAgreements) -> str:
    """Return the agreements in words: ``disputed since 3 Dec 2026: wrong price; reminders paused``."""
    parts = []
    if agreements.disputed_on:
        reason = f": {agreements.dispute_reason}" if agreements.dispute_reason else ""
        parts.append(f"disputed since {format_date(agreements.disputed_on)}{reason}")
    if agreements.promised_on:
        parts.append(f"payment promised for {format_date(agreements.promised_on)}")
    if agreements.payment_plan:
        parts.append(f"payment plan: {agreements.payment_plan}")
    if agreements.paused:
        until = f" until {format_date(agreements.paused_until_on)}" if agreements.paused_until_on else ""
        parts.append(f"reminders paused{until}")
    return "; ".join(parts)


def _active(setting: InvoiceSetting | None, payment_plan: str) -> ActiveAgreements:
    if setting is None:
        return ActiveAgreements(payment_plan=payment_plan)
    return ActiveAgreements(
        disputed_on=setting.disputed_on,
        dispute_reason=setting.dispute_reason,
        promised_on=setting.promised_on,
        payment_plan=payment_plan,
        paused=setting.paused,
        paused_until_on=setting.paused_until_on,
    )


def _settings(session: Session, keys: Sequence[Key] | None) -> dict[Key, InvoiceSetting]:
    query = select(InvoiceSetting)
    if keys is not None:
        query = query.where(matches_keys(col(InvoiceSetting.connection_id), col(InvoiceSetting.invoice_id), keys))
    return {(row.connection_id, row.invoice_id): row for row in session.scalars(query)}


def _payment_plans(session: Session, keys: Sequence[Key] | None) -> dict[Key, str]:
    query = select(Agreement).where(
        col(Agreement.kind) == AgreementKind.PAYMENT_PLAN, col(Agreement.state) == AgreementState.OPEN
    )
    if keys is not None:
        query = query.where(matches_keys(col(Agreement.connection_id), col(Agreement.invoice_id), keys))
    return {(row.connection_id, row.invoice_id): format_instalments(row) for row in session.scalars(query)}


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
