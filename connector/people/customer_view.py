"""A customer as his page shows him: the card, each open invoice with the reason it stands so, and what comes next."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlmodel import Session, col

from connector.money import from_e4
from connector.people import customer_card, invoices, plan
from connector.tables import (
    AnswerRow,
    Connection,
    CreditRow,
    CustomerRow,
    CustomerSetting,
    ExceptionRow,
    OutboxEntry,
    PaymentRow,
)

_NEXT_DAYS = 60
_IN_MAX = 500
_PENDING = ("waiting", "planned", "doubt", "calling")


@dataclass(frozen=True, slots=True)
class View:
    """Everything on the page but the story."""

    card: dict[str, Any]
    setting: CustomerSetting
    invoices: list[dict[str, Any]]
    sums: list[tuple[str, Decimal, Decimal]]
    unapplied: list[tuple[str, Decimal, str]]
    coming: list[dict[str, Any]]
    pending: list[OutboxEntry]
    exceptions: list[ExceptionRow]

    @property
    def said_now(self) -> set[str]:
        """What stands about at least one open invoice: what can be ended."""
        return {name for each in self.invoices for name in each["said"]}


def view(session: Session, company: Connection, row: CustomerRow, now: datetime) -> View:
    """Gather it, in as many queries for a hundred invoices as for one."""
    card = customer_card.card(session, row, now)
    shown = _invoices(session, row, card["invoices"], now.astimezone(ZoneInfo(company.time_zone)).date())
    key = (row.connection_id, row.external_id)
    return View(
        card=card,
        setting=session.get(CustomerSetting, key) or _nothing_set(key, now),
        invoices=shown,
        sums=_sums(shown),
        unapplied=_unapplied(session, row),
        coming=plan.coming(session, company, row.external_id, now, _NEXT_DAYS) if shown else [],
        pending=_pending(session, row),
        exceptions=_exceptions(session, row),
    )


def _nothing_set(key: tuple[int, str], now: datetime) -> CustomerSetting:
    return CustomerSetting(connection_id=key[0], customer_id=key[1], set_at=now)


def _invoices(session: Session, row: CustomerRow, open_ones: list[dict[str, Any]], today: date) -> list[dict[str, Any]]:
    ids = [each["id"] for each in open_ones][:_IN_MAX]
    standing = select(AnswerRow).where(
        col(AnswerRow.connection_id) == row.connection_id, col(AnswerRow.invoice_id).in_(ids)
    )
    answers = {each.invoice_id: each for each in session.scalars(standing)}
    said = invoices.said_about(session, [(row.connection_id, each) for each in ids])
    return [
        {
            **each,
            "overdue": each["due_on"] is not None and each["due_on"] < today,
            "answer": answers.get(each["id"]),
            "said": said.get((row.connection_id, each["id"]), {}),
        }
        for each in open_ones
    ]


def _sums(shown: list[dict[str, Any]]) -> list[tuple[str, Decimal, Decimal]]:
    """Add up what is owed and what of it is overdue, currency by currency."""
    sums: dict[str, list[Decimal]] = {}
    for each in shown:
        found = sums.setdefault(each["currency"], [Decimal(), Decimal()])
        found[0] += Decimal(each["due"])
        found[1] += Decimal(each["due"]) if each["overdue"] else Decimal()
    return [(currency, owed, overdue) for currency, (owed, overdue) in sorted(sums.items())]


def _unapplied(session: Session, row: CustomerRow) -> list[tuple[str, Decimal, str]]:
    payments = select(PaymentRow).where(*_his(PaymentRow, row), col(PaymentRow.unapplied_e4) > 0)
    notes = select(CreditRow).where(*_his(CreditRow, row), col(CreditRow.remaining_e4) > 0)
    return [
        *(("payment", from_e4(each.unapplied_e4), each.currency) for each in session.scalars(payments)),
        *((each.kind, from_e4(each.remaining_e4), each.currency) for each in session.scalars(notes)),
    ]


def _pending(session: Session, row: CustomerRow) -> list[OutboxEntry]:
    query = select(OutboxEntry).where(
        *_his(OutboxEntry, row), col(OutboxEntry.state).in_(_PENDING), col(OutboxEntry.kind) != "note"
    )
    return list(session.scalars(query.order_by(col(OutboxEntry.id))))


def _exceptions(session: Session, row: CustomerRow) -> list[ExceptionRow]:
    query = select(ExceptionRow).where(*_his(ExceptionRow, row), col(ExceptionRow.settled_at).is_(None))
    return list(session.scalars(query.order_by(col(ExceptionRow.since_at), col(ExceptionRow.code))))


def _his(table: Any, row: CustomerRow) -> tuple[Any, ...]:
    return table.connection_id == row.connection_id, table.customer_id == row.external_id
