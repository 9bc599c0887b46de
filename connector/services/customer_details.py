"""A customer as his page shows him: the card, each open invoice with the reason it stands so, and what comes next."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlmodel import Session, col

from connector.db.money import from_e4
from connector.db.tables import (
    Connection,
    CreditRow,
    CustomerRow,
    CustomerSetting,
    ExceptionRow,
    InvoiceDecisionRow,
    OutboxEntry,
    PaymentRow,
)
from connector.services import customer_profile, invoices, upcoming_actions
from connector.services.invoices import ActiveAgreements

_UPCOMING_DAYS = 60
_IN_MAX = 500
_PENDING_STATES = ("awaiting_approval", "planned", "unconfirmed", "sending")


@dataclass(frozen=True, slots=True)
class CustomerDetails:
    """Everything on the page but the story."""

    profile: dict[str, Any]
    setting: CustomerSetting
    invoices: list[dict[str, Any]]
    totals: list[tuple[str, Decimal, Decimal]]
    unapplied: list[tuple[str, Decimal, str]]
    upcoming: list[dict[str, Any]]
    pending: list[OutboxEntry]
    exceptions: list[ExceptionRow]

    @property
    def active_agreements(self) -> ActiveAgreements:
        """The agreements that apply to at least one open invoice: those that can be ended."""
        active = [each["active_agreements"] for each in self.invoices]
        return ActiveAgreements(
            disputed_on=next((each.disputed_on for each in active if each.disputed_on), None),
            promised_on=next((each.promised_on for each in active if each.promised_on), None),
            payment_plan=next((each.payment_plan for each in active if each.payment_plan), ""),
            paused=any(each.paused for each in active),
        )


def load_customer_details(session: Session, company: Connection, row: CustomerRow, now: datetime) -> CustomerDetails:
    """Gather it, in as many queries for a hundred invoices as for one."""
    card = customer_profile.build_profile(session, row, now)
    shown = _invoices(session, row, card["invoices"], now.astimezone(ZoneInfo(company.time_zone)).date())
    key = (row.connection_id, row.external_id)
    return CustomerDetails(
        profile=card,
        setting=session.get(CustomerSetting, key) or _empty_setting(key, now),
        invoices=shown,
        totals=_totals(shown),
        unapplied=_unapplied(session, row),
        upcoming=upcoming_actions.list_customer_upcoming(session, company, row.external_id, now, _UPCOMING_DAYS)
        if shown
        else [],
        pending=_pending(session, row),
        exceptions=_exceptions(session, row),
    )


def _empty_setting(key: tuple[int, str], now: datetime) -> CustomerSetting:
    return CustomerSetting(connection_id=key[0], customer_id=key[1], set_at=now)


def _invoices(
    session: Session, row: CustomerRow, open_invoices: list[dict[str, Any]], today: date
) -> list[dict[str, Any]]:
    ids = [each["id"] for each in open_invoices][:_IN_MAX]
    standing = select(InvoiceDecisionRow).where(
        col(InvoiceDecisionRow.connection_id) == row.connection_id, col(InvoiceDecisionRow.invoice_id).in_(ids)
    )
    answers = {each.invoice_id: each for each in session.scalars(standing)}
    said = invoices.active_agreements(session, [(row.connection_id, each) for each in ids])
    return [
        {
            **each,
            "overdue": each["due_on"] is not None and each["due_on"] < today,
            "decision": answers.get(each["id"]),
            "active_agreements": said.get((row.connection_id, each["id"]), ActiveAgreements()),
        }
        for each in open_invoices
    ]


def _totals(shown: list[dict[str, Any]]) -> list[tuple[str, Decimal, Decimal]]:
    """Add up what is owed and what of it is overdue, currency by currency."""
    sums: dict[str, list[Decimal]] = {}
    for each in shown:
        found = sums.setdefault(each["currency"], [Decimal(), Decimal()])
        found[0] += Decimal(each["due"])
        found[1] += Decimal(each["due"]) if each["overdue"] else Decimal()
    return [(currency, owed, overdue) for currency, (owed, overdue) in sorted(sums.items())]


def _unapplied(session: Session, row: CustomerRow) -> list[tuple[str, Decimal, str]]:
    payments = select(PaymentRow).where(*_of_customer(PaymentRow, row), col(PaymentRow.unapplied_e4) > 0)
    notes = select(CreditRow).where(*_of_customer(CreditRow, row), col(CreditRow.remaining_e4) > 0)
    return [
        *(("payment", from_e4(each.unapplied_e4), each.currency) for each in session.scalars(payments)),
        *((each.kind, from_e4(each.remaining_e4), each.currency) for each in session.scalars(notes)),
    ]


def _pending(session: Session, row: CustomerRow) -> list[OutboxEntry]:
    query = select(OutboxEntry).where(
        *_of_customer(OutboxEntry, row), col(OutboxEntry.state).in_(_PENDING_STATES), col(OutboxEntry.kind) != "note"
    )
    return list(session.scalars(query.order_by(col(OutboxEntry.id))))


def _exceptions(session: Session, row: CustomerRow) -> list[ExceptionRow]:
    query = select(ExceptionRow).where(*_of_customer(ExceptionRow, row), col(ExceptionRow.resolved_at).is_(None))
    return list(session.scalars(query.order_by(col(ExceptionRow.since_at), col(ExceptionRow.code))))


def _of_customer(table: Any, row: CustomerRow) -> tuple[Any, ...]:
    return table.connection_id == row.connection_id, table.customer_id == row.external_id
