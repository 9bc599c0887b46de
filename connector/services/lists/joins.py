"""Joins and conditions that several lists share: a row's customer, their settings, its company, and words in names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.orm import aliased
from sqlmodel import col

from connector.db.tables import Connection, CustomerRow, CustomerSetting, InvoiceDecisionRow
from connector.services.lists.engine import Join
from connector.services.lists.filters import Condition, Filter, FilterKind, FilterValue, Today, spellings
from connector.vocabulary.labels import label
from policies.receivables import Segment

CUSTOMER, SETTING, COMPANY = "customer", "setting", "company"
CUSTOMER_NAME = func.lower(col(CustomerRow.name))
COMPANY_NAME = func.lower(col(Connection.name))


def joins_of(company: Any, customer_id: Any) -> dict[str, Join]:
    """Return the joins of a table with these columns."""
    return {
        CUSTOMER: lambda found: found.outerjoin(
            CustomerRow,
            and_(col(CustomerRow.connection_id) == company, col(CustomerRow.external_id) == customer_id),
        ),
        SETTING: lambda found: found.outerjoin(
            CustomerSetting,
            and_(col(CustomerSetting.connection_id) == company, col(CustomerSetting.customer_id) == customer_id),
        ),
        COMPANY: company_join(company),
    }


def company_join(company: Any) -> Join:
    """Return the join of a row's company."""

    def join(found: Select[Any]) -> Select[Any]:
        return found.join(Connection, col(Connection.id) == company)

    return join


def equals(column: Any, convert: Callable[[str], object] = str) -> Condition:
    """Return the condition that a column holds one of the chosen values."""
    return lambda value, _when: column.in_([convert(each) for each in _as_list(value)])


def one_of(conditions: Mapping[str, Callable[[Today], ColumnElement[bool]]]) -> Condition:
    """Return the condition of the chosen names, of which any may hold."""
    return lambda value, today: or_(*(conditions[each](today) for each in _as_list(value)))


def contains(*columns: Any) -> Condition:
    """Return the condition that one of the columns contains a text, in upper or lower case."""
    return lambda value, _when: or_(
        *(column.icontains(each, autoescape=True) for each in spellings(str(value)) for column in columns)
    )


def at_least(column: Any) -> Condition:
    """Return the condition that a column holds this much, or is on this day, or more and later."""
    return lambda value, _when: column >= value


def at_most(column: Any) -> Condition:
    """Return the condition that a column holds this much, or is on this day, or less and earlier."""
    return lambda value, _when: column <= value


def amount_filters(column: Any, label: str = "Amount") -> tuple[Filter, Filter]:
    """Return the filters of a range of amounts, whatever their currency."""
    return (
        Filter("min", f"{label} from", FilterKind.AMOUNT, at_least(column)),
        Filter("max", f"{label} to", FilterKind.AMOUNT, at_most(column)),
    )


def date_filters(column: Any, name: str, label: str) -> tuple[Filter, Filter]:
    """Return the filters of a range of calendar dates."""
    return (
        Filter(f"{name}_from", f"{label} from", FilterKind.DATE, at_least(column)),
        Filter(f"{name}_to", f"{label} to", FilterKind.DATE, at_most(column)),
    )


def instant_filters(column: Any, label: str, names: tuple[str, str]) -> tuple[Filter, Filter]:
    """Return the filters of a range of days of an instant, in the time zone of whoever asks."""
    return (
        Filter(names[0], f"{label} from", FilterKind.DATE, _since(column)),
        Filter(names[1], f"{label} to", FilterKind.DATE, _since(column, days=1)),
    )


def _since(column: Any, *, days: int = 0) -> Condition:
    """Return the condition that an instant is on a day or later; with ``days``, that it is earlier than so many on."""

    def condition(value: FilterValue, when: Today) -> ColumnElement[bool]:
        assert isinstance(value, date)  # noqa: S101 - what a filter of dates parses to
        try:
            at = datetime.combine(value + timedelta(days=days), time(), ZoneInfo(when.time_zone)).astimezone(UTC)
        except OverflowError:  # the first and the last day are not days in each zone
            at = datetime.combine(value, time(), UTC)
        return column < at if days else column >= at  # type: ignore[no-any-return]

    return condition


def currency_filter(column: Any) -> Filter:
    """Return the filter of a currency."""
    return Filter("currency", "Currency", FilterKind.TEXT, lambda value, _when: column == str(value).upper())


def customer_filter(*more: Any) -> Filter:
    """Return the filter of part of a customer's name, or of another text of the row."""
    label = "Customer or number" if more else "Customer"
    return Filter("search", label, FilterKind.TEXT, contains(col(CustomerRow.name), *more), needs=(CUSTOMER,))


def segment_filter(company: Any, customer_id: Any) -> Filter:
    """Return the filter of a customer's segment: the one set by hand, else the one that the policy sees them in."""
    setting: Any = aliased(CustomerSetting)  # of their own, whatever else the list joins
    decision: Any = aliased(InvoiceDecisionRow)
    own = select(setting.customer_id).where(
        setting.connection_id == company, setting.customer_id == customer_id, setting.segment.is_not(None)
    )
    seen = select(decision.customer_id).where(decision.connection_id == company, decision.customer_id == customer_id)

    def condition(value: FilterValue, _when: Today) -> ColumnElement[bool]:
        wanted = [Segment(each) for each in _as_list(value)]
        by_hand, by_policy = own.where(setting.segment.in_(wanted)), seen.where(decision.segment.in_(wanted))
        return or_(by_hand.exists(), and_(~own.exists(), by_policy.exists()))

    return Filter("segment", "Segment", FilterKind.CHOICE, condition, {each.value: label(each) for each in Segment})


def owner_filter(own: Any = None) -> Filter:
    """Return the filter of part of the account owner's name or address: the row's own, or the customer's."""
    if own is not None:
        return Filter("owner", "Assigned to", FilterKind.TEXT, contains(own))
    return Filter("owner", "Account owner", FilterKind.TEXT, contains(col(CustomerSetting.owner)), needs=(SETTING,))


def _as_list(value: FilterValue) -> list[str]:
    return value if isinstance(value, list) else [str(value)]
