"""The list of customers, with what they owe by currency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, and_, exists, func, or_, select
from sqlmodel import Session, col

from connector.db.ids import matches_keys
from connector.db.tables import Connection, CustomerRow, CustomerSetting, InvoiceRow
from connector.services.customer_balances import CustomerBalance, load_balances
from connector.services.lists import joins
from connector.services.lists.bulk import customer_version
from connector.services.lists.engine import Key, Listing, Sort, ValueKind
from connector.services.lists.filters import Filter, FilterKind, is_past

_BALANCE = "balance"
_COMPANY, _ID = col(CustomerRow.connection_id), col(CustomerRow.external_id)
_IS_OVERDUE = is_past(col(InvoiceRow.due_on), col(InvoiceRow.connection_id))
_OVERDUE_E4 = func.sum(col(InvoiceRow.due_e4)).filter(_IS_OVERDUE)
_IS_OWN = and_(col(InvoiceRow.connection_id) == _COMPANY, col(InvoiceRow.customer_id) == _ID, col(InvoiceRow.is_open))

# Amounts of several currencies are not added: a customer stands where their largest balance in one of them stands.
_by_currency = (
    select(
        col(InvoiceRow.connection_id).label("connection_id"),
        col(InvoiceRow.customer_id).label("customer_id"),
        func.sum(col(InvoiceRow.due_e4)).label("open_e4"),
        _OVERDUE_E4.label("overdue_e4"),
        func.min(InvoiceRow.due_on).label("due_on"),
    )
    .where(col(InvoiceRow.is_open))
    .group_by(col(InvoiceRow.connection_id), col(InvoiceRow.customer_id), col(InvoiceRow.currency))
    .subquery()
)
_balance = (
    select(
        _by_currency.c.connection_id,
        _by_currency.c.customer_id,
        func.max(_by_currency.c.open_e4).label("open_e4"),
        func.max(_by_currency.c.overdue_e4).label("overdue_e4"),
        func.min(_by_currency.c.due_on).label("due_on"),
    )
    .group_by(_by_currency.c.connection_id, _by_currency.c.customer_id)
    .subquery()
)
_STATES: dict[str, Any] = {
    "open": lambda _today: exists().where(_IS_OWN),
    "overdue": lambda today: exists().where(_IS_OWN, today.compare(lambda on: col(InvoiceRow.due_on) < on)),
    "paused": lambda today: or_(
        today.compare(lambda on: col(CustomerSetting.hold_until_on) > on), col(CustomerSetting.no_reminders)
    ),
    "no_address": lambda _today: and_(col(CustomerRow.emails) == "", func.coalesce(CustomerSetting.emails, "") == ""),
}
STATES = {
    "open": "With open balance",
    "overdue": "Overdue",
    "paused": "Paused or without reminders",
    "no_address": "Without an email address",
}


def _join_balance(found: Select[Any]) -> Select[Any]:
    of_customer = and_(_balance.c.connection_id == _COMPANY, _balance.c.customer_id == _ID)
    return found.outerjoin(_balance, of_customer)


def _balance_totals(matching: Any) -> Any:
    """Return the query of the open and overdue balances of some customers, by currency."""
    of_customer = and_(
        col(InvoiceRow.connection_id) == matching.c.connection_id, col(InvoiceRow.customer_id) == matching.c.external_id
    )
    currency = col(InvoiceRow.currency)
    found: Any = select(currency, func.sum(col(InvoiceRow.due_e4)), _OVERDUE_E4).join(matching, of_customer)
    return found.where(col(InvoiceRow.is_open)).group_by(currency).order_by(currency)


LISTING = Listing(
    name="customers",
    table=CustomerRow,
    company=_COMPANY,
    key=(_COMPANY, _ID),
    sorts={
        "id": Sort(),
        "name": Sort(joins.CUSTOMER_NAME),
        "company": Sort(joins.COMPANY_NAME, needs=(joins.COMPANY,)),
        "open": Sort(_balance.c.open_e4, ValueKind.INTEGER, (_BALANCE,)),
        "overdue": Sort(_balance.c.overdue_e4, ValueKind.INTEGER, (_BALANCE,)),
        "due_on": Sort(_balance.c.due_on, ValueKind.DATE, (_BALANCE,)),
    },
    default_sort="name",
    filters=(
        Filter("state", "Show", FilterKind.CHOICE, joins.one_of(_STATES), STATES, "open", needs=(joins.SETTING,)),
        Filter(
            "search", "Name or email address", FilterKind.TEXT,
            joins.contains(col(CustomerRow.name), col(CustomerRow.emails)),
        ),
        Filter("min", "Balance from", FilterKind.AMOUNT, joins.at_least(_balance.c.open_e4), needs=(_BALANCE,)),
        Filter("max", "Balance to", FilterKind.AMOUNT, joins.at_most(_balance.c.open_e4), needs=(_BALANCE,)),
        joins.segment_filter(_COMPANY, _ID),
        joins.owner_filter(),
        Filter("tag", "Tag", FilterKind.TEXT, joins.contains(col(CustomerSetting.tags)), needs=(joins.SETTING,)),
    ),
    amounts={"open": None, "overdue": None},
    amounts_of=_balance_totals,
    joins={**joins.joins_of(_COMPANY, _ID), _BALANCE: _join_balance},
    always=(col(CustomerRow.deleted).is_(False),),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class CustomerLine:
    """A customer as the list shows them."""

    balance: CustomerBalance
    setting: CustomerSetting | None

    @property
    def version(self) -> str:
        """What a user read before changing their settings."""
        return customer_version(self.balance.row, self.setting)


def load_lines(session: Session, keys: Sequence[Key], now: datetime) -> list[CustomerLine]:
    """Return the customers with these keys, in their order."""
    wanted: Sequence[Any] = list(keys)
    if not wanted:
        return []
    query = (
        select(CustomerRow, Connection)
        .join(Connection, col(Connection.id) == _COMPANY)
        .where(matches_keys(_COMPANY, _ID, wanted))
    )
    found = {
        (row.connection_id, row.external_id): CustomerBalance(row, company) for row, company in session.execute(query)
    }
    load_balances(session, list(found.values()), now)
    settings = _settings(session, wanted)
    return [CustomerLine(found[key], settings.get(key)) for key in keys if key in found]


def _settings(session: Session, keys: Sequence[Any]) -> Mapping[Key, CustomerSetting]:
    company, customer_id = col(CustomerSetting.connection_id), col(CustomerSetting.customer_id)
    rows = session.scalars(select(CustomerSetting).where(matches_keys(company, customer_id, keys)))
    return {(row.connection_id, row.customer_id): row for row in rows}
