"""Reading the mirror for the policies: each customer's statements, with settings and past actions.

Customers come one by one, in a fixed order, and are loaded a few hundred at a time in a handful of queries: memory
use stays flat, and the number of queries does not grow with the number of invoices.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Table, func, select, union
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from connector.db.tables import Connection
from connector.sync.mirror import customer_behaviour, family_money, former_applications, mailboxes, merges, open_items
from connector.sync.mirror.bank_money import load_bank_money
from connector.sync.mirror.charged_fees import load_charged_fees
from connector.sync.mirror.customer_batch import TABLES, CustomerBatch, SqlRow
from connector.sync.mirror.customer_data import CustomerData
from connector.sync.mirror.facts import (
    build_company,
    build_customer,
    email_addresses,
    with_shared_numbers,
    with_stopped_addresses,
    with_stops_of,
    with_usable_addresses,
    without_former_addresses,
    without_suppressed_addresses,
)
from connector.sync.mirror.families import load_families
from connector.sync.mirror.past_actions import load_past_actions, with_new_reader
from connector.sync.mirror.portfolio_stats import PortfolioStats, is_billed, load_portfolio_stats
from connector.sync.mirror.unreadable import describe_unreadable, load_unreadable_kinds
from policies.receivables import Company, Customer, Invoice, InvoiceStatus, Statement
from providers.ledger import RecordKind

CLOSED_DAYS = 45  # so long a closed invoice stays on a statement, for the thank-you email and for late payments
_PAID_FEE_AGE = timedelta(days=180)  # so long after it was posted a fee that was paid can turn out to be wrong
WHOLE_HISTORY_DAYS = 3660  # ten years: whatever a ledger has
_BATCH_SIZE = 300
_IDS_PER_QUERY = 5000  # both databases accept as many
_INVOICE = TABLES["invoice"]
_NO_ADDRESSES: dict[str, Any] = {"emails": (), "cc_emails": (), "bcc_emails": (), "invalid_emails": ()}


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


def count_customers(session: Session, connection: Connection, *, now: datetime) -> int:
    """Return how many customers ``load_statements`` reads, without reading them."""
    return len(_StatementReader(session, connection, now, CLOSED_DAYS).candidates(None))


class _StatementReader:
    """Reads one connection's mirror."""

    def __init__(self, session: Session, connection: Connection, now: datetime, closed_days: int) -> None:
        assert connection.id is not None  # noqa: S101 - it was read from the database
        self._session = session
        self._connection_id: int = connection.id
        self._connection = connection
        self._now = now
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
        self._unreadable_kinds = load_unreadable_kinds(session, self._connection_id)
        self._erased = self._ids(erased, erased.c.customer_id)
        self._families = load_families(session, self._connection_id)
        self._former_addresses = merges.load_former_addresses(session, self._connection_id)
        self._suppressed = {row.address: row.reason for row in session.execute(select(suppressed))}
        self._stopped = mailboxes.load_stopped_addresses(session, self._connection_id)

    def customers(
        self, customer_ids: Collection[str] | None, on_unreadable: Callable[[str, Exception], None] | None
    ) -> Iterator[tuple[Statement, ...]]:
        ids = self.candidates(customer_ids)
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

    def candidates(self, customer_ids: Collection[str] | None) -> list[str]:
        """Return who is written to about an open or recently closed invoice."""
        wanted = [_INVOICE.c.connection_id == self._connection_id]
        if customer_ids is not None:
            payers = self._families.payers(customer_ids)
            wanted.append(
                _INVOICE.c.customer_id.in_([each for payer in payers for each in self._families.billed_to(payer)])
            )
        open_customers = select(_INVOICE.c.customer_id).where(*wanted, _INVOICE.c.is_open)
        closed_customers = select(_INVOICE.c.customer_id).where(*wanted, _INVOICE.c.closed_on >= self._closed_since_on)
        owners = set(self._session.execute(union(open_customers, closed_customers)).scalars())
        payers_of_kept = self._families.payers(self._kept_ids)
        if customer_ids is not None:
            payers_of_kept &= self._families.payers(customer_ids)
        return sorted(self._families.payers(owners) | payers_of_kept)

    @cached_property
    def _kept_ids(self) -> Mapping[str, list[str]]:
        """The invoices whose late fee still stands, or was paid of late: they stay on their customer's statement."""
        found: defaultdict[str, list[str]] = defaultdict(list)
        ids = self._fees.list_standing_originals() + self._fees.list_paid(self._now - _PAID_FEE_AGE)
        for start in range(0, len(ids), _IDS_PER_QUERY):
            query = select(_INVOICE.c.customer_id, _INVOICE.c.external_id).where(
                _INVOICE.c.connection_id == self._connection_id,
                _INVOICE.c.external_id.in_(ids[start : start + _IDS_PER_QUERY]),
            )
            for row in self._session.execute(query):
                found[row.customer_id].append(row.external_id)
        return found

    def _load_batch(self, customer_ids: list[str]) -> CustomerData:
        members = sorted(self._families.with_relatives(customer_ids))
        kept = [each for member in members for each in self._kept_ids.get(member, ())]
        batch = CustomerBatch(self._session, self._connection_id, members, self._closed_since_on, kept)
        customer, setting = TABLES["customer"], TABLES["customer_setting"]
        history = self._history(batch)
        peers = sorted({peer for each in members for peer in self._peers.get(each, ())})
        past_actions = load_past_actions(replace(batch, customer_ids=[*members, *peers]), self._fees, self._zone)
        customers = batch.one_per_key(
            select(customer).where(batch.of_customers(customer, "external_id")), "external_id"
        )
        return CustomerData(
            customers=customers,
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
            changed_at=self._changed_at(batch, customers),
            shared_credit={},
            bank_money=load_bank_money(batch),
        )

    def _statements(self, customer_id: str, loaded: CustomerData) -> Iterator[Statement]:
        members = self._families.billed_to(customer_id)
        customer, invoices = self._customer(customer_id, loaded), self._invoices(customer_id, loaded)
        past_actions = list(loaded.past_actions.get(customer_id, ()))
        if len(members) > 1:
            customer, invoices = self._billed_for(customer, members, loaded)
            past_actions = [action for member in members for action in loaded.past_actions.get(member, ())]
            past_actions.sort(key=lambda action: action.at)
        past_actions = [with_new_reader(each, customer, loaded) for each in past_actions]
        unreadable = describe_unreadable(self._unreadable_kinds, members, self._families, loaded.customers)
        customer = replace(
            family_money.with_debt_on_no_invoice(customer, self._families, loaded), unreadable=unreadable
        )
        invoices = self._with_moved_payments(customer_id, members, invoices, loaded)
        invoices = with_shared_numbers(invoices, self._portfolio_stats.repeated_numbers)
        for each in self._peers.get(customer_id, ()):  # the contact limits are of the mailbox
            past_actions += [action for action in loaded.past_actions.get(each, ()) if action.is_contact]
        unapplied = [
            *family_money.find_credits(customer_id, self._families, loaded),
            *loaded.bank_money.credits_of(members),
        ]
        possible = loaded.bank_money.possible_of(members)
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
                possible_payments=tuple(each for each in possible if each.currency == currency),
            )

    def _with_moved_payments(
        self, customer_id: str, members: list[str], invoices: list[Invoice], loaded: CustomerData
    ) -> list[Invoice]:
        """Return the invoices with the payments that were entered again for a relative who is billed themselves."""
        relatives = set(self._families.relatives(customer_id)).difference(members)
        if not relatives or not any(each.former_histories for each in invoices):
            return invoices
        thanked = {
            action.invoice_id
            for each in relatives
            for action in loaded.past_actions.get(each, ())
            if action.acknowledged
        }
        others = [
            (loaded.customers[each].name, invoice)
            for each in sorted(relatives)
            if each in loaded.customers
            for invoice in loaded.invoices.get(each, ())
        ]
        return [
            former_applications.with_moves_to_relatives(each, others, thanked)
            if each.former_histories and not each.former_histories[-1].moved
            else each
            for each in invoices
        ]

    def _customer(self, customer_id: str, loaded: CustomerData) -> Customer:
        """Return a customer; a sub-customer without an address has its parent's.

        Where the parent that it is billed with is inactive, what users stopped for the parent stays stopped.
        """
        customer = build_customer(
            customer_id,
            loaded.customers.get(customer_id),
            loaded.settings.get(customer_id),
            loaded.history.get(customer_id),
            self._portfolio_stats.revenue_ranks.get(customer_id, ()),
            self._company,
            loaded.payment_behaviour.get(customer_id),
        )
        for parent_id in self._families.inactive_payers(customer_id):
            customer = with_stops_of(customer, loaded.settings.get(parent_id))
        for parent_id in self._families.address_holders(customer_id) if not customer.emails else ():
            emails = email_addresses(loaded.customers.get(parent_id), loaded.settings.get(parent_id))
            if emails and parent_id not in self._erased:
                customer = replace(customer, emails=emails)
                break
        customer = without_suppressed_addresses(customer, self._unused_addresses(customer_id, loaded))
        customer = replace(customer, erased=True) if customer_id in self._erased else customer
        peers = {each: loaded.peers[each] for each in self._peers.get(customer_id, ()) if each in loaded.peers}
        strangers = set(peers).difference(self._families.relatives(customer_id))
        customer = mailboxes.with_peers(customer, list(peers.values()))
        return replace(customer, shares_mailbox_with=tuple(sorted(peers[each].name for each in strangers)))

    def _unused_addresses(self, customer_id: str, loaded: CustomerData) -> Mapping[str, str]:
        """Return the addresses to which a customer's emails do not go, each with the reason."""
        setting = loaded.settings.get(customer_id)
        return with_stopped_addresses(self._suppressed, setting.stopped_emails if setting else "")

    def _invoices(self, customer_id: str, loaded: CustomerData) -> list[Invoice]:
        setting = loaded.settings.get(customer_id)
        invoices, unused = loaded.invoices[customer_id], self._unused_addresses(customer_id, loaded)
        if customer_id in self._former_addresses:
            own = email_addresses(loaded.customers.get(customer_id), setting)
            current = {each.lower() for each in own}.difference(unused)
            invoices = [
                without_former_addresses(each, self._former_addresses[customer_id], current) for each in invoices
            ]
        return [
            with_usable_addresses(each, unused, self._stopped, is_overridden=bool(setting and setting.emails))
            for each in invoices
        ]

    def _billed_for(self, payer: Customer, members: list[str], loaded: CustomerData) -> tuple[Customer, list[Invoice]]:
        """Return who is billed for sub-customers, with what is known of all of them, and everybody's invoices."""
        invoices = self._invoices(payer.id, loaded)
        subs = [self._customer(member, loaded) for member in members[1:]]
        for sub in subs:
            invoices += [replace(each, sub_customer=sub, **_NO_ADDRESSES) for each in loaded.invoices[sub.id]]
        invoices.sort(key=lambda each: (each.due_on or date.min, each.number, each.id))
        everybody = [payer, *subs]
        behaviours = [each.payment_behaviour for each in everybody if each.payment_behaviour is not None]
        return replace(
            payer,
            first_invoiced_on=min(
                (each.first_invoiced_on for each in everybody if each.first_invoiced_on), default=None
            ),
            paid_invoices=sum(each.paid_invoices for each in everybody),
            revenue_ranks=next((each.revenue_ranks for each in everybody if each.revenue_ranks), ()),
            payment_behaviour=max(behaviours, key=lambda each: each.closed_invoices, default=None),
        ), invoices

    def _changed_at(self, batch: CustomerBatch, customers: dict[str, SqlRow]) -> dict[str, datetime]:
        """Return the last change of each customer's open invoices, where the age of a balance matters."""
        if all(row.balance_at is None for row in customers.values()):
            return {}
        newest = func.max(_INVOICE.c.updated_at)
        query = select(_INVOICE.c.customer_id, newest).where(batch.of_customers(_INVOICE), _INVOICE.c.is_open)
        return {row[0]: row[1] for row in self._session.execute(query.group_by(_INVOICE.c.customer_id)) if row[1]}

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
