"""Reads what stands open between us and some customers: invoices, with what was said and paid on them, and credits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping

from sqlalchemy import Select, select, text

from connector.mirror.chunk import TABLES, Chunk
from connector.mirror.deeds import OurFees
from connector.mirror.facts import (
    INVOICE_COLUMNS,
    NOTHING_SAID,
    balance_change,
    credit_of_payment,
    credit_of_row,
    invoice_of,
    plan_of,
)
from policies.receivables import BalanceChange, Credit, Invoice, PaymentPlan
from policies.segments import Thresholds

_INVOICE = TABLES["invoice"]


def invoices(
    chunk: Chunk, fees: OurFees, unreadable: Collection[str], thresholds: Mapping[str, Thresholds]
) -> dict[str, list[Invoice]]:
    """Read each customer's invoices, open and settled lately, in order of their due days."""
    ids = select(_INVOICE.c.external_id).where(chunk.on_statement())  # a query: handing over thousands of ids is slow
    setting = TABLES["invoice_setting"]
    said = chunk.rows(select(setting).where(chunk.named(setting, "invoice_id", ids)), "invoice_id")
    changes, plans = _changes(chunk, ids), _plans(chunk, ids)
    query = select(*(_INVOICE.c[name] for name in INVOICE_COLUMNS), _INVOICE.c.reference).where(chunk.on_statement())
    query = query.order_by(_INVOICE.c.due_on, _INVOICE.c.number, _INVOICE.c.external_id)
    found: defaultdict[str, list[Invoice]] = defaultdict(list)
    for *row, reference in chunk.session.execute(query).all():
        external_id, number, customer_id, currency = row[:4]
        found[customer_id].append(
            invoice_of(
                row,
                said.get(external_id, NOTHING_SAID),
                tuple(changes.get(external_id, ())),
                thresholds.get(currency),
                fee_of=fees.original(chunk, external_id, number, reference, customer_id),
                unreadable=external_id in unreadable,
                plan=plans.get(external_id),
            )
        )
    return found


def credits(chunk: Chunk) -> dict[str, list[Credit]]:
    """Read each customer's money that is not applied to an invoice yet, oldest first."""
    credit, payment = TABLES["credit"], TABLES["payment"]
    unused = select(credit).where(chunk.theirs(credit), credit.c.remaining_e4 > 0)
    found = chunk.lists(unused, "customer_id", credit_of_row)
    unapplied = select(payment).where(chunk.theirs(payment), text("unapplied_e4 > 0"))  # literally as its index says
    for customer_id, more in chunk.lists(unapplied, "customer_id", credit_of_payment).items():
        found.setdefault(customer_id, []).extend(more)
    for each in found.values():
        each.sort(key=lambda credit: (credit.dated_on, credit.id))
    return found


def _changes(chunk: Chunk, ids: Select[tuple[str]]) -> dict[str, list[BalanceChange]]:
    application = TABLES["application"]
    query = select(application).where(chunk.named(application, "invoice_id", ids))
    query = query.order_by(application.c.applied_on, application.c.source_id)
    return chunk.lists(query, "invoice_id", balance_change)


def _plans(chunk: Chunk, ids: Select[tuple[str]]) -> dict[str, PaymentPlan]:
    """Read the payment plans that are kept; a broken one is void for good."""
    agreement = TABLES["agreement"]
    kept = (agreement.c.kind == "plan", agreement.c.state == "open")
    query = select(agreement).where(chunk.named(agreement, "invoice_id", ids), *kept)
    return {row.invoice_id: plan_of(row) for row in chunk.session.execute(query)}
