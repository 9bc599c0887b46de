"""Reads the mirror for the policies: every customer's statements, with what a person set and what was done before.

Customers come one after the other, in a fixed order, and are loaded a few hundred at a time in a handful of queries:
the memory stays flat, and the number of queries does not grow with the number of invoices.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Table, func, select, union
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from connector.db.tables import Connection
from connector.sync.mirror import customer_behaviour, open_items
from connector.sync.mirror.customer_batch import TABLES, CustomerBatch, SqlRow
from connector.sync.mirror.facts import build_company, build_customer, without_suppressed_addresses
from connector.sync.mirror.past_actions import load_charged_fees, load_past_actions
from connector.sync.mirror.portfolio_stats import PortfolioStats, is_billed, load_portfolio_stats
from policies.receivables import Company, Credit, Invoice, InvoiceStatus, PastAction, PaymentBehaviour, Statement

CLOSED_DAYS = 45  # invoices settled this long ago still belong to a statement: for the thanks, and for late payments
WHOLE_HISTORY_DAYS = 3660  # ten years: whatever a ledger has
_CHUNK = 300
_INVOICE = TABLES["invoice"]


class CustomerData(NamedTuple):
    """What was read for a few hundred customers, by customer."""

    customers: dict[str, SqlRow]
    settings: dict[str, SqlRow]
    history: dict[str, SqlRow]
    payment_behaviour: dict[str, PaymentBehaviour]
    invoices: dict[str, list[Invoice]]
    credits: dict[str, list[Credit]]
    past_actions: dict[str, list[PastAction]]


def load_statements(
    session: Session,
    connection: Connection,
    *,
    now: datetime,
    customer_ids: Collection[str] | None = None,
    closed_days: int = CLOSED_DAYS,
    on_unreadable: Callable[[str, Exception], None] | None = None,
) -> Iterator[tuple[Statement, ...]]:
    """Yield the statements (one per currency) of each customer who owes or settled something lately, in order of id.

    ``settled_days`` says how lately: a back-test looks at the whole history. ``unread`` hears of each customer whose
    rows cannot be read, and the others go on; without it the first such row is an error.
    """
    yield from _StatementReader(session, connection, now, closed_days).customers(customer_ids, on_unreadable)


class _StatementReader:
    """One reading of one connection's mirror."""

    def __init__(self, session: Session, connection: Connection, now: datetime, settled_days: int) -> None:
        assert connection.id is not None  # noqa: S101 - it was read from the database
        self._session = session
        self._connection_id: int = connection.id
        self._connection = connection
        self._today = now.astimezone(ZoneInfo(connection.time_zone)).date()
        self._closed_since_on = self._today - timedelta(days=settled_days)
        self._company: Company = build_company(connection)
        self._portfolio_stats: PortfolioStats = load_portfolio_stats(session, connection, self._today)
        self._fees = load_charged_fees(session, self._connection_id)
        malformed, gone, suppressed = (
            TABLES[name] for name in ("malformed_record", "erased_customer", "suppressed_address")
        )
        self._unreadable = self._ids(malformed, malformed.c.external_id, malformed.c.kind == "invoice")
        self._erased = self._ids(gone, gone.c.customer_id)
        self._suppressed = {row.address: row.reason for row in session.execute(select(suppressed))}

    def customers(
        self, customer_ids: Collection[str] | None, unread: Callable[[str, Exception], None] | None
    ) -> Iterator[tuple[Statement, ...]]:
        ids = self._candidates(customer_ids)
        for start in range(0, len(ids), _CHUNK):
            yield from self._read(ids[start : start + _CHUNK], unread)

    def _read(self, chunk: list[str], unread: Callable[[str, Exception], None] | None) -> list[tuple[Statement, ...]]:
        """Read some customers; where a row of theirs cannot be read, halve them until it is known whose it is."""
        try:
            loaded = self._load_batch(chunk)
            return [tuple(self._statements(customer_id, loaded)) for customer_id in chunk]
        except SQLAlchemyError:  # the database itself
            raise
        except Exception as odd:
            if unread is None:
                raise
            if len(chunk) == 1:
                unread(chunk[0], odd)
                return []
            half = len(chunk) // 2
            return self._read(chunk[:half], unread) + self._read(chunk[half:], unread)

    def _candidates(self, customer_ids: Collection[str] | None) -> list[str]:
        """Find who has something open or settled lately."""
        wanted = [_INVOICE.c.connection_id == self._connection_id]
        if customer_ids is not None:
            wanted.append(_INVOICE.c.customer_id.in_(list(customer_ids)))
        open_ones = select(_INVOICE.c.customer_id).where(*wanted, _INVOICE.c.is_open)
        settled = select(_INVOICE.c.customer_id).where(*wanted, _INVOICE.c.closed_on >= self._closed_since_on)
        return sorted(self._session.execute(union(open_ones, settled)).scalars())

    def _load_batch(self, customer_ids: list[str]) -> CustomerData:
        chunk = CustomerBatch(self._session, self._connection_id, customer_ids, self._closed_since_on)
        customer, setting = TABLES["customer"], TABLES["customer_setting"]
        history = self._history(chunk)
        return CustomerData(
            customers=chunk.one_per_key(
                select(customer).where(chunk.of_customers(customer, "external_id")), "external_id"
            ),
            settings=chunk.one_per_key(select(setting).where(chunk.of_customers(setting)), "customer_id"),
            history=history,
            payment_behaviour=customer_behaviour.load_payment_behaviour(
                self._session, self._connection_id, history, self._portfolio_stats.baseline, self._today
            ),
            invoices=open_items.load_invoices(chunk, self._fees, self._unreadable, self._portfolio_stats.percentiles),
            credits=open_items.load_credits(chunk),
            past_actions=load_past_actions(chunk, self._fees),
        )

    def _statements(self, customer_id: str, loaded: CustomerData) -> Iterator[Statement]:
        customer = without_suppressed_addresses(
            build_customer(
                customer_id,
                loaded.customers.get(customer_id),
                loaded.settings.get(customer_id),
                loaded.history.get(customer_id),
                self._portfolio_stats.revenue_ranks.get(customer_id, ()),
                self._company,
                loaded.payment_behaviour.get(customer_id),
            ),
            self._suppressed,
        )
        customer = replace(customer, erased=True) if customer_id in self._erased else customer
        invoices, credited = loaded.invoices[customer_id], loaded.credits.get(customer_id, [])
        for currency in sorted({invoice.currency for invoice in invoices}):
            yield Statement(
                company=self._company,
                customer=customer,
                currency=currency,
                invoices=tuple(invoice for invoice in invoices if invoice.currency == currency),
                credits=tuple(credit for credit in credited if credit.currency == currency),
                past_actions=tuple(loaded.past_actions.get(customer_id, ())),
                synced_at=self._connection.pulled_at,
                last_payment_on=self._portfolio_stats.last_payment_on,
                live_since_at=self._connection.live_since_at,
            )

    def _history(self, chunk: CustomerBatch) -> dict[str, SqlRow]:
        paid = func.count().filter(_INVOICE.c.status == InvoiceStatus.PAID.value)
        query = select(
            _INVOICE.c.customer_id,
            func.min(_INVOICE.c.issued_on).label("first_on"),
            paid.label("paid"),
            *customer_behaviour.CACHE_KEY_COLUMNS,
        ).where(chunk.of_customers(_INVOICE), is_billed(self._connection_id))
        return chunk.one_per_key(query.group_by(_INVOICE.c.customer_id), "customer_id")

    def _ids(self, table: Table, column: ColumnElement[str], *which: ColumnElement[bool]) -> set[str]:
        return set(
            self._session.execute(select(column).where(table.c.connection_id == self._connection_id, *which)).scalars()
        )
