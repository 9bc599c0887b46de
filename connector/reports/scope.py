"""The companies that a report covers, and the date in each of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

from sqlalchemy import ColumnElement, FromClause, Table, and_, false, or_
from sqlmodel import SQLModel

from connector.db.tables import Connection
from connector.geo import today_in
from policies.receivables import InvoiceStatus

INVOICE: Table = SQLModel.metadata.tables["invoice"]
_BILLED = (InvoiceStatus.OPEN.value, InvoiceStatus.PAID.value)


@dataclass(frozen=True, slots=True)
class Scope:
    """The companies of a report, and the instant for which it is made."""

    companies: Sequence[Connection]
    now: datetime

    @property
    def ids(self) -> list[int]:
        """Return the ids of the companies."""
        return [row.id or 0 for row in self.companies]

    @property
    def today(self) -> date:
        """Return the date of the report: in the company's time zone, or in UTC where there are several companies."""
        zone = self.companies[0].time_zone if len(self.companies) == 1 else None
        return today_in(zone, self.now) if zone else self.now.astimezone(UTC).date()

    def today_by_company(self) -> dict[int, date]:
        """Return the current date in each company."""
        return {row.id or 0: today_in(row.time_zone, self.now) for row in self.companies}

    def companies_by_date(self) -> list[tuple[date, list[int]]]:
        """Return the companies by their current date; around midnight there are two or three dates."""
        found: defaultdict[date, list[int]] = defaultdict(list)
        for company, today in self.today_by_company().items():
            found[today].append(company)
        return sorted(found.items())

    def split_by_company(self) -> list[Scope]:
        """Return a scope for each company."""
        return [replace(self, companies=[row]) for row in self.companies]

    def billed(self) -> ColumnElement[bool]:
        """Return a condition for the companies' real invoices: no drafts, no voided or deleted ones."""
        return and_(in_companies(INVOICE, self.ids), INVOICE.c.status.in_(_BILLED))

    def not_after_today(self, table: FromClause, on: ColumnElement[date]) -> ColumnElement[bool]:
        """Return a condition for the dates that have come, in each row's own company."""
        parts = [and_(in_companies(table, ids), on <= today) for today, ids in self.companies_by_date()]
        return or_(false(), *parts)


def in_companies(table: FromClause, ids: Collection[int]) -> ColumnElement[bool]:
    """Return a condition for the rows of some companies."""
    return table.c.connection_id.in_(ids)
