"""Segments and payment behaviour of all customers of a company, in a few queries."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import date
from typing import Any, NamedTuple

from sqlalchemy import Row, func, select, tuple_
from sqlmodel import Session, SQLModel

from connector import policy_store
from connector.db.tables import Connection
from connector.reports.scope import INVOICE, Scope, in_companies
from connector.sync.mirror import customer_behaviour
from connector.sync.mirror.facts import build_company, build_customer
from connector.sync.mirror.portfolio_stats import is_billed, load_portfolio_stats
from policies.payment_behaviour import Baseline, learn_behaviour
from policies.receivables import Company, InvoiceStatus, PaymentBehaviour, RevenueRank
from policies.sections import Segments
from policies.segments import segment_of

_CHUNK_SIZE = 5000  # as many ids as fit into one query on both databases


class _SegmentInputs(NamedTuple):
    """What determines the segments of a company's customers."""

    company: Company
    revenue_ranks: Mapping[str, tuple[RevenueRank, ...]]
    rules: Segments
    today: date


def find_segments(session: Session, scope: Scope) -> dict[tuple[int, str], str]:
    """Return the current segment of every customer who was ever invoiced, by company and customer."""
    settings = SQLModel.metadata.tables["customer_setting"]
    manual_segments = session.execute(
        select(settings).where(in_companies(settings, scope.ids), settings.c.segment.is_not(None))
    )
    manual = {(row.connection_id, row.customer_id): row for row in manual_segments}
    policies, days = policy_store.get_policies(session, scope.ids), scope.today_by_company()
    seen: dict[int, _SegmentInputs] = {}
    for row in scope.companies:
        here, today = row.id or 0, days[row.id or 0]
        ranks = load_portfolio_stats(session, row, today).revenue_ranks
        seen[here] = _SegmentInputs(build_company(row), ranks, policies[here][0].segments, today)
    return {
        (row.connection_id, row.customer_id): _segment(seen[row.connection_id], row, manual)
        for row in session.execute(_first_invoices_query(scope))
    }


def _segment(inputs: _SegmentInputs, row: Row[Any], manual: Mapping[tuple[int, str], Row[Any]]) -> str:
    manual_setting = manual.get((row.connection_id, row.customer_id))
    ranks = inputs.revenue_ranks.get(row.customer_id, ())
    customer = build_customer(row.customer_id, None, manual_setting, row, ranks, inputs.company)
    return segment_of(customer, inputs.rules, inputs.today).value


def _first_invoices_query(scope: Scope) -> Any:
    """Return a query for each customer's first invoice and number of paid invoices, without our late fees."""
    outbox, whose = SQLModel.metadata.tables["outbox"], (INVOICE.c.connection_id, INVOICE.c.customer_id)
    fees = select(outbox.c.connection_id, outbox.c.reference).where(
        in_companies(outbox, scope.ids), outbox.c.kind == "late_fee"
    )
    real = tuple_(INVOICE.c.connection_id, INVOICE.c.external_id).not_in(fees)
    first_on = func.min(INVOICE.c.issued_on).label("first_on")
    return select(*whose, first_on, _PAID_COUNT).where(scope.billed(), real).group_by(*whose)


def find_payment_behaviour(
    session: Session, connection: Connection, customer_ids: Collection[str], today: date
) -> dict[str, PaymentBehaviour]:
    """Return the payment behaviour of customers; those without a payment get the company's average."""
    here, norm = connection.id or 0, load_portfolio_stats(session, connection, today).baseline
    found: dict[str, PaymentBehaviour] = {}
    for chunk in _chunks(sorted(customer_ids)):
        stamps = _invoices_query(here, *customer_behaviour.CACHE_KEY_COLUMNS).where(INVOICE.c.customer_id.in_(chunk))
        history = {row.customer_id: row for row in session.execute(stamps)}
        found |= customer_behaviour.load_payment_behaviour(session, here, history, norm, today)
    default = _default_behaviour(norm, today)
    return {each: found.get(each, default) for each in customer_ids}


_PAID_COUNT = func.count().filter(INVOICE.c.status == InvoiceStatus.PAID.value).label("paid")


def _invoices_query(connection_id: int, *columns: Any) -> Any:
    return select(INVOICE.c.customer_id, *columns).where(is_billed(connection_id)).group_by(INVOICE.c.customer_id)


def _default_behaviour(baseline: Baseline, today: date) -> PaymentBehaviour:
    return learn_behaviour([], baseline, today)


def _chunks(ids: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(ids), _CHUNK_SIZE):
        yield ids[start : start + _CHUNK_SIZE]
