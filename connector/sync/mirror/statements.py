"""Reading the mirror for the policies: each customer's statements, with settings and past actions.

Customers come one by one, in a fixed order, and are loaded a few hundred at a time in a handful of queries: memory
use stays flat, and the number of queries does not grow with the number of invoices.
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
from connector.sync.mirror import customer_behaviour, mailboxes, open_items
from connector.sync.mirror.customer_batch import TABLES, CustomerBatch, SqlRow
from connector.sync.mirror.facts import (
    build_company,
    build_customer,
    with_shared_numbers,
    with_usable_addresses,
    without_suppressed_addresses,
)
from connector.sync.mirror.past_actions import load_charged_fees, load_past_actions
from connector.sync.mirror.portfolio_stats import PortfolioStats, is_billed, load_portfolio_stats
from policies.receivables import Company, Credit, Invoice, InvoiceStatus, PastAction, PaymentBehaviour, Statement
from providers.ledger import RecordKind

CLOSED_DAYS = 45  # so long a closed invoice stays on a statement, for the thank-you email and for late payments
WHOLE_HISTORY_DAYS = 3660  # ten years: whatever a ledger has
_BATCH_SIZE = 300
_INVOICE = TABLES["invoice"]


class CustomerData(NamedTuple):
    """What was read for a batch of customers, by customer id."""

    customers: dict[str, SqlRow]
    settings: dict[str, SqlRow]
    history: dict[str, SqlRow]
    payment_behaviour: dict[str, PaymentBehaviour]
    invoices: dict[str, list[Invoice]]
    credits: dict[str, list[Credit]]
    past_actions: dict[str, list[PastAction]]
    peers: dict[str, mailboxes.PeerStop]


def load_statements(
    session: Session,
    connection: Connection,
    *,
    now: datetime,
    customer_ids: Collection[str] | None = None,
    closed_days: int = CLOSED_DAYS,
    on_unreadable: Callable[[str, Exception], None] | None = None,
) -> Iterator[tuple[Statement, ...]]:
    """Yield the statements of each customer with an open or recently closed invoice, one per currency, ordered by id.

    Args:
        session: open for reading.
        connection: the company.
        now: decides what "recently" and today are.
        customer_ids: only these customers.
        closed_days: how long closed invoices count; a back-test reads the whole history.
        on_unreadable: is called with the id and the error of a customer whose rows cannot be read, and the others are
            read; without it, the error is raised.

    """
    yield from _StatementReader(session, connection, now, closed_days).customers(customer_ids, on_unreadable)


class _StatementReader:
    """Reads one connection's mirror."""

    def __init__(self, session: Session, connection: Connection, now: datetime, closed_days: int) -> None:
        assert connection.id is not None  # noqa: S101 - it was read from the database
        self._session = session
        self._connection_id: int = connection.id
        self._connection = connection
        self._zone = ZoneInfo(connection.time_zone)
        self._today = now.astimezone(self._zone).date()
        self._closed_since_on = self._today - timedelta(days=closed_days)
        self._company: Company = build_company(connection)
        self._portfolio_stats: PortfolioStats = load_portfolio_stats(session, connection, self._today)
        self._fees = load_charged_fees(session, self._connection_id)
        self._peers = mailboxes.load_peers(session, connection)
        malformed, erased, suppressed = (
            TABLES[name] for name in ("malformed_record", "erased_customer", "suppressed_address")
        )
        self._unreadable = self._ids(malformed, malformed.c.external_id, malformed.c.kind == RecordKind.INVOICE)
        self._erased = self._ids(erased, erased.c.customer_id)
        self._suppressed = {row.address: row.reason for row in session.execute(select(suppressed))}

    def customers(
        self, customer_ids: Collection[str] | None, on_unreadable: Callable[[str, Exception], None] | None
    ) -> Iterator[tuple[Statement, ...]]:
        ids = self._candidates(customer_ids)
        for start in range(0, len(ids), _BATCH_SIZE):
            yield from self._read(ids[start : start + _BATCH_SIZE], on_unreadable)

    def _read(
        self, ids: list[str], on_unreadable: Callable[[str, Exception], None] | None
    ) -> list[tuple[Statement, ...]]:
        """Read a batch of customers. Where a row cannot be read, halve the batch until its customer is found."""
        try:
            loaded = self._load_batch(ids)
            return [tuple(self._statements(customer_id, loaded)) for customer_id in ids]
        except SQLAlchemyError:  # the database itself
            raise
        except Exception as error:
            if on_unreadable is None:
                raise
            if len(ids) == 1:
                on_unreadable(ids[0], error)
                return []
            half = len(ids) // 2
            return self._read(ids[:half], on_unreadable) + self._read(ids[half:], on_unreadable)

    def _candidates(self, customer_ids: Collection[str] | None) -> list[str]:
        """Return the ids of the customers with an open or recently closed invoice."""
        wanted = [_INVOICE.c.connection_id == self._connection_id]
        if customer_ids is not None:
            wanted.append(_INVOICE.c.customer_id.in_(list(customer_ids)))
        open_customers = select(_INVOICE.c.customer_id).where(*wanted, _INVOICE.c.is_open)
        closed_customers = select(_INVOICE.c.customer_id).where(*wanted, _INVOICE.c.closed_on >= self._closed_since_on)
        return sorted(self._session.execute(union(open_customers, closed_customers)).scalars())

    def _load_batch(self, customer_ids: list[str]) -> CustomerData:
        batch = CustomerBatch(
            self._session,
            self._connection_id,
            customer_ids,
            self._closed_since_on,
            self._fees.list_standing_originals(),
        )
        customer, setting = TABLES["customer"], TABLES["customer_setting"]
        history = self._history(batch)
        peers = sorted({peer for each in customer_ids for peer in self._peers.get(each, ())})
        past_actions = load_past_actions(replace(batch, customer_ids=[*customer_ids, *peers]), self._fees, self._zone)
        return CustomerData(
            customers=batch.one_per_key(
                select(customer).where(batch.of_customers(customer, "external_id")), "external_id"
            ),
            settings=batch.one_per_key(select(setting).where(batch.of_customers(setting)), "customer_id"),
            history=history,
            payment_behaviour=customer_behaviour.load_payment_behaviour(
                self._session, self._connection_id, history, self._portfolio_stats.baseline, self._today
            ),
            invoices=open_items.load_invoices(
                batch, self._fees, self._unreadable, self._portfolio_stats.percentiles, past_actions, self._zone
            ),
            credits=open_items.load_credits(batch),
            past_actions=past_actions,
            peers=mailboxes.load_stops(self._session, self._connection_id, peers) if peers else {},
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
        peer_ids = self._peers.get(customer_id, ())
        customer = mailboxes.with_peers(customer, [loaded.peers[each] for each in peer_ids if each in loaded.peers])
        setting = loaded.settings.get(customer_id)
        invoices = [
            with_usable_addresses(each, self._suppressed, is_overridden=bool(setting and setting.emails))
            for each in with_shared_numbers(loaded.invoices[customer_id], self._portfolio_stats.repeated_numbers)
        ]
        unapplied, past_actions = loaded.credits.get(customer_id, []), list(loaded.past_actions.get(customer_id, ()))
        for each in peer_ids:  # the contact limits are of the mailbox
            past_actions += [action for action in loaded.past_actions.get(each, ()) if action.is_contact]
        for currency in sorted({invoice.currency for invoice in invoices}):
            yield Statement(
                company=self._company,
                customer=customer,
                currency=currency,
                invoices=tuple(invoice for invoice in invoices if invoice.currency == currency),
                credits=tuple(credit for credit in unapplied if credit.currency == currency),
                past_actions=tuple(past_actions),
                synced_at=self._connection.synced_at,
                last_payment_on=self._portfolio_stats.last_payment_on,
                live_since_at=self._connection.live_since_at,
            )

    def _history(self, batch: CustomerBatch) -> dict[str, SqlRow]:
        paid = func.count().filter(_INVOICE.c.status == InvoiceStatus.PAID, customer_behaviour.is_settled_by_money())
        query = select(
            _INVOICE.c.customer_id,
            func.min(_INVOICE.c.issued_on).label("first_on"),
            paid.label("paid"),
            *customer_behaviour.CACHE_KEY_COLUMNS,
        ).where(batch.of_customers(_INVOICE), is_billed(self._connection_id))
        return batch.one_per_key(query.group_by(_INVOICE.c.customer_id), "customer_id")

    def _ids(self, table: Table, column: ColumnElement[str], *conditions: ColumnElement[bool]) -> set[str]:
        return set(
            self._session.execute(
                select(column).where(table.c.connection_id == self._connection_id, *conditions)
            ).scalars()
        )
