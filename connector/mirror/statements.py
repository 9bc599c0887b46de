"""Reads the mirror for the policies: every customer's statements, with what a person set and what was done before.

Customers come one after the other, in a fixed order, and are loaded a few hundred at a time in a handful of queries:
the memory stays flat, and the number of queries does not grow with the number of invoices.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Row, Select, Table, and_, func, or_, select, text, union
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from sqlmodel import SQLModel

from connector.mirror import customer_habits
from connector.mirror.company_picture import Picture, billed, picture
from connector.mirror.facts import (
    INVOICE_COLUMNS,
    NOTHING_SAID,
    Fee,
    balance_change,
    company_of,
    credit_of_payment,
    credit_of_row,
    customer_of,
    deed_of,
    fee_of_entry,
    invoice_of,
    plan_of,
    reachable,
)
from connector.tables import Connection
from policies.receivables import (
    BalanceChange,
    Company,
    Credit,
    Deed,
    Habits,
    Invoice,
    InvoiceStatus,
    PaymentPlan,
    Statement,
)

SETTLED_DAYS = 45  # invoices settled this long ago still belong to a statement: for the thanks, and for late payments
_CHUNK = 300
_FEE_NUMBERS = "LF-"  # how the numbers of our late-fee invoices begin
_TABLES = SQLModel.metadata.tables
_INVOICE = _TABLES["invoice"]
T = TypeVar("T")
SqlRow = Row[Any]
Ids = list[str] | Select[tuple[str]]


class Loaded(NamedTuple):
    """What was read for a few hundred customers, by customer."""

    customers: dict[str, SqlRow]
    settings: dict[str, SqlRow]
    history: dict[str, SqlRow]
    habits: dict[str, Habits]
    invoices: dict[str, list[Invoice]]
    credits: dict[str, list[Credit]]
    deeds: dict[str, list[Deed]]


def customers_facts(
    session: Session,
    connection: Connection,
    *,
    now: datetime,
    customer_ids: Collection[str] | None = None,
    settled_days: int = SETTLED_DAYS,
    unread: Callable[[str, Exception], None] | None = None,
) -> Iterator[tuple[Statement, ...]]:
    """Yield the statements (one per currency) of each customer who owes or settled something lately, in order of id.

    ``settled_days`` says how lately: a back-test looks at the whole history. ``unread`` hears of each customer whose
    rows cannot be read, and the others go on; without it the first such row is an error.
    """
    yield from _Reader(session, connection, now, settled_days).customers(customer_ids, unread)


class _Reader:
    """One reading of one connection's mirror."""

    def __init__(self, session: Session, connection: Connection, now: datetime, settled_days: int) -> None:
        self._settled_days = settled_days
        assert connection.id is not None  # noqa: S101  # it was read from the database
        self._session = session
        self._here: int = connection.id
        self._connection = connection
        self._now = now
        self._today = now.astimezone(ZoneInfo(connection.time_zone)).date()
        self._company: Company = company_of(connection)
        self._picture: Picture = picture(session, connection, self._today)
        self._unreadable = set(self._scalars(_of_kind(_TABLES["malformed_record"], self._here, "invoice")))
        self._fees: dict[str, str] = {}
        self._charged: dict[int, Fee] = {}
        self._know_our_fees()
        gone = _TABLES["erased_customer"]
        self._erased = set(self._scalars(select(gone.c.customer_id).where(gone.c.connection_id == self._here)))
        self._suppressed = {
            row.address: row.why for row in self._session.execute(select(_TABLES["suppressed_address"]))
        }

    def customers(
        self, customer_ids: Collection[str] | None, unread: Callable[[str, Exception], None] | None
    ) -> Iterator[tuple[Statement, ...]]:
        ids = self._candidates(customer_ids)
        for start in range(0, len(ids), _CHUNK):
            yield from self._read(ids[start : start + _CHUNK], unread)

    def _read(self, chunk: list[str], unread: Callable[[str, Exception], None] | None) -> list[tuple[Statement, ...]]:
        """Read some customers; where a row of theirs cannot be read, halve them until it is known whose it is."""
        try:
            loaded = self._load(chunk)
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
        wanted = [_INVOICE.c.connection_id == self._here]
        if customer_ids is not None:
            wanted.append(_INVOICE.c.customer_id.in_(list(customer_ids)))
        open_ones = select(_INVOICE.c.customer_id).where(*wanted, _INVOICE.c.is_open)
        settled = select(_INVOICE.c.customer_id).where(*wanted, _INVOICE.c.settled_on >= self._settled_since())
        return sorted(self._session.execute(union(open_ones, settled)).scalars())

    def _load(self, chunk: list[str]) -> Loaded:
        theirs = self._theirs(chunk)
        history = self._history(theirs)
        deeds = self._deeds(theirs)
        return Loaded(
            customers=self._by(
                select(_TABLES["customer"]).where(self._named(_TABLES["customer"], chunk)), "external_id"
            ),
            settings=self._by(
                select(_TABLES["customer_setting"]).where(theirs(_TABLES["customer_setting"])), "customer_id"
            ),
            history=history,
            habits=customer_habits.habits(self._session, self._here, history, self._picture.norm, self._today),
            invoices=self._invoices(theirs),
            credits=self._credits(theirs),
            deeds=deeds,
        )

    def _statements(self, customer_id: str, loaded: Loaded) -> Iterator[Statement]:
        customer = reachable(
            customer_of(
                customer_id,
                loaded.customers.get(customer_id),
                loaded.settings.get(customer_id),
                loaded.history.get(customer_id),
                self._picture.places.get(customer_id),
                self._company,
                loaded.habits.get(customer_id),
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
                deeds=tuple(loaded.deeds.get(customer_id, ())),
                pulled_at=self._connection.pulled_at,
                newest_payment_on=self._picture.newest_payment_on,
                live_since_at=self._connection.live_since_at,
            )

    def _invoices(self, theirs: Callable[[Table], ColumnElement[bool]]) -> dict[str, list[Invoice]]:
        on_statement = (theirs(_INVOICE), or_(_INVOICE.c.is_open, _INVOICE.c.settled_on >= self._settled_since()))
        ids = select(_INVOICE.c.external_id).where(*on_statement)  # a query: handing over thousands of ids is slow
        setting = _TABLES["invoice_setting"]
        said = self._by(select(setting).where(self._named(setting, ids, "invoice_id")), "invoice_id")
        changes, plans = self._changes(ids), self._plans(ids)
        fees, unreadable, thresholds = self._fees, self._unreadable, self._picture.thresholds
        query = select(*(_INVOICE.c[name] for name in INVOICE_COLUMNS), _INVOICE.c.reference).where(*on_statement)
        query = query.order_by(_INVOICE.c.due_on, _INVOICE.c.number, _INVOICE.c.external_id)
        found: defaultdict[str, list[Invoice]] = defaultdict(list)
        for *row, reference in self._session.execute(query).all():
            external_id, number, customer_id, currency = row[:4]
            found[customer_id].append(
                invoice_of(
                    row,
                    said.get(external_id, NOTHING_SAID),
                    tuple(changes.get(external_id, ())),
                    thresholds.get(currency),
                    fee_of=fees.get(external_id) or self._fee_by_number(number, reference, customer_id),
                    unreadable=external_id in unreadable,
                    plan=plans.get(external_id),
                )
            )
        return found

    def _changes(self, invoices: Ids) -> dict[str, list[BalanceChange]]:
        application = _TABLES["application"]
        query = select(application).where(self._named(application, invoices, "invoice_id"))
        query = query.order_by(application.c.applied_on, application.c.source_id)
        return self._lists(query, "invoice_id", balance_change)

    def _plans(self, invoices: Ids) -> dict[str, PaymentPlan]:
        """Read the payment plans that are kept; a broken one is void for good."""
        agreement = _TABLES["agreement"]
        query = select(agreement).where(
            self._named(agreement, invoices, "invoice_id"), agreement.c.kind == "plan", agreement.c.state == "open"
        )
        return {row.invoice_id: plan_of(row) for row in self._session.execute(query)}

    def _credits(self, theirs: Callable[[Table], ColumnElement[bool]]) -> dict[str, list[Credit]]:
        credit, payment = _TABLES["credit"], _TABLES["payment"]
        found = self._lists(
            select(credit).where(theirs(credit), credit.c.remaining_e4 > 0), "customer_id", credit_of_row
        )
        unapplied = select(payment).where(theirs(payment), text("unapplied_e4 > 0"))  # literally as its index says
        for customer_id, more in self._lists(unapplied, "customer_id", credit_of_payment).items():
            found.setdefault(customer_id, []).extend(more)
        for each in found.values():
            each.sort(key=lambda credit: (credit.dated_on, credit.id))
        return found

    def _deeds(self, theirs: Callable[[Table], ColumnElement[bool]]) -> dict[str, list[Deed]]:
        """Read the steps taken, with the state of the mail that took them; a refused one was never taken."""
        taken, outbox = _TABLES["taken_step"], _TABLES["outbox"]
        query = (
            select(taken, outbox.c.key, outbox.c.kind, outbox.c.state)
            .join_from(taken, outbox, outbox.c.id == taken.c.outbox_id, isouter=True)
            .where(theirs(taken), or_(outbox.c.state.is_(None), outbox.c.state != "refused"))
            .order_by(taken.c.taken_at, taken.c.invoice_id, taken.c.step)
        )
        return self._lists(query, "customer_id", lambda row: deed_of(row, self._charged))

    def _history(self, theirs: Callable[[Table], ColumnElement[bool]]) -> dict[str, SqlRow]:
        paid = func.count().filter(_INVOICE.c.status == InvoiceStatus.PAID.value)
        query = select(
            _INVOICE.c.customer_id,
            func.min(_INVOICE.c.issued_on).label("first_on"),
            paid.label("paid"),
            *customer_habits.STAMP_COLUMNS,
        ).where(theirs(_INVOICE), billed(self._here))
        return self._by(query.group_by(_INVOICE.c.customer_id), "customer_id")

    def _know_our_fees(self) -> None:
        """Find the late fees of ours: their invoices in the ledger, what each came to, and whether it still stands."""
        outbox, waiver = _TABLES["outbox"], _TABLES["outbox"].alias("waiver")
        same_invoice = and_(
            _INVOICE.c.connection_id == outbox.c.connection_id, _INVOICE.c.external_id == outbox.c.reference
        )
        query = (
            select(
                outbox.c.id,
                outbox.c.reference,
                outbox.c.invoice_id,
                outbox.c.payload,
                _INVOICE.c.status,
                func.coalesce(waiver.c.state, "refused").label("waiving"),
            )
            .join_from(outbox, _INVOICE, same_invoice, isouter=True)
            .join(waiver, and_(waiver.c.parent_id == outbox.c.id, waiver.c.kind == "waive_fee"), isouter=True)
            .where(outbox.c.connection_id == self._here, outbox.c.kind == "late_fee")
        )
        for row in self._session.execute(query):
            if row.reference:
                self._fees[row.reference] = row.invoice_id
            self._charged[row.id] = fee_of_entry(row)

    def _fee_by_number(self, number: str, reference: str, customer_id: str) -> str | None:
        """Know our fee invoice by its number where the outbox forgot it (a new home, an old backup)."""
        if not (number.startswith(_FEE_NUMBERS) and reference):
            return None
        original = select(_INVOICE.c.external_id).where(
            _INVOICE.c.connection_id == self._here,
            _INVOICE.c.number == reference,
            _INVOICE.c.customer_id == customer_id,
        )
        found: str | None = self._session.execute(original.limit(1)).scalar()
        return found

    def _settled_since(self) -> date:
        return self._today - timedelta(days=self._settled_days)

    def _theirs(self, chunk: list[str]) -> Callable[[Table], ColumnElement[bool]]:
        return lambda table: self._named(table, chunk, "customer_id")

    def _named(self, table: Table, ids: Ids, column: str = "external_id") -> ColumnElement[bool]:
        return and_(table.c.connection_id == self._here, table.c[column].in_(ids))

    def _scalars(self, query: Select[Any]) -> Sequence[Any]:
        return self._session.execute(query).scalars().all()

    def _by(self, query: Select[Any], key: str) -> dict[str, SqlRow]:
        return {getattr(row, key): row for row in self._session.execute(query)}

    def _lists(self, query: Select[Any], key: str, make: Callable[[SqlRow], T]) -> dict[str, list[T]]:
        found: defaultdict[str, list[T]] = defaultdict(list)
        for row in self._session.execute(query):
            found[getattr(row, key)].append(make(row))
        return found


def _of_kind(table: Table, connection_id: int, kind: str) -> Select[Any]:
    return select(table.c.external_id).where(table.c.connection_id == connection_id, table.c.kind == kind)
