"""The details of a customer as their page shows them: profile, open invoices with their decisions, what comes next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, select
from sqlmodel import Session, col

from connector.db.tables import (
    Connection,
    CustomerRow,
    CustomerSetting,
    ExceptionRow,
    InvoiceDecisionRow,
    OutboxEntry,
)
from connector.services import customer_profile, upcoming_actions
from connector.services.customer_profile import CustomerProfile, ProfileInvoice
from connector.services.invoices import ActiveAgreements, active_agreements
from connector.services.upcoming_actions import UpcomingAction
from connector.vocabulary import OutboxKind, OutboxState

_UPCOMING_DAYS = 60
_IN_MAX = 500  # ids in one query
_PENDING_STATES = (
    OutboxState.AWAITING_APPROVAL,
    OutboxState.PLANNED,
    OutboxState.UNCONFIRMED,
    OutboxState.SENDING,
)


class OpenInvoice(ProfileInvoice):
    """An open invoice with the decision and the agreements that apply to it."""

    overdue: bool
    decision_reason: str
    active_agreements: ActiveAgreements


class BalanceTotal(NamedTuple):
    """The balance due in one currency, and the part of it that is overdue."""

    currency: str
    due: Decimal
    overdue: Decimal


@dataclass(frozen=True, slots=True)
class CustomerDetails:
    """Everything on a customer's page but their timeline."""

    profile: CustomerProfile
    setting: CustomerSetting
    invoices: list[OpenInvoice]
    totals: list[BalanceTotal]
    upcoming: list[UpcomingAction]
    pending: list[OutboxEntry]
    exceptions: list[ExceptionRow]

    @property
    def active_agreements(self) -> ActiveAgreements:
        """The agreements that apply to at least one open invoice: those that can be ended."""
        active = [each.active_agreements for each in self.invoices]
        return ActiveAgreements(
            disputed_on=next((each.disputed_on for each in active if each.disputed_on), None),
            promised_on=next((each.promised_on for each in active if each.promised_on), None),
            payment_plan=next((each.payment_plan for each in active if each.payment_plan), ""),
            paused=any(each.paused for each in active),
        )


def load_customer_details(session: Session, company: Connection, row: CustomerRow, now: datetime) -> CustomerDetails:
    """Return the details of a customer, in as many queries for a hundred invoices as for one."""
    profile = customer_profile.build_profile(session, row, now)
    invoices = _open_invoices(session, row, profile.invoices, now.astimezone(ZoneInfo(company.time_zone)).date())
    key = (row.connection_id, row.external_id)
    upcoming = (
        upcoming_actions.list_customer_upcoming(session, company, row.external_id, now, _UPCOMING_DAYS)
        if invoices
        else []
    )
    return CustomerDetails(
        profile=profile,
        setting=session.get(CustomerSetting, key) or _empty_setting(key, now),
        invoices=invoices,
        totals=_totals(invoices),
        upcoming=upcoming,
        pending=_pending(session, row),
        exceptions=_exceptions(session, row),
    )


def _empty_setting(key: tuple[int, str], now: datetime) -> CustomerSetting:
    return CustomerSetting(connection_id=key[0], customer_id=key[1], set_at=now)


def _open_invoices(
    session: Session, row: CustomerRow, invoices: Sequence[ProfileInvoice], today: date
) -> list[OpenInvoice]:
    ids = [each.id for each in invoices][:_IN_MAX]
    query = select(InvoiceDecisionRow).where(
        col(InvoiceDecisionRow.connection_id) == row.connection_id, col(InvoiceDecisionRow.invoice_id).in_(ids)
    )
    reasons = {each.invoice_id: each.reason for each in session.scalars(query)}
    agreements = active_agreements(session, [(row.connection_id, each) for each in ids])
    return [
        OpenInvoice(
            **each.model_dump(),
            overdue=each.due_on is not None and each.due_on < today,
            decision_reason=reasons.get(each.id, ""),
            active_agreements=agreements.get((row.connection_id, each.id), ActiveAgreements()),
        )
        for each in invoices
    ]


def _totals(invoices: Sequence[OpenInvoice]) -> list[BalanceTotal]:
    due: dict[str, Decimal] = {}
    overdue: dict[str, Decimal] = {}
    for each in invoices:
        due[each.currency] = due.get(each.currency, Decimal()) + Decimal(each.due)
        if each.overdue:
            overdue[each.currency] = overdue.get(each.currency, Decimal()) + Decimal(each.due)
    return [BalanceTotal(currency, due[currency], overdue.get(currency, Decimal())) for currency in sorted(due)]


def _pending(session: Session, row: CustomerRow) -> list[OutboxEntry]:
    query = select(OutboxEntry).where(
        *_of_customer(OutboxEntry, row),
        col(OutboxEntry.state).in_(_PENDING_STATES),
        col(OutboxEntry.kind) != OutboxKind.NOTE,
    )
    return list(session.scalars(query.order_by(col(OutboxEntry.id))))


def _exceptions(session: Session, row: CustomerRow) -> list[ExceptionRow]:
    query = select(ExceptionRow).where(*_of_customer(ExceptionRow, row), col(ExceptionRow.resolved_at).is_(None))
    return list(session.scalars(query.order_by(col(ExceptionRow.since_at), col(ExceptionRow.code))))


def _of_customer(table: Any, row: CustomerRow) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return table.connection_id == row.connection_id, table.customer_id == row.external_id
